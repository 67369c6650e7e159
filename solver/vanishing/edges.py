"""Straight edges of a picture, to a fraction of a pixel.

OpenCV's line segment detector (von Gioi et al., LSD: a line segment detector, 2010) says where straight edges are; its
ends and angles are those of a region of pixels. Here each segment is sampled once a pixel: across it the gradient's
peak is found with a parabola, and the points that lie on one line are kept. The points, not the lines, are what is
stored: a lens bends lines, so a line is fitted after the points are undistorted (`segments`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..conventions import OPENCV_OFFSET_PX
from ..tracking.detect import picture_area

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

# a darker picture is brightened for the detector, whose threshold is a gradient in grey levels, by so much at the most
_MOST_GAIN = 4.0
_BRIGHT_PERCENTILE = 99.5
# standard deviation, pixels, of the smoothing before the gradient is taken
_SMOOTHING_PX = 1.0
# positions across the segment at which the gradient is sampled, first around the detector's line, then around ours
_PROFILES = (np.arange(-2.5, 2.51, 0.5), np.arange(-1.5, 1.51, 0.5))
# at its ends a segment meets others
_END_PX = 1.5
# a point counts if the gradient there is this share of the segment's median
_LEAST_GRADIENT_SHARE = 0.3
# a point farther from the line than this, pixels, belongs to something else; a lens bends a short segment by less
_LINE_TOLERANCE_PX = 1.0
# of the samples of a segment, the share that must lie on its line
_LEAST_SHARE = 0.6
# edges nearer than this to the picture's border are the border
_BORDER_PX = 3.0
_REMAP_COLUMNS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """How edges are found.

    Attributes
    ----------
    longest_side : int
        A larger picture is reduced to this, pixels: beyond it the detector costs more than it finds.
    least_length_share : float
        Shortest segment, as a share of the picture's longer side: below about 10 px angles are worth nothing.
    """

    longest_side: int = 1280
    least_length_share: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Points on straight edges, sorted by edge and along it.

    Attributes
    ----------
    edge : ndarray of int64, shape (M,)
        Edge of each point, 0 .. n_edges - 1.
    xy : ndarray of shape (M, 2)
        Pixels of the picture as it is: not undistorted.
    n_edges : int
    size : (int, int)
        Of the picture.
    pixel : float
        Pixels of the picture to a pixel of the (reduced) one that was looked at.
    """

    edge: Ints
    xy: Array
    n_edges: int
    size: tuple[int, int]
    pixel: float


def find_edges(picture: NDArray[np.generic], options: EdgeOptions | None = None) -> Edges:
    """Find the straight edges of a picture.

    Parameters
    ----------
    picture : ndarray of shape (H, W), uint8 or float, 0 to 255
    options : EdgeOptions

    Returns
    -------
    Edges
    """
    options = options or EdgeOptions()
    height, width = picture.shape
    pixel = max(1.0, max(width, height) / options.longest_side)
    grey = np.asarray(picture, np.float32)
    left, top, right, bottom = picture_area(grey)
    if pixel > 1:
        grey = cv2.resize(grey, (round(width / pixel), round(height / pixel)), interpolation=cv2.INTER_AREA)
    bright = float(np.percentile(grey, _BRIGHT_PERCENTILE))
    gain = min(max(255.0 / max(bright, 1.0), 1.0), _MOST_GAIN)
    lines = cv2.createLineSegmentDetector().detect(np.clip(gain * grey, 0, 255).astype(np.uint8))[0]
    ends = np.zeros((0, 2, 2)) if lines is None else np.asarray(lines, np.float64).reshape(-1, 2, 2)
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    ends = ends[length >= options.least_length_share * max(grey.shape)]
    edge, xy = _points(grey, ends)
    # the reduced picture's scale differs a little along its axes: its sides are whole pixels
    xy = (xy + OPENCV_OFFSET_PX) * (width / grey.shape[1], height / grey.shape[0])
    inside = np.minimum(xy - (left, top), (right, bottom) - xy).min(axis=1) > _BORDER_PX * pixel
    ids, edge = np.unique(edge[inside], return_inverse=True)
    return Edges(edge=edge.astype(np.int64), xy=xy[inside], n_edges=len(ids), size=(width, height), pixel=pixel)


def _points(grey: NDArray[np.float32], ends: Array) -> tuple[Ints, Array]:
    """Points on the edges that the detector's segments (N, 2, 2) show: edge (M,) and position (M, 2)."""
    if not len(ends):
        return np.zeros(0, np.int64), np.zeros((0, 2))
    smooth = cv2.GaussianBlur(grey, (0, 0), _SMOOTHING_PX)
    gradient = (cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8))
    n = len(ends)
    middle = ends.mean(axis=1)
    along = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(along, axis=1)
    along /= length[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    count = np.maximum((length - 2 * _END_PX).astype(np.int64) + 1, 3)
    edge = np.repeat(np.arange(n), count)
    order = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    s = order - (count[edge] - 1) / 2.0
    offset, slope = np.zeros(n), np.zeros(n)
    for profile in _PROFILES:
        base = offset[edge] + slope[edge] * s
        position = middle[edge] + s[:, None] * along[edge]
        xy = position[:, None] + (base[:, None] + profile)[..., None] * across[edge][:, None]
        steepness = _steepness(gradient, xy, across[edge])
        steepness *= np.sign(np.bincount(edge, weights=steepness.sum(axis=1), minlength=n))[edge][:, None]
        peak, height, interior = _peak(steepness, profile)
        t = base + peak
        good = interior & (height > _LEAST_GRADIENT_SHARE * _median_by_edge(height, edge, n)[edge])
        offset, slope, good = _robust_line(edge, s, t, good, n)
    share = np.bincount(edge, weights=good, minlength=n) / count
    good &= (share >= _LEAST_SHARE)[edge]
    xy = middle[edge[good]] + s[good][:, None] * along[edge[good]] + t[good][:, None] * across[edge[good]]
    return edge[good], xy


def _steepness(gradient: tuple[NDArray[np.float32], NDArray[np.float32]], xy: Array, across: Array) -> Array:
    """Derivative across the edges at positions (M, P, 2), edges' normals (M, 2): shape (M, P)."""
    flat = xy.reshape(-1, 2).astype(np.float32)
    # OpenCV's remap takes no side beyond 32767
    padded = np.zeros((-(-len(flat) // _REMAP_COLUMNS) * _REMAP_COLUMNS, 2), np.float32)
    padded[: len(flat)] = flat
    grid = padded.reshape(-1, _REMAP_COLUMNS, 2)
    sampled = [
        cv2.remap(part, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).ravel()[: len(flat)]
        for part in gradient
    ]
    shape = xy.shape[:2]
    return np.asarray(
        sampled[0].reshape(shape) * across[:, None, 0] + sampled[1].reshape(shape) * across[:, None, 1], np.float64
    )


def _peak(values: Array, positions: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Place and height of the maximum of each row (M, P) from a parabola, and whether it lies inside the profile."""
    rows = np.arange(len(values))
    best = values.argmax(axis=1)
    interior = (best > 0) & (best < len(positions) - 1)
    best = np.clip(best, 1, len(positions) - 2)
    left, top, right = values[rows, best - 1], values[rows, best], values[rows, best + 1]
    bend = np.minimum(left - 2 * top + right, -1e-9)
    shift = np.clip(0.5 * (left - right) / bend, -1, 1)
    return positions[best] + shift * (positions[1] - positions[0]), top, interior & (top > 0)


def _median_by_edge(values: Array, edge: Ints, n: int) -> Array:
    """Median of the values (M,) of each edge, which are together and of which there is at least one."""
    order = np.lexsort((values, edge))
    count = np.bincount(edge, minlength=n)
    return np.asarray(values[order[np.cumsum(count) - count + count // 2]])


def _robust_line(
    edge: Ints, s: Array, t: Array, good: NDArray[np.bool_], n: int
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Offset and slope of t over s for each edge, and the points within the tolerance of it."""
    weight = good.astype(np.float64)
    for _ in range(4):
        offset, slope = weighted_line(edge, s, t, weight, n)
        residual = t - offset[edge] - slope[edge] * s
        weight = good / (1 + (residual / (0.5 * _LINE_TOLERANCE_PX)) ** 2) ** 2
    return offset, slope, good & (np.abs(residual) < _LINE_TOLERANCE_PX)


def weighted_line(edge: Ints, s: Array, t: Array, weight: Array, n: int) -> tuple[Array, Array]:
    """Least-squares offset (n,) and slope (n,) of t over s, weights (M,); zero where an edge has no points."""
    w, ws, wt, wss, wst = (
        np.bincount(edge, weights=weight * value, minlength=n) for value in (1.0, s, t, s * s, s * t)
    )
    determinant = w * wss - ws * ws
    safe = np.where(determinant > 1e-9, determinant, 1.0)
    slope = np.where(determinant > 1e-9, (w * wst - ws * wt) / safe, 0.0)
    return np.where(w > 0, (wt - slope * ws) / np.where(w > 0, w, 1.0), 0.0), slope
