"""Rotation vectors and matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from solver.geometry.rotation import cross_matrix, orthonormal, rotation_matrix


def test_cross_matrix_is_the_cross_product() -> None:
    rng = np.random.default_rng(1)
    v, u = rng.standard_normal((2, 5, 7, 3))
    assert np.allclose(np.matmul(cross_matrix(v), u[..., None])[..., 0], np.cross(v, u), atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-9, 1e-6, 1e-3, 0.5, 3.0, np.pi, 6.0])
def test_rotation_matrix_is_the_exponential(angle: float) -> None:
    axes = np.random.default_rng(2).standard_normal((6, 3))
    vectors = angle * axes / np.linalg.norm(axes, axis=1, keepdims=True)
    R = rotation_matrix(vectors)
    assert np.allclose(R, [expm(cross_matrix(v)) for v in vectors], rtol=0, atol=1e-13)
    assert np.allclose(R, Rotation.from_rotvec(vectors).as_matrix(), rtol=0, atol=1e-13)


def test_small_rotations_keep_their_first_order() -> None:
    v = np.array([3e-9, -1e-9, 2e-9])
    assert np.allclose(rotation_matrix(v) - np.eye(3), cross_matrix(v), rtol=1e-6, atol=1e-20)


def test_rotation_matrix_of_many_axes_keeps_the_leading_shape() -> None:
    assert rotation_matrix(np.zeros((2, 4, 3))).shape == (2, 4, 3, 3)


def test_orthonormal_finds_the_nearest_rotation() -> None:
    rng = np.random.default_rng(3)
    true = Rotation.random(20, random_state=4).as_matrix()
    found = orthonormal(true + 0.05 * rng.standard_normal(true.shape))
    assert np.allclose(np.matmul(found, found.transpose(0, 2, 1)), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(found), 1.0)
    turned = Rotation.from_matrix(np.matmul(found, true.transpose(0, 2, 1))).magnitude()
    assert turned.max() < 0.15
    assert np.allclose(orthonormal(found), found, atol=1e-12)


def test_orthonormal_of_a_reflection_is_still_a_rotation() -> None:
    mirrored = np.diag([1.0, 1.0, -0.9])
    assert np.linalg.det(orthonormal(mirrored)) == pytest.approx(1.0)
