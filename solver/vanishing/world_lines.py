"""Lines of several pictures whose cameras are solved: all vote on directions of one world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..lens import BrownConradyLens
from .edges import EdgeOptions, Edges, find_edges
from .likelihood import FREEDOM, Lines, densities_each, errors_each
from .segments import straight_segments

Array = NDArray[np.float64]

# many pictures of the same things: smaller ones will do, and the longest lines of each
_EDGES = EdgeOptions(longest_side=640)
_MOST_LINES = 120


def edges_in_shot(picture: NDArray[np.generic]) -> Edges:
    """The edges of one (H, W) of several pictures, uint8 or float 0 to 255."""
    return find_edges(picture, _EDGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldLines:
    """Lines and the cameras that saw them.

    Attributes
    ----------
    lines : Lines
    R : ndarray of shape (N, 3, 3)
        R_cam_from_world of each line's picture.
    phi : ndarray of shape (N,)
        Focal length over the longer side of each line's picture.
    R_pictures : ndarray of shape (K, 3, 3)
    """

    lines: Lines
    R: Array
    phi: Array
    R_pictures: Array

    @classmethod
    def of(cls, edges: Sequence[Edges], R_cam_from_world: Array, focal_px: Array, lens: BrownConradyLens) -> WorldLines:
        """Lines of pictures; the arguments are those of `gravity`."""
        side = float(max(lens.size))
        parts = []
        for seen, focal in zip(edges, focal_px, strict=True):
            segments = straight_segments(seen, lens, float(focal))
            segments = segments.select(np.sort(np.argsort(-segments.length, kind="stable")[:_MOST_LINES]))
            parts.append(Lines.of(segments, lens.principal_point, side))
        count = [len(part) for part in parts]
        return cls(
            lines=Lines.joined(parts),
            R=np.repeat(R_cam_from_world, count, axis=0),
            phi=np.repeat(focal_px / side, count),
            R_pictures=R_cam_from_world,
        )

    def __len__(self) -> int:
        return len(self.lines)

    def select(self, which: NDArray[np.int64]) -> WorldLines:
        """The lines of some indices."""
        return WorldLines(
            lines=self.lines.select(which), R=self.R[which], phi=self.phi[which], R_pictures=self.R_pictures
        )

    @property
    def normals_world(self) -> Array:
        """Unit normals (N, 3) of the planes through camera and line."""
        normal = self.lines.homogeneous
        normal[:, :2] *= self.phi[:, None]
        normal = np.einsum("nji,nj->ni", self.R, normal)
        return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))

    def vanishing(self, directions: Array) -> Array:
        """Vanishing points (..., N, 3) of directions (..., 3) in each line's picture."""
        v = np.einsum("nij,...j->...ni", self.R, directions)
        v[..., :2] *= self.phi[:, None]
        return v

    def densities(self, directions: Array, tau: float) -> Array:
        """As `likelihood.densities`, of directions (..., 3): (..., N)."""
        return densities_each(self.lines, self.vanishing(directions), tau)

    def weighted_errors(self, directions: Array, belongs: Array, tau: float) -> tuple[Array, Array]:
        """Errors (..., N) of directions (..., 3), radians, and weights (..., N) of their squares."""
        a, variance = errors_each(self.lines, self.vanishing(directions))
        variance = variance + tau**2
        return a, belongs * (FREEDOM + 1) / (FREEDOM + a * a / variance) / variance

    def jacobian(self, directions: Array) -> Array:
        """Of the errors of directions (D, 3) by a rotation vector of the world: (D, N, 3)."""
        v = self.vanishing(directions)
        columns = []
        for axis in np.eye(3):
            change = self.vanishing(np.cross(axis, directions))
            g, dg = (w[..., :2] - w[..., 2:] * self.lines.middle for w in (v, change))
            square = np.maximum((g * g).sum(axis=-1), 1e-12)
            columns.append((g[..., 0] * dg[..., 1] - g[..., 1] * dg[..., 0]) / square)
        return np.stack(columns, axis=-1)
