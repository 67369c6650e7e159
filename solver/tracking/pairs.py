"""Which key points of two pictures show the same point of the scene.

Mutual nearest neighbours that pass Lowe's ratio test are verified by the epipolar geometry that most of them share
(MAGSAC++, Barath et al. 2020). Whether so many could agree by chance is judged a contrario, by the expected number of
such agreements among random matches (Moisan and Stival, A probabilistic criterion to detect rigid point matches, 2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from ..geometry.two_view import fundamental, homography
from .features import Features

Array = NDArray[np.float64]

_SAMPLE = 7
# solutions of the seven-point problem
_MODELS = 3
# expected number of accidental agreements, as a power of ten, below which an agreement is real
_LOG10_CHANCE = -8.0
_LEAST_MATCHES = 16
_CONFIDENCE = 0.9999
_MOST_SAMPLES = 5000
# of the picture's larger side, within which a match agrees with the epipolar geometry of straight rays: an unknown
# distortion of 5 % bends them by about this
_AGREEMENT = 0.003
_LEAST_AGREEMENT_PX = 1.5
# a homography that fits this share of the agreement leaves the epipolar geometry open
_FLAT_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Key points of two pictures that belong together.

    Attributes
    ----------
    first, second : ndarray of int64, shape (M,)
        Indices of key points.
    ambiguity : ndarray of float64, shape (M,)
        Distance to the match over the distance to the next best, 0 (certain) to 1.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    ambiguity: Array

    def select(self, keep: NDArray[np.bool_]) -> Matches:
        """The matches where `keep` (M,) is true."""
        return Matches(first=self.first[keep], second=self.second[keep], ambiguity=self.ambiguity[keep])


def match_descriptors(a: Features, b: Features, ratio: float) -> Matches:
    """Mutual nearest neighbours whose distance is below `ratio` of the next best, one at most for each key point."""
    if len(a.descriptors) < 2 or len(b.descriptors) < 2:
        return Matches(first=np.empty(0, np.int64), second=np.empty(0, np.int64), ambiguity=np.empty(0))
    unit_a, unit_b = _unit(a.descriptors), _unit(b.descriptors)
    similarity = unit_a @ unit_b.T
    row = np.arange(len(similarity))
    nearest = similarity.argmax(axis=1)
    best = similarity[row, nearest]
    similarity[row, nearest] = -1.0
    ambiguity = np.sqrt(np.maximum(1 - best, 0) / np.maximum(1 - similarity.max(axis=1), 1e-6)).astype(np.float64)
    kept = np.flatnonzero(ambiguity < ratio)
    # back again, for the few that are left
    kept = kept[(unit_b[nearest[kept]] @ unit_a.T).argmax(axis=1) == kept]
    kept = kept[np.argsort(ambiguity[kept], kind="stable")]
    first, second = a.point[kept], b.point[nearest[kept]]
    # a key point with two descriptors may be matched twice: its clearer match counts
    unique = np.zeros(len(kept), bool)
    unique[np.intersect1d(np.unique(first, return_index=True)[1], np.unique(second, return_index=True)[1])] = True
    return Matches(first=first, second=second, ambiguity=ambiguity[kept]).select(unique)


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = descriptors.astype(np.float32)
    return np.asarray(values / np.maximum(np.sqrt((values**2).sum(axis=1, keepdims=True)), 1e-6))


def verify(matches: Matches, a: Features, b: Features, size: tuple[int, int], threshold_px: float) -> Matches | None:
    """The matches that agree with one motion of the camera through a still scene; None when there is no such motion.

    Parameters
    ----------
    matches : Matches
    a, b : Features
    size : (int, int)
        Of the pictures, width and height, pixels.
    threshold_px : float
        Distance from the epipolar line at which a match no longer agrees.

    Returns
    -------
    Matches or None
    """
    if len(matches.first) < _LEAST_MATCHES:
        return None
    xy_a, xy_b = a.xy[matches.first], b.xy[matches.second]
    found = fundamental(xy_a, xy_b, threshold_px, _CONFIDENCE, _MOST_SAMPLES)
    if found is None:
        return None
    agrees = epipolar_distance(found[0], xy_a, xy_b) < threshold_px
    n_agree = int(agrees.sum())
    if n_agree < _LEAST_MATCHES or _log10_chance(len(agrees), n_agree, size, threshold_px) > _LOG10_CHANCE:
        return None
    plane = homography(xy_a[agrees], xy_b[agrees], threshold_px)
    if plane is not None:
        transfer = _transfer_distance(plane[0], xy_a, xy_b)
        if (transfer[agrees] < threshold_px).mean() > _FLAT_SHARE:
            # a flat scene, or a camera that only turns: epipolar lines may point anywhere, so that what lies on them
            # but far from the plane's own motion agrees by chance
            agrees &= transfer < max(10 * threshold_px, 0.05 * max(size))
    return matches.select(agrees)


def match_pair(a: Features, b: Features, size: tuple[int, int], ratio: float) -> Matches | None:
    """Verified matches of two pictures of one size, or None when they show nothing in common."""
    threshold = max(_LEAST_AGREEMENT_PX, _AGREEMENT * max(size))
    return verify(match_descriptors(a, b, ratio), a, b, size, threshold)


def epipolar_distance(F: Array, xy_a: Array, xy_b: Array) -> Array:
    """Larger of the two distances, pixels, of point and epipolar line; F as in x_b^T F x_a = 0."""
    a, b = _homogeneous(xy_a), _homogeneous(xy_b)
    line_b, line_a = a @ F.T, b @ F
    product = np.abs((b * line_b).sum(axis=1))
    length = np.minimum(np.hypot(line_a[:, 0], line_a[:, 1]), np.hypot(line_b[:, 0], line_b[:, 1]))
    return np.asarray(product / np.maximum(length, 1e-12))


def _transfer_distance(H: Array, xy_a: Array, xy_b: Array) -> Array:
    mapped = _homogeneous(xy_a) @ H.T
    depth = np.where(np.abs(mapped[:, 2:]) > 1e-12, mapped[:, 2:], 1e-12)
    return np.asarray(np.sqrt(((mapped[:, :2] / depth - xy_b) ** 2).sum(axis=1)))


def _homogeneous(xy: Array) -> Array:
    return np.column_stack([xy, np.ones(len(xy))])


def _log10_chance(n: int, agreeing: int, size: tuple[int, int], threshold_px: float) -> float:
    """Power of ten of the expected number of epipolar geometries that as many of n random matches agree with."""
    # area of the band about a line through the picture, as a share of the picture
    share = min(1.0, 2 * threshold_px * float(np.hypot(*size)) / (size[0] * size[1]))
    tests = np.log(_MODELS * (n - _SAMPLE) + 1e-9) + _log_choose(n, agreeing) + _log_choose(agreeing, _SAMPLE)
    return float((tests + (agreeing - _SAMPLE) * np.log(share)) / np.log(10))


def _log_choose(n: int, k: int) -> float:
    return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
