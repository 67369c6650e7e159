"""A range of a shot solved again: it is as good as a solve of the whole, and all the rest is untouched."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.earlier import earlier_solve
from solver.errors import InputError
from solver.known import Known, KnownValues
from solver.pipeline import SolveOptions, solve_tracks
from solver.ranges import frames_around
from solver.result import record_text, solve_record
from solver.types import MOVING, NODAL, SOLVED, STATIC, WARNINGS, BadRange, CameraPath, Solve
from tests.known_scenes import FIRST, shot_of, solved, zoom_curve, zoomed
from tests.synthetic import Scene, aligned_path_error, make_scene, turn

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]

N = 70
A, B = 25, 44  # the range, indices
RANGE = slice(A, B + 1)
FRAMES = (FIRST + A, FIRST + B)
REST = np.r_[0:A, B + 1 : N]


def scene_of(motion: str) -> Scene:
    """Tracks that live for two thirds of a second, shorter than the range."""
    return make_scene(motion, n_frames=N, n_points=300, longest=16, rng=np.random.default_rng(2))


@cache
def whole_solve(motion: str) -> Solve:
    return solved(scene_of(motion))


def spoiled(found: Solve) -> Solve:
    """The solve with a range that has gone wrong: off by a tenth of the path, turned by 3 degrees, flagged as bad."""
    path = found.path
    R, t = path.R_cam_from_world.copy(), path.t_cam_from_world.copy()
    R[RANGE] = turn(2, np.radians(3)) @ R[RANGE]
    t[RANGE] = t[RANGE] @ turn(2, np.radians(3)).T
    if found.kind == MOVING:
        t[RANGE] += 0.1
    good = path.solved.copy()
    good[A + 3 : A + 6] = False
    bad = BadRange(first=FRAMES[0] - 3, last=FRAMES[1], reason="The points do not fit.")
    lost = f"Frames {FRAMES[0] + 3}-{FRAMES[0] + 5} could not be posed; the camera is interpolated there."
    report = replace(found.report, bad_ranges=(bad,), status=WARNINGS, reasons=(lost, "The footage has a scratch."))
    return replace(found, path=replace(path, R_cam_from_world=R, t_cam_from_world=t, solved=good), report=report)


def again(scene: Scene, earlier: Solve, known: KnownValues | None = None) -> Solve:
    options = SolveOptions(earlier=earlier, frames=FRAMES, known=known or KnownValues())
    return solve_tracks(shot_of(scene), scene.tracks, options)


def turn_error(scene: Scene, found: Solve) -> float:
    """Largest error, degrees, of the turn from the first frame to one of the range."""
    off = (found.path.R_cam_from_world @ found.path.R_cam_from_world[0].T) @ np.swapaxes(scene.R @ scene.R[0].T, 1, 2)
    cosine = np.clip((np.trace(off[RANGE], axis1=1, axis2=2) - 1) / 2, -1, 1)
    return float(np.degrees(np.arccos(cosine)).max())


def jump(scene: Scene, found: Solve) -> float:
    """Largest second difference of the path's error where the range begins and ends, of the path's extent."""
    centre = found.path.centre_world
    a, b = centre - centre[REST].mean(axis=0), scene.centre - scene.centre[REST].mean(axis=0)
    u, d, vt = np.linalg.svd(b[REST].T @ a[REST])
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    error = (d * sign).sum() / (a[REST] ** 2).sum() * a @ ((u * sign) @ vt).T - b
    bend = np.abs(np.diff(error, 2, axis=0)).max(axis=1)
    return float(bend[[A - 2, A - 1, B - 1, B]].max() / np.ptp(scene.centre, axis=0).max())


def check_rest(found: Solve, earlier: Solve) -> None:
    """Outside of the range every number is the earlier one."""
    for one in fields(CameraPath):
        assert np.array_equal(getattr(found.path, one.name)[REST], getattr(earlier.path, one.name)[REST])
    assert np.array_equal(found.report.quality[REST], earlier.report.quality[REST])
    assert np.array_equal(found.lens.k, earlier.lens.k) and found.kind == earlier.kind
    assert found.readout == earlier.readout and found.scale_source == earlier.scale_source


@pytest.mark.parametrize("motion", ["dolly", "handheld"])
def test_a_bad_range_is_repaired(motion: str) -> None:
    scene = scene_of(motion)
    whole = whole_solve(motion)
    bad = spoiled(whole)
    found = again(scene, bad)
    check_rest(found, bad)
    assert found.path.solved.all() and (found.path.focal_px == whole.path.focal_px[0]).all()
    path = [100 * aligned_path_error(scene, one.path.centre_world) for one in (whole, bad, found)]
    assert path[1] > 2.0 and path[2] < 1.3 * path[0] < 0.4
    assert turn_error(scene, bad) > 2.9 and turn_error(scene, found) < max(1.3 * turn_error(scene, whole), 0.02)
    assert jump(scene, bad) > 0.02 and jump(scene, found) < 0.002
    # what was said of the range is no longer true, what was said of the rest is
    assert found.report.bad_ranges == (replace(bad.report.bad_ranges[0], last=FRAMES[0] - 1),)
    assert found.report.reasons[-1] == "The footage has a scratch." and found.report.status == WARNINGS
    assert not any("could not be posed" in reason for reason in found.report.reasons)
    # points and tracks: of the rest the earlier ones, in the range the new ones
    tracks, earlier = found.tracks, bad.tracks
    outside = ~((tracks.frame >= A) & (tracks.frame <= B))
    assert outside.sum() == (~((earlier.frame >= A) & (earlier.frame <= B))).sum()
    assert tracks.n_frames == N and len(found.inlier) == len(tracks.track) and (np.diff(tracks.track) >= 0).all()
    assert found.points.track.max() < tracks.n_tracks
    i = int(np.flatnonzero(outside & found.inlier)[0])
    assert tracks.track[i] in found.points.track


def test_a_range_of_a_tripod_shot() -> None:
    scene = scene_of("pan")
    whole = solved(scene)
    bad = spoiled(whole)
    found = again(scene, bad)
    check_rest(found, bad)
    assert found.kind == NODAL and found.path.solved.all()
    assert turn_error(scene, bad) > 2.9 and turn_error(scene, found) < max(1.3 * turn_error(scene, whole), 0.02)


def test_a_range_of_a_zoom() -> None:
    focal_px = zoom_curve(N)
    scene = zoomed(scene_of("orbit"), focal_px, 0.2, np.random.default_rng(5))
    # what is known of the curve only makes the first solve quicker
    whole = solved(
        scene, focal_px_by_frame={FIRST + i: Known(value=f, deviation=0.02 * f) for i, f in enumerate(focal_px)}
    )
    assert whole.zooms
    bad = spoiled(whole)
    curve = bad.path.focal_px.copy()
    curve[RANGE] *= 0.9
    bad = replace(bad, path=replace(bad.path, focal_px=curve))
    found = again(scene, bad)
    check_rest(found, bad)
    error = [100 * np.abs(one.path.focal_px / focal_px - 1).max() for one in (whole, bad, found)]
    assert error[1] > 9 and error[2] < max(1.5 * error[0], 0.3)
    path = [100 * aligned_path_error(scene, one.path.centre_world) for one in (whole, bad, found)]
    assert path[1] > 2.0 and path[2] < 1.5 * path[0]


def test_a_range_at_the_end_and_from_a_record() -> None:
    """A record holds no tracks and no points: those of the range are all that there are."""
    # told well enough that nothing else is doubted
    scene = make_scene("dolly", n_frames=N, n_points=300, longest=16, noise_px=0.15, rng=np.random.default_rng(2))
    whole = solved(scene)
    assert whole.report.status == SOLVED
    earlier = earlier_solve(json.loads(record_text(solve_record(whole, "1"))))
    last = (FIRST + 50, FIRST + N - 1)
    path = earlier.path
    t = path.t_cam_from_world.copy()
    t[50:] += 0.2
    bad = replace(earlier, path=replace(path, t_cam_from_world=t))
    found = solve_tracks(shot_of(scene), scene.tracks, SolveOptions(earlier=bad, frames=last))
    assert np.array_equal(found.path.t_cam_from_world[:50], earlier.path.t_cam_from_world[:50])
    assert 100 * aligned_path_error(scene, bad.path.centre_world) > 2.0
    assert 100 * aligned_path_error(scene, found.path.centre_world) < 0.4
    assert found.report.status == SOLVED and found.tracks.frame.min() >= 50 and len(found.points.track) > 50


def test_only_some_frames() -> None:
    scene = scene_of("orbit")
    found = solve_tracks(shot_of(scene), scene.tracks, SolveOptions(frames=FRAMES))
    assert list(found.shot.frame_numbers) == list(range(FRAMES[0], FRAMES[1] + 1))
    assert len(found.path.focal_px) == found.tracks.n_frames == B - A + 1
    part = replace(scene, R=scene.R[RANGE], t=scene.t[RANGE])
    assert 100 * aligned_path_error(part, found.path.centre_world) < 0.5


def test_which_frames_hold() -> None:
    whole = whole_solve("dolly")
    report = replace(whole.report, bad_ranges=(BadRange(first=FIRST + 20, last=FIRST + 22, reason="bad"),))
    around = frames_around(replace(whole, report=report), *FRAMES)
    expected = [*range(FIRST, FIRST + 20), FIRST + 23, FIRST + 24, *range(FRAMES[1] + 1, FRAMES[1] + 25)]
    assert list(around) == expected
    with pytest.raises(InputError, match="no frame from 1 to 2: its frames are 1001 to 1070"):
        frames_around(whole, 1, 2)
    with pytest.raises(InputError, match="no poses beside"):
        frames_around(whole, FIRST, FIRST + N - 1)
    with pytest.raises(InputError, match="stands still"):
        frames_around(replace(whole, kind=STATIC), *FRAMES)
    t = -whole.path.R_cam_from_world @ np.array([1.0, 2.0, 3.0])
    still = replace(whole, path=replace(whole.path, t_cam_from_world=t))
    with pytest.raises(InputError, match="same scale"):
        frames_around(still, *FRAMES)
    fewer = replace(whole.shot, frame_numbers=np.delete(whole.shot.frame_numbers, A + 2))
    with pytest.raises(InputError, match="other frames from 1026 to 1045"):
        solve_tracks(fewer, whole.tracks, SolveOptions(earlier=whole, frames=FRAMES))
    with pytest.raises(ValueError, match="needs the frames"):
        solve_tracks(whole.shot, whole.tracks, SolveOptions(earlier=whole))
