"""Which kind of camera is chosen, for shots that one look does not settle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.bundle import adjust as adjusting
from solver.bundle.adjust import BundleOptions, adjust
from solver.bundle.residuals import Observations, State
from solver.errors import DegenerateMotion, SolverError, TooFewTracks
from solver.progress import Progress
from solver.reconstruction import choose
from solver.reconstruction.explore import Sketch, sketched
from solver.reconstruction.finish import Finished, frame_deviations
from solver.reconstruction.moving import find_motion
from solver.types import Tracks
from tests import synthetic
from tests.movers import Mover, with_movers
from tests.simulated.shot import random_shot
from tests.synthetic import Scene, aligned_path_error, make_scene, project, turn
from tests.unit.test_plane import wall
from tests.unit.test_reconstruction import start
from tests.unit.test_turning import about_an_axis

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]


def chosen(scene: Scene) -> Finished:
    times = np.arange(scene.tracks.n_frames, dtype=np.float64)
    return choose.reconstruct(scene.tracks, scene.size, times, Progress())


def path_percent(scene: Scene, found: Finished) -> float:
    state = found.model.state
    return 100 * aligned_path_error(scene, -np.einsum("fji,fj->fi", state.R, state.t), found.model.posed)


def filmed(scene: Scene, focal_px: Array, noise_px: float, rng: np.random.Generator) -> Scene:
    """The scene's tracks as another lens sees them in each frame (no distortion)."""
    centre = scene.lens[1:3]
    xy = centre + (scene.true_xy - centre) * (focal_px / scene.lens[0])[scene.tracks.frame][:, None]
    noisy = xy + noise_px * rng.standard_normal(xy.shape)
    return replace(scene, tracks=replace(scene.tracks, xy=noisy), true_xy=xy)


# Valleys


def squeezed(scene: Scene, factor: float) -> tuple[State, Observations]:
    """A start far along the valley: a longer lens, and all depths along z longer by as much."""
    state = scene.state()
    lens = state.lens.copy()
    lens[0] *= factor
    X, t = state.X.copy(), state.t.copy()
    X[:, 2] *= factor
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    centre = -np.einsum("fji,fj->fi", state.R, t)
    centre[:, 2] *= factor
    t = -np.einsum("fij,fj->fi", state.R, centre)
    return replace(state, X=X, t=t, lens=lens), scene.observations()


def test_bent_steps_reach_the_end_of_a_valley_and_straight_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene("dolly", n_frames=20, n_points=200, noise_px=0.1, rng=np.random.default_rng(1))
    begun, observations = squeezed(scene, 2.5)
    options = BundleOptions(free_lens=(0, 3, 4), iterations=40)
    bent = adjust(begun, observations, options)
    best = adjust(scene.state(), observations, options)
    assert bent.converged and bent.cost < best.cost + 1
    monkeypatch.setattr(adjusting, "bent", lambda step, points, *_: (step, points))
    straight = adjust(begun, observations, options)
    assert straight.cost > best.cost + 1 or straight.iterations > 1.5 * bent.iterations


# Cameras that show no parallax, and planes


@pytest.mark.parametrize(("offset", "principal"), [(0.04, None), (0.0, (468.0, 276.0))])
def test_a_pan_about_an_axis_beside_the_pupil_or_by_a_lens_off_the_middle(
    monkeypatch: pytest.MonkeyPatch, offset: float, principal: tuple[float, float] | None
) -> None:
    monkeypatch.setitem(synthetic.MOTIONS, "tripod", about_an_axis(offset))
    scene = make_scene("tripod", noise_px=0.15, principal=principal, rng=np.random.default_rng(3))
    found = chosen(scene)
    assert found.model.nodal and not found.model.zooms
    sd = max(float(found.deviations[1].log_focal[0]), found.least_log_focal_sd)
    assert abs(np.log(found.model.state.lens[0] / scene.lens[0])) < 2 * sd < 0.02


@pytest.mark.parametrize(("focal_px", "noise_px"), [(650.0, 0.25), (1900.0, 0.5)])
def test_an_orbit_before_a_wall(focal_px: float, noise_px: float) -> None:
    scene = wall(noise_px, focal_px=focal_px)
    found = chosen(scene)
    assert not found.model.nodal and not found.model.zooms
    sd = float(found.deviations[1].log_focal[0])
    assert abs(np.log(found.model.state.lens[0] / focal_px)) < 3 * sd < 0.1
    assert path_percent(scene, found) < 3


# Zooms


def test_a_zoom_from_a_tripod_while_it_pans() -> None:
    rng = np.random.default_rng(2)
    scene = make_scene("pan", n_frames=40, rng=rng)
    focal = scene.lens[0] * np.exp(0.35 * np.sin(np.linspace(-1.3, 1.3, 40)))
    found = chosen(filmed(scene, focal, 0.2, rng))
    assert found.model.nodal and found.model.zooms
    sd = frame_deviations(found.model, found.frames, found.options)[1].log_focal
    error = np.log(found.model.state.focal_px / focal)
    assert np.abs(error).max() < 0.02 and np.sqrt((error**2 / sd**2).mean()) < 3


def dolly_zoom(n: int, rng: np.random.Generator) -> tuple[Scene, Array]:
    """The camera draws nearer while the lens widens, so that the middle of the scene keeps its size."""
    scene = make_scene("forward", n_frames=n, n_points=900, rng=rng)
    centre = scene.centre.copy()
    centre[:, 0] += 1.2 * np.sin(np.linspace(0, 3, n))
    R = np.stack([turn(1, 0.1 * np.sin(s)) @ turn(0, 0.05 * np.cos(2 * s)) for s in np.linspace(0, 3, n)])
    t = -np.einsum("fij,fj->fi", R, centre)
    focal = 900.0 * (9.5 - centre[:, 2]) / (9.5 - centre[:, 2].mean())
    points = rng.uniform([-7.0, -4.0, 5.0], [7.0, 4.0, 15.0], size=(900, 3))
    rows = []
    for i in range(n):
        lens = np.array([focal[i], *scene.lens[1:]])
        xy, depth = project(R[i : i + 1], t[i : i + 1], points, lens)
        inside = ((xy[0] > 4) & (xy[0] < np.array(scene.size) - 4)).all(axis=1) & (depth[0] > 0.5)
        rows += [(p, i, *xy[0][p]) for p in np.flatnonzero(inside)]
    data = np.array(sorted(rows))
    counts = np.bincount(data[:, 0].astype(int), minlength=900)
    data = data[counts[data[:, 0].astype(int)] >= 5]
    ids, track = np.unique(data[:, 0].astype(int), return_inverse=True)
    true_xy = data[:, 2:]
    tracks = Tracks(
        track=track.astype(np.int64),
        frame=data[:, 1].astype(np.int64),
        xy=true_xy + 0.2 * rng.standard_normal(true_xy.shape),
        covariance=np.tile(0.04 * np.eye(2), (len(track), 1, 1)),
        n_frames=n,
    )
    made = replace(
        scene, R=R, t=t, points=points[ids], tracks=tracks, true_xy=true_xy, outlier=np.zeros(len(track), dtype=bool)
    )
    return made, focal


def test_a_zoom_that_no_lens_which_holds_explains_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to adjust once its focal length is held."""
    asked = []

    def nothing_left(sketch: Sketch) -> Sketch:
        asked.append(sketch)
        raise TooFewTracks("too few", 0, 1)

    monkeypatch.setattr(choose, "flattened", nothing_left)
    scene, _ = dolly_zoom(40, np.random.default_rng(3))
    found = chosen(scene)
    assert asked and found.model.zooms


def test_a_dolly_zoom() -> None:
    scene, focal = dolly_zoom(40, np.random.default_rng(3))
    found = chosen(scene)
    assert found.model.zooms and not found.model.nodal
    sd = frame_deviations(found.model, found.frames, found.options)[1].log_focal
    error = np.log(found.model.state.focal_px / focal)
    assert np.abs(error).max() < max(4 * sd.max(), 0.01) < 0.1
    assert path_percent(scene, found) < 4


@pytest.mark.parametrize("seed", [308, 320])
def test_a_dolly_zoom_that_passes_for_a_camera_that_hardly_moves(seed: int) -> None:
    shot = random_shot(seed, ("handheld zoom", "dolly zoom", "zoom"), (), largest=40)
    found = choose.reconstruct(shot.tracks, shot.size, shot.shot().frame_numbers.astype(np.float64), Progress())
    assert found.model.zooms
    frames, sd = found.deviations
    off = np.log(found.model.state.focal_px / shot.focal_px)[frames]
    # with one focal length the ends are off by 12 and 18 %, in opposite directions
    assert np.abs(off).max() < 0.04 and np.abs(off / sd.log_focal).max() < 5


def test_a_shot_that_hardly_turns_finds_its_valley_from_any_start() -> None:
    scene = make_scene("handheld", n_frames=30, longest=9, noise_px=0.3, rng=np.random.default_rng(4))
    model, index = start(scene)
    sketch = sketched(model, index, Progress())
    assert abs(np.log(sketch.model.state.lens[0] / scene.lens[0])) < 0.25


# What moves by itself


# not a dolly: what moves in a straight line beside a camera that does too looks like something at another depth
@pytest.mark.parametrize("motion", ["handheld", "orbit"])
def test_an_actor_is_left_out(motion: str) -> None:
    rng = np.random.default_rng(5)
    scene = make_scene(motion, longest=25, rng=rng)
    actor = Mover(at=(-2.5, 0.5, 6.0), to=(2.5, 0.3, 6.5), size=1.2, turn_deg=40, share=0.25)
    scene, moves = with_movers(scene, [actor], rng=rng)
    found = chosen(scene)
    kept = found.model.rows(found.model.posed)
    acted = moves[scene.tracks.track]
    # what of an actor moves along its own epipolar lines cannot be told
    assert kept[acted].mean() < 0.45 and kept[~acted].mean() > 0.9
    plain = chosen(make_scene(motion, longest=25, rng=np.random.default_rng(5)))
    off, least = (abs(np.log(f.model.state.lens[0] / scene.lens[0])) for f in (found, plain))
    sd = frame_deviations(found.model, found.frames, found.options)[1].log_focal
    assert off < max(3.5 * np.median(sd), 2 * least)
    assert path_percent(scene, found) < 3.5


def test_tracks_of_an_actor_are_told_before_anything_is_solved() -> None:
    rng = np.random.default_rng(5)
    scene = make_scene("handheld", longest=25, rng=rng)
    actor = Mover(at=(-2.5, 0.5, 6.0), to=(2.5, 0.3, 6.5), size=1.2, turn_deg=40, share=0.25)
    scene, moves = with_movers(scene, [actor], rng=rng)
    motion = find_motion(scene.tracks, scene.size)
    assert motion.still[~moves].mean() > 0.9 and motion.still[moves].mean() < 0.3


def test_nothing_but_a_crowd_is_refused() -> None:
    rng = np.random.default_rng(7)
    scene = make_scene("handheld", n_points=120, longest=25, rng=rng)
    crowd = [
        Mover(
            at=(float(rng.uniform(-5, 5)), float(rng.uniform(-2, 2)), float(rng.uniform(5, 10))),
            to=(float(rng.uniform(-5, 5)), float(rng.uniform(-2, 2)), float(rng.uniform(5, 10))),
            size=0.8,
            turn_deg=float(rng.uniform(-90, 90)),
            share=0.115,
            wave=float(rng.uniform(-1, 1)),
        )
        for _ in range(8)
    ]
    scene, moves = with_movers(scene, crowd, rng=rng)
    assert moves.mean() > 0.85
    with pytest.raises(SolverError) as caught:
        chosen(scene)
    assert isinstance(caught.value, DegenerateMotion)
    assert "moves by itself" in str(caught.value)
