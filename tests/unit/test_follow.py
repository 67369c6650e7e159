"""Tracks through whole clips of exactly known pictures."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.errors import Cancelled, SceneCut, TooFewTracks
from solver.progress import Progress
from solver.tracking.follow import TrackOptions, follow
from solver.types import Tracks
from tests.pictures import Array32, affine, back, frames, noise_texture, noisy, picture

Array = NDArray[np.float64]
SIZE, N_FRAMES = (320, 240), 14
OPTIONS = TrackOptions(count=250)
WARPS = [affine((-3.3 * i, 1.2 * i), 0.4 * i, 1 + 0.006 * i, (160, 120)) for i in range(N_FRAMES)]


@pytest.fixture(scope="module")
def texture() -> Array32:
    return noise_texture(np.random.default_rng(1), 420, 320)


@pytest.fixture(scope="module")
def clip(texture: Array32) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(2)
    return [noisy(picture(texture, warp, SIZE), 1.0, rng) for warp in WARPS]


@pytest.fixture(scope="module")
def tracks(clip: list[NDArray[np.uint8]]) -> Tracks:
    return follow(frames(clip), N_FRAMES, OPTIONS)


def on_surface(tracks: Tracks, warps: list[Array]) -> Array:
    """Where on the surface each observation lies, in pixels of the first picture."""
    out = np.empty_like(tracks.xy)
    for i, warp in enumerate(warps):
        rows = tracks.frame == i
        out[rows] = back(warp, tracks.xy[rows])
    return out


def from_mean(tracks: Tracks, place: Array) -> Array:
    length = np.bincount(tracks.track)
    mean = np.stack([np.bincount(tracks.track, weights=place[:, i]) / length for i in (0, 1)], axis=1)
    return np.asarray((place - mean[tracks.track]) * np.sqrt(length / (length - 1))[tracks.track][:, None])


def test_tracks_are_in_the_promised_order(tracks: Tracks) -> None:
    step, length = np.diff(tracks.track), np.bincount(tracks.track)
    assert ((step == 0) | (step == 1)).all() and (np.diff(tracks.frame)[step == 0] > 0).all()
    assert tracks.n_tracks > 150 and length.min() >= OPTIONS.least_length and length.max() == N_FRAMES
    per_frame = np.bincount(tracks.frame, minlength=N_FRAMES)
    assert per_frame.min() > 100


def test_observations_stay_on_their_point_of_the_surface(tracks: Tracks) -> None:
    off = from_mean(tracks, on_surface(tracks, WARPS))
    assert np.sqrt((off**2).mean()) < 0.05
    assert np.percentile(np.linalg.norm(off, axis=1), 99) < 0.2
    # no drift: what is gained from the first to the last frame of a track
    long = np.flatnonzero(np.bincount(tracks.track) == N_FRAMES)
    first, last = (np.isin(tracks.track, long) & (tracks.frame == i) for i in (0, N_FRAMES - 1))
    drift = off[last] - off[first]
    assert np.abs(np.median(drift, axis=0)).max() < 0.03 and len(long) > 40


def test_stated_deviations_hold(texture: Array32) -> None:
    rng = np.random.default_rng(3)
    grainy = [noisy(picture(texture, warp, SIZE), 8.0, rng) for warp in WARPS]
    tracks = follow(frames(grainy), N_FRAMES, OPTIONS)
    off = from_mean(tracks, on_surface(tracks, WARPS))
    stated = np.sqrt(np.einsum("nii->n", tracks.covariance) / 2)
    z = off / stated[:, None]
    assert 0.6 < 1.4826 * np.median(np.abs(z)) < 1.5
    assert tracks.n_tracks > 120


def test_grain_is_smoothed_away_and_nothing_else_is(texture: Array32, clip: list[NDArray[np.uint8]]) -> None:
    rng = np.random.default_rng(4)
    coarse = cv2.GaussianBlur(texture, (0, 0), 1.5)
    coarse = coarse.mean() + 0.3 * (coarse - coarse.mean())
    grainy = [noisy(picture(coarse, warp, SIZE), 9.0, rng) for warp in WARPS]
    plain = replace(OPTIONS, grain_smoothing_px=())
    found, rough = (follow(frames(grainy), N_FRAMES, options) for options in (OPTIONS, plain))
    mean_length = [len(tracks.track) / tracks.n_tracks for tracks in (found, rough)]
    error = [np.sqrt((from_mean(tracks, on_surface(tracks, WARPS)) ** 2).mean()) for tracks in (found, rough)]
    assert mean_length[0] > 1.4 * mean_length[1] and found.n_tracks > 1.4 * rough.n_tracks and error[0] < error[1]
    clear = follow(frames(clip), N_FRAMES, plain)
    assert np.array_equal(clear.xy, follow(frames(clip), N_FRAMES, OPTIONS).xy)


def test_new_tracks_begin_where_the_picture_comes_in(tracks: Tracks) -> None:
    place = on_surface(tracks, WARPS)
    last = tracks.frame == N_FRAMES - 1
    # the surface moves left and down: its right and upper parts were outside the first picture
    fresh = (place[:, 0] > SIZE[0] - 4) | (place[:, 1] < 4)
    assert fresh[last].sum() >= 3 and not fresh[tracks.frame == 0].any()


def test_grey_levels_may_be_floating(texture: Array32, tracks: Tracks) -> None:
    exact = [picture(texture, warp, SIZE) for warp in WARPS]
    found = follow(frames(exact), N_FRAMES, OPTIONS)
    off = from_mean(found, on_surface(found, WARPS))
    assert np.sqrt((off**2).mean()) < 0.045 and found.n_tracks > 0.8 * tracks.n_tracks


def test_light_that_changes_is_followed(texture: Array32) -> None:
    gain = 1 - 0.035 * np.arange(N_FRAMES)
    rng = np.random.default_rng(4)
    fading = [noisy(g * picture(texture, warp, SIZE) + 8, 1.0, rng) for g, warp in zip(gain, WARPS, strict=True)]
    found = follow(frames(fading), N_FRAMES, OPTIONS)
    off = from_mean(found, on_surface(found, WARPS))
    assert np.sqrt((off**2).mean()) < 0.06
    assert (np.bincount(found.track) == N_FRAMES).sum() > 40


def test_a_point_that_is_covered_is_not_followed_further(texture: Array32) -> None:
    other = noise_texture(np.random.default_rng(7), 420, 320)
    still = affine()
    pictures = []
    for i in range(N_FRAMES):
        pixels = picture(texture, still, SIZE)
        right = 12 * i  # a curtain from the left, with a pattern of its own
        pixels[:, :right] = picture(other, affine((right - 320.0, 0)), SIZE)[:, :right]
        pictures.append(noisy(pixels, 1.0, np.random.default_rng(i)))
    found = follow(frames(pictures), N_FRAMES, OPTIONS)
    edge = 12.0 * found.frame
    started = np.flatnonzero(np.append(True, np.diff(found.track) > 0))
    behind = (found.xy[started, 0] > edge[started] + 8)[found.track]  # began on the still surface
    assert behind.any()
    assert not (behind & (found.xy[:, 0] < edge - 8)).any()
    # and none of them was carried along
    travelled = np.abs(found.xy[:, 0] - found.xy[started, 0][found.track])
    assert np.percentile(travelled[behind], 99.5) < 1.0


def test_a_pattern_that_changes_ends_the_track(texture: Array32) -> None:
    other = noise_texture(np.random.default_rng(8), 420, 320)
    share = np.clip((np.arange(N_FRAMES) - 3) / 6, 0, 1)  # a slow dissolve, which frame-to-frame tracking would survive
    pictures = [
        noisy(
            (1 - s) * picture(texture, affine(), SIZE) + s * picture(other, affine(), SIZE),
            1.0,
            np.random.default_rng(i),
        )
        for i, s in enumerate(share)
    ]
    found = follow(frames(pictures), N_FRAMES, OPTIONS)
    from_start = np.unique(found.track[found.frame < 2])
    assert len(from_start) > 80
    ends = np.array([found.frame[found.track == track].max() for track in from_start])
    assert (ends >= 9).mean() < 0.08  # nothing of the first picture is left from frame 9 on


def test_a_cut_is_named(texture: Array32) -> None:
    other = noise_texture(np.random.default_rng(9), 420, 320)
    pictures = [
        noisy(picture(texture if i < 6 else other, WARPS[i], SIZE), 1.0, np.random.default_rng(i)) for i in range(12)
    ]
    with pytest.raises(SceneCut) as caught:
        follow(frames(pictures), 12, OPTIONS)
    assert caught.value.frame == 7  # numbers begin at 1


def test_a_blank_wall_has_nothing_to_follow() -> None:
    rng = np.random.default_rng(10)
    pictures = [noisy(np.full((240, 320), 120, np.float32), 0.4, rng) for _ in range(5)]
    with pytest.raises(TooFewTracks, match="texture"):
        follow(frames(pictures), 5, OPTIONS)


def test_progress_and_cancel(clip: list[NDArray[np.uint8]]) -> None:
    seen: list[float] = []

    def report(fraction: float, message: str) -> None:
        del message
        seen.append(fraction)
        if len(seen) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        follow(frames(clip), N_FRAMES, OPTIONS, Progress(report))
    assert seen == pytest.approx([(i + 1) / N_FRAMES for i in range(4)])


def test_covariances_turn_with_the_pictures_axes() -> None:
    """A texture of streaks is known across them: 30 degrees further in a picture that is turned so far."""
    streaks = noise_texture(np.random.default_rng(11), 420, 320)
    wide = np.repeat(streaks[:, ::6], 6, axis=1)[:, : streaks.shape[1]]
    wide = cv2.GaussianBlur(wide, (0, 0), 12, sigmaY=2.5)
    axes = []
    for angle in (0.0, 30.0):
        warps = [affine((0.7 * i, 0.4 * i), angle, 1.0, (160, 120)) for i in range(6)]
        pictures = [noisy(picture(wide, warp, SIZE), 2.0, np.random.default_rng(i)) for i, warp in enumerate(warps)]
        found = follow(frames(pictures), 6, OPTIONS)
        mean = np.median(found.covariance, axis=0)
        values, vectors = np.linalg.eigh(mean)
        assert values[1] > 1.5 * values[0]
        axes.append(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])) % 180)
    assert (axes[1] - axes[0]) % 180 == pytest.approx(30, abs=6)
