"""How well directions explain the segments of a picture.

Lengths in the picture are in units of its longer side S, from the principal point; phi = focal_px / S. A direction d
(camera axes) vanishes at phi d_xy / d_z, so from a middle m the vanishing point lies along g = phi d_xy - d_z m. The
error of a segment is the angle a between it and g, at its middle: the middle and the angle of a fitted line have
independent errors, so its variance is s^2 = angle_sd^2 + (offset_sd d_z / |g|)^2 + tau^2, where tau is how far things
that are called parallel are from it.

A segment belongs to one of the directions, a following Student's distribution of scale s (things are nearly parallel
more often than the normal distribution knows), or to none, with its angle anywhere in (-pi/2, pi/2). The log-likelihood
of this mixture is counted from that of "none for all": what a picture without directions has is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from .segments import Segments

Array = NDArray[np.float64]

# of Student's distribution
FREEDOM = 3.0
_T_SCALE = float(np.pi * np.exp(gammaln((FREEDOM + 1) / 2) - gammaln(FREEDOM / 2)) / np.sqrt(FREEDOM * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Segments in the units of this module.

    Attributes
    ----------
    middle, direction : ndarray of shape (N, 2)
    angle_sd, offset_sd : ndarray of shape (N,)
    """

    middle: Array
    direction: Array
    angle_sd: Array
    offset_sd: Array

    def __len__(self) -> int:
        return len(self.angle_sd)

    @classmethod
    def of(cls, segments: Segments, principal_point: Array, side: float) -> Lines:
        """Lines of segments, for a picture whose longer side is `side` pixels."""
        return cls(
            middle=(segments.middle - principal_point) / side,
            direction=segments.direction,
            angle_sd=segments.angle_sd,
            offset_sd=segments.offset_sd / side,
        )

    @classmethod
    def joined(cls, parts: Sequence[Lines]) -> Lines:
        """All lines of several."""
        return cls(
            middle=np.concatenate([part.middle for part in parts]),
            direction=np.concatenate([part.direction for part in parts]),
            angle_sd=np.concatenate([part.angle_sd for part in parts]),
            offset_sd=np.concatenate([part.offset_sd for part in parts]),
        )

    def select(self, which: NDArray[np.int64]) -> Lines:
        """The lines of some indices."""
        return Lines(
            middle=self.middle[which],
            direction=self.direction[which],
            angle_sd=self.angle_sd[which],
            offset_sd=self.offset_sd[which],
        )

    def about(self, centre: Array) -> Lines:
        """The same lines from another principal point (2,)."""
        return replace(self, middle=self.middle - centre) if centre.any() else self

    @property
    def homogeneous(self) -> Array:
        """l (N, 3) with l . (x, y, 1) = 0 on the line and a unit normal."""
        normal = np.stack([-self.direction[:, 1], self.direction[:, 0]], axis=1)
        return np.concatenate([normal, -(normal * self.middle).sum(axis=1, keepdims=True)], axis=1)


def vanishing_of(directions: Array, phi: Array | float) -> Array:
    """Homogeneous vanishing points (..., 3) of directions (..., 3)."""
    return directions * np.stack(np.broadcast_arrays(phi, phi, 1.0), axis=-1)


def errors(lines: Lines, vanishing: Array) -> tuple[Array, Array]:
    """Angles (..., N), radians, between lines and the way to vanishing points (..., 3), and their variances (..., N),
    without tau."""
    return errors_each(lines, vanishing[..., None, :])


def errors_each(lines: Lines, vanishing: Array) -> tuple[Array, Array]:
    """As `errors`, each line with a vanishing point of its own: (..., N, 3)."""
    v = vanishing
    gx, gy = v[..., 0] - v[..., 2] * lines.middle[:, 0], v[..., 1] - v[..., 2] * lines.middle[:, 1]
    square = np.maximum(gx * gx + gy * gy, 1e-12)
    ux, uy = lines.direction[:, 0], lines.direction[:, 1]
    # a line has no sense: the angle is known modulo pi
    sine = (ux * gy - uy * gx) * np.where(ux * gx + uy * gy < 0, -1.0, 1.0) / np.sqrt(square)
    return np.arcsin(np.clip(sine, -1, 1)), lines.angle_sd**2 + lines.offset_sd**2 * v[..., 2] ** 2 / square


def densities(lines: Lines, vanishing: Array, tau: float) -> Array:
    """Density of each line's angle (..., N) if it belongs to the vanishing point, over that of any angle (1 / pi)."""
    return densities_each(lines, vanishing[..., None, :], tau)


def densities_each(lines: Lines, vanishing: Array, tau: float) -> Array:
    """As `densities`, each line with a vanishing point of its own: (..., N, 3)."""
    a, variance = errors_each(lines, vanishing)
    variance = variance + tau**2
    return np.asarray(_T_SCALE / np.sqrt(variance) / (1 + a * a / (FREEDOM * variance)) ** (0.5 * (FREEDOM + 1)))


def log_likelihood(lines: Lines, vanishing: Array, tau: float, share: Array | float) -> Array:
    """Log-likelihood of the mixture, over that of none for all.

    Parameters
    ----------
    lines : Lines
    vanishing : ndarray of shape (..., K, 3)
    tau : float
        Radians.
    share : ndarray of shape (K,), or float
        Of the lines that belong to each direction; the rest belong to none.

    Returns
    -------
    ndarray of shape (...)
    """
    K = vanishing.shape[-2]
    share = np.broadcast_to(share, K)
    total = 1 - share.sum() + np.einsum("...kn,k->...n", densities(lines, vanishing, tau), share)
    return np.asarray(np.log(total).sum(axis=-1))
