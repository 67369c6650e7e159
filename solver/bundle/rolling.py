"""How a rolling shutter ties what a camera sees to the poses before and after it.

The velocity (w, v, r) of a camera is a mean of the steps from pose to pose around it (`Stencil`), so that a row that is
exposed tau frames late sees a mean of several poses (Hedborg et al., Rolling shutter bundle adjustment, 2012, where
rows see two). With D the derivative of the velocities by the poses, a change x_k of the poses is for an observation n
of camera i that of a pose changed by

    x_i + tau_n sum_k D_ik x_k

where w is taken for the difference of small turns. Were the velocities held in an adjustment, the poses would make up
for what is wrong with them, and be wrong themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

# poses on either side that tell a velocity
REACH = 2
# frames: steps over more tell nothing
_LONGEST_STEP = 2
# a step leads over a dropped frame where it is so many times as long as those beside it, and but for these shares of
# them they all are one turn: what shakes a hand also makes a step long, and turns elsewhere
_DROPPED = 1.7
_BENT = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Stencil:
    """How velocities are taken from poses.

    Attributes
    ----------
    weights : ndarray of shape (C, C - 1)
        Of each step from a pose to the next, in each camera's velocity.
    gap : ndarray of shape (C - 1,)
        Frames from a pose to the next.
    by_pose : ndarray of shape (C, C)
        D: derivative of the velocities by the poses, 1/frames. It reaches `REACH` beside the diagonal.
    """

    weights: Array
    gap: Array
    by_pose: Array

    def velocities(self, R: Array, t: Array, zoom: Array) -> Array:
        """Turn, change of t and rate of the zoom, all a frame, shape (C, 7), as in `State`."""
        return np.asarray(self.weights @ _steps(R, t, zoom, self.gap))


def stencil(R: Array, times: Array) -> Stencil:
    """Of the polynomial through the poses two frames before to two after; of the mean step where there are fewer.

    Poses without a neighbour within two frames get no velocity.

    Parameters
    ----------
    R : ndarray of shape (C, 3, 3)
        cam_from_world of the frames that are posed; a step over a frame that was dropped tells no velocity.
    times : ndarray of shape (C,), frames, rising
    """
    n = len(R)
    if n < 2:
        return Stencil(weights=np.zeros((n, 0)), gap=np.zeros(0), by_pose=np.zeros((n, n)))
    gap = np.diff(times)
    near = (gap <= _LONGEST_STEP) & ~_over_dropped(_steps(R, np.zeros((n, 3)), np.zeros(n), gap)[:, :3])
    known = np.stack([np.append(False, near), np.append(near, False)])
    share = known / np.maximum(known.sum(axis=0), 1)
    weights = np.zeros((n, n - 1))
    step = np.arange(n - 1)
    weights[step + 1, step] = share[0, 1:]
    weights[step, step] = share[1, :-1]
    # what shakes a hand bends within two frames: the next two steps tell by how much
    both = known.all(axis=0)
    inner = np.flatnonzero(both[:-2] & both[1:-1] & both[2:]) + 1
    weights[inner] *= 14 / 12
    weights[inner, inner - 2] -= 1 / 12
    weights[inner, inner + 1] -= 1 / 12
    by_pose = np.zeros((n, n))
    by_pose[:, 1:] += weights / gap
    by_pose[:, :-1] -= weights / gap
    return Stencil(weights=weights, gap=gap, by_pose=by_pose)


def _over_dropped(turn: Array) -> NDArray[np.bool_]:
    """Which of the turns (K, 3) from a pose to the next lead over a frame that was dropped and is not counted."""
    before, step, after = turn[:-2], turn[1:-1], turn[2:]
    usual = (before + after) / 2
    size = (usual**2).sum(axis=1)
    times = (step * usual).sum(axis=1) / np.maximum(size, 1e-300)
    aside = ((step - times[:, None] * usual) ** 2).sum(axis=1)
    even = ((before - after) ** 2).sum(axis=1) < 4 * _BENT**2 * size
    dropped = np.zeros(len(turn), dtype=bool)
    dropped[1:-1] = (times > _DROPPED) & (aside < (_BENT * times) ** 2 * size) & even
    return dropped


def _steps(R: Array, t: Array, zoom: Array, gap: Array) -> Array:
    """w with R_next = exp(w gap) R, the change of t that the turn does not make, and that of the zoom, a frame."""
    turn = Rotation.from_matrix(R[1:] @ R[:-1].transpose(0, 2, 1)).as_rotvec()
    return np.concatenate([turn, np.diff(t, axis=0), np.diff(zoom)[:, None]], axis=1) / gap[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """The observations' share in the poses around their own.

    Attributes
    ----------
    by_pose : ndarray of shape (C, C)
        D.
    late : ndarray of shape (N,)
        tau, frames.
    """

    by_pose: Array
    late: Array


def at_rows(rolling: Rolling | None, values: Array, camera: NDArray[np.int64]) -> Array:
    """Changes (C, K) of the cameras as the observations (N, K) see them; without a rolling shutter each its own."""
    if rolling is None:
        return values[camera]
    return np.asarray(values[camera] + rolling.late[:, None] * (rolling.by_pose @ values)[camera])


def by_cameras(rolling: Rolling | None, values: Array, camera: NDArray[np.int64], n_cameras: int) -> Array:
    """The transpose: sums (C, K) over the observations (N, K)."""
    own = _summed(values, camera, n_cameras)
    if rolling is None:
        return own
    return np.asarray(own + rolling.by_pose.T @ _summed(values * rolling.late[:, None], camera, n_cameras))


def _summed(values: Array, camera: NDArray[np.int64], n_cameras: int) -> Array:
    return np.stack([np.bincount(camera, weights=column, minlength=n_cameras) for column in values.T], axis=1)


def spread_blocks(rolling: Rolling, once: Array, twice: Array) -> Array:
    """What poses share through velocities, shape (6 C, 6 C), to be added to the sums of A^T A over each camera.

    Parameters
    ----------
    once, twice : ndarray of shape (C, 6, 6)
        Sums of tau A^T A and of tau^2 A^T A.
    """
    n = len(once)
    blocks = np.zeros((n, 6, n, 6))
    i = np.arange(n)
    offsets = range(-REACH, REACH + 1)
    # by offset, the neighbours that exist and D
    beside = {p: (at, at + p, rolling.by_pose[at, at + p]) for p in offsets if len(at := i[(i + p >= 0) & (i + p < n)])}
    for at, k, d in beside.values():
        product = d[:, None, None] * once[at]
        blocks[at, :, k, :] += product
        blocks[k, :, at, :] += product.transpose(0, 2, 1)
    for p in beside:
        for q in beside:
            at = i[(i + p >= 0) & (i + p < n) & (i + q >= 0) & (i + q < n)]
            share = rolling.by_pose[at, at + p] * rolling.by_pose[at, at + q]
            blocks[at + p, :, at + q, :] += share[:, None, None] * twice[at]
    return blocks.reshape(6 * n, 6 * n)
