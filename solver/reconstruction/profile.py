"""How far the focal length is really known, where its deviation is large.

A deviation is that of a parabola fitted at the optimum. The valley of focal length and depth is curved and can be flat
far away from there: a camera that moves without turning fits every focal length alike. So the cost is followed to a
longer and a shorter lens, with all else adjusted: where it rises by D over a change d of the logarithm of the focal
length, the data tell it no better than d / sqrt(D) (the profile likelihood; Venzon and Moolgavkar, A method for
computing profile-likelihood-based confidence intervals, 1988). Where it falls, the valley goes on there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bundle.adjust import robust_cost
from ..bundle.residuals import FOCAL, residuals
from ..progress import Progress
from .explore import stretched
from .finish import Finished, finish
from .knowledge import focal_known
from .model import Model, adjust_frames, least_views, sub_problem

# a focal length that is better known than this is not asked about
_WELL_KNOWN = 0.007
_FACTORS = (1.4, 1 / 1.4)
_ITERATIONS = 25
# a fall of the cost that is worth another adjustment, and a rise below which there is none
_FALL = 1.0
_LEAST_RISE = 1e-2
_MOST_WALKS = 3
_WRONG = 2.0


def profiled(found: Finished, progress: Progress) -> Finished:
    """The end of the valley in which a reconstruction lies, and the least deviation that the valley leaves.

    Parameters
    ----------
    found : Finished
        Of a camera that moves and does not zoom; any other comes back as it is, and so does one whose focal length is
        well known, held, or known beforehand.
    progress : Progress
    """
    model = found.model
    if model.nodal or model.zooms or FOCAL not in found.options.free_lens or focal_known(model.known):
        return found
    for walk in range(_MOST_WALKS):
        deviation = float(found.deviations[1].log_focal[0])
        if deviation < _WELL_KNOWN:
            return found
        progress(walk / _MOST_WALKS, "Following the focal length")
        tried = [(factor, *_followed(found, factor)) for factor in _FACTORS]
        rise, moved = min(((rise, moved) for _, rise, moved in tried), key=lambda pair: pair[0])
        if rise > -_FALL or walk == _MOST_WALKS - 1:
            least = max(abs(float(np.log(factor))) / max(rise, _LEAST_RISE) ** 0.5 for factor, rise, _ in tried)
            # a parabola that is about right stays: it knows of the errors that tracks share
            return replace(found, least_log_focal_sd=least) if least > _WRONG * deviation else found
        found = replace(finish(moved, progress), reasons=found.reasons)
    return found


def _followed(found: Finished, factor: float) -> tuple[float, Model]:
    """By how much the cost rises to a focal length that is so many times as long, and the model there."""
    held = tuple(i for i in found.options.free_lens if i != FOCAL)
    options = replace(found.options, free_lens=held, iterations=_ITERATIONS)
    views = least_views(found.model)
    moved, _ = adjust_frames(stretched(found.model, factor), found.frames, options, views)
    return _cost(moved, found) - _cost(found.model, found), moved


def _cost(model: Model, found: Finished) -> float:
    _, _, state, observations, _ = sub_problem(model, found.frames, least_views(model))
    return robust_cost(residuals(state, observations), found.options.cauchy)
