"""How well a model explains the tracks, all of them, so that models of different kinds can be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bundle.adjust import robust_cost
from ..bundle.residuals import reprojection_errors
from .finish import noise_scale
from .model import Model, whitening_of

# an observation that no camera explains
_MISSING_COST = 18.0
_LARGEST_SQUARE = 100.0
_CAUCHY = 2.5


def plain_noise(model: Model) -> float:
    """Robust ratio of the residuals to the deviations that the tracks claim."""
    return noise_scale(_plain_weights(model))


def misfit(model: Model, scale: float) -> float:
    """Robust cost of every observation for tracks with `scale` times the noise that they claim.

    What is not explained at all, or was rejected, costs as much as it would: a model is not better for explaining less.
    """
    model = replace(_plain_weights(model), usable=np.ones_like(model.usable))
    rows = model.rows(model.posed)
    observations = model.observations(rows)
    error = reprojection_errors(model.state, observations)
    whitened = np.matmul(observations.whitening, error[:, :, None])[:, :, 0] / scale
    square = np.minimum((whitened**2).sum(axis=1), _LARGEST_SQUARE)
    return robust_cost(np.sqrt(square)[:, None], _CAUCHY) + _MISSING_COST * float((~rows).sum())


def unknowns(model: Model, free_lens: int = 0) -> float:
    """Number of the unknowns of a model, with so many lens parameters."""
    poses, points = float(model.posed.sum()), float(model.placed.sum())
    zoom = min(poses, float(np.ptp(model.times)) / 6 + 3) if model.zooms else 0.0
    return (3 * poses + 2 * points if model.nodal else 6 * poses + 3 * points) + free_lens + zoom


def _plain_weights(model: Model) -> Model:
    return replace(model, whitening=whitening_of(model.tracks.covariance))
