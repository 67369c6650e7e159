"""The animated camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from . import axes, blocks, keys

if TYPE_CHECKING:
    from ...solver.types import Solve

# Where a camera without points is taken to look: it sizes the camera and its clipping only.
_NO_DEPTH = 10.0


def ensure_camera(
    solve: Solve,
    scene: bpy.types.Scene,
    collection: bpy.types.Collection,
    owner: blocks.Owner,
    frame_offset: int,
    world: axes.World,
) -> bpy.types.Object:
    """The shot's camera as the scene's active camera, a key a frame; those of frames without a solve are breakdowns.

    What does not move has no keys, so that the artist can place it: the location of a camera on a tripod, and the
    rotation too of one that stands still.

    Parameters
    ----------
    solve : Solve
    scene, collection
    owner : Owner
    frame_offset : int
        Footage frame number less scene frame.
    world : World
    """
    from ...solver.types import MOVING, STATIC

    camera = blocks.ensure_object(
        scene, collection, owner, "camera", lambda: bpy.data.cameras.new("Lens Solver Camera")
    )
    camera_data: Any = camera.data
    _set_lens(camera_data, solve, world)
    camera.rotation_mode = "QUATERNION"

    path = solve.path
    frames = (solve.shot.frame_numbers - frame_offset).astype(np.float64)
    matrices = world.camera_matrices(path.R_cam_from_world, path.t_cam_from_world)
    quaternions = _continuous_quaternions(matrices[:, :3, :3])
    first = int(np.argmax(path.solved))
    if solve.kind == MOVING:
        _write_curves(camera, "location", frames, matrices[:, :3, 3], path.solved)
    else:
        keys.remove_curves(camera, "location")
        camera.location = matrices[first, :3, 3].tolist()
    if solve.kind == STATIC:
        keys.remove_curves(camera, "rotation_quaternion")
        camera.rotation_quaternion = quaternions[first].tolist()
    else:
        _write_curves(camera, "rotation_quaternion", frames, quaternions, path.solved)
    _write_curves(camera_data, "lens", frames, solve.focal_mm[:, None], path.solved)

    scene.camera = camera
    return camera


def _write_curves(
    block: bpy.types.ID,
    data_path: str,
    frames: NDArray[np.float64],
    values: NDArray[np.float64],
    solved: NDArray[np.bool_],
) -> None:
    curves = keys.animation_curves(block)
    for i in range(values.shape[1]):
        keys.write_curve(curves, data_path, i, frames, values[:, i], solved)


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


def _set_lens(camera: bpy.types.Camera, solve: Solve, world: axes.World) -> None:
    width, height = solve.shot.size
    camera.type = "PERSP"
    camera.sensor_fit = "HORIZONTAL"
    camera.sensor_width = solve.sensor_width_mm
    camera.sensor_height = solve.sensor_width_mm * height / (width * solve.shot.pixel_aspect)
    camera.lens_unit = "MILLIMETERS"
    camera.lens = float(np.median(solve.focal_mm))
    camera.shift_x, camera.shift_y = axes.lens_shift(solve.lens.principal_point, solve.shot.size)
    depth = world.scale * _median_depth(solve)
    camera.clip_start, camera.clip_end = depth / 1000, depth * 1000
    camera.display_size = depth / 20


def _median_depth(solve: Solve) -> float:
    """Typical distance of the solved points from the first solved camera."""
    first = int(np.argmax(solve.path.solved))
    R, t = solve.path.R_cam_from_world[first], solve.path.t_cam_from_world[first]
    z = (solve.points.xyz_world @ R.T + t)[:, 2]
    return float(np.median(z[z > 0])) if (z > 0).any() else _NO_DEPTH


def _continuous_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Quaternions (F, 4) of rotations (F, 3, 3), without jumps of sign, so that Blender interpolates the short way."""
    quaternions = np.array([Matrix(rotation).to_quaternion() for rotation in rotations])
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(axis=1))
    quaternions[1:] *= np.cumprod(np.where(flips < 0, -1.0, 1.0))[:, None]
    return quaternions
