"""Poses of frames against known points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from solver.bundle.residuals import State
from solver.geometry.resect import refine_poses
from solver.geometry.rotation import rotation_matrix
from tests.synthetic import Scene, make_scene


def disturbed(scene: Scene, rng: np.random.Generator, degrees: float, metres: float) -> State:
    state = scene.state()
    turn = rotation_matrix(rng.normal(scale=np.radians(degrees), size=(len(state.R), 3)))
    return replace(state, R=turn @ state.R, t=state.t + rng.normal(scale=metres, size=state.t.shape))


def errors(scene: Scene, state: State) -> tuple[float, float]:
    """Largest error of rotation, degrees, and of position, metres."""
    turned = Rotation.from_matrix(state.R @ scene.R.transpose(0, 2, 1)).magnitude()
    centre = -np.einsum("fji,fj->fi", state.R, state.t)
    return float(np.degrees(turned.max())), float(np.linalg.norm(centre - scene.centre, axis=1).max())


@pytest.mark.parametrize("motion", ["dolly", "orbit", "handheld", "forward", "pan"])
def test_without_noise_poses_are_exact(motion: str) -> None:
    rng = np.random.default_rng(1)
    scene = make_scene(motion, n_frames=8, n_points=80, k1=-0.1, noise_px=0.0, rng=rng)
    found = refine_poses(disturbed(scene, rng, 2.0, 0.1), scene.observations(), np.arange(8), cauchy=1e4, iterations=40)
    degrees, metres = errors(scene, found)
    assert degrees < 1e-5 and metres < 1e-5


def test_noise_gives_errors_of_its_own_size() -> None:
    rng = np.random.default_rng(2)
    scene = make_scene("orbit", n_frames=20, n_points=150, noise_px=0.3, rng=rng)
    found = refine_poses(disturbed(scene, rng, 1.0, 0.05), scene.observations(), np.arange(20), iterations=20)
    degrees, metres = errors(scene, found)
    # 0.3 px over 900 px is 0.02 degrees for one point, and there are a hundred
    assert 0.001 < degrees < 0.05
    assert 0.0003 < metres < 0.02


def test_outliers_do_not_pull() -> None:
    rng = np.random.default_rng(3)
    scene = make_scene("orbit", n_frames=10, n_points=150, outlier_share=0.2, rng=rng)
    start = disturbed(scene, rng, 0.5, 0.02)
    robust = errors(scene, refine_poses(start, scene.observations(), np.arange(10), iterations=30))
    plain = errors(scene, refine_poses(start, scene.observations(), np.arange(10), cauchy=1e6, iterations=30))
    assert robust[0] < 0.05 and robust[1] < 0.02
    assert plain[0] > 3 * robust[0] and plain[1] > 3 * robust[1]


def test_only_the_named_frames_move() -> None:
    rng = np.random.default_rng(4)
    scene = make_scene("dolly", n_frames=9, n_points=80, rng=rng)
    start = disturbed(scene, rng, 1.0, 0.05)
    frames = np.array([1, 4, 8])
    observations = scene.observations()
    found = refine_poses(start, observations.select(np.isin(observations.camera, frames)), frames)
    others = np.setdiff1d(np.arange(9), frames)
    assert np.array_equal(found.R[others], start.R[others]) and np.array_equal(found.t[others], start.t[others])
    assert not np.allclose(found.t[frames], start.t[frames], atol=1e-3)
    assert np.array_equal(found.X, start.X)
    assert np.allclose(found.R @ found.R.transpose(0, 2, 1), np.eye(3), atol=1e-12)


def test_a_frame_that_cannot_be_improved_stays() -> None:
    scene = make_scene("dolly", n_frames=5, n_points=60, noise_px=0.0, rng=np.random.default_rng(5))
    found = refine_poses(scene.state(), scene.observations(), np.arange(5))
    degrees, metres = errors(scene, found)
    assert degrees < 1e-7 and metres < 1e-9
