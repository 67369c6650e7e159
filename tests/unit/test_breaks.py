"""Shots that are broken: the whole solve of gaps, doubled frames, black, somebody in front, flicker; and returns.

The sample clip is spoilt in each of these ways, so that the truth is known. Black frames and a whole turn about a
room, which must close, are simulated as tracks too: there nothing but the solve is tested.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.errors import SceneCut
from solver.footage import Footage
from solver.pipeline import SolveOptions, solve, solve_tracks
from solver.tracking.follow import TrackOptions
from solver.tracking.light import in_the_light_of
from solver.types import NODAL, SOLVED, WARNINGS, Shot, Solve, Tracks
from tests.pictures import affine, noise_texture, noisy, picture
from tests.sample_error import similarity
from tests.synthetic import Scene, correlated_noise, look_at, make_scene, project, turn
from tests.unit.sample_clip import Clip, Picture, clip, distances, every_other

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]
WIDTH, HEIGHT = 640, 360
OPTIONS = SolveOptions(track=TrackOptions(count=300))
N = 30
ALL = range(N)


def black(seed: int) -> Picture:
    return noisy(np.full((HEIGHT, WIDTH), 5, np.float32), 1.0, np.random.default_rng(seed))


def numbered(kept: list[int]) -> Clip:
    """These frames of the clip, with their own numbers."""
    pictures = every_other()
    made = clip([pictures[i] for i in kept])
    made.frame_numbers = np.array(kept) + 1
    return made


def walked_through() -> list[Picture]:
    """Somebody comes in from the left within five frames, fills the picture for two, and goes."""
    cloth = noise_texture(np.random.default_rng(4), 900, 400)
    pictures = []
    for i, pixels in enumerate(every_other()):
        left, right = np.clip([(i - 15) / 5, (i - 9) / 5], 0, 1)
        covered = slice(round(left * WIDTH), round(right * WIDTH))
        back = noisy(picture(cloth, affine((-6.0 * (i - 12), 0)), (WIDTH, HEIGHT)), 1.0, np.random.default_rng(i))
        made = pixels.copy()
        made[:, covered] = back[:, covered]
        pictures.append(made)
    return pictures


def flickering() -> list[Picture]:
    """The light changes from frame to frame, by a quarter and more."""
    rng = np.random.default_rng(7)
    gain, bias = 0.8 + 0.2 * rng.uniform(-1.5, 1.5, N), rng.normal(0, 6, N)
    return [
        np.clip(np.rint(pixels * gain[i] + bias[i]), 0, 255).astype(np.uint8) for i, pixels in enumerate(every_other())
    ]


def brightening() -> list[Picture]:
    return [np.clip(np.rint(pixels * (0.4 + i / N)), 0, 255).astype(np.uint8) for i, pixels in enumerate(every_other())]


def blurred() -> list[Picture]:
    return [cv2.GaussianBlur(p, (0, 0), 14) if 12 <= i < 15 else p for i, p in enumerate(every_other())]


DOUBLED = [i for i in ALL for _ in range(2 if i % 4 == 0 else 6 if i == 14 else 1)]
DROPPED = [i for i in ALL if i % 6 != 2 and i != 16]


@pytest.mark.parametrize(
    ("footage", "frames", "lost"),
    [
        (lambda: numbered([i for i in ALL if not 11 <= i < 15]), [i for i in ALL if not 11 <= i < 15], range(0)),
        (lambda: clip([every_other()[i] for i in DOUBLED]), DOUBLED, range(0)),
        (lambda: clip([every_other()[i] for i in DROPPED]), DROPPED, range(0)),
        (lambda: clip([black(i) if 12 <= i < 18 else p for i, p in enumerate(every_other())]), ALL, range(12, 18)),
        (lambda: clip(blurred()), ALL, range(12, 15)),
        (lambda: clip(walked_through()), ALL, range(12, 18)),
        (lambda: clip(flickering()), ALL, range(0)),
        (lambda: clip(brightening()), ALL, range(0)),
    ],
    ids=["four missing", "doubled", "dropped", "black", "blurred", "walked through", "flicker", "exposure"],
)
def test_a_spoilt_clip_is_solved(footage: Callable[[], Footage], frames: list[int], lost: range) -> None:
    found = solve(footage(), OPTIONS)
    error = distances(found, [2 * i + 1 for i in frames])
    assert error["focal_percent"] < 0.4, error
    assert error["path_percent"] < 0.05, error
    assert error["rotation_deg"] < 0.5, error
    unsolved = np.flatnonzero(~found.path.solved)
    assert not len(np.setdiff1d(unsolved, lost))
    bad = np.concatenate([np.arange(bad.first, bad.last + 1) for bad in found.report.bad_ranges] or [[]])
    expected = np.concatenate([found.shot.frame_numbers[unsolved], found.shot.missing_frames])
    assert np.array_equal(np.sort(bad), np.sort(expected))
    assert found.report.status == (WARNINGS if len(expected) else SOLVED)


def test_a_cut_after_black_frames_is_refused() -> None:
    """What is seen beyond is another scene, however short the break: nothing is joined."""
    mirrored = [np.ascontiguousarray(cv2.flip(p, 0)) for p in every_other()]
    pictures = [*every_other()[:12], *(black(i) for i in range(4)), *mirrored[16:]]
    with pytest.raises(SceneCut, match="between frames 12 and 17:") as caught:
        solve(clip(pictures), OPTIONS)
    assert caught.value.frame == 17


# Tracks


def shot_of(n: int, size: tuple[int, int]) -> Shot:
    return Shot(
        name="tracks",
        footage="",
        first_file="",
        is_sequence=True,
        size=size,
        frame_rate=24.0,
        frame_numbers=np.arange(1, n + 1),
        missing_frames=np.empty(0, np.int64),
    )


def turn_error_deg(found: Solve, R: Array) -> float:
    """Largest angle of the solved frames' rotations from the truth, about the middle of all."""
    solved = found.path.solved
    off = np.einsum("fij,fik->fjk", found.path.R_cam_from_world[solved], R[solved])
    u, _, vt = np.linalg.svd(off.mean(axis=0))
    cosine = (np.einsum("fij,ij->f", off, u @ vt) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max())


def without(scene: Scene, lost: range) -> Tracks:
    """The scene's tracks, not seen in some frames: found again after them."""
    return scene.tracks.select(~np.isin(scene.tracks.frame, lost))


@pytest.mark.parametrize(
    ("motion", "lost"), [("orbit", range(14, 26)), ("handheld", range(4, 12)), ("pan", range(14, 26))]
)
def test_frames_beyond_a_break_are_reached(motion: str, lost: range) -> None:
    scene = make_scene(motion, n_frames=40, outlier_share=0.02, rng=np.random.default_rng(5))
    found = solve_tracks(shot_of(40, scene.size), without(scene, lost))
    assert np.array_equal(np.flatnonzero(~found.path.solved), lost)
    assert found.report.bad_ranges[0].first == lost[0] + 1 and found.report.bad_ranges[0].last == lost[-1] + 1
    assert found.report.status == WARNINGS and (found.kind == NODAL) == (motion == "pan")
    assert turn_error_deg(found, scene.R) < 0.1
    assert found.path.focal_px[0] == pytest.approx(scene.lens[0], rel=0.01)
    # what lies between is interpolated: near the truth, but it does not know of the shake
    middle = lost[len(lost) // 2]
    relative = found.path.R_cam_from_world[middle] @ found.path.R_cam_from_world[lost[0] - 1].T
    true = scene.R[middle] @ scene.R[lost[0] - 1].T
    assert np.degrees(np.linalg.norm(cv2.Rodrigues(relative @ true.T)[0])) < 1.5


def round_trip(n: int, closed: bool) -> tuple[Tracks, Array, tuple[int, int], float]:
    """A camera that walks around a room, looking outwards, and on past where it began; and its centres (F, 3).

    The errors of a track follow each other, as those of real ones do: a path made of short tracks drifts. `closed`:
    points that are seen again are the same tracks.
    """
    rng = np.random.default_rng(3)
    size, focal_px, n_points = (960, 540), 560.0, 900
    angle = np.radians(np.linspace(0, 420, n))
    outwards = np.stack([np.sin(angle), np.zeros(n), -np.cos(angle)], axis=1)
    centre = 1.5 * outwards + np.stack([np.zeros(n), 0.3 * np.sin(2.3 * angle), np.zeros(n)], axis=1)
    nod = 0.1 * np.sin(1.7 * angle)
    R = np.stack([turn(0, a) @ look_at(c, c + d) for a, c, d in zip(nod, centre, outwards, strict=True)])
    around, away = rng.uniform(0, 2 * np.pi, n_points), rng.uniform(3.5, 8, n_points)
    points = np.stack([away * np.sin(around), rng.uniform(-2.5, 2.5, n_points), -away * np.cos(around)], axis=1)
    lens = np.array([focal_px, size[0] / 2, size[1] / 2, 0.0, 0.0, 0.0])
    xy, depth = project(R, -np.einsum("fij,fj->fi", R, centre), points, lens)
    seen = ((xy > 4) & (xy < np.array(size) - 4)).all(axis=-1) & (depth > 0.5)
    point, frame = np.nonzero(seen.T)
    run = np.cumsum(np.append(True, (np.diff(point) != 0) | (np.diff(frame) != 1))) - 1
    keep = np.bincount(run)[run] >= 4
    point, frame, run = point[keep], frame[keep], run[keep]
    error = 0.3 * correlated_noise(run, 0.9, rng)
    tracks = Tracks(
        track=np.unique(point if closed else run, return_inverse=True)[1].astype(np.int64),
        frame=frame.astype(np.int64),
        xy=xy[frame, point] + error,
        covariance=np.tile(np.eye(2) * 0.3**2, (len(run), 1, 1)),
        n_frames=n,
    )
    return tracks, centre, size, focal_px


def test_a_path_that_returns_does_not_drift() -> None:
    n = 120
    gap, off = {}, {}
    for closed in (True, False):
        tracks, centre, size, focal_px = round_trip(n, closed)
        found = solve_tracks(shot_of(n, size), tracks)
        assert found.path.solved.all() and found.path.focal_px[0] == pytest.approx(focal_px, rel=0.003)
        travelled = np.linalg.norm(np.diff(centre, axis=0), axis=1).sum()
        scale, rotation, translation = similarity(found.path.centre_world, centre)
        away = scale * found.path.centre_world @ rotation.T + translation - centre
        gap[closed] = float(np.linalg.norm(away[-1] - away[0])) / travelled
        off[closed] = float(np.sqrt((away**2).sum(axis=1).mean())) / travelled
    assert gap[True] < 0.4 * gap[False], (gap, off)
    assert off[True] < 0.9 * off[False] and off[True] < 0.0006, (gap, off)


# Light


def test_light_that_changes_is_told_from_a_picture_that_changes() -> None:
    first, second = every_other()[0], every_other()[1]
    dark = np.clip(np.rint(0.6 * second + 12.0), 0, 255).astype(np.uint8)
    found = in_the_light_of(dark, first)
    assert found is not None and np.median(np.abs(found.astype(float) - second)) < 4
    assert np.median(np.abs(dark.astype(float) - second)) > 15
    assert in_the_light_of(first, first) is None
    assert in_the_light_of(black(1), first) is None
