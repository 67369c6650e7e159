"""From a `Solve` to datablocks, compared with the solver's own lens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from lens_solver.operators import build
from lens_solver.operators.build import axes, keys
from lens_solver.operators.build import scene as scene_module
from lens_solver.solver import lens as lens_module
from lens_solver.solver import types as solver_types
from synthetic_solve import make_solve


def solve_of(footage: Path, **changes: Any) -> Any:
    return make_solve(solver_types, lens_module, first_file=str(footage / "frame.1001.png"), **changes)


def blender_pixels(scene: Any, world: np.ndarray) -> np.ndarray:
    """Pixels of world points through Blender's own camera and the clip's own distortion."""
    camera, clip = scene.camera, scene.active_clip
    width, height = scene.render.resolution_x, scene.render.resolution_y
    depsgraph = bpy.context.evaluated_depsgraph_get()
    projection = np.array(camera.calc_matrix_camera(depsgraph, x=width, y=height))
    view = np.linalg.inv(np.array(camera.matrix_world))
    clip_space = np.c_[world, np.ones(len(world))] @ (projection @ view).T
    ndc = clip_space[:, :2] / clip_space[:, 3:]
    straight = np.stack([(1 + ndc[:, 0]) / 2 * width, (1 - ndc[:, 1]) / 2 * height], axis=1)
    tracking = clip.tracking.camera
    focal = tracking.focal_length_pixels
    centre = np.array(tracking.principal_point_pixels)
    centre[1] = height - centre[1]
    xy = (straight - centre) / focal
    r2 = (xy**2).sum(axis=1, keepdims=True)
    return xy * (1 + tracking.k1 * r2 + tracking.k2 * r2**2 + tracking.k3 * r2**3) * focal + centre


@pytest.mark.parametrize(("folder", "size"), [("footage", (640, 360)), ("portrait_footage", (360, 640))])
def test_camera_and_clip_project_as_the_solver_does(
    request: pytest.FixtureRequest, folder: str, size: tuple[int, int]
) -> None:
    solve = solve_of(request.getfixturevalue(folder), size=size)
    scene = bpy.context.scene
    build.build_scene(solve, scene)
    world = np.empty(len(solve.points.track) * 3, dtype=np.float32)
    points = bpy.data.objects["Lens Solver Points"]
    points.data.vertices.foreach_get("co", world)
    assert len(world)
    for i, number in enumerate(solve.shot.frame_numbers):
        scene.frame_set(int(number))
        cam = solve.points.xyz_world @ solve.path.R_cam_from_world[i].T + solve.path.t_cam_from_world[i]
        expected = solve.lens.project(cam, solve.path.focal_px[i])
        inside = ((expected > 0) & (expected < np.array(size))).all(axis=1)
        found = blender_pixels(scene, world.reshape(-1, 3).astype(np.float64))
        np.testing.assert_allclose(found[inside], expected[inside], atol=1e-3)


def test_a_level_first_camera_looks_along_y_with_z_up(footage: Path) -> None:
    scene = bpy.context.scene
    build.build_scene(solve_of(footage), scene)
    scene.frame_set(1001)
    matrix = np.array(scene.camera.matrix_world)
    np.testing.assert_allclose(-matrix[:3, 2], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(matrix[:3, 1], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(matrix[:3, 3], 0, atol=1e-6)


def test_scene_has_the_format_of_the_footage(footage: Path) -> None:
    scene = bpy.context.scene
    build.build_scene(solve_of(footage, frame_rate=24000 / 1001), scene)
    render = scene.render
    assert (render.resolution_x, render.resolution_y, render.resolution_percentage) == (640, 360, 100)
    assert (scene.frame_start, scene.frame_end) == (1001, 1012)
    assert render.fps == 24 and render.fps_base == pytest.approx(1.001)
    clip = scene.active_clip
    assert clip.frame_start == 1001 and tuple(clip.size) == (640, 360)
    assert Path(clip.filepath).name == "frame.1001.png"
    camera = scene.camera.data
    assert camera.sensor_fit == "HORIZONTAL" and camera.sensor_width == 36
    assert clip.tracking.camera.focal_length == pytest.approx(camera.lens, rel=1e-6)
    background = camera.background_images[0]
    assert background.clip == clip and background.clip_user.use_render_undistorted


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (24.0, (24, 1.0)),
        (24000 / 1001, (24, 1.001)),
        (23.976, (24, 1.001)),
        (30000 / 1001, (30, 1.001)),
        (59.94, (60, 1.001)),
        (25.0, (25, 1.0)),
        (12.5, (12, 0.96)),
        (29.5, (30, 30 / 29.5)),
        (0.4, (1, 2.5)),
    ],
)
def test_frame_rate(rate: float, expected: tuple[int, float]) -> None:
    assert scene_module.frame_rate(rate) == pytest.approx(expected)
    assert expected[0] / expected[1] == pytest.approx(rate, rel=1e-4)


def test_frames_without_a_solve_are_breakdowns(footage: Path) -> None:
    solve = solve_of(footage, missing=(1004,), unsolved=(1006,), frames=11)
    scene = bpy.context.scene
    build.build_scene(solve, scene)
    for block, path in ((scene.camera, "location"), (scene.camera, "rotation_quaternion"), (scene.camera.data, "lens")):
        curve = keys.animation_curves(block).find(path, index=0)
        kinds = {int(point.co[0]): point.type for point in curve.keyframe_points}
        assert sorted(kinds) == [n for n in range(1001, 1013) if n != 1004]
        assert kinds.pop(1006) == "BREAKDOWN" and set(kinds.values()) == {"KEYFRAME"}
    scene.frame_set(1006)
    np.testing.assert_allclose(scene.camera.location, axes.World().points(solve.path.centre_world)[4], atol=1e-6)
    assert (scene.frame_start, scene.frame_end) == (1001, 1012)


def test_numbers_beyond_blenders_frames_start_at_one(footage: Path) -> None:
    solve = solve_of(footage, first_frame=86_400_000)
    scene = bpy.context.scene
    made = build.build_scene(solve, scene)
    assert (scene.frame_start, scene.frame_end) == (1, 12)
    assert any("86400000" in note for note in made.notes)


def test_tracks_lie_where_the_solver_saw_them(footage: Path) -> None:
    solve = solve_of(footage)
    scene = bpy.context.scene
    made = build.build_scene(solve, scene)
    tracks = [t for t in scene.active_clip.tracking.tracks if t.name.startswith("LS.")]
    assert len(tracks) == made.n_tracks == len(solve.points.track)
    kept = solve.inlier & np.isin(solve.tracks.track, solve.points.track)
    for i, track in enumerate(tracks):
        rows = np.flatnonzero(kept & (solve.tracks.track == i))
        live = [m for m in track.markers if not m.mute]
        assert [m.frame for m in live] == (solve.tracks.frame[rows] + 1).tolist()
        xy = np.array([m.co for m in live]) * (640, 360)
        np.testing.assert_allclose(np.c_[xy[:, 0], 360 - xy[:, 1]], solve.tracks.xy[rows], atol=1e-3)
        ends = {m.frame for m in track.markers if m.mute}
        assert live[-1].frame == 12 or live[-1].frame + 1 in ends
        assert live[0].frame == 1 or live[0].frame - 1 in ends
        assert all(m.search_max[0] > m.pattern_corners[2][0] > 0 for m in track.markers)


def test_too_many_tracks_keep_the_longest(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solve = solve_of(footage)
    monkeypatch.setattr(build.clip, "MOST_MARKERS", 100)
    made = build.build_scene(solve, bpy.context.scene)
    assert 0 < made.n_tracks <= 100 // 8 and made.n_tracks_left_out == len(solve.points.track) - made.n_tracks
    assert any("longest" in note for note in made.notes)


def test_a_second_build_updates_and_leaves_what_the_artist_made(footage: Path) -> None:
    scene = bpy.context.scene
    build.build_scene(solve_of(footage), scene)
    scene.camera.name = "Hero camera"
    scene.camera.data.keyframe_insert("clip_end", frame=1001)
    cube = bpy.data.objects.new("Cube", None)
    bpy.data.collections["Lens Solver synthetic"].objects.link(cube)
    cube.parent = scene.camera
    own = scene.active_clip.tracking.tracks.new(name="Artist's", frame=3)
    own.select = False
    areas = [[area.ui_type for area in window.screen.areas] for window in bpy.context.window_manager.windows]
    counts = {kind: len(getattr(bpy.data, kind)) for kind in ("objects", "cameras", "meshes", "actions", "collections")}

    again = solve_of(footage, points=45, seed=3)
    made = build.build_scene(again, scene)

    assert counts == {kind: len(getattr(bpy.data, kind)) for kind in counts}
    assert len(bpy.data.movieclips) == 1 and len(scene.camera.data.background_images) == 1
    assert made.camera == "Hero camera" and cube.parent == scene.camera
    assert keys.animation_curves(scene.camera.data).find("clip_end") is not None
    assert len(bpy.data.objects["Lens Solver Points"].data.vertices) == len(again.points.track)
    names = [track.name for track in scene.active_clip.tracking.tracks]
    assert "Artist's" in names and len(names) == made.n_tracks + 1
    own = scene.active_clip.tracking.tracks["Artist's"]
    assert not (own.select or own.hide or own.lock)
    assert areas == [[area.ui_type for area in window.screen.areas] for window in bpy.context.window_manager.windows]


def test_two_shots_of_one_name_do_not_mix(footage: Path, portrait_footage: Path) -> None:
    scene = bpy.context.scene
    first = build.build_scene(solve_of(footage, name="frame"), scene)
    second = build.build_scene(solve_of(portrait_footage, name="frame", size=(360, 640)), scene)
    assert first.camera != second.camera and first.collection != second.collection


def test_quaternions_do_not_jump() -> None:
    angle = np.linspace(0, 4 * np.pi, 50)
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros(50), np.ones(50)
    R = np.stack([c, zero, -s, zero, one, zero, s, zero, c], axis=1).reshape(-1, 3, 3)
    matrices = axes.World().camera_matrices(R, np.zeros((50, 3)))
    q = build.camera._continuous_quaternions(matrices[:, :3, :3])
    assert ((q[1:] * q[:-1]).sum(axis=1) > 0.9).all()
