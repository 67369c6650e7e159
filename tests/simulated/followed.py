"""Tracks as a tracker makes them: corners found anew every few frames, followed while they last, noisy, some wrong.

Four kinds of wrong tracks: those on things that move by themselves; crossings of two edges at different depths, which
slide over both; jumps to a neighbouring corner; single wild observations. All but the last look well tracked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.types import Tracks
from tests.synthetic import correlated_noise

from .lens import Lens
from .paths import Array, Path
from .surroundings import Cast
from .things import Things, cast_pixels, crowd, rigid_thing, see, standing, together

_MARGIN = 6.0
_SHORTEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How well a shot is tracked.

    Attributes
    ----------
    live : int
        Tracks alive that detection keeps up.
    detect_every : int
        Frames.
    lifetime : float
        Mean, frames, of a track that stays in the picture.
    noise_px : float
        Median deviation of an observation along an axis.
    uneven : float
        Deviation of the logarithm of a track's own noise level, which it states.
    dishonest : float
        Deviation of the logarithm of true over stated noise.
    drift_px : float
        Deviation of an error that changes slowly along a track (correlation 0.95 from frame to frame); not stated.
    sliding, jumping, moving : float
        Shares of the tracks.
    wild : float
        Share of the observations.
    crowd : bool
        Whether what moves is a crowd, or one rigid thing.
    lost : tuple of int
        Frames in which nothing is seen.
    joined : float
        Share of the tracks that are found again after lost frames.
    """

    live: int = 150
    detect_every: int = 5
    lifetime: float = 30.0
    noise_px: float = 0.2
    uneven: float = 0.3
    dishonest: float = 0.0
    drift_px: float = 0.0
    sliding: float = 0.0
    jumping: float = 0.0
    moving: float = 0.0
    wild: float = 0.0
    crowd: bool = False
    lost: tuple[int, ...] = ()
    joined: float = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Tracks and what is true of them.

    Attributes
    ----------
    tracks : Tracks
    true_xy : ndarray of shape (N, 2)
        Without noise; of a sliding track, where the crossing is.
    wrong : ndarray of bool, shape (N,)
        Wild, or after a jump.
    moving, sliding : ndarray of bool, shape (T,)
    points : ndarray of shape (T, 3)
        World, at time 0.
    """

    tracks: Tracks
    true_xy: Array
    wrong: NDArray[np.bool_]
    moving: NDArray[np.bool_]
    sliding: NDArray[np.bool_]
    points: Array


def follow_scene(
    path: Path,
    lens: Lens,
    readout: float,
    cast: Cast,
    distance: float,
    time: Array,
    conditions: Conditions,
    rng: np.random.Generator,
) -> Followed:
    """Track a scene.

    Parameters
    ----------
    path : Path
    lens : Lens
    readout : float
        From the first row to the last, in frames.
    cast : Cast
        The scene.
    distance : float
        Of the scene, scene units.
    time : ndarray of shape (F,)
        When the middle row of each frame is exposed, in frames.
    conditions : Conditions
    """
    n = len(time)
    size = np.array(lens.size)
    thing = rigid_thing(path, lens, n, distance, rng)
    lost = np.zeros(n, dtype=bool)
    lost[list(conditions.lost)] = True
    alive = np.zeros(n, dtype=np.int64)
    parts: list[Things] = []
    seen_xy, seen, sliding = [np.zeros((0, n, 2))], [np.zeros((0, n), dtype=bool)], [np.zeros(0, dtype=bool)]
    after_lost = np.flatnonzero(lost[:-1] & ~lost[1:]) + 1
    for frame in np.union1d(np.arange(0, n - 2, conditions.detect_every), after_lost):
        wanted = conditions.live - int(alive[frame])
        if wanted < 8 or lost[frame]:
            continue
        xy = rng.uniform(_MARGIN, size - _MARGIN, (wanted, 2))
        origin, ray = cast_pixels(path, lens, readout, xy, np.full(wanted, time[frame]))
        far = cast(origin, ray, rng)
        moves = rng.uniform(size=wanted) < conditions.moving
        still = ~moves & np.isfinite(far)
        new = [standing(origin[still] + far[still, None] * ray[still])]
        if moves.any():
            field = 2 * np.arctan(size[0] / 2 / lens.reference)
            new.append(
                crowd(origin[moves], ray[moves], float(time[frame]), n, distance, field, rng)
                if conditions.crowd
                else thing(int(moves.sum()), rng)
            )
        things = together(new)
        count = len(things.start)
        slides = (rng.uniform(size=count) < conditions.sliding) & ~things.moves
        place, visible = _project(path, lens, readout, things, time)
        place = np.where(slides[:, None, None], _crossing(path, lens, readout, things, place, time, frame, rng), place)
        visible &= ((place > _MARGIN) & (place < size - _MARGIN)).all(axis=2)
        visible &= ~lost | (rng.uniform(size=(count, 1)) < conditions.joined)
        lasts = frame + rng.exponential(conditions.lifetime, count) + _SHORTEST
        index = np.arange(n)
        visible &= (index >= frame) & (index <= lasts[:, None])
        visible[:, frame:] &= np.logical_and.accumulate(visible[:, frame:], axis=1)
        visible &= ~lost
        keep = visible.sum(axis=1) >= _SHORTEST
        parts.append(_select(things, keep))
        seen_xy.append(place[keep])
        seen.append(visible[keep])
        sliding.append(slides[keep])
        alive += visible[keep].sum(axis=0)
    all_xy, all_seen = np.concatenate(seen_xy), np.concatenate(seen)
    track, frame_of = np.nonzero(all_seen)
    true_xy = all_xy[track, frame_of]
    error, covariance = _errors(track, conditions, rng)
    wrong = _go_wrong(error, track, conditions, rng)
    everything = together(parts) if parts else standing(np.zeros((0, 3)))
    return Followed(
        tracks=Tracks(
            track=track.astype(np.int64),
            frame=frame_of.astype(np.int64),
            xy=true_xy + error,
            covariance=covariance,
            n_frames=n,
        ),
        true_xy=true_xy,
        wrong=wrong,
        moving=everything.moves,
        sliding=np.concatenate(sliding),
        points=everything.place(np.arange(len(everything.start)), np.zeros(len(everything.start))),
    )


def _select(things: Things, keep: NDArray[np.bool_]) -> Things:
    return Things(**{name: getattr(things, name)[keep] for name in Things.__slots__})


def _project(path: Path, lens: Lens, readout: float, things: Things, time: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Pixels (K, F, 2) and visibility (K, F)."""
    count, n = len(things.start), len(time)
    which = np.repeat(np.arange(count), n)
    xy, shown = see(path, lens, readout, lambda when: things.place(which, when), np.tile(time, count))
    return xy.reshape(count, n, 2), shown.reshape(count, n)


def _crossing(
    path: Path,
    lens: Lens,
    readout: float,
    things: Things,
    place: Array,
    time: Array,
    frame: int,
    rng: np.random.Generator,
) -> Array:
    """Pixels (K, F, 2) where an edge through each point crosses one that lies behind it in its first frame."""
    count = len(things.start)
    _, centre = path.pose(np.full(1, time[frame]))
    behind = standing(centre + (things.start - centre) * rng.uniform(1.1, 1.6, (count, 1)))
    other, _ = _project(path, lens, readout, behind, time)
    angle = rng.uniform(0, np.pi, count)
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, None]
    return np.asarray(place + across * ((other - place) * across).sum(axis=2, keepdims=True))


def _errors(track: NDArray[np.int64], conditions: Conditions, rng: np.random.Generator) -> tuple[Array, Array]:
    """Errors (N, 2) and the covariances (N, 2, 2) that the tracks state."""
    count = int(track.max()) + 1 if len(track) else 0
    level = conditions.noise_px * np.exp(rng.normal(0, conditions.uneven, count))
    stretch, angle = np.exp(rng.uniform(0, 0.6, count)), rng.uniform(0, np.pi, count)
    turn = np.stack([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    factor = turn * (level[:, None] * np.stack([stretch, 1 / stretch], axis=1))[:, None]
    truth = np.exp(rng.normal(0, conditions.dishonest, count)) if conditions.dishonest else np.ones(count)
    error = truth[track, None] * np.einsum("nij,nj->ni", factor[track], rng.standard_normal((len(track), 2)))
    if conditions.drift_px:
        error += conditions.drift_px * correlated_noise(track, 0.95, rng)
    return error, (factor @ factor.transpose(0, 2, 1))[track]


def _go_wrong(
    error: Array, track: NDArray[np.int64], conditions: Conditions, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Add jumps and wild observations to the errors (N, 2) in place; which are wrong (N,)."""
    wild = rng.uniform(size=len(track)) < conditions.wild
    error[wild] += rng.uniform(-40, 40, (int(wild.sum()), 2))
    wrong = wild.copy()
    if conditions.jumping and len(track):
        starts = np.searchsorted(track, np.arange(track[-1] + 1))
        length = np.bincount(track)
        jumps = rng.uniform(size=len(length)) < conditions.jumping
        after = np.arange(len(track)) - starts[track] >= (rng.uniform(0.2, 0.9, len(length)) * length)[track]
        after &= jumps[track]
        error[after] += rng.uniform(-15, 15, (len(length), 2))[track[after]]
        wrong |= after
    return np.asarray(wrong)


def follow_grain(size: tuple[int, int], n: int, live: int, rng: np.random.Generator) -> Followed:
    """What a tracker finds where there is nothing but grain: short tracks that wander."""
    track, frame, xy = [], [], []
    number = 0
    for first in range(0, n - 2, 3):
        for _ in range(live // 2):
            length = min(int(rng.integers(3, 9)), n - first)
            step = rng.normal(0, 1.2, (length, 2))
            step[0] = rng.uniform(_MARGIN, np.array(size) - _MARGIN)
            track.append(np.full(length, number))
            frame.append(first + np.arange(length))
            xy.append(np.cumsum(step, axis=0))
            number += 1
    rows = np.concatenate(track)
    return Followed(
        tracks=Tracks(
            track=rows.astype(np.int64),
            frame=np.concatenate(frame).astype(np.int64),
            xy=np.concatenate(xy),
            covariance=np.tile(np.eye(2) * 0.3**2, (len(rows), 1, 1)),
            n_frames=n,
        ),
        true_xy=np.concatenate(xy),
        wrong=np.ones(len(rows), dtype=bool),
        moving=np.zeros(number, dtype=bool),
        sliding=np.zeros(number, dtype=bool),
        points=np.zeros((number, 3)),
    )
