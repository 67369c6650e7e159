"""The one lens of a movie clip that stands for the lenses of all frames.

Blender cannot animate the lens of a clip (none of `tracking.camera` is animatable, up to 5.2), while a zoom has a focal
length f_t and distortion k_t in every frame. In pixels from the principal point, at undistorted radius r, distortion
moves a pixel by

    d_t(r) = k1_t / f_t^2 r^3 + k2_t / f_t^4 r^5 + k3_t / f_t^6 r^7,

which is linear in the coefficients of a clip with focal length F. So F is the shot's median, and the clip's k1, k2, k3
are the least squares fit to d_t(r) over all solved frames and over the area of the picture. The render camera has f_t
itself; what is left of the difference is how far Blender's undistorted footage lies beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...solver.types import Solve

VISIBLE_PX = 0.5

_RADII = 40
_POWERS = np.array([2, 4, 6])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLens:
    """The lens of a clip.

    Attributes
    ----------
    focal_px : float
    k : ndarray of shape (3,)
    worst_px : float
        How far from a frame's own distortion this one is at most, anywhere in the picture.
    """

    focal_px: float
    k: NDArray[np.float64]
    worst_px: float


def fit(solve: Solve) -> ClipLens:
    """The clip's lens; exact where focal length and distortion are constant."""
    solved = solve.path.solved
    focal, k = solve.path.focal_px[solved], solve.path.distortion[solved]
    middle = float(np.median(focal))
    if not np.ptp(focal) and not np.ptp(k, axis=0).any():
        return ClipLens(focal_px=middle, k=k[0].copy(), worst_px=0.0)
    radius = _farthest_px(solve) * np.linspace(0, 1, _RADII + 1)[1:]
    moved = np.stack([_displacement(radius, f) @ row for f, row in zip(focal, k, strict=True)])  # (F, R)
    terms = _displacement(radius, middle)
    # as many pixels lie at a radius as it is large; the three columns differ by orders of magnitude
    weight, size = np.sqrt(radius)[:, None], np.abs(terms).max(axis=0)
    target = weight[:, 0] * moved.mean(axis=0)
    fitted = np.linalg.lstsq(weight * terms / size, target, rcond=None)[0] / size
    worst = float(np.abs(moved - terms @ fitted).max())
    return ClipLens(focal_px=middle, k=fitted, worst_px=worst)


def _displacement(radius: NDArray[np.float64], focal_px: float) -> NDArray[np.float64]:
    """What each coefficient of 1 moves a pixel by at each radius, shape (R, 3)."""
    return radius[:, None] * (radius[:, None] / focal_px) ** _POWERS


def _farthest_px(solve: Solve) -> float:
    """Distance of the farthest corner of the picture from the principal point."""
    width, height = solve.shot.size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
    return float(np.linalg.norm(corners - solve.lens.principal_point, axis=1).max())
