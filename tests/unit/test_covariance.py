"""Reported deviations against what many solves of the same scene show."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.bundle.adjust import BundleOptions, adjust, robust_weight
from solver.bundle.covariance import Deviations, _frame_scores, _scores, deviations
from solver.bundle.gauge import gauge_directions
from solver.bundle.normal_equations import assemble, reduce, structure
from solver.bundle.priors import Priors
from solver.bundle.residuals import Observations, State, linearise
from solver.geometry.rotation import rotation_matrix
from tests.synthetic import Scene, make_scene

Array = NDArray[np.float64]
RUNS = 80
OPTIONS = BundleOptions(free_lens=(0, 3), iterations=25, tolerance=1e-3, relative_tolerance=0.0)


def rotation_vector(R: Array) -> Array:
    """Of nearly unit rotations (C, 3, 3)."""
    skew = (R - R.transpose(0, 2, 1)) / 2
    return np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)


def in_the_same_gauge(found: State, true: State) -> tuple[Array, Array]:
    """Errors of rotations and centres (C, 3) once the directions that no picture shows are taken out."""
    change = np.concatenate([rotation_vector(found.R @ true.R.transpose(0, 2, 1)), found.t - true.t], axis=1).ravel()
    for _ in range(3):  # the gauge is linearised, so what is left of it is taken out again
        G = gauge_directions(true, 0)
        change = change - G @ (G.T @ change)
    change = change.reshape(-1, 6)
    R = rotation_matrix(change[:, :3]) @ true.R
    centre = -np.einsum("fji,fj->fi", R, true.t + change[:, 3:])
    return change[:, :3], centre + np.einsum("fji,fj->fi", true.R, true.t)


@dataclass
class Trials:
    """Errors over their reported deviations, a row a run."""

    lens: Array
    rotation: Array
    position: Array


def trials(motion: str, correlation: float, outlier_share: float = 0.0) -> Trials:
    rows = []
    for run in range(RUNS):
        rng = np.random.default_rng(1000 + run)
        scene = make_scene(
            motion,
            n_frames=9,
            n_points=110,
            k1=-0.1,
            noise_px=0.3,
            correlation=correlation,
            outlier_share=outlier_share,
            rng=rng,
        )
        true, observations = scene.state(), scene.observations()
        found = adjust(true, observations, OPTIONS).state
        sd = deviations(found, observations, OPTIONS)
        rotation, position = in_the_same_gauge(found, true)
        lens = ((found.lens[:6] - true.lens[:6]) / np.where(sd.lens > 0, sd.lens, 1)[:6])[[0, 3]]
        rows.append((lens, rotation / sd.rotation, position / sd.position))
    return Trials(*(np.stack(column) for column in zip(*rows, strict=True)))


def assert_calibrated(z: Array, spread: tuple[float, float] = (0.75, 1.3)) -> None:
    """Within two deviations in 88 to 100 of 100 cases, neither too sure nor too shy."""
    assert 0.88 <= (np.abs(z) < 2).mean() <= 1.0
    assert spread[0] < np.sqrt((z**2).mean()) < spread[1]


@pytest.fixture(scope="module")
def independent() -> Trials:
    return trials("orbit", 0.0)


@pytest.fixture(scope="module")
def correlated() -> Trials:
    return trials("orbit", 0.9)


def test_lens_with_independent_errors(independent: Trials) -> None:
    assert_calibrated(independent.lens[:, 0])
    assert_calibrated(independent.lens[:, 1])


def test_lens_with_errors_that_belong_to_the_track(correlated: Trials) -> None:
    # with some hundred tracks the sandwich is itself uncertain
    assert_calibrated(correlated.lens[:, 0], (0.7, 1.35))
    assert_calibrated(correlated.lens[:, 1], (0.7, 1.35))


def test_lens_with_outliers() -> None:
    found = trials("orbit", 0.0, 0.08)
    assert_calibrated(found.lens[:, 0])


def test_lens_with_errors_that_a_frame_shares() -> None:
    """Each frame is stretched a little, as where a shutter rolls: its errors are small, and not independent."""
    z = []
    for run in range(40):
        rng = np.random.default_rng(run)
        scene = make_scene("orbit", n_frames=32, n_points=150, k1=-0.1, noise_px=0.2, rng=rng)
        true, observations = scene.state(), scene.observations()
        stretch = 1.5e-3 * rng.standard_normal(32)[observations.camera] * (observations.xy[:, 1] - scene.size[1] / 2)
        observations = replace(observations, xy=observations.xy + stretch[:, None] * np.array([0.0, 1.0]))
        found = adjust(true, observations, OPTIONS).state
        off = float(np.log(found.lens[0] / true.lens[0]))
        sd = [deviations(found, observations, OPTIONS, by_frame=by_frame).log_focal[0] for by_frame in (False, True)]
        z.append([off / sd[0], off / sd[1]])
    plain, by_frame = np.sqrt((np.array(z) ** 2).mean(axis=0))
    assert plain > 1.5, (plain, by_frame)
    assert 0.6 < by_frame < 1.3


def test_independent_errors_are_not_made_more_of(independent: Trials) -> None:
    assert_calibrated(independent.lens[:, 0])
    scene = make_scene("orbit", n_frames=16, n_points=150, noise_px=0.3, rng=np.random.default_rng(8))
    found = adjust(scene.state(), scene.observations(), OPTIONS).state
    plain, by_frame = (deviations(found, scene.observations(), OPTIONS, by_frame=b).log_focal[0] for b in (False, True))
    assert plain <= by_frame < 1.3 * plain


def test_parts_of_the_gradient_by_frame_and_by_track_have_one_sum() -> None:
    scene = make_scene("orbit", n_frames=6, n_points=60, noise_px=1.0, rng=np.random.default_rng(2))
    state, observations = scene.state(), scene.observations()
    s = structure(observations, len(state.R), len(state.X))
    lin = linearise(state, observations)
    weight = robust_weight(lin.residual, OPTIONS.cauchy)
    by_shared = OPTIONS.by_shared(lin, observations.camera)
    eq = assemble(lin, weight, by_shared, s)
    V_inverse = reduce(eq, s, observations, 0.0).V_inverse
    tracks, frames = (f(lin, weight, by_shared, eq, V_inverse, observations) for f in (_scores, _frame_scores))
    assert frames.shape == (6, tracks.shape[1])
    assert frames.sum(axis=0) == pytest.approx(tracks.sum(axis=0), abs=1e-8 * np.abs(tracks).sum())
    assert np.abs(frames).max() > 0


@pytest.mark.parametrize("kind", ["rotation", "position"])
def test_poses(kind: str, independent: Trials, correlated: Trials) -> None:
    z = getattr(independent, kind)
    assert_calibrated(z)
    each = np.sqrt((z**2).mean(axis=0))  # of each camera and axis
    assert each.min() > 0.6 and each.max() < 1.4
    # errors that belong to the tracks move the points and spare the poses: the larger of two variances is too shy
    assert_calibrated(getattr(correlated, kind), (0.45, 1.2))


# --- the gauge --------------------------------------------------------------------------------------


def in_another_world(scene: Scene, scale: float, Q: Array, shift: Array) -> tuple[State, Observations]:
    """The same pictures, in a world with x' = scale Q x + shift."""
    state = scene.state()
    R = state.R @ Q.T
    points = scale * scene.points @ Q.T + shift
    X = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    t = scale * state.t - np.einsum("fij,j->fi", R, shift)
    return replace(state, R=R, t=t, X=X / np.linalg.norm(X, axis=1, keepdims=True)), scene.observations()


def deviations_in(scale: float, Q: Array, shift: Array) -> Deviations:
    scene = make_scene("orbit", n_frames=9, n_points=110, k1=-0.1, noise_px=0.3, rng=np.random.default_rng(5))
    state, observations = in_another_world(scene, scale, Q, shift)
    return deviations(state, observations, OPTIONS)


@pytest.mark.parametrize("scale", [1.0, 100.0, 0.01])
def test_the_lens_does_not_depend_on_the_world(scale: float) -> None:
    plain = deviations_in(1.0, np.eye(3), np.zeros(3))
    moved = deviations_in(scale, rotation_matrix(np.array([0.3, -1.2, 0.5])), np.array([3.0, -2.0, 5.0]) * scale)
    assert moved.lens == pytest.approx(plain.lens, rel=0.02)  # a world far from unit size costs digits


def test_poses_turn_with_the_world() -> None:
    Q = rotation_matrix(np.array([0.0, 0.0, np.pi / 2]))
    plain, turned = deviations_in(1.0, np.eye(3), np.zeros(3)), deviations_in(1.0, Q, np.zeros(3))
    assert turned.rotation == pytest.approx(plain.rotation, rel=1e-4)
    assert turned.position[:, [1, 0, 2]] == pytest.approx(plain.position, rel=1e-4)


@pytest.mark.parametrize("scale", [10.0, 0.1])
def test_positions_scale_with_the_world(scale: float) -> None:
    plain, scaled = deviations_in(1.0, np.eye(3), np.zeros(3)), deviations_in(scale, np.eye(3), np.zeros(3))
    # inner constraints weigh radians against scene units, so only nearly
    assert scaled.position == pytest.approx(scale * plain.position, rel=0.3)


def test_gauge_directions_change_no_picture() -> None:
    scene = make_scene("handheld", n_frames=6, n_points=80, noise_px=0.0, rng=np.random.default_rng(6))
    state, observations = scene.state(), scene.observations()
    lin = linearise(state, observations)
    G = gauge_directions(state, 2)
    assert np.allclose(G.T @ G, np.eye(7), atol=1e-12) and not G[-2:].any()
    change = np.einsum("nij,njg->nig", lin.by_pose, G[:-2].reshape(-1, 6, 7)[observations.camera])
    for point in range(len(state.X)):  # the points can follow every one of them
        rows = observations.point == point
        J = lin.by_point[rows].reshape(-1, 3)
        side = change[rows].reshape(-1, 7)
        left = side - J @ np.linalg.lstsq(J, side, rcond=None)[0]
        assert np.abs(left).max() < 1e-8 * np.abs(side).max()


def test_what_is_held_has_no_deviation_and_a_prior_narrows() -> None:
    scene = make_scene("orbit", n_frames=9, n_points=110, noise_px=0.3, rng=np.random.default_rng(7))
    observations = scene.observations()
    found = deviations(scene.state(), observations, OPTIONS)
    assert found.lens[[0, 3]].all() and not found.lens[[1, 2, 4, 5]].any()
    sd = np.append(found.lens[0], np.full(7, np.inf))
    options = replace(OPTIONS, priors=Priors(lens_mean=scene.state().lens, lens_sd=sd))
    assert deviations(scene.state(), observations, options).lens[0] == pytest.approx(found.lens[0] / 2**0.5, rel=0.1)


def test_evidence_points_to_the_optimum() -> None:
    scene = make_scene("orbit", n_frames=9, n_points=110, k1=-0.1, noise_px=0.3, rng=np.random.default_rng(8))
    observations = scene.observations()
    held = replace(OPTIONS, free_lens=(0,))
    start = scene.state()
    start.lens[3] = -0.09
    at = adjust(start, observations, held).state
    step, sd = deviations(at, observations, OPTIONS).evidence.of(OPTIONS.free_lens)
    best = adjust(at, observations, OPTIONS).state
    assert step[3] == pytest.approx(best.lens[3] - at.lens[3], rel=0.1, abs=0.1 * sd[3])
    assert abs(deviations(best, observations, OPTIONS).evidence.of(OPTIONS.free_lens)[0][3]) < 0.1 * sd[3]


def test_evidence_of_few_parameters_is_what_they_have_alone() -> None:
    scene = make_scene("orbit", n_frames=9, n_points=110, k1=-0.1, noise_px=0.3, rng=np.random.default_rng(9))
    observations = scene.observations()
    start = scene.state()
    start.lens[[0, 3]] += [3.0, 0.01]
    alone = deviations(start, observations, OPTIONS)
    among = deviations(start, observations, replace(OPTIONS, free_lens=(0, 1, 2, 3, 4, 5)))
    step, sd = among.evidence.of(OPTIONS.free_lens)
    np.testing.assert_allclose(sd, alone.lens, rtol=1e-5)
    np.testing.assert_allclose(step, alone.evidence.of(OPTIONS.free_lens)[0], rtol=1e-5)
    assert (sd[[0, 3]] < among.lens[[0, 3]]).all()


def test_a_point_that_nearly_touches_a_camera_makes_nothing_certain() -> None:
    scene = make_scene("dolly", n_frames=9, n_points=110, noise_px=0.3, rng=np.random.default_rng(10))
    observations, state = scene.observations(), scene.state()
    seen = replace(
        observations,
        camera=np.append(observations.camera, [0, 0]),
        point=np.append(observations.point, [len(state.X)] * 2),
        xy=np.vstack([observations.xy, [scene.lens[1:3]] * 2]),
        whitening=np.concatenate([observations.whitening, observations.whitening[:2]]),
    )

    def with_point(distance: float) -> Deviations:
        """One more point, before the first camera, which alone sees it: that tells nothing of anything."""
        place = np.append(-state.R[0].T @ state.t[0] + distance * state.R[0][2], 1.0)
        return deviations(replace(state, X=np.vstack([state.X, place / np.linalg.norm(place)])), seen, OPTIONS)

    far, near = with_point(2.0), with_point(1e-5)
    # seventy times as certain where what keeps such a point's equations solvable was that of all points
    assert near.log_focal[0] > 0.5 * far.log_focal[0]
    assert (near.position[2:] > 0.5 * far.position[2:]).all()
