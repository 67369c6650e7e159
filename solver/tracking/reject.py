"""Tracks that belong to the picture and not to the world.

Burned-in text, a logo, dirt on the lens, a dead pixel stand still in the picture while the world moves behind them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..types import Tracks

# a thing of the picture is placed as well as its patch allows; the world never stands this still under a moving camera
_STILL_PX = 0.35
_STILL_SHARE = 0.06
_STILL_MOST_PX = 0.8
# the picture around must have moved by this much meanwhile, as a share of the picture's width
_MOVED = 0.012


def still_in_picture(tracks: Tracks, width: int) -> NDArray[np.bool_]:
    """Mask (T,) of tracks that stand still while most of the picture moves.

    A track stands still when the RMS distance from its mean position is below 0.35 px, or 6 % of how far the picture
    moves, at most 0.8 px: a patch of something small or see-through is pulled along a little. The picture moves when
    the median track that lives at the same time has moved more than 1.2 % of the picture's width over the same frames.

    Parameters
    ----------
    tracks : Tracks
    width : int
        Of the picture, pixels.
    """
    n = tracks.n_tracks
    count = np.bincount(tracks.track, minlength=n)
    mean = np.stack([np.bincount(tracks.track, weights=tracks.xy[:, i], minlength=n) for i in range(2)], axis=1)
    mean = mean / np.maximum(count, 1)[:, None]
    distance2 = ((tracks.xy - mean[tracks.track]) ** 2).sum(axis=1)
    spread = np.sqrt(np.bincount(tracks.track, weights=distance2, minlength=n) / np.maximum(count, 1))

    same = np.flatnonzero((np.diff(tracks.track) == 0) & (np.diff(tracks.frame) == 1))
    step = np.sqrt(((tracks.xy[same + 1] - tracks.xy[same]) ** 2).sum(axis=1))
    frame = tracks.frame[same + 1]
    typical = np.zeros(tracks.n_frames)
    order = np.argsort(frame, kind="stable")
    starts = np.searchsorted(frame[order], np.arange(tracks.n_frames + 1))
    for i in range(tracks.n_frames):
        if starts[i] < starts[i + 1]:
            typical[i] = np.median(step[order[starts[i] : starts[i + 1]]])
    travelled = np.bincount(tracks.track[same], weights=typical[frame], minlength=n)
    return np.asarray(
        (spread < np.clip(_STILL_SHARE * travelled, _STILL_PX, _STILL_MOST_PX)) & (travelled > _MOVED * width)
    )
