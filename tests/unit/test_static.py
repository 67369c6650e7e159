"""Cameras that stand still, and single pictures: lens and orientation against the truth, and honest refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.errors import InputError, LensUndetermined
from solver.known import Known, KnownValues
from solver.pipeline import SolveOptions, solve, solve_tracks
from solver.reconstruction.standstill import is_static
from solver.types import SOLVED, STATIC, WARNINGS, Solve, Tracks
from tests.known_scenes import shot_of
from tests.pictures import noise_texture
from tests.straight_lines import built_scene, camera, clutter, drawn
from tests.synthetic import make_scene
from tests.unit.sample_clip import Clip, Picture, clip

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]

SIZE = (960, 540)
SMALL = (480, 270)
THREE, TWO, ONE = (1 / 3, 1 / 3, 1 / 3), (0.5, 0.5, 0.0), (0.0, 1.0, 0.0)


def still(R: Array, focal_px: float, seed: int, shares: tuple[float, float, float] = THREE) -> Picture:
    """A picture of things that are built square, and of some that are not."""
    rng = np.random.default_rng(seed)
    ends = built_scene(R, focal_px, rng, shares=shares, unsquare_deg=0.15)
    return drawn(np.concatenate([ends, clutter(40, rng)]), rng)


def with_metadata(footage: Clip, **metadata: Any) -> Clip:
    return replace(footage, metadata=metadata)


def turned_deg(found: Solve, R: Array) -> float:
    """Angle between the solved orientation and the true one; which of four sides of a room is ahead is open."""
    relative = found.path.R_cam_from_world[0].T @ R
    sides = [camera(90 * i, 0, 0) for i in range(4)]
    return min(float(np.degrees(np.arccos(np.clip((np.trace(relative @ side) - 1) / 2, -1, 1)))) for side in sides)


def up_error_deg(found: Solve, R: Array) -> float:
    assert found.up_world is not None
    up = found.path.R_cam_from_world[0] @ found.up_world
    return float(np.degrees(np.arccos(min(1.0, float(-up @ R[:, 1])))))


@pytest.mark.parametrize(
    ("focal_px", "yaw", "pitch", "roll", "shares"),
    [
        (560.0, 35.0, 12.0, 0.0, THREE),
        (960.0, 50.0, -18.0, 4.0, THREE),
        (1700.0, 40.0, 22.0, -6.0, THREE),
        (700.0, 60.0, 20.0, 3.0, TWO),
        (1000.0, 30.0, -25.0, -2.0, TWO),
    ],
)
def test_a_still_tells_its_lens_and_orientation(
    focal_px: float, yaw: float, pitch: float, roll: float, shares: tuple[float, float, float]
) -> None:
    R = camera(yaw, pitch, roll)
    found = solve(clip([still(R, focal_px, 21, shares)], first=7))
    assert found.kind == STATIC and found.path.solved.all() and list(found.shot.frame_numbers) == [7]
    error, sd = abs(found.path.focal_px[0] - focal_px), found.path.focal_px_sd[0]
    assert error < 3 * sd and error < 0.03 * focal_px and sd < 0.05 * focal_px
    assert turned_deg(found, R) < 1.2
    assert up_error_deg(found, R) < min(0.8, 3.5 * np.degrees(found.up_sd))
    assert found.report.status == SOLVED and found.report.reasons == ()
    assert not len(found.points.track) and not len(found.tracks.track)


def test_one_direction_needs_a_known_focal_length() -> None:
    R = camera(0, 20, 3)
    picture = still(R, 900, 22, ONE)
    with pytest.raises(LensUndetermined, match="Give the focal length"):
        solve(clip([picture]))
    known = KnownValues(focal_px=Known(value=900.0, deviation=9.0))
    found = solve(clip([picture]), SolveOptions(known=known))
    assert found.path.focal_px[0] == pytest.approx(900) and found.path.focal_px_sd[0] == pytest.approx(9)
    assert up_error_deg(found, R) < min(1.0, 3.5 * np.degrees(found.up_sd))


def texture(seed: int, size: tuple[int, int]) -> Array:
    """Noise at all scales, (H, W)."""
    return np.asarray(noise_texture(np.random.default_rng(seed), *size)[::3, ::3], np.float64)


def plain_still() -> Picture:
    """Nothing straight: soft blobs."""
    return cv2.GaussianBlur(texture(3, SMALL).astype(np.uint8), (0, 0), 9.0)


def test_a_still_without_lines_is_refused_or_takes_what_is_known() -> None:
    footage = clip([plain_still()])
    with pytest.raises(LensUndetermined) as caught:
        solve(footage)
    assert "Give the focal length" in str(caught.value) and "straight" in str(caught.value)
    found = solve(footage, SolveOptions(known=KnownValues(focal_px=Known(value=880.0, deviation=0.0))))
    assert found.kind == STATIC and found.path.focal_px[0] == 880.0 and found.path.focal_px_sd[0] == 0.0
    np.testing.assert_array_equal(found.path.R_cam_from_world[0], np.eye(3))
    assert found.up_world is None and found.report.status == WARNINGS
    assert any("level" in reason for reason in found.report.reasons)


def test_metadata_give_the_focal_length_where_the_picture_does_not() -> None:
    footage = with_metadata(clip([plain_still()]), focal_length_mm=35.0, sensor_width_mm=24.0)
    found = solve(footage)
    assert found.path.focal_px[0] == pytest.approx(35 / 24 * 480)
    assert found.path.focal_px_sd[0] == pytest.approx(0.05 * 700)
    assert any("metadata" in reason for reason in found.report.reasons)
    # no sensor is named: the width is assumed, and the deviation says what that is worth
    assumed = solve(with_metadata(clip([plain_still()]), focal_length_mm=35.0))
    assert assumed.path.focal_px[0] == pytest.approx(35 / 36 * 480)
    assert assumed.path.focal_px_sd[0] > 0.25 * assumed.path.focal_px[0]
    assert any("assumed" in reason for reason in assumed.report.reasons)
    # what a telephone says of itself is that of a full frame's diagonal
    telephone = solve(with_metadata(clip([plain_still()]), focal_length_mm=4.2, focal_length_35mm=26.0))
    assert telephone.path.focal_px[0] == pytest.approx(26 / 43.267 * np.hypot(*SMALL))


def test_lines_and_metadata_are_weighed_or_their_quarrel_is_told() -> None:
    R = camera(40, 15, 0)
    picture = still(R, 1000, 23)
    alone = solve(clip([picture]))
    both = solve(with_metadata(clip([picture]), focal_length_mm=37.0, sensor_width_mm=36.0))
    assert both.path.focal_px_sd[0] < alone.path.focal_px_sd[0]
    assert min(alone.path.focal_px[0], 37 / 36 * 960) <= both.path.focal_px[0] <= max(alone.path.focal_px[0], 990)
    quarrel = solve(with_metadata(clip([picture]), focal_length_mm=70.0, sensor_width_mm=36.0))
    assert quarrel.path.focal_px[0] == pytest.approx(alone.path.focal_px[0])
    assert quarrel.report.status == WARNINGS and "differ" in quarrel.report.reasons[0]
    given = KnownValues(focal_px=Known(value=1900.0, deviation=5.0))
    insisted = solve(clip([picture]), SolveOptions(known=given))
    assert insisted.path.focal_px[0] == 1900.0 and "differ" in insisted.report.reasons[0]


# A shot


def room_with_actor(
    n: int, focal_px: float, R: Array, walk_px: float, size: tuple[int, int] = (640, 360)
) -> list[Picture]:
    """A room, somebody with much texture who walks through a third of the picture, and grain."""
    rng = np.random.default_rng(31)
    wall = drawn(built_scene(R, focal_px, rng, n_lines=160, size=size), rng, noise=0.0, size=size)
    plaster = texture(4, size)
    wall = wall + 0.2 * (plaster - plaster.mean())
    actor = texture(5, (170, 240))
    shown = []
    for i in range(n):
        picture = wall.copy()
        left = round(60 + walk_px * i)
        picture[90:330, left : left + 170] = actor[:, : max(0, min(170, size[0] - left))]
        shown.append(np.clip(np.rint(picture + 1.6 * rng.standard_normal(picture.shape)), 0, 255).astype(np.uint8))
    return shown


def test_somebody_walks_through_a_shot_whose_camera_stands_still() -> None:
    R = camera(35, 14, 2)
    found = solve(clip(room_with_actor(14, 520.0, R, 14.0), first=101))
    assert found.kind == STATIC and found.path.solved.all() and len(found.path.focal_px) == 14
    for name in ("R_cam_from_world", "t_cam_from_world", "focal_px", "focal_px_sd"):
        values = getattr(found.path, name)
        assert (values == values[0]).all(), name
    assert abs(found.path.focal_px[0] - 520) < 3 * found.path.focal_px_sd[0] < 0.15 * 520
    assert up_error_deg(found, R) < 0.8 and turned_deg(found, R) < 1.5
    assert found.tracks.n_tracks > 100 and not found.inlier.any()
    assert {"track", "lines"} <= set(found.report.seconds)


def test_two_frames_are_enough_only_for_a_camera_that_stands_still() -> None:
    frames = room_with_actor(2, 520.0, camera(35, 14, 2), 5.0)
    assert solve(clip(frames)).kind == STATIC
    moved = [frames[0], np.roll(frames[0], 6, axis=1)]
    with pytest.raises(InputError, match="at least 3"):
        solve(clip(moved))


def standing(n: int, rng: np.random.Generator, *, noise: float = 0.15, n_frames: int = 20) -> Tracks:
    """Tracks of a camera that stands still."""
    xy = np.repeat(rng.uniform((0, 0), SIZE, (n, 2)), n_frames, axis=0)
    return tracks_of(xy + noise * rng.standard_normal(xy.shape), n_frames)


def tracks_of(xy: Array, n_frames: int) -> Tracks:
    n = len(xy) // n_frames
    return Tracks(
        track=np.repeat(np.arange(n), n_frames),
        frame=np.tile(np.arange(n_frames), n),
        xy=xy,
        covariance=np.tile(0.02 * np.eye(2), (len(xy), 1, 1)),
        n_frames=n_frames,
    )


def test_a_camera_stands_still_if_the_background_does() -> None:
    rng = np.random.default_rng(41)
    still_ones = standing(200, rng)
    assert is_static(still_ones, SIZE)
    # a crowd of twice as many, on the lower half
    crowd = rng.uniform((0, 270), SIZE, (400, 2))[:, None] + np.arange(20)[None, :, None] * rng.uniform(
        -6, 6, (400, 1, 2)
    )
    both = tracks_of(np.concatenate([still_ones.xy, crowd.reshape(-1, 2)]), 20)
    assert is_static(both, SIZE)


def test_tracks_alone_do_not_tell_the_lens_of_a_camera_that_stands_still() -> None:
    """What walks past it would pass for parallax."""
    shot = shot_of(make_scene("dolly", n_frames=20, rng=np.random.default_rng(46)))
    with pytest.raises(LensUndetermined, match="stands still, so that its tracks tell nothing of the lens"):
        solve_tracks(shot, standing(200, np.random.default_rng(46)))


@pytest.mark.parametrize("motion", ["dolly", "orbit", "handheld", "forward", "pan"])
def test_a_camera_that_moves_does_not_stand_still(motion: str) -> None:
    scene = make_scene(motion, rng=np.random.default_rng(42))
    assert not is_static(scene.tracks, scene.size)


def test_a_camera_that_creeps_does_not_stand_still() -> None:
    still_ones = standing(300, np.random.default_rng(43), n_frames=30)
    creep = still_ones.frame[:, None] * np.array([0.07, 0.0])
    assert not is_static(replace(still_ones, xy=still_ones.xy + creep), SIZE)


def test_a_far_background_does_not_make_a_camera_stand_still() -> None:
    rng = np.random.default_rng(44)
    start = rng.uniform((0, 0), SIZE, (300, 2))
    near = start[:, 1] > 0.35 * SIZE[1]  # below the horizon everything passes by
    speed = np.where(near, 0.004 * (start[:, 1] - 0.35 * SIZE[1]), 0.0)
    xy = start[:, None] + np.arange(20)[None, :, None] * np.stack([speed, 0 * speed], axis=1)[:, None]
    assert not is_static(tracks_of(xy.reshape(-1, 2), 20), SIZE)


def test_no_tracks_tell_nothing() -> None:
    assert not is_static(standing(0, np.random.default_rng(45)), SIZE)
