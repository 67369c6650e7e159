"""The command line with a stand-in for the solver: files, exit codes, sentences."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import bpy
import pytest
from lens_solver.operators import arguments, command_line
from lens_solver.solver import errors
from stand_in import StandIn


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_solved_shot_leaves_three_files(
    solver: StandIn, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main([str(footage), "--output", str(tmp_path / "out"), "--sensor", "24.89"]) == 0
    shot = footage.name
    assert names(tmp_path / "out") == [f"{shot}.blend", f"{shot}.json", f"{shot}_overlay.png"]
    assert solver.options[0].sensor_width_mm == 24.89
    printed = capfd.readouterr()
    lines = printed.out.splitlines()
    assert printed.err == ""
    assert lines[0] == f"{shot}: Tracking (10%)" and lines[1] == f"{shot}: Solving (80%)"
    assert lines[-1].startswith(f"{shot}: solved, Moving camera, 32.40 mm (576.0 px") and "12 of 12 frames" in lines[-1]
    assert [line for line in lines if not line.startswith(f"{shot}: ")] == [], "Blender's own lines stay out"
    record = json.loads((tmp_path / "out" / f"{shot}.json").read_text())
    assert record["status"] == "solved" and len(record["frames"]) == 12


@pytest.mark.usefixtures("solver")
def test_the_scene_opens_with_its_footage(footage: Path, tmp_path: Path) -> None:
    assert command_line.main([str(footage), "--output", str(tmp_path)]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / f"{footage.name}.blend"))
    scene = bpy.context.scene
    assert bpy.path.abspath(scene.active_clip.filepath) == str(footage / "frame.1001.png")
    assert tuple(scene.active_clip.size) == (640, 360)
    assert scene.camera is not None and len(scene.objects) == 2
    assert len(bpy.data.scenes) == 1


def test_a_second_run_skips_what_is_done(
    solver: StandIn, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(footage), "--output", str(tmp_path)]
    command_line.main(arguments)
    capfd.readouterr()
    assert command_line.main(arguments) == 0 and len(solver.calls) == 1
    assert "skipped" in capfd.readouterr().out
    assert command_line.main([*arguments, "--force"]) == 0 and len(solver.calls) == 2
    assert command_line.main([*arguments, "--sensor", "20"]) == 0 and len(solver.calls) == 3
    assert command_line.main([*arguments, "--sensor", "20"]) == 0 and len(solver.calls) == 3
    (tmp_path / f"{footage.name}_overlay.png").unlink()
    assert command_line.main([*arguments, "--sensor", "20"]) == 0 and len(solver.calls) == 4
    frame = footage / "frame.1003.png"
    times = frame.stat()
    os.utime(frame, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
    assert command_line.main([*arguments, "--sensor", "20"]) == 0 and len(solver.calls) == 5


@pytest.mark.usefixtures("solver")
def test_a_scene_that_the_artist_saved_is_kept(footage: Path, tmp_path: Path) -> None:
    arguments = [str(footage), "--output", str(tmp_path), "--force"]
    command_line.main(arguments)
    command_line.main(arguments)
    blend = tmp_path / f"{footage.name}.blend"
    assert not blend.with_suffix(".blend1").exists()
    times = blend.stat()
    os.utime(blend, ns=(times.st_atime_ns, times.st_mtime_ns + 10**10))
    command_line.main(arguments)
    assert blend.exists() and blend.with_suffix(".blend1").exists()


def test_a_refused_shot_leaves_its_reason_and_no_scene(
    solver: StandIn, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command_line.main([str(footage), "--output", str(tmp_path)])
    solver.error = errors.TooFewTracks("Only 3 points can be followed, 40 are needed.", found=3, needed=40)
    capfd.readouterr()
    assert command_line.main([str(footage), "--output", str(tmp_path), "--force"]) == 1
    assert names(tmp_path) == [f"{footage.name}.json"]
    record = json.loads((tmp_path / f"{footage.name}.json").read_text())
    assert record["status"] == "refused" and record["schema"] == 1
    assert record["reasons"] == ["Only 3 points can be followed, 40 are needed."]
    error = capfd.readouterr().err
    assert error == f"{footage.name}: not solved. Only 3 points can be followed, 40 are needed.\n"


def test_an_error_of_the_program_is_one_sentence_and_a_log(
    solver: StandIn, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    solver.error = ZeroDivisionError("boom")
    assert command_line.main([str(footage), "--output", str(tmp_path)]) == 1
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err and printed.err.count("\n") == 1
    assert "Internal error, see" in printed.err
    assert "ZeroDivisionError: boom" in (tmp_path / f"{footage.name}.log").read_text()
    assert names(tmp_path) == [f"{footage.name}.json", f"{footage.name}.log"]
    solver.error = None
    assert command_line.main([str(footage), "--output", str(tmp_path)]) == 0
    assert f"{footage.name}.log" not in names(tmp_path)


@pytest.mark.usefixtures("solver")
def test_one_bad_shot_does_not_stop_the_others(footage: Path, tmp_path: Path) -> None:
    assert command_line.main([str(tmp_path / "none"), str(footage), "--output", str(tmp_path / "out")]) == 1
    assert names(tmp_path / "out") == [
        f"{footage.name}.blend",
        f"{footage.name}.json",
        f"{footage.name}_overlay.png",
        "none.json",
    ]


@pytest.mark.usefixtures("solver")
def test_names_may_hold_spaces_and_letters_of_any_language(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = tmp_path / "Größe 1 影"
    shutil.copytree(footage, shot)
    monkeypatch.chdir(tmp_path)
    assert command_line.main([shot.name, "--output", "ein Ordner"]) == 0
    assert names(tmp_path / "ein Ordner") == [f"{shot.name}.blend", f"{shot.name}.json", f"{shot.name}_overlay.png"]
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "ein Ordner" / f"{shot.name}.blend"))
    assert tuple(bpy.context.scene.active_clip.size) == (640, 360)


@pytest.mark.usefixtures("solver")
def test_two_shots_in_one_run_do_not_share_a_scene(footage: Path, portrait_footage: Path, tmp_path: Path) -> None:
    assert command_line.main([str(footage), str(portrait_footage), "--output", str(tmp_path)]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / f"{portrait_footage.name}.blend"))
    assert len(bpy.data.movieclips) == 1 and len(bpy.data.cameras) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name the footage"),
        (["shot"], "--output"),
        (["shot", "--output", "out", "--stages", "camera,roto"], "roto"),
        (["shot", "--output", "out", "--stages", "focus"], "need camera"),
        (["shot", "--output", "out", "--sensor", "wide"], "not a sensor width"),
        (["shot", "--output", "out", "--sensor", "nan"], "not a sensor width"),
        (["shot", "--output", "out", "--slate", "s.csv"], "slate"),
        (["shots.yaml", "--output", "out"], "shots.yaml cannot be read"),
        (["a/shot", "b/shot", "--output", "out"], "Both a/shot and b/shot"),
        (["shot", "--output", "file/out"], "cannot be made"),
    ],
)
def test_unusable_arguments(
    solver: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert command_line.main(arguments) == 2
    assert sentence in capfd.readouterr().err
    assert not solver.calls and not any((tmp_path / "out").glob("*"))


@pytest.mark.usefixtures("solver")
def test_stages_of_later_versions_are_left_out_with_a_word(
    footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main([str(footage), "--output", str(tmp_path), "--stages", "camera,focus,depth"]) == 0
    assert capfd.readouterr().out.splitlines()[0] == "This version has only the camera stage: focus and depth left out."


@pytest.mark.parametrize(
    ("footage_argument", "name"),
    [
        ("shots/a.mp4", "a"),
        ("shots/shot.####.exr", "shot"),
        ("shots/shot_%04d.exr", "shot"),
        ("shots/####.exr", "shots"),
        ("missing", "missing"),
    ],
)
def test_name_of_what_cannot_be_opened(footage_argument: str, name: str) -> None:
    assert arguments.fallback_name(footage_argument) == name
