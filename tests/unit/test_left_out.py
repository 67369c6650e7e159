"""Mattes and ranges in the whole solve, on the sample clip with a large thing in front that goes its own way."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.footage.matte import DrawnMatte
from solver.pipeline import SolveOptions, solve
from solver.tracking.follow import TrackOptions, follow
from solver.tracking.match import MatchOptions, match_tracks
from solver.types import CameraPath, Solve, Tracks
from tests.unit.sample_clip import Clip, Picture, clip, distances, every_other

FIRST = 101
SHOWN = tuple(range(1, 61, 2))
HEIGHT, WIDTH = 360, 640


def thing(i: int) -> tuple[slice, slice]:
    """Rows and columns that it covers in frame `i`: it crosses the picture, 380 pixels wide."""
    left = 250 - 9 * i
    return slice(20, 340), slice(max(left, 0), max(left + 380, 0))


@pytest.fixture(scope="module")
def passed() -> Clip:
    """The sample clip with the thing in front."""
    rng = np.random.default_rng(7)
    cloth = np.kron(rng.integers(40, 220, (45, 60)), np.ones((8, 8))).astype(np.uint8)

    def with_thing(picture: Picture, i: int) -> Picture:
        rows, columns = thing(i)
        out = picture.copy()
        part = out[rows, columns]
        part[:] = cloth[: part.shape[0], 380 - part.shape[1] : 380] if columns.start == 0 else cloth[:320, :380]
        return out

    return clip([with_thing(picture, i) for i, picture in enumerate(every_other())], first=FIRST)


class Counted(DrawnMatte):
    """The thing's matte, which is right only for the index and the number of the same frame."""

    def __init__(self) -> None:
        super().__init__(self._shape, invert=False)

    def _shape(self, number: int) -> NDArray[np.bool_]:
        mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
        mask[thing(number - FIRST)] = True
        return mask

    def excluded(self, index: int, number: int) -> NDArray[np.bool_]:
        assert number == FIRST + index
        return super().excluded(index, number)


def share_inside(tracks: Tracks) -> float:
    """Share of the observations that lie in the matte."""
    x, y = np.floor(tracks.xy).astype(int).T
    hidden = np.stack([Counted().excluded(i, FIRST + i) for i in range(tracks.n_frames)])
    return float(hidden[tracks.frame, y, x].mean())


@pytest.fixture(scope="module")
def masked(passed: Clip) -> Solve:
    return solve(passed, SolveOptions(matte=Counted()))


def test_what_a_matte_covers_is_left_out(passed: Clip, masked: Solve) -> None:
    error = distances(masked, SHOWN)
    assert masked.path.solved.all() and share_inside(masked.tracks) == 0
    assert error["focal_percent"] < 0.6 and error["path_percent"] < 0.1 and error["rotation_deg"] < 0.3, error
    assert share_inside(follow(passed.luminance, len(passed), TrackOptions())) > 0.3


def test_a_range_with_a_matte_is_solved_again(passed: Clip, masked: Solve) -> None:
    t = masked.path.t_cam_from_world.copy()
    t[12:20] += 0.1
    bad = replace(masked, path=replace(masked.path, t_cam_from_world=t))
    found = solve(passed, SolveOptions(earlier=bad, frames=(FIRST + 12, FIRST + 19), matte=Counted()))
    rest = np.r_[0:12, 20:30]
    for one in fields(CameraPath):
        assert np.array_equal(getattr(found.path, one.name)[rest], getattr(bad.path, one.name)[rest])
    path = [distances(one, SHOWN)["path_percent"] for one in (masked, bad, found)]
    assert path[1] > 1.0 and path[2] < max(1.3 * path[0], 0.1), path
    assert share_inside(found.tracks) == 0


def test_only_some_frames_with_a_matte(passed: Clip) -> None:
    found = solve(passed, SolveOptions(frames=(FIRST + 10, FIRST + 29), matte=Counted()))
    assert list(found.shot.frame_numbers) == list(range(FIRST + 10, FIRST + 30))
    assert distances(found, SHOWN[10:])["path_percent"] < 0.3


def test_key_points_of_stills_keep_out_of_a_matte(passed: Clip) -> None:
    options = MatchOptions(count=600)
    found = match_tracks(passed.luminance(0, 8), 8, options, None, Counted())
    assert share_inside(found) == 0 and share_inside(match_tracks(passed.luminance(0, 8), 8, options)) > 0.3
