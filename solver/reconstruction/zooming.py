"""A lens that zooms in place of one that was found to hold its focal length.

A dolly zoom passes for a camera that hardly moves, of one focal length. From there the way to the zoom leads downhill
along one valley, and is found more surely than from nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import SolverError
from ..progress import Progress
from .finish import Finished, finish
from .grow import grow
from .knowledge import may_zoom
from .misfit import earns_its_freedom

# a change of the focal length is tried where one of its forms is so many deviations away from none, and so large
_HINT_SIGMAS = 3.5
_HINT_LEAST = 0.01
# what comes out must change by so much, and by so many of its deviations
_TOLD_LEAST = 0.02
_TOLD_SIGMAS = 3.0
# of one adjustment: where the way is longer, what was found is no neighbour of a zoom
_MOST_ITERATIONS = 50


def zooming_instead(found: Finished, progress: Progress) -> Finished:
    """The lens that zooms where the data hint at it, and tell it once it may.

    Parameters
    ----------
    found : Finished
    progress : Progress

    Returns
    -------
    Finished
        What was found, if its focal length is known to hold or a zoom is no better.
    """
    model = found.model
    if not found.converged or model.nodal or model.zooms or not may_zoom(model):
        return found
    _, sd = found.deviations
    hint = np.abs(sd.probe_step) / np.sqrt(np.diag(sd.probe_covariance))
    if hint.max() < _HINT_SIGMAS or np.sqrt((sd.probe_step**2).sum()) < _HINT_LEAST:
        return found
    try:
        zooming = replace(finish(replace(model, zooms=True), progress, _MOST_ITERATIONS), reasons=found.reasons)
        if zooming.converged and not zooming.model.posed.all():
            # frames that one focal length could not pose
            zooming = replace(finish(grow(zooming.model), progress, _MOST_ITERATIONS), reasons=found.reasons)
    except SolverError:
        return found
    if not zooming.converged:
        return found
    frames, sd = zooming.deviations
    change = float(np.ptp(zooming.model.state.zoom[frames]))
    told = change > max(_TOLD_LEAST, _TOLD_SIGMAS * float(np.median(sd.log_focal)))
    return zooming if told and earns_its_freedom(model, zooming.model) else found
