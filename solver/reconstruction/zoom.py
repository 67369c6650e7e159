"""The curve of the focal length in a zoom: a cubic spline of its logarithm, as smooth as the data allow.

A zoom ring is turned by a hand or a motor: its acceleration has a limit. The prior is a white acceleration (an
integrated Wiener process; Wahba, Spline models for observational data, 1990, chapter 1): the change of slope from one
interval between frames to the next has variance sd^2 times the time between their middles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, CubicSpline

from ..bundle.priors import ZoomPrior
from ..bundle.residuals import Array

KNOT_FRAMES = 6.0
# of the logarithm of the focal length, a frame^1.5: doubles in a quarter of a second
WIDEST_SD = 0.02
SMALLEST_SD = 2e-4
# of the logarithm of a zoom's mean focal length about the picture's larger side
_USUAL_SD = 0.7


def zoom_basis(times: Array, knot_frames: float = KNOT_FRAMES) -> Array:
    """Cubic B-splines over times (C,), rising, orthonormal and orthogonal to a constant: (C, K)."""
    n = len(times)
    if n < 2:
        return np.zeros((n, 0))
    pieces = int(np.clip(round((times[-1] - times[0]) / knot_frames), 1, max(1, n - 3)))
    degree = min(3, n - 1)
    inner = np.linspace(times[0], times[-1], pieces + 1)
    knots = np.concatenate([[times[0]] * degree, inner, [times[-1]] * degree])
    splines = BSpline.design_matrix(times, knots, degree).toarray()
    u, size, _ = np.linalg.svd(splines - splines.mean(axis=0), full_matrices=False)
    return np.asarray(u[:, size > 1e-9 * size[0]])


def zoom_probe(times: Array) -> Array:
    """Changes of a zoom (C, Q) that tell whether a lens zooms at all: orthogonal to a constant, at most five."""
    span = max(float(times[-1] - times[0]), 1.0)
    basis = zoom_basis(times, span / 2)
    # of unit mean square: a step of 1 % along one changes the focal length by about 1 %
    return np.asarray(basis * np.sqrt(len(times)))


def changes_of_slope(times: Array) -> Array:
    """Rows (C - 2, C): the changes of slope of a curve at times (C,), in units of a white acceleration's deviation."""
    n = len(times)
    rows = np.zeros((max(n - 2, 0), n))
    step = np.diff(times)
    at = np.arange(n - 2)
    scale = 1 / np.sqrt((step[:-1] + step[1:]) / 2)
    rows[at, at] = scale / step[:-1]
    rows[at, at + 1] = -scale * (1 / step[:-1] + 1 / step[1:])
    rows[at, at + 2] = scale / step[1:]
    return rows


def smoothness(times: Array, sd: float, usual_focal_px: float) -> ZoomPrior:
    """The prior of a zoom at times (C,): how smooth it is, and that lenses are within a few times the usual one."""
    n = len(times)
    rows = np.concatenate([changes_of_slope(times) / sd, np.full((1, n), 1 / (n * _USUAL_SD))])
    target = np.zeros(len(rows))
    target[-1] = np.log(usual_focal_px) / _USUAL_SD
    return ZoomPrior(rows=rows, target=target)


def estimated_sd(times: Array, zoom: Array) -> float:
    """Standard deviation of the acceleration of a solved curve, with room: smoothing has taken some of it away."""
    change = changes_of_slope(times) @ zoom
    if not len(change):
        return WIDEST_SD
    return float(np.clip(1.5 * np.sqrt((change**2).mean()), SMALLEST_SD, WIDEST_SD))


def filled(zoom: Array, known: NDArray[np.bool_], times: Array) -> Array:
    """The curve (F,) with the frames where it is not `known` (F,) interpolated, held beyond the ends."""
    at = np.flatnonzero(known)
    out = zoom.copy()
    if len(at) == 0:
        return out
    inside = np.clip(times, times[at[0]], times[at[-1]])
    if len(at) >= 4:
        out[~known] = CubicSpline(times[at], zoom[at])(inside[~known])
    else:
        out[~known] = np.interp(inside[~known], times[at], zoom[at])
    return out
