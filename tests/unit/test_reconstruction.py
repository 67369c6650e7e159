"""From tracks to lens and camera: seed, growth and final adjustment on scenes with known truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from solver.bundle.covariance import Deviations
from solver.errors import Cancelled, DegenerateMotion, TooFewTracks
from solver.geometry.two_view import FrameIndex
from solver.progress import Progress
from solver.reconstruction import choose
from solver.reconstruction.finish import Finished, finish, frame_deviations
from solver.reconstruction.grow import grow, keyframes
from solver.reconstruction.model import Model, new_model, normalised, whitening_of
from solver.reconstruction.seed import seed
from tests.synthetic import Scene, aligned_path_error, make_scene

Array = NDArray[np.float64]


@dataclass
class Found:
    """What a reconstruction found, beside its truth."""

    scene: Scene
    model: Model
    deviations: Deviations
    converged: bool

    @property
    def lens(self) -> Array:
        return self.model.state.lens

    @property
    def focal_percent(self) -> float:
        return float(100 * (self.lens[0] / self.scene.lens[0] - 1))

    @property
    def focal_sd_percent(self) -> float:
        return float(100 * self.deviations.lens[0] / self.scene.lens[0])

    @property
    def sigmas(self) -> float:
        return self.focal_percent / self.focal_sd_percent

    @property
    def path_percent(self) -> float:
        centre = -np.einsum("fji,fj->fi", self.model.state.R, self.model.state.t)
        return 100 * aligned_path_error(self.scene, centre, self.model.posed)

    @property
    def rotation_deg(self) -> float:
        """Largest error of the turn from the first posed frame to another."""
        posed = np.flatnonzero(self.model.posed)
        found, true = self.model.state.R[posed], self.scene.R[posed]
        off = (found @ found[0].T) @ (true @ true[0].T).transpose(0, 2, 1)
        return float(np.degrees(Rotation.from_matrix(off).magnitude().max()))


def start(scene: Scene) -> tuple[Model, FrameIndex]:
    """A model in which nothing is solved."""
    whitening = whitening_of(scene.tracks.covariance + 0.2**2 * np.eye(2))
    return new_model(scene.tracks, whitening, scene.size, float(max(scene.size))), FrameIndex(scene.tracks)


def reconstruct(scene: Scene, progress: Progress | None = None) -> Found:
    """As the pipeline does it."""
    model, index = start(scene)
    model = replace(seed(model, index), whitening=model.whitening)
    progress = progress or Progress()
    finished = finish(grow(model, progress.part(0.0, 0.5)), progress.part(0.5, 1.0))
    finished = replace(finished, model=normalised(finished.model))
    return Found(
        scene,
        finished.model,
        frame_deviations(finished.model, finished.frames, finished.options)[1],
        finished.converged,
    )


# focal length and its deviation (from, to), percent of the focal length, at 0.2 px noise: what each motion can tell
BOUNDS = {
    "dolly": (4.5, 0.8, 2.0),
    "orbit": (0.45, 0.08, 0.2),
    "handheld": (1.0, 0.15, 0.6),
    "forward": (1.2, 0.15, 0.5),
}


def assert_good(found: Found, motion: str) -> None:
    largest, sd_from, sd_to = BOUNDS[motion]
    assert found.model.posed.all()
    assert sd_from < found.focal_sd_percent < sd_to
    assert abs(found.focal_percent) < largest and abs(found.sigmas) < 3.5
    assert abs(found.lens[3] - found.scene.lens[3]) < 4 * found.deviations.lens[3]
    assert found.path_percent < 0.25 and found.rotation_deg < 0.35


@pytest.mark.parametrize("motion", BOUNDS)
@pytest.mark.parametrize("k1", [0.0, -0.2])
def test_motions(motion: str, k1: float) -> None:
    scene = make_scene(motion, k1=k1, longest=25, rng=np.random.default_rng(10))
    assert_good(reconstruct(scene), motion)


@pytest.mark.parametrize(("motion", "number"), [(motion, n) for motion in BOUNDS for n in (16, 18)])
def test_a_tenth_of_the_observations_is_wrong(motion: str, number: int) -> None:
    scene = make_scene(motion, k1=-0.1, outlier_share=0.1, longest=25, rng=np.random.default_rng(number))
    found = reconstruct(scene)
    assert_good(found, motion)
    kept = found.model.rows(found.model.posed)
    far = scene.outlier & (np.linalg.norm(scene.tracks.xy - scene.true_xy, axis=1) > 6)
    assert kept[far].mean() < 0.02 and kept[~scene.outlier].mean() > 0.93


def test_reported_deviations_of_the_focal_length_hold() -> None:
    z = []
    for number in range(12):
        scene = make_scene("orbit", n_frames=20, n_points=220, k1=-0.1, rng=np.random.default_rng(100 + number))
        z.append(reconstruct(scene).sigmas)
    assert (np.abs(z) < 2).mean() >= 0.83
    assert 0.5 < np.sqrt(np.mean(np.square(z))) < 1.5


def test_noise_is_told_from_the_residuals_and_not_from_what_the_tracks_claim() -> None:
    scene = make_scene("orbit", n_frames=20, n_points=220, noise_px=0.2, rng=np.random.default_rng(3))
    honest = reconstruct(scene)
    claimed = replace(scene, tracks=replace(scene.tracks, covariance=scene.tracks.covariance / 16))
    assert reconstruct(claimed).focal_sd_percent == pytest.approx(honest.focal_sd_percent, rel=0.05)


def test_a_frame_in_which_everything_is_lost_ends_the_solve_there() -> None:
    scene = make_scene("orbit", lost=(30,), rng=np.random.default_rng(5))
    found = reconstruct(scene)
    assert found.model.posed.tolist() == [True] * 30 + [False] * 10
    assert found.path_percent < 0.25 and abs(found.sigmas) < 3.5


def test_frames_that_are_lost_at_the_ends() -> None:
    scene = make_scene("orbit", lost=(0, 1, 39), rng=np.random.default_rng(6))
    found = reconstruct(scene)
    assert found.model.posed.tolist() == [False] * 2 + [True] * 37 + [False]
    assert found.path_percent < 0.25


def test_an_off_centre_principal_point_is_found() -> None:
    scene = make_scene("orbit", n_points=500, noise_px=0.1, longest=25, rng=np.random.default_rng(7))
    moved = replace(scene, tracks=replace(scene.tracks, xy=scene.tracks.xy + np.array([60.0, 0.0])))
    found = reconstruct(moved)
    assert abs(found.lens[1] - 540.0) < 4 and 0.05 < found.deviations.lens[1] < 2
    # where it is in the middle, it is held there
    assert np.array_equal(reconstruct(scene).lens[1:3], scene.lens[1:3])


def test_a_camera_that_only_turns_is_refused() -> None:
    model, index = start(make_scene("pan", rng=np.random.default_rng(8)))
    with pytest.raises(DegenerateMotion, match="only turns"):
        seed(model, index)


def chosen(scene: Scene) -> Finished:
    """The camera that evidence chooses."""
    times = np.arange(scene.tracks.n_frames, dtype=np.float64)
    return choose.reconstruct(scene.tracks, scene.size, times, Progress())


@pytest.mark.parametrize("k1", [0.0, -0.2])
def test_a_camera_that_only_turns_is_nodal(k1: float) -> None:
    scene = make_scene("pan", k1=k1, rng=np.random.default_rng(8))
    found = chosen(scene)
    assert found.model.nodal and not found.model.zooms and found.model.posed.all()
    assert not found.model.state.t.any() and not found.model.state.X[found.model.placed, 3].any()
    _, sd = frame_deviations(found.model, found.frames, found.options)
    assert np.abs(np.log(found.model.state.focal_px / scene.lens[0])).max() < 3 * sd.log_focal.max() < 0.01
    turn = found.model.state.R @ found.model.state.R[0].T @ (scene.R @ scene.R[0].T).transpose(0, 2, 1)
    assert np.degrees(np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))).max() < 0.05


@pytest.mark.parametrize("motion", ["dolly", "orbit"])
def test_a_camera_that_moves_with_a_constant_lens_is_just_that(motion: str) -> None:
    found = chosen(make_scene(motion, rng=np.random.default_rng(9)))
    assert not found.model.nodal and not found.model.zooms


def test_a_zoom_is_found_and_followed() -> None:
    scene = make_scene("orbit", n_frames=30, n_points=300, rng=np.random.default_rng(12))
    factor = np.exp(0.5 * np.sin(np.linspace(-1.2, 1.2, 30)) ** 2)
    centre = scene.lens[1:3]
    # without distortion a longer lens is a larger picture
    tracks = replace(scene.tracks, xy=centre + (scene.tracks.xy - centre) * factor[scene.tracks.frame][:, None])
    found = chosen(replace(scene, tracks=tracks))
    assert found.model.zooms and not found.model.nodal
    assert np.abs(found.model.state.focal_px / (scene.lens[0] * factor) - 1).max() < 0.02


def test_too_few_tracks_are_refused() -> None:
    model, index = start(make_scene("dolly", n_points=50, rng=np.random.default_rng(9)))
    with pytest.raises(TooFewTracks, match="points can be followed"):
        seed(model, index)


def test_the_same_tracks_give_the_same_solve() -> None:
    scene = make_scene("orbit", n_frames=20, n_points=220, outlier_share=0.05, rng=np.random.default_rng(11))
    first, second = reconstruct(scene), reconstruct(scene)
    assert np.array_equal(first.lens, second.lens) and np.array_equal(first.model.state.t, second.model.state.t)


def test_progress_rises_and_cancels() -> None:
    scene = make_scene("orbit", n_frames=20, n_points=220, rng=np.random.default_rng(12))
    seen: list[float] = []
    reconstruct(scene, Progress(lambda fraction, _: seen.append(fraction)))
    assert len(seen) > 5 and seen == sorted(seen) and seen[-1] == pytest.approx(1.0)
    for limit in (0.0, 0.6):  # while it grows, while it finishes

        def report(fraction: float, message: str, limit: float = limit) -> None:
            del message
            if fraction > limit:
                raise Cancelled

        with pytest.raises(Cancelled):
            reconstruct(scene, Progress(report))


@pytest.mark.parametrize(("n", "count"), [(50, 10), (7, 10), (1, 3), (41, 40)])
def test_keyframes(n: int, count: int) -> None:
    posed = np.zeros(60, dtype=bool)
    posed[5 : 5 + n] = True
    chosen = np.flatnonzero(keyframes(posed, count))
    assert len(chosen) == min(n, count) and chosen[0] == 5 and chosen[-1] == 4 + n
    assert np.ptp(np.diff(chosen), axis=0) <= 1 if len(chosen) > 1 else True
