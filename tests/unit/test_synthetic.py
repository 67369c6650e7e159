"""The synthetic scenes are what they say: an independent check of the ground that other tests stand on."""

from __future__ import annotations

import numpy as np
import pytest

from solver.bundle.residuals import residuals
from solver.lens import BrownConradyLens
from tests.synthetic import MOTIONS, SIZE, aligned_path_error, look_at, make_scene, project, turn


@pytest.mark.parametrize("motion", MOTIONS)
def test_tracks_without_noise_are_the_projected_points(motion: str) -> None:
    scene = make_scene(motion, k1=-0.15, noise_px=0.0, n_points=150, rng=np.random.default_rng(1))
    xy, depth = project(scene.R, scene.t, scene.points, scene.lens)
    rows = scene.tracks.frame, scene.tracks.track
    assert np.allclose(xy[rows], scene.tracks.xy, atol=1e-9) and (depth[rows] > 0.5).all()
    assert (scene.tracks.xy > 0).all() and (scene.tracks.xy < np.array(SIZE)).all()
    # the lens model of the solver, which is other code, sees the same
    lens = BrownConradyLens(size=SIZE, principal_point=scene.lens[1:3], k=scene.lens[3:])
    cam = np.einsum("nij,nj->ni", scene.R[rows[0]], scene.points[rows[1]]) + scene.t[rows[0]]
    assert np.allclose(lens.project(cam, scene.lens[0]), scene.tracks.xy, atol=1e-9)


def test_tracks_are_sorted_and_no_longer_than_asked() -> None:
    scene = make_scene("orbit", n_frames=30, longest=8, lost=(10,), rng=np.random.default_rng(2))
    tracks = scene.tracks
    assert (np.diff(tracks.track) >= 0).all() and set(np.unique(np.diff(tracks.track))) == {0, 1}
    assert (np.diff(tracks.frame)[np.diff(tracks.track) == 0] == 1).all()
    length = np.bincount(tracks.track)
    assert length.min() >= 3 and length.max() == 8
    assert not (tracks.frame == 10).any()
    # tracks end at different times, as real ones do
    ends = np.bincount(tracks.frame[np.append(np.diff(tracks.track) > 0, True)], minlength=30)
    assert (ends[10:] > 0).sum() > 15


def test_noise_has_the_deviation_that_the_tracks_state() -> None:
    scene = make_scene("dolly", noise_px=0.3, rng=np.random.default_rng(3))
    error = scene.tracks.xy - scene.true_xy
    assert 0.29 < error.std() < 0.31
    whitened = residuals(scene.state(), scene.observations())
    assert 0.97 < whitened.std() < 1.03


def test_errors_within_a_track_follow_each_other() -> None:
    scene = make_scene("dolly", noise_px=0.3, correlation=0.9, rng=np.random.default_rng(4))
    error = scene.tracks.xy - scene.true_xy
    same = np.diff(scene.tracks.track) == 0
    correlation = (error[1:][same] * error[:-1][same]).mean() / error.var()
    assert 0.85 < correlation < 0.95
    across = (error[1:][~same] * error[:-1][~same]).mean() / error.var()
    assert abs(across) < 0.1


def test_outliers_are_far_off_and_as_many_as_asked() -> None:
    scene = make_scene("dolly", outlier_share=0.1, rng=np.random.default_rng(5))
    distance = np.linalg.norm(scene.tracks.xy - scene.true_xy, axis=1)
    assert 0.08 < scene.outlier.mean() < 0.12
    assert distance[~scene.outlier].max() < 1.5 and np.median(distance[scene.outlier]) > 15


def test_cameras_are_rotations_that_look_where_they_should() -> None:
    R = look_at(np.array([1.0, -2.0, 0.5]), np.array([0.0, 0.0, 6.0]), roll=0.3)
    assert np.allclose(R @ R.T, np.eye(3)) and np.linalg.det(R) == pytest.approx(1.0)
    ahead = R @ (np.array([0.0, 0.0, 6.0]) - np.array([1.0, -2.0, 0.5]))
    assert np.allclose(ahead[:2], 0) and ahead[2] > 0
    assert np.allclose(turn(2, np.pi / 2) @ [1, 0, 0], [0, 1, 0])


def test_path_error_ignores_the_gauge_and_nothing_else() -> None:
    scene = make_scene("handheld", rng=np.random.default_rng(6))
    moved = 3.0 * scene.centre @ turn(1, 0.7).T + np.array([5.0, 1.0, -2.0])
    assert aligned_path_error(scene, moved) < 1e-9
    assert aligned_path_error(scene, moved * np.array([1.0, 1.0, 1.3])) > 0.01
