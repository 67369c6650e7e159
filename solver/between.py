"""Cameras between those that were solved, and how far they may be off.

Where there is no pose the camera is interpolated from its neighbours, or stays as the last one at an end. What it did
there is not known, but what it does elsewhere is: the same frames are left out at other places of the path, where the
poses are known, and interpolated in the same way. The RMS of what that misses, at the nearest such places, is the
deviation: it grows with the distance from the neighbours, quickly for a camera that shakes and slowly for one that
glides. Of gaps too long for the path the longest that it holds are measured, and scaled: a camera that accelerates
evenly is missed by half its acceleration times s u between neighbours s and u frames away, one that moves evenly by its
speed times s beyond the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

Array = NDArray[np.float64]

# so many places of the path nearest to a gap say how it moves there
_PLACES = 40
# fewer say little
_LEAST_PLACES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """A camera's path, lens included.

    Attributes
    ----------
    R : ndarray of shape (F, 3, 3)
        cam_from_world.
    centre : ndarray of shape (F, 3)
        In the world.
    log_focal : ndarray of shape (F,)
        Logarithm of the focal length.
    """

    R: Array
    centre: Array
    log_focal: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Standard deviations of an interpolation, zero where nothing was interpolated.

    Attributes
    ----------
    rotation : ndarray of shape (F, 3), radians about the camera's axes
    position : ndarray of shape (F, 3), scene units along the world's axes
    log_focal : ndarray of shape (F,)
    """

    rotation: Array
    position: Array
    log_focal: Array


def interpolated(R: Array, centre: Array, posed: NDArray[np.bool_], times: Array) -> tuple[Array, Array]:
    """R (F, 3, 3) and centres (F, 3) of all frames: those not posed between their neighbours', the ends as the nearest.

    Parameters
    ----------
    R : ndarray of shape (F, 3, 3), centre : ndarray of shape (F, 3)
        Used where posed.
    posed : ndarray of bool, shape (F,)
        One at least.
    times : ndarray of shape (F,), rising
    """
    at, lost = np.flatnonzero(posed), ~posed
    R, centre = R.copy(), centre.copy()
    if not lost.any():
        return R, centre
    inside = np.clip(times[lost], times[at[0]], times[at[-1]])
    if len(at) > 1:
        R[lost] = Slerp(times[at], Rotation.from_matrix(R[at]))(inside).as_matrix()
    else:
        R[lost] = R[at[0]]
    centre[lost] = np.stack([np.interp(inside, times[at], centre[at, i]) for i in range(3)], axis=1)
    return R, centre


def interpolation_missed(motion: Motion, posed: NDArray[np.bool_], times: Array) -> Missed:
    """How far the frames that are not posed may be off, as the posed ones tell; see the header.

    Parameters
    ----------
    motion : Motion
        Used where posed.
    posed : ndarray of bool, shape (F,)
    times : ndarray of shape (F,), rising
    """
    out = np.zeros((len(posed), 7))
    at = np.flatnonzero(posed)
    for i in np.flatnonzero(~posed):
        before, after = at[at < i], at[at > i]
        back = times[i] - times[before[-1]] if len(before) else None
        ahead = times[after[0]] - times[i] if len(after) else None
        out[i] = _deviation(motion, times[at], at, float(times[i]), back, ahead)
    return Missed(rotation=out[:, :3], position=out[:, 3:6], log_focal=out[:, 6])


def _deviation(
    motion: Motion, posed_times: Array, at: NDArray[np.intp], time: float, back: float | None, ahead: float | None
) -> Array:
    """Turn, place and zoom (7,) missed at a time, from neighbours `back` and `ahead` of it; None: there is none."""
    spans = [span for span in (back, ahead) if span is not None]
    shrink = 1.0
    while True:
        back_now, ahead_now = (None if span is None else max(np.floor(span * shrink), 1.0) for span in (back, ahead))
        middle, left, right = _places(posed_times, back_now, ahead_now)
        least = all(span is None or span == 1.0 for span in (back_now, ahead_now))
        if len(middle) >= _LEAST_PLACES or least:
            break
        shrink *= 0.8
    if not len(middle):
        # nothing else is known of so short a path: as far as it reaches
        missed = _missed(motion, at[-1:], at[:1], at[:1], np.zeros(1))
        return np.asarray(np.abs(missed[0]))
    nearest = np.argsort(np.abs(posed_times[middle] - time), kind="stable")[:_PLACES]
    middle, left, right = middle[nearest], left[nearest], right[nearest]
    if back_now is None or ahead_now is None:
        weight = np.zeros(len(middle))
    else:
        weight = np.full(len(middle), back_now / (back_now + ahead_now))
    missed = _missed(motion, at[middle], at[left], at[right], weight)
    shrunk = [span for span in (back_now, ahead_now) if span is not None]
    return np.asarray(np.sqrt((missed**2).mean(axis=0)) * np.prod(spans) / np.prod(shrunk))


def _places(
    times: Array, back: float | None, ahead: float | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Indices into rising times of what can be left out, and of its neighbours; at an end both are the nearest one."""
    n = len(times)
    middle = np.arange(n)

    def neighbour(span: float) -> NDArray[np.intp]:
        found = np.minimum(np.searchsorted(times, times + span - 1e-6), n - 1)
        return np.where(np.abs(times[found] - times - span) < 1e-3, found, -1)

    left = neighbour(-back) if back is not None else None
    right = neighbour(ahead) if ahead is not None else None
    left = right if left is None else left
    right = left if right is None else right
    assert left is not None and right is not None
    good = (left >= 0) & (right >= 0)
    return middle[good], left[good], right[good]


def _missed(
    motion: Motion, middle: NDArray[np.intp], left: NDArray[np.intp], right: NDArray[np.intp], weight: Array
) -> Array:
    """Turn, place and zoom (n, 7) of the middle frames beside what is interpolated; `weight` (n,) of the right one."""
    from_left = Rotation.from_matrix(motion.R[right] @ motion.R[left].transpose(0, 2, 1)).as_rotvec()
    R = Rotation.from_rotvec(weight[:, None] * from_left).as_matrix() @ motion.R[left]
    turn = Rotation.from_matrix(motion.R[middle] @ R.transpose(0, 2, 1)).as_rotvec()
    values = np.concatenate([motion.centre, motion.log_focal[:, None]], axis=1)
    between = (1 - weight[:, None]) * values[left] + weight[:, None] * values[right]
    return np.concatenate([turn, values[middle] - between], axis=1)
