"""Independent motion: which tracks lie on the still scene, told before anything is solved.

Two views of a rigid scene obey one epipolar geometry, x_b^T F x_a = 0, whatever the lens and the camera's motion. What
moves by itself breaks it, unless it moves along its epipolar lines, and the wider the baseline the more so. So the
fundamental matrices of several wide pairs of frames are found by RANSAC, each with the groups that are left once the
largest is taken away; groups of different pairs are chained by the tracks that they share, and the chain that covers
most of the picture over most of the shot is the still scene: an actor in close-up may own more tracks than the room,
but not more of the picture. Its geometries are then fitted once more to its own tracks only, and a track is left out
when it breaks them in the pairs that it lives through, wide pairs counting for more.

Once cameras are known, what was left out is tested again: with them a track must have one place in space.

Sources: Torr, Geometric motion segmentation and model selection (1998); Hartley and Zisserman, Multiple View Geometry
(2004), section 11.4 (Sampson's distance).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import DegenerateMotion
from ..geometry.two_view import FrameIndex, Pair, fundamental, sampson
from ..types import Tracks
from .model import Model, least_views, place_points

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# widest pairs: a third of the tracks outlive them; for short tracks others, which most outlive
_SURVIVE = (0.35, 0.7)
_LEAST_SHARED = 30
# Sampson's distance, pixels: up to the first a track fits, beyond the second it does not (four deviations of good
# tracks, and room for what distortion does to an epipolar line)
_FITS_PX = 0.75
_BREAKS_PX = 1.5
_RANSAC_ITERATIONS = 2000
_MOST_GROUPS = 4
_LEAST_GROUP = 12
# share of a pair's tracks that must be left over to look for another group among them
_LEAST_LEFT = 0.08
# the picture's area is counted in cells of a grid
_CELLS = (8, 5)
# a track moves when it breaks the scene's geometry in so much of what it is tested in
_MOVING_SHARE = 0.4
# what was left out comes back when it fits the cameras as well as this share of the still tracks does
_TAKE_BACK = 0.8
# a track on its own among still ones is no moving object
_NEIGHBOURS = 6
_AMID_SHARE = 0.5
# below this share of the tracks no group is the scene; chains as good as this share of the best are its rivals
_LEAST_STILL = 0.35
_RIVAL = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What stands still.

    Attributes
    ----------
    still : ndarray of bool, shape (T,)
        False for tracks that move by themselves.
    rival : float
        How much of the picture and the shot the largest group that moves otherwise explains, over what the still scene
        does: near 1 it is open which of the two stands still.
    """

    still: Mask
    rival: float

    @property
    def moving_share(self) -> float:
        """Share of the tracks that move by themselves."""
        return float(1 - self.still.mean()) if len(self.still) else 0.0

    @property
    def reasons(self) -> tuple[str, ...]:
        """A sentence for the report where it is open what stands still."""
        if self.rival < _RIVAL:
            return ()
        return (
            (
                "Two parts of the picture move differently and each explains about as much of it: the camera was "
                "solved from the one that covers more. If that is the one that moves by itself, mask it out."
            ),
        )


def still_only(tracks: Tracks, still: Mask) -> Tracks:
    """The observations of the still tracks (T,), under the numbers that the tracks have among all."""
    keep = still[tracks.track]
    return Tracks(
        track=tracks.track[keep],
        frame=tracks.frame[keep],
        xy=tracks.xy[keep],
        covariance=tracks.covariance[keep],
        n_frames=tracks.n_frames,
    )


def leave_out(model: Model, still: Mask) -> Model:
    """The model without the tracks that move."""
    return replace(model, still=still, usable=model.usable & still[model.tracks.track], placed=model.placed & still)


def take_back(model: Model) -> Model:
    """The model with those tracks among the still ones again that were left out and need not have been.

    These are the tracks that have one place in space, seen from the model's cameras, and the tracks that broke the
    scene's geometry on their own: an object moves as a patch of the picture. What breaks it amid tracks that obey it
    lies on an outline, over which two surfaces slide, and the final adjustment weighs such tracks by their residuals.

    Parameters
    ----------
    model : Model
        All posed and adjusted; cameras and lens may be rough.

    Returns
    -------
    Model
    """
    if model.still.all():
        return model
    out = ~model.still
    tried = replace(model, usable=model.usable | out[model.tracks.track])
    tried = place_points(tried, out, least_views(model))
    rows = tried.rows(tried.posed)
    error, depth = tried.errors_px(rows)
    track = tried.tracks.track[rows]
    count = np.maximum(np.bincount(track, minlength=len(out)), 1)
    rms = np.sqrt(np.bincount(track, weights=error**2, minlength=len(out)) / count)
    front = np.bincount(track, weights=depth <= 0, minlength=len(out)) == 0
    known = model.placed & model.still
    if not known.any():
        return model
    back = tried.placed & (front | model.nodal) & (rms <= np.quantile(rms[known], _TAKE_BACK))
    still = model.still | back
    still |= ~_amid(model.tracks, ~still)
    return leave_out(tried, still)


def _amid(tracks: Tracks, out: Mask) -> Mask:
    """Those (T,) of the tracks of a mask (T,) that have more of their like around them, midway through their lives."""
    starts = np.searchsorted(tracks.track, np.arange(tracks.n_tracks + 1))
    middle = (starts[:-1] + starts[1:]) // 2
    asked = np.flatnonzero(out)
    index = FrameIndex(tracks)
    amid = np.zeros_like(out)
    for frame in np.unique(tracks.frame[middle[asked]]):
        here = asked[tracks.frame[middle[asked]] == frame]
        rows = index.rows(int(frame))
        if len(rows) <= _NEIGHBOURS:
            continue
        square = ((tracks.xy[middle[here], None] - tracks.xy[rows]) ** 2).sum(axis=2)
        nearest = rows[np.argpartition(square, _NEIGHBOURS, axis=1)[:, : _NEIGHBOURS + 1]]
        # the track is its own neighbour
        amid[here] = out[tracks.track[nearest]].sum(axis=1) - 1 >= _AMID_SHARE * _NEIGHBOURS
    return amid


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tested:
    """A pair of frames and the groups of its tracks (K,) that share an epipolar geometry each."""

    pair: Pair
    gap: int
    groups: list[Mask]


def find_motion(tracks: Tracks, size: tuple[int, int]) -> Motion:
    """Tell the still scene from what moves in it.

    Parameters
    ----------
    tracks : Tracks
    size : (int, int)
        Of the picture, pixels.

    Returns
    -------
    Motion
        Tracks that no pair tests count as still.

    Raises
    ------
    DegenerateMotion
        If no group of tracks holds together over the shot: most of what is seen moves by itself.
    """
    every = Motion(still=np.ones(tracks.n_tracks, dtype=bool), rival=0.0)
    index = FrameIndex(tracks)
    gaps = _gaps(index, tracks.n_frames)
    if not gaps:
        return every
    wide = [_Tested(pair=pair, gap=gap, groups=_groups(pair)) for pair, gap in _pairs(index, tracks.n_frames, gaps[0])]
    if not wide:
        return every
    root = max(wide, key=lambda tested: len(tested.pair.tracks))
    chains = [_chained(wide, root, number, tracks.n_tracks) for number in range(len(root.groups))]
    supports = [_support(wide, votes, size) for votes in chains]
    if not chains:
        raise _crowd()
    best = int(np.argmax(supports))
    votes = chains[best]
    others = [supports[i] for i in range(len(chains)) if i != best and _apart(votes, chains[i])]
    near = [
        _Tested(pair=pair, gap=gap, groups=[]) for gap in gaps[1:] for pair, gap in _pairs(index, tracks.n_frames, gap)
    ]
    broken, tested = _broken([*wide, *near], votes)
    still = broken < _MOVING_SHARE
    if tested.any() and still[tested].mean() < _LEAST_STILL:
        raise _crowd()
    return Motion(still=still, rival=max(others, default=0.0) / supports[best])


def _crowd() -> DegenerateMotion:
    return DegenerateMotion(
        "Most of what is seen moves by itself: no part of the picture is still enough for long enough to find the "
        "camera from. Mask out what moves, or use a shot that shows more of a still scene."
    )


def _gaps(index: FrameIndex, n_frames: int) -> list[int]:
    """Widths of the pairs, frames: those that `_SURVIVE` of the tracks outlive."""
    candidates = np.unique(np.round(1.3 ** np.arange(1, 30)).astype(int))
    candidates = candidates[candidates < n_frames]
    starts = np.unique(np.linspace(0, n_frames - 2, 6).astype(int))
    shares = []
    for gap in candidates:
        shared, total = 0, 0
        for start in starts[starts + gap < n_frames]:
            total += len(index.rows(int(start)))
            shared += len(index.pair(int(start), int(start + gap)).tracks)
        shares.append(shared / max(total, 1))
    found = [int(candidates[np.array(shares) >= least].max(initial=0)) for least in _SURVIVE]
    return sorted({gap for gap in found if gap > 0}, reverse=True)


def _pairs(index: FrameIndex, n_frames: int, gap: int) -> list[tuple[Pair, int]]:
    count = int(np.ceil((n_frames - 1 - gap) / max(gap / 2, 1))) + 1
    starts = np.unique(np.linspace(0, n_frames - 1 - gap, count).round().astype(int))
    pairs = [index.pair(int(start), int(start + gap)) for start in starts]
    return [(pair, gap) for pair in pairs if len(pair.tracks) >= _LEAST_SHARED]


def _groups(pair: Pair) -> list[Mask]:
    """Groups of a pair's tracks, the largest first."""
    groups: list[Mask] = []
    n = len(pair.tracks)
    left = np.ones(n, dtype=bool)
    while len(groups) < _MOST_GROUPS and left.sum() >= max(_LEAST_GROUP, _LEAST_LEFT * n):
        shared = fundamental(
            pair.xy_first[left], pair.xy_second[left], _FITS_PX, 0.999, _RANSAC_ITERATIONS, cv2.USAC_ACCURATE
        )
        if shared is None:
            break
        distance = sampson(shared[0], pair.xy_first, pair.xy_second)
        group = left & (distance < _BREAKS_PX)
        if group.sum() < _LEAST_GROUP:
            break
        groups.append(group)
        left &= ~group
    return groups


def _chained(wide: list[_Tested], root: _Tested, number: int, n_tracks: int) -> Array:
    """Votes (T,) of the groups that go on from one group of the root pair: above 0 within, below 0 without."""
    votes = np.zeros(n_tracks)
    order = sorted(wide, key=lambda tested: abs(tested.pair.first - root.pair.first))
    for tested in order:
        ids = tested.pair.tracks
        if tested is root:
            chosen = tested.groups[number]
        else:
            known = np.sign(votes[ids])
            agreement = [float((known * np.where(group, 1.0, -1.0)).sum()) for group in tested.groups]
            if not agreement or max(agreement) <= 0:
                continue
            chosen = tested.groups[int(np.argmax(agreement))]
        votes[ids] += np.where(chosen, 1.0, -1.0)
    return votes


def _support(wide: list[_Tested], votes: Array, size: tuple[int, int]) -> float:
    """Cells of the picture in which a chain has tracks, summed over the pairs."""
    total = 0
    for tested in wide:
        member = votes[tested.pair.tracks] > 0
        for xy in (tested.pair.xy_first[member], tested.pair.xy_second[member]):
            cell = np.clip((xy / np.array(size) * _CELLS).astype(int), 0, np.array(_CELLS) - 1)
            total += len(np.unique(cell[:, 0] * _CELLS[1] + cell[:, 1]))
    return float(total)


def _apart(a: Array, b: Array) -> bool:
    """Whether two chains are different groups and not one that was found twice."""
    both = ((a > 0) & (b > 0)).sum()
    return bool(both < 0.5 * min((a > 0).sum(), (b > 0).sum()))


def _broken(pairs: list[_Tested], votes: Array) -> tuple[Array, Mask]:
    """Share (T,) of a track's pairs, by width, in which it breaks the scene's own geometry; which tracks have any."""
    broken, weight = np.zeros(len(votes)), np.zeros(len(votes))
    for tested in pairs:
        ids = tested.pair.tracks
        member = votes[ids] > 0
        if member.sum() < _LEAST_GROUP:
            continue
        shared = fundamental(tested.pair.xy_first[member], tested.pair.xy_second[member], _FITS_PX, 0.999, 500)
        if shared is None:
            continue
        distance = sampson(shared[0], tested.pair.xy_first, tested.pair.xy_second)
        weight[ids] += tested.gap
        broken[ids] += tested.gap * (distance > _BREAKS_PX)
    return broken / np.maximum(weight, 1), weight > 0
