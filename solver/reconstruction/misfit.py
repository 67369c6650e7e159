"""How well a model explains the tracks, all of them, so that models of different kinds can be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bundle.adjust import robust_cost
from ..bundle.residuals import reprojection_errors
from .model import Model, whitening_of
from .weights import noise_scale
from .zoom import KNOT_FRAMES

# an observation that no camera explains
_MISSING_COST = 18.0
_LARGEST_SQUARE = 100.0
_CAUCHY = 2.5
# gain in cost for each unknown that a freer camera adds
_GAIN = 2.0


def plain_noise(model: Model) -> float:
    """Robust ratio of the residuals to the deviations that the tracks claim."""
    return noise_scale(_plain_weights(model))


def misfit(model: Model, scale: float) -> float:
    """Robust cost of every observation of a still track, for `scale` times the noise that the tracks claim.

    What is not explained at all, or was rejected, costs as much as it would: a model is not better for explaining less.
    """
    still = model.still[model.tracks.track]
    model = replace(_plain_weights(model), usable=still)
    rows = model.rows(model.posed)
    observations = model.observations(rows)
    error = reprojection_errors(model.state, observations)
    whitened = np.matmul(observations.whitening, error[:, :, None])[:, :, 0] / scale
    square = np.minimum((whitened**2).sum(axis=1), _LARGEST_SQUARE)
    return robust_cost(np.sqrt(square)[:, None], _CAUCHY) + _MISSING_COST * float((still & ~rows).sum())


def mean_misfit(model: Model, scale: float) -> float:
    """`misfit` of an observation in the posed frames."""
    still = model.still[model.tracks.track]
    seen = int((still & model.posed[model.tracks.frame]).sum())
    return (misfit(model, scale) - _MISSING_COST * float(still.sum() - seen)) / max(seen, 1)


def unknowns(model: Model) -> float:
    """Number of the unknowns of a kind of camera, were all frames posed and all points placed."""
    poses, points = float(len(model.posed)), float(len(model.placed))
    zoom = min(poses, float(np.ptp(model.times)) / KNOT_FRAMES + 3) if model.zooms else 0.0
    return (3 * poses + 2 * points if model.nodal else 6 * poses + 3 * points) + zoom


def earns_its_freedom(plain: Model, free: Model, saved: float = 0.0) -> bool:
    """Whether the freer of two models costs less by more than twice the number of unknowns that it adds, less `saved`.

    Source: Torr, Geometric motion segmentation and model selection (1998).
    """
    scale = min(plain_noise(plain), plain_noise(free))
    return misfit(plain, scale) - misfit(free, scale) > _GAIN * (unknowns(free) - unknowns(plain)) - saved


def saved_by_plane(model: Model) -> float:
    """What a model may cost more for having its points on a plane: two for each distance that it need not know."""
    return _GAIN * float(model.placed.sum())


def _plain_weights(model: Model) -> Model:
    return replace(model, whitening=whitening_of(model.tracks.covariance))
