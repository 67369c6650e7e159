"""How a solve begins: the choice of a pair and its relative pose."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from solver.errors import DegenerateMotion, TooFewTracks
from solver.geometry.two_view import FrameIndex, homography_residual, relative_pose
from solver.reconstruction.seed import choose_pairs
from tests.synthetic import make_scene


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def test_shared_tracks_of_two_frames() -> None:
    scene = make_scene("dolly", longest=12, rng=np.random.default_rng(1))
    index, tracks = FrameIndex(scene.tracks), scene.tracks
    pair = index.pair(5, 14)
    expected = np.intersect1d(tracks.track[tracks.frame == 5], tracks.track[tracks.frame == 14])
    assert np.array_equal(pair.tracks, expected) and 0 < len(expected) < len(np.unique(tracks.track))
    for k in range(0, len(expected), 7):
        mine = tracks.track == expected[k]
        assert np.array_equal(pair.xy_first[k], tracks.xy[mine & (tracks.frame == 5)][0])
        assert np.array_equal(pair.xy_second[k], tracks.xy[mine & (tracks.frame == 14)][0])
    assert np.array_equal(np.sort(tracks.track[index.rows(7)]), np.sort(tracks.track[tracks.frame == 7]))


def test_a_frame_without_tracks_has_no_rows() -> None:
    scene = make_scene("dolly", n_frames=12, lost=(4,), rng=np.random.default_rng(2))
    index = FrameIndex(scene.tracks)
    assert len(index.rows(4)) == 0 and len(index.pair(3, 4).tracks) == 0
    assert homography_residual(index.pair(3, 4)) == 0.0


@pytest.mark.parametrize("motion", ["dolly", "orbit", "handheld", "forward"])
@pytest.mark.parametrize("outlier_share", [0.0, 0.15])
def test_relative_pose(motion: str, outlier_share: float) -> None:
    scene = make_scene(motion, outlier_share=outlier_share, rng=np.random.default_rng(3))
    pair = FrameIndex(scene.tracks).pair(8, 32)
    a, b = ((xy - scene.lens[1:3]) / 900.0 for xy in (pair.xy_first, pair.xy_second))
    found = relative_pose(a, b, 1.5 / 900)
    assert found is not None
    R, t, inlier = found
    true_R = scene.R[32] @ scene.R[8].T
    true_t = scene.t[32] - true_R @ scene.t[8]
    assert np.degrees(Rotation.from_matrix(R @ true_R.T).magnitude()) < 1.5
    assert angle_deg(t, true_t) < 8.0 and np.linalg.norm(t) == pytest.approx(1.0)
    clean = 1 - 2 * outlier_share
    assert clean - 0.1 < inlier.mean() <= 1.0


def test_no_pose_of_too_few_points() -> None:
    rng = np.random.default_rng(4)
    a = rng.uniform(-0.4, 0.4, (7, 2))
    assert relative_pose(a, a + 0.01, 1e-3) is None


def test_parallax_is_what_a_plane_leaves() -> None:
    rng = np.random.default_rng(5)
    moving = FrameIndex(make_scene("dolly", rng=rng).tracks).pair(0, 30)
    turning = FrameIndex(make_scene("pan", rng=rng).tracks).pair(0, 15)
    assert homography_residual(moving) > 10 and homography_residual(turning) < 1.0


@pytest.mark.parametrize("motion", ["dolly", "orbit", "handheld", "forward"])
def test_the_pair_has_parallax_and_enough_tracks(motion: str) -> None:
    scene = make_scene(motion, longest=25, rng=np.random.default_rng(6))
    (pair,) = choose_pairs(FrameIndex(scene.tracks), 40)
    assert len(pair.tracks) >= 40 and pair.second - pair.first >= 5
    both = scene.points[pair.tracks]
    rays = [both - scene.centre[frame] for frame in (pair.first, pair.second)]
    assert np.median([angle_deg(u, v) for u, v in zip(*rays, strict=True)]) > 1.0


@pytest.mark.parametrize("noise_px", [0.05, 0.4])
def test_a_camera_that_only_turns_is_refused(noise_px: float) -> None:
    scene = make_scene("pan", noise_px=noise_px, rng=np.random.default_rng(7))
    with pytest.raises(DegenerateMotion, match=r"no parallax .* stands still or only turns"):
        choose_pairs(FrameIndex(scene.tracks), 40)


def test_too_few_tracks_are_refused_with_their_number() -> None:
    scene = make_scene("dolly", n_points=60, rng=np.random.default_rng(8))
    with pytest.raises(TooFewTracks) as caught:
        choose_pairs(FrameIndex(scene.tracks), 40)
    assert 0 < caught.value.found < caught.value.needed == 40
    assert str(caught.value.found) in str(caught.value)
