"""Standard deviations of lens and poses, out of the normal equations of the adjustment.

The inverse of the reduced matrix S is the covariance of poses and lens when all residuals are independent (Laplace;
Triggs et al. 2000, section 2.1). Those of one track are not: a patch that is placed a little wrong stays so. The
sandwich S^-1 (sum_p s_p s_p^T) S^-1, with s_p track p's part of the reduced gradient, allows any correlation within
a track (White, Maximum likelihood estimation of misspecified models, 1982; Liang and Zeger 1986). The larger of the
two variances is reported.

The world's own place, turn and size are free: its seven directions G are held by adding G G^T to S, which gives the
covariance that is smallest among all gauges (inner constraints; Triggs et al. 2000, section 9.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ..geometry.rotation import cross_matrix
from .adjust import BundleOptions, prior_information, robust_weight
from .gauge import gauge_directions
from .normal_equations import NormalEquations, assemble, reduce, structure
from .residuals import LENS_PARAMETERS, Array, Linearisation, Observations, State, linearise


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviations:
    """Standard deviations.

    Attributes
    ----------
    lens : ndarray of shape (6,)
        Of `LENS_PARAMETERS`, zero where held.
    rotation : ndarray of shape (C, 3), radians about the camera's axes
    position : ndarray of shape (C, 3), scene units along the world's axes
    lens_step : ndarray of shape (6,)
        The step that would lower the cost most (zero at the end of an adjustment of the same parameters): for a
        parameter that was held, how far the data would move it.
    drift, drift_sd : float
        How far the data would let the logarithm of the focal length drift from the first camera to the last, if it
        could: far from zero when the lens zooms.
    """

    lens: Array
    lens_step: Array
    drift: float
    drift_sd: float
    rotation: Array
    position: Array


def deviations(state: State, observations: Observations, options: BundleOptions) -> Deviations:
    """Standard deviations at the end of an adjustment.

    Parameters
    ----------
    state, observations, options
        As in `adjust`, where it ended.
    """
    n = len(state.R)
    free = np.append(np.array(options.free_lens, dtype=np.int64), len(LENS_PARAMETERS))
    n_lens = len(free)
    s = structure(observations, n, len(state.X))
    lin = linearise(state, observations)
    ramp = np.linspace(-0.5, 0.5, n)[observations.camera] * state.lens[0]
    lin = replace(lin, by_lens=np.concatenate([lin.by_lens, ramp[:, None, None] * lin.by_lens[:, :, :1]], axis=2))
    weight = robust_weight(lin.residual, options.cauchy)
    eq = assemble(lin, weight, free, s)
    at = 6 * n + np.arange(n_lens)
    own = free[:-1]
    eq.U[at[:-1], at[:-1]] += prior_information(options)[own]
    if options.lens_prior is not None:
        eq.gradient[at[:-1]] += (prior_information(options) * (state.lens - options.lens_prior))[own]
    reduced = reduce(eq, s, observations, 0.0)
    S = np.triu(reduced.S) + np.triu(reduced.S, 1).T
    # held as firmly as what the data know on average, so that the matrix stays well conditioned
    G = gauge_directions(state, n_lens)
    S += float(np.median(np.diag(S))) * G @ G.T
    factor = cho_factor(S + 1e-12 * np.diag(np.diag(S)), check_finite=False)
    inverse = cho_solve(factor, np.eye(len(S)), check_finite=False)
    step = inverse[6 * n :] @ reduced.side
    inverse -= G @ (G.T @ inverse @ G) @ G.T

    scores = _scores(lin, weight, free, eq, reduced.V_inverse, observations)
    covariance = _larger(inverse, scores)
    drift, drift_sd = float(step[-1]), float(np.sqrt(covariance[-1, -1]))
    # the drift was only asked about: all else is reported as if it could not be
    inverse = inverse[:-1, :-1] - np.outer(inverse[:-1, -1], inverse[-1, :-1]) / inverse[-1, -1]
    step = inverse[6 * n :] @ reduced.side[:-1]
    covariance = _larger(inverse, scores[:, :-1])

    poses = np.stack([covariance[6 * i : 6 * i + 6, 6 * i : 6 * i + 6] for i in range(n)])
    # c = -R^T t: dc = R^T [t]_x w - R^T v
    to_centre = np.concatenate(
        [state.R.transpose(0, 2, 1) @ cross_matrix(state.t), -state.R.transpose(0, 2, 1)], axis=2
    )
    centre = np.einsum("fij,fjk,fik->fi", to_centre, poses, to_centre)
    lens = np.zeros(6)
    lens[own] = np.sqrt(np.diag(covariance)[6 * n :])
    lens_step = np.zeros(6)
    lens_step[own] = step
    return Deviations(
        lens=lens,
        lens_step=lens_step,
        drift=drift,
        drift_sd=drift_sd,
        rotation=np.sqrt(np.maximum(np.einsum("fii->fi", poses)[:, :3], 0)),
        position=np.sqrt(np.maximum(centre, 0)),
    )


def _larger(inverse: Array, scores: Array) -> Array:
    """The covariance S^-1 with its variances raised to the sandwich's where those are larger."""
    sandwich = ((inverse @ scores.T) ** 2).sum(axis=1)
    factor = np.sqrt(np.maximum(sandwich / np.maximum(np.diag(inverse), 1e-300), 1.0))
    return np.asarray(inverse * factor[:, None] * factor[None, :])


def _scores(
    lin: Linearisation,
    weight: Array,
    free: NDArray[np.int64],
    eq: NormalEquations,
    V_inverse: Array,
    observations: Observations,
) -> Array:
    """s_p (P, 6 C + L): each track's own part of the reduced gradient g_a - E V^-1 g_b."""
    n_cameras = (len(eq.gradient) - len(free)) // 6
    n_points = len(V_inverse)
    weighted = lin.residual * weight[:, None]
    moved = np.matmul(V_inverse, eq.point_gradient[:, :, None])[:, :, 0]  # (P, 3)
    pose = np.einsum("nij,ni->nj", lin.by_pose, weighted)
    pose -= np.matmul(eq.pose_point, moved[observations.point][:, :, None])[:, :, 0]
    lens = np.einsum("nij,ni->nj", lin.by_lens[:, :, free], weighted)
    scores = np.zeros((n_points, 6 * n_cameras + len(free)))
    scores[observations.point[:, None], 6 * observations.camera[:, None] + np.arange(6)] = pose
    starts = np.searchsorted(observations.point, np.arange(n_points))
    scores[:, 6 * n_cameras :] = np.add.reduceat(lens, starts, axis=0) - np.einsum("plk,pk->pl", eq.lens_point, moved)
    return scores
