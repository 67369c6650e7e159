"""The simulated shots are what they say, checked against the solver's lens and by plain geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.lens import BrownConradyLens
from tests.simulated import paths
from tests.simulated.followed import Conditions, follow_scene
from tests.simulated.lens import CURVES, random_lens, zooming
from tests.simulated.paths import FRAME_RATE, Room, rotation, shake
from tests.simulated.shot import ASPECTS, DISTANCE, MOTIONS, SimulatedShot, random_motion, random_shot
from tests.simulated.surroundings import SCENES
from tests.simulated.things import rigid_thing, see

SIZE = (960, 540)


def reprojected(shot: SimulatedShot, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pixels of standing points, by the solver's lens, with the pose and lens of each observation's own row."""
    track, frame = shot.tracks.track[rows], shot.tracks.frame[rows]
    when = shot.time[frame] + shot.readout * (shot.true_xy[rows, 1] / shot.size[1] - 0.5)
    R, centre = shot.path.pose(when)
    cam = np.einsum("nij,nj->ni", R, shot.points[track] - centre)
    out = np.empty((len(track), 2))
    for i, (k, focal) in enumerate(zip(shot.lens.distortion(when), shot.lens.focal(when), strict=True)):
        lens = BrownConradyLens(size=shot.size, principal_point=shot.principal, k=k)
        out[i] = lens.project(cam[i], float(focal))
    return out


@pytest.mark.parametrize("motion", [name for name in MOTIONS if name not in ("grain", "crowd")])
def test_standing_tracks_are_the_projected_points(motion: str) -> None:
    shot = random_shot(3, (motion,), largest=24)
    still = ~(shot.moving | shot.sliding)[shot.tracks.track]
    assert still.sum() > 300
    assert np.allclose(reprojected(shot, still), shot.true_xy[still], atol=1e-6)
    inside = (shot.true_xy > 0).all() and (shot.true_xy < np.array(shot.size)).all()
    assert inside and shot.readout == pytest.approx(shot.readout)


def test_a_rolling_shutter_sees_each_row_at_its_own_time() -> None:
    rng = np.random.default_rng(1)
    path = paths.pan(Room(n=20, field=1.0, distance=10.0), rng)
    lens = replace(random_lens(SIZE, rng), principal=np.array(SIZE) / 2, k1=0.0, k2=0.0)
    where = np.tile([0.0, 1.0, 10.0], (2, 1))
    time = np.array([9.0, 9.0])
    rolling, _ = see(path, lens, 0.8, lambda when: where[: len(when)], time)
    assert rolling[0] == pytest.approx(rolling[1])
    row_time = 9.0 + 0.8 * (rolling[0, 1] / SIZE[1] - 0.5)
    there, _ = see(path, lens, 0.0, lambda when: where[: len(when)], np.full(2, row_time))
    assert np.allclose(there[0], rolling[0], atol=1e-6)
    still, _ = see(path, lens, 0.0, lambda when: where[: len(when)], time)
    assert np.linalg.norm(still[0] - rolling[0]) > 0.1


def test_rays_and_projection_are_inverse() -> None:
    rng = np.random.default_rng(2)
    for seed in range(8):
        lens = zooming(random_lens(SIZE, np.random.default_rng(seed)), 30, 2.0, "eased", 0.03)
        xy, time = rng.uniform([0, 0], SIZE, (200, 2)), rng.uniform(0, 29, 200)
        back, shown = lens.project(7.0 * lens.rays(xy, time), time)
        assert shown.all() and np.allclose(back, xy, atol=1e-7)


def test_turns_have_the_signs_that_they_say() -> None:
    ahead = np.array([0.0, 0.0, 5.0])
    right, up = rotation(np.array([[0.2, 0.0, 0.0], [0.0, 0.2, 0.0]]))
    assert (right @ ahead)[0] < -0.5 and (up @ ahead)[1] > 0.5
    roll = rotation(np.array([[0.0, 0.0, 0.2]]))[0]
    assert (roll @ [0.0, 1.0, 5.0])[0] > 0.1
    assert np.allclose(roll @ roll.T, np.eye(3)) and np.linalg.det(roll) == pytest.approx(1)


def test_shake_falls_with_frequency_and_has_the_size_asked_for() -> None:
    time = np.arange(24000.0) / 4
    wave = shake(np.random.default_rng(3), np.array([2.0, 0.5]))(time)
    assert wave.std(axis=0) == pytest.approx([2.0, 0.5], rel=0.1)
    power = np.abs(np.fft.rfft(wave[:, 0])) ** 2
    rate = np.fft.rfftfreq(len(time), 0.25 / FRAME_RATE)
    slow, fast = (power[(rate > a) & (rate < b)].sum() for a, b in ((0.2, 1.0), (3.0, 12.0)))
    assert slow > 5 * fast > 0


@pytest.mark.parametrize("curve", CURVES)
def test_zooms_go_where_they_should(curve: str) -> None:
    lens = zooming(random_lens(SIZE, np.random.default_rng(4)), 41, 2.0, curve)
    f = lens.focal(np.arange(41.0)) / lens.reference
    assert f[0] == pytest.approx(1) and f.min() > 0.999 and f.max() == pytest.approx(2, abs=0.01)
    assert f[-1] == pytest.approx(1 if curve == "there and back" else 2)
    if curve == "crash":
        assert np.abs(np.diff(np.log(f))).max() > 4 * np.log(2) / 40
    if curve == "holds":
        assert np.ptp(f[:12]) == 0 == np.ptp(f[-12:])


def test_a_dolly_zoom_keeps_the_size_of_its_subject() -> None:
    shot = random_shot(5, ("dolly zoom",))
    distance = np.linalg.norm(np.array([0.0, 0.0, DISTANCE]) - shot.centre, axis=1)
    assert np.ptp(shot.focal_px / distance) < 1e-9 * shot.focal_px[0] and np.ptp(shot.focal_px) > 0.1 * shot.focal_px[0]


def follow(conditions: Conditions, seed: int = 6, n: int = 30) -> tuple:
    """An orbit of a box."""
    rng = np.random.default_rng(seed)
    path = paths.orbit(Room(n=n, field=0.9, distance=DISTANCE), rng)
    lens = random_lens(SIZE, rng, longest=1.0)
    cast = SCENES["box"](DISTANCE, rng)
    return path, lens, follow_scene(path, lens, 0.0, cast, DISTANCE, np.arange(float(n)), conditions, rng)


def test_tracks_live_and_die_as_trackers_let_them() -> None:
    _, _, found = follow(Conditions(live=150, lifetime=12.0, detect_every=4), n=60)
    tracks = found.tracks
    assert (np.diff(tracks.track) >= 0).all()
    assert set(np.diff(tracks.frame)[np.diff(tracks.track) == 0]) == {1}
    per_frame = np.bincount(tracks.frame, minlength=60)
    assert 90 < per_frame[8:-4].mean() < 150 and per_frame.min() > 60
    length = np.bincount(tracks.track)
    assert length.min() == 3 and 9 < length.mean() < 16
    first = tracks.frame[np.append(True, np.diff(tracks.track) != 0)]
    assert set(first) <= set(range(0, 60, 4)) and len(set(first)) > 10


def test_noise_is_what_is_stated_unless_it_is_dishonest() -> None:
    for dishonest, low, high in ((0.0, 0.97, 1.03), (0.4, 1.1, 1.5)):
        _, _, found = follow(Conditions(noise_px=0.25, dishonest=dishonest, live=250))
        factor = np.linalg.cholesky(np.linalg.inv(found.tracks.covariance))
        white = np.einsum("nji,nj->ni", factor, found.tracks.xy - found.true_xy)
        assert low < white.std() < high
        assert 0.2 < np.median(np.sqrt(np.linalg.det(found.tracks.covariance)) ** 0.5) < 0.3
        assert np.abs(found.tracks.covariance[:, 0, 1]).max() > 0.005


def test_drift_stays_with_its_track() -> None:
    _, _, found = follow(Conditions(noise_px=0.01, drift_px=0.3))
    error = found.tracks.xy - found.true_xy
    same = np.diff(found.tracks.track) == 0
    assert 0.2 < error.std() < 0.4
    assert (error[1:][same] * error[:-1][same]).mean() > 0.85 * error.var()


def test_wrong_tracks_are_as_many_as_asked_and_wrong() -> None:
    _, _, found = follow(Conditions(wild=0.1, jumping=0.1, live=250))
    distance = np.linalg.norm(found.tracks.xy - found.true_xy, axis=1)
    assert 0.1 < found.wrong.mean() < 0.2 and np.median(distance[found.wrong]) > 8
    assert distance[~found.wrong].max() < 2
    path, lens, found = follow(Conditions(sliding=0.1, noise_px=0.0001, live=250))
    assert 0.05 < found.sliding.mean() < 0.15
    tracks = found.tracks
    where = found.points[tracks.track]
    xy, _ = see(path, lens, 0.0, lambda _: where, tracks.frame.astype(float))
    off = np.linalg.norm(xy - tracks.xy, axis=1)
    slides = found.sliding[tracks.track]
    first = np.append(True, np.diff(tracks.track) != 0)
    assert off[~slides].max() < 0.01 and off[slides & first].max() < 0.01 and np.percentile(off[slides], 80) > 1


@pytest.mark.parametrize("is_crowd", [False, True])
def test_what_moves_moves_smoothly_and_by_itself(is_crowd: bool) -> None:
    path, lens, found = follow(Conditions(moving=0.4, crowd=is_crowd, noise_px=0.0001))
    tracks = found.tracks
    assert 0.15 < found.moving.mean() < 0.55
    step = np.linalg.norm(np.diff(tracks.xy, axis=0), axis=1)[np.diff(tracks.track) == 0]
    assert step.max() < 60
    # held at its place at the first frame, it does not stay under its tracks
    where = found.points[tracks.track]
    xy, _ = see(path, lens, 0.0, lambda _: where, tracks.frame.astype(float))
    off = np.linalg.norm(xy - tracks.xy, axis=1)
    moves = found.moving[tracks.track]
    assert off[~moves].max() < 0.01 and np.median(off[moves & (tracks.frame > 5)]) > 3


def test_a_rigid_thing_keeps_its_shape() -> None:
    rng = np.random.default_rng(8)
    path = paths.handheld(Room(n=30, field=0.9, distance=DISTANCE), rng)
    thing = rigid_thing(path, random_lens(SIZE, rng), 30, DISTANCE, rng)(20, rng)
    which = np.arange(20)
    shapes = [thing.place(which, np.full(20, t)) for t in (0.0, 13.3, 29.0)]
    gaps = [np.linalg.norm(x[:, None] - x[None], axis=2) for x in shapes]
    assert np.allclose(gaps[0], gaps[1]) and np.allclose(gaps[0], gaps[2])
    assert np.linalg.norm(shapes[2].mean(axis=0) - shapes[0].mean(axis=0)) > 0.05


def test_lost_frames_are_empty_and_some_tracks_are_found_again() -> None:
    _, _, found = follow(Conditions(lost=(0, 12, 13, 14), joined=0.5))
    tracks = found.tracks
    assert not np.isin(tracks.frame, [0, 12, 13, 14]).any()
    gaps = np.diff(tracks.frame)[np.diff(tracks.track) == 0]
    assert set(gaps) == {1, 4} and 20 < (gaps == 4).sum() < 130


def test_frames_that_are_missing_or_doubled() -> None:
    shots = [random_shot(seed, ("dolly",), largest=30) for seed in range(40)]
    gaps = [shot for shot in shots if len(shot.missing_frames)]
    assert gaps
    for shot in gaps:
        told = shot.shot()
        assert np.array_equal(told.frame_numbers, np.round(shot.time).astype(int) + 1)
        assert not np.isin(told.missing_frames, told.frame_numbers).any()
    doubled = [shot for shot in shots if (np.diff(shot.time) == 0).any()]
    assert doubled and all(len(shot.missing_frames) == 0 for shot in doubled)
    assert np.array_equal(doubled[0].shot().frame_numbers, np.arange(1, len(doubled[0].time) + 1))


def test_a_seed_makes_one_shot_and_leaving_something_out_leaves_the_rest() -> None:
    one, two, other = random_shot(11), random_shot(11), random_shot(12)
    assert np.array_equal(one.tracks.track, two.tracks.track) and np.array_equal(one.tracks.frame, two.tracks.frame)
    assert np.array_equal(one.wrong, two.wrong) and np.array_equal(one.moving, two.moving)
    # where arrays lie in memory decides the last bit
    assert np.allclose(one.tracks.xy, two.tracks.xy, rtol=0, atol=1e-9) and one.describe() == two.describe()
    assert one.describe() != other.describe()
    for seed in range(6):
        full, plain = random_shot(seed, ("handheld",)), random_shot(seed, ("handheld",), ASPECTS)
        assert full.focal_px[0] == plain.focal_px[0] and full.scene == plain.scene
        assert np.allclose(full.path.pose(np.array([3.0]))[1], plain.path.pose(np.array([3.0]))[1])
        assert not plain.wrong.any() and not plain.moving.any() and plain.readout == 0
        assert not plain.distortion.any() and plain.conditions.noise_px == full.conditions.noise_px
    with pytest.raises(ValueError, match="not known: sidestep"):
        random_shot(0, ("sidestep",))


def test_the_mix_holds_everything() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_motion(rng) for _ in range(2000)]
    total = sum(motion.share for motion in MOTIONS.values())
    for name, motion in MOTIONS.items():
        assert drawn.count(name) == pytest.approx(2000 * motion.share / total, rel=0.5)
    shots = [random_shot(seed, largest=30) for seed in range(50)]
    assert {motion.answer for motion in MOTIONS.values()} == {"moving", "nodal", "static", "ambiguous", "refuse"}
    assert 0.15 < np.mean([shot.readout > 0 for shot in shots]) < 0.35
    assert min(shot.focal_px.min() / max(shot.size) for shot in shots) < 0.6
    corner = [abs(shot.distortion[0, 0]) for shot in shots]
    assert max(corner) > 0.15 and min(corner) == 0


def test_grain_and_crowds_hold_nothing_that_stands_still() -> None:
    assert random_shot(1, ("grain",)).wrong.all()
    crowd = random_shot(1, ("crowd",))
    assert crowd.moving.all() and crowd.kind == "refuse"
