"""Warps that change smoothly from frame to frame, and what that says of the positions.

A patch of little texture is placed badly for a reason of its own: its affine warp is unknown, and a wrong warp is made
up for by a wrong position. But the warps of a track are those of one piece of surface before a moving camera, and
hardly differ from what the frames before and after foretell. So the warp of each observation is predicted by a straight
line through its neighbours' within the track, and the position takes what follows from the difference: with the joint
covariance S of position p and warp a, and Q the covariance of the prediction's error,

    p <- p + S_pa (Q + S_aa)^-1 (a_predicted - a),   S_pp <- S_pp - S_pa (Q + S_aa)^-1 S_ap

(a Kalman update). How far warps really stray from a straight line, by a shaken or turning camera, is measured in each
frame on the patches whose warps are known best, and enters Q: a patch with much texture and a frame of wild motion go
by what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# frames on either side through which the line is drawn: 2, 4 and 8 gave the same focal lengths within 5 %
_REACH = 4
# fewer warps in a frame do not tell how far they stray
_LEAST_IN_FRAME = 20
# median of the square of a normal variable of unit variance
_MEDIAN_SQUARE = 0.455


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Warps foretold by those of the frames around.

    Attributes
    ----------
    warp : ndarray of shape (N, 2, 2)
    variance : ndarray of shape (N,)
        Of the prediction, for warps of unit variance; infinite where a track is too short for one.
    """

    warp: Array
    variance: Array


def predict_warps(track: NDArray[np.int64], frame: NDArray[np.int64], warp: Array) -> Prediction:
    """Each warp from its neighbours within the track: the value there of the straight line through them.

    Parameters
    ----------
    track, frame : ndarray of int64, shape (N,)
        Sorted by track, then frame.
    warp : ndarray of shape (N, 2, 2)
    """
    n = len(track)
    count, first, second = np.zeros(n), np.zeros(n), np.zeros(n)
    total, moment = np.zeros((n, 2, 2)), np.zeros((n, 2, 2))
    for step in range(1, min(_REACH, n - 1) + 1):
        near = np.flatnonzero((track[step:] == track[:-step]) & (frame[step:] - frame[:-step] <= _REACH))
        for here, there in ((near, near + step), (near + step, near)):
            away = (frame[there] - frame[here]).astype(np.float64)
            count[here] += 1
            first[here] += away
            second[here] += away**2
            total[here] += warp[there]
            moment[here] += away[:, None, None] * warp[there]
    determinant = count * second - first**2
    known = determinant > 0.5
    scale = 1 / np.where(known, determinant, 1)
    return Prediction(
        warp=(second * scale)[:, None, None] * total - (first * scale)[:, None, None] * moment,
        variance=np.where(known, second * scale, np.inf),
    )


def steadied(
    frame: NDArray[np.int64], theta: Array, covariance: Array, foretold: Array, variance: Array
) -> tuple[Array, Array]:
    """Positions and their covariances, given what the frames around say of the warps.

    Parameters
    ----------
    frame : ndarray of int64, shape (N,)
    theta : ndarray of shape (N, 6)
        Position and warp as found.
    covariance : ndarray of shape (N, 6, 6)
        Of `theta`.
    foretold : ndarray of shape (N, 4)
        The warp as predicted.
    variance : ndarray of shape (N,)
        As in `Prediction`.

    Returns
    -------
    position : ndarray of shape (N, 2)
    covariance : ndarray of shape (N, 2, 2)
    """
    position, spread = theta[:, :2].copy(), covariance[:, :2, :2].copy()
    known = np.flatnonzero(np.isfinite(variance))
    if not len(known):
        return position, spread
    off = foretold[known] - theta[known, 2:]
    total = covariance[known, 2:, 2:] * (1 + variance[known])[:, None, None]
    stray = _stray(frame[known], off, np.einsum("nii->ni", total).mean(axis=1))
    total[:, range(4), range(4)] += stray[frame[known], None]
    cross = covariance[known, :2, 2:]
    gain = np.matmul(cross, np.linalg.inv(total))
    position[known] += np.matmul(gain, off[:, :, None])[:, :, 0]
    spread[known] -= np.matmul(gain, cross.transpose(0, 2, 1))
    return position, spread


def _stray(frame: NDArray[np.int64], off: Array, noise: Array) -> Array:
    """By frame, the variance of a warp's element about its prediction beyond `noise` (n,), from the best known half."""
    out = np.full(int(frame.max()) + 1, 1e-8)
    order = np.argsort(frame, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(frame[order])) + 1):
        if len(rows) >= _LEAST_IN_FRAME:
            best = rows[noise[rows] <= np.median(noise[rows])]
            out[frame[rows[0]]] += max(float(np.median(off[best] ** 2) / _MEDIAN_SQUARE - np.median(noise[best])), 0.0)
        else:
            out[frame[rows[0]]] = np.inf
    return out
