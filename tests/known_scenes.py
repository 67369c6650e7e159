"""Simulated scenes as shots, for tests of what is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.known import Known, KnownPose, KnownValues
from solver.pipeline import SolveOptions, solve_tracks
from solver.types import Shot, Solve
from tests.synthetic import MOTIONS, Scene

Array = NDArray[np.float64]

FIRST = 1001


def shot_of(scene: Scene, metadata: Mapping[str, Any] | None = None) -> Shot:
    """The scene as a shot whose frames are counted from `FIRST`."""
    return Shot(
        name="shot",
        footage="shot",
        first_file="shot/1001.png",
        is_sequence=True,
        size=scene.size,
        frame_rate=24.0,
        frame_numbers=FIRST + np.arange(scene.tracks.n_frames),
        missing_frames=np.empty(0, dtype=np.int64),
        metadata=dict(metadata or {}),
    )


def solved(scene: Scene, metadata: Mapping[str, Any] | None = None, **known: Any) -> Solve:
    """The scene's tracks solved, with what `KnownValues` takes."""
    return solve_tracks(shot_of(scene, metadata), scene.tracks, SolveOptions(known=KnownValues(**known)))


def held(value: float) -> Known:
    return Known(value=value, deviation=0.0)


def poses_of(scene: Scene, frames: Iterable[int], rotation: float = 0.0, position: float = 0.0) -> dict[int, KnownPose]:
    """The true poses of some frames, by frame number, with their deviations."""
    return {
        FIRST + i: KnownPose(
            R_cam_from_world=scene.R[i],
            t_cam_from_world=scene.t[i],
            rotation_deviation=rotation,
            position_deviation=position,
        )
        for i in frames
    }


def zoomed(scene: Scene, focal_px: Array, noise_px: float, rng: np.random.Generator) -> Scene:
    """An undistorted scene seen through a lens of these focal lengths (F,)."""
    tracks, centre = scene.tracks, scene.lens[1:3]
    xy = (scene.true_xy - centre) * (focal_px[tracks.frame] / scene.lens[0])[:, None] + centre
    seen = ((xy > 4) & (xy < np.array(scene.size) - 4)).all(axis=1)
    noisy = replace(tracks, xy=xy + noise_px * rng.standard_normal(xy.shape))
    return replace(scene, tracks=noisy.select(seen), true_xy=xy[seen], outlier=scene.outlier[seen])


def zoom_curve(n: int, first_px: float = 900.0, ratio: float = 1.4) -> Array:
    """Focal lengths (n,) from the first to `ratio` times it, slow at both ends."""
    return np.asarray(first_px * ratio ** (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, n))))


def moved(scene: Scene, R: Array, scale: float, shift: Array) -> Scene:
    """The same scene in another world: x' = scale R x + shift."""
    R_new = scene.R @ R.T
    return replace(
        scene,
        R=R_new,
        t=scale * scene.t - R_new @ shift,
        points=scale * scene.points @ R.T + shift,
    )


def shifted_by(share: float) -> Callable[[int, np.random.Generator], tuple[Array, Array]]:
    """A motion of `MOTIONS`: a part of the dolly's way, without its turns."""

    def motion(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        _, centre = MOTIONS["dolly"](n, rng)
        return np.tile(np.eye(3), (n, 1, 1)), share * centre

    return motion
