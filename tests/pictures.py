"""Pictures whose every point is known: a texture seen through exact affine warps, filtered as a sensor does.

The texture is finer than the picture and smooth at its own scale, so that neither the interpolation nor the sampling
adds errors above a hundredth of a pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

TEXELS = 3.0
"""Texture pixels to a picture's pixel where a warp is the identity."""
_OVERSAMPLING = 4


@dataclass
class Frame:
    """As the footage readers give them."""

    index: int
    number: int
    pixels: NDArray[np.uint8] | NDArray[np.float32]


def noise_texture(rng: np.random.Generator, width: int, height: int) -> Array32:
    """Grey values of noise at all scales, large enough for a picture of `width` by `height` pixels."""
    total = np.zeros((int(height * TEXELS), int(width * TEXELS)), np.float32)
    for blur in (2.5, 5.0, 10.0, 20.0, 40.0):
        layer = cv2.GaussianBlur(rng.standard_normal(total.shape).astype(np.float32), (0, 0), blur)
        total += layer / layer.std()
    return np.asarray(np.clip(125 + 24 * total, 5, 250), dtype=np.float32)


def affine(
    shift: Sequence[float] = (0, 0), angle_deg: float = 0.0, scale: float = 1.0, about: Sequence[float] = (0, 0)
) -> Array:
    """(2, 3): where a point of the first picture lies, pixels, after a turn and scaling about a point and a shift."""
    c, s = scale * np.cos(np.radians(angle_deg)), scale * np.sin(np.radians(angle_deg))
    A = np.array([[c, -s], [s, c]])
    return np.column_stack([A, np.asarray(shift) + np.asarray(about) - A @ np.asarray(about)])


def moved(warp: Array, xy: Array) -> Array:
    """Points (N, 2) under a warp (2, 3)."""
    return np.asarray(xy @ warp[:, :2].T + warp[:, 2])


def back(warp: Array, xy: Array) -> Array:
    """The points that a warp brings to `xy` (N, 2)."""
    return np.asarray((xy - warp[:, 2]) @ np.linalg.inv(warp[:, :2]).T)


def picture(texture: Array32, warp: Array, size: tuple[int, int]) -> Array32:
    """The texture under a warp (2, 3) of the first picture, area-filtered to `size` (width, height)."""
    n = _OVERSAMPLING
    # texel of a fine pixel: i -> (i + 0.5) / n in the picture -> back through the warp -> TEXELS x - 0.5
    inverse = np.linalg.inv(warp[:, :2])
    A = TEXELS * inverse / n
    b = TEXELS * inverse @ (0.5 / n - warp[:, 2]) - 0.5
    fine = cv2.warpAffine(
        texture,
        np.column_stack([A, b]),
        (size[0] * n, size[1] * n),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def noisy(pixels: Array32, deviation: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """With Gaussian noise, as bytes."""
    grain = deviation * rng.standard_normal(pixels.shape)
    return np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)


def frames(pictures: Sequence[NDArray[np.uint8]] | Sequence[Array32]) -> Callable[[], Iterator[Frame]]:
    """Reads frames numbered from 1."""
    return lambda: (Frame(i, i + 1, pixels) for i, pixels in enumerate(pictures))
