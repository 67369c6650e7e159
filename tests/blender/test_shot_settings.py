"""What the artist chooses in the panel, and ranges that are shown and solved again."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from lens_solver.operators import settings
from lens_solver.operators.footage import first_number
from lens_solver.operators.mask_outlines import mask_outlines
from lens_solver.solver import lens as lens_module
from lens_solver.solver import result
from lens_solver.solver import types as solver_types
from lens_solver.solver.errors import InputError
from lens_solver.solver.known import Known
from stand_in import StandIn
from synthetic_solve import make_solve

pytestmark = pytest.mark.usefixtures("addon")

BAD = ((1003, 1005, "The picture is blurred."), (1009, 1009, "Noise."))


@pytest.fixture
def chosen(addon: ModuleType, footage: Path) -> Any:
    """The scene's settings, with the footage chosen."""
    assert addon is not None
    bpy.ops.lens_solver.choose_footage(filepath=str(footage))
    return bpy.context.scene.lens_solver


def solve(solver: StandIn) -> Any:
    """The options that the button hands to the solver."""
    assert bpy.ops.lens_solver.solve_camera() == {"FINISHED"}
    return solver.options[-1]


def test_nothing_is_said_by_default(solver: StandIn, chosen: Any) -> None:
    options = solve(solver)
    assert options.known.focal_px is None and options.known.k == (None, None, None) and options.known.readout is None
    assert options.matte is None and options.earlier is None and chosen.result.frames_total == 12


def test_a_focal_length_is_locked_or_has_a_deviation(solver: StandIn, chosen: Any) -> None:
    chosen.sensor, chosen.sensor_width_mm = "CUSTOM", 24.0
    chosen.use_focal, chosen.focal_mm, chosen.focal_sd_mm = True, 30.0, 1.5
    assert solve(solver).known.focal_px == Known(value=800.0, deviation=0.0)
    chosen.focal_lock = False
    assert solve(solver).known.focal_px == Known(value=800.0, deviation=40.0)
    chosen.use_focal = False
    assert solve(solver).known.focal_px is None


def test_rolling_shutter(solver: StandIn, chosen: Any) -> None:
    chosen.rolling_shutter = "OFF"
    assert solve(solver).known.readout == Known(value=0.0, deviation=0.0)
    chosen.rolling_shutter, chosen.readout = "VALUE", 0.25
    assert solve(solver).known.readout == Known(value=0.25, deviation=0.0)


def test_a_lens_file(solver: StandIn, chosen: Any, tmp_path: Path) -> None:
    file = tmp_path / "grid.json"
    result.write_json(file, result.solve_record(make_solve(solver_types, lens_module, sensor_width_mm=24.0), "1"))
    chosen.lens_file = str(file)
    options = solve(solver)
    assert options.sensor_width_mm == 24.0 and options.known.k[0] == Known(value=-0.06, deviation=0.001)
    file.write_text("no lens")
    with pytest.raises(RuntimeError, match="is not the JSON of a shot that Lens Solver solved"):
        solve(solver)
    assert "is not the JSON" in chosen.failure


def test_frames(solver: StandIn, chosen: Any) -> None:
    chosen.frame_first, chosen.frame_last = 1004, 1008
    solve(solver)
    assert chosen.result.frames_total == 12
    chosen.use_frames = True
    solve(solver)
    scene = bpy.context.scene
    assert chosen.result.frames_total == 5 and (scene.frame_start, scene.frame_end) == (1004, 1008)
    assert len(bpy.data.cameras) == 1 and scene.active_clip.frame_start == 1001


def test_mattes_of_pictures_and_of_the_footage_itself(solver: StandIn, chosen: Any, tmp_path: Path) -> None:
    chosen.matte = "FILE"
    with pytest.raises(RuntimeError, match="No matte is chosen"):
        solve(solver)
    chosen.matte_path, chosen.matte_invert = str(tmp_path), True
    matte = solve(solver).matte
    assert matte.path == tmp_path and matte.invert
    chosen.matte, chosen.matte_invert = "ALPHA", False
    matte = solve(solver).matte
    assert matte.alpha and not matte.invert


# Masks


def square_mask(left: float = 0.25, right: float = 0.5, bottom: float = 0.5, top: float = 0.625) -> Any:
    mask = bpy.data.masks.new("Actor")
    spline = mask.layers.new(name="Body").splines.new()
    spline.points.add(3)  # beside the one that it has
    for point, co in zip(spline.points, [(left, bottom), (right, bottom), (right, top), (left, top)], strict=True):
        point.handle_type = "VECTOR"
        point.co = co
    spline.use_cyclic = True
    return mask


def test_a_mask_reaches_the_solver_as_pixels(solver: StandIn, chosen: Any) -> None:
    chosen.matte = "MASK"
    with pytest.raises(RuntimeError, match="No mask is chosen"):
        solve(solver)
    chosen.matte_mask = square_mask()
    scenes = len(bpy.data.scenes)
    excluded = solve(solver).matte.excluded(0, 1007)
    assert len(bpy.data.scenes) == scenes
    rows, columns = np.flatnonzero(excluded.any(axis=1)), np.flatnonzero(excluded.any(axis=0))
    # the larger side is 1, and the picture is in the middle of that square: from 0.21875 to 0.78125 in y
    assert (columns[0], columns[-1] + 1) == pytest.approx((160, 320), abs=1)
    assert (rows[0], rows[-1] + 1) == pytest.approx((360 - (0.625 - 0.21875) * 640, 360 - (0.5 - 0.21875) * 640), abs=1)
    assert excluded[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    chosen.matte_invert = True
    assert (solve(solver).matte.excluded(0, 1007) == ~excluded).all()


def keyed(mask: Any, clip: Any) -> None:
    """Insert a shape key of the mask at the current frame, as the clip editor does."""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.ui_type = "CLIP_EDITOR"
    space = area.spaces.active
    space.clip, space.mode, space.mask = clip, "MASK", mask
    region = next(region for region in area.regions if region.type == "WINDOW")
    for point in mask.layers[0].splines[0].points:
        point.select = True  # Blender keys the layers with something selected
    with bpy.context.temp_override(window=window, area=area, region=region, space_data=space):
        assert bpy.ops.mask.shape_key_insert() == {"FINISHED"}


def test_an_animated_mask_is_read_in_every_frame_of_the_clip(chosen: Any) -> None:
    clip, mask = chosen.clip, square_mask()
    clip.frame_start = 5
    bpy.context.scene.frame_set(5)
    keyed(mask, clip)
    bpy.context.scene.frame_set(16)
    for point in mask.layers[0].splines[0].points:
        point.co[0] += 0.11
    keyed(mask, clip)
    bpy.context.scene.frame_set(9)
    outlines = mask_outlines(mask, clip, first_number(clip))
    assert sorted(outlines) == list(range(1001, 1013)) and bpy.context.scene.frame_current == 9
    left = [outlines[number][0][:, 0].min() for number in sorted(outlines)]
    np.testing.assert_allclose(left, 0.25 + 0.01 * np.arange(12), atol=1e-4)


def test_a_round_mask_follows_its_curve(chosen: Any) -> None:
    mask = bpy.data.masks.new("Wheel")
    spline = mask.layers.new(name="Wheel").splines.new()
    spline.points.add(3)
    kappa = 4 / 3 * np.tan(np.pi / 8) * 0.1
    for i, point in enumerate(spline.points):
        angle = i * np.pi / 2
        out, along = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        point.handle_type = "FREE"
        corner = 0.5 + 0.1 * out
        point.co, point.handle_left, point.handle_right = corner, corner - kappa * along, corner + kappa * along
    spline.use_cyclic = True
    outline = mask_outlines(mask, chosen.clip, 1001)[1001][0]
    radius = np.linalg.norm((outline - 0.5) * [1.0, 360 / 640], axis=1)
    np.testing.assert_allclose(radius, 0.1, rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda mask: setattr(mask.layers[0], "invert", True), "is inverted or takes away"),
        (lambda mask: setattr(mask.layers[0], "blend", "SUBTRACT"), "is inverted or takes away"),
        (lambda mask: setattr(mask.layers[0], "hide_render", True), "has no closed outline"),
        (lambda mask: setattr(mask.layers[0].splines[0], "use_cyclic", False), "has no closed outline"),
    ],
)
def test_a_mask_that_outlines_cannot_say_is_refused(chosen: Any, change: Any, sentence: str) -> None:
    mask = square_mask()
    change(mask)
    with pytest.raises(InputError, match=sentence):
        mask_outlines(mask, chosen.clip, 1001)


def test_a_mask_that_follows_a_track_is_refused(chosen: Any) -> None:
    mask = square_mask()
    parent = mask.layers[0].splines[0].points[0].parent
    parent.id, parent.parent = chosen.clip, "Track"
    with pytest.raises(InputError, match="follow a track"):
        mask_outlines(mask, chosen.clip, 1001)


# Results and ranges


def test_the_result_tells_the_kind_of_shot_and_what_not_to_trust(solver: StandIn, chosen: Any) -> None:
    solver.changes = {"kind": "nodal", "zoom": 1.5, "bad": BAD, "up_world": (0, -1, 0), "readout": 0.3}
    solve(solver)
    found = chosen.result
    assert found.kind == "Tripod zoom 32-49 mm, no depth" and found.status == "WARNINGS" and found.is_upright
    assert found.readout == pytest.approx(0.3) and found.readout_sd == pytest.approx(0.02)
    assert [(bad.first, bad.last, bad.reason) for bad in found.bad_ranges] == list(BAD)
    assert found.focal_longest_mm == pytest.approx(1.5 * found.focal_mm)
    record = json.loads(found.record.as_string())
    assert record["kind"] == "nodal" and len(record["frames"]) == 12
    solver.changes = {}
    solve(solver)
    assert not found.bad_ranges and found.kind == "Moving camera" and len(bpy.data.texts) == 1
    assert json.loads(found.record.as_string())["kind"] == "moving"


def test_a_static_shot_and_a_still_have_a_result(solver: StandIn, chosen: Any) -> None:
    solver.changes = {"kind": "static"}
    solve(solver)
    assert chosen.result.kind == "Static camera, no depth"
    solver.changes = {"kind": "static", "frames": 1}
    solve(solver)
    assert chosen.result.kind == "Still, no depth" and chosen.result.frames_total == 1


@pytest.mark.usefixtures("chosen")
def test_a_range_is_shown_and_left_again(solver: StandIn) -> None:
    solver.changes = {"bad": BAD}
    solve(solver)
    scene = bpy.context.scene
    for first, last in ((1009, 1009), (1003, 1005)):
        assert bpy.ops.lens_solver.show_range(first=first, last=last) == {"FINISHED"}
        assert scene.use_preview_range and scene.frame_current == first
        assert (scene.frame_preview_start, scene.frame_preview_end) == (first, last)
    bpy.ops.lens_solver.show_range(first=1003, last=1005)
    assert not scene.use_preview_range and scene.frame_current == 1003


def test_a_range_is_solved_again(solver: StandIn, chosen: Any) -> None:
    with pytest.raises(RuntimeError, match="Solve the whole shot first"):
        bpy.ops.lens_solver.resolve_range(first=1003, last=1005)
    solver.changes = {"bad": BAD, "unsolved": (1004,)}
    solve(solver)
    camera = bpy.context.scene.camera
    solver.changes = {}
    chosen.rolling_shutter = "OFF"
    assert bpy.ops.lens_solver.resolve_range(first=1003, last=1005) == {"FINISHED"}
    options = solver.options[-1]
    assert options.frames == (1003, 1005) and options.known.readout == Known(value=0.0, deviation=0.0)
    assert options.earlier.path.solved.sum() == 11 and options.earlier.shot.name == chosen.result.shot
    assert chosen.result.frames_solved == 12 and not chosen.result.bad_ranges
    assert bpy.context.scene.camera == camera and len(bpy.data.texts) == 1


def test_a_range_of_what_is_gone_is_not_solved_again(solver: StandIn, chosen: Any) -> None:
    solve(solver)
    with pytest.raises(RuntimeError, match="ends before it begins"):
        bpy.ops.lens_solver.resolve_range(first=1005, last=1003)
    chosen.result.record.from_string("{}")
    with pytest.raises(RuntimeError, match="is not the JSON of a shot that Lens Solver solved"):
        bpy.ops.lens_solver.resolve_range(first=1003, last=1005)
    bpy.data.movieclips.remove(chosen.clip)
    with pytest.raises(RuntimeError, match="no longer in this file"):
        bpy.ops.lens_solver.resolve_range(first=1003, last=1005)
    assert len(solver.calls) == 1


@pytest.mark.usefixtures("chosen")
def test_the_result_is_kept_in_the_file(solver: StandIn, tmp_path: Path) -> None:
    solver.changes = {"bad": BAD}
    solve(solver)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    assert len(bpy.context.scene.lens_solver.result.bad_ranges) == 2
    assert bpy.ops.lens_solver.resolve_range(first=1003, last=1005) == {"FINISHED"}
    assert solver.options[-1].earlier.report.bad_ranges[0].reason == "The picture is blurred."


@pytest.mark.parametrize(("names", "expected"), [(("a.0101.png", "a.0102.png"), 101), (("church_7.png",), 1)])
def test_the_number_of_a_clips_first_frame(tmp_path: Path, names: tuple[str, ...], expected: int) -> None:
    image = bpy.data.images.new("frame", 8, 8)
    image.file_format = "PNG"
    for name in names:
        image.save(filepath=str(tmp_path / name))
    assert first_number(bpy.data.movieclips.load(str(tmp_path / names[0]))) == expected


def test_settings_say_nothing_that_was_not_chosen(chosen: Any) -> None:
    said = settings.to_settings(chosen, chosen.clip)
    assert all(getattr(said, name) is None for name in said.__slots__)
