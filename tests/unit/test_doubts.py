"""Which frames are named as not to be trusted, and that good ones are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.doubts import (
    FOCAL_DOUBTS,
    MISFIT,
    MISSING,
    UNCERTAIN_FOCAL,
    UNCERTAIN_POSE,
    UNCERTAIN_TURN,
    UNPOSED,
    bad_ranges,
    doubted,
    range_warnings,
    whole_warnings,
)
from solver.ranges import frames_around
from solver.types import WARNINGS, BadRange, CameraPath, Shot
from tests.known_scenes import FIRST, solved, zoom_curve, zoomed
from tests.synthetic import make_scene

Array = NDArray[np.float64]

N = 30
DEPTH = 8.0


@pytest.fixture
def shot() -> Shot:
    """Frames 101 to 132; 110 and 111 are missing."""
    numbers = np.setdiff1d(np.arange(101, 133), [110, 111])
    return Shot(
        name="shot",
        footage="shot",
        first_file="",
        is_sequence=True,
        size=(1000, 600),
        frame_rate=24.0,
        frame_numbers=numbers,
        missing_frames=np.array([110, 111]),
    )


def a_path() -> CameraPath:
    """A path in which nothing is amiss: half a pixel in a thousand is 0.5 mrad, and 4 mm at a depth of 8."""
    return CameraPath(
        R_cam_from_world=np.tile(np.eye(3), (N, 1, 1)),
        t_cam_from_world=np.zeros((N, 3)),
        focal_px=np.full(N, 1000.0),
        focal_px_sd=np.full(N, 5.0),
        distortion=np.zeros((N, 3)),
        rotation_sd=np.full((N, 3), 2e-5),
        position_sd=np.full((N, 3), 2e-4),
        solved=np.ones(N, dtype=bool),
    )


def named(
    shot: Shot, path: CameraPath, quality: Array | None = None, pose_sd_px: Array | None = None, nodal: bool = False
) -> list[tuple[int, int, str]]:
    found = bad_ranges(
        shot,
        path,
        nodal,
        np.full(N, 0.85) if quality is None else quality,
        np.full(N, 0.02) if pose_sd_px is None else pose_sd_px,
        float("inf") if nodal else DEPTH,
    )
    return [(bad.first, bad.last, bad.reason) for bad in found if bad.reason != MISSING]


def spoilt(values: Array, frames: slice, value: float) -> Array:
    out = values.copy()
    out[frames] = value
    return out


def test_nothing_amiss_is_named(shot: Shot) -> None:
    assert named(shot, a_path()) == []
    every = bad_ranges(shot, a_path(), False, np.full(N, 0.8), np.full(N, 0.02), DEPTH)
    assert every == (BadRange(first=110, last=111, reason=MISSING),)


def test_frames_on_both_sides_of_missing_ones_are_two_ranges(shot: Shot) -> None:
    path = replace(a_path(), solved=~spoilt(np.zeros(N), slice(7, 11), 1.0).astype(bool))
    assert named(shot, path) == [(108, 109, UNPOSED), (112, 113, UNPOSED)]


@pytest.mark.parametrize(("worst", "is_named"), [(0.3, True), (0.6, False)])
def test_quality_far_below_the_shots_own(shot: Shot, worst: float, is_named: bool) -> None:
    quality = spoilt(np.full(N, 0.85), slice(15, 18), worst)
    assert named(shot, a_path(), quality) == ([(118, 120, MISFIT)] if is_named else [])
    # a shot that is as bad everywhere has no bad range
    assert named(shot, a_path(), np.full(N, worst)) == []


def test_frames_that_were_not_posed_are_named_once(shot: Shot) -> None:
    path = replace(a_path(), solved=np.arange(N) != 20)
    quality = spoilt(np.full(N, 0.85), slice(20, 21), 0.0)
    assert named(shot, path, quality, spoilt(np.full(N, 0.02), slice(20, 21), np.inf)) == [(123, 123, UNPOSED)]


@pytest.mark.parametrize("name", ["rotation_sd", "position_sd", "pose_sd_px"])
def test_a_pose_held_by_little(shot: Shot, name: str) -> None:
    """It must be far above the rest, and matter in the picture."""
    what_matters = {"rotation_sd": 1e-3, "position_sd": 8e-3, "pose_sd_px": 1.0}[name]
    for value, usual, is_named in (
        (what_matters, 0.01 * what_matters, True),
        (0.2 * what_matters, 0.01 * what_matters, False),
        (what_matters, 0.4 * what_matters, False),
    ):
        path, pose_sd_px = a_path(), None
        if name == "pose_sd_px":
            pose_sd_px = spoilt(np.full(N, usual), slice(3, 5), value)
        else:
            path = replace(path, **{name: spoilt(np.full((N, 3), usual), slice(3, 5), value)})
        assert named(shot, path, pose_sd_px=pose_sd_px) == ([(104, 105, UNCERTAIN_POSE)] if is_named else [])


@pytest.mark.parametrize(("nodal", "reason"), [(False, UNCERTAIN_FOCAL), (True, UNCERTAIN_TURN)])
def test_a_zoom_whose_focal_length_is_open(shot: Shot, nodal: bool, reason: str) -> None:
    sd = spoilt(np.full(N, 5.0), slice(20, 30), 60.0)
    constant = replace(a_path(), focal_px_sd=sd)
    # of one lens for the whole shot there are no better and worse frames
    assert named(shot, constant, nodal=nodal) == []
    zoom = replace(constant, focal_px=np.linspace(990.0, 1010.0, N))
    assert named(shot, zoom, nodal=nodal) == [(123, 132, reason)] and reason in FOCAL_DOUBTS


def test_a_sentence_for_each_kind_of_doubt(shot: Shot) -> None:
    ranges = [
        BadRange(first=103, last=104, reason=MISFIT),
        BadRange(first=120, last=120, reason=MISFIT),
        BadRange(first=125, last=125, reason=UNCERTAIN_POSE),
        BadRange(first=127, last=128, reason=UNPOSED),
    ]
    assert range_warnings(shot, ranges) == (
        "Frames 103-104, 120 are not fitted by the camera: see the list of bad ranges.",
        "Frame 125 is told by points that are few or all in one place: see the list of bad ranges.",
    )
    assert range_warnings(shot, ()) == ()


def test_a_shot_that_fits_badly_everywhere_says_so() -> None:
    solved = np.arange(N) < 20
    quality = np.where(solved, 0.4, 0.0)
    (said,) = whole_warnings(quality, solved, 0.5, 640)
    assert said.startswith("Only 40 % of what was held out")
    # frames without a pose are spoken of elsewhere
    good = np.where(solved, 0.8, 0.0)
    assert whole_warnings(good, solved, 0.5, 640) == ()
    (said,) = whole_warnings(good, solved, 1.2, 640)
    assert said.startswith("The points miss their tracks by 1.2 px")
    # of a larger picture more
    assert whole_warnings(good, solved, 1.2, 1920) == ()


def test_a_solve_that_fits_badly_is_sure_of_no_focal_length() -> None:
    path = replace(a_path(), focal_px_sd=np.where(np.arange(N) < 20, 5.0, 0.0))
    less, lens_sd = doubted(path, {"focal_px": 5.0, "k1": 0.001})
    # what other shots take for this lens is no surer than the path
    assert lens_sd["focal_px"] > 300 and lens_sd["k1"] == 0.001
    assert doubted(path, {"k1": 0.001})[1] == {"k1": 0.001}
    assert (less.focal_px_sd[:20] > 0.3 * path.focal_px[:20]).all()
    # what is locked stays known
    assert (less.focal_px_sd[20:] == 0).all()


# In whole solves


@pytest.mark.parametrize("motion", ["dolly", "orbit", "handheld", "forward", "pan"])
def test_a_good_solve_has_no_bad_range(motion: str) -> None:
    """Though one observation in twelve is wild."""
    scene = make_scene(motion, n_points=250, longest=20, outlier_share=0.08, rng=np.random.default_rng(4))
    found = solved(scene)
    assert found.report.bad_ranges == () and found.path.solved.all()


def test_frames_of_few_tracks_in_a_corner_are_named() -> None:
    """In three frames only what lies in a corner of the picture is followed."""
    scene = make_scene("orbit", n_points=600, rng=np.random.default_rng(4))
    few = range(18, 21)
    in_corner = (scene.true_xy < [0.35 * scene.size[0], 0.4 * scene.size[1]]).all(axis=1)
    keep = ~np.isin(scene.tracks.frame, few) | in_corner
    # of those not more than 16 a frame
    for frame in few:
        there = np.flatnonzero(keep & (scene.tracks.frame == frame))
        keep[there[16:]] = False
    found = solved(replace(scene, tracks=scene.tracks.select(keep)))
    bad = found.report.bad_ranges
    assert [(one.first, one.last, one.reason) for one in bad] == [(FIRST + 18, FIRST + 20, UNCERTAIN_POSE)]
    assert found.report.status == WARNINGS
    assert "Frames 1019-1021 are told by points that are few or all in one place" in found.report.reasons[-1]


@pytest.mark.slow
def test_a_zoom_that_may_be_a_dolly_is_named() -> None:
    """A camera that goes along a scene and zooms: the picture leaves 4 % of the focal length open, everywhere."""
    scene = make_scene("dolly", n_points=250, rng=np.random.default_rng(4))
    focal_px = zoom_curve(40)
    found = solved(zoomed(scene, focal_px, 0.3, np.random.default_rng(5)))
    assert found.zooms and found.report.status == WARNINGS
    sd = found.path.focal_px_sd / found.path.focal_px
    assert (sd > 0.03).all() and (np.abs(found.path.focal_px / focal_px - 1) < 3 * sd).all()
    assert found.report.bad_ranges == (BadRange(first=FIRST, last=FIRST + 39, reason=UNCERTAIN_FOCAL),)
    # its tracks fit, and a range of it can still be joined to the rest
    assert found.report.quality.min() > 0.8
    assert len(frames_around(found, FIRST + 15, FIRST + 20)) == 34
