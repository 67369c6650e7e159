"""What is read back from the record of an earlier solve."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solver import earlier, lens, result, types
from solver.errors import InputError
from solver.known import Known, KnownValues

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blender"))

from synthetic_solve import make_solve


def written(solve: types.Solve, known: KnownValues | None = None) -> dict[str, Any]:
    return json.loads(result.record_text(result.solve_record(solve, "1", known)))


@pytest.mark.parametrize("kind", ["moving", "nodal", "static"])
def test_a_record_read_back_is_the_same_record(kind: str) -> None:
    solve = make_solve(
        types, lens, kind=kind, zoom=1.6, up_world=(0, -1, 0.1), readout=0.4, unsolved=(1004,),
        bad=((1003, 1005, "Blurred."),),
    )  # fmt: skip
    record = written(solve)
    again = earlier.earlier_solve(record)
    assert len(again.points.track) == 0 and again.tracks.n_frames == 12
    for field in ("R_cam_from_world", "t_cam_from_world", "focal_px", "distortion", "rotation_sd", "solved"):
        np.testing.assert_array_equal(getattr(again.path, field), getattr(solve.path, field))
    assert again.kind == kind and again.zooms and again.report.bad_ranges == solve.report.bad_ranges
    np.testing.assert_array_equal(again.up_world, solve.up_world)
    assert (again.readout, again.readout_sd, again.up_sd) == (0.4, 0.02, 0.004)
    repeated = written(again)
    repeated["statistics"]["points"] = record["statistics"]["points"]
    assert repeated == record


def test_a_record_of_the_first_version_is_understood() -> None:
    record = written(make_solve(types, lens))
    for key in ("kind", "zooms", "up_world", "up_sd", "readout", "readout_sd", "bad_ranges", "known"):
        del record[key]
    for frame in record["frames"]:
        del frame["distortion"]
    solve = earlier.earlier_solve(record)
    assert solve.kind == "moving" and solve.report.bad_ranges == () and solve.up_world is None
    np.testing.assert_array_equal(solve.path.distortion, np.tile(solve.lens.k, (12, 1)))


def test_a_lens_is_taken_over_with_its_deviations() -> None:
    solve = make_solve(types, lens)
    record = written(solve)
    record["lens"]["sd"] |= {"principal_x": 0.5, "principal_y": 0.25}
    known = earlier.known_lens(record, (1280, 720))
    assert known.k == (Known(value=solve.lens.k[0], deviation=0.001), None, None)
    x, y = known.principal_point
    assert (x.value, x.deviation) == (pytest.approx(2 * solve.lens.principal_point[0]), 1.0)
    assert (y.value, y.deviation) == (pytest.approx(2 * solve.lens.principal_point[1]), 0.5)
    assert known.sensor_width_mm == 36
    record["lens"]["sensor_width_source"] = "default"
    assert earlier.known_lens(record, (640, 360)).sensor_width_mm is None


def test_what_the_earlier_solve_was_told_stays_locked() -> None:
    locked = Known(value=0.015, deviation=0.0)
    record = written(make_solve(types, lens), KnownValues(k=(None, locked, Known(value=0.0, deviation=0.1))))
    assert earlier.known_lens(record, (640, 360)).k[1:] == (locked, None)


def test_a_lens_of_pictures_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="of 640x360 pixels, the footage has 640x480"):
        earlier.known_lens(written(make_solve(types, lens)), (640, 480))


def test_poses_are_those_of_solved_frames() -> None:
    solve = make_solve(types, lens, unsolved=(1006,))
    poses = earlier.known_poses(written(solve))
    assert sorted(poses) == [n for n in range(1001, 1013) if n != 1006]
    np.testing.assert_array_equal(poses[1003].R_cam_from_world, solve.path.R_cam_from_world[2])
    np.testing.assert_array_equal(poses[1003].t_cam_from_world, solve.path.t_cam_from_world[2])
    assert poses[1003].rotation_deviation == pytest.approx(1e-4)
    assert poses[1003].position_deviation == pytest.approx(1e-3)
    with pytest.raises(InputError, match="no solved frame"):
        earlier.known_poses(written(make_solve(types, lens, unsolved=tuple(range(1001, 1013)))))


@pytest.mark.parametrize("spoil", ["frames", "lens", "statistics", "cam_from_world"])
def test_an_incomplete_record_is_refused_in_one_sentence(spoil: str) -> None:
    record = written(make_solve(types, lens))
    if spoil == "cam_from_world":
        record["frames"][3][spoil] = [[1, 0], [0, 1]]
    else:
        del record[spoil]
    with pytest.raises(InputError, match=r"^a\.json is not the JSON of a shot that Lens Solver solved"):
        earlier.earlier_solve(record, "a.json")


def test_a_file_that_is_no_solved_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shot.json"
    with pytest.raises(InputError, match="cannot be read"):
        earlier.read_solved(path)
    for text in ("", "[]", '{"schema": 0}', "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match="is not the JSON of a shot"):
            earlier.read_solved(path)
    result.write_json(path, result.refusal_record("shot", "shot.mp4", ["Too dark."], "1"))
    with pytest.raises(InputError, match="could not be solved"):
        earlier.read_solved(path)
    result.write_json(path, result.solve_record(make_solve(types, lens), "1"))
    assert earlier.read_solved(path)["status"] == "solved"
