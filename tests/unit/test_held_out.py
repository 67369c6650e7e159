"""The quality of each frame, from tracks held out: it is what a solve without them gives, and tells a wrong pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from solver.bundle.residuals import reprojection_errors, residuals
from solver.doubts import MISFIT
from solver.geometry.resect import refine_points, refine_poses
from solver.known import KnownPose
from solver.progress import Progress
from solver.reconstruction.choose import reconstruct
from solver.reconstruction.finish import Finished
from solver.reconstruction.held_out import FrameTrust, frame_trust, held_out
from solver.reconstruction.model import Model, adjust_frames
from solver.types import SOLVED, WARNINGS
from tests.known_scenes import FIRST, poses_of, solved
from tests.synthetic import Scene, make_scene

Array = NDArray[np.float64]

N = 24
WRONG = np.array([9, 10, 11])
RIGHT = np.setdiff1d(np.arange(N), WRONG)


@cache
def scene_of(motion: str, n_points: int = 200, longest: int = 14) -> Scene:
    return make_scene(motion, n_frames=N, n_points=n_points, longest=longest, rng=np.random.default_rng(1))


def finished(scene: Scene) -> Finished:
    return reconstruct(scene.tracks, scene.size, np.arange(N, dtype=np.float64), Progress())


@cache
def found_in(motion: str) -> Finished:
    return finished(scene_of(motion))


def expected(model: Model) -> Array:
    """The quality of honest Gaussian tracks: 98.9 % of the checks pass, five more count as missed."""
    rows = model.rows(model.posed)
    checks = np.bincount(model.tracks.frame[rows], weights=held_out(model, rows).redundancy, minlength=N)
    return 0.989 * checks / (checks + 5)


# What it is


def without_track(found: Finished, track: int) -> Model:
    """All solved anew without one track."""
    model = found.model
    less = replace(model, usable=model.usable & (model.tracks.track != track))
    options = replace(found.options, relative_tolerance=1e-9, tolerance=1e-6)
    return adjust_frames(less, model.posed, options)[0]


def test_a_track_held_out_is_one_that_took_no_part() -> None:
    """A solve without the track, its point placed without the frame: the residuals there are those predicted."""
    found = found_in("orbit")
    model = found.model
    rows = model.rows(model.posed)
    found_out = held_out(model, rows)
    predicted = found_out.predicted_residual
    # along a direction that hardly anything checks the first order is not enough, and it counts hardly anything
    checked = np.linalg.eigvalsh(found_out.unexplained)[:, 0] > 0.2
    numbers = np.flatnonzero(rows)
    plain = residuals(model.state, model.observations(rows))
    triples = []
    for track in range(10, 170, 20):
        solved_without = without_track(found, track)
        of_track = np.flatnonzero(rows & (model.tracks.track == track))
        for number in of_track[::2]:
            others, one = np.zeros((2, len(rows)), dtype=bool)
            others[of_track], others[number], one[number] = True, False, True
            state = replace(solved_without.state, X=model.state.X)
            state = refine_points(state, model.observations(others), np.array([track]), iterations=20)
            at = np.searchsorted(numbers, number)
            if not checked[at]:
                continue
            triples.append((residuals(state, model.observations(one))[0], predicted[at], plain[at]))
    real, linear, kept = np.array(triples).transpose(1, 0, 2)
    assert len(triples) > 25

    def apart(a: Array, b: Array) -> float:
        return float(np.sqrt(((a - b) ** 2).mean()))

    # that it took part had hidden a tenth of it
    assert apart(real, kept) > 0.1 * apart(real, 0 * real) and apart(real, linear) < 0.3 * apart(real, kept)
    assert apart(real, 0 * real) > 1.05 * apart(kept, 0 * real)
    assert apart(linear, 0 * real) == pytest.approx(apart(real, 0 * real), rel=0.04)


@pytest.mark.parametrize("motion", ["dolly", "orbit", "handheld", "pan"])
def test_what_is_held_out_misses_by_what_the_tracks_claim(motion: str) -> None:
    model = found_in(motion).model
    rows = model.rows(model.posed)
    found = held_out(model, rows)
    # in the solve's own deviations; the few residuals that its robust kernel spares are left out
    scale = np.median(model.whitening[rows][:, 0, 0]) * 0.2
    z2 = np.minimum(found.squared / scale**2, 25)
    assert 1.7 < z2.mean() < 2.4  # two degrees of freedom
    assert found.redundancy.min() > 0 and found.redundancy.max() < 1
    quality = frame_trust(model).quality
    assert (quality <= 1).all() and quality.mean() == pytest.approx(expected(model).mean(), abs=0.02)
    assert (np.abs(quality - expected(model)) < 0.08).all()


def test_few_of_many_tracks_tell_the_same() -> None:
    model = finished(scene_of("orbit", n_points=1100)).model
    assert np.median(np.bincount(model.tracks.frame)) > 500
    assert np.abs(frame_trust(model).quality - expected(model)).max() < 0.06


def test_a_frame_that_little_checks_is_not_trusted() -> None:
    model = found_in("orbit").model

    def left(count: int) -> FrameTrust:
        """With only so many tracks in frame 10."""
        there = np.flatnonzero(model.tracks.frame == WRONG[1])
        keep = np.ones(len(model.tracks.track), dtype=bool)
        keep[there[count:]] = False
        tracks = replace(model.tracks.select(keep))
        assert tracks.n_tracks == model.tracks.n_tracks
        return frame_trust(replace(model, tracks=tracks, usable=model.usable[keep], whitening=model.whitening[keep]))

    quality = np.array([left(count).quality[WRONG[1]] for count in (3, 8, 20, 80)])
    assert (np.diff(quality) > 0.03).all() and quality[0] < 0.05 and quality[1] < 0.6 and quality[3] > 0.85
    deviation = np.array([left(count).pose_sd_px[WRONG[1]] for count in (8, 20, 80)])
    assert (deviation[:-1] > 1.4 * deviation[1:]).all()


def test_a_pose_may_be_off_in_the_picture_by_its_deviation() -> None:
    """Frame 10 is posed anew with fresh errors in its tracks: how far what lies at the median depth moves by it."""
    rng = np.random.default_rng(6)
    model = found_in("orbit").model
    state, size = model.state, np.array(model.size)
    rows = model.rows(np.arange(N) == WRONG[1])
    seen = model.observations(rows)
    perfect = seen.xy + reprojection_errors(state, seen)
    R, t = state.R[WRONG[1]], state.t[WRONG[1]]
    nearness = np.median(state.X[seen.point, 3] / (state.X[seen.point, :3] @ R[2] + state.X[seen.point, 3] * t[2]))
    across = np.array([1 / 6, 1 / 2, 5 / 6])
    xy = np.stack(np.meshgrid(size[0] * across, size[1] * across), axis=-1).reshape(-1, 2)
    ray = np.concatenate([(xy - state.lens[1:3]) / state.lens[0], np.ones((9, 1))], axis=1)
    points = (ray / nearness - t) @ R
    noise = np.linalg.inv(seen.whitening)
    away = []
    for _ in range(60):
        errors = np.einsum("nij,nj->ni", noise, rng.standard_normal(perfect.shape))
        posed = refine_poses(state, replace(seen, xy=perfect + errors), WRONG[1:2], cauchy=1e3)
        q = points @ posed.R[WRONG[1]].T + posed.t[WRONG[1]]
        away.append(state.lens[0] * q[:, :2] / q[:, 2:] + state.lens[1:3] - xy)
    moved = float(np.sqrt((np.array(away) ** 2).sum(axis=2).mean()))
    # a little more: the kernel gives honest errors less than their weight, and the points are uncertain too
    assert 1.0 < frame_trust(model).pose_sd_px[WRONG[1]] / moved < 1.35


@pytest.mark.parametrize(("factor", "least", "most"), [(1.0, 0.9, 1.0), (1.6, 0.9, 1.0), (5.0, 0.0, 0.6)])
def test_a_tracker_that_claims_too_much(factor: float, least: float, most: float) -> None:
    """By a little it is put right, as the solve does; by much it is not believed."""
    model = found_in("orbit").model
    boast = replace(model.tracks, covariance=model.tracks.covariance / factor**2)
    quality = frame_trust(replace(model, tracks=boast)).quality
    assert least <= np.median(quality) <= most


# What it tells


def spoiled(model: Model, R: Array | None = None, shift: Array | None = None) -> Model:
    """With other poses in the frames `WRONG`."""
    poses = model.state.R.copy(), model.state.t.copy()
    if R is not None:
        poses[0][WRONG] = R @ poses[0][WRONG]
    if shift is not None:
        poses[1][WRONG] += shift
    return replace(model, state=replace(model.state, R=poses[0], t=poses[1]))


@pytest.mark.parametrize("motion", ["dolly", "handheld", "pan"])
@pytest.mark.parametrize(("off_px", "most"), [(0.5, 0.75), (1.0, 0.3), (3.0, 0.05)])
def test_a_camera_that_is_turned_wrongly_is_found(motion: str, off_px: float, most: float) -> None:
    model = found_in(motion).model
    angle = off_px / model.state.lens[0]
    good, bad = (
        frame_trust(m).quality
        for m in (model, spoiled(model, Rotation.from_rotvec([0.6 * angle, 0.8 * angle, 0]).as_matrix()))
    )
    assert bad[WRONG].max() < most < good[WRONG].min()
    assert np.abs(bad[RIGHT] - good[RIGHT]).max() < 0.05


def test_a_camera_in_a_wrong_place_is_found() -> None:
    model = found_in("orbit").model
    # 2 px at the points' mean depth
    depth = 1 / np.median(model.state.X[:, 3] / (model.state.X[:, :3] @ model.state.R[10][2]))
    good, bad = (
        frame_trust(m).quality
        for m in (model, spoiled(model, shift=np.array([2 * depth / model.state.lens[0], 0.0, 0.0])))
    )
    assert bad[WRONG].max() < 0.3 < good.min() and np.abs(bad[RIGHT] - good[RIGHT]).max() < 0.05


def with_displaced(scene: Scene, error: Callable[[NDArray[np.int64]], Array]) -> Scene:
    """With the tracks of the frames `WRONG` moved by an error (n, 2) of their rows (n,)."""
    rows = np.flatnonzero(np.isin(scene.tracks.frame, WRONG))
    xy = scene.tracks.xy.copy()
    xy[rows] += error(rows)
    return replace(scene, tracks=replace(scene.tracks, xy=xy))


def test_frames_of_displaced_tracks_are_told() -> None:
    """Half of what is seen in three frames is off by some pixels, each track its own way."""
    rng = np.random.default_rng(3)
    scene = with_displaced(
        scene_of("orbit"), lambda rows: rng.uniform(-6, 6, (len(rows), 2)) * (rng.uniform(size=(len(rows), 1)) < 0.6)
    )
    found = solved(scene)
    assert found.path.solved.all()
    assert found.report.quality[WRONG].max() < 0.5 * found.report.quality[RIGHT].min()
    assert [(bad.first, bad.last, bad.reason) for bad in found.report.bad_ranges] == [(FIRST + 9, FIRST + 11, MISFIT)]
    assert found.report.status == WARNINGS
    assert any("1010-1012 are not fitted" in reason for reason in found.report.reasons)


def test_a_wrong_pose_that_is_locked_is_told() -> None:
    """Five poses are given; one of them is off by 3 pixels, and the solve has to keep it."""
    scene = scene_of("orbit")
    poses = poses_of(scene, (0, 5, 10, 15, 23))
    right = solved(scene, poses=poses)
    turned = Rotation.from_rotvec([0.0, 3 / 900, 0.0]).as_matrix()
    one = poses[FIRST + 10]
    wrong = KnownPose(
        R_cam_from_world=turned @ one.R_cam_from_world,
        t_cam_from_world=turned @ one.t_cam_from_world,
        rotation_deviation=0.0,
        position_deviation=0.0,
    )
    found = solved(scene, poses={**poses, FIRST + 10: wrong})
    assert (found.path.R_cam_from_world[10] == wrong.R_cam_from_world).all()
    others = np.delete(np.arange(N), 10)
    assert found.report.quality[10] < 0.1 and found.report.quality[others].min() > 0.7
    assert [(bad.first, bad.last) for bad in found.report.bad_ranges] == [(FIRST + 10, FIRST + 10)]
    assert right.report.status == SOLVED and not right.report.bad_ranges and right.report.quality.min() > 0.85


def test_a_frame_without_a_pose_has_none() -> None:
    scene = scene_of("orbit")
    seen = scene.tracks.select(~np.isin(scene.tracks.frame, WRONG))
    found = solved(replace(scene, tracks=seen))
    assert not found.path.solved[WRONG].any()
    assert (found.report.quality[WRONG] == 0).all() and (found.report.quality[RIGHT] > 0.8).all()
