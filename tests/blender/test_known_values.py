"""What the artist knows of a shot, from the command line and YAML files to the solver's options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from lens_solver.operators import command_line
from lens_solver.solver import lens as lens_module
from lens_solver.solver import result
from lens_solver.solver import types as solver_types
from lens_solver.solver.errors import TooFewTracks
from lens_solver.solver.known import Known
from stand_in import StandIn
from synthetic_solve import make_solve


def known(value: float, deviation: float = 0.0) -> Known:
    return Known(value=value, deviation=deviation)


def run(solver: StandIn, *arguments: str) -> Any:
    """The options that reach the solver."""
    assert command_line.main([*arguments, "--force"]) == 0
    return solver.options[-1]


def record_of(folder: Path, footage: Path) -> dict[str, Any]:
    return json.loads((folder / f"{footage.name}.json").read_text())


def solved_record(path: Path, **changes: Any) -> Path:
    """The JSON of another shot."""
    result.write_json(path, result.solve_record(make_solve(solver_types, lens_module, **changes), "1"))
    return path


def test_nothing_said_is_nothing_known(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    options = run(solver, str(footage), "--output", str(tmp_path))
    assert options.known.focal_px is None and options.known.k == (None, None, None) and not options.known.poses
    assert options.known.readout is None and options.matte is None and options.sensor_width_mm is None
    assert record_of(tmp_path, footage)["known"] == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--focal", "35", "--sensor", "24"], known(35 * 640 / 24)),
        (["--focal", "35:0.5", "--sensor", "24"], known(35 * 640 / 24, 0.5 * 640 / 24)),
        (["--focal", "36"], known(640)),
        (["--focal-px", "700"], known(700)),
        (["--focal-px", "700:12.5"], known(700, 12.5)),
    ],
)
def test_a_focal_length_is_locked_or_has_a_deviation(
    solver: StandIn, footage: Path, tmp_path: Path, arguments: list[str], expected: Known
) -> None:
    options = run(solver, str(footage), "--output", str(tmp_path), *arguments)
    assert options.known.focal_px.value == pytest.approx(expected.value)
    assert options.known.focal_px.deviation == pytest.approx(expected.deviation)
    written = record_of(tmp_path, footage)
    assert written["known"]["focal_px"] == {
        "value": options.known.focal_px.value,
        "sd": options.known.focal_px.deviation,
    }
    assert written["known"]["source"] == "given"
    assumed = "--sensor" not in arguments and "--focal" in arguments
    assert any("taken as one on a sensor 36 mm wide" in note for note in written["notes"]) == assumed


def test_distortion_and_readout(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    given = [str(footage), "--output", str(tmp_path)]
    options = run(solver, *given, "--distortion", "-0.12,0.03", "--readout", "0.4:0.05")
    assert options.known.k == (known(-0.12), known(0.03), known(0.0))
    assert options.known.readout == known(0.4, 0.05)
    options = run(solver, *given, "--distortion", "-0.12,0.03,1e-3", "--readout", "off")
    assert options.known.k[2] == known(0.001) and options.known.readout == known(0.0)
    assert run(solver, *given, "--readout", "auto").known.readout is None
    assert run(solver, *given, "--readout", "-0.3").known.readout == known(-0.3)


def test_a_lens_file_brings_distortion_centre_and_sensor(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    file = solved_record(tmp_path / "grid.json", sensor_width_mm=24.0)
    given = [str(footage), "--output", str(tmp_path), "--lens-file", str(file)]
    options = run(solver, *given, "--focal", "30")
    assert options.sensor_width_mm == 24.0 and options.known.focal_px.value == pytest.approx(800)
    assert options.known.k[0] == known(-0.06, 0.001)
    options = run(solver, *given, "--distortion", "0.1,0", "--sensor", "20")
    assert options.known.k[0] == known(0.1) and options.sensor_width_mm == 20


def test_poses_are_taken_from_the_frames_of_the_same_numbers(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    file = solved_record(tmp_path / "survey.json", first_frame=1010, frames=6)
    options = run(solver, str(footage), "--output", str(tmp_path), "--poses", str(file))
    solve = make_solve(solver_types, lens_module, first_frame=1010, frames=6)
    assert sorted(options.known.poses) == [1010, 1011, 1012]
    np.testing.assert_array_equal(options.known.poses[1012].R_cam_from_world, solve.path.R_cam_from_world[2])
    assert [pose["frame"] for pose in record_of(tmp_path, footage)["known"]["poses"]] == [1010, 1011, 1012]


def test_a_matte_reaches_the_solver(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    (tmp_path / "roto").mkdir()
    given = [str(footage), "--output", str(tmp_path)]
    matte = run(solver, *given, "--matte", str(tmp_path / "roto"), "--matte-invert").matte
    assert matte.path == tmp_path / "roto" and matte.invert and not matte.alpha
    matte = run(solver, *given, "--matte", str(tmp_path / "roto" / "m.####.png")).matte
    assert matte.path.name == "m.####.png" and not matte.invert
    matte = run(solver, *given, "--matte", "alpha").matte
    assert matte.path is None and matte.alpha


def test_a_range_alone_is_read_and_solved(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    run(solver, str(footage), "--output", str(tmp_path), "--frames", "1004-1009")
    assert [frame["frame"] for frame in record_of(tmp_path, footage)["frames"]] == list(range(1004, 1010))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / f"{footage.name}.blend"))
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1004, 1009)


def test_other_values_are_another_solve(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    file = solved_record(tmp_path / "grid.json")
    calls = [
        ["--focal", "35"], ["--focal", "35:1"], ["--lens-file", str(file)], ["--readout", "off"], ["--matte", "alpha"],
        ["--frames", "1001-1008"], [],
    ]  # fmt: skip
    for count, arguments in enumerate(calls, start=1):
        for _ in range(2):
            assert command_line.main([str(footage), "--output", str(tmp_path), *arguments]) == 0
            assert len(solver.calls) == count
    command_line.main([str(footage), "--output", str(tmp_path), "--lens-file", str(file)])
    solved_record(file, seed=8, points=50)
    command_line.main([str(footage), "--output", str(tmp_path), "--lens-file", str(file)])
    assert len(solver.calls) == len(calls) + 2, "a changed lens file is another lens"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--focal", "wide"], "wide is not a focal length in millimetres such as 35"),
        (["--focal", "35:"], "35: is not a focal length"),
        (["--focal", "35:-1"], "35:-1 is not a focal length"),
        (["--focal", "0"], "0 is not a focal length"),
        (["--focal", "inf"], "inf is not a focal length"),
        (["--focal-px", "nan"], "nan is not a focal length in pixels"),
        (["--focal", "35", "--focal-px", "700"], "in millimetres and in pixels: give one of them"),
        (["--distortion", "0.1"], "0.1 is not a distortion: give k1,k2 or k1,k2,k3"),
        (["--distortion", "-0.1,x"], "-0.1,x is not a distortion"),
        (["--readout", "fast"], "fast is not auto, off, or a readout time"),
        (["--readout", "9"], "9 is not auto, off, or a readout time"),
        (["--frames", "1012-1001"], "ends before it begins"),
        (["--frames", "first"], "first is not a range of frames"),
        (["--lens-file", "none.json"], "none.json, named for shot, does not exist"),
        (["--poses", "none.json"], "none.json, named for shot, does not exist"),
        (["--matte", "none"], "none, named for shot, does not exist"),
        (["--matte-invert"], "There is no matte to invert"),
        (["--resolve", "none.json"], "--resolve needs --frames"),
        (["--resolve", "none.json", "--frames", "1-2"], "none.json cannot be read"),
    ],
)
def test_wrong_values_are_one_sentence(
    solver: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_line.main(["shot", "--output", "out", *arguments]) == 2
    error = capfd.readouterr().err
    assert sentence in error and "Traceback" not in error
    assert not solver.calls and not any((tmp_path / "out").glob("*"))


def test_poses_of_several_shots_need_a_yaml_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = solved_record(tmp_path / "survey.json")
    assert command_line.main(["a", "b", "--output", str(tmp_path), "--poses", str(file)]) == 2
    assert "--poses belongs to one shot" in capfd.readouterr().err


def test_files_that_do_not_fit_the_footage_refuse_the_shot(
    solver: StandIn, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = solved_record(tmp_path / "square.json", size=(500, 500))
    late = solved_record(tmp_path / "late.json", first_frame=1)
    for arguments, sentence in (
        (["--lens-file", str(other)], "take the lens of footage with the same shape"),
        (["--poses", str(late)], "poses of frames 1 to 12, the footage has frames 1001 to 1012"),
    ):
        assert command_line.main([str(footage), "--output", str(tmp_path / "out"), *arguments]) == 1
        assert sentence in capfd.readouterr().err
    assert not solver.calls


# YAML


def yaml(folder: Path, text: str) -> str:
    path = folder / "shots.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_yaml_file_names_shots_and_what_is_known_of_each(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    (tmp_path / "plate").symlink_to(footage, target_is_directory=True)
    (tmp_path / "roto").mkdir()
    solved_record(tmp_path / "grid.json", sensor_width_mm=24.0)
    file = yaml(
        tmp_path,
        """
shots:
  - name: sh010
    footage: plate
    sensor: 24.89
    focal: 35:0.5
    distortion: [-0.1, 0.02]
    readout: off
  - name: Größe 2
    footage: plate
    focal_px: 700
    lens_file: grid.json
    matte: roto
    matte_invert: true
    frames: 1003-1006
  - {name: sh030, footage: plate, readout: 0.4, distortion: "-0.1,0.02,0.003"}
""",
    )
    output = tmp_path / "out"
    assert command_line.main([file, "--output", str(output), "--sensor", "30", "--focal", "50"]) == 0
    assert sorted(path.name for path in output.glob("*.blend")) == ["Größe 2.blend", "sh010.blend", "sh030.blend"]
    first, second, third = solver.options
    assert first.sensor_width_mm == 24.89 and first.known.focal_px.value == pytest.approx(35 * 640 / 24.89)
    assert first.known.k == (known(-0.1), known(0.02), known(0.0)) and first.known.readout == known(0.0)
    assert second.known.focal_px == known(700) and second.known.k[0] == known(-0.06, 0.001)
    assert second.matte.path == tmp_path / "roto" and second.matte.invert and second.sensor_width_mm == 30
    assert third.known.focal_px.value == pytest.approx(50 * 640 / 30) and third.known.readout == known(0.4)
    assert third.known.k[2] == known(0.003)
    record = json.loads((output / "Größe 2.json").read_text())
    assert [frame["frame"] for frame in record["frames"]] == [1003, 1004, 1005, 1006]
    assert record["shot"]["name"] == "Größe 2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("shots: [", "is not YAML"),
        ("[]", "has no list named shots"),
        ("shots: plate", "has no list named shots"),
        ("shots: []", "has no list named shots"),
        ("shots: [plate]", "shot 1: it is no mapping"),
        ("shots: [{name: a}]", "shot a: it needs a footage"),
        ("shots: [{footage: a}]", "shot 1: it needs a name"),
        ("shots: [{name: a/b, footage: a}]", "cannot hold a folder"),
        ("shots: [{name: a, footage: a, lense: 3}]", "shot a: lense is not known here; there are distortion, focal,"),
        ("shots: [{name: a, footage: a, focal: wide}]", "shot a: wide is not a focal length"),
        ("shots: [{name: a, footage: a, sensor: [1]}]", "shot a: [1] is not a sensor width"),
        ("shots: [{name: a, footage: a, focal: 3, focal_px: 3}]", "give one of them"),
        ("shots: [{name: a, footage: a, matte_invert: true}]", "shot a: there is no matte to invert"),
        ("shots: [{name: a, footage: a, matte: m, matte_invert: 3}]", "3 is neither true nor false"),
        ("shots: [{name: a, footage: a, lens_file: none.json}]", "none.json, named for a, does not exist"),
        ("shots: [{name: a, footage: a}, {name: a, footage: b}]", "would be written as a"),
        ("shots: [{name: a, footage: a}, {name: a, footage: a, focal: 3}]", "solved in two ways as a"),
    ],
)
def test_a_wrong_yaml_file_is_one_sentence(
    solver: StandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    assert command_line.main([yaml(tmp_path, text), "--output", str(tmp_path / "out")]) == 2
    error = capfd.readouterr().err
    assert sentence in error and error.count("\n") == 1 and error.rstrip().endswith((".", ")"))
    assert not solver.calls and not (tmp_path / "out").exists()


# One range again


def test_a_range_is_solved_again_beside_the_earlier_solve(solver: StandIn, footage: Path, tmp_path: Path) -> None:
    solver.changes = {"zoom": 1.5, "unsolved": (1004,)}
    command_line.main([str(footage), "--output", str(tmp_path)])
    file = tmp_path / f"{footage.name}.json"
    solver.changes = {"zoom": 1.5}
    assert command_line.main(["--resolve", str(file), "--frames", "1003-1006", "--readout", "off"]) == 0
    options = solver.options[-1]
    assert options.frames == (1003, 1006) and options.known.readout == known(0.0)
    assert options.earlier.path.solved.sum() == 11 and options.earlier.zooms
    assert json.loads(file.read_text())["statistics"]["frames_solved"] == 12
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".blend", ".json", ".png"]


def test_the_footage_of_an_earlier_solve_may_have_moved(
    solver: StandIn, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = solved_record(tmp_path / "moved.json", first_file=str(tmp_path / "gone" / "frame.1001.png"))
    again = ["--resolve", str(file), "--frames", "1003-1006"]
    assert command_line.main(again) == 2
    assert "The footage of" in capfd.readouterr().err and not solver.calls
    assert command_line.main([str(footage), *again]) == 0
    assert (tmp_path / "moved.blend").exists() and solver.options[-1].frames == (1003, 1006)


def test_a_range_that_cannot_be_solved_again_keeps_the_earlier_solve(
    solver: StandIn, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command_line.main([str(footage), "--output", str(tmp_path)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    solver.error = TooFewTracks("Only 3 points can be followed, 40 are needed.", found=3, needed=40)
    file = tmp_path / f"{footage.name}.json"
    assert command_line.main([str(footage), "--resolve", str(file), "--frames", "1003-1006"]) == 1
    assert "not solved again, the earlier solve is kept. Only 3 points" in capfd.readouterr().err
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
