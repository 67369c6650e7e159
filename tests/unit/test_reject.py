"""Things that belong to the picture and not to the world."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.tracking.reject import still_in_picture
from solver.types import Tracks
from tests.synthetic import SIZE, make_scene


def tracks_of(paths: list[tuple[int, NDArray[np.float64]]], n_frames: int) -> Tracks:
    """Tracks from (first frame, positions)."""
    length = [len(xy) for _, xy in paths]
    return Tracks(
        track=np.repeat(np.arange(len(paths)), length),
        frame=np.concatenate([first + np.arange(len(xy)) for first, xy in paths]),
        xy=np.concatenate([xy for _, xy in paths]),
        covariance=np.tile(np.eye(2) * 0.01, (sum(length), 1, 1)),
        n_frames=n_frames,
    )


def moving(rng: np.random.Generator, n: int, frames: int, speed: float) -> list[tuple[int, NDArray[np.float64]]]:
    """Points that cross the picture, each a little faster or slower."""
    out = []
    for _ in range(n):
        velocity = speed * rng.uniform(0.7, 1.3) * np.array([1.0, rng.uniform(-0.2, 0.2)])
        out.append((0, rng.uniform(100, 800, 2) + np.arange(frames)[:, None] * velocity))
    return out


def still(
    rng: np.random.Generator, n: int, first: int, frames: int, noise: float
) -> list[tuple[int, NDArray[np.float64]]]:
    return [(first, rng.uniform(50, 900, 2) + rng.normal(scale=noise, size=(frames, 2))) for _ in range(n)]


def test_a_burned_in_logo_is_found_and_the_world_is_not() -> None:
    rng = np.random.default_rng(1)
    paths = moving(rng, 60, 30, 4.0) + still(rng, 10, 0, 30, 0.08) + still(rng, 3, 10, 15, 0.08)
    found = still_in_picture(tracks_of(paths, 30), 960)
    assert found.tolist() == [False] * 60 + [True] * 13


def test_while_the_camera_rests_nothing_is_told() -> None:
    rng = np.random.default_rng(2)
    found = still_in_picture(tracks_of(still(rng, 50, 0, 30, 0.1), 30), 960)
    assert not found.any()


def test_a_camera_that_starts_to_move_late() -> None:
    rng = np.random.default_rng(3)
    rest = [(0, np.repeat(xy[:1], 20, axis=0)) for _, xy in moving(rng, 40, 1, 0.0)]
    later = [(0, np.concatenate([start, start[-1] + np.arange(1, 21)[:, None] * [3.0, 0.5]])) for _, start in rest]
    # a logo over all frames, and one that is gone before anything moves
    paths = later + still(rng, 1, 0, 40, 0.05) + still(rng, 1, 0, 18, 0.05)
    found = still_in_picture(tracks_of(paths, 40), 960)
    assert found.tolist() == [False] * 40 + [True, False]


@pytest.mark.parametrize("motion", ["dolly", "orbit", "handheld", "forward"])
def test_points_of_the_world_are_left_alone(motion: str) -> None:
    scene = make_scene(motion, rng=np.random.default_rng(4))
    # at the heart of an orbit and of a forward move points do stand still, but few of them
    assert still_in_picture(scene.tracks, SIZE[0]).mean() < 0.06


def test_no_tracks_no_mask() -> None:
    empty = tracks_of([(0, np.zeros((1, 2)))], 1).select(np.zeros(1, dtype=bool))
    assert still_in_picture(empty, 960).shape == (0,)
