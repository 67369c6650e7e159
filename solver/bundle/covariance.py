"""Standard deviations of lens and poses, out of the normal equations of the adjustment.

The inverse of the reduced matrix S is the covariance of poses and lens when all residuals are independent (Laplace;
Triggs et al. 2000, section 2.1). Those of one track are not: a patch that is placed a little wrong stays so. The
sandwich S^-1 (sum_p s_p s_p^T) S^-1, with s_p track p's part of the reduced gradient, allows any correlation within
a track (White, Maximum likelihood estimation of misspecified models, 1982; Liang and Zeger 1986). The larger of the
two variances is reported. What is reported in the end judges tracks that decide much by the others, and allows for how
few of them there may be (`leverage`).

Nor are those of one frame where the model lacks something that all of it shows: how the camera moved while a rolling
shutter read it, or a focus that breathes. Where asked for, what the sandwich of the frames' parts of the gradient has
more than S^-1 is added (clusters by two things; Cameron, Gelbach and Miller, Robust inference with multiway clustering,
2011).

The world's own place, turn and size are free: its seven directions G are held by adding G G^T to S, which gives the
covariance that is smallest among all gauges (inner constraints; Triggs et al. 2000, section 9.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse import csr_array, eye_array, kron

from ..geometry.rotation import cross_matrix
from .adjust import BundleOptions, hold_gauge, robust_weight
from .leverage import Leverage, judge_by_others, widening
from .normal_equations import NormalEquations, assemble, reduce, structure
from .residuals import FOCAL, LENS_PARAMETERS, Array, Linearisation, Observations, State, linearise
from .rolling import at_rows

# of the diagonal, what rounding may have taken from it: tried one after the other
_ROUNDING = (1e-12, 1e-10, 1e-8, 1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class LensEvidence:
    """How far the data would move lens parameters, and how well they know them.

    Attributes
    ----------
    free : ndarray of int64, shape (L,)
        Which of `LENS_PARAMETERS`.
    step : ndarray of shape (L,)
        That lowers the cost most when all of them move: zero at the end of an adjustment of the same parameters.
    inverse : ndarray of shape (L, L)
        Their part of S^-1.
    by_track : ndarray of shape (L, P)
        Each track's part of `step`, S^-1 s_p.
    """

    free: NDArray[np.int64]
    step: Array
    inverse: Array
    by_track: Array

    def of(self, free: Sequence[int]) -> tuple[Array, Array]:
        """Steps and standard deviations, both (8,), when of these parameters only `free` move; zero for the others."""
        keep = np.isin(self.free, free)
        held = np.linalg.solve(self.inverse[np.ix_(~keep, ~keep)], self.inverse[np.ix_(~keep, keep)]).T
        variance = np.diag(self.inverse[np.ix_(keep, keep)] - held @ self.inverse[np.ix_(~keep, keep)])
        sandwich = ((self.by_track[keep] - held @ self.by_track[~keep]) ** 2).sum(axis=1)
        step, sd = np.zeros(len(LENS_PARAMETERS)), np.zeros(len(LENS_PARAMETERS))
        step[self.free[keep]] = self.step[keep] - held @ self.step[~keep]
        sd[self.free[keep]] = np.sqrt(np.maximum(variance, sandwich))
        return step, sd


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviations:
    """Standard deviations.

    Attributes
    ----------
    lens : ndarray of shape (8,)
        Of `LENS_PARAMETERS`, zero where held.
    evidence : LensEvidence
        What the data say of the lens parameters, those that were held in the adjustment among them.
    log_focal : ndarray of shape (C,)
        Of the logarithm of each camera's focal length.
    considered_log_focal : ndarray of shape (C,)
        The same with what is considered: its deviation if that were free, and how far it would then move.
    probe_step : ndarray of shape (Q,)
        How far the data would move the zoom along the columns that were probed, if it could.
    probe_covariance : ndarray of shape (Q, Q)
    rotation : ndarray of shape (C, 3), radians about the camera's axes
    position : ndarray of shape (C, 3), scene units along the world's axes
    """

    lens: Array
    evidence: LensEvidence
    log_focal: Array
    considered_log_focal: Array
    probe_step: Array
    probe_covariance: Array
    rotation: Array
    position: Array


@dataclass(slots=True, kw_only=True)
class _Told:
    """What the data say of K parameters: S^-1 (K, K), and S^-1 s by track (K, P), by frame (K, C), and in all (K,)."""

    inverse: Array
    by_track: Array
    by_frame: Array
    step: Array

    def rows(self, start: int, stop: int | None = None) -> _Told:
        """Of some of them, while the others are free as well."""
        kept = slice(start, stop)
        return _Told(
            inverse=self.inverse[kept, kept],
            by_track=self.by_track[kept],
            by_frame=self.by_frame[kept],
            step=self.step[kept],
        )

    def holding(self, held: Sequence[int]) -> _Told:
        """The same where those of these places are held, with zeros for them."""
        if not len(held):
            return self
        gain = np.linalg.solve(self.inverse[np.ix_(held, held)], self.inverse[held]).T
        inverse, by_track, by_frame, step = (
            told - gain @ told[held] for told in (self.inverse, self.by_track, self.by_frame, self.step)
        )
        # but for rounding they are
        inverse[held], inverse[:, held], by_track[held], by_frame[held], step[held] = 0, 0, 0, 0, 0
        return _Told(inverse=inverse, by_track=by_track, by_frame=by_frame, step=step)

    def covariance(self, by_frame: bool = True) -> Array:
        """S^-1 with its variances raised to the sandwich's where those are larger, and by what frames share."""
        usual = np.maximum(np.diag(self.inverse), 1e-300)
        sandwich = (self.by_track**2).sum(axis=1)
        if not (by_frame and self.by_frame.size):
            variance = np.maximum(sandwich, usual)
        else:
            variance = np.maximum(sandwich * widening(self.by_track) ** 2, usual)
            variance += np.maximum((self.by_frame**2).sum(axis=1) - usual, 0.0)
        factor = np.sqrt(variance / usual)
        return np.asarray(self.inverse * factor[:, None] * factor[None, :])


def deviations(
    state: State,
    observations: Observations,
    options: BundleOptions,
    probe: Array | None = None,
    considered: Sequence[int] = (),
    by_frame: bool = False,
) -> Deviations:
    """Standard deviations at the end of an adjustment.

    Parameters
    ----------
    state, observations, options
        As in `adjust`, where it ended.
    probe : ndarray of shape (C, Q) or None
        Changes of the zoom that were not estimated, about which to ask.
    considered : sequence of int
        Those of `options.free_lens` that were held, and about which to ask.
    by_frame : bool
        Whether the errors of a frame may have to do with each other as those of a track may, and tracks are judged by
        the others: for what is reported.
    """
    n = len(state.R)
    free = np.array(options.free_lens, dtype=np.int64)
    basis = options.basis(n)
    probe = np.zeros((n, 0)) if probe is None else probe
    n_lens = len(free)
    own = 6 * n + n_lens + basis.shape[1]
    s = structure(observations, n, len(state.X))
    lin = linearise(state, observations)
    rolling = options.rolling(state, observations)
    probed_zoom = lin.by_zoom[:, :, None] * at_rows(rolling, probe, observations.camera)[:, None]
    by_shared = np.concatenate([options.by_shared(lin, observations.camera, rolling), probed_zoom], axis=2)
    weight = robust_weight(lin.residual, options.cauchy)
    eq = assemble(lin, weight, by_shared, s, rolling=rolling)
    options.priors.add(eq, state, free, np.concatenate([basis, probe], axis=1))
    reduced = reduce(eq, s, observations, 0.0)
    S = np.triu(reduced.S) + np.triu(reduced.S, 1).T
    # held as firmly as what the data know on average, so that the matrix stays well conditioned
    G = hold_gauge(S, state, options)
    inverse = _inverse(S)
    inverse -= G @ (G.T @ inverse @ G) @ G.T
    parts = (lin, weight, by_shared, eq, reduced.V_inverse, observations)
    scores = _scores(*parts)
    if by_frame:
        judge_by_others(scores, inverse, Leverage(*parts))
    told = _Told(
        inverse=inverse,
        by_track=inverse @ scores.T,
        by_frame=inverse @ _frame_scores(*parts).T if by_frame else np.zeros((len(inverse), 0)),
        step=inverse @ reduced.side,
    )
    held = [6 * n + int(i) for i in np.flatnonzero(np.isin(free, considered))]
    probed = list(range(own, len(inverse)))
    # what is shared by all frames, while the poses are free
    shared = told.rows(6 * n)
    asked = shared.holding([i - 6 * n for i in held]).rows(own - 6 * n)
    opened = shared.holding([i - 6 * n for i in probed])
    evidence = LensEvidence(
        free=free,
        step=opened.step[:n_lens].copy(),
        inverse=opened.inverse[:n_lens, :n_lens].copy(),
        by_track=opened.by_track[:n_lens].copy(),
    )
    # what was only asked about is reported as it was: not free
    closed = told.holding([*held, *probed])
    covariance = closed.covariance()
    if options.nodal:
        still = np.arange(6 * n).reshape(-1, 6)[:, 3:].ravel()
        covariance[still] = 0
        covariance[:, still] = 0

    poses = np.stack([covariance[6 * i : 6 * i + 6, 6 * i : 6 * i + 6] for i in range(n)])
    # c = -R^T t: dc = R^T [t]_x w - R^T v
    to_centre = np.concatenate(
        [state.R.transpose(0, 2, 1) @ cross_matrix(state.t), -state.R.transpose(0, 2, 1)], axis=2
    )
    centre = np.einsum("fij,fjk,fik->fi", to_centre, poses, to_centre)
    lens = np.zeros(len(LENS_PARAMETERS))
    lens[free] = np.sqrt(np.maximum(np.diag(covariance)[6 * n : 6 * n + n_lens], 0))
    to_log_focal = np.concatenate(
        [np.where(free == FOCAL, 1 / state.lens[FOCAL], 0.0) * np.ones((n, 1)), basis, 0 * probe], axis=1
    )
    log_focal, considered_log_focal = (
        np.sqrt(np.maximum(np.einsum("ci,ij,cj->c", to_log_focal, of, to_log_focal), 0))
        for of in (covariance[6 * n :, 6 * n :], opened.covariance())
    )
    if held:
        away = to_log_focal @ (opened.step - closed.step[6 * n :])
        considered_log_focal = np.hypot(np.maximum(considered_log_focal, log_focal), away)
    return Deviations(
        lens=lens,
        evidence=evidence,
        log_focal=log_focal,
        considered_log_focal=considered_log_focal,
        probe_step=asked.step,
        # frames share what a zoom that is not yet estimated leaves over
        probe_covariance=asked.covariance(by_frame=False),
        rotation=np.sqrt(np.maximum(np.einsum("fii->fi", poses)[:, :3], 0)),
        position=np.sqrt(np.maximum(centre, 0)),
    )


def _inverse(S: Array) -> Array:
    """The inverse of a matrix that is positive definite but for rounding, which grows with the ratio of its elements.

    Raises
    ------
    LinAlgError
        If it is not.
    """
    for share in _ROUNDING:
        try:
            factor = cho_factor(S + share * np.diag(np.abs(np.diag(S))), check_finite=False)
        except LinAlgError:
            continue
        return np.asarray(cho_solve(factor, np.eye(len(S)), check_finite=False))
    raise LinAlgError("the reduced normal equations are not positive definite")


def _scores(
    lin: Linearisation,
    weight: Array,
    by_shared: Array,
    eq: NormalEquations,
    V_inverse: Array,
    observations: Observations,
) -> Array:
    """s_p (P, 6 C + L): each track's own part of the reduced gradient g_a - E V^-1 g_b."""
    n_shared = by_shared.shape[2]
    n_cameras = (len(eq.gradient) - n_shared) // 6
    n_points = len(V_inverse)
    weighted = lin.residual * weight[:, None]
    moved = np.matmul(V_inverse, eq.point_gradient[:, :, None])[:, :, 0]  # (P, 3)
    pose = np.einsum("nij,ni->nj", lin.by_pose, weighted)
    pose -= np.matmul(eq.pose_point, moved[observations.point][:, :, None])[:, :, 0]
    lens = np.einsum("nij,ni->nj", by_shared, weighted)
    scores = np.zeros((n_points, 6 * n_cameras + n_shared))
    at = (observations.point[:, None], 6 * observations.camera[:, None] + np.arange(6))
    scores[at] = pose
    if eq.rolling is not None:
        delayed = np.zeros((n_points, 6 * n_cameras))
        delayed[at] = pose * eq.rolling.late[:, None]
        spread = np.matmul(eq.rolling.by_pose.T, delayed.reshape(n_points, n_cameras, 6))
        scores[:, : 6 * n_cameras] += spread.reshape(n_points, -1)
    starts = np.searchsorted(observations.point, np.arange(n_points))
    scores[:, 6 * n_cameras :] = np.add.reduceat(lens, starts, axis=0) - np.einsum("plk,pk->pl", eq.lens_point, moved)
    return scores


def _frame_scores(
    lin: Linearisation,
    weight: Array,
    by_shared: Array,
    eq: NormalEquations,
    V_inverse: Array,
    observations: Observations,
) -> Array:
    """s_i (C, 6 C + L): each frame's own part of the reduced gradient."""
    n_shared = by_shared.shape[2]
    n_cameras, n_points = (len(eq.gradient) - n_shared) // 6, len(V_inverse)
    camera, point = observations.camera, observations.point
    weighted = (lin.residual * weight[:, None])[:, :, None]
    own = (np.concatenate([lin.by_pose, by_shared], axis=2) * weighted).sum(axis=1)
    of_frame = np.zeros((n_cameras, 6 + n_shared))
    np.add.at(of_frame, camera, own)
    scores = np.zeros((n_cameras, 6 * n_cameras + n_shared))
    scores[np.arange(n_cameras)[:, None], 6 * np.arange(n_cameras)[:, None] + np.arange(6)] = of_frame[:, :6]
    scores[:, 6 * n_cameras :] = of_frame[:, 6:]
    # what an observation moves its point by moves all cameras that see it
    moved = np.matmul(V_inverse[point], (lin.by_point * weighted).sum(axis=1)[:, :, None])[:, :, 0]
    coordinate = 3 * point[:, None] + np.arange(3)  # (N, 3)
    by_frame = csr_array((moved.ravel(), (coordinate.ravel(), np.repeat(camera, 3))), shape=(3 * n_points, n_cameras))
    row = np.repeat(6 * camera[:, None] + np.arange(6), 3, axis=1)
    at = (row.ravel(), np.tile(coordinate, (1, 6)).ravel())
    shape = (6 * n_cameras, 3 * n_points)
    pose_point = csr_array((eq.pose_point.ravel(), at), shape=shape)
    if eq.rolling is not None:
        late = eq.rolling.late
        delayed = np.zeros((n_cameras, 6))
        np.add.at(delayed, camera, own[:, :6] * late[:, None])
        scores[:, : 6 * n_cameras] += (eq.rolling.by_pose[:, :, None] * delayed[:, None]).reshape(n_cameras, -1)
        spread = kron(csr_array(eq.rolling.by_pose.T), eye_array(6), format="csr")
        pose_point = pose_point + spread @ csr_array(((eq.pose_point * late[:, None, None]).ravel(), at), shape=shape)
    scores[:, : 6 * n_cameras] -= (pose_point @ by_frame).toarray().T
    lens_point = eq.lens_point.transpose(1, 0, 2).reshape(n_shared, 3 * n_points)
    scores[:, 6 * n_cameras :] -= by_frame.T @ lens_point.T
    return scores
