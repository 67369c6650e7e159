"""Blender's own undistortion, through its compositor, against the solver's lens.

Blender 4.5 and later grow the picture to what undistortion uncovers and then cut it back, which may move the whole of
it by half a pixel or one: so a common offset of up to one pixel is taken out before the comparison.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from lens_solver.operators import build
from lens_solver.solver import lens as lens_module
from lens_solver.solver import types as solver_types
from synthetic_solve import make_solve

SIZE = (160, 90)
FOCAL = 144.0
SPOT_SD = 1.6


def spots_picture(path: Path, spots: np.ndarray) -> None:
    """White spots on black at pixel positions (top left origin, centres at +0.5)."""
    width, height = SIZE
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    level = sum(np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / (2 * SPOT_SD**2)) for sx, sy in spots)
    image = bpy.data.images.new("spots", width, height, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    rgba = np.ones((height, width, 4), dtype=np.float32)
    rgba[..., :3] = level[::-1, :, None]  # Blender's rows run upwards
    image.pixels.foreach_set(rgba.ravel())
    image.file_format = "OPEN_EXR"
    image.filepath_raw = str(path)
    image.save()
    bpy.data.images.remove(image)


def undistort_in_blender(source: Path, clip: Any, folder: Path) -> np.ndarray:
    """The picture through the Movie Distortion node, (H, W), top row first."""
    scene = bpy.context.scene
    if hasattr(scene, "compositing_node_group"):  # 5.0
        tree = bpy.data.node_groups.new("undistort", "CompositorNodeTree")
        scene.compositing_node_group = tree
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        output = tree.nodes.new("NodeGroupOutput")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    picture = tree.nodes.new("CompositorNodeImage")
    picture.image = bpy.data.images.load(str(source))
    picture.image.colorspace_settings.name = "Non-Color"
    node = tree.nodes.new("CompositorNodeMovieDistortion")
    node.clip = clip
    if "Type" in node.inputs:
        node.inputs["Type"].default_value = "Undistort"
    else:
        node.distortion_type = "UNDISTORT"
    tree.links.new(picture.outputs["Image"], node.inputs["Image"])
    tree.links.new(node.outputs["Image"], output.inputs["Image"])
    render = scene.render
    render.compositor_device = "CPU"
    render.engine, render.use_compositing, render.use_sequencer = "CYCLES", True, False
    scene.cycles.samples, scene.cycles.device = 1, "CPU"
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR", "32"
    scene.view_settings.view_transform = "Raw"
    render.filepath = str(folder / "result.exr")
    bpy.ops.render.render(write_still=True)
    result = bpy.data.images.load(render.filepath)
    result.colorspace_settings.name = "Non-Color"
    pixels = np.empty(SIZE[0] * SIZE[1] * 4, dtype=np.float32)
    result.pixels.foreach_get(pixels)
    return pixels.reshape(SIZE[1], SIZE[0], 4)[::-1, :, 0]


def spot_centre(picture: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Centre of the spot near a position, from its light, to a few hundredths of a pixel."""
    x0, y0 = np.floor(near).astype(int) - 6
    window = picture[y0 : y0 + 13, x0 : x0 + 13]
    x, y = np.meshgrid(np.arange(x0, x0 + 13) + 0.5, np.arange(y0, y0 + 13) + 0.5)
    return np.array([(window * x).sum(), (window * y).sum()]) / window.sum()


def test_blender_undistorts_as_the_solver_does(tmp_path: Path) -> None:
    lens = lens_module.BrownConradyLens(size=SIZE, principal_point=np.array([83.5, 39.0]), k=np.array([-0.25, 0.08, 0]))
    straight = np.array([[20.0, 14.0], [80.0, 12.0], [142.0, 20.0], [24.0, 70.0], [84.0, 44.0], [138.0, 74.0]])
    rays = np.c_[(straight - lens.principal_point) / FOCAL, np.ones(len(straight))]
    seen = lens.project(rays, FOCAL)
    assert np.abs(seen - straight).max() > 2, "a distortion worth testing"
    source = tmp_path / "spots.0001.exr"
    spots_picture(source, seen)

    solve = make_solve(solver_types, lens_module, size=SIZE, first_file=str(source), first_frame=1, frames=3)
    build.build_scene(solve, bpy.context.scene)
    tracking = bpy.context.scene.active_clip.tracking.camera
    assert tracking.focal_length_pixels == FOCAL
    tracking.principal_point_pixels = (lens.principal_point[0], SIZE[1] - lens.principal_point[1])
    tracking.k1, tracking.k2, tracking.k3 = lens.k

    picture = undistort_in_blender(source, bpy.context.scene.active_clip, tmp_path)
    found = np.array([spot_centre(picture, near) for near in straight])
    offset = (found - straight).mean(axis=0)
    assert np.abs(offset).max() < 1.1
    np.testing.assert_allclose(found - offset, straight, atol=0.06)
