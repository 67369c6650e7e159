"""The reduced system and its back-substitution against the full normal equations, solved densely."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.bundle import normal_equations
from solver.bundle.adjust import robust_weight
from solver.bundle.normal_equations import assemble, point_step, reduce, structure
from solver.bundle.residuals import Linearisation, Observations, linearise
from solver.bundle.rolling import Rolling, stencil
from tests.synthetic import make_scene

Array = NDArray[np.float64]


def problem(longest: int = 6, seed: int = 1) -> tuple[Linearisation, Array, Observations, int, int]:
    """A linearised problem away from its optimum, with the weights of its outliers."""
    rng = np.random.default_rng(seed)
    scene = make_scene("orbit", n_frames=9, n_points=60, k1=-0.1, outlier_share=0.05, longest=longest, rng=rng)
    state = scene.state()
    state = replace(state, t=state.t + rng.normal(scale=0.01, size=state.t.shape))
    observations = scene.observations()
    lin = linearise(state, observations)
    return lin, robust_weight(lin.residual, 2.5), observations, len(state.R), len(state.X)


def dense_step(
    lin: Linearisation,
    weight: Array,
    curvature: Array,
    observations: Observations,
    n: int,
    m: int,
    free: list[int],
    damping: float,
    rolling: Rolling | None = None,
) -> Array:
    """-(J^T h J + damping diag(J^T h J))^-1 J^T w r, unknowns: poses, lens, points."""
    N, L = len(observations), len(free)
    J = np.zeros((N, 2, 6 * n + L + 3 * m))
    for i, (camera, point) in enumerate(zip(observations.camera, observations.point, strict=True)):
        J[i, :, 6 * camera : 6 * camera + 6] = lin.by_pose[i]
        if rolling is not None:
            for other in range(n):
                share = rolling.late[i] * rolling.by_pose[camera, other]
                J[i, :, 6 * other : 6 * other + 6] += share * lin.by_pose[i]
        J[i, :, 6 * n : 6 * n + L] = lin.by_lens[i][:, free]
        J[i, :, 6 * n + L + 3 * point : 6 * n + L + 3 * point + 3] = lin.by_point[i]
    flat = J.reshape(2 * N, -1)
    H = flat.T @ (np.repeat(curvature, 2)[:, None] * flat)
    g = flat.T @ (weight[:, None] * lin.residual).ravel()
    H[np.diag_indices_from(H)] *= 1 + damping
    return np.asarray(-np.linalg.solve(H, g))


@pytest.mark.parametrize("free", [[], [0], [0, 3, 4], [0, 1, 2, 3, 4, 5]], ids=str)
@pytest.mark.parametrize("damping", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("rolls", [False, True])
def test_step_is_that_of_the_full_system(free: list[int], damping: float, near: bool, rolls: bool) -> None:
    lin, weight, observations, n, m = problem()
    assert weight.min() < 0.2  # the two curvatures differ
    s = structure(observations, n, m)
    rolling = None
    if rolls:
        around = stencil(np.tile(np.eye(3), (n, 1, 1)), np.arange(n, dtype=np.float64)).by_pose
        rolling = Rolling(by_pose=around, late=np.random.default_rng(3).uniform(-0.5, 0.5, len(lin.residual)))
    eq = assemble(lin, weight, lin.by_lens[:, :, list(free)], s, near, rolling)
    reduced = reduce(eq, s, observations, damping)
    S = np.triu(reduced.S) + np.triu(reduced.S, 1).T
    step = np.linalg.solve(S, reduced.side)
    points = point_step(eq, reduced, s, observations.camera, step)
    curvature = weight * np.maximum(weight, 0.5) if near else weight
    expected = dense_step(lin, weight, curvature, observations, n, m, free, damping, rolling)
    n_a = 6 * n + len(free)
    for found, true in ((step, expected[:n_a]), (points.ravel(), expected[n_a:])):
        assert np.abs(found - true).max() < 1e-6 * np.abs(true).max()


@pytest.mark.parametrize("longest", [3, 5, 1000])
def test_chunks_do_not_matter(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lin, weight, observations, n, m = problem(longest)
    free = np.array([0, 3])
    results = []
    for most, least in ((1, 1), (7, 2), (10_000, 10_000)):
        monkeypatch.setattr(normal_equations, "_CHUNK_POINTS", most)
        monkeypatch.setattr(normal_equations, "_LEAST_CHUNK_POINTS", least)
        s = structure(observations, n, m)
        assert sorted(np.concatenate([chunk.points for chunk in s.chunks]).tolist()) == list(range(m))
        assert len(s.chunks) == m if most == 1 else len(s.chunks) < m
        reduced = reduce(assemble(lin, weight, lin.by_lens[:, :, free], s), s, observations, 0.01)
        results.append((np.triu(reduced.S), reduced.side))
    for S, side in results[1:]:
        assert np.allclose(S, results[0][0], rtol=1e-9, atol=1e-9 * np.abs(S).max())
        assert np.allclose(side, results[0][1], rtol=1e-9, atol=1e-9 * np.abs(side).max())


def test_a_chunk_holds_the_observations_of_its_points() -> None:
    _, _, observations, n, m = problem()
    for chunk in structure(observations, n, m).chunks:
        rows = np.flatnonzero(np.isin(observations.point, chunk.points))
        assert sorted(chunk.observations.tolist()) == rows.tolist()
        assert np.array_equal(chunk.points[chunk.point_column], observations.point[chunk.observations])
        cameras = observations.camera[chunk.observations]
        assert (cameras.min(), cameras.max()) == (chunk.first_camera, chunk.last_camera)


def test_unsorted_observations_are_refused() -> None:
    _, _, observations, n, m = problem()
    order = np.random.default_rng(3).permutation(len(observations))
    shuffled = replace(
        observations,
        camera=observations.camera[order],
        point=observations.point[order],
        xy=observations.xy[order],
        whitening=observations.whitening[order],
    )
    with pytest.raises(ValueError, match="sorted by point"):
        structure(shuffled, n, m)


def test_a_point_that_nobody_sees_is_refused() -> None:
    _, _, observations, n, m = problem()
    with pytest.raises(ValueError, match="every point must be observed"):
        structure(observations.select(observations.point != 5), n, m)
    with pytest.raises(ValueError, match="every point must be observed"):
        structure(observations, n, m + 1)
