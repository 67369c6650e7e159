"""Solve Lens and Choose Footage through `bpy.ops`, in place; the modal path is tested in a window (tests/gui)."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from lens_solver.operators import build, job
from lens_solver.operators.build import keys
from lens_solver.operators.footage import first_frame
from lens_solver.solver import errors
from lens_solver.solver import lens as lens_module
from lens_solver.solver import types as solver_types
from stand_in import StandIn
from synthetic_solve import make_solve

pytestmark = pytest.mark.usefixtures("addon")


def camera_curves(camera: Any) -> np.ndarray:
    """Every key of the camera, one curve a row."""
    rows = []
    for block in (camera, camera.data):
        for curve in keys.animation_curves(block):
            co = np.empty(2 * len(curve.keyframe_points), dtype=np.float32)
            curve.keyframe_points.foreach_get("co", co)
            rows.append(co)
    assert len(rows) == 8
    return np.array(rows)


def names_of_everything() -> dict[str, list[str]]:
    kinds = ("scenes", "objects", "cameras", "meshes", "actions", "collections", "movieclips")
    return {kind: [block.name for block in getattr(bpy.data, kind)] for kind in kinds}


def test_the_button_builds_what_the_solver_found(solver: StandIn, footage: Path) -> None:
    bpy.ops.lens_solver.choose_footage(filepath=str(footage / "frame.1005.png"))
    scene = bpy.context.scene
    scene.lens_solver.sensor = "SUPER_35"
    assert bpy.ops.lens_solver.solve_camera() == {"FINISHED"}
    assert solver.options[0].sensor_width_mm == pytest.approx(24.89)
    through_operator = camera_curves(scene.camera)

    other = bpy.data.scenes.new("direct")
    first_file = str(footage / "frame.1001.png")
    solve = make_solve(solver_types, lens_module, name=footage.name, first_file=first_file)
    build.build_scene(solve, other)
    np.testing.assert_array_equal(through_operator, camera_curves(other.camera))

    result = scene.lens_solver.result
    assert result.status == "SOLVED" and result.shot == footage.name
    assert result.focal_mm == pytest.approx(32.4) and result.equivalent_mm == pytest.approx(32.4)
    assert (result.frames_solved, result.frames_total) == (12, 12)
    assert result.confidence == pytest.approx(0.9) and result.error_px == pytest.approx(0.21)
    assert scene.lens_solver.clip == scene.active_clip


def test_solving_again_updates(solver: StandIn, footage: Path) -> None:
    bpy.ops.lens_solver.choose_footage(filepath=str(footage))
    bpy.ops.lens_solver.solve_camera()
    before = names_of_everything()
    solver.changes = {"unsolved": (1003,)}
    bpy.ops.lens_solver.solve_camera()
    assert names_of_everything() == before
    assert bpy.context.scene.lens_solver.result.frames_solved == 11


def test_a_failure_is_told_and_changes_nothing(solver: StandIn, footage: Path) -> None:
    bpy.ops.lens_solver.choose_footage(filepath=str(footage))
    before = names_of_everything()
    solver.error = errors.TooFewTracks("Only 3 points can be followed, 40 are needed.", found=3, needed=40)
    with pytest.raises(RuntimeError, match="Only 3 points can be followed"):
        bpy.ops.lens_solver.solve_camera()
    settings = bpy.context.scene.lens_solver
    assert names_of_everything() == before and settings.result.status == "NONE"
    assert settings.failure == "Only 3 points can be followed, 40 are needed." and not settings.is_solving
    solver.error = None
    bpy.ops.lens_solver.solve_camera()
    assert settings.failure == ""


def test_an_unexpected_error_is_not_shown_raw(solver: StandIn, footage: Path, caplog: pytest.LogCaptureFixture) -> None:
    bpy.ops.lens_solver.choose_footage(filepath=str(footage))
    solver.error = ZeroDivisionError("boom")
    with pytest.raises(RuntimeError, match="Internal error, see the console"):
        bpy.ops.lens_solver.solve_camera()
    assert "boom" in caplog.text


def test_being_cancelled_is_no_error(solver: StandIn, footage: Path) -> None:
    bpy.ops.lens_solver.choose_footage(filepath=str(footage))
    solver.error = errors.Cancelled()  # type: ignore[assignment]
    before = names_of_everything()
    assert bpy.ops.lens_solver.solve_camera() == {"CANCELLED"}
    assert names_of_everything() == before


@pytest.mark.usefixtures("solver")
def test_missing_footage_is_asked_for() -> None:
    with pytest.raises(RuntimeError, match="Choose the footage first"):
        bpy.ops.lens_solver.solve_camera()
    with pytest.raises(RuntimeError, match="Nothing is being solved"):
        bpy.ops.lens_solver.cancel_solve()


@pytest.mark.usefixtures("solver")
def test_the_scenes_clip_is_solved_where_none_is_chosen(footage: Path) -> None:
    bpy.context.scene.active_clip = bpy.data.movieclips.load(str(footage / "frame.1001.png"))
    assert bpy.ops.lens_solver.solve_camera() == {"FINISHED"}
    assert len(bpy.data.movieclips) == 1


@pytest.mark.usefixtures("solver")
def test_a_clip_that_starts_later_keeps_its_frames_in_place(footage: Path) -> None:
    clip = bpy.data.movieclips.load(str(footage / "frame.1004.png"))
    bpy.context.scene.lens_solver.clip = clip
    bpy.ops.lens_solver.solve_camera()
    assert clip.frame_start == 1004
    track = next(t for t in clip.tracking.tracks if not t.markers[0].mute)
    assert next(marker.frame for marker in track.markers if not marker.mute) == 1


@pytest.mark.parametrize("chosen", ["", "frame.1007.png"])
def test_a_folder_and_any_frame_stand_for_the_sequence(footage: Path, chosen: str) -> None:
    bpy.ops.lens_solver.choose_footage(filepath=str(footage / chosen))
    assert Path(bpy.context.scene.lens_solver.clip.filepath).name == "frame.1001.png"
    bpy.ops.lens_solver.choose_footage(filepath=str(footage))
    assert len(bpy.data.movieclips) == 1


def test_what_is_no_footage_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="does not exist"):
        bpy.ops.lens_solver.choose_footage(filepath=str(tmp_path / "none.mp4"))
    with pytest.raises(RuntimeError, match="holds no pictures"):
        bpy.ops.lens_solver.choose_footage(filepath=str(tmp_path))
    assert bpy.context.scene.lens_solver.clip is None


def test_first_frame_keeps_to_its_own_sequence(tmp_path: Path) -> None:
    for name in ("a.0009.exr", "a.0010.exr", "a.10.exr", "b.0001.exr", "a.0010.png", "still.exr"):
        (tmp_path / name).write_text("")
    assert first_frame(tmp_path / "a.0010.exr").name == "a.0009.exr"
    assert first_frame(tmp_path / "still.exr").name == "still.exr"
    (tmp_path / "c9.png").write_text("")
    (tmp_path / "c10.png").write_text("")
    assert first_frame(tmp_path / "c10.png").name == "c9.png"


def test_a_worker_stops_at_its_next_report() -> None:
    reached = threading.Event()

    def work(progress: Any) -> None:
        for i in range(10_000):
            progress(i / 10_000, "Tracking")
            reached.set()
            time.sleep(0.001)

    worker = job.Worker(work)
    worker.start()
    assert reached.wait(5)
    worker.request_stop()
    worker.join()
    assert worker.done and isinstance(worker.error, errors.Cancelled)


def test_disabling_stops_the_work() -> None:
    reached = threading.Event()

    def work(progress: Any) -> None:
        while True:
            progress(0.5, "Tracking")
            reached.set()
            time.sleep(0.001)

    worker = job.Worker(work)
    job._workers[bpy.context.scene.session_uid] = worker
    worker.start()
    assert reached.wait(5)
    job.stop_all()
    assert worker.done and not job._workers
