"""Radial Brown-Conrady distortion.

distorted = undistorted (1 + k1 r^2 + k2 r^4 + k3 r^6) with r the undistorted radius in normalised coordinates
(Brown, Decentering distortion of lenses, 1966). It is Blender's polynomial model with the same coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import LensModel

_NEWTON_STEPS = 25


@dataclass(frozen=True, kw_only=True)
class BrownConradyLens(LensModel):
    """Radial distortion with up to three coefficients.

    Attributes
    ----------
    size : (int, int)
        Width and height of the picture, pixels.
    principal_point : ndarray of shape (2,), pixels
    k : ndarray of shape (3,)
        k1, k2, k3; zero where not estimated.

    Raises
    ------
    ValueError
        If a shape is wrong or a value is not finite.
    """

    size: tuple[int, int]
    principal_point: NDArray[np.float64]
    k: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, shape in (("principal_point", (2,)), ("k", (3,))):
            value = getattr(self, name)
            if value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite with shape {shape}, found shape {value.shape}")

    @classmethod
    def undistorted(cls, size: tuple[int, int]) -> BrownConradyLens:
        """A lens without distortion, centred on the picture."""
        return cls(size=size, principal_point=np.array([size[0] / 2, size[1] / 2]), k=np.zeros(3))

    @property
    def params(self) -> NDArray[np.float64]:
        """k1, k2, k3."""
        return self.k

    @property
    def param_names(self) -> tuple[str, ...]:
        """Names of `params`."""
        return ("k1", "k2", "k3")

    def distort(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Undistorted normalised coordinates (..., 2) to distorted ones."""
        r2 = (xy**2).sum(axis=-1, keepdims=True)
        k1, k2, k3 = self.k
        return np.asarray(xy * (1 + r2 * (k1 + r2 * (k2 + r2 * k3))))

    def undistort(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distorted normalised coordinates (..., 2) to undistorted ones.

        Newton's method on the radius, held inside the range in which the polynomial grows; a radius beyond it has no
        undistorted counterpart and gets the largest one.
        """
        if not self.k.any():
            return xy.copy()
        k1, k2, k3 = self.k
        distorted = np.sqrt((xy**2).sum(axis=-1))
        limit = self.largest_radius
        radius = np.minimum(distorted, limit)
        for _ in range(_NEWTON_STEPS):
            r2 = radius**2
            error = radius * (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) - distorted
            slope = 1 + r2 * (3 * k1 + r2 * (5 * k2 + r2 * 7 * k3))
            step = error / np.maximum(slope, 1e-3)
            radius = np.clip(radius - step, 0.0, limit)
            if np.abs(step).max(initial=0.0) < 1e-14:
                break
        scale = np.divide(radius, distorted, out=np.ones_like(radius), where=distorted > 0)
        return np.asarray(xy * scale[..., None])

    @property
    def largest_radius(self) -> float:
        """Undistorted radius up to which the distorted radius grows (infinite where it always does)."""
        k1, k2, k3 = self.k
        roots = np.roots([7 * k3, 5 * k2, 3 * k1, 1.0])  # in r^2
        real = roots[np.abs(roots.imag) < 1e-12].real
        positive = real[real > 0]
        return float(np.sqrt(positive.min())) if positive.size else float("inf")
