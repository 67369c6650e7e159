"""Cameras between the solved ones: their deviations are those of what was not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from solver.between import Motion, interpolated, interpolation_missed
from solver.types import Solve
from tests.known_scenes import poses_of, solved
from tests.synthetic import make_scene

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

N = 120


def lost_in(n: int, *lost: range) -> Mask:
    posed = np.ones(n, dtype=bool)
    for one in lost:
        posed[one] = False
    return posed


def motion_of(turn: Array, centre: Array, log_focal: Array) -> Motion:
    """Turns (F,), radians about the camera's y axis, places (F, 3) and lenses (F,)."""
    R = Rotation.from_rotvec(np.outer(turn, [0.0, 1.0, 0.0])).as_matrix()
    return Motion(R=R, centre=centre, log_focal=log_focal)


def errors(motion: Motion, posed: Mask, times: Array) -> tuple[Array, Array]:
    """Of turn and place (F, 3) of all frames as they are interpolated."""
    R, centre = interpolated(motion.R, motion.centre, posed, times)
    return Rotation.from_matrix(motion.R @ R.transpose(0, 2, 1)).as_rotvec(), motion.centre - centre


def test_an_even_acceleration_is_missed_by_half_of_it_times_both_distances() -> None:
    times = np.arange(N, dtype=np.float64)
    acceleration = np.array([2e-3, 0.0, -1e-3])
    motion = motion_of(3e-4 * times**2 / 2, np.outer(times**2 / 2, acceleration), 1e-4 * times**2 / 2)
    lost = range(50, 57)
    found = interpolation_missed(motion, lost_in(N, lost), times)
    for i in lost:
        s, u = i - 49, 57 - i
        assert found.position[i] == pytest.approx(np.abs(acceleration) * s * u / 2, abs=1e-12)
        assert found.rotation[i] == pytest.approx([0, 3e-4 * s * u / 2, 0], abs=1e-9)
        assert found.log_focal[i] == pytest.approx(1e-4 * s * u / 2)
    rest = np.delete(np.arange(N), lost)
    assert not (found.position[rest].any() or found.rotation[rest].any() or found.log_focal[rest].any())


def test_a_gap_longer_than_the_rest_is_scaled_up() -> None:
    n = 40
    times = np.arange(n, dtype=np.float64)
    motion = motion_of(0 * times, np.outer(times**2 / 2, [1e-3, 0.0, 0.0]), 0 * times)
    lost = range(9, 31)
    found = interpolation_missed(motion, lost_in(n, lost), times).position[:, 0]
    true = np.array([1e-3 * (i - 8) * (31 - i) / 2 for i in lost])
    assert (np.abs(found[lost] / true - 1) < 0.35).all()


def test_an_end_is_missed_by_the_way_that_the_camera_goes() -> None:
    times = np.arange(N, dtype=np.float64)
    motion = motion_of(1e-3 * times, np.outer(times, [0.02, 0.0, 0.0]), 0 * times)
    found = interpolation_missed(motion, lost_in(N, range(3), range(N - 5, N)), times)
    away = np.array([3, 2, 1])
    assert found.position[:3, 0] == pytest.approx(0.02 * away) and found.rotation[:3, 1] == pytest.approx(1e-3 * away)
    assert found.position[N - 5 :, 0] == pytest.approx(0.02 * np.arange(1, 6))


def test_frames_that_the_footage_lacks_make_a_gap_longer() -> None:
    times = np.delete(np.arange(N, dtype=np.float64), np.r_[52:56])
    motion = motion_of(0 * times, np.outer(times**2 / 2, [1e-3, 0.0, 0.0]), 0 * times)
    lost = np.flatnonzero((times == 51) | (times == 56))
    posed = np.ones(len(times), dtype=bool)
    posed[lost] = False
    found = interpolation_missed(motion, posed, times)
    assert found.position[lost, 0] == pytest.approx(np.array([1 * 6, 6 * 1]) * 1e-3 / 2)


def test_a_path_of_two_frames_says_how_far_it_reaches() -> None:
    times = np.arange(6, dtype=np.float64)
    motion = motion_of(0.01 * times, np.outer(times, [0.5, 0.0, 0.0]), 0 * times)
    found = interpolation_missed(motion, lost_in(6, range(1, 5)), times)
    assert (found.position[1:5, 0] >= 2.4).all() and (found.rotation[1:5, 1] >= 0.04).all()


def shaken(rng: np.random.Generator) -> Motion:
    """A camera that is carried: smooth on the scale of some frames."""

    def smooth(columns: int) -> Array:
        return np.asarray(gaussian_filter1d(rng.standard_normal((N + 60, columns)), 6.0, axis=0)[30:-30])

    R = Rotation.from_rotvec(0.05 * smooth(3)).as_matrix()
    return Motion(R=R, centre=smooth(3) + np.outer(np.arange(N), [0.02, 0, 0]), log_focal=np.zeros(N))


def test_deviations_are_calibrated() -> None:
    """Gaps of 1 to 9 frames in carried cameras, and ends: about 95 of 100 errors within 2 deviations."""
    times = np.arange(N, dtype=np.float64)
    z, beyond = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        motion = shaken(rng)
        begin, length = int(rng.integers(30, 80)), int(rng.integers(1, 10))
        posed = lost_in(N, range(begin, begin + length), range(N - 4, N))
        turn, place = errors(motion, posed, times)
        found = interpolation_missed(motion, posed, times)
        middle, end = begin + length // 2, N - 3
        z.append(np.concatenate([turn[middle] / found.rotation[middle], place[middle] / found.position[middle]]))
        beyond.append(np.concatenate([turn[end] / found.rotation[end], place[end] / found.position[end]]))
    for sample in (np.array(z), np.array(beyond)):
        assert 0.8 < np.sqrt((sample**2).mean()) < 1.25
        assert 0.9 < (np.abs(sample) < 2).mean() < 0.98


def grows(deviation: Array, lost: range) -> bool:
    """From both neighbours to the middle, and is larger everywhere than beside the gap."""
    size = np.sqrt((deviation**2).sum(axis=1))
    middle = lost[len(lost) // 2]
    inside = (np.diff(size[lost[0] - 1 : middle + 1]) > 0).all() and (np.diff(size[middle : lost[-1] + 2]) < 0).all()
    return bool(inside and size[middle] > 3 * max(size[lost[0] - 1], size[lost[-1] + 1]))


@pytest.mark.parametrize("motion", ["handheld", "orbit", "pan"])
def test_a_solve_with_a_gap(motion: str) -> None:
    """The poses at both ends are known, so that errors are in the world's own units."""
    scene = make_scene(motion, n_frames=48, n_points=250, rng=np.random.default_rng(1))
    lost = range(20, 29)
    seen = scene.tracks.select(~np.isin(scene.tracks.frame, lost))
    poses = poses_of(scene, (0, 47)) if motion != "pan" else {}
    found: Solve = solved(replace(scene, tracks=seen), poses=poses)
    assert np.array_equal(np.flatnonzero(~found.path.solved), lost)
    path = found.path
    if motion == "pan":  # it turns evenly, and stands still
        size = path.rotation_sd[:, 1]
        assert (size[lost] >= 0.99 * min(size[19], size[29])).all() and not path.position_sd.any()
        return
    assert grows(path.position_sd, lost)
    if motion == "handheld":
        assert grows(path.rotation_sd, lost)
    off = Rotation.from_matrix(path.R_cam_from_world @ scene.R.transpose(0, 2, 1)).as_rotvec()[lost]
    away = (path.centre_world - scene.centre)[lost]
    assert (np.abs(off) < 3 * path.rotation_sd[lost]).mean() > 0.95
    assert (np.abs(away) < 3 * path.position_sd[lost]).mean() > 0.95
    # nor are they much too wide
    assert np.sqrt((path.rotation_sd[lost] ** 2).mean()) < 4 * np.sqrt((off**2).mean())
    assert np.sqrt((path.position_sd[lost] ** 2).mean()) < 4 * np.sqrt((away**2).mean())
