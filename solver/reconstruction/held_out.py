"""How well the cameras predict tracks that took no part in solving them, frame by frame.

Each of the judged tracks is held out in its turn: an observation is compared with where its point, placed by the other
frames alone, is seen by a camera that was posed without this track. No adjustment is repeated for that. To first order
(Allen, The relationship between variable selection and data augmentation, 1974; Triggs et al., Bundle adjustment - a
modern synthesis, 2000, section 3.6) the residual e of an observation of unit covariance that entered with weight w
becomes the held-out one by its share M of itself that the data leave unexplained,

    T = I - w B V^-1 B^T,   M = T - w T A S^-1 A^T T,   e_held_out = M^-1 e,   cov(e_held_out) = M^-1

with A, B its Jacobians by pose and point, V = sum w B^T B over its point's observations, and S = sum w A^T T A over its
frame's: the frame's block of the reduced normal equations. Hence

    z^2 = e^T M^-1 e

is chi square distributed with two degrees of freedom where the tracks are as good as they claim, and trace(M) / 2 is
how much of an observation checks rather than determines (its redundancy; Foerstner, Reliability analysis of parameter
estimation in linear models, 1987). Observations that the solve rejected are judged as they are (w = 0), and tracks of
which it could make no point count as missed.

The quality of a frame is the share of its checks that are passed, as if a few more had been missed: where little
checks a frame, little is known of it. It tells a camera that is not where its tracks want it; it cannot tell what fits
the tracks and is uncertain all the same: that is what the standard deviations are for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import robust_weight
from ..bundle.residuals import PRINCIPAL_X, PRINCIPAL_Y, Array, Observations, State, camera_points, linearise
from .model import Model, least_views, whitening_of

# at most so many are judged in most frames, and half of them where there are: the share is then known to 3 %
_JUDGED_TRACKS = 200
# what a good observation does not exceed (99 % of Gaussian ones), in its standard deviations
_PASSED_SIGMAS = 3.0
# a tracker that claims too much or too little by a common factor is believed in this range
_LEAST_SCALE, _MOST_SCALE = 1.0, 2.0
# checks that a frame is taken to have missed beside those that were made
_ASSUMED_MISSES = 5.0
_CAUCHY = 2.5
# of the picture's sides: where the effect of a pose's deviation is measured
_GRID = (1 / 6, 1 / 2, 5 / 6)
# a direction in which an observation checks less than this is left out of account
_LEAST_REDUNDANCY = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTrust:
    """What is known of each frame's camera.

    Attributes
    ----------
    quality : ndarray of shape (F,)
        0 to 1: the share of what was held out that lies within three of its deviations of its prediction: 0.7 to 0.95
        in good shots, near 0 for a pose that is off by a few deviations of a track, 0 where there is no pose.
    pose_sd_px : ndarray of shape (F,)
        By how much the frame's picture of its median depth may be off, pixels, RMS over the picture, for what its own
        tracks leave open of its pose beside its neighbours. Infinite where there is no pose.
    """

    quality: Array
    pose_sd_px: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Observations held out in their turn.

    Attributes
    ----------
    unexplained : ndarray of shape (n, 2, 2)
        M of each observation, see the header; `residual` is that of the solve.
    residual : ndarray of shape (n, 2)
        e, whitened as in the solve.
    pose_covariance : ndarray of shape (F, 6, 6), or (F, 3, 3) where the camera only turns
        Inverse of each frame's S.
    """

    unexplained: Array
    residual: Array
    pose_covariance: Array

    @property
    def predicted_residual(self) -> Array:
        """e_held_out (n, 2)."""
        M = self.unexplained + _LEAST_REDUNDANCY * np.eye(2)
        return np.asarray(np.linalg.solve(M, self.residual[:, :, None])[:, :, 0])

    @property
    def redundancy(self) -> Array:
        """How much of each observation (n,) is a check, 0 to 1."""
        return np.asarray(np.trace(self.unexplained, axis1=1, axis2=2) / 2)

    @property
    def squared(self) -> Array:
        """z^2 (n,)."""
        return np.asarray((self.residual * self.predicted_residual).sum(axis=1))


def held_out(model: Model, rows: NDArray[np.bool_], share: Array | None = None) -> HeldOut:
    """Observations of placed points, each held out in its turn.

    Parameters
    ----------
    model : Model
        At the end of its adjustment.
    rows : ndarray of bool, shape (N,)
        Whole tracks, in posed frames; an observation that is not usable took no part in the solve.
    share : ndarray of shape (F,) or None
        Of each frame's tracks, that the rows are; all by default.
    """
    observations = model.observations(rows)
    lin = linearise(model.state, observations)
    weight = np.where(model.usable[rows], robust_weight(lin.residual, _CAUCHY), 0.0)[:, None, None]
    A = lin.by_pose[:, :, :3] if model.nodal else lin.by_pose
    T = _unexplained(lin.by_point, weight, observations.point)
    TA = np.matmul(T, A)
    S = _sums(weight * np.matmul(A.transpose(0, 2, 1), TA), observations.camera, len(model.posed))
    if share is not None:
        S = S / np.where(share > 0, share, 1.0)[:, None, None]
    covariance = _inverse(S)
    explained = np.matmul(np.matmul(TA, covariance[observations.camera]), TA.transpose(0, 2, 1))
    return HeldOut(unexplained=T - weight * explained, residual=lin.residual, pose_covariance=covariance)


def frame_trust(model: Model) -> FrameTrust:
    """The trust in each frame of a model at the end of its adjustment.

    Parameters
    ----------
    model : Model
    """
    tracks, n = model.tracks, len(model.posed)
    judged, share = _judged(model)
    missed = judged & ~model.placed[tracks.track]
    judged &= model.placed[tracks.track]
    if not judged.any():
        return FrameTrust(quality=np.zeros(n), pose_sd_px=np.full(n, np.inf))
    found = held_out(model, judged, share)
    frame, redundancy = tracks.frame[judged], found.redundancy
    good = _claimed(model, judged, found.residual) ** 2 * found.squared < _PASSED_SIGMAS**2
    passed = np.bincount(frame, weights=redundancy * good, minlength=n)
    checks = np.bincount(frame, weights=redundancy, minlength=n) + np.bincount(tracks.frame[missed], minlength=n)
    # the assumed misses belong to all tracks of the frame
    quality = passed / (checks + _ASSUMED_MISSES * np.where(share > 0, share, 1.0))
    deviation = _pose_sd_px(model, model.observations(judged), found.pose_covariance)
    return FrameTrust(
        quality=np.where(model.posed, np.clip(quality, 0, 1), 0.0),
        pose_sd_px=np.where(model.posed, deviation, np.inf),
    )


def _judged(model: Model) -> tuple[NDArray[np.bool_], Array]:
    """Observations (N,) of the tracks that are judged, and the share (F,) of each frame's that they are.

    One track in so many, and all of those that are seen where few are.
    """
    tracks, n = model.tracks, len(model.posed)
    rows = model.posed[tracks.frame] & model.still[tracks.track]
    views = np.bincount(tracks.track[rows], minlength=tracks.n_tracks)
    rows &= (views >= least_views(model))[tracks.track]
    total = np.bincount(tracks.frame[rows], minlength=n)
    step = max(int(np.ceil(np.median(total[model.posed]) / _JUDGED_TRACKS)), 1)
    which = np.arange(tracks.n_tracks) % step == 0
    few = np.bincount(tracks.frame[rows & which[tracks.track]], minlength=n) < np.minimum(total, _JUDGED_TRACKS / 2)
    which[tracks.track[rows & few[tracks.frame]]] = True
    judged = rows & which[tracks.track]
    return judged, np.bincount(tracks.frame[judged], minlength=n) / np.maximum(total, 1)


def _claimed(model: Model, judged: NDArray[np.bool_], residual: Array) -> Array:
    """Factors (n,) from the deviations that the solve gave the observations to those that their tracks claim.

    The tracks' are brought to the scale of the shot first, see `_MOST_SCALE`.
    """

    def area(whitening: Array) -> Array:
        return np.asarray(whitening[:, 0, 0] * whitening[:, 1, 1] - whitening[:, 0, 1] * whitening[:, 1, 0])

    factor = np.sqrt(area(whitening_of(model.tracks.covariance[judged])) / area(model.whitening[judged]))
    used = model.usable[judged]
    squared = (factor**2 * (residual**2).sum(axis=1))[used]
    # the median of |e|^2 is 2 ln 2 for unit noise
    scale = float(np.sqrt(np.median(squared) / (2 * np.log(2)))) if len(squared) else 1.0
    return np.asarray(factor / np.clip(scale, _LEAST_SCALE, _MOST_SCALE))


def _unexplained(B: Array, weight: Array, point: NDArray[np.int64]) -> Array:
    """T (n, 2, 2) of observations sorted by point, with weights (n, 1, 1)."""
    Bt = B.transpose(0, 2, 1)
    first = np.append(True, np.diff(point) > 0)
    inverse = _inverse(np.add.reduceat(weight * np.matmul(Bt, B), np.flatnonzero(first), axis=0))
    return np.asarray(np.eye(2) - weight * np.matmul(np.matmul(B, inverse[np.cumsum(first) - 1]), Bt))


def _sums(blocks: Array, row: NDArray[np.int64], n: int) -> Array:
    """Sums (n, k, k) of blocks (N, k, k) by their row."""
    k = blocks.shape[1]
    flat = blocks.reshape(len(blocks), -1)
    sums = [np.bincount(row, weights=flat[:, i], minlength=n) for i in range(k * k)]
    return np.asarray(np.stack(sums, axis=1), dtype=np.float64).reshape(n, k, k)


def _inverse(blocks: Array) -> Array:
    """Inverses of blocks (n, k, k), their diagonals raised by what rounding needs."""
    blocks = blocks.copy()
    diagonal = np.einsum("nii->ni", blocks)
    diagonal *= 1 + 1e-9
    diagonal += 1e-12 * diagonal.max(initial=1.0)
    return np.linalg.inv(blocks)


def _pose_sd_px(model: Model, observations: Observations, inverse: Array) -> Array:
    """See `FrameTrust`; from the inverses (F, 6, 6) or (F, 3, 3) of each frame's S."""
    state, n = model.state, len(model.posed)
    q = camera_points(state, observations)
    nearness = state.X[observations.point, 3] / np.maximum(q[:, 2], 1e-9)
    order = np.lexsort((nearness, observations.camera))
    starts = np.searchsorted(observations.camera[order], np.arange(n + 1))
    middle = np.minimum((starts[:-1] + starts[1:]) // 2, len(order) - 1)
    rho = np.repeat(np.maximum(nearness[order[middle]], 0.0), len(_GRID) ** 2)

    share = np.stack(np.meshgrid(_GRID, _GRID), axis=-1).reshape(-1, 2)
    frame = np.repeat(np.arange(n), len(share))
    xy = np.tile(share * np.array(model.size), (n, 1))
    ray = (xy - state.lens[PRINCIPAL_X : PRINCIPAL_Y + 1]) / state.focal_px[frame][:, None]
    ahead = np.concatenate([ray, np.ones((len(ray), 1))], axis=1)
    X = np.einsum("nji,nj->ni", state.R[frame], ahead - rho[:, None] * state.t[frame])
    X = np.concatenate([X, rho[:, None]], axis=1)
    grid = State(
        R=state.R,
        t=state.t,
        X=X / np.sqrt((X**2).sum(axis=1))[:, None],
        lens=state.lens,
        zoom=state.zoom,
    )
    seen = Observations(
        camera=frame, point=np.arange(len(frame)), xy=xy, whitening=np.tile(np.eye(2), (len(frame), 1, 1))
    )
    A = linearise(grid, seen, with_points=False).by_pose[:, :, : inverse.shape[1]]
    square = np.einsum("nij,njk,nik->n", A, inverse[frame], A)
    return np.sqrt(np.maximum(square, 0.0).reshape(n, -1).mean(axis=1))
