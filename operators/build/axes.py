"""From the solver's axes to Blender's, and back: the only module that knows both.

The solver's world and camera have x right, y down and z forward. Blender's world has z up, and its camera x right,
y up, looking along -z. A level first camera in the solver's world origin so becomes a camera at Blender's origin that
looks along +y with z up. Where the solve knows which way is up, the world is turned so that this is z, and about z so
that the first camera faces +y. Pixels run down from the top left corner in the solver, up from the bottom left one in
Blender's clip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...solver.types import Solve

# Points of a camera that only turns have directions, and stand at distance 1 in the solve. At 10 units they are out of
# the camera's own frame as the viewport draws it, and where an artist places things by eye.
NODAL_DISTANCE = 10.0

# (x, y, z) of the solver -> (x, z, -y) of Blender.
WORLD_FROM_SOLVER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

# Blender's camera axes in those of the solver's camera; its own inverse.
_CAMERA_FLIP = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How the solver's world stands in Blender's.

    Attributes
    ----------
    rotation : ndarray of shape (3, 3)
        Blender's world from the solver's.
    scale : float
        Blender units to a scene unit of the solve.
    """

    rotation: NDArray[np.float64] = field(default_factory=lambda: WORLD_FROM_SOLVER)
    scale: float = 1.0

    def points(self, xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        """World points (..., 3) in Blender's axes and units."""
        return np.asarray(self.scale * xyz @ self.rotation.T)

    def camera_matrices(
        self, R_cam_from_world: NDArray[np.float64], t_cam_from_world: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Blender's camera-to-world matrices, shape (F, 4, 4), from rotations (F, 3, 3) and translations (F, 3)."""
        R_world_from_cam = np.swapaxes(R_cam_from_world, -1, -2)
        centre = -np.einsum("fij,fj->fi", R_world_from_cam, t_cam_from_world)
        matrices = np.tile(np.eye(4), (len(centre), 1, 1))
        matrices[:, :3, :3] = self.rotation @ R_world_from_cam @ _CAMERA_FLIP
        matrices[:, :3, 3] = self.points(centre)
        return matrices


def world_of(solve: Solve) -> World:
    """Where a solve's world stands in Blender's."""
    from ...solver.types import NODAL

    scale = NODAL_DISTANCE if solve.kind == NODAL else 1.0
    if solve.up_world is None:
        return World(scale=scale)
    first = solve.path.R_cam_from_world[int(np.argmax(solve.path.solved))]
    return World(rotation=upright(solve.up_world, first), scale=scale)


def upright(up_world: NDArray[np.float64], R_cam_from_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation (3, 3) that takes `up_world` to z, and the camera's direction of view into the y-z plane.

    A camera that looks straight up or down has the top of its picture there instead.
    """
    z = up_world / np.linalg.norm(up_world)
    forward, top = R_cam_from_world[2], -R_cam_from_world[1]
    level = forward - z * (z @ forward)
    if np.linalg.norm(level) < 1e-3:
        level = top - z * (z @ top)
    y = level / np.linalg.norm(level)
    return np.stack([np.cross(y, z), y, z])


def lens_shift(principal_point: NDArray[np.float64], size: tuple[int, int]) -> tuple[float, float]:
    """Blender's (shift_x, shift_y) for a principal point in pixels, the sensor fitted to the picture's width.

    Blender shifts the view, so the principal point moves the other way; both shifts count in picture widths.
    """
    width, height = size
    return float(width / 2 - principal_point[0]) / width, float(principal_point[1] - height / 2) / width


def clip_pixels(xy: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Pixels (..., 2) counted from the bottom left corner, as the clip's principal point is."""
    return np.stack([xy[..., 0], size[1] - xy[..., 1]], axis=-1)


def clip_coordinates(xy: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Marker coordinates (..., 2): bottom left corner (0, 0), top right corner (1, 1)."""
    return clip_pixels(xy, size) / np.array(size, dtype=np.float64)
