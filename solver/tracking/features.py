"""Key points of one picture that are found again from far away: SIFT, spread over the picture.

Lowe, Distinctive image features from scale-invariant keypoints (2004), in OpenCV's version with the up-scaling that
does not shift positions; descriptors are compared as RootSIFT (Arandjelovic and Zisserman, Three things everyone should
know to improve object retrieval, 2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..conventions import OPENCV_OFFSET_PX
from .align import as_bytes

# half the usual threshold: dim pictures keep their points, and the spread drops the weakest of rich ones
_CONTRAST = 0.02
_EDGE = 10.0
# cells across the picture's larger side in which points compete
_CELLS = 16
# the descriptor's window, which fades towards its rim, over a key point's size (twice its deviation)
_REACH_SIZES = 2.0
# RootSIFT has elements from 0 to 1, few of them above a half: this fits them into a byte
_BYTE_SCALE = 512.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Key points of one picture and their descriptors, strongest first.

    A key point with two dominant orientations has two descriptors.

    Attributes
    ----------
    xy : ndarray of float64, shape (K, 2)
        Pixels of the picture at full resolution, origin as in `conventions`.
    scale_px : ndarray of float64, shape (K,)
        Deviation of the Gaussian at which the point was found, pixels at full resolution.
    descriptors : ndarray of uint8, shape (D, 128)
    point : ndarray of int64, shape (D,)
        The key point of each descriptor, rising.
    """

    xy: NDArray[np.float64]
    scale_px: NDArray[np.float64]
    descriptors: NDArray[np.uint8]
    point: NDArray[np.int64]

    def strongest(self, count: int) -> Features:
        """The first `count` key points."""
        last = int(np.searchsorted(self.point, count))
        return Features(
            xy=self.xy[:count],
            scale_px=self.scale_px[:count],
            descriptors=self.descriptors[:last],
            point=self.point[:last],
        )


def find_features(
    pixels: NDArray[np.generic], count: int, largest_side: int, hidden: NDArray[np.bool_] | None = None
) -> Features:
    """Key points of a picture.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), uint8, or float in 0 to 255
    count : int
        The most to keep.
    largest_side : int
        Larger pictures are reduced to this before the search, pixels.
    hidden : ndarray of bool, shape (H, W), or None
        Where to find none: a point whose surroundings (as wide as its patch) reach into it is left out.

    Returns
    -------
    Features
    """
    picture, factor = _reduced(pixels, largest_side)
    sift = cv2.SIFT.create(contrastThreshold=_CONTRAST, edgeThreshold=_EDGE, enable_precise_upscale=True)
    found = sift.detect(picture, None)
    if hidden is not None:
        found = _in_sight(found, hidden, factor)
    if not found:
        return Features(
            xy=np.empty((0, 2)),
            scale_px=np.empty(0),
            descriptors=np.empty((0, 128), np.uint8),
            point=np.empty(0, np.int64),
        )
    # x, y, size and strength, equal for the orientations of one key point; only those chosen are described
    rows = np.array([(*key.pt, key.size, key.response, key.angle) for key in found], np.float64)
    points, point = np.unique(rows[:, :4], axis=0, return_inverse=True)
    chosen = _spread(points, count, max(picture.shape) / _CELLS)
    place = np.full(len(points), -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    point = place[point.ravel()]
    # in an order that does not depend on OpenCV's
    kept = np.flatnonzero(point >= 0)
    kept = kept[np.lexsort((rows[kept, 4], point[kept]))]
    _, described = sift.compute(picture, [found[i] for i in kept])
    return Features(
        xy=(points[chosen, :2] + OPENCV_OFFSET_PX) * factor,
        scale_px=points[chosen, 2] / 2 * float(np.sqrt(factor.prod())),
        descriptors=_packed(described),
        point=point[kept],
    )


def _in_sight(
    found: Sequence[cv2.KeyPoint], hidden: NDArray[np.bool_], factor: NDArray[np.float64]
) -> list[cv2.KeyPoint]:
    """The key points whose surroundings, as far as their gradient counts, are not hidden."""
    distance = cv2.distanceTransform((~hidden).astype(np.uint8), cv2.DIST_L2, 3)
    height, width = hidden.shape
    kept = []
    for key in found:
        x, y = (np.array(key.pt) + OPENCV_OFFSET_PX) * factor
        free = distance[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)]
        if free > _REACH_SIZES * key.size * factor.max():
            kept.append(key)
    return kept


def _reduced(pixels: NDArray[np.generic], largest_side: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The picture in bytes, at most `largest_side` wide and high, and full pixels for one of its own (x, y)."""
    height, width = pixels.shape
    share = largest_side / max(height, width)
    if share < 1:
        size = (max(1, round(width * share)), max(1, round(height * share)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    factor = np.array([width, height]) / np.array(pixels.shape[::-1])
    picture = as_bytes(pixels)
    return np.ascontiguousarray(picture), factor


def _spread(points: NDArray[np.float64], count: int, cell: float) -> NDArray[np.int64]:
    """Indices of the best of each cell, then the second best of each, and so on; strongest first in the end."""
    column, row = np.floor(points[:, :2] / cell).astype(np.int64).T
    address = row * 4096 + column
    order = np.lexsort((-points[:, 3], address))
    _, starts, sizes = np.unique(address[order], return_index=True, return_counts=True)
    rank = np.empty(len(points), np.int64)
    rank[order] = np.arange(len(points)) - np.repeat(starts, sizes)
    chosen = np.lexsort((-points[:, 3], rank))[:count]
    return chosen[np.argsort(-points[chosen, 3], kind="stable")]


def _packed(described: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RootSIFT descriptors in bytes."""
    root = np.sqrt(described / np.maximum(described.sum(axis=1, keepdims=True), 1e-6))
    return np.minimum(np.rint(root * _BYTE_SCALE), 255).astype(np.uint8)
