"""How far the focal length is really known, where its deviation is large.

A deviation is that of a parabola fitted at the optimum. The valley of focal length and depth is curved and can be flat
far away from there: a camera that moves without turning fits every focal length alike. So the cost is followed to a
longer and a shorter lens, with all else adjusted: where it rises by D over a change d of the logarithm of the focal
length, the data tell it no better than d / sqrt(D) (the profile likelihood; Venzon and Moolgavkar, A method for
computing profile-likelihood-based confidence intervals, 1988).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bundle.adjust import robust_cost
from ..bundle.residuals import FOCAL, residuals
from .explore import stretched
from .finish import Finished
from .knowledge import focal_known
from .model import Model, adjust_frames, least_views, sub_problem

# a focal length that is better known than this is not asked about
_WELL_KNOWN = 0.007
_FACTORS = (1.4, 1 / 1.4)
_ITERATIONS = 25
# a rise of the cost below this is none
_LEAST_RISE = 1e-2


def least_deviation(found: Finished, deviation: float) -> float:
    """The smallest deviation of the logarithm of the focal length that the profile of the cost allows.

    Parameters
    ----------
    found : Finished
    deviation : float
        As the covariance has it.

    Returns
    -------
    float
        0 where the focal length is known well or beforehand, held, or that of a camera that zooms or only turns.
    """
    held_or_known = FOCAL not in found.options.free_lens or focal_known(found.model.known)
    if found.model.nodal or found.model.zooms or deviation < _WELL_KNOWN or held_or_known:
        return 0.0
    held = tuple(i for i in found.options.free_lens if i != FOCAL)
    options = replace(found.options, free_lens=held, iterations=_ITERATIONS)
    cost = _cost(found.model, found)
    least = 0.0
    for factor in _FACTORS:
        moved, _ = adjust_frames(stretched(found.model, factor), found.frames, options, least_views(found.model))
        rise = max(_cost(moved, found) - cost, _LEAST_RISE)
        least = max(least, abs(float(np.log(factor))) / float(np.sqrt(rise)))
    return least


def _cost(model: Model, found: Finished) -> float:
    _, _, state, observations, _ = sub_problem(model, found.frames, least_views(model))
    return robust_cost(residuals(state, observations), found.options.cauchy)
