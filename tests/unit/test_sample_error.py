"""The comparison with truth knows its own zero, and a known error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import sample_error


def rotation_about(axis: str, angle: float) -> np.ndarray:
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    matrix = np.eye(3)
    matrix[j, j] = matrix[k, k] = np.cos(angle)
    matrix[k, j], matrix[j, k] = np.sin(angle), -np.sin(angle)
    return matrix


def truth_and_record(frames: int = 8) -> tuple[dict[str, Any], dict[str, Any]]:
    """A true path and the same path seen in a world that is turned, moved and half as large."""
    true_frames, found_frames = [], []
    turn, shift, scale = rotation_about("z", 0.7) @ rotation_about("x", -0.4), np.array([3.0, -1.0, 2.0]), 0.5
    for i in range(frames):
        world_from_cam = np.eye(4)
        world_from_cam[:3, :3] = rotation_about("z", 0.1 * i) @ rotation_about("x", 1.2 + 0.02 * i)
        world_from_cam[:3, 3] = 0.3 * i, np.sin(0.5 * i), 1.5 + 0.05 * i * i
        true_frames.append({"frame": i + 1, "focal_px": 800.0, "matrix_world": world_from_cam.tolist()})
        cam_from_world = np.eye(4)
        cam_from_world[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ world_from_cam[:3, :3].T @ turn.T
        cam_from_world[:3, 3] = -cam_from_world[:3, :3] @ (scale * turn @ world_from_cam[:3, 3] + shift)
        found_frames.append(
            {"frame": i + 1, "solved": True, "focal_px": 800.0, "cam_from_world": cam_from_world.tolist()}
        )
    distortion = {"k1": -0.05, "k2": 0.01}
    return {"frames": true_frames, "distortion": distortion}, {"frames": found_frames, "lens": dict(distortion)}


def test_a_perfect_solve_has_no_error() -> None:
    truth, record = truth_and_record()
    found = sample_error.errors(record, truth)
    assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-5)


def test_known_errors_are_found() -> None:
    truth, record = truth_and_record()
    for frame in record["frames"]:
        frame["focal_px"] *= 1.02
    tilt = np.eye(4)
    tilt[:3, :3] = rotation_about("y", np.deg2rad(0.5))
    # About the camera's own centre: the path stays as it is.
    for frame in record["frames"]:
        frame["cam_from_world"] = (tilt @ np.array(frame["cam_from_world"])).tolist()
    record["frames"].pop()
    record["lens"]["k1"] += 0.004
    found = sample_error.errors(record, truth)
    assert found["focal_percent"] == pytest.approx(2.0)
    assert found["rotation_deg"] == pytest.approx(0.5, rel=1e-6)
    assert found["path_percent"] == pytest.approx(0.0, abs=1e-8)
    assert found["k1"] == pytest.approx(0.004)
    assert found["frames_missing"] == 1


def test_too_few_frames_are_refused() -> None:
    truth, record = truth_and_record(2)
    with pytest.raises(ValueError, match="found 2"):
        sample_error.errors(record, truth)
