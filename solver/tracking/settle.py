"""The last word on a track's positions, once the track has ended.

While a track lives it is aligned to its first patch. That patch has its own noise, and shows the surface from one end
of the move. At the end, the mean of all the track's patches, each as it was aligned, is a better template: less noisy,
and seen from the middle. One Gauss-Newton step against it, by the same linear system as in `align`, settles every
observation; the residual's size gives the covariance of position and warp, and what the frames around say of the warp
(`warps`) makes the position steadier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .align import Array32, Patch, steepest_descent, weighted_solver
from .warps import predict_warps, steadied

# an observation is never better than this, whatever the patch says: interpolation and compression
_LEAST_DEVIATION_PX = 0.03
# a patch that wants to move further than a linear step reaches was not aligned
_LARGEST_SHIFT_PX = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Observations with the patches that were seen: track, frame (N,), OpenCV position (N, 2), warp (N, 2, 2), values
    (N, M) as bytes."""

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    position: Array32
    warp: Array32
    values: NDArray[np.uint8]

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Rows:
        """The rows of a mask or an order."""
        return Rows(
            track=self.track[keep],
            frame=self.frame[keep],
            position=self.position[keep],
            warp=self.warp[keep],
            values=self.values[keep],
        )

    def sorted(self) -> Rows:
        """By track, then frame."""
        return self.select(np.lexsort((self.frame, self.track)))


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of all parts."""
    return Rows(
        track=np.concatenate([part.track for part in parts]),
        frame=np.concatenate([part.frame for part in parts]),
        position=np.concatenate([part.position for part in parts]),
        warp=np.concatenate([part.warp for part in parts]),
        values=np.concatenate([part.values for part in parts]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Observations at their final OpenCV positions (N, 2), pixels, with covariances (N, 2, 2)."""

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    position: NDArray[np.float64]
    covariance: NDArray[np.float64]


def settle(rows: Rows, patch: Patch, least_correlation: float) -> Settled:
    """Settle whole tracks.

    Parameters
    ----------
    rows : Rows
        Sorted by track.
    patch : Patch
    least_correlation : float
        With the mean patch; observations below are dropped.
    """
    starts = np.flatnonzero(np.append(True, np.diff(rows.track) > 0))
    count = np.diff(np.append(starts, len(rows.track)))
    slot = np.repeat(np.arange(len(starts)), count)

    values = patch.centred(rows.values.astype(np.float32))
    values /= patch.spread(values)[:, None]
    mean = np.add.reduceat(values, starts, axis=0) / count[:, None]
    template = patch.centred(mean.astype(np.float32))
    contrast = patch.spread(template)
    square = template.reshape(-1, patch.side, patch.side)
    D = steepest_descent(square, patch).astype(np.float32)
    solver, inverse = weighted_solver(D, patch.window)
    unknowns = D.shape[1]

    correlation = np.empty(len(rows.track), np.float32)
    step = np.empty((len(rows.track), unknowns), np.float32)
    noise2 = np.empty(len(rows.track))
    for i, (start, length) in enumerate(zip(starts.tolist(), count.tolist(), strict=True)):
        # one track at a time: all at once would gather the systems to the size of all patches
        part = slice(start, start + length)
        error = values[part] * contrast[i]
        correlation[part] = error @ (template[i] * patch.window) / contrast[i] ** 2
        error -= template[i]
        step[part] = error @ solver[i].T
        error -= step[part] @ D[i]
        noise2[part] = (error * error) @ patch.window

    # the window's weights add up to 1: for noise of variance s in every pixel, (D w D^T)^-1 D w^2 D^T (D w D^T)^-1 s is
    # close to (D w D^T)^-1 s sum w^2, and the weighted residual's mean square is s (1 - K sum w^2) for K unknowns
    effective = float((patch.window**2).sum())
    variance = noise2 * effective / (1 - unknowns * effective)
    theta = step[:, :6].astype(np.float64)
    warp = rows.warp.astype(np.float64)
    change = np.eye(2) - theta[:, 2:].reshape(-1, 2, 2)
    prediction = predict_warps(rows.track, rows.frame, np.matmul(warp, change))
    foretold = (np.eye(2) - np.matmul(np.linalg.inv(warp), prediction.warp)).reshape(-1, 4)
    place, covariance = steadied(
        rows.frame, theta, inverse[slot, :6, :6] * variance[:, None, None], foretold, prediction.variance
    )
    shift = np.matmul(warp, place[:, :, None])[:, :, 0]
    covariance = np.matmul(np.matmul(warp, covariance), warp.transpose(0, 2, 1))
    covariance[:, [0, 1], [0, 1]] += _LEAST_DEVIATION_PX**2
    keep = (correlation > least_correlation) & ((shift**2).sum(axis=1) < _LARGEST_SHIFT_PX**2)
    return Settled(
        track=rows.track[keep],
        frame=rows.frame[keep],
        position=(rows.position - shift)[keep].astype(np.float64),
        covariance=covariance[keep],
    )
