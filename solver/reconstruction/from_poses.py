"""The start of a reconstruction where poses and focal length are known: nothing is to be searched for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .knowledge import focal_known
from .model import Model, place_points

# as many frames in a row, and points that they place, as a search for the first frames would take
_LEAST_FRAMES = 6
_LEAST_POINTS = 40


def seeded_by_poses(model: Model) -> Model | None:
    """The model with the longest run of frames whose poses are known posed, and the points placed that they see.

    None where the focal length is not known, the run is short, or it places few points: the camera must move in it.
    """
    known = np.array([int(time) in model.known.poses for time in model.times])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
    runs = edges.reshape(-1, 2)
    if not focal_known(model.known) or not len(runs):
        return None
    first, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    if stop - first < _LEAST_FRAMES:
        return None
    R, t, posed = model.state.R.copy(), model.state.t.copy(), model.posed.copy()
    for i in range(first, stop):
        pose = model.known.poses[int(model.times[i])]
        R[i], posed[i] = pose.R_cam_from_world, True
        if not model.nodal:
            t[i] = pose.t_cam_from_world
    model = replace(model, state=replace(model.state, R=R, t=t), posed=posed, located=True)
    model = place_points(model, np.ones_like(model.placed))
    return model if model.placed.sum() >= _LEAST_POINTS else None
