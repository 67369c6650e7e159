"""Which way is up: shots of a room whose camera is known, and scenes that say nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.footage import Footage
from solver.lens import BrownConradyLens
from solver.types import SOLVED, CameraPath, Points, Shot, Solve, SolveReport, Tracks
from solver.vanishing.gravity import Gravity, gravity
from solver.vanishing.upright import with_up
from solver.vanishing.world_lines import edges_in_shot
from tests.straight_lines import camera, clutter, drawn, post, room, seen
from tests.synthetic import turn
from tests.unit.sample_clip import clip

Array = NDArray[np.float64]

SIZE = (640, 360)
FOCAL = 560.0
LENS = BrownConradyLens.undistorted(SIZE)
# the solve's world is turned anyhow against the scene's
WORLD = turn(0, 0.7) @ turn(2, -1.9) @ turn(1, 0.4)
UP = WORLD @ np.array([0.0, -1.0, 0.0])


def cameras(count: int, roll_deg: float = 0.0) -> tuple[Array, Array]:
    """Rotations (count, 3, 3) from the scene and centres of a camera that walks in and looks about."""
    share = np.linspace(-1, 1, count)
    R = np.stack([camera(9 * s, 4 + 3 * s, roll_deg + 2 * s) for s in share])
    return R, np.stack([0.5 * share, 0.1 * share, 0.4 * share], axis=1)


def pictures(scene: Array, R: Array, centres: Array, rng: np.random.Generator, *, mess: int = 30) -> list[Array]:
    """The scene, and things that lie anyhow and are others in every picture."""
    shown = []
    for Rf, centre in zip(R, centres, strict=True):
        ends = np.concatenate([seen(scene, Rf, centre, FOCAL, SIZE), clutter(mess, rng, SIZE)])
        shown.append(drawn(ends, rng, size=SIZE))
    return shown


def up_of(scene: Array, seed: int, *, roll_deg: float = 0.0, count: int = 4) -> Gravity | None:
    R, centres = cameras(count, roll_deg)
    shown = pictures(scene, R, centres, np.random.default_rng(seed))
    return gravity([edges_in_shot(picture) for picture in shown], R @ WORLD.T, np.full(count, FOCAL), LENS)


def angle_deg(first: Array, second: Array) -> float:
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))


@pytest.mark.parametrize("roll_deg", [0.0, 7.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_up_of_a_room(seed: int, roll_deg: float) -> None:
    found = up_of(room(np.random.default_rng(seed)), seed, roll_deg=roll_deg)
    assert found is not None
    assert angle_deg(found.up_world, UP) < min(0.6, 3 * np.degrees(found.sd))
    assert 0.1 < np.degrees(found.sd) < 0.5
    assert np.linalg.norm(found.up_world) == pytest.approx(1.0)


def test_deviations_of_up_hold() -> None:
    sigmas = []
    for seed in range(10, 20):
        found = up_of(room(np.random.default_rng(seed)), seed, count=2)
        assert found is not None
        sigmas.append(np.radians(angle_deg(found.up_world, UP)) / found.sd)
    # of two errors at right angles, each within its deviation: 2 on average when squared
    assert 0.1 < np.mean(np.square(sigmas)) < 4
    assert max(sigmas) < 3.5


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(lambda rng: room(rng, walls=False), id="floor"),
        pytest.param(lambda rng: post(11.0, rng), id="one thing that leans"),
        pytest.param(lambda _: np.zeros((0, 2, 3)), id="clutter"),
        pytest.param(lambda rng: room(rng, lean_deg=25), id="things that lie about"),
    ],
)
def test_no_up_rather_than_a_wrong_one(scene: Callable[[np.random.Generator], Array]) -> None:
    for seed in range(3):
        assert up_of(scene(np.random.default_rng(seed)), seed) is None


def test_a_camera_that_lies_on_its_side_has_no_up() -> None:
    assert up_of(room(np.random.default_rng(5)), 5, roll_deg=40.0) is None


def test_plain_pictures_have_no_up() -> None:
    plain = [edges_in_shot(np.full(SIZE[::-1], 128, np.uint8))] * 3
    assert gravity(plain, np.tile(np.eye(3), (3, 1, 1)), np.full(3, FOCAL), LENS) is None


def test_pictures_of_another_size_or_number_are_the_callers_mistake() -> None:
    plain = [edges_in_shot(np.full((100, 100), 128, np.uint8))]
    with pytest.raises(ValueError, match="640 x 360"):
        gravity(plain, np.eye(3)[None], np.array([FOCAL]), LENS)
    with pytest.raises(ValueError, match="rotations"):
        gravity(plain, np.eye(3)[None], np.full(2, FOCAL), LENS)


def solved(footage: Footage, R: Array, centres: Array) -> Solve:
    """What a solve of the camera would give, in a world of its own."""
    n = len(R)
    R_cam_from_world = R @ WORLD.T
    none = np.zeros(0, np.int64)
    return Solve(
        shot=Shot(
            name="room",
            footage="room",
            first_file="room",
            is_sequence=True,
            size=footage.size,
            frame_rate=24.0,
            frame_numbers=np.asarray(footage.frame_numbers),
            missing_frames=none,
        ),
        lens=LENS,
        path=CameraPath(
            R_cam_from_world=R_cam_from_world,
            t_cam_from_world=-np.einsum("fij,fj->fi", R_cam_from_world, centres @ WORLD.T),
            focal_px=np.full(n, FOCAL),
            focal_px_sd=np.ones(n),
            distortion=np.zeros((n, 3)),
            rotation_sd=np.zeros((n, 3)),
            position_sd=np.zeros((n, 3)),
            solved=np.ones(n, dtype=bool),
        ),
        points=Points(xyz_world=np.zeros((0, 3)), track=none, error_px=np.zeros(0)),
        tracks=Tracks(track=none, frame=none, xy=np.zeros((0, 2)), covariance=np.zeros((0, 2, 2)), n_frames=n),
        inlier=np.zeros(0, dtype=bool),
        sensor_width_mm=36.0,
        sensor_width_source="default",
        scale_source="none",
        report=SolveReport(
            status=SOLVED,
            reasons=(),
            rms_px=0.1,
            quality=np.ones(n),
            n_tracks=0,
            n_observations=0,
            iterations=1,
            seconds={"track": 1.0},
            lens_sd={},
        ),
    )


def test_a_solve_learns_which_way_is_up_from_some_of_its_solved_frames() -> None:
    rng = np.random.default_rng(6)
    R, centres = cameras(9)
    footage = clip(pictures(room(rng), R, centres, rng), first=11)
    before = solved(footage, R, centres)
    after = with_up(before, footage)
    assert after.up_world is not None
    assert angle_deg(after.up_world, UP) < 3 * np.degrees(after.up_sd) < 1.5
    assert set(after.report.seconds) == {"track", "vertical"}
    # frames that were not solved have no camera to be believed
    wrong = before.path.R_cam_from_world.copy()
    wrong[::2] = wrong[::2] @ turn(2, 0.5)
    path = replace(before.path, R_cam_from_world=wrong, solved=np.arange(9) % 2 == 1)
    again = with_up(replace(before, path=path), footage)
    assert again.up_world is not None and angle_deg(again.up_world, UP) < 3 * np.degrees(again.up_sd)


def test_a_solve_of_plain_pictures_keeps_its_open_up() -> None:
    R, centres = cameras(3)
    footage = clip([np.full(SIZE[::-1], 128, np.uint8)] * 3)
    after = with_up(solved(footage, R, centres), footage)
    assert after.up_world is None and after.up_sd == 0.0
    with pytest.raises(ValueError, match="3 frames"):
        with_up(after, clip([np.full(SIZE[::-1], 128, np.uint8)] * 2))
