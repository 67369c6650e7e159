"""Sub-pixel alignment of many patches at once to their track's first picture.

Frame-to-frame tracking drifts, and the drift is the same for a whole track, so that it biases the lens. Each
observation is therefore aligned to the patch in which its track began, by inverse compositional Gauss-Newton (Baker and
Matthews, Lucas-Kanade 20 years on, 2004, section 3.2) on an affine warp with gain and bias: with the template T on the
grid g and its steepest descent images D = [T_x, T_y, T_x g_x, T_x g_y, T_y g_x, T_y g_y, T, 1], every iteration samples
the picture at A g + p and steps by the pseudo-inverse of D, which is computed once a track.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]

_SMALLEST_STEP_PX = 0.005


def patch_grid(radius: int) -> Array32:
    """Offsets (M, 2) of a square patch, x fastest."""
    axis = np.arange(-radius, radius + 1, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def smooth(pixels: NDArray[np.generic], sigma: float) -> Array32:
    """The picture as float32 (H, W), blurred so that bilinear sampling between pixels does not pull to the grid."""
    return np.asarray(cv2.GaussianBlur(pixels.astype(np.float32, copy=False), (0, 0), sigma), dtype=np.float32)


def sample(picture: Array32, positions: Array32) -> Array32:
    """Bilinear samples (N, M) at OpenCV pixel positions (N, M, 2); the border is continued."""
    return np.asarray(
        cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
    )


@dataclass(slots=True, kw_only=True)
class Templates:
    """First patches of the tracks that live.

    Attributes
    ----------
    values : ndarray of float32, shape (N, M)
        Grey values less their mean.
    solver : ndarray of float32, shape (N, 8, M)
        Pseudo-inverse of D.
    covariance : ndarray of float32, shape (N, 2, 2)
        Of the position for one grey level of noise, pixels squared, in the template's axes.
    contrast : ndarray of float32, shape (N,)
        Standard deviation of the values.
    """

    values: Array32
    solver: Array32
    covariance: Array32
    contrast: Array32

    def select(self, keep: NDArray[np.bool_]) -> Templates:
        """The templates where `keep` is true."""
        return Templates(
            values=self.values[keep],
            solver=self.solver[keep],
            covariance=self.covariance[keep],
            contrast=self.contrast[keep],
        )

    def joined(self, other: Templates) -> Templates:
        """These and then the others."""
        return Templates(
            values=np.concatenate([self.values, other.values]),
            solver=np.concatenate([self.solver, other.solver]),
            covariance=np.concatenate([self.covariance, other.covariance]),
            contrast=np.concatenate([self.contrast, other.contrast]),
        )


def make_templates(picture: Array32, position: Array32, grid: Array32) -> Templates:
    """Templates of the patches at OpenCV positions (N, 2) in a smoothed picture (H, W)."""
    at = position[:, None, :] + grid
    half = np.float32(0.5)
    x, y = np.array([half, 0], np.float32), np.array([0, half], np.float32)
    values = sample(picture, at)
    gx = sample(picture, at + x) - sample(picture, at - x)
    gy = sample(picture, at + y) - sample(picture, at - y)
    centred = values - values.mean(axis=1, keepdims=True)
    gx_, gy_ = grid[:, 0], grid[:, 1]
    D = np.stack([gx, gy, gx * gx_, gx * gy_, gy * gx_, gy * gy_, centred, np.ones_like(gx)], axis=1)
    gram = np.matmul(D, D.transpose(0, 2, 1)).astype(np.float64)  # (N, 8, 8)
    scale = 1 / np.sqrt(np.maximum(np.einsum("nii->ni", gram), 1e-12))
    gram *= scale[:, :, None] * scale[:, None, :]
    gram += 1e-6 * np.eye(8)
    inverse = np.linalg.inv(gram) * scale[:, :, None] * scale[:, None, :]
    return Templates(
        values=centred,
        solver=np.matmul(inverse.astype(np.float32), D),
        covariance=inverse[:, :2, :2].astype(np.float32),
        contrast=np.maximum(centred.std(axis=1), 1e-3),
    )


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
    noise : ndarray of float32, shape (N,)
        RMS difference to the template after gain and bias, grey levels of the template.
    """

    position: Array32
    warp: Array32
    correlation: Array32
    noise: Array32


def align(
    picture: Array32, templates: Templates, grid: Array32, position: Array32, warp: Array32, iterations: int
) -> Alignment:
    """Align every template, starting at `position` (N, 2) and `warp` (N, 2, 2), in a smoothed picture (H, W)."""
    position, warp = position.copy(), warp.copy()
    n = len(position)
    active = np.arange(n)
    grid_t = np.ascontiguousarray(grid.T)
    for _ in range(iterations):
        values = _sample_warped(picture, position[active], warp[active], grid_t)
        # gain and bias stand in D, so the raw difference serves
        gain = templates.contrast[active] / np.maximum(values.std(axis=1), 1e-3)
        error = (values - values.mean(axis=1, keepdims=True)) * gain[:, None] - templates.values[active]
        step = np.matmul(templates.solver[active], error[:, :, None])[:, :, 0]  # (n, 8)
        shape = np.empty((len(active), 2, 2), np.float32)
        shape[:, 0, 0], shape[:, 0, 1] = 1 + step[:, 2], step[:, 3]
        shape[:, 1, 0], shape[:, 1, 1] = step[:, 4], 1 + step[:, 5]
        determinant = shape[:, 0, 0] * shape[:, 1, 1] - shape[:, 0, 1] * shape[:, 1, 0]
        ok = np.abs(determinant - 1) < 0.5
        inverse = np.empty_like(shape)
        inverse[:, 0, 0], inverse[:, 1, 1] = shape[:, 1, 1], shape[:, 0, 0]
        inverse[:, 0, 1], inverse[:, 1, 0] = -shape[:, 0, 1], -shape[:, 1, 0]
        inverse /= np.where(ok, determinant, 1)[:, None, None]
        inverse[~ok] = np.eye(2, dtype=np.float32)
        new_warp = np.matmul(warp[active], inverse)
        shift = np.matmul(new_warp, step[:, :2, None])[:, :, 0]
        warp[active] = new_warp
        position[active] -= shift
        size = np.abs(shift).max(axis=1) + 3 * np.abs(step[:, 2:6]).max(axis=1)
        active = active[(size > _SMALLEST_STEP_PX) & ok & np.isfinite(size)]
        if not len(active):
            break
    values = _sample_warped(picture, position, warp, grid_t)
    values -= values.mean(axis=1, keepdims=True)
    spread = np.maximum(values.std(axis=1), 1e-3)
    correlation = (values * templates.values).mean(axis=1) / (spread * templates.contrast)
    noise = templates.contrast * np.sqrt(np.maximum(1 - np.clip(correlation, 0, 1) ** 2, 0))
    return Alignment(position=position, warp=warp, correlation=correlation, noise=noise)


def _sample_warped(picture: Array32, position: Array32, warp: Array32, grid_t: Array32) -> Array32:
    at = np.empty((len(position), grid_t.shape[1], 2), np.float32)
    for axis in range(2):
        at[:, :, axis] = warp[:, axis, :] @ grid_t + position[:, axis : axis + 1]
    return sample(picture, at)
