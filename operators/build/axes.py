"""From the solver's axes to Blender's, and back: the only module that knows both.

The solver's world and camera have x right, y down and z forward. Blender's world has z up, and its camera x right,
y up, looking along -z. A level first camera in the solver's world origin so becomes a camera at Blender's origin that
looks along +y with z up. Pixels run down from the top left corner in the solver, up from the bottom left one in
Blender's clip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# (x, y, z) of the solver -> (x, z, -y) of Blender.
WORLD_FROM_SOLVER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

# Blender's camera axes in those of the solver's camera; its own inverse.
_CAMERA_FLIP = np.diag([1.0, -1.0, -1.0])


def points_to_blender(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """World points (..., 3) in Blender's axes."""
    return np.asarray(xyz @ WORLD_FROM_SOLVER.T)


def camera_matrices(
    R_cam_from_world: NDArray[np.float64], t_cam_from_world: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Blender's camera-to-world matrices, shape (F, 4, 4), from rotations (F, 3, 3) and translations (F, 3)."""
    R_world_from_cam = np.swapaxes(R_cam_from_world, -1, -2)
    centre = -np.einsum("fij,fj->fi", R_world_from_cam, t_cam_from_world)
    matrices = np.tile(np.eye(4), (len(centre), 1, 1))
    matrices[:, :3, :3] = WORLD_FROM_SOLVER @ R_world_from_cam @ _CAMERA_FLIP
    matrices[:, :3, 3] = points_to_blender(centre)
    return matrices


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
