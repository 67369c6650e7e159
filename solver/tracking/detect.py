"""Corners spread over the picture, away from points that are already followed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]

_BLOCK = 5
# the brightest pixel that a bar shows, grain and compression included, grey levels
_BLACK = 16
# smallest eigenvalue of the gradient matrix, as a share of the picture's strong corners, that still makes a corner
_QUALITY = 0.002
# a corner must stand out of the noise: the smallest gradient, grey levels a pixel, across its weaker direction
_LEAST_GRADIENT = 1.5


Area = tuple[int, int, int, int]


def joined_area(first: Area | None, second: Area) -> Area:
    """The smallest area that holds both: a dark border is a bar only while nothing bright ever shows in it."""
    if first is None:
        return second
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


def picture_area(pixels: NDArray[np.generic]) -> Area:
    """The part (left, top, right, bottom) of the picture inside black bars of a letterbox or pillarbox; of a black
    picture nothing, with right and bottom 0."""
    rows = np.flatnonzero(pixels.max(axis=1) > _BLACK)
    columns = np.flatnonzero(pixels.max(axis=0) > _BLACK)
    height, width = pixels.shape
    if not len(rows) or not len(columns):
        return width, height, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def detect(
    picture: Array32,
    occupied: Array32,
    count: int,
    spacing: float,
    area: Area,
    margin: int,
    hidden: NDArray[np.bool_] | None = None,
) -> Array32:
    """Corners of a smoothed picture, best first.

    Parameters
    ----------
    picture : ndarray of float32, shape (H, W)
    occupied : ndarray of float32, shape (K, 2)
        OpenCV positions of points that are followed already.
    count : int
        The most to return.
    spacing : float
        Least distance between points, pixels.
    area : Area
        Where to look.
    margin : int
        Distance from the area's border, pixels.
    hidden : ndarray of bool, shape (H, W), or None
        Where to find none.

    Returns
    -------
    ndarray of float32, shape (n, 2)
        OpenCV positions.

    References
    ----------
    Shi and Tomasi, Good features to track (1994).
    """
    if count <= 0:
        return np.empty((0, 2), np.float32)
    height, width = picture.shape
    strength = cv2.cornerMinEigenVal(picture, _BLOCK, ksize=3)
    left, top, right, bottom = area
    allowed = np.zeros((height, width), np.uint8)
    allowed[top + margin : max(bottom - margin, 0), left + margin : max(right - margin, 0)] = 1
    if hidden is not None:
        allowed[hidden] = 0
    for x, y in np.rint(occupied).astype(int):
        cv2.circle(allowed, (int(x), int(y)), max(1, int(spacing * 0.7)), 0, -1)
    strength = strength * allowed
    # Scharr-free scale of cornerMinEigenVal: for float pictures the eigenvalue of the mean squared Sobel gradient / 64
    floor = max(_LEAST_GRADIENT**2 * _eigenvalue_scale(), _QUALITY * float(np.percentile(strength, 99.5)))
    peak = (strength >= cv2.dilate(strength, np.ones((3, 3), np.uint8))) & (strength > floor)
    rows, columns = np.nonzero(peak)
    order = np.argsort(-strength[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    return _spread(rows, columns, count, spacing, (height, width))


def _eigenvalue_scale() -> float:
    """`cornerMinEigenVal` of a picture that rises by one grey level a pixel along both axes, along one of them."""
    ramp = np.add.outer(np.zeros(21, np.float32), np.arange(21, dtype=np.float32))
    flow = cv2.cornerEigenValsAndVecs(ramp, _BLOCK, 3)
    return float(flow[10, 10, :2].max())


def _spread(
    rows: NDArray[np.intp], columns: NDArray[np.intp], count: int, spacing: float, shape: tuple[int, int]
) -> Array32:
    """Greedy choice, best first, of points at least `spacing` apart."""
    taken = np.zeros(shape, np.uint8)
    radius = max(1, round(spacing))
    chosen: list[tuple[int, int]] = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if taken[row, column]:
            continue
        chosen.append((column, row))
        cv2.circle(taken, (column, row), radius, 1, -1)
        if len(chosen) >= count:
            break
    return np.array(chosen, np.float32).reshape(-1, 2)
