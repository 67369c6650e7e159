"""The last word on positions and their covariances, on patches of exactly known pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.tracking.align import make_patch, sample_warped, smooth
from solver.tracking.settle import Rows, Settled, joined, settle
from tests.pictures import affine, moved, noise_texture, noisy, picture

Array = NDArray[np.float64]
SIZE, N_FRAMES = (320, 240), 10
PATCH = make_patch(7, 3.5)
WARPS = [affine((0.43 * i, -0.31 * i), 0.5 * i, 1 + 0.004 * i, (160, 120)) for i in range(N_FRAMES)]


@pytest.fixture(scope="module")
def texture() -> NDArray[np.float32]:
    return noise_texture(np.random.default_rng(1), 340, 260)


def seen(texture: NDArray[np.float32], noise: float, off_px: float, seed: int = 3) -> tuple[Rows, Array]:
    """Patches of all frames, taken `off_px` beside where they should be, and where that is (OpenCV pixels)."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(40.3, 290, 24.7), np.arange(40.6, 210, 23.1))
    at = np.stack([x.ravel(), y.ravel()], axis=1)
    parts, true = [], []
    for i, warp in enumerate(WARPS):
        pixels = smooth(noisy(picture(texture, warp, SIZE), noise, rng), 0.35)
        where = moved(warp, at) - 0.5
        position = (where + rng.normal(scale=off_px, size=where.shape)).astype(np.float32)
        shape = np.tile(warp[:, :2].astype(np.float32), (len(at), 1, 1))
        values = sample_warped(pixels, position, shape, PATCH)
        track = np.arange(len(at))
        parts.append(
            Rows(
                track=track,
                frame=np.full(len(at), i),
                position=position,
                warp=shape,
                values=np.clip(np.rint(values), 0, 255).astype(np.uint8),
            )
        )
        true.append(where)
    rows = joined(parts)
    order = np.lexsort((rows.frame, rows.track))
    return rows.sorted(), np.concatenate(true)[order]


def from_mean(rows: Rows, error: Array) -> Array:
    """Errors less their track's mean in the first picture's axes: a track may lie anywhere on the surface."""
    to_first = np.stack([np.linalg.inv(warp[:, :2]) for warp in WARPS])[rows.frame]
    there = np.matmul(to_first, error[:, :, None])[:, :, 0]
    length = np.bincount(rows.track)
    mean = np.stack([np.bincount(rows.track, weights=there[:, i]) / length for i in (0, 1)], axis=1)
    return np.asarray((there - mean[rows.track]) * np.sqrt(N_FRAMES / (N_FRAMES - 1)))


def settled(rows: Rows) -> Settled:
    found = settle(rows, PATCH, 0.5)
    assert len(found.track) == len(rows.track)
    return found


def rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))


def test_positions_are_pulled_to_where_they_belong(texture: NDArray[np.float32]) -> None:
    rows, true = seen(texture, noise=0.0, off_px=0.15)
    before, after = from_mean(rows, rows.position - true), from_mean(rows, settled(rows).position - true)
    assert rms(before) > 0.12 and rms(after) < 0.03


def test_what_lies_right_stays(texture: NDArray[np.float32]) -> None:
    rows, true = seen(texture, noise=0.0, off_px=0.0)
    found = settled(rows)
    assert rms(from_mean(rows, found.position - true)) < 0.02
    assert np.array_equal(found.track, rows.track) and np.array_equal(found.frame, rows.frame)


@pytest.mark.parametrize("noise", [4.0, 12.0])
def test_stated_deviations_are_those_of_the_errors(texture: NDArray[np.float32], noise: float) -> None:
    rows, true = seen(texture, noise, off_px=0.05)
    found = settled(rows)
    error = from_mean(rows, found.position - true)
    stated = np.sqrt(np.einsum("nii->n", found.covariance) / 2)
    assert rms(error) > 0.02
    assert 0.6 < rms(error / stated[:, None]) < 1.6
    # and they tell the good from the bad
    order = np.argsort(stated)
    third = len(order) // 3
    assert rms(error[order[-third:]]) > 1.15 * rms(error[order[:third]])
    assert (np.linalg.eigvalsh(found.covariance) > 0).all()


def test_an_edge_is_known_across_and_not_along() -> None:
    rng = np.random.default_rng(4)
    x = np.arange(60)
    edge = np.tile(60 + 120 / (1 + np.exp(-(x - 30) / 1.5)), (60, 1)).astype(np.float32)
    eye = np.eye(2, dtype=np.float32)[None]
    parts = []
    for i in range(8):
        position = np.array([[29.5, 30.0]], np.float32)
        values = sample_warped(smooth(noisy(edge, 3.0, rng), 0.35), position, eye, PATCH)
        bytes_ = np.rint(values).astype(np.uint8)
        parts.append(Rows(track=np.zeros(1, np.int64), frame=np.array([i]), position=position, warp=eye, values=bytes_))
    found = settle(joined(parts), PATCH, 0.5)
    assert len(found.track) > 0
    assert (found.covariance[:, 1, 1] > 25 * found.covariance[:, 0, 0]).all()


def test_a_patch_of_something_else_is_dropped(texture: NDArray[np.float32]) -> None:
    rows, _ = seen(texture, noise=2.0, off_px=0.05)
    values = rows.values.copy()
    wrong = np.flatnonzero(rows.frame == 6)[::3]
    values[wrong] = np.random.default_rng(5).integers(0, 255, values[wrong].shape)
    spoilt = Rows(track=rows.track, frame=rows.frame, position=rows.position, warp=rows.warp, values=values)
    found = settle(spoilt, PATCH, 0.75)
    kept = set(zip(found.track.tolist(), found.frame.tolist(), strict=True))
    assert not any((int(rows.track[i]), 6) in kept for i in wrong)
    assert len(kept) > 0.95 * (len(rows.track) - len(wrong))


def test_light_that_changes_does_not_move_positions(texture: NDArray[np.float32]) -> None:
    rows, _ = seen(texture, noise=0.0, off_px=0.1)
    gain = np.linspace(1.0, 0.6, N_FRAMES)[rows.frame][:, None]
    lit = np.rint(rows.values * gain + 30 * (1 - gain)).astype(np.uint8)
    other = Rows(track=rows.track, frame=rows.frame, position=rows.position, warp=rows.warp, values=lit)
    assert rms(settled(other).position - settled(rows).position) < 0.02
