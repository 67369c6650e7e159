"""The camera's velocity in each frame, for a rolling shutter: from the poses before and after.

An adjustment of all frames moves the velocities with the poses (`bundle.rolling`); one of some frames holds them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bundle.residuals import READOUT, Array
from ..bundle.rolling import stencil
from .model import Model

# of the readout, in frames: a sensor is read in less than the time of a frame
READOUT_SD = 0.5


def with_velocity(model: Model) -> Model:
    """The model with the velocity of every posed frame; see `velocities`."""
    posed = np.flatnonzero(model.posed)
    state = model.state
    velocity = np.zeros((len(model.posed), 7))
    velocity[posed] = velocities(state.R[posed], state.t[posed], state.zoom[posed], model.times[posed])
    return replace(model, state=replace(state, velocity=velocity))


def velocities(R: Array, t: Array, zoom: Array, times: Array) -> Array:
    """Turn, change of t and rate of the zoom, all a frame, shape (n, 7), as in `State`; see `stencil`.

    Parameters
    ----------
    R : ndarray of shape (n, 3, 3), t : ndarray of shape (n, 3)
        cam_from_world of the frames that are posed.
    zoom : ndarray of shape (n,)
        Logarithm of the focal length.
    times : ndarray of shape (n,), frames, rising
    """
    return stencil(R, times).velocities(R, t, zoom)


def without_readout(model: Model) -> Model:
    """The model with a global shutter."""
    lens = model.state.lens.copy()
    lens[READOUT] = 0.0
    return replace(
        model, rolling=False, state=replace(model.state, lens=lens, velocity=np.zeros((len(model.posed), 7)))
    )
