"""Rolling shutters: scenes in which every row is seen from where the camera is when it is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from solver.bundle.residuals import READOUT
from solver.overlay import _Observations
from solver.pipeline import solve_tracks
from solver.progress import Progress
from solver.reconstruction import choose
from solver.reconstruction.finish import Finished, frame_deviations
from solver.reconstruction.shutter import with_velocity
from solver.types import Solve
from tests.known_scenes import shot_of
from tests.synthetic import Scene, aligned_path_error, make_scene, project
from tests.unit.test_reconstruction import start

Array = NDArray[np.float64]


def rolled(scene: Scene, readout: float, noise_px: float, rng: np.random.Generator) -> Scene:
    """The scene with every observation seen `readout` (row / height - 1/2) frames later, by splines of the poses."""
    times = np.arange(len(scene.R), dtype=np.float64)
    turn = RotationSpline(times, Rotation.from_matrix(scene.R))
    place = CubicSpline(times, scene.centre)
    tracks = scene.tracks
    xy = scene.true_xy
    for _ in range(4):
        late = tracks.frame + readout * (xy[:, 1] / scene.size[1] - 0.5)
        R = turn(late).as_matrix()
        t = -np.einsum("nij,nj->ni", R, place(late))
        points = scene.points[tracks.track]
        xy = np.concatenate(
            [project(R[i : i + 1], t[i : i + 1], points[i : i + 1], scene.lens)[0][0] for i in range(len(R))]
        )
    noisy = xy + noise_px * rng.standard_normal(xy.shape)
    return replace(scene, tracks=replace(tracks, xy=noisy), true_xy=xy)


def solved(scene: Scene) -> tuple[Finished, float, float]:
    """The chosen camera, its readout and the readout's deviation."""
    times = np.arange(scene.tracks.n_frames, dtype=np.float64)
    found = choose.reconstruct(scene.tracks, scene.size, times, Progress())
    sd = frame_deviations(found.model, found.frames, found.options)[1]
    return found, float(found.model.state.lens[READOUT]), float(sd.lens[READOUT])


def path_percent(scene: Scene, found: Finished) -> float:
    state = found.model.state
    return 100 * aligned_path_error(scene, -np.einsum("fji,fj->fi", state.R, state.t), found.model.posed)


@pytest.mark.parametrize("readout", [0.35, 0.9, -0.6])
def test_the_readout_is_found(readout: float) -> None:
    rng = np.random.default_rng(3)
    scene = rolled(make_scene("handheld", noise_px=0.2, rng=rng), readout, 0.2, rng)
    found, value, sd = solved(scene)
    assert found.model.rolling and READOUT in found.options.free_lens
    assert abs(value - readout) < max(4 * sd, 0.03) < 0.1
    assert abs(found.model.state.lens[0] / scene.lens[0] - 1) < 0.01
    assert path_percent(scene, found) < 0.4


@pytest.mark.parametrize("motion", ["dolly", "orbit", "handheld", "forward"])
def test_a_global_shutter_is_left_alone(motion: str) -> None:
    found, value, sd = solved(make_scene(motion, outlier_share=0.05, rng=np.random.default_rng(4)))
    assert not found.model.rolling and value == 0.0 and sd == 0.0
    assert not found.model.state.velocity.any()


def test_a_camera_that_hardly_moves_does_not_tell() -> None:
    rng = np.random.default_rng(5)
    scene = make_scene("orbit", n_frames=60, rng=rng)
    found, value, _ = solved(rolled(scene, 0.02, 0.2, rng))
    assert not found.model.rolling and value == 0.0


def test_velocities_are_those_of_the_path() -> None:
    scene = make_scene("handheld", n_frames=30, rng=np.random.default_rng(6))
    model, _ = start(scene)
    model = replace(model, posed=np.ones(30, dtype=bool), state=replace(model.state, R=scene.R, t=scene.t))
    velocity = with_velocity(model).state.velocity
    times = np.arange(30, dtype=np.float64)
    turn = RotationSpline(times, Rotation.from_matrix(scene.R))
    # of the camera in its own axes: exp(w) R
    true = np.einsum("fij,fj->fi", scene.R, turn(times, order=1))
    assert np.abs(velocity[2:-2, :3] - true[2:-2]).max() < 0.05 * np.abs(true).max()
    t_rate = CubicSpline(times, scene.t)(times, 1)
    assert np.abs(velocity[2:-2, 3:6] - t_rate[2:-2]).max() < 0.05 * np.abs(t_rate).max()


def test_the_step_over_a_dropped_frame_is_no_velocity() -> None:
    scene = make_scene("orbit", n_frames=12, rng=np.random.default_rng(7))
    R, t = np.delete(scene.R, [5, 6, 7, 8], axis=0), np.delete(scene.t, [5, 6, 7, 8], axis=0)
    model, _ = start(scene)
    model = replace(
        model,
        posed=np.arange(12) < 8,
        state=replace(model.state, R=np.concatenate([R, R[:4]]), t=np.concatenate([t, t[:4]])),
    )
    speed = np.linalg.norm(with_velocity(model).state.velocity[:8, :3], axis=1)
    assert np.ptp(speed) < 0.05 * speed.mean()


def test_the_overlay_draws_points_where_their_rows_saw_them() -> None:
    rng = np.random.default_rng(3)
    scene = rolled(make_scene("handheld", noise_px=0.2, rng=rng), 0.9, 0.2, rng)
    solve = solve_tracks(shot_of(scene), scene.tracks)
    assert solve.readout > 0.8

    def rms(solve: Solve) -> float:
        drawn = _Observations(solve)
        return float(np.sqrt(((drawn.xy - drawn.projected)[drawn.kept] ** 2).sum(axis=1).mean()))

    assert rms(solve) == pytest.approx(solve.report.rms_px, rel=0.05)
    assert rms(replace(solve, readout=0.0)) > 2 * solve.report.rms_px
