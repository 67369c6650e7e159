"""Lenses whose focal length and distortion may change with time, and their projection.

Written without the solver's code: x = f g(s) u + c with u = (X/Z, Y/Z), s = |u|^2, g = 1 + k1 s + k2 s^2, and each of
f, k1, k2 a function of time. Pixel (0, 0) is the top left corner of the top left pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .paths import Array, eased

# where the distorted radius no longer grows clearly, a lens shows nothing
_LEAST_SLOPE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """A lens.

    Attributes
    ----------
    size : (int, int), pixels
    focal : callable, times (n,) to focal lengths (n,), pixels
    principal : ndarray of shape (2,), pixels
    k1, k2 : float
        At the focal length `reference`.
    reference : float, pixels
    change : float
        k1 at focal length f is k1 + change * log(f / reference).
    """

    size: tuple[int, int]
    focal: Callable[[Array], Array]
    principal: Array
    k1: float
    k2: float
    reference: float
    change: float = 0.0

    def distortion(self, time: Array) -> Array:
        """k1, k2, k3 (n, 3) at times (n,)."""
        k1 = self.k1 + self.change * np.log(self.focal(time) / self.reference)
        return np.stack([k1, np.full_like(k1, self.k2), np.zeros_like(k1)], axis=1)

    def project(self, point_cam: Array, time: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Pixels (n, 2) of points (n, 3) in the camera's frame at times (n,), and which the lens can show (n,)."""
        z = point_cam[:, 2]
        ahead = z > 1e-6
        u = point_cam[:, :2] / np.where(ahead, z, 1.0)[:, None]
        k1, k2, _ = self.distortion(time).T
        s = (u**2).sum(axis=1)
        grows = 1 + 3 * k1 * s + 5 * k2 * s**2 > _LEAST_SLOPE
        factor = self.focal(time) * (1 + k1 * s + k2 * s**2)
        return factor[:, None] * u + self.principal, ahead & grows

    def rays(self, xy: Array, time: Array) -> Array:
        """Unit rays (n, 3) in the camera's frame through pixels (n, 2) at times (n,), by Newton's method."""
        v = (xy - self.principal) / self.focal(time)[:, None]
        k1, k2, _ = self.distortion(time).T
        wanted = np.linalg.norm(v, axis=1)
        r = wanted.copy()
        for _ in range(12):
            s = r * r
            r -= (r * (1 + k1 * s + k2 * s**2) - wanted) / np.maximum(1 + 3 * k1 * s + 5 * k2 * s**2, 0.1)
        u = v * np.divide(r, wanted, out=np.ones_like(r), where=wanted > 0)[:, None]
        ray = np.concatenate([u, np.ones((len(u), 1))], axis=1)
        return np.asarray(ray / np.linalg.norm(ray, axis=1, keepdims=True))


def random_lens(size: tuple[int, int], rng: np.random.Generator, widest: float = 0.5, longest: float = 4.0) -> Lens:
    """A lens that does not zoom: focal length 0.5 to 4 times the picture's longer side, log-uniform."""
    focal = max(size) * float(np.exp(rng.uniform(np.log(widest), np.log(longest))))
    off = rng.normal(0, 0.01, 2).clip(-0.02, 0.02) if rng.uniform() < 0.4 else np.zeros(2)
    k1 = _k1(rng, size, focal)
    return Lens(
        size=size,
        focal=lambda time: np.full(len(time), focal),
        principal=np.array(size) * (0.5 + off),
        k1=k1,
        k2=float(-0.25 * k1 * rng.uniform(0, 1)),
        reference=focal,
    )


def _k1(rng: np.random.Generator, size: tuple[int, int], focal: float) -> float:
    """k1 of -0.25 to 0.1, and at most 18 % at the picture's corner."""
    most = 0.18 / (np.hypot(*size) / 2 / focal) ** 2
    return float(rng.choice([0.0, np.clip(rng.uniform(-0.25, 0.1), -most, most)], p=[0.2, 0.8]))


# how a zoom goes, share of the shot (n,) to share of the zoom (n,)
CURVES: dict[str, Callable[[Array], Array]] = {
    "even": lambda s: s,
    "eased": eased,
    "holds": lambda s: eased((s - 0.3) / 0.4),
    "crash": lambda s: eased((s - 0.42) / 0.16),
    "there and back": lambda s: np.sin(np.pi * s) ** 2,
}


def zooming(lens: Lens, n: int, ratio: float, curve: str, change: float = 0.0) -> Lens:
    """`lens` that goes to `ratio` times its focal length over `n` frames along one of `CURVES`."""
    share, first = CURVES[curve], lens.reference

    def focal(time: Array) -> Array:
        return np.asarray(first * ratio ** share(time / max(n - 1, 1)))

    return following(lens, focal, change)


def following(lens: Lens, focal: Callable[[Array], Array], change: float = 0.0) -> Lens:
    """`lens` with another focal length over time."""
    return Lens(
        size=lens.size,
        focal=focal,
        principal=lens.principal,
        k1=lens.k1,
        k2=lens.k2,
        reference=lens.reference,
        change=change,
    )
