"""Line segments with their covariance, from the points of straight edges and a lens.

The points of an edge are undistorted and a line is fitted. Its errors at the middle of the points, offset and angle,
are uncorrelated. Errors of neighbouring points are not independent (smoothing, compression, texture beside the edge): a
point counts as 1/`_CORRELATION` independent ones, and an edge of little scatter is believed no more than its like.

A curve makes short straight pieces too. What bends more than its errors and the lens explain is no straight line. The
bend also says how the lens distorts: with undistorted = observed (1 - kappa r^2), a line at distance d from the centre
appears as a curve whose offset grows as kappa d s^2 along it, so the common kappa is a robust mean of bend / d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.median import weighted_median
from ..lens import BrownConradyLens, LensModel
from .edges import Edges

Array = NDArray[np.float64]

# samples (one a pixel) that carry as much as one independent sample
_CORRELATION = 4.0
# what no averaging removes: the sampling grid, compression blocks, the edge's own shape
_FLOOR_PX = 0.04
# a segment's scatter is pulled towards the picture's median with the weight of so many samples
_SCATTER_PRIOR = 10.0
_LEAST_POINTS = 6
# a segment that bends by more than both of these is a curve: deviations, and pixels between its chord and itself
_BEND_SIGMAS = 4.0
_BEND_PX = 0.25
# distortion from bends is to first order: most of it is taken out and what is left measured anew. Of a strong barrel
# all of it would be up to twice too much
_BEND_ROUNDS, _BEND_STEP = 12, 0.6
# a line that leads to the centre stays straight: at least this distance from it, as a share of its length
_LEAST_LEVER = 0.05
_LEAST_BENDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Straight segments in an undistorted picture.

    Attributes
    ----------
    middle : ndarray of shape (N, 2)
        Pixels.
    direction : ndarray of shape (N, 2)
        Unit vectors; the sign means nothing.
    length : ndarray of shape (N,)
        Pixels.
    angle_sd : ndarray of shape (N,)
        Standard deviation of the direction, radians.
    offset_sd : ndarray of shape (N,)
        Standard deviation of the middle across the segment, pixels; independent of the angle's error.
    """

    middle: Array
    direction: Array
    length: Array
    angle_sd: Array
    offset_sd: Array

    def __len__(self) -> int:
        return len(self.length)

    @property
    def ends(self) -> Array:
        """End points, shape (N, 2, 2), pixels."""
        half = 0.5 * self.length[:, None] * self.direction
        return np.stack([self.middle - half, self.middle + half], axis=1)

    def select(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Segments:
        """The segments of a mask (N,) or of indices."""
        return Segments(
            middle=self.middle[which],
            direction=self.direction[which],
            length=self.length[which],
            angle_sd=self.angle_sd[which],
            offset_sd=self.offset_sd[which],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    segments: Segments
    bend: Array
    bend_sd: Array
    across: Array


def straight_segments(edges: Edges, lens: LensModel, focal_px: float) -> Segments:
    """Segments of the picture that the lens would make if it did not distort.

    Parameters
    ----------
    edges : Edges
    lens : LensModel
    focal_px : float
        The focal length to which the distortion's coefficients belong; without distortion it does not matter.

    Returns
    -------
    Segments
        Without the edges that are curved.
    """
    fit = _fit(edges, _undistorted(edges.xy, lens, focal_px))
    sagitta = np.abs(fit.bend) * (fit.segments.length / 2) ** 2
    curved = (np.abs(fit.bend) > _BEND_SIGMAS * fit.bend_sd) & (sagitta > _BEND_PX * edges.pixel)
    return fit.segments.select(~curved)


def radial_bend(edges: Edges, centre: Array) -> tuple[float, float]:
    """Radial distortion from the straightness of edges.

    Parameters
    ----------
    edges : Edges
    centre : ndarray of shape (2,)
        Of the distortion, pixels.

    Returns
    -------
    kappa, kappa_sd : float
        1/pixels^2, with distorted = undistorted (1 + kappa r^2) to first order, so that k1 = kappa focal_px^2. The
        deviation is infinite where no edge is long enough.
    """
    side = float(max(edges.size))
    kappa, sd = 0.0, np.inf
    for _ in range(_BEND_ROUNDS):
        lens = BrownConradyLens(size=edges.size, principal_point=centre, k=np.array([kappa * side**2, 0.0, 0.0]))
        step, sd = _residual_bend(edges, _undistorted(edges.xy, lens, side), centre)
        kappa += _BEND_STEP * step
        if abs(step) < 0.1 * sd:
            break
    return kappa, sd


def _undistorted(xy: Array, lens: LensModel, focal_px: float) -> Array:
    return np.asarray(lens.principal_point + focal_px * lens.undistort((xy - lens.principal_point) / focal_px))


def _residual_bend(edges: Edges, xy: Array, centre: Array) -> tuple[float, float]:
    """Distortion that is left in points (M, 2), to first order, and its deviation."""
    fit = _fit(edges, xy)
    # a line at distance d along the normal: offset = d (1 + kappa (d^2 + s^2)) as observed, so its bend is kappa d
    lever = ((fit.segments.middle - centre) * fit.across).sum(axis=1)
    usable = np.abs(lever) > _LEAST_LEVER * fit.segments.length
    lever, bend, sd = lever[usable], fit.bend[usable], fit.bend_sd[usable]
    if len(lever) < _LEAST_BENDS:
        return 0.0, np.inf
    # curves and ends that meet others make outliers: Cauchy's weights, with the scale that the bends have
    kappa = weighted_median(bend / lever, np.abs(lever) / sd)
    for _ in range(20):
        residual = (bend - kappa * lever) / sd
        scale = max(1.0, 1.4826 * float(np.median(np.abs(residual))))
        weight = 1 / (1 + (residual / (2 * scale)) ** 2)
        information = float((weight * (lever / sd) ** 2).sum())
        kappa = float((weight * lever * bend / sd**2).sum()) / information
    score = weight * lever / sd * (bend - kappa * lever) / sd
    # the sandwich: curved things pull harder than their deviations say
    return kappa, float(np.sqrt(max(float((score**2).sum()), information))) / information


def _fit(edges: Edges, xy: Array) -> _Fit:
    """Line and bend of each edge with enough points."""
    enough = np.bincount(edges.edge, minlength=edges.n_edges) >= _LEAST_POINTS
    rows = enough[edges.edge]
    edge = (np.cumsum(enough) - 1)[edges.edge[rows]]
    xy, n = xy[rows], int(enough.sum())
    count = np.bincount(edge, minlength=n).astype(np.float64)
    middle = np.stack([np.bincount(edge, weights=xy[:, i], minlength=n) for i in (0, 1)], axis=1) / count[:, None]
    centred = xy - middle[edge]
    xx, yy, xy_ = (
        np.bincount(edge, weights=centred[:, i] * centred[:, j], minlength=n) for i, j in ((0, 0), (1, 1), (0, 1))
    )
    angle = 0.5 * np.arctan2(2 * xy_, xx - yy)  # of the larger principal axis
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    s, t = (centred * along[edge]).sum(axis=1), (centred * across[edge]).sum(axis=1)

    ss = np.bincount(edge, weights=s * s, minlength=n)
    square = s * s - (ss / count)[edge]
    # with the samples evenly spread, the square is free of the line
    quartic = np.bincount(edge, weights=square * square, minlength=n)
    bend = np.bincount(edge, weights=square * t, minlength=n) / quartic
    residual = t - bend[edge] * square
    freedom = count - 3
    total = np.bincount(edge, weights=residual**2, minlength=n)
    typical = float(np.median(total / freedom)) if n else 0.0
    variance = _CORRELATION * (total + _SCATTER_PRIOR * typical) / (freedom + _SCATTER_PRIOR)
    low = np.full(n, np.inf)
    high = np.full(n, -np.inf)
    np.minimum.at(low, edge, s)
    np.maximum.at(high, edge, s)
    length = high - low
    floor = _FLOOR_PX * edges.pixel
    segments = Segments(
        middle=middle,
        direction=along,
        length=length,
        angle_sd=np.sqrt(variance / ss + 2 * (floor / length) ** 2),
        offset_sd=np.sqrt(variance / count + floor**2),
    )
    return _Fit(
        segments=segments, bend=bend, bend_sd=np.sqrt(variance / quartic + (8 * floor / length**2) ** 2), across=across
    )
