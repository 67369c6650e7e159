"""How much each observation counts: its track's covariance, the residuals of its track, and a scale common to all.

What tracking says of an observation's covariance is right for a patch on a smooth surface. A patch on an outline, where
two surfaces slide over each other, is worse than it looks, and its error changes slowly: it lasts for many frames, as
what the camera's move does to a point lasts, and is taken for it. So a track's standard deviations grow with the mean
squared residual m of its observations, and more with that of the sums over runs of them, n, which white noise leaves
as it is and slow errors raise. Each is drawn towards what is usual among the tracks, the more the less they differ:
where all are alike, all weigh the same. They grow by n sqrt(m), not by sqrt(m) as they would if the errors within a
track were independent and its point took nothing of them away: that halves the errors of focal lengths, and what the
sandwich (`bundle.covariance`) makes of their deviations falls by a fifth.

The common scale is that of the tracks that count: were many poor ones to set it, the residuals of the good ones would
look like outliers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from ..bundle.residuals import Array, residuals
from ..geometry.median import weighted_median
from .model import Model, whitening_of

# tracks with at least so many degrees of freedom tell how much tracks differ, if there are so many of them
_TOLD_FREEDOM = 3
_TOLD_TRACKS = 30
# of a prior that is all that counts
_MOST_FREEDOM = 1e4
# the squared residual beyond which an observation counts as an outlier and not against its track
_OUTLIER_SQUARED = 25.0
# observations of a run
_RUN = 8
# what a point takes of its track's degrees of freedom
_POINT = 3


def noise_scale(model: Model) -> float:
    """Robust ratio of the residuals to their assumed deviations (the median of |e|^2 is 2 ln 2 for unit noise)."""
    e = residuals(model.state, model.observations(model.rows(model.posed)))
    return _scale(float(np.median((e**2).sum(axis=1))))


def reweighted(model: Model, by_track: bool = True) -> Model:
    """Weights from the tracks' covariances, the common scale, and each track's own residuals; see the header."""
    model = replace(model, whitening=whitening_of(model.tracks.covariance))
    model = replace(model, whitening=model.whitening / noise_scale(model))
    if not by_track:
        return model
    rows = model.rows(model.posed)
    track = model.tracks.track[rows]
    starts = np.flatnonzero(np.diff(track, prepend=-1))
    e = residuals(model.state, model.observations(rows))
    growth = np.ones(len(model.placed))
    growth[track[starts]] = _growth(e, starts)
    # by 1 / growth: by its square, a few tracks would set it
    scale = _scale(weighted_median((e**2).sum(axis=1) / growth[track] ** 2, 1 / growth[track]))
    return replace(model, whitening=model.whitening / (scale * growth[model.tracks.track])[:, None, None])


def _scale(median_square: float) -> float:
    return max(float(np.sqrt(median_square / (2 * np.log(2)))), 1e-3)


def _growth(e: Array, starts: NDArray[np.intp]) -> Array:
    """By what the deviations of each track grow, (T,), from whitened residuals (N, 2) and its first row, (T,)."""
    square = (e**2).sum(axis=1)
    e = e * np.sqrt(_OUTLIER_SQUARED / np.maximum(square, _OUTLIER_SQUARED))[:, None]
    length = np.diff(starts, append=len(e))
    runs = np.maximum(np.rint(length / _RUN).astype(int), 1)
    place = np.arange(len(e)) - np.repeat(starts, length)
    first_run = np.cumsum(runs) - runs
    run = np.repeat(first_run, length) + place * np.repeat(runs, length) // np.repeat(length, length)
    in_run = np.bincount(run)
    slow = sum(np.bincount(run, weights=e[:, axis]) ** 2 for axis in range(2)) / in_run
    m = _moderated(np.add.reduceat(np.minimum(square, _OUTLIER_SQUARED), starts), 2 * length - _POINT)
    n = _moderated(np.add.reduceat(slow, first_run), 2 * runs - _POINT)
    return np.asarray(n * np.sqrt(m))


def _moderated(total: Array, freedom: NDArray[np.int64]) -> Array:
    """Variances (T,) from sums of squares with so many degrees of freedom, drawn towards what is usual.

    The prior is a scaled inverse chi square, whose scale and freedom are those that the spread of the logarithms tells
    (Smyth, Linear models and empirical Bayes methods for assessing differential expression, 2004, section 6.2): where
    the tracks differ no more than chance has it, all get the same.
    """
    freedom = np.maximum(freedom, 1)
    told = freedom >= _TOLD_FREEDOM
    if told.sum() < _TOLD_TRACKS:
        return np.ones(len(total))
    half = freedom[told] / 2
    z = np.log(np.maximum(total[told], 1e-9) / freedom[told]) - digamma(half) + np.log(half)
    prior = 2 * _inverse_trigamma(z.var(ddof=1) - polygamma(1, half).mean())
    usual = np.exp(z.mean() + digamma(prior / 2) - np.log(prior / 2))
    return np.asarray((prior * usual + total) / (prior + freedom))


def _inverse_trigamma(value: float) -> float:
    """x of trigamma(x) = value, at most `_MOST_FREEDOM`: trigamma(x) is close to 1 / x there."""
    if value <= 1 / _MOST_FREEDOM:
        return _MOST_FREEDOM
    return float(brentq(lambda x: polygamma(1, x) - value, 1e-3, 2 * _MOST_FREEDOM))
