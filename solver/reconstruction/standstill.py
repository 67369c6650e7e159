"""Whether the camera of a shot stands still, from its tracks.

Where the camera stands still the background does, however much moves in front of it: so in most parts of the picture
some tracks must stand still, and they must reach from the first frame to the last. The other way round, a far
background stands still in front of a moving camera too, but only in its part of the picture. A rack of focus makes
tracks wander while nothing moves, each in its own way: a part of the picture stands still if the calmest quarter of its
tracks does, and a camera that creeps shows in what they have in common.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..types import Tracks

# RMS distance from its mean position within which a track stands still: pixels, and as a share of the picture's width
# (on a locked shot with a strong rack of focus the calmest quarter keeps within 0.2 to 0.9 px of 640)
_STILL_PX = 0.5
_STILL_SHARE = 0.0016
# what wanders for its own reasons wanders in its own direction; a camera that creeps takes all standing tracks with it,
# in an affine motion. RMS of that between the first and the last third of the shot, as a share of the width
_COMMON_SHARE = 0.0009
_COMMON_PX = 0.3
# a shorter track stands still in any slow shot
_LEAST_LENGTH_SHARE = 0.25
_CELLS = (4, 3)
_LEAST_IN_CELL = 3
_CALMEST = 0.25
_LEAST_STILL_CELLS = 0.6
# standing tracks that one frame must share with the next
_LINKS = 8


def is_static(tracks: Tracks, size: tuple[int, int]) -> bool:
    """Whether the tracks show a camera that does not move.

    Parameters
    ----------
    tracks : Tracks
        As followed, with what moves in front of the camera.
    size : (int, int)
        Width and height of the picture, pixels.

    Returns
    -------
    bool
        False also where the tracks do not tell: too few, or a gap between the standing ones.
    """
    n = tracks.n_tracks
    count = np.bincount(tracks.track, minlength=n)
    long = count >= max(2, _LEAST_LENGTH_SHARE * tracks.n_frames)
    if not long.any():
        return False
    total = np.stack([np.bincount(tracks.track, tracks.xy[:, i], n) for i in (0, 1)], axis=1)
    mean = np.asarray(total / np.maximum(count, 1)[:, None], dtype=np.float64)
    square = ((tracks.xy - mean[tracks.track]) ** 2).sum(axis=1)
    spread = np.sqrt(np.bincount(tracks.track, square, n) / np.maximum(count, 1))
    limit = max(_STILL_PX, _STILL_SHARE * size[0])
    # of a track of few frames the mean lies too near: n / (n - 1) of the spread's square is what it would be else
    spread *= np.sqrt(count / np.maximum(count - 1, 1))
    column, row = (np.clip(mean / size * _CELLS, 0, np.array(_CELLS) - 1).astype(np.int64)).T
    cell = row * _CELLS[0] + column
    calm = [
        float(np.quantile(spread[inside], _CALMEST)) < limit
        for inside in (long & (cell == i) for i in range(_CELLS[0] * _CELLS[1]))
        if inside.sum() >= _LEAST_IN_CELL
    ]
    if not calm or np.mean(calm) < _LEAST_STILL_CELLS:
        return False
    still = long & (spread < limit)
    return _linked(tracks, still) and _common_motion(tracks, still, mean) < max(_COMMON_PX, _COMMON_SHARE * size[0])


def _common_motion(tracks: Tracks, still: NDArray[np.bool_], mean: NDArray[np.float64]) -> float:
    """RMS over the tracks of a mask (T,) of the affine motion that they share, pixels, from the first third of the shot
    to the last; `mean` (T, 2) are their positions."""
    n = tracks.n_tracks
    part = np.minimum(3 * tracks.frame // tracks.n_frames, 2) if tracks.n_frames > 2 else 2 * tracks.frame
    place = []
    for third in (0, 2):
        rows = part == third
        count = np.bincount(tracks.track[rows], minlength=n)
        still = still & (count > 0)
        total = np.stack([np.bincount(tracks.track[rows], tracks.xy[rows, i], n) for i in (0, 1)], axis=1)
        place.append(total / np.maximum(count, 1)[:, None])
    if still.sum() < _LINKS:
        return 0.0
    moved = (place[1] - place[0])[still]
    centred = (mean[still] - mean[still].mean(axis=0)) / max(float(mean[still].std()), 1.0)
    design = np.column_stack([centred, np.ones(len(centred))])
    weight = np.ones(len(centred))
    for _ in range(10):
        fit = np.linalg.lstsq(design * weight[:, None], moved * weight[:, None], rcond=None)[0]
        residual = np.linalg.norm(moved - design @ fit, axis=1)
        weight = 1 / np.sqrt(1 + (residual / max(float(np.median(residual)), 1e-6)) ** 2)
    return float(np.sqrt(((design @ fit) ** 2).sum(axis=1).mean()))


def _linked(tracks: Tracks, still: NDArray[np.bool_]) -> bool:
    """Whether enough of the tracks of a mask (T,) lead from each frame to the next."""
    first = np.full(tracks.n_tracks, tracks.n_frames)
    last = np.full(tracks.n_tracks, -1)
    np.minimum.at(first, tracks.track, tracks.frame)
    np.maximum.at(last, tracks.track, tracks.frame)
    first, last = first[still], last[still]
    return all(int(((first <= i) & (last > i)).sum()) >= _LINKS for i in range(tracks.n_frames - 1))
