"""The record of a solve and the way files are written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from solver import lens, result, types
from solver.known import Known, KnownValues

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blender"))

from synthetic_solve import make_solve


def test_record_holds_what_the_contract_names() -> None:
    solve = make_solve(types, lens, missing=(1004,), unsolved=(1006,))
    record = json.loads(json.dumps(result.plain(result.solve_record(solve, "1.2.3")), allow_nan=False))
    assert record["schema"] == 1 and record["version"] == "1.2.3"
    assert record["status"] == "solved" and record["reasons"] == [] and record["scale_source"] == "none"
    assert record["shot"]["missing_frames"] == [1004]
    frames = {frame["frame"]: frame for frame in record["frames"]}
    assert 1004 not in frames and not frames[1006]["solved"] and frames[1005]["solved"]
    for frame in frames.values():
        assert {"focal_px", "focal_px_sd", "cam_from_world", "focus_distance", "fstop", "quality"} <= set(frame)
        assert np.array(frame["cam_from_world"]).shape == (4, 4)
    i = list(frames).index(1005)
    expected = np.eye(4)
    expected[:3, :3], expected[:3, 3] = solve.path.R_cam_from_world[i], solve.path.t_cam_from_world[i]
    np.testing.assert_array_equal(frames[1005]["cam_from_world"], expected)
    assert record["lens"]["k1"] == solve.lens.k[0]
    assert record["lens"]["focal_mm"] == pytest.approx(0.9 * 36)
    assert record["statistics"]["frames_solved"] == 11


def test_record_tells_the_kind_of_shot_and_what_was_known() -> None:
    solve = make_solve(
        types, lens, kind="nodal", zoom=2.0, up_world=(0, -2, 0), readout=0.3, bad=((1002, 1003, "Blurred."),)
    )
    known = KnownValues(
        focal_px=Known(value=600.0, deviation=0.0),
        focal_px_by_frame={1002: Known(value=610.0, deviation=2.0)},
        principal_point=(Known(value=320.0, deviation=1.0), Known(value=180.0, deviation=1.0)),
        k=(Known(value=-0.1, deviation=0.01), None, None),
        readout=Known(value=0.0, deviation=0.0),
        source="metadata",
    )
    record = json.loads(result.record_text(result.solve_record(solve, "1.2.3", known)))
    assert record["kind"] == "nodal" and record["zooms"] and record["up_world"] == [0, -1, 0]
    assert record["readout"] == 0.3 and record["status"] == "warnings"
    assert record["bad_ranges"] == [{"first": 1002, "last": 1003, "reason": "Blurred."}]
    assert record["frames"][11]["distortion"] == pytest.approx([-0.03, 0.0075, 0.0])
    assert record["lens"]["focal_mm_range"] == pytest.approx([32.4, 64.8])
    assert record["known"] == {
        "source": "metadata",
        "focal_px": {"value": 600.0, "sd": 0.0},
        "focal_px_by_frame": [{"frame": 1002, "value": 610.0, "sd": 2.0}],
        "principal_point_px": [{"value": 320.0, "sd": 1.0}, {"value": 180.0, "sd": 1.0}],
        "k1": {"value": -0.1, "sd": 0.01},
        "readout": {"value": 0.0, "sd": 0.0},
    }
    plain = json.loads(result.record_text(result.solve_record(make_solve(types, lens), "1")))
    assert plain["kind"] == "moving" and plain["known"] == {} and plain["up_sd"] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Moving camera"),
        ({"zoom": 2.0}, "Zoom 32-65 mm"),
        ({"kind": "nodal"}, "Tripod pan, no depth"),
        ({"kind": "nodal", "zoom": 2.0}, "Tripod zoom 32-65 mm, no depth"),
        ({"kind": "static"}, "Static camera, no depth"),
        ({"kind": "static", "frames": 1}, "Still, no depth"),
    ],
)
def test_kinds_have_words(changes: dict, words: str) -> None:
    assert result.camera_kind(make_solve(types, lens, **changes)) == words


def test_equivalent_focal_length_is_that_of_a_full_frame_sensor() -> None:
    solve = make_solve(types, lens, sensor_width_mm=18.0)
    np.testing.assert_allclose(solve.focal_mm, 0.9 * 18)
    np.testing.assert_allclose(result.equivalent_35mm(solve), 0.9 * 36)


def test_confidence_counts_unsolved_frames_as_nothing() -> None:
    assert result.confidence(make_solve(types, lens)) == pytest.approx(0.9)
    assert result.confidence(make_solve(types, lens, unsolved=(1003, 1004, 1005))) == pytest.approx(0.9 * 9 / 12)


def test_not_finite_becomes_null(tmp_path: Path) -> None:
    target = tmp_path / "shot.json"
    result.write_json(target, {"schema": 1, "a": float("nan"), "b": [np.inf, np.float32(1.5)], "c": Path("x")})
    assert json.loads(target.read_text()) == {"schema": 1, "a": None, "b": [None, 1.5], "c": "x"}
    assert result.read_json(target) is not None


def test_refusal_has_schema_status_and_reasons() -> None:
    record = result.refusal_record("shot", "shots/a.mp4", ["Too dark."], "1")
    assert (record["schema"], record["status"], record["reasons"]) == (1, "refused", ["Too dark."])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "shot.blend"
    target.write_text("old")

    def write_half() -> None:
        with result.whole_file(target) as temporary:
            assert temporary.suffix == ".blend" and temporary.parent == tmp_path
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["shot.blend"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 0}'])
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    target = tmp_path / "shot.json"
    target.write_text(text)
    assert result.read_json(target) is None
    assert result.read_json(tmp_path / "none.json") is None
