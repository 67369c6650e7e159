"""Points from known cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.bundle.residuals import State
from solver.geometry.resect import refine_points
from solver.geometry.rotation import rotation_matrix
from solver.geometry.triangulate import triangulate
from solver.lens import BrownConradyLens
from tests.synthetic import MOTIONS, Scene, make_scene

Array = NDArray[np.float64]


def rays_of(scene: Scene, xy: Array) -> Array:
    lens = BrownConradyLens(size=scene.size, principal_point=scene.lens[1:3], k=scene.lens[3:])
    return np.asarray(lens.undistort((xy - scene.lens[1:3]) / scene.lens[0]))


def triangulated(scene: Scene, xy: Array) -> Array:
    tracks = scene.tracks
    return triangulate(scene.R, scene.t, rays_of(scene, xy), tracks.frame, tracks.track, tracks.n_tracks)


@pytest.mark.parametrize("motion", [name for name in MOTIONS if name != "pan"])
def test_exact_rays_give_exact_points(motion: str) -> None:
    scene = make_scene(motion, n_points=120, k1=-0.1, rng=np.random.default_rng(1))
    X = triangulated(scene, scene.true_xy)
    assert np.allclose(np.linalg.norm(X, axis=1), 1)
    assert np.allclose(X[:, :3] / X[:, 3:], scene.points, rtol=1e-5, atol=1e-5)
    assert (X[:, 3] > 0).all()


def test_noise_moves_points_as_far_as_parallax_allows() -> None:
    scene = make_scene("orbit", n_points=200, noise_px=0.3, rng=np.random.default_rng(2))
    X = triangulated(scene, scene.tracks.xy)
    error = np.linalg.norm(X[:, :3] / X[:, 3:] - scene.points, axis=1)
    # 0.3 px at 9 m and 900 px is 3 mm across; along the ray some times that, over a long track again less
    assert 0.0005 < np.median(error) < 0.01


def test_refining_lowers_the_error_of_points_with_outliers() -> None:
    scene = make_scene("orbit", n_points=150, noise_px=0.2, outlier_share=0.1, rng=np.random.default_rng(3))
    observations = scene.observations()
    X = triangulated(scene, scene.tracks.xy)
    start = State(R=scene.R, t=scene.t, X=X, lens=scene.state().lens)
    refined = refine_points(start, observations, np.arange(len(X)), iterations=20)

    def error(state: State) -> float:
        return float(np.percentile(np.linalg.norm(state.X[:, :3] / state.X[:, 3:] - scene.points, axis=1), 75))

    assert error(refined) < 0.2 * error(start) and error(refined) < 0.03
    assert np.array_equal(refined.R, start.R) and np.array_equal(refined.lens, start.lens)


def test_refining_some_points_leaves_the_others() -> None:
    scene = make_scene("dolly", n_points=80, noise_px=0.2, rng=np.random.default_rng(4))
    start = State(R=scene.R, t=scene.t, X=triangulated(scene, scene.tracks.xy), lens=scene.state().lens)
    which = np.arange(0, len(start.X), 3)
    observations = scene.observations()
    refined = refine_points(start, observations.select(np.isin(observations.point, which)), which)
    changed = np.flatnonzero((refined.X != start.X).any(axis=1))
    assert set(changed) <= set(which) and len(changed) > len(which) / 2


def test_parallel_rays_meet_at_infinity() -> None:
    scene = make_scene("dolly", n_points=1, rng=np.random.default_rng(5))
    direction = np.array([0.1, -0.05, 1.0])
    cam = scene.R @ direction
    n = len(scene.R)
    X = triangulate(scene.R, scene.t, cam[:, :2] / cam[:, 2:], np.arange(n), np.zeros(n, np.int64), 1)
    assert np.allclose(X[0, :3], direction / np.linalg.norm(direction), atol=1e-9) and abs(X[0, 3]) < 1e-9


def test_a_point_without_rays_does_not_disturb_the_others() -> None:
    scene = make_scene("orbit", n_points=40, noise_px=0.0, rng=np.random.default_rng(6))
    tracks = scene.tracks
    with_gap = np.where(tracks.track >= 7, tracks.track + 1, tracks.track)
    X = triangulate(scene.R, scene.t, rays_of(scene, tracks.xy), tracks.frame, with_gap, tracks.n_tracks + 1)
    rest = np.delete(X, 7, axis=0)
    assert np.isfinite(X).all() and np.allclose(rest[:, :3] / rest[:, 3:], scene.points, rtol=1e-5, atol=1e-5)


def test_the_world_may_lie_anywhere() -> None:
    scene = make_scene("orbit", n_points=60, noise_px=0.0, rng=np.random.default_rng(7))
    Q, shift = rotation_matrix(np.array([2.0, 1.0, -0.5])), np.array([20.0, -5.0, 3.0])
    R = scene.R @ Q.T
    moved = replace(scene, R=R, t=scene.t - np.einsum("fij,j->fi", R, shift))
    X = triangulated(moved, scene.tracks.xy)
    assert np.allclose(X[:, :3] / X[:, 3:], scene.points @ Q.T + shift, rtol=1e-4, atol=1e-4)
