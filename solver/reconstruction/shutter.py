"""The camera's velocity in each frame, for a rolling shutter: from the poses before and after.

An adjustment holds the velocities; between two of them they are taken from the poses anew, which settles in two or
three rounds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..bundle.residuals import READOUT, Array
from .model import Model

# of the readout, in frames: a sensor is read in less than the time of a frame
READOUT_SD = 0.5
# a step that is this much longer than the one on the other side is a frame that was dropped
_DROPPED = 2.5


def with_velocity(model: Model) -> Model:
    """The model with the velocity of every posed frame; see `velocities`."""
    posed = np.flatnonzero(model.posed)
    state = model.state
    velocity = np.zeros((len(model.posed), 7))
    velocity[posed] = velocities(state.R[posed], state.t[posed], state.zoom[posed], model.times[posed])
    return replace(model, state=replace(state, velocity=velocity))


def velocities(R: Array, t: Array, zoom: Array, times: Array) -> Array:
    """Turn, change of t and rate of the zoom, all a frame, shape (n, 7), as in `State`.

    They are the derivative of the polynomial through the poses two frames before to two after, or the mean of the steps
    to the neighbours where there are fewer. Poses without a neighbour within two frames get none.

    Parameters
    ----------
    R : ndarray of shape (n, 3, 3), t : ndarray of shape (n, 3)
        cam_from_world of the frames that are posed.
    zoom : ndarray of shape (n,)
        Logarithm of the focal length.
    times : ndarray of shape (n,), frames, rising
    """
    if len(R) < 2:
        return np.zeros((len(R), 7))
    gap = np.diff(times)[:, None]
    # w with R_next = exp(w gap) R, and the part of t's change that the turn does not make
    turn = Rotation.from_matrix(R[1:] @ R[:-1].transpose(0, 2, 1)).as_rotvec() / gap
    step = np.concatenate([turn, np.diff(t, axis=0) / gap, np.diff(zoom)[:, None] / gap], axis=1)
    near = gap[:, 0] <= 2
    before, after = np.vstack([np.zeros(7), step]), np.vstack([step, np.zeros(7)])
    known = np.stack([np.append(False, near), np.append(near, False)]).astype(np.float64)
    speed = np.stack([np.linalg.norm(side[:, :3], axis=1) for side in (before, after)])
    slower = np.where(known[::-1] > 0, speed[::-1], np.inf)
    known[(speed > _DROPPED * slower) & (known > 0)] = 0.0
    share = known / np.maximum(known.sum(axis=0), 1)
    mean = share[0][:, None] * before + share[1][:, None] * after
    # what shakes a hand bends within two frames: the next two steps tell by how much
    both = (known > 0).all(axis=0)
    inner = np.flatnonzero(both[:-2] & both[1:-1] & both[2:]) + 1
    mean[inner] = (14 * mean[inner] - before[inner - 1] - after[inner + 1]) / 12
    return np.asarray(mean)


def without_readout(model: Model) -> Model:
    """The model with a global shutter."""
    lens = model.state.lens.copy()
    lens[READOUT] = 0.0
    return replace(
        model, rolling=False, state=replace(model.state, lens=lens, velocity=np.zeros((len(model.posed), 7)))
    )
