"""Scenes of zooms, of cameras on a tripod and of those that stand still; upright worlds; ranges not to be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from lens_solver.operators import build
from lens_solver.operators.build import axes, clip_lens, keys
from lens_solver.solver import lens as lens_module
from lens_solver.solver import types as solver_types
from synthetic_solve import make_solve
from test_build import blender_pixels

SIZE = np.array([640, 360])


def solve_of(footage: Path, **changes: Any) -> Any:
    return make_solve(solver_types, lens_module, first_file=str(footage / "frame.1001.png"), **changes)


def solver_pixels(solve: Any, frame: int) -> np.ndarray:
    """Where the solve says that its points are seen in a frame."""
    lens = lens_module.BrownConradyLens(
        size=solve.shot.size, principal_point=solve.lens.principal_point, k=solve.path.distortion[frame]
    )
    cam = solve.points.xyz_world @ solve.path.R_cam_from_world[frame].T + solve.path.t_cam_from_world[frame]
    return lens.project(cam, solve.path.focal_px[frame])


def points_in_blender() -> np.ndarray:
    mesh = bpy.data.objects["Lens Solver Points"].data
    world = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
    mesh.vertices.foreach_get("co", world)
    return world.reshape(-1, 3).astype(np.float64)


def curve(block: Any, path: str) -> Any:
    return keys.animation_curves(block).find(path, index=0)


def largest_miss(solve: Any) -> float:
    """Over all frames: how far Blender sees the points from where the solve does, pixels."""
    scene, worst = bpy.context.scene, 0.0
    for i, number in enumerate(solve.shot.frame_numbers):
        scene.frame_set(int(number))
        expected = solver_pixels(solve, i)
        inside = ((expected > 0) & (expected < SIZE)).all(axis=1)
        assert inside.sum() > 5
        found = blender_pixels(scene, points_in_blender())
        worst = max(worst, float(np.abs(found - expected)[inside].max()))
    return worst


@pytest.mark.parametrize("up", [None, (0.15, -1.0, 0.2)])
def test_a_pan_has_a_camera_that_only_turns(footage: Path, up: Any) -> None:
    solve = solve_of(footage, kind="nodal", up_world=up)
    scene = bpy.context.scene
    build.build_scene(solve, scene)
    assert curve(scene.camera, "location") is None
    assert len(curve(scene.camera, "rotation_quaternion").keyframe_points) == 12
    distances = np.linalg.norm(points_in_blender(), axis=1)
    np.testing.assert_allclose(distances, axes.NODAL_DISTANCE, rtol=1e-6)
    assert scene.camera.data.clip_start < 1 and scene.camera.data.clip_end > 100
    assert largest_miss(solve) < 1e-3


def test_a_static_camera_has_neither_points_nor_movement(footage: Path) -> None:
    solve = solve_of(footage, kind="static")
    scene = bpy.context.scene
    made = build.build_scene(solve, scene)
    assert made.points == "" and made.n_tracks == 0 and [obj.type for obj in scene.objects] == ["CAMERA"]
    assert curve(scene.camera, "location") is None and curve(scene.camera, "rotation_quaternion") is None
    assert len(curve(scene.camera.data, "lens").keyframe_points) == 12
    scene.frame_set(1007)
    np.testing.assert_allclose(-np.array(scene.camera.matrix_world)[:3, 2], [0, 1, 0], atol=1e-6)
    assert scene.active_clip.tracking.camera.focal_length == pytest.approx(scene.camera.data.lens, rel=1e-6)


def test_a_single_picture_is_a_scene_of_one_frame(footage: Path) -> None:
    scene = bpy.context.scene
    build.build_scene(solve_of(footage, kind="static", frames=1, up_world=(0, -1, 0)), scene)
    assert (scene.frame_start, scene.frame_end) == (1001, 1001)
    assert scene.camera.data.lens == pytest.approx(32.4)


def test_a_tripod_after_a_moving_camera_leaves_no_old_keys(footage: Path) -> None:
    """The same footage solved again, as another kind of shot."""
    scene = bpy.context.scene
    build.build_scene(solve_of(footage), scene)
    camera = scene.camera
    scene.frame_set(1012)
    build.build_scene(solve_of(footage, kind="static"), scene)
    assert scene.camera == camera and curve(camera, "location") is None
    assert curve(camera, "rotation_quaternion") is None
    scene.frame_set(1005)
    np.testing.assert_allclose(np.array(camera.matrix_world)[:3, 3], 0, atol=1e-6)
    np.testing.assert_allclose(-np.array(camera.matrix_world)[:3, 2], [0, 1, 0], atol=1e-6)
    assert len(points_in_blender()) == 0 and not list(scene.active_clip.tracking.tracks)
    build.build_scene(solve_of(footage), scene)
    assert scene.camera == camera and largest_miss(solve_of(footage)) < 1e-3


def test_up_becomes_z_and_the_first_camera_faces_y(footage: Path) -> None:
    solve = solve_of(footage, up_world=(0.2, -1.0, -0.35))
    scene = bpy.context.scene
    build.build_scene(solve, scene)
    rotation = axes.world_of(solve).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation @ solve.up_world, [0, 0, 1], atol=1e-12)
    scene.frame_set(1001)
    forward = -np.array(scene.camera.matrix_world)[:3, 2]
    assert forward[0] == pytest.approx(0, abs=1e-6) and forward[1] > 0.8
    assert forward[2] == pytest.approx(solve.path.R_cam_from_world[0][2] @ solve.up_world, abs=1e-6)
    assert largest_miss(solve) < 1e-3


def test_a_camera_that_looks_straight_down_is_upright_too() -> None:
    R = np.eye(3)
    rotation = axes.upright(np.array([0.0, 0.0, -1.0]), R)
    np.testing.assert_allclose(rotation @ [0, 0, 1], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(rotation @ [0, -1, 0], [0, 1, 0], atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_level_first_camera_and_known_up_give_the_same_world(footage: Path) -> None:
    known, unknown = (axes.world_of(solve_of(footage, up_world=up)) for up in ((0, -1, 0), None))
    np.testing.assert_allclose(known.rotation, unknown.rotation, atol=1e-12)


def test_a_zoom_keys_the_lens_and_fits_one_distortion(footage: Path) -> None:
    solve = solve_of(footage, zoom=1.25)
    scene = bpy.context.scene
    made = build.build_scene(solve, scene)
    values = [point.co[1] for point in curve(scene.camera.data, "lens").keyframe_points]
    np.testing.assert_allclose(values, solve.focal_mm, rtol=1e-6)
    assert values[-1] / values[0] == pytest.approx(1.25, rel=1e-5)
    lens = clip_lens.fit(solve)
    tracking = scene.active_clip.tracking.camera
    assert tracking.focal_length_pixels == pytest.approx(np.median(solve.path.focal_px), rel=1e-6)
    assert 0.5 < lens.worst_px < 10 and any(f"{lens.worst_px:.1f} px" in note for note in made.notes)
    assert 0.2 * lens.worst_px < largest_miss(solve) <= lens.worst_px + 1e-3


def test_a_distortion_that_is_constant_on_the_sensor_fits_every_frame_of_a_zoom(footage: Path) -> None:
    """k grows with the square of the focal length: then all frames share one distortion in pixels."""
    zoom = solve_of(footage, zoom=2.0)
    ratio = (zoom.path.focal_px / zoom.path.focal_px[0])[:, None]
    k = np.array([-0.05, 0.01, -0.002]) * ratio ** np.array([2, 4, 6])
    values = {name: getattr(zoom.path, name) for name in zoom.path.__slots__}
    path = solver_types.CameraPath(**(values | {"distortion": k}))
    solve = solver_types.Solve(**({name: getattr(zoom, name) for name in zoom.__slots__} | {"path": path}))
    lens = clip_lens.fit(solve)
    assert lens.worst_px < 1e-6
    middle = np.median(zoom.path.focal_px) / zoom.path.focal_px[0]
    np.testing.assert_allclose(lens.k, [-0.05, 0.01, -0.002] * middle ** np.array([2, 4, 6]), rtol=1e-6)
    made = build.build_scene(solve, bpy.context.scene)
    assert not any("distortion" in note for note in made.notes) and largest_miss(solve) < 2e-3


def test_a_constant_lens_is_the_clips_own(footage: Path) -> None:
    solve = solve_of(footage)
    lens = clip_lens.fit(solve)
    assert lens.worst_px == 0 and lens.focal_px == solve.path.focal_px[0]
    np.testing.assert_array_equal(lens.k, solve.lens.k)


def test_bad_ranges_are_markers_that_a_new_solve_replaces(footage: Path) -> None:
    scene = bpy.context.scene
    for name, frame in (("LS take 2", 1002), ("Explosion", 1004), ("LS 3 lights", 1005)):
        scene.timeline_markers.new(name, frame=frame)
    long = "Focal length and path cannot be told apart hére, so that neither is to be trusted."
    build.build_scene(solve_of(footage, bad=((1003, 1005, "The picture is blurred."), (1009, 1009, long))), scene)
    ours = {m.name: m.frame for m in scene.timeline_markers if m.name not in ("LS take 2", "Explosion", "LS 3 lights")}
    assert list(ours.values()) == [1003, 1005, 1009]
    assert list(ours)[:2] == ["LS 1003-1005: The picture is blurred.", "LS end 1003-1005"]
    assert list(ours)[2].startswith("LS 1009: Focal length and path") and len(list(ours)[2].encode()) <= 63
    build.build_scene(solve_of(footage, bad=((1010, 1011, "Noise."),)), scene)
    names = sorted(marker.name for marker in scene.timeline_markers)
    assert names == ["Explosion", "LS 1010-1011: Noise.", "LS 3 lights", "LS end 1010-1011", "LS take 2"]
    build.build_scene(solve_of(footage), scene)
    assert len(scene.timeline_markers) == 3


def test_markers_stand_on_scene_frames_where_numbers_are_too_large(footage: Path) -> None:
    solve = solve_of(footage, first_frame=86_400_000, bad=((86_400_002, 86_400_002, "Noise."),))
    build.build_scene(solve, bpy.context.scene)
    assert [(m.frame, m.name) for m in bpy.context.scene.timeline_markers] == [(3, "LS 86400002: Noise.")]


def test_a_range_of_a_sequence_keeps_its_place_in_the_clip_and_its_camera(footage: Path) -> None:
    """The artist's clip shows the whole sequence; some of its frames are solved, then all of them."""
    scene = bpy.context.scene
    clip = bpy.data.movieclips.load(str(footage / "frame.1001.png"))
    part = make_solve(solver_types, lens_module, first_file=str(footage / "frame.1005.png"), first_frame=1005, frames=4)
    build.build_scene(part, scene, clip)
    assert (scene.frame_start, scene.frame_end, clip.frame_start) == (1005, 1008, 1001)
    track = clip.tracking.tracks[0]
    assert min(marker.frame for marker in track.markers if not marker.mute) >= 5
    camera = scene.camera
    build.build_scene(solve_of(footage), scene, clip)
    assert scene.camera == camera and len(bpy.data.cameras) == 1 and clip.frame_start == 1001


def test_a_range_of_a_video_starts_its_clip_at_the_first_frame(footage: Path) -> None:
    part = make_solve(
        solver_types,
        lens_module,
        first_file=str(footage / "frame.1001.png"),
        first_frame=5,
        frames=4,
        is_sequence=False,
    )
    build.build_scene(part, bpy.context.scene)
    clip = bpy.context.scene.active_clip
    assert clip.frame_start == 1 and bpy.context.scene.frame_start == 5
    assert min(m.frame for m in clip.tracking.tracks[0].markers if not m.mute) >= 5
