"""The animated camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix

from . import axes, blocks, keys

if TYPE_CHECKING:
    from ...solver.types import Solve


def ensure_camera(
    solve: Solve, scene: bpy.types.Scene, collection: bpy.types.Collection, frame_offset: int
) -> bpy.types.Object:
    """The shot's camera, keyed at every solved frame, as the scene's active camera.

    Parameters
    ----------
    solve : Solve
    scene, collection
    frame_offset : int
        Footage frame number less scene frame.
    """
    camera = blocks.ensure_object(
        scene, collection, solve.shot, "camera", lambda: bpy.data.cameras.new("Lens Solver Camera")
    )
    camera_data: Any = camera.data
    _set_lens(camera_data, solve)
    camera.rotation_mode = "QUATERNION"

    solved = solve.path.solved
    frames = (solve.shot.frame_numbers[solved] - frame_offset).astype(np.float64)
    matrices = axes.camera_matrices(solve.path.R_cam_from_world[solved], solve.path.t_cam_from_world[solved])
    quaternions = _continuous_quaternions(matrices[:, :3, :3])

    curves = keys.animation_curves(camera)
    for i in range(3):
        keys.write_curve(curves, "location", i, frames, matrices[:, i, 3])
    for i in range(4):
        keys.write_curve(curves, "rotation_quaternion", i, frames, quaternions[:, i])
    keys.write_curve(keys.animation_curves(camera_data), "lens", 0, frames, solve.focal_mm[solved])

    scene.camera = camera
    return camera


def show_footage(camera: Any, clip: bpy.types.MovieClip) -> None:
    """Show the clip, undistorted, behind the camera's view."""
    background = next((b for b in camera.background_images if b.clip == clip), None) or camera.background_images.new()
    background.source = "MOVIE_CLIP"
    background.use_camera_clip = False
    background.clip = clip
    background.clip_user.use_render_undistorted = True
    background.display_depth = "BACK"
    background.alpha = 1.0
    background.show_background_image = True
    camera.show_background_images = True


def _set_lens(camera: bpy.types.Camera, solve: Solve) -> None:
    width, height = solve.shot.size
    camera.type = "PERSP"
    camera.sensor_fit = "HORIZONTAL"
    camera.sensor_width = solve.sensor_width_mm
    camera.sensor_height = solve.sensor_width_mm * height / (width * solve.shot.pixel_aspect)
    camera.lens_unit = "MILLIMETERS"
    camera.lens = float(np.median(solve.focal_mm))
    camera.shift_x, camera.shift_y = axes.lens_shift(solve.lens.principal_point, solve.shot.size)
    depth = _median_depth(solve)
    camera.clip_start, camera.clip_end = depth / 1000, depth * 1000
    camera.display_size = depth / 20


def _median_depth(solve: Solve) -> float:
    """Typical distance of the solved points from the first solved camera; 10 where there are none."""
    first = int(np.argmax(solve.path.solved))
    R, t = solve.path.R_cam_from_world[first], solve.path.t_cam_from_world[first]
    z = (solve.points.xyz_world @ R.T + t)[:, 2]
    return float(np.median(z[z > 0])) if (z > 0).any() else 10.0


def _continuous_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Quaternions (F, 4) of rotations (F, 3, 3), without jumps of sign, so that Blender interpolates the short way."""
    quaternions = np.array([Matrix(rotation).to_quaternion() for rotation in rotations])
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(axis=1))
    quaternions[1:] *= np.cumprod(np.where(flips < 0, -1.0, 1.0))[:, None]
    return quaternions
