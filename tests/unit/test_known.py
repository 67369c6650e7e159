"""Known values in the solve, on simulated shots with known truth: they are kept, and they help by what they tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from solver.errors import DegenerateMotion
from solver.known import Known, KnownValues
from solver.reconstruction.knowledge import focal_starts, knowing, located
from solver.types import MOVING, NODAL, Solve
from tests import synthetic
from tests.known_scenes import FIRST, held, moved, poses_of, shifted_by, solved, zoom_curve, zoomed
from tests.synthetic import FOCAL_PX, Scene, aligned_path_error, make_scene
from tests.unit.test_reconstruction import start
from tests.unit.test_shutter import rolled

Array = NDArray[np.float64]


def dolly(k1: float = 0.0, k2: float = 0.0) -> Scene:
    """A shot that tells its focal length to about 0.8 %."""
    return make_scene("dolly", n_points=250, k1=k1, k2=k2, rng=np.random.default_rng(1))


def focal_error(found: Solve) -> float:
    """Percent."""
    return float(100 * (np.median(found.path.focal_px) / FOCAL_PX - 1))


def path_percent(scene: Scene, found: Solve) -> float:
    return 100 * aligned_path_error(scene, found.path.centre_world)


# The focal length


@pytest.mark.parametrize(("value", "deviation"), [(FOCAL_PX, 2.0), (FOCAL_PX + 8, 8.0)])
def test_a_prior_and_the_picture_are_weighed_by_their_variances(value: float, deviation: float) -> None:
    free = solved(dolly())
    found = solved(dolly(), focal_px=Known(value=value, deviation=deviation))
    f, sd = free.path.focal_px[0], free.path.focal_px_sd[0]
    weight = 1 / (1 + (sd / deviation) ** 2)
    expected_sd = (sd**-2 + deviation**-2) ** -0.5
    assert found.path.focal_px_sd[0] == pytest.approx(expected_sd, rel=0.05)
    assert found.path.focal_px[0] == pytest.approx(weight * f + (1 - weight) * value, abs=0.2 * expected_sd)
    assert abs(found.path.focal_px[0] - FOCAL_PX) < 3 * found.path.focal_px_sd[0]
    assert found.report.known.focal_px == Known(value=value, deviation=deviation)


def test_a_locked_focal_length_is_kept_to_the_bit() -> None:
    scene = dolly(k1=-0.05)
    found = solved(scene, focal_px=held(FOCAL_PX))
    assert (found.path.focal_px == FOCAL_PX).all() and (found.path.focal_px_sd == 0).all() and not found.zooms
    assert "focal_px" not in found.report.lens_sd and found.report.lens_sd["k1"] > 0
    assert abs(found.lens.k[0] + 0.05) < 3 * found.report.lens_sd["k1"]
    assert path_percent(scene, found) < 0.15


def test_a_known_focal_length_makes_up_for_parallax(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that shifts by a hundredth of its distance and does not turn: its picture tells no focal length."""
    monkeypatch.setitem(synthetic.MOTIONS, "small", shifted_by(0.02))
    scene = make_scene("small", n_points=300, rng=np.random.default_rng(1))
    with pytest.raises(DegenerateMotion, match="stands still"):
        solved(scene)
    for focal in (held(FOCAL_PX), Known(value=FOCAL_PX, deviation=20)):
        found = solved(scene, focal_px=focal)
        assert found.kind == MOVING and path_percent(scene, found) < 3.5
        assert found.path.focal_px_sd[0] <= 1.001 * focal.deviation


def test_only_starts_near_a_known_focal_length_are_tried() -> None:
    model, _ = start(dolly())
    tried = np.array([500.0, 850.0, 920.0, 2000.0])
    assert (focal_starts(model, tried) == tried).all()
    near = knowing(model, KnownValues(focal_px=Known(value=900, deviation=20)))
    assert sorted(focal_starts(near, tried)) == [850, 900, 920]
    assert list(focal_starts(knowing(model, KnownValues(focal_px=held(900))), tried)) == [900]


# Zooms


def curve_error(found: Solve, focal_px: Array) -> float:
    """Largest error, percent."""
    return float(100 * np.abs(found.path.focal_px / focal_px - 1).max())


@pytest.mark.parametrize(("motion", "kind"), [("dolly", MOVING), ("pan", NODAL)])
def test_a_focal_curve(motion: str, kind: str) -> None:
    """From 900 to 1260 px; the picture of the dolly alone tells it to 1.8 %, that of the pan to 0.1 %."""
    focal_px = zoom_curve(48)
    rng = np.random.default_rng(5)
    scene = zoomed(make_scene(motion, n_frames=48, n_points=300, rng=np.random.default_rng(4)), focal_px, 0.2, rng)
    noisy = focal_px * (1 + 0.01 * rng.standard_normal(48))
    prior = {FIRST + i: Known(value=f, deviation=0.01 * f) for i, f in enumerate(noisy)}
    found = solved(scene, focal_px_by_frame=prior)
    assert found.kind == kind and found.zooms
    sd = found.path.focal_px_sd / found.path.focal_px
    assert (sd > 0.0002).all() and (sd < 0.003).all()
    assert (np.abs(found.path.focal_px / focal_px - 1) < 3.5 * sd).all()

    locked = solved(scene, focal_px_by_frame={FIRST + i: held(f) for i, f in enumerate(focal_px)})
    assert locked.kind == kind
    assert curve_error(locked, focal_px) < 1e-10 and (locked.path.focal_px_sd == 0).all()

    ends = solved(scene, focal_px_by_frame={FIRST + i: held(focal_px[i]) for i in (0, 47)})
    assert ends.kind == kind and curve_error(ends, focal_px) < 0.3
    assert np.allclose(ends.path.focal_px[[0, 47]], focal_px[[0, 47]], rtol=2e-4)


# Distortion, principal point, shutter


def test_locked_distortion() -> None:
    scene = dolly(k1=-0.2, k2=0.03)
    found = solved(scene, k=(held(-0.2), held(0.03), held(0.0)))
    assert list(found.lens.k) == [-0.2, 0.03, 0.0] and set(found.report.lens_sd) == {"focal_px"}
    assert abs(focal_error(found)) < 2.5 and path_percent(scene, found) < 0.2


def test_a_prior_on_distortion_narrows_it() -> None:
    free = solved(dolly(k1=-0.05))
    found = solved(dolly(k1=-0.05), k=(Known(value=-0.05, deviation=0.0005), None, None))
    sd, deviation = free.report.lens_sd["k1"], found.report.lens_sd["k1"]
    assert 0.8 * (sd**-2 + 0.0005**-2) ** -0.5 < deviation < 0.0005
    assert abs(found.lens.k[0] + 0.05) < 3 * deviation


def test_a_principal_point_off_the_middle() -> None:
    scene = make_scene("orbit", n_points=250, rng=np.random.default_rng(1))
    shift = np.array([14.0, -9.0])
    scene = replace(scene, tracks=replace(scene.tracks, xy=scene.tracks.xy + shift))
    x, y = np.array(scene.size) / 2 + shift
    held_there = solved(scene, principal_point=(held(x), held(y)))
    assert list(held_there.lens.principal_point) == [x, y]
    near = solved(scene, principal_point=(Known(value=x + 1, deviation=2), Known(value=y - 1, deviation=2)))
    assert np.abs(near.lens.principal_point - [x, y]).max() < 3
    assert 0 < near.report.lens_sd["principal_x"] < 2
    for found in (held_there, near):
        assert abs(focal_error(found)) < 0.5 and path_percent(scene, found) < 0.1


def test_a_known_readout() -> None:
    rng = np.random.default_rng(3)
    scene = rolled(make_scene("handheld", n_points=200, noise_px=0.2, rng=rng), 0.35, 0.2, rng)
    found = solved(scene, readout=held(0.35))
    assert found.readout == 0.35 and found.readout_sd == 0
    off = solved(scene, readout=held(0.0))
    assert off.readout == 0 and off.readout_sd == 0
    assert path_percent(scene, found) < 0.4 * path_percent(scene, off)
    prior = solved(scene, readout=Known(value=0.3, deviation=0.1))
    assert abs(prior.readout - 0.35) < 0.02 and 0 < prior.readout_sd < 0.01


# Poses


def elsewhere(scene: Scene) -> Scene:
    return moved(scene, Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix(), 7.0, np.array([20.0, -3.0, 5.0]))


def test_the_similarity_onto_known_poses_is_exact() -> None:
    scene = make_scene("orbit", n_points=100, rng=np.random.default_rng(1))
    target = elsewhere(scene)
    model, _ = start(scene)
    model = replace(model, state=replace(scene.state(), zoom=model.state.zoom), posed=np.ones_like(model.posed))
    for frames in ((3, 30), (0, 10, 39)):
        known = {frame - FIRST: pose for frame, pose in poses_of(target, frames).items()}
        found = located(replace(model, known=KnownValues(poses=known)))
        assert found.located
        assert np.abs(found.state.R - target.R).max() < 1e-9 and np.abs(found.state.t - target.t).max() < 1e-7
        assert np.abs(found.state.X[:, :3] / found.state.X[:, 3:] - target.points).max() < 1e-6


def test_locked_poses_give_world_and_unit() -> None:
    scene = elsewhere(dolly())
    frames = (0, 20, 39)
    found = solved(scene, poses=poses_of(scene, frames))
    assert found.scale_source == "poses" and found.path.solved.all()
    for i in frames:
        assert (found.path.R_cam_from_world[i] == scene.R[i]).all()
        assert (found.path.t_cam_from_world[i] == scene.t[i]).all()
    extent = np.ptp(scene.centre, axis=0).max()
    error = np.abs(found.path.centre_world - scene.centre)
    assert error.max() < 0.002 * extent and (error < 4 * found.path.position_sd + 1e-9).all()
    # what three poses tell of the focal length
    assert found.path.focal_px_sd[0] < 0.4 * solved(dolly()).path.focal_px_sd[0]
    assert abs(found.path.focal_px[0] - FOCAL_PX) < 3 * found.path.focal_px_sd[0]


def test_poses_with_deviations_are_improved() -> None:
    scene = elsewhere(make_scene("orbit", n_points=250, rng=np.random.default_rng(1)))
    rng = np.random.default_rng(2)
    frames, off = range(0, 40, 3), 0.05
    known = {
        frame: replace(pose, t_cam_from_world=pose.t_cam_from_world + off * rng.standard_normal(3))
        for frame, pose in poses_of(scene, frames, rotation=1e-4, position=off).items()
    }
    found = solved(scene, poses=known)
    error = np.linalg.norm(found.path.centre_world - scene.centre, axis=1)
    assert found.scale_source == "poses"
    assert 0.003 < error.mean() < 0.6 * off
    assert (np.abs(found.path.centre_world - scene.centre) < 4 * found.path.position_sd).all()


def test_one_pose_gives_place_and_turn() -> None:
    scene = elsewhere(dolly())
    found = solved(scene, poses=poses_of(scene, (5,)))
    assert found.scale_source == "none"
    assert np.abs(found.path.R_cam_from_world[5] - scene.R[5]).max() < 1e-9
    assert np.abs(found.path.centre_world[5] - scene.centre[5]).max() < 1e-9
    away = found.path.centre_world - found.path.centre_world.mean(axis=0)
    assert np.sqrt((away**2).sum(axis=1)).max() == pytest.approx(1.0)
    assert path_percent(scene, found) < 0.3


def test_known_turns_of_a_tripod() -> None:
    scene = make_scene("pan", n_points=250, rng=np.random.default_rng(1))
    free = solved(scene)
    found = solved(scene, poses=poses_of(scene, (5, 30), position=0.1))
    assert found.kind == NODAL
    assert np.abs(found.path.R_cam_from_world[[5, 30]] - scene.R[[5, 30]]).max() < 1e-6
    assert found.path.focal_px_sd[0] < 0.4 * free.path.focal_px_sd[0]
    assert abs(found.path.focal_px[0] - FOCAL_PX) < 3 * found.path.focal_px_sd[0]
