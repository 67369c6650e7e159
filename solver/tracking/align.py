"""Sub-pixel alignment of many patches at once to their track's first picture.

Frame-to-frame tracking drifts, and the drift is the same for a whole track, so that it biases the lens. Each
observation is therefore aligned to the patch in which its track began, by inverse compositional Gauss-Newton (Baker and
Matthews, Lucas-Kanade 20 years on, 2004, section 3.2) on an affine warp with gain, bias and blur: with the template T
on the grid g and D = [T_x, T_y, T_x g_x, T_x g_y, T_y g_x, T_y g_y, T, 1, T_xx, T_xy, T_yy], every iteration samples
the picture at A g + p and steps by the pseudo-inverse of D, which is computed once a track. The second derivatives are
what a little more or less blur adds to a picture, round (focus, interpolation) or along a line (motion): within a
window, which is not symmetric as the blur is, it would pass for a shift. A Gaussian window weighs the middle of the
patch most: its rim is the first to be covered by something nearer, and bends most where the surface is seen at an
angle.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]

_SMALLEST_STEP_PX = 0.005
# templates are gathered anew only when so small a share of them still moves: that takes as long as a step
_FEW = 0.6
# fewer patches are aligned before a second thread has started
_LEAST_SHARED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """The form of the patches: a square grid with a Gaussian window.

    Attributes
    ----------
    side : int
    offsets : ndarray of float32, shape (M, 2)
        From the middle, x fastest.
    window : ndarray of float32, shape (M,)
        Weights that add up to 1.
    """

    side: int
    offsets: Array32
    window: Array32

    def centred(self, values: Array32) -> Array32:
        """Values (N, M) less their weighted mean."""
        return np.asarray(values - (values @ self.window)[:, None])

    def spread(self, centred: Array32) -> Array32:
        """Weighted standard deviation (N,) of centred values (N, M); never zero."""
        return np.maximum(np.sqrt((centred * centred) @ self.window), np.float32(1e-3))


def make_patch(radius: int, window_sigma: float) -> Patch:
    """A patch of side 2 radius + 1, pixels, with a window of `window_sigma` pixels."""
    axis = np.arange(-radius, radius + 1, dtype=np.float32)
    offsets = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    window = np.exp(-(offsets**2).sum(axis=1) / (2 * window_sigma**2)).astype(np.float32)
    return Patch(side=2 * radius + 1, offsets=offsets, window=window / window.sum())


def smooth(pixels: NDArray[np.generic], sigma: float) -> Array32:
    """The picture as float32 (H, W), blurred by a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(pixels.astype(np.float32, copy=False), (0, 0), sigma), dtype=np.float32)


def as_bytes(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey levels as uint8, rounded; what is bytes already comes back as it is."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def sample(picture: Array32, positions: Array32) -> Array32:
    """Bilinear samples (N, M) at OpenCV pixel positions (N, M, 2); the border is continued."""
    return np.asarray(
        cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """First patches of the tracks that live.

    Attributes
    ----------
    values : ndarray of float32, shape (N, M)
        Grey values less their mean.
    solver : ndarray of float32, shape (N, 11, M)
        Weighted pseudo-inverse of D.
    contrast : ndarray of float32, shape (N,)
        Standard deviation of the values.
    """

    values: Array32
    solver: Array32
    contrast: Array32

    def select(self, keep: NDArray[np.bool_] | slice) -> Templates:
        """The templates of a mask or a range."""
        return Templates(values=self.values[keep], solver=self.solver[keep], contrast=self.contrast[keep])

    def joined(self, other: Templates) -> Templates:
        """These and then the others."""
        return Templates(
            values=np.concatenate([self.values, other.values]),
            solver=np.concatenate([self.solver, other.solver]),
            contrast=np.concatenate([self.contrast, other.contrast]),
        )


def make_templates(picture: Array32, position: Array32, patch: Patch) -> Templates:
    """Templates of the patches at OpenCV positions (N, 2) in a picture (H, W)."""
    at = position[:, None, :] + patch.offsets
    values = sample(picture, at)
    D = steepest_descent(values.reshape(-1, patch.side, patch.side), patch)
    centred = patch.centred(values)
    return Templates(values=centred, solver=weighted_solver(D, patch.window)[0], contrast=patch.spread(centred))


def steepest_descent(template: Array32, patch: Patch) -> Array32:
    """D (N, 11, M), as in the header, of templates (N, side, side)."""
    gy, gx = np.gradient(template, axis=(1, 2))
    gxy, gxx = np.gradient(gx, axis=(1, 2))
    gyy = np.gradient(gy, axis=1)
    flat = [part.reshape(len(template), -1) for part in (gx, gy, template, gxx, gxy, gyy)]
    gx, gy, centred, gxx, gxy, gyy = flat
    u, v = patch.offsets[:, 0], patch.offsets[:, 1]
    columns = (gx, gy, gx * u, gx * v, gy * u, gy * v, patch.centred(centred), np.ones_like(gx), gxx, gxy, gyy)
    return np.stack(columns, axis=1)


def weighted_solver(D: Array32, window: Array32) -> tuple[Array32, NDArray[np.float64]]:
    """Weighted pseudo-inverses (N, K, M) of steepest descent images (N, K, M), and (D w D^T)^-1 (N, K, K)."""
    weighted = D * window
    gram = np.matmul(weighted, D.transpose(0, 2, 1)).astype(np.float64)
    k = gram.shape[1]
    scale = 1 / np.sqrt(np.maximum(np.einsum("nii->ni", gram), 1e-12))
    gram *= scale[:, :, None] * scale[:, None, :]
    gram += 1e-6 * np.eye(k)
    inverse = np.linalg.inv(gram) * scale[:, :, None] * scale[:, None, :]
    return np.matmul(inverse.astype(np.float32), weighted), inverse


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Where the templates lie in a picture.

    Attributes
    ----------
    position : ndarray of float32, shape (N, 2), OpenCV pixels
    warp : ndarray of float32, shape (N, 2, 2)
        Picture offset = warp @ template offset.
    correlation : ndarray of float32, shape (N,)
        Normalised cross-correlation at the end.
    values : ndarray of float32, shape (N, M)
        The picture, sampled as the templates lie in it.
    """

    position: Array32
    warp: Array32
    correlation: Array32
    values: Array32


def align(
    picture: Array32,
    templates: Templates,
    patch: Patch,
    position: Array32,
    warp: Array32,
    iterations: int,
    pool: Executor | None = None,
) -> Alignment:
    """Align every template, starting at `position` (N, 2) and `warp` (N, 2, 2), in a picture (H, W).

    The patches do not know of each other, so the threads of a pool can share them: nearly all of the work lets go of
    Python's lock.
    """
    if pool is None or len(position) < _LEAST_SHARED:
        return _align(picture, templates, patch, position, warp, iterations)
    half = len(position) // 2
    parts = [slice(None, half), slice(half, None)]
    found = list(
        pool.map(
            lambda part: _align(picture, templates.select(part), patch, position[part], warp[part], iterations), parts
        )
    )
    return Alignment(
        position=np.concatenate([part.position for part in found]),
        warp=np.concatenate([part.warp for part in found]),
        correlation=np.concatenate([part.correlation for part in found]),
        values=np.concatenate([part.values for part in found]),
    )


def _align(
    picture: Array32, templates: Templates, patch: Patch, position: Array32, warp: Array32, iterations: int
) -> Alignment:
    position, warp = position.copy(), warp.copy()
    rows, moving = np.arange(len(position)), np.ones(len(position), dtype=bool)
    left = templates
    for _ in range(iterations):
        centred = patch.centred(sample_warped(picture, position[rows], warp[rows], patch))
        gain = left.contrast / patch.spread(centred)
        error = centred * gain[:, None] - left.values
        step = np.matmul(left.solver, error[:, :, None])[:, :, 0]  # (n, 11)
        shape = np.empty((len(rows), 2, 2), np.float32)
        shape[:, 0, 0], shape[:, 0, 1] = 1 + step[:, 2], step[:, 3]
        shape[:, 1, 0], shape[:, 1, 1] = step[:, 4], 1 + step[:, 5]
        determinant = shape[:, 0, 0] * shape[:, 1, 1] - shape[:, 0, 1] * shape[:, 1, 0]
        ok = np.abs(determinant - 1) < 0.5
        inverse = np.empty_like(shape)
        inverse[:, 0, 0], inverse[:, 1, 1] = shape[:, 1, 1], shape[:, 0, 0]
        inverse[:, 0, 1], inverse[:, 1, 0] = -shape[:, 0, 1], -shape[:, 1, 0]
        inverse /= np.where(ok, determinant, 1)[:, None, None]
        inverse[~ok] = np.eye(2, dtype=np.float32)
        new_warp = np.matmul(warp[rows], inverse)
        shift = np.matmul(new_warp, step[:, :2, None])[:, :, 0]
        warp[rows[moving]] = new_warp[moving]
        position[rows[moving]] -= shift[moving]
        size = np.abs(shift).max(axis=1) + 3 * np.abs(step[:, 2:6]).max(axis=1)
        moving &= (size > _SMALLEST_STEP_PX) & ok & np.isfinite(size)
        if not moving.any():
            break
        if moving.mean() < _FEW:
            rows, left, moving = rows[moving], left.select(moving), moving[moving]
    values = sample_warped(picture, position, warp, patch)
    centred = patch.centred(values)
    correlation = ((centred * templates.values) @ patch.window) / (patch.spread(centred) * templates.contrast)
    return Alignment(position=position, warp=warp, correlation=correlation, values=values)


def sample_warped(picture: Array32, position: Array32, warp: Array32, patch: Patch) -> Array32:
    """Samples (N, M) of patches at OpenCV positions (N, 2), deformed by `warp` (N, 2, 2)."""
    at = np.empty((len(position), len(patch.window), 2), np.float32)
    offsets = patch.offsets.T
    for axis in range(2):
        at[:, :, axis] = warp[:, axis, :] @ offsets + position[:, axis : axis + 1]
    return sample(picture, at)
