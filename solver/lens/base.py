"""What every lens model offers.

The focal length belongs to a frame (it changes in a zoom) and is an argument; distortion and principal point belong
to the lens. Distortion acts on normalised coordinates (x/z, y/z), so it does not depend on the picture's resolution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class LensModel(ABC):
    """A lens: distortion and principal point.

    Attributes
    ----------
    size : (int, int)
        Width and height of the picture, pixels.
    principal_point : ndarray of shape (2,)
        Pixels, origin at the top left corner of the picture.
    """

    size: tuple[int, int]
    principal_point: NDArray[np.float64]

    @property
    @abstractmethod
    def params(self) -> NDArray[np.float64]:
        """Distortion parameters, shape (P,)."""

    @property
    @abstractmethod
    def param_names(self) -> tuple[str, ...]:
        """Names of `params`."""

    @abstractmethod
    def distort(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Undistorted normalised coordinates (..., 2) to distorted ones."""

    @abstractmethod
    def undistort(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distorted normalised coordinates (..., 2) to undistorted ones."""

    def project(self, point_cam: NDArray[np.float64], focal_px: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Pixels (..., 2) of points (..., 3) in the camera's frame; the depth must be positive.

        Parameters
        ----------
        point_cam : ndarray of shape (..., 3), scene units
        focal_px : float or ndarray of shape (...)
        """
        xy = self.distort(point_cam[..., :2] / point_cam[..., 2:])
        return np.asarray(focal_px)[..., None] * xy + self.principal_point

    def unproject(self, xy_px: NDArray[np.float64], focal_px: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Rays (..., 3) with z = 1 in the camera's frame through pixels (..., 2)."""
        xy = self.undistort((xy_px - self.principal_point) / np.asarray(focal_px)[..., None])
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)
