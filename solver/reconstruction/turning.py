"""From a camera that moves without showing it to one that only turns.

A moving camera explains a little more of the tracks of one that turns: noise, a shutter, an axis that the pupil is not
on; and a principal point off the middle of the picture it explains by parallax that is not there. So a camera that only
turns is adjusted from there too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import BundleOptions
from ..bundle.residuals import PRINCIPAL_X, PRINCIPAL_Y
from ..errors import SolverError
from ..progress import Progress
from .finish import Finished, finish
from .grow import growing_options, keyframes
from .knowledge import told_to_move
from .misfit import earns_its_freedom, plain_noise
from .model import Model, adjust_frames, least_views, place_points
from .parallax import shows_parallax
from .shutter import with_velocity

# of the principal point, as a share of the picture's larger side: that of whole pictures, not of crops
_PRINCIPAL_SD = 0.02
# how many times as large the residuals of a camera that only turns may be, and which share of the observations that fit
# one that moves it must keep: somebody who walks through fits one that moves too. What is no scene at all, as grain is,
# fits points that may lie anywhere far better
_AS_WELL = 1.35
_KEEPS = 0.8
# deviation of the log focal length of a camera that moves from which it tells none: the valley leaves twice as much
_UNTOLD = 0.12
# before all is adjusted: residuals as many times as large, and the share of the tracks that must have a place
_NEAR = 5.0
_NEARLY_ALL = 0.8
_KEYFRAMES = 16
_LARGEST_SPACING = 4
# how far off the points of a lens in the wrong valley may be, as a share of the picture's larger side
_ROUGH = 0.05
_CAUCHY = 2.5


def turning_instead(found: Finished, progress: Progress, settled: bool = True) -> Finished:
    """The camera that only turns in place of one that was found to move, where it is the better explanation.

    It is if moving does not earn its freedom, or if turning explains the tracks about as well and moving tells nothing:
    no parallax, or no focal length.

    Parameters
    ----------
    found : Finished
    progress : Progress
    settled : bool
        Whether other beginnings were tried. The parallax of a first attempt in the wrong valley means nothing.

    Returns
    -------
    Finished
        What was found, if it is known to move or turning is no better.
    """
    model = found.model
    if model.nodal or told_to_move(model):
        return found
    try:
        standing = _standing(model)
        if not _near(standing, model):
            return found
        turning = replace(finish(_whole(standing, model.posed), progress), reasons=found.reasons)
    except SolverError:
        return found
    return turning if explains_as_well(turning, found, settled) else found


def explains_as_well(turning: Finished, moving: Finished, settled: bool = True) -> bool:
    """Whether a camera that turns is the better explanation than one that moves; see `turning_instead`.

    What moves by itself is what the moving one left out.
    """
    plain, free = replace(turning.model, still=moving.model.still), moving.model
    if not turning.converged:
        return False
    if not earns_its_freedom(plain, free):
        return True
    kept = [int(one.rows(one.posed).sum()) for one in (free, turning.model)]
    as_well = plain_noise(turning.model) < _AS_WELL * plain_noise(free) and kept[1] >= _KEEPS * kept[0]
    untold = not shows_parallax(free) or float(np.median(moving.deviations[1].log_focal)) > _UNTOLD
    return settled and as_well and untold


def with_principal_point(options: BundleOptions, model: Model) -> BundleOptions:
    """`options` of an adjustment in which the principal point is free where the camera only turns.

    A picture that turns shows where its middle is, and takes a wrong one for another focal length.
    """
    mean, sd = options.priors.lens_mean, options.priors.lens_sd
    if not model.nodal or mean is None or sd is None:
        return options
    mean, sd = mean.copy(), sd.copy()
    mean[[PRINCIPAL_X, PRINCIPAL_Y]] = np.array(model.size) / 2
    sd[[PRINCIPAL_X, PRINCIPAL_Y]] = _PRINCIPAL_SD * max(model.size)
    free = tuple(sorted({*options.free_lens, PRINCIPAL_X, PRINCIPAL_Y}))
    return replace(options, free_lens=free, priors=replace(options.priors, lens_mean=mean, lens_sd=sd))


def _standing(model: Model) -> Model:
    """The same turns in one place, and a lens to them: a part of the frames."""
    state = model.state
    state = replace(state, t=np.zeros_like(state.t), velocity=np.zeros_like(state.velocity))
    model = replace(model, nodal=True, state=state, usable=model.still[model.tracks.track])
    model = with_velocity(model) if model.rolling else model
    few = keyframes(model.posed, max(_KEYFRAMES, int(model.posed.sum()) // _LARGEST_SPACING))
    model = replace(model, posed=few)
    model = place_points(model, model.still, least_views(model), _ROUGH * max(model.size))
    options = replace(with_principal_point(growing_options(model), model), cauchy=_CAUCHY)
    model = adjust_frames(model, few, options, least_views(model))[0]
    return place_points(model, model.placed, least_views(model))


def _near(standing: Model, moving: Model) -> bool:
    """Whether a camera in one place explains the part of the frames nearly, so that all is worth adjusting."""
    views = np.bincount(moving.tracks.track[moving.rows(standing.posed)], minlength=len(moving.placed))
    told = int((views >= least_views(standing)).sum())
    return int(standing.placed.sum()) > _NEARLY_ALL * told and plain_noise(standing) < _NEAR * plain_noise(moving)


def _whole(model: Model, posed: NDArray[np.bool_]) -> Model:
    """All frames again, and the points of all tracks."""
    model = replace(model, posed=posed)
    return place_points(model, model.still, least_views(model))
