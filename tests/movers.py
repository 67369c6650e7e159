"""Objects that move by themselves, added to the scenes of `synthetic`.

A mover is a cloud of points that is carried along a line and turned about the vertical. It is followed as the still
scene is, and is opaque: where it stands in front of still points, those are not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.types import Tracks
from tests.synthetic import Array, Scene, project, turn


@dataclass(frozen=True, kw_only=True)
class Mover:
    """A rigid cloud of points.

    Attributes
    ----------
    at, to : (float, float, float)
        Its middle in the first and in the last frame.
    size : float
        Radius.
    turn_deg : float
        About the vertical, over the shot.
    share : float
        Of all tracks of the shot, as far as it is seen.
    wave : float
        Amplitude of a sideways sway on top, one and a half periods a shot.
    """

    at: tuple[float, float, float]
    to: tuple[float, float, float]
    size: float = 1.0
    turn_deg: float = 0.0
    share: float = 0.1
    wave: float = 0.0


def with_movers(
    scene: Scene, movers: list[Mover], *, rng: np.random.Generator, noise_px: float = 0.2, longest: int = 25
) -> tuple[Scene, NDArray[np.bool_]]:
    """The scene with movers in it, and a mask (T,) of their tracks.

    The points of the scene's mover tracks are where the mover has them in the first frame.
    """
    n_frames = len(scene.R)
    scene = _hidden(scene, movers)
    still = scene.tracks.n_tracks
    share = sum(mover.share for mover in movers)
    pieces = [(scene.tracks.track, scene.tracks.frame, scene.tracks.xy, scene.true_xy, scene.outlier)]
    points, first = [scene.points], still
    for mover in movers:
        wanted = round(still * mover.share / (1 - share))
        found: list[tuple[Array, Array, Array, Array, NDArray[np.bool_]]] = []
        count = 0
        while count < wanted:
            inside = rng.normal(size=3)
            inside *= mover.size * rng.uniform() ** (1 / 3) / np.linalg.norm(inside)
            world = _carried(mover, inside, n_frames)
            xy, depth = _seen_from(scene, world)
            good = ((xy > 4) & (xy < np.array(scene.size) - 4)).all(axis=1) & (depth > 0.5)
            start = int(rng.integers(-longest + 3, n_frames - 3))
            good &= (np.arange(n_frames) >= start) & (np.arange(n_frames) < start + longest)
            frames = np.flatnonzero(good)
            if len(frames) < 3:
                start += 1
                count += 0 if good.any() else 0.02  # a mover that is hardly seen ends after all
                continue
            number = np.full(len(frames), first + len(found), dtype=np.int64)
            noisy = xy[frames] + noise_px * rng.standard_normal((len(frames), 2))
            found.append((number, frames, noisy, xy[frames], np.zeros(len(frames), dtype=bool)))
            points.append(world[:1])
            count += 1
        pieces += found
        first += len(found)
    track, frame, xy, true_xy, outlier = (np.concatenate(part) for part in zip(*pieces, strict=True))
    together = replace(
        scene,
        points=np.concatenate(points),
        tracks=Tracks(
            track=track,
            frame=frame,
            xy=xy,
            covariance=np.tile(np.eye(2) * max(noise_px, 0.01) ** 2, (len(track), 1, 1)),
            n_frames=n_frames,
        ),
        true_xy=true_xy,
        outlier=outlier,
    )
    return together, np.arange(first) >= still


def _hidden(scene: Scene, movers: list[Mover]) -> Scene:
    """The scene without what stands behind the movers; a track that is hidden for a while goes on as another."""
    tracks = scene.tracks
    place = np.einsum("nij,nj->ni", scene.R[tracks.frame], scene.points[tracks.track]) + scene.t[tracks.frame]
    seen = np.ones(len(tracks.track), dtype=bool)
    for mover in movers:
        xy, depth = _seen_from(scene, _carried(mover, np.zeros(3), len(scene.R)))
        radius = 0.8 * mover.size * scene.lens[0] / np.maximum(depth, 0.1)
        near = np.linalg.norm(scene.true_xy - xy[tracks.frame], axis=1) < radius[tracks.frame]
        seen &= ~(near & (place[:, 2] > depth[tracks.frame]) & (depth > 0)[tracks.frame])
    rows = np.flatnonzero(seen)
    broken = (np.diff(tracks.track[rows]) != 0) | (np.diff(tracks.frame[rows]) != 1)
    run = np.concatenate([[0], np.cumsum(broken)])
    keep = np.bincount(run)[run] >= 3
    rows, first, track = rows[keep], *np.unique(run[keep], return_index=True, return_inverse=True)[1:]
    return replace(
        scene,
        points=scene.points[tracks.track[rows[first]]],
        tracks=replace(
            tracks, track=track, frame=tracks.frame[rows], xy=tracks.xy[rows], covariance=tracks.covariance[rows]
        ),
        true_xy=scene.true_xy[rows],
        outlier=scene.outlier[rows],
    )


def _carried(mover: Mover, inside: Array, n_frames: int) -> Array:
    """Where (F, 3) a point of the mover is in each frame."""
    time = np.linspace(0, 1, n_frames)
    at, to = np.array(mover.at), np.array(mover.to)
    way = to - at
    side = np.array([way[2], 0.0, -way[0]])
    side = side / max(float(np.linalg.norm(side)), 1e-9)
    middle = at + time[:, None] * way + mover.wave * np.sin(3 * np.pi * time)[:, None] * side
    return np.stack([turn(1, np.radians(mover.turn_deg) * s) @ inside for s in time]) + middle


def _seen_from(scene: Scene, world: Array) -> tuple[Array, Array]:
    """Pixels (F, 2) and depths (F,) of a place in each frame (F, 3)."""
    seen = [project(scene.R[i : i + 1], scene.t[i : i + 1], world[i : i + 1], scene.lens) for i in range(len(world))]
    return np.concatenate([xy[0] for xy, _ in seen]), np.concatenate([depth[0] for _, depth in seen])
