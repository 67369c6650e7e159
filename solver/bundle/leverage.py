"""What a track's score would be were the track not part of what it is judged by.

A track that decides much of the lens draws the adjustment to itself: its residuals r become small, and the sandwich
(`covariance`) takes it for a good one. Left out of the adjustment, it would leave the residuals (I - H)^-1 r, with H
their share in their own prediction: with J its Jacobian by poses and lens, less what its point takes up,

    H = J S^-1 J^T,   s_p = J^T (I - H)^-1 r

(the jackknife, one track at a time: Bell and McCaffrey, Bias reduction in standard errors for linear regression with
multi-stage samples, 2002; MacKinnon, Nielsen and Webb, Leverage, influence, and the jackknife in clustered regression
models, 2022). The few tracks with a part in the lens that matters are the ones that need it.

A variance that few tracks tell is itself uncertain: two deviations hold less than they claim. By Satterthwaite's
approximation (An approximate distribution of estimates of variance components, 1946) it has as many degrees of freedom
as (sum c^2)^2 / sum c^4 of the tracks' parts c, and `widening` is by how much Student's distribution is the wider.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from .normal_equations import NormalEquations
from .residuals import Array, Linearisation, Observations
from .rolling import at_rows

# a track's mean part in the lens parameters from which on it is looked at: no more than the inverse can have it
_LEAST_PART = 0.01
# what a track alone decides is not known from the others: residuals grow by ten at the most
_MOST_OWN = 0.9
# of the deviations whose coverage is to be kept
_SIGMAS = 2.0
_LEAST_FREEDOM = 3.0


class Leverage:
    """The Jacobians of an adjustment, asked track by track.

    Parameters
    ----------
    lin : Linearisation
    weight : ndarray of shape (N,)
        Cauchy's.
    by_shared : ndarray of shape (N, 2, L)
    eq : NormalEquations
        Of these, near the optimum (see `assemble`).
    V_inverse : ndarray of shape (P, 3, 3)
    observations : Observations
    """

    def __init__(
        self,
        lin: Linearisation,
        weight: Array,
        by_shared: Array,
        eq: NormalEquations,
        V_inverse: Array,
        observations: Observations,
    ) -> None:
        self.lin, self.by_shared, self.eq = lin, by_shared, eq
        self.V_inverse, self.observations = V_inverse, observations
        # as in `assemble`
        self.root = np.sqrt(weight * np.maximum(weight, 0.5))
        self.residual = lin.residual * (weight / self.root)[:, None]
        self.starts = np.searchsorted(observations.point, np.arange(len(V_inverse) + 1))
        self.n_shared = by_shared.shape[2]
        self.n_cameras = (len(eq.gradient) - self.n_shared) // 6

    def parts(self, inverse: Array) -> Array:
        """Each track's mean part (P,) in what the data know of the shared parameters, given S^-1; they add up to 1."""
        total = np.zeros(len(self.V_inverse))
        for at in range(6 * self.n_cameras, len(inverse)):
            pose = at_rows(self.eq.rolling, inverse[: 6 * self.n_cameras, at].reshape(-1, 6), self.observations.camera)
            seen = np.einsum("nij,nj->ni", self.lin.by_pose, pose)
            seen += self.by_shared @ inverse[6 * self.n_cameras :, at]
            seen *= self.root[:, None]
            by_point = np.einsum("nij,ni->nj", self.lin.by_point, seen) * self.root[:, None]
            taken = np.add.reduceat(by_point, self.starts[:-1], axis=0)
            square = np.add.reduceat((seen**2).sum(axis=1), self.starts[:-1])
            square -= np.einsum("pi,pij,pj->p", taken, self.V_inverse, taken)
            total += square / max(float(inverse[at, at]), 1e-300)
        return total / max(self.n_shared, 1)

    def without(self, track: int, inverse: Array) -> Array:
        """The score (6 C + L,) of one track, judged by the others."""
        rows = slice(self.starts[track], self.starts[track + 1])
        J, B, r = self._jacobians(rows)
        projected = B @ self.V_inverse[track]
        J -= projected @ (B.T @ J)
        r = r - projected @ (B.T @ r)
        H = J @ inverse @ J.T
        return np.asarray(J.T @ np.linalg.solve(np.eye(len(r)) - _MOST_OWN * (H + H.T) / 2, r))

    def _jacobians(self, rows: slice) -> tuple[Array, Array, Array]:
        """By poses and what is shared (2 k, 6 C + L), by the point (2 k, 3), and residuals (2 k,) of k observations."""
        camera, root = self.observations.camera[rows], self.root[rows, None, None]
        share = np.zeros((len(camera), self.n_cameras))
        share[np.arange(len(camera)), camera] = 1
        if self.eq.rolling is not None:
            share += self.eq.rolling.late[rows, None] * self.eq.rolling.by_pose[camera]
        by_pose = (self.lin.by_pose[rows] * root)[:, :, None, :] * share[:, None, :, None]
        k = 2 * len(camera)
        J = np.concatenate([by_pose.reshape(k, -1), (self.by_shared[rows] * root).reshape(k, -1)], axis=1)
        return J, (self.lin.by_point[rows] * root).reshape(k, 3), self.residual[rows].ravel()


def judge_by_others(scores: Array, inverse: Array, leverage: Leverage) -> None:
    """Replace the scores s_p (P, 6 C + L) of the tracks that decide much; see the header."""
    for track in np.flatnonzero(leverage.parts(inverse) > _LEAST_PART):
        scores[track] = leverage.without(int(track), inverse)


def widening(by_track: Array) -> Array:
    """By how much deviations (K,) of few tracks' parts (K, P) grow, so that two of them hold as often as they claim."""
    square = (by_track**2).sum(axis=1)
    freedom = square**2 / np.maximum((by_track**4).sum(axis=1), 1e-300)
    quantile: NDArray[np.float64] = stdtrit(np.maximum(freedom, _LEAST_FREEDOM), ndtr(_SIGMAS))
    return np.where(square > 0, quantile / _SIGMAS, 1.0)
