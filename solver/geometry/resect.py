"""Poses of many frames at once against known points."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import cost_by_row, robust_weight
from ..bundle.normal_equations import point_blocks
from ..bundle.residuals import Array, Observations, State, linearise, residuals
from .rotation import rotation_matrix

POSE: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
TURN: tuple[int, ...] = (0, 1, 2)
ZOOM: tuple[int, ...] = (6,)


def refine_poses(
    state: State,
    observations: Observations,
    frames: NDArray[np.int64],
    cauchy: float = 2.5,
    iterations: int = 12,
    free: tuple[int, ...] = POSE,
    zoom_sd: float = np.inf,
) -> State:
    """Robust Gauss-Newton on the poses of `frames`, points and lens held.

    Parameters
    ----------
    state : State
    observations : Observations
        Only of the frames named.
    frames : ndarray of int64, shape (K,)
    cauchy : float
        Cauchy's constant, in standard deviations.
    iterations : int
    free : tuple of int
        What may change: `POSE`, `TURN`, either of them with `ZOOM`.
    zoom_sd : float
        Standard deviation of the frames' zoom at the start, a prior.

    Returns
    -------
    State
        With the poses of `frames` replaced where the step lowers their own cost.
    """
    slot = np.full(len(state.R), -1, dtype=np.int64)
    slot[frames] = np.arange(len(frames))
    row = slot[observations.camera]
    start = state.zoom[frames]

    def cost_of(state: State) -> Array:
        prior = ((state.zoom[frames] - start) / zoom_sd) ** 2
        return cost_by_row(residuals(state, observations), row, len(frames), cauchy) + prior

    cost = cost_of(state)
    damping = np.full(len(frames), 1e-4)
    columns = list(free)
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(len(frames)))
    for _ in range(iterations):
        lin = linearise(state, observations, with_points=False)
        root = np.sqrt(robust_weight(lin.residual, cauchy))
        J = np.concatenate([lin.by_pose.transpose(1, 2, 0), lin.by_zoom.T[:, None]], axis=1)[:, columns]
        J = np.take(np.concatenate([J, lin.residual.T[:, None]], axis=1) * root, order, axis=2)
        H = np.empty((len(frames), len(free), len(free)))
        g = np.empty((len(frames), len(free)))
        for i, (begin, end) in enumerate(pairwise((*starts, len(row)))):
            u, v = J[:, :, begin:end]
            product = u @ u.T + v @ v.T
            H[i], g[i] = product[:-1, :-1], product[:-1, -1]
        diagonal = np.einsum("fii->fi", H)
        if ZOOM[0] in free:
            diagonal[:, -1] += zoom_sd**-2
            g[:, -1] += (state.zoom[frames] - start) * zoom_sd**-2
        diagonal *= 1 + damping[:, None]
        diagonal += 1e-9
        step = np.zeros((len(frames), 7))
        step[:, columns] = -np.linalg.solve(H, g[:, :, None])[:, :, 0]
        R, t, zoom = state.R.copy(), state.t.copy(), state.zoom.copy()
        R[frames] = rotation_matrix(step[:, :3]) @ R[frames]
        t[frames] += step[:, 3:6]
        zoom[frames] += np.clip(step[:, 6], -0.3, 0.3)
        new_cost = cost_of(replace(state, R=R, t=t, zoom=zoom))
        better = new_cost < cost
        damping = np.where(better, damping / 5, np.minimum(damping * 10, 1e6))
        worse = frames[~better]
        R[worse], t[worse], zoom[worse] = state.R[worse], state.t[worse], state.zoom[worse]
        gain = np.where(better, cost - new_cost, 0.0)
        state, cost = replace(state, R=R, t=t, zoom=zoom), np.where(better, new_cost, cost)
        if (gain < 1e-3).all() and better.any():
            break
    return state


def refine_points(
    state: State, observations: Observations, points: NDArray[np.int64], cauchy: float = 2.5, iterations: int = 8
) -> State:
    """Robust Gauss-Newton on `points` (K,), cameras and lens held; observations of only those, sorted by point."""
    slot = np.full(len(state.X), -1, dtype=np.int64)
    slot[points] = np.arange(len(points))
    row = slot[observations.point]
    starts = np.searchsorted(row, np.arange(len(points)))
    cost = cost_by_row(residuals(state, observations), row, len(points), cauchy)
    damping = np.full(len(points), 1e-3)
    for _ in range(iterations):
        lin = linearise(state, observations)
        root = np.sqrt(robust_weight(lin.residual, cauchy))
        H, g = point_blocks(lin.by_point.transpose(1, 2, 0) * root, lin.residual.T * root, starts)
        diagonal = np.einsum("pii->pi", H)
        diagonal *= 1 + damping[:, None]
        diagonal += 1e-9
        step = -np.linalg.solve(H, g[:, :, None])
        X = state.X.copy()
        X[points] += np.matmul(lin.basis[points], step)[:, :, 0]
        X[points] /= np.sqrt((X[points] ** 2).sum(axis=1))[:, None]
        candidate = replace(state, X=X)
        new_cost = cost_by_row(residuals(candidate, observations), row, len(points), cauchy)
        better = new_cost < cost
        damping = np.where(better, damping / 5, np.minimum(damping * 10, 1e6))
        X[points[~better]] = state.X[points[~better]]
        state, cost = replace(state, X=X), np.where(better, new_cost, cost)
    return state
