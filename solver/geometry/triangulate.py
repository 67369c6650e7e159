"""Points from known cameras, all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def triangulate(
    R: Array, t: Array, rays: Array, camera: NDArray[np.int64], point: NDArray[np.int64], n_points: int
) -> Array:
    """Homogeneous points from rays, linear least squares.

    Parameters
    ----------
    R : ndarray of shape (C, 3, 3), t : ndarray of shape (C, 3)
        cam_from_world.
    rays : ndarray of shape (N, 2)
        Undistorted normalised coordinates of the observations.
    camera, point : ndarray of int64, shape (N,)
        `point` must rise.
    n_points : int

    Returns
    -------
    ndarray of shape (P, 4)
        Unit vectors, in front of the cameras that see them where that is possible.

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry (2004), section 12.2.
    """
    P = np.concatenate([R, t[:, :, None]], axis=2)[camera]  # (N, 3, 4)
    A = P[:, :2] - rays[:, :, None] * P[:, 2:]
    M = np.zeros((n_points, 4, 4))
    starts = np.searchsorted(point, np.arange(n_points))
    seen = np.diff(np.append(starts, len(point))) > 0
    M[seen] = np.add.reduceat(np.matmul(A.transpose(0, 2, 1), A), starts[seen], axis=0)
    X = np.linalg.eigh(M)[1][:, :, 0]
    depth = np.matmul(P[:, 2:], X[point][:, :, None])[:, 0, 0]
    votes = np.zeros(n_points)
    np.add.at(votes, point, np.sign(depth))
    return np.asarray(X * np.where(votes < 0, -1.0, 1.0)[:, None])


def mean_directions(
    R: Array, t: Array, rays: Array, camera: NDArray[np.int64], point: NDArray[np.int64], n_points: int
) -> Array:
    """Points at infinity from the rays of cameras that all stand in one place: the middle of each point's rays.

    Parameters and result as in `triangulate`; `t` is not used, and the last coordinate of all points is zero.
    """
    del t
    direction = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    direction = np.matmul(direction[:, None, :], R[camera])[:, 0]
    direction /= np.sqrt((direction**2).sum(axis=1))[:, None]
    X = np.zeros((n_points, 4))
    for axis in range(3):
        X[:, axis] = np.bincount(point, weights=direction[:, axis], minlength=n_points)
    return X / np.maximum(np.sqrt((X**2).sum(axis=1)), 1e-12)[:, None]
