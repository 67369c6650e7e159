"""Residuals, and every analytic Jacobian against central differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.bundle.adjust import BundleOptions, moved
from solver.bundle.residuals import (
    LENS_PARAMETERS,
    Observations,
    State,
    camera_points,
    linearise,
    reprojection_errors,
    residuals,
    tangent_basis,
)
from solver.geometry.rotation import rotation_matrix
from tests.synthetic import project

Array = NDArray[np.float64]
N_CAMERAS, N_POINTS = 4, 12


def near_state(rng: np.random.Generator) -> State:
    """Cameras all over the place before points of all depths, one of them nearly at infinity, one at infinity."""
    depth = np.append(rng.uniform(3, 60, N_POINTS - 2), [1e6, np.inf])
    direction = np.concatenate([rng.uniform(-0.4, 0.4, (N_POINTS, 2)), np.ones((N_POINTS, 1))], axis=1)
    X = np.concatenate([direction, 1 / depth[:, None]], axis=1)
    return State(
        R=rotation_matrix(rng.normal(scale=0.15, size=(N_CAMERAS, 3))),
        t=rng.normal(scale=0.5, size=(N_CAMERAS, 3)),
        X=X / np.linalg.norm(X, axis=1, keepdims=True),
        lens=np.array([800.0, 490.0, 260.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    )


def distorted_state(rng: np.random.Generator) -> State:
    state = near_state(rng)
    return replace(state, lens=np.array([650.0, 470.0, 275.0, -0.21, 0.06, -0.011, 0.0, 0.0]))


def zooming_state(rng: np.random.Generator) -> State:
    """A zoom whose distortion changes along it."""
    state = distorted_state(rng)
    lens = state.lens.copy()
    lens[LENS_PARAMETERS.index("k1_slope")] = 0.07
    return replace(state, lens=lens, zoom=rng.normal(scale=0.2, size=N_CAMERAS))


def rolling_state(rng: np.random.Generator) -> State:
    """A zoom seen by a rolling shutter."""
    state = zooming_state(rng)
    state.lens[LENS_PARAMETERS.index("readout")] = 0.6
    return replace(state, velocity=rng.normal(scale=[0.02] * 3 + [0.05] * 4, size=(N_CAMERAS, 7)))


def turned_state(rng: np.random.Generator) -> State:
    """The same in a world whose axes lie otherwise, with points of negative last coordinate of X."""
    state = distorted_state(rng)
    Q = rotation_matrix(np.array([1.0, -2.0, 0.7]))
    return replace(state, R=state.R @ Q.T, X=np.concatenate([state.X[:, :3] @ Q.T, state.X[:, 3:]], axis=1))


STATES: list[Callable[[np.random.Generator], State]] = [near_state, distorted_state, turned_state, zooming_state]


def all_observations(rng: np.random.Generator) -> Observations:
    point, camera = np.divmod(np.arange(N_CAMERAS * N_POINTS), N_CAMERAS)
    # not triangular, though the solver's are: the Jacobian must not depend on it
    whitening = np.eye(2) * 2 + rng.normal(scale=0.7, size=(len(point), 2, 2))
    return Observations(
        height=540.0, camera=camera, point=point, xy=rng.uniform(0, 900, (len(point), 2)), whitening=whitening
    )


def differences(observations: Observations, step: Callable[[float], State], h: float) -> Array:
    """Fourth-order central differences (N, 2) of the residuals along a path."""
    r = [residuals(step(i * h), observations) for i in (-2, -1, 1, 2)]
    return np.asarray((r[0] - 8 * r[1] + 8 * r[2] - r[3]) / (12 * h))


def step_of(state: State, pose: Array | None = None, lens: Array | None = None, world: Array | None = None) -> State:
    """`state` moved as the adjustment moves it."""
    return moved(
        state,
        np.zeros((N_CAMERAS, 6)) if pose is None else pose,
        np.zeros(8) if lens is None else lens,
        BundleOptions(free_lens=tuple(range(8))),
        np.zeros((N_POINTS, 4)) if world is None else world,
    )


def assert_same(analytic: Array, numeric: Array) -> None:
    scale = np.abs(numeric).max()
    assert scale > 0
    assert np.abs(analytic - numeric).max() < 1e-6 * scale


@pytest.mark.parametrize("make", STATES)
@pytest.mark.parametrize("axis", range(6))
def test_jacobian_by_pose(make: Callable[[np.random.Generator], State], axis: int) -> None:
    rng = np.random.default_rng(1)
    state, observations = make(rng), all_observations(rng)
    analytic = linearise(state, observations).by_pose
    for camera in range(N_CAMERAS):
        pose = np.zeros((N_CAMERAS, 6))
        pose[camera, axis] = 1.0
        numeric = differences(observations, lambda h, pose=pose: step_of(state, pose=h * pose), 1e-4)
        mine = observations.camera == camera
        assert np.abs(numeric[~mine]).max() < 1e-6
        assert_same(analytic[mine, :, axis], numeric[mine])


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        *((make, i) for make in STATES for i in range(6)),
        (zooming_state, LENS_PARAMETERS.index("k1_slope")),
        *((rolling_state, i) for i in range(8)),
    ],
    ids=lambda value: LENS_PARAMETERS[value] if isinstance(value, int) else value.__name__,
)
def test_jacobian_by_lens(make: Callable[[np.random.Generator], State], parameter: int) -> None:
    rng = np.random.default_rng(2)
    state, observations = make(rng), all_observations(rng)
    lens = np.zeros(8)
    lens[parameter] = 1.0 if parameter < 3 else 1e-2
    numeric = differences(observations, lambda h: step_of(state, lens=h * lens), 0.1) / lens[parameter]
    assert_same(linearise(state, observations).by_lens[:, :, parameter], numeric)


@pytest.mark.parametrize("make", STATES)
def test_jacobian_by_zoom(make: Callable[[np.random.Generator], State]) -> None:
    rng = np.random.default_rng(5)
    state, observations = make(rng), all_observations(rng)
    numeric = differences(observations, lambda h: replace(state, zoom=state.zoom + h), 1e-4)
    assert_same(linearise(state, observations).by_zoom, numeric)


@pytest.mark.parametrize("make", STATES)
@pytest.mark.parametrize("direction", range(3))
def test_jacobian_by_point(make: Callable[[np.random.Generator], State], direction: int) -> None:
    rng = np.random.default_rng(3)
    state, observations = make(rng), all_observations(rng)
    lin = linearise(state, observations)
    world = lin.basis[:, :, direction]
    numeric = differences(observations, lambda h: step_of(state, world=h * world), 1e-4)
    for point in range(N_POINTS):  # each by its own scale: near points outweigh far ones
        rows = observations.point == point
        assert_same(lin.by_point[rows, :, direction], numeric[rows])


def test_residuals_agree_with_an_independent_projection() -> None:
    rng = np.random.default_rng(4)
    state, observations = distorted_state(rng), all_observations(rng)
    finite = observations.point < N_POINTS - 1
    points = state.X[: N_POINTS - 1, :3] / state.X[: N_POINTS - 1, 3:]
    xy, depth = project(state.R, state.t, points, state.lens[:6])
    assert (depth > 0).all()
    rows = observations.camera[finite], observations.point[finite]
    off = xy[rows] - observations.xy[finite]
    assert np.allclose(reprojection_errors(state, observations)[finite], off, atol=1e-8)
    whitened = np.einsum("nij,nj->ni", observations.whitening[finite], off)
    assert np.allclose(residuals(state, observations)[finite], whitened, atol=1e-7)


def test_a_point_at_infinity_does_not_see_the_translation() -> None:
    rng = np.random.default_rng(5)
    state, observations = near_state(rng), all_observations(rng)
    rows = observations.point == N_POINTS - 1
    assert not linearise(state, observations).by_pose[rows][:, :, 3:].any()
    there = replace(state, t=state.t + 100.0)
    assert np.array_equal(residuals(state, observations)[rows], residuals(there, observations)[rows])


@pytest.mark.parametrize("last", [0.9, 1e-9, 0.0, -0.9, -1.0, 1.0])
def test_tangent_basis_is_orthonormal_to_its_point(last: float) -> None:
    X = np.array([[0.6, -0.5, 0.3, 0.0]])
    X *= np.sqrt(1 - last**2) / np.linalg.norm(X)
    X[:, 3] = last
    full = np.concatenate([tangent_basis(X)[0], X.T], axis=1)
    assert np.allclose(full.T @ full, np.eye(4), atol=1e-12)


def test_behind_the_camera_residuals_are_large_and_finite() -> None:
    rng = np.random.default_rng(6)
    state, observations = near_state(rng), all_observations(rng)
    behind = replace(state, X=-state.X)
    assert (camera_points(behind, observations)[:, 2] < 0).all()
    found = residuals(behind, observations)
    assert np.isfinite(found).all() and (np.abs(found).max(axis=1) > 1e4).all()


def test_without_points_the_rest_is_the_same() -> None:
    rng = np.random.default_rng(7)
    state, observations = distorted_state(rng), all_observations(rng)
    with_points, without = linearise(state, observations), linearise(state, observations, with_points=False)
    assert without.by_point.shape == (len(observations), 2, 0)
    assert np.array_equal(with_points.by_pose, without.by_pose)
    assert np.array_equal(with_points.by_lens, without.by_lens)
