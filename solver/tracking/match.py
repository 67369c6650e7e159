"""Tracks through pictures that lie far apart: stills, or a sequence with wide steps.

What `follow` needs, that a point moves little and looks nearly the same in the next frame, does not hold here. Key
points are found in every picture on its own, matched between pairs of pictures, verified by the pair's epipolar
geometry, and joined into tracks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import TooFewTracks
from ..progress import Progress
from ..types import Tracks
from .features import Features, find_features
from .follow import LuminanceFrame
from .join import join
from .pairs import match_descriptors, match_pair

# deviation of a key point's position: what the grid of pixels leaves, and a share of its scale, over which its extremum
# is fitted; both measured against the epipolar lines of known cameras, where key points of 1 px scale lie 0.26 px off,
# of 5 px 0.4 px, of 16 px 1 px
_DEVIATION_PX = 0.25
_DEVIATION_SCALES = 0.06
# pairs beyond the neighbourhood are tried when so many of the strongest key points have a match
_PREVIEW_POINTS = 500
_PREVIEW_MATCHES = 10
# pictures that are compared for a return to a place seen before
_LOOP_PICTURES = 100
_LEAST_TRACKS = 40
_OVERLAP_POINTS = 2000
_OVERLAP_SIDE_PX = 1024
_OVERLAP_CELLS = 8
_OVERLAP_LEAST_CELLS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOptions:
    """How to match pictures.

    Attributes
    ----------
    count : int
        Key points of a picture.
    largest_side : int
        Pictures are reduced to this before key points are sought, pixels: more detail costs time and seldom matches.
    neighbours : int
        Pictures after each one that it is always matched with.
    all_pairs_up_to : int
        Number of pictures up to which each is matched with all others.
    ratio : float
        Largest distance of a match, as a share of the next best.
    least_length : int
        Pictures in which a track must be seen. Two agree by chance now and then; three seldom.
    """

    count: int = 3000
    largest_side: int = 1600
    neighbours: int = 5
    all_pairs_up_to: int = 30
    ratio: float = 0.8
    least_length: int = 3


def match_tracks(
    frames: Iterable[LuminanceFrame], n_frames: int, options: MatchOptions, progress: Progress | None = None
) -> Tracks:
    """Tracks of all frames, each read once; only key points and descriptors are kept.

    Parameters
    ----------
    frames : iterable of LuminanceFrame
        In order.
    n_frames : int
    options : MatchOptions
    progress : Progress or None

    Returns
    -------
    Tracks

    Raises
    ------
    TooFewTracks
        If hardly any point is found in `least_length` pictures.
    """
    progress = progress or Progress()
    found: list[Features] = []
    size = (1, 1)
    for frame in frames:
        found.append(find_features(frame.pixels, options.count, options.largest_side))
        size = (frame.pixels.shape[1], frame.pixels.shape[0])
        progress(0.5 * len(found) / max(n_frames, 1), "Finding key points")
    first, second, ambiguity = _all_matches(found, size, options, progress.part(0.5, 1.0))
    offset = np.concatenate([[0], np.cumsum([len(features.xy) for features in found])]).astype(np.int64)
    of_frame = np.repeat(np.arange(len(found), dtype=np.int64), np.diff(offset))
    track = join(of_frame, first, second, ambiguity)
    kept = (np.bincount(track) >= options.least_length)[track] if len(track) else np.zeros(0, bool)
    n_tracks = len(np.unique(track[kept]))
    if n_tracks < _LEAST_TRACKS:
        raise TooFewTracks(
            f"Only {n_tracks} points are found again in {options.least_length} or more of the {n_frames} pictures, "
            f"{_LEAST_TRACKS} are needed: the pictures overlap too little, show different scenes, or have too little "
            "texture. Add pictures between them.",
            n_tracks,
            _LEAST_TRACKS,
        )
    order = np.flatnonzero(kept)[np.lexsort((of_frame[kept], track[kept]))]
    scale = np.concatenate([features.scale_px for features in found])[order]
    variance = _DEVIATION_PX**2 + (_DEVIATION_SCALES * scale) ** 2
    return Tracks(
        track=np.unique(track[order], return_inverse=True)[1].ravel().astype(np.int64),
        frame=of_frame[order],
        xy=np.concatenate([features.xy for features in found])[order],
        covariance=variance[:, None, None] * np.eye(2),
        n_frames=n_frames,
    )


def _all_matches(
    found: list[Features], size: tuple[int, int], options: MatchOptions, progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Verified matches of all pairs: two key points, numbered through all pictures, and the ambiguity."""
    offset = np.concatenate([[0], np.cumsum([len(features.xy) for features in found])])
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = [
        (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    ]
    pairs = sorted(_pairs(len(found), options))
    for done, (i, j) in enumerate(pairs):
        near = j - i <= options.neighbours
        if near or _may_overlap(found[i], found[j], options.ratio):
            matches = match_pair(found[i], found[j], size, options.ratio)
            if matches is not None:
                parts.append((matches.first + offset[i], matches.second + offset[j], matches.ambiguity))
        progress((done + 1) / len(pairs), "Matching pictures")
    first, second, ambiguity = (np.concatenate(column) for column in zip(*parts, strict=True))
    return first, second, ambiguity


def _pairs(n: int, options: MatchOptions) -> Iterator[tuple[int, int]]:
    """Neighbours, and all pairs of as many pictures, evenly spread, as can be compared."""
    most = options.all_pairs_up_to if n <= options.all_pairs_up_to else _LOOP_PICTURES
    spread = set(np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist())
    for i in range(n):
        for j in range(i + 1, n):
            if j - i <= options.neighbours or (i in spread and j in spread):
                yield i, j


def _may_overlap(a: Features, b: Features, ratio: float) -> bool:
    """Whether some of the strongest key points match: the rest is matched only then."""
    preview = match_descriptors(a.strongest(_PREVIEW_POINTS), b.strongest(_PREVIEW_POINTS), ratio)
    return len(preview.first) >= _PREVIEW_MATCHES


def pictures_overlap(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    """Whether two grey pictures of one size show the same scene: a wide step of the camera rather than a cut.

    Parameters
    ----------
    a, b : ndarray of shape (H, W), uint8, or float in 0 to 255

    Returns
    -------
    bool
        True when many key points match, agree with one motion of the camera, and spread over both pictures (a burned-in
        title agrees with itself across any cut).
    """
    features_a = find_features(a, _OVERLAP_POINTS, _OVERLAP_SIDE_PX)
    features_b = find_features(b, _OVERLAP_POINTS, _OVERLAP_SIDE_PX)
    height, width = a.shape
    matches = match_pair(features_a, features_b, (width, height), MatchOptions().ratio)
    if matches is None:
        return False
    cell = max(width, height) / _OVERLAP_CELLS
    places = (features_a.xy[matches.first], features_b.xy[matches.second])
    return all(len(np.unique((xy // cell).astype(int), axis=0)) >= _OVERLAP_LEAST_CELLS for xy in places)
