"""Rotations as vectors and matrices, many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cross_matrix(v: Array) -> Array:
    """[v]_x (..., 3, 3) of vectors (..., 3): [v]_x u = v x u."""
    out = np.zeros((*v.shape[:-1], 3, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return out


def rotation_matrix(vector: Array) -> Array:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), radians (Rodrigues' formula)."""
    angle = np.sqrt((vector**2).sum(axis=-1))[..., None, None]
    K = cross_matrix(vector)
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1.0, np.sin(safe) / safe)
    b = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.asarray(np.eye(3) + a * K + b * (K @ K))


def orthonormal(R: Array) -> Array:
    """The rotations nearest to matrices (..., 3, 3)."""
    U, _, Vt = np.linalg.svd(R)
    sign = np.sign(np.linalg.det(U @ Vt))
    U = U.copy()
    U[..., :, 2] *= sign[..., None]
    return np.asarray(U @ Vt)
