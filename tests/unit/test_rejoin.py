"""Tracks that are lost and found again: covered and spoilt frames, missing frames, returns; and cuts, which stay cuts.

The pictures show one surface through known warps, so that every observation of a track must lie at one point of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.errors import SceneCut
from solver.footage.matte import DrawnMatte, polygon_mask
from solver.tracking.follow import TrackOptions, follow
from solver.types import Tracks
from tests.pictures import Array32, Frame, affine, back, frames, noise_texture, noisy, picture

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
SIZE, N = (320, 240), 40
OPTIONS = TrackOptions(count=250)
WARPS = [affine((-2.5 * i, 0.8 * i), 0.2 * i, 1 + 0.004 * i, (160, 120)) for i in range(N)]


@pytest.fixture(scope="module")
def texture() -> Array32:
    return noise_texture(np.random.default_rng(1), 460, 320)


@pytest.fixture(scope="module")
def other() -> Array32:
    return noise_texture(np.random.default_rng(2), 460, 320)


@pytest.fixture(scope="module")
def clip(texture: Array32) -> list[Picture]:
    rng = np.random.default_rng(3)
    return [noisy(picture(texture, warp, SIZE), 1.0, rng) for warp in WARPS]


def off_surface(tracks: Tracks, warps: list[Array]) -> Array:
    """How far each observation lies from its track's median place on the surface, pixels of the first picture."""
    place = np.concatenate([back(warps[f], xy[None]) for f, xy in zip(tracks.frame, tracks.xy, strict=True)])
    order = np.split(place, np.flatnonzero(np.diff(tracks.track)) + 1)
    return np.concatenate([np.linalg.norm(part - np.median(part, axis=0), axis=1) for part in order])


def across(tracks: Tracks, before: int, after: int) -> NDArray[np.int64]:
    """Tracks seen up to one frame and from another on."""
    return np.intersect1d(tracks.track[tracks.frame <= before], tracks.track[tracks.frame >= after])


def black(_: int) -> Picture:
    return noisy(np.full(SIZE[::-1], 5, np.float32), 1.0, np.random.default_rng(0))


def white(_: int) -> Picture:
    return noisy(np.full(SIZE[::-1], 250, np.float32), 1.0, np.random.default_rng(0))


@cache
def cloth() -> Array32:
    return noise_texture(np.random.default_rng(4), 460, 320)


def somebody(i: int) -> Picture:
    """A back with a pattern, which fills the picture and moves."""
    return noisy(picture(cloth(), affine((-6.0 * i, 0)), SIZE), 1.0, np.random.default_rng(i))


@pytest.mark.parametrize("instead", [black, white, somebody], ids=["black", "flash", "somebody's back"])
def test_frames_that_show_something_else_are_bridged(clip: list[Picture], instead: Callable[[int], Picture]) -> None:
    bad = range(15, 21)
    found = follow(frames([instead(i) if i in bad else p for i, p in enumerate(clip)]), N, OPTIONS)
    assert not np.isin(found.frame, bad).any()
    joined = across(found, 14, 21)
    assert len(joined) > 60
    rows = np.isin(found.track, joined)
    off = off_surface(found, WARPS)
    assert np.sqrt((off[rows] ** 2).mean()) < 0.06 and off[rows].max() < 0.5
    # and the tracks after are as accurate against those before as they are among themselves
    late = rows & (found.frame >= 21)
    assert np.sqrt((off[late] ** 2).mean()) < 0.07


def test_frames_that_are_lost_to_blur_are_bridged(clip: list[Picture]) -> None:
    bad = range(15, 18)
    pictures = [cv2.GaussianBlur(p, (0, 0), 12) if i in bad else p for i, p in enumerate(clip)]
    found = follow(frames(pictures), N, OPTIONS)
    assert len(across(found, 14, 18)) > 60
    assert np.percentile(off_surface(found, WARPS), 99) < 0.3


def test_somebody_walks_through(clip: list[Picture]) -> None:
    """The picture is covered from the left within six frames, and uncovered again."""
    pictures = []
    for i, pixels in enumerate(clip):
        hidden = slice(0, 0)
        if 14 <= i < 20:
            hidden = slice(0, round((i - 13) * SIZE[0] / 6))
        elif 20 <= i < 23:
            hidden = slice(0, SIZE[0])
        elif 23 <= i < 29:
            hidden = slice(round((i - 22) * SIZE[0] / 6), SIZE[0])
        covered = pixels.copy()
        covered[:, hidden] = somebody(i)[:, hidden]
        pictures.append(covered)
    found = follow(frames(pictures), N, OPTIONS)
    joined = across(found, 13, 29)
    assert len(joined) > 40
    off = off_surface(found, WARPS)
    # a track may slip once, in the frame in which it is covered
    assert np.percentile(off[np.isin(found.track, joined)], 99.5) < 0.3


@pytest.mark.parametrize("missing", [range(15, 17), range(12, 22)], ids=["two", "ten"])
def test_missing_frames_are_bridged(clip: list[Picture], missing: range) -> None:
    kept = [i for i in range(N) if i not in missing]
    found = follow(lambda: [Frame(k, i + 1, clip[i]) for k, i in enumerate(kept)], len(kept), OPTIONS)
    gap = missing.start
    joined = across(found, gap - 1, gap)
    assert len(joined) > 60
    off = off_surface(found, [WARPS[i] for i in kept])
    assert np.sqrt((off[np.isin(found.track, joined)] ** 2).mean()) < 0.06
    assert np.bincount(found.frame, minlength=len(kept)).min() > 100


def test_every_third_frame_is_missing(clip: list[Picture]) -> None:
    kept = [i for i in range(N) if i % 3 != 1]
    found = follow(lambda: [Frame(k, i + 1, clip[i]) for k, i in enumerate(kept)], len(kept), OPTIONS)
    assert np.median(np.bincount(found.track)) > 12
    assert np.sqrt((off_surface(found, [WARPS[i] for i in kept]) ** 2).mean()) < 0.06


def bad_ends(clip: list[Picture]) -> list[Picture]:
    return [black(0)] * 3 + clip[3:36] + [black(0)] * 4


def test_bad_frames_at_the_ends_are_no_cut(clip: list[Picture]) -> None:
    found = follow(frames(bad_ends(clip)), N, OPTIONS)
    per_frame = np.bincount(found.frame, minlength=N)
    assert not per_frame[:3].any() and not per_frame[36:].any() and per_frame[3:36].min() > 100


def cut_at(first: list[Picture], second: list[Picture], at: int, between: int = 0) -> list[Picture]:
    return [*first[:at], *[black(0)] * between, *second[at + between :]]


@pytest.mark.parametrize(("at", "between"), [(2, 0), (20, 0), (37, 0), (20, 4)], ids=["early", "amid", "late", "black"])
def test_a_cut_is_named_with_its_frame(clip: list[Picture], other: Array32, at: int, between: int) -> None:
    second = [noisy(picture(other, warp, SIZE), 1.0, np.random.default_rng(i)) for i, warp in enumerate(WARPS)]
    with pytest.raises(SceneCut, match=f"between frames {at} and {at + between + 1}:") as caught:
        follow(frames(cut_at(clip, second, at, between)), N, OPTIONS)
    assert caught.value.frame == at + between + 1  # numbers begin at 1


@pytest.mark.parametrize("length", [6, 14])
def test_a_dissolve_is_a_cut(clip: list[Picture], other: Array32, length: int) -> None:
    pictures = []
    for i, pixels in enumerate(clip):
        share = float(np.clip((i - 14) / length, 0, 1))
        mixed = (1 - share) * pixels + share * picture(other, WARPS[i], SIZE)
        pictures.append(noisy(mixed.astype(np.float32), 1.0, np.random.default_rng(i)))
    with pytest.raises(SceneCut) as caught:
        follow(frames(pictures), N, OPTIONS)
    assert 14 <= caught.value.frame <= 14 + length + 6


# A camera that returns

PAN = [6.5 * i for i in range(44)]
THERE_AND_BACK = [affine((-x, 0.3 * np.sin(x / 9)), 0.4 * np.sin(x / 60)) for x in [*PAN, *PAN[-2::-1]]]


@pytest.fixture(scope="module")
def pan() -> list[Picture]:
    """To the right until nothing of the first picture is seen, and back."""
    wide = noise_texture(np.random.default_rng(5), 640, 300)
    rng = np.random.default_rng(6)
    return [noisy(picture(wide, warp, (280, 200)), 1.5, rng) for warp in THERE_AND_BACK]


def test_a_camera_that_returns_finds_its_first_tracks(pan: list[Picture]) -> None:
    n = len(pan)
    found = follow(frames(pan), n, OPTIONS)
    joined = across(found, 6, n - 7)
    assert len(joined) > 60
    off = off_surface(found, THERE_AND_BACK)
    rows = np.isin(found.track, joined)
    assert np.sqrt((off[rows] ** 2).mean()) < 0.08
    # places that were left later are known again, too
    assert len(across(found, 25, n - 26)) > 150


def test_one_that_does_not_return_finds_nothing(pan: list[Picture]) -> None:
    half = len(pan) // 2
    found = follow(frames(pan[:half]), half, OPTIONS)
    long_gap = (np.diff(found.track) == 0) & (np.diff(found.frame) > 3)
    assert not long_gap.any()


# What a matte leaves out


def test_a_large_thing_that_moves_is_left_out_by_its_matte(clip: list[Picture], other: Array32) -> None:
    """It covers two thirds of the picture and goes its own way: without the matte most tracks are its own."""
    boxes = [np.array([[40 + 2 * i, 10], [250 + 2 * i, 10], [250 + 2 * i, 230], [40 + 2 * i, 230]]) for i in range(16)]
    masks = [polygon_mask([box.astype(np.float64)], SIZE) for box in boxes]
    pictures = []
    for i, mask in enumerate(masks):
        thing = noisy(picture(other, affine((2.0 * i, 0)), SIZE), 1.0, np.random.default_rng(i))
        pictures.append(np.where(mask, thing, clip[i]))
    asked = []

    def draw(number: int) -> NDArray[np.bool_]:
        asked.append(number)
        return masks[number - 1]

    plain = follow(frames(pictures), 16, OPTIONS)
    found = follow(frames(pictures), 16, OPTIONS, None, DrawnMatte(draw))
    assert asked == list(range(1, 17))
    assert np.median(off_surface(plain, WARPS)) > 2
    assert np.percentile(off_surface(found, WARPS), 99) < 0.3 and found.n_tracks > 60
    for i, mask in enumerate(masks):
        near = cv2.dilate(mask.astype(np.uint8), np.ones((2 * OPTIONS.patch_radius - 1,) * 2)).astype(bool)
        x, y = found.xy[found.frame == i].astype(int).T
        assert not near[y, x].any(), "no patch reaches into the matte"


def test_a_matte_that_covers_everything_for_a_while(clip: list[Picture]) -> None:
    nothing, everything = np.zeros(SIZE[::-1], bool), np.ones(SIZE[::-1], bool)
    matte = DrawnMatte(lambda number: everything if 15 <= number < 20 else nothing)
    found = follow(frames(clip), N, OPTIONS, None, matte)
    assert not ((found.frame >= 14) & (found.frame < 19)).any()
    assert len(across(found, 13, 19)) > 60
