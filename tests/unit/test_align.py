"""Sub-pixel alignment of patches, on pictures with exactly known warps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.tracking.align import align, make_patch, make_templates, sample, smooth
from tests.pictures import affine, moved, noise_texture, noisy, picture

Array = NDArray[np.float64]
SIZE = (320, 240)
PATCH = make_patch(7, 3.5)


@pytest.fixture(scope="module")
def texture() -> NDArray[np.float32]:
    return noise_texture(np.random.default_rng(1), 340, 260)


def grid() -> Array:
    """Points of the first picture, pixels, none of them on the pixels' grid."""
    x, y = np.meshgrid(np.arange(40.3, 290, 21.7), np.arange(40.6, 210, 19.1))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def aligned_errors(
    texture: NDArray[np.float32],
    warp: Array,
    *,
    gain: float = 1.0,
    bias: float = 0.0,
    noise: float = 0.0,
    off_px: float = 0.6,
    known_warp: bool = False,
) -> tuple[Array, NDArray[np.float32]]:
    """Errors (N, 2), pixels, and correlations (N,) of patches of the first picture found in a second."""
    rng = np.random.default_rng(2)
    first, second = picture(texture, affine(), SIZE), picture(texture, warp, SIZE) * gain + bias
    if noise:
        first, second = (noisy(pixels, noise, rng).astype(np.float32) for pixels in (first, second))
    at = grid()
    true = moved(warp, at)
    templates = make_templates(smooth(first, 0.35), (at - 0.5).astype(np.float32), PATCH)
    start = (true - 0.5 + rng.uniform(-off_px, off_px, true.shape)).astype(np.float32)
    shape = np.tile(warp[:, :2] if known_warp else np.eye(2), (len(at), 1, 1)).astype(np.float32)
    found = align(smooth(second, 0.35), templates, PATCH, start, shape, 12)
    return found.position + 0.5 - true, found.correlation


def rms(error: Array) -> float:
    return float(np.sqrt((error**2).mean()))


@pytest.mark.parametrize(
    "warp",
    [
        affine((3.37, -2.61)),
        affine((1.5, 0.5)),
        affine((0.8, 2.2), angle_deg=4.0, about=(160, 120)),
        affine((-1.3, 0.4), scale=1.06, about=(160, 120)),
        affine((-1.3, 0.4), angle_deg=-3.0, scale=0.95, about=(160, 120)),
        np.array([[1.03, 0.05, -7.0], [-0.02, 0.97, 5.0]]),
    ],
    ids=["shift", "half", "turn", "nearer", "farther", "shear"],
)
def test_positions_without_noise(texture: NDArray[np.float32], warp: Array) -> None:
    error, correlation = aligned_errors(texture, warp)
    assert rms(error) < 0.045 and np.abs(error).max() < 0.2
    assert np.abs(error.mean(axis=0)).max() < 0.02  # no drift to one side
    assert correlation.min() > 0.98


def test_the_warp_is_found(texture: NDArray[np.float32]) -> None:
    warp = affine((2.0, 1.0), angle_deg=5.0, scale=1.05, about=(160, 120))
    first, second = (smooth(picture(texture, w, SIZE), 0.35) for w in (affine(), warp))
    at = grid()
    templates = make_templates(first, (at - 0.5).astype(np.float32), PATCH)
    start = (moved(warp, at) - 0.5).astype(np.float32)
    found = align(second, templates, PATCH, start, np.tile(np.eye(2, dtype=np.float32), (len(at), 1, 1)), 12)
    assert np.abs(np.median(found.warp, axis=0) - warp[:, :2]).max() < 0.005
    assert np.sqrt(((found.warp - warp[:, :2]) ** 2).mean()) < 0.02


@pytest.mark.parametrize(("gain", "bias"), [(1.35, -20.0), (0.6, 60.0)])
def test_light_that_changes_does_not_matter(texture: NDArray[np.float32], gain: float, bias: float) -> None:
    warp = affine((3.37, -2.61), angle_deg=1.0)
    plain, _ = aligned_errors(texture, warp)
    lit, correlation = aligned_errors(texture, warp, gain=gain, bias=bias)
    assert rms(lit) < 0.045 and correlation.min() > 0.98
    assert np.abs(lit - plain).max() < 0.03


def test_noise_moves_positions_as_far_as_the_texture_allows(texture: NDArray[np.float32]) -> None:
    warp = affine((3.37, -2.61))
    error = {noise: rms(aligned_errors(texture, warp, noise=noise)[0]) for noise in (2.0, 8.0, 24.0)}
    assert error[2.0] < 0.05
    assert 2 < error[24.0] / error[8.0] < 4.5  # three times the noise


def test_a_different_surface_does_not_correlate(texture: NDArray[np.float32]) -> None:
    other = noise_texture(np.random.default_rng(9), 340, 260)
    at = (grid() - 0.5).astype(np.float32)
    templates = make_templates(smooth(picture(texture, affine(), SIZE), 0.35), at, PATCH)
    eye = np.tile(np.eye(2, dtype=np.float32), (len(at), 1, 1))
    found = align(smooth(picture(other, affine(), SIZE), 0.35), templates, PATCH, at, eye, 8)
    wrong = (found.correlation > 0.75) & (np.abs(found.position - at).max(axis=1) < 3)
    assert wrong.mean() < 0.05


def test_a_patch_without_texture_stays_finite() -> None:
    flat = np.full((60, 60), 80, np.float32)
    at = np.full((1, 2), 30, np.float32)
    templates = make_templates(flat, at, PATCH)
    found = align(flat, templates, PATCH, at, np.eye(2, dtype=np.float32)[None], 8)
    assert np.isfinite(found.position).all() and np.isfinite(found.correlation).all()
    assert abs(found.correlation[0]) < 0.5


def test_many_patches_are_aligned_as_each_alone(texture: NDArray[np.float32]) -> None:
    warp = affine((1.2, 0.7), angle_deg=2.0)
    first, second = (smooth(picture(texture, w, SIZE), 0.35) for w in (affine(), warp))
    at = np.tile(grid(), (4, 1))
    start = (moved(warp, at) - 0.5).astype(np.float32)
    eye = np.tile(np.eye(2, dtype=np.float32), (len(at), 1, 1))
    templates = make_templates(first, (at - 0.5).astype(np.float32), PATCH)
    together = align(second, templates, PATCH, start, eye, 8)
    few = np.arange(len(at)) % 40 == 0
    alone = align(second, templates.select(few), PATCH, start[few], eye[few], 8)
    assert np.abs(together.position[few] - alone.position).max() < 1e-3
    assert np.abs(together.correlation[few] - alone.correlation).max() < 1e-4


def test_samples_are_bilinear_at_pixel_centres() -> None:
    ramp = np.add.outer(10 * np.arange(20), np.arange(30)).astype(np.float32)
    at = np.array([[[3.0, 4.0], [3.25, 4.5], [-5.0, 2.0]]], np.float32)
    assert sample(ramp, at)[0].tolist() == [43.0, 48.25, 20.0]


def test_the_window_weighs_the_middle_most() -> None:
    window = PATCH.window.reshape(15, 15)
    assert window.sum() == pytest.approx(1.0) and window.argmax() == 7 * 15 + 7
    assert np.allclose(window, window.T) and window[7, 7] > 5 * window[7, 0]
