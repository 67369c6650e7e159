"""How a solve begins: a pair of frames with parallax, and relative poses of it for a given focal length."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Tracks
from .rotation import orthonormal

Array = NDArray[np.float64]

_RANSAC_PX = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two frames and the tracks that both see.

    Attributes
    ----------
    first, second : int
        Frame indices.
    tracks : ndarray of int64, shape (K,)
    xy_first, xy_second : ndarray of shape (K, 2), pixels
    """

    first: int
    second: int
    tracks: NDArray[np.int64]
    xy_first: Array
    xy_second: Array


class FrameIndex:
    """Observations of each frame, for quick look-up of shared tracks."""

    def __init__(self, tracks: Tracks) -> None:
        order = np.lexsort((tracks.track, tracks.frame))
        self._starts = np.searchsorted(tracks.frame[order], np.arange(tracks.n_frames + 1))
        self._order = order
        self._tracks = tracks

    def rows(self, frame: int) -> NDArray[np.int64]:
        """Rows of the tracks' arrays that observe `frame`, in the order of their tracks."""
        return self._order[self._starts[frame] : self._starts[frame + 1]]

    def pair(self, first: int, second: int) -> Pair:
        """The tracks that both frames see."""
        a, b = self.rows(first), self.rows(second)
        shared, ia, ib = np.intersect1d(
            self._tracks.track[a], self._tracks.track[b], assume_unique=True, return_indices=True
        )
        return Pair(
            first=first, second=second, tracks=shared, xy_first=self._tracks.xy[a[ia]], xy_second=self._tracks.xy[b[ib]]
        )


def homography_residual(pair: Pair) -> float:
    """Upper quartile of the distance, pixels, of the pair's tracks from the homography that fits most: the parallax.

    Only tracks that agree on an epipolar geometry count: wrong ones are far from any homography.
    """
    if len(pair.tracks) < 8:
        return 0.0
    agreed = homography(pair.xy_first, pair.xy_second, _RANSAC_PX)
    if agreed is None:
        return 0.0
    H = agreed[0]
    found = fundamental(pair.xy_first, pair.xy_second, _RANSAC_PX, 0.99, 500)
    if found is None or found[1].sum() < 8:
        return 0.0
    mapped = cv2.perspectiveTransform(pair.xy_first[:, None], H)[:, 0]
    distance = np.sqrt(((mapped - pair.xy_second) ** 2).sum(axis=1))
    # the tracks on the dominant plane fit by construction; those beside it show the parallax
    return float(np.percentile(distance[found[1]], 75))


def fundamental(
    first: Array,
    second: Array,
    threshold_px: float,
    confidence: float,
    most_samples: int,
    method: int = cv2.USAC_MAGSAC,
) -> tuple[Array, NDArray[np.bool_]] | None:
    """Epipolar geometry F, as in x_b^T F x_a = 0, that most of some matches (K, 2) share, or None.

    `method` is one of OpenCV's; MAGSAC has no sharp threshold.

    Returns
    -------
    F : ndarray of shape (3, 3)
    inlier : ndarray of bool, shape (K,)

    References
    ----------
    Barath et al., MAGSAC++, a fast, reliable and accurate robust estimator (2020).
    """
    try:
        F, mask = cv2.findFundamentalMat(first, second, method, threshold_px, confidence, most_samples)
    except cv2.error:
        # OpenCV 4.11 fails an assertion on a model that its own polishing has emptied: none that fits
        return None
    if F is None or F.shape != (3, 3):
        return None
    return F, mask.ravel() > 0


def sampson(F: Array, first: Array, second: Array) -> Array:
    """Sampson's distance (K,), pixels, of matches (K, 2) from an epipolar geometry (3, 3).

    Source: Hartley and Zisserman, Multiple View Geometry (2004), section 11.4.
    """
    a = np.concatenate([first, np.ones((len(first), 1))], axis=1)
    b = np.concatenate([second, np.ones((len(second), 1))], axis=1)
    Fa, Fb = a @ F.T, b @ F
    scale = np.sqrt((Fa[:, :2] ** 2).sum(axis=1) + (Fb[:, :2] ** 2).sum(axis=1))
    return np.asarray(np.abs((b * Fa).sum(axis=1)) / np.maximum(scale, 1e-12))


def homography(first: Array, second: Array, threshold: float) -> tuple[Array, NDArray[np.bool_]] | None:
    """The homography (3, 3) that most of the points (K, 2) agree on, and which do (K,), or None."""
    try:
        H, mask = cv2.findHomography(first, second, cv2.USAC_MAGSAC, threshold, maxIters=500)
    except cv2.error:  # as in `fundamental`
        return None
    return None if H is None else (H, mask.ravel() > 0)


def relative_pose(first: Array, second: Array, threshold: float) -> tuple[Array, Array, NDArray[np.bool_]] | None:
    """Pose of the second camera from normalised coordinates (K, 2) in both, or None.

    Returns
    -------
    R : ndarray of shape (3, 3), t : ndarray of shape (3,), of unit length
    inlier : ndarray of bool, shape (K,)

    References
    ----------
    Nister, An efficient solution to the five-point relative pose problem (2004).
    """
    try:
        E, mask = cv2.findEssentialMat(
            first, second, np.eye(3), method=cv2.USAC_MAGSAC, prob=0.999, threshold=threshold
        )
    except cv2.error:  # as in `fundamental`
        return None
    if E is None or E.shape != (3, 3):
        return None
    found, R, t, mask = cv2.recoverPose(E, first, second, np.eye(3), distanceThresh=1e9, mask=mask)[:4]
    if found < 8:
        return None
    return R, t[:, 0], mask.ravel() > 0


def relative_turn(first: Array, second: Array, threshold: float) -> tuple[Array, Array, NDArray[np.bool_]] | None:
    """Turn of the second camera, which stands where the first one does, from normalised coordinates, or None.

    Returns
    -------
    R : ndarray of shape (3, 3), t : zeros of shape (3,)
    inlier : ndarray of bool, shape (K,)

    References
    ----------
    Kabsch, A solution for the best rotation to relate two sets of vectors (1976).
    """
    agreed = homography(first, second, threshold)
    if agreed is None or agreed[1].sum() < 8:
        return None
    inlier = agreed[1]
    a, b = (np.concatenate([xy[inlier], np.ones((int(inlier.sum()), 1))], axis=1) for xy in (first, second))
    a, b = (ray / np.sqrt((ray**2).sum(axis=1, keepdims=True)) for ray in (a, b))
    return orthonormal(b.T @ a), np.zeros(3), inlier
