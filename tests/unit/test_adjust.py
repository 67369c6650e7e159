"""Bundle adjustment from a wrong start to the truth."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.bundle.adjust import BundleOptions, adjust, robust_cost, robust_weight
from solver.bundle.priors import Priors
from solver.bundle.residuals import State, camera_points, residuals
from solver.errors import Cancelled
from solver.geometry.rotation import rotation_matrix
from tests.synthetic import Scene, aligned_path_error, make_scene

Array = NDArray[np.float64]


def perturbed(scene: Scene, rng: np.random.Generator, size: float = 1.0, lens: Array | None = None) -> State:
    """The truth with poses off by a degree and centimetres, points by a twentieth of their depth."""
    state = scene.state()
    X = np.concatenate(
        [
            scene.points * (1 + 0.05 * size * rng.standard_normal((len(scene.points), 1))),
            np.ones((len(scene.points), 1)),
        ],
        axis=1,
    )
    return State(
        R=rotation_matrix(rng.normal(scale=0.015 * size, size=(len(state.R), 3))) @ state.R,
        t=state.t + rng.normal(scale=0.05 * size, size=state.t.shape),
        X=X / np.linalg.norm(X, axis=1, keepdims=True),
        lens=state.lens + (np.zeros(8) if lens is None else lens),
    )


def path_error(scene: Scene, state: State) -> float:
    return aligned_path_error(scene, -np.einsum("fji,fj->fi", state.R, state.t))


@pytest.mark.parametrize(
    ("free", "lens_off"),
    [
        ((), np.zeros(8)),
        ((0,), np.array([90.0, 0, 0, 0, 0, 0, 0, 0])),
        ((0, 3), np.array([-80.0, 0, 0, 0.15, 0, 0, 0, 0])),
        ((0, 3, 4), np.array([60.0, 0, 0, 0.15, -0.04, 0, 0, 0])),
        ((0, 1, 2, 3, 4), np.array([40.0, 12.0, -9.0, 0.1, -0.04, 0, 0, 0])),
    ],
    ids=str,
)
def test_without_noise_the_truth_is_found(free: tuple[int, ...], lens_off: Array) -> None:
    rng = np.random.default_rng(1)
    scene = make_scene("orbit", n_frames=14, n_points=140, k1=-0.15, k2=0.04, noise_px=0.0, rng=rng)
    start = perturbed(scene, rng, lens=lens_off)
    # what the tracks state as their deviation is 0.01 px, which no start is near to: c is in those units
    options = BundleOptions(free_lens=free, iterations=200, tolerance=1e-9, relative_tolerance=0.0, cauchy=1000.0)
    result = adjust(start, scene.observations(), options)
    assert result.converged and path_error(scene, result.state) < 1e-6
    assert np.abs(result.state.lens[:4] / scene.lens[:4] - 1).max() < 1e-5
    assert np.abs(result.state.lens[:6] - scene.lens)[4] < 1e-5
    held = [i for i in range(6) if i not in free]
    assert np.array_equal(result.state.lens[held], start.lens[held])
    assert np.allclose(np.linalg.norm(result.state.X, axis=1), 1)


def test_with_noise_the_residuals_are_the_noise() -> None:
    rng = np.random.default_rng(2)
    scene = make_scene("handheld", n_frames=20, n_points=150, noise_px=0.3, rng=rng)
    observations = scene.observations()
    options = BundleOptions(free_lens=(0, 3), iterations=60, cauchy=100.0)
    result = adjust(perturbed(scene, rng), observations, options)
    squared = residuals(result.state, observations) ** 2
    freedom = 2 * len(observations) - (6 * 20 - 7 + 3 * len(scene.points) + 2)
    assert result.cost == pytest.approx(squared.sum(), rel=0.01)
    assert 0.93 < squared.sum() / freedom < 1.07
    # and the optimum explains them better than the truth does
    assert result.cost < robust_cost(residuals(scene.state(), observations), 100.0)


def test_outliers_get_no_weight_and_do_no_harm() -> None:
    rng = np.random.default_rng(3)
    clean = make_scene("orbit", n_frames=14, n_points=150, outlier_share=0.0, rng=np.random.default_rng(4))
    dirty = make_scene("orbit", n_frames=14, n_points=150, outlier_share=0.1, rng=np.random.default_rng(4))
    options = BundleOptions(free_lens=(0,), iterations=80)
    focal = {}
    for scene in (clean, dirty):
        result = adjust(perturbed(scene, rng, 0.3), scene.observations(), options)
        focal[scene is dirty] = result.state.lens[0]
        assert path_error(scene, result.state) < 0.002
        assert abs(result.state.lens[0] / 900 - 1) < 0.01
        assert np.median(result.weight[~scene.outlier]) > 0.7
        if scene is dirty:
            assert np.percentile(result.weight[scene.outlier], 90) < 0.05
    options = replace(options, cauchy=1e6)  # as good as no robust kernel
    spoilt = adjust(dirty.state(), dirty.observations(), options)
    assert path_error(dirty, spoilt.state) > 0.004


def test_a_prior_decides_what_the_pictures_leave_open() -> None:
    rng = np.random.default_rng(5)
    # three pictures with hardly any movement
    scene = make_scene("dolly", n_frames=3, n_points=60, noise_px=0.5, rng=rng)
    start = scene.state()
    start.lens[3] = 0.05
    loose = BundleOptions(free_lens=(3,), iterations=60, tolerance=1e-6)
    sd = np.full(8, np.inf)
    sd[3] = 1e-5
    mean = np.array([1.0, 2.0, 3.0, -0.08, 5.0, 6.0, 7.0, 8.0])  # only the fourth counts
    tight = replace(loose, priors=Priors(lens_mean=mean, lens_sd=sd))
    free = adjust(start, scene.observations(), loose).state.lens
    held = adjust(start, scene.observations(), tight).state.lens
    assert abs(held[3] + 0.08) < 1e-4 < abs(free[3] + 0.08)
    assert np.array_equal(held[[0, 1, 2, 4, 5]], start.lens[[0, 1, 2, 4, 5]])


def test_a_prior_counts_like_an_observation() -> None:
    rng = np.random.default_rng(6)
    scene = make_scene("orbit", n_frames=8, n_points=60, noise_px=0.5, rng=rng)
    options = BundleOptions(free_lens=(0,), iterations=80, tolerance=1e-9, relative_tolerance=0.0, cauchy=1e6)
    alone = adjust(scene.state(), scene.observations(), options)
    # curvature of the cost over the focal length, from the cost itself
    costs = []
    for shift in (-3.0, 3.0):
        fixed = replace(alone.state, lens=alone.state.lens + np.append(shift, np.zeros(7)))
        costs.append(adjust(fixed, scene.observations(), replace(options, free_lens=())).cost)
    information = (costs[0] + costs[1] - 2 * alone.cost) / (2 * 3.0**2)
    mean, sd = alone.state.lens.copy(), np.full(8, np.inf)
    mean[0], sd[0] = mean[0] + 4.0, information**-0.5  # as much information as the pictures have
    both = adjust(scene.state(), scene.observations(), replace(options, priors=Priors(lens_mean=mean, lens_sd=sd)))
    assert both.state.lens[0] - alone.state.lens[0] == pytest.approx(2.0, abs=0.1)


def test_points_end_in_front_of_their_cameras() -> None:
    rng = np.random.default_rng(7)
    scene = make_scene("forward", n_frames=12, n_points=120, rng=rng)
    result = adjust(perturbed(scene, rng), scene.observations(), BundleOptions(free_lens=(), iterations=60))
    assert (camera_points(result.state, scene.observations())[:, 2] > 0).all()


def test_the_cost_never_rises_with_more_iterations() -> None:
    rng = np.random.default_rng(8)
    scene = make_scene("handheld", n_frames=10, n_points=80, outlier_share=0.05, rng=rng)
    start, observations = perturbed(scene, rng), scene.observations()
    costs = []
    for iterations in (1, 2, 4, 8, 16):
        result = adjust(start, observations, BundleOptions(iterations=iterations))
        assert result.iterations <= iterations
        assert result.cost == pytest.approx(robust_cost(residuals(result.state, observations), 2.5))
        assert np.allclose(result.weight, robust_weight(residuals(result.state, observations), 2.5))
        costs.append(result.cost)
    assert all(a >= b for a, b in pairwise(costs)) and costs[-1] < 0.5 * costs[0]


def test_cancelling_ends_the_work() -> None:
    rng = np.random.default_rng(9)
    scene = make_scene("dolly", n_frames=6, n_points=60, rng=rng)
    seen = []

    def tick(iteration: int) -> None:
        seen.append(iteration)
        if iteration == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        adjust(perturbed(scene, rng), scene.observations(), BundleOptions(), tick)
    assert seen == [1, 2]
