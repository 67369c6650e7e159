"""Reprojection residuals and their Jacobians.

A point is a homogeneous unit vector X = (d, rho) in the world, so that a point at infinity (rho = 0) is an ordinary
one (Triggs et al., Bundle adjustment - a modern synthesis, 2000, section 3). With the pose (R, t) of its camera

    q = R d + rho t,   u = (q_x, q_y) / q_z,   s = |u|^2,   g = 1 + k1 s + k2 s^2 + k3 s^3,   x = f g u + c

and the residual is the whitened W (x - x_observed). The pose is perturbed on the left, R <- exp([w]) R, t <- t + v; the
point along an orthonormal basis B (4, 3) of the sphere's tangent space:

    dq/dw = -[R d]_x,   dq/dv = rho I,   dq/db = [R | t] B
    dx/du = f (g I + 2 g' u u^T),   du/dq = (I_2 | -u) / q_z
    dx/df = g u,   dx/dc = I,   dx/dk_i = f s^i u
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LENS_PARAMETERS = ("focal_px", "principal_x", "principal_y", "k1", "k2", "k3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Image measurements, sorted by point.

    Attributes
    ----------
    camera, point : ndarray of int64, shape (N,)
    xy : ndarray of shape (N, 2), pixels
    whitening : ndarray of shape (N, 2, 2)
        W with W^T W the inverse covariance, 1/pixels.
    """

    camera: NDArray[np.int64]
    point: NDArray[np.int64]
    xy: Array
    whitening: Array

    def __len__(self) -> int:
        return len(self.camera)

    def select(self, keep: NDArray[np.bool_]) -> Observations:
        """The observations where `keep` is true; cameras and points keep their numbers."""
        return Observations(
            camera=self.camera[keep], point=self.point[keep], xy=self.xy[keep], whitening=self.whitening[keep]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The unknowns of an adjustment.

    Attributes
    ----------
    R : ndarray of shape (C, 3, 3), t : ndarray of shape (C, 3)
        cam_from_world.
    X : ndarray of shape (P, 4)
        Homogeneous unit points in the world.
    lens : ndarray of shape (6,)
        `LENS_PARAMETERS`.
    """

    R: Array
    t: Array
    X: Array
    lens: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Linearisation:
    """Whitened residuals (N, 2) and Jacobians by pose (N, 2, 6), lens (N, 2, 6), point (N, 2, 3)."""

    residual: Array
    by_pose: Array
    by_lens: Array
    by_point: Array
    basis: Array


def tangent_basis(X: Array) -> Array:
    """Orthonormal bases (P, 4, 3) of the tangent spaces at unit vectors (P, 4), by a Householder reflection."""
    # H = I - 2 v v^T / v^T v maps X to -sign(X_4) e_4; its first three columns are orthogonal to X
    v = X.copy()
    sign = np.where(X[:, 3] >= 0, 1.0, -1.0)
    v[:, 3] += sign
    scale = 2.0 / (v**2).sum(axis=1)
    return np.asarray(np.eye(4)[None, :, :3] - scale[:, None, None] * v[:, :, None] * v[:, None, :3])


def camera_points(state: State, observations: Observations) -> Array:
    """q (N, 3) of every observation: the point in its camera's frame, up to a positive scale."""
    X = state.X[observations.point]
    rotated = np.matmul(state.R[observations.camera], X[:, :3, None])[:, :, 0]
    return np.asarray(rotated + X[:, 3:] * state.t[observations.camera])


def residuals(state: State, observations: Observations) -> Array:
    """Whitened residuals (N, 2); behind the camera the depth is held at a small positive value."""
    q = camera_points(state, observations)
    return _whiten(_project(q, state.lens)[0] - observations.xy, observations.whitening)


def reprojection_errors(state: State, observations: Observations) -> Array:
    """Projected minus observed position (N, 2), pixels."""
    q = camera_points(state, observations)
    return np.asarray(_project(q, state.lens)[0] - observations.xy)


def _whiten(error: Array, whitening: Array) -> Array:
    return np.stack(
        [
            whitening[:, 0, 0] * error[:, 0] + whitening[:, 0, 1] * error[:, 1],
            whitening[:, 1, 0] * error[:, 0] + whitening[:, 1, 1] * error[:, 1],
        ],
        axis=1,
    )


_SMALLEST_DEPTH = 1e-6


def _project(q: Array, lens: Array) -> tuple[Array, Array, Array, Array, Array]:
    f, cx, cy, k1, k2, k3 = lens
    z = np.maximum(q[:, 2], _SMALLEST_DEPTH)
    u = q[:, :2] / z[:, None]
    s = (u**2).sum(axis=1)
    g = 1 + s * (k1 + s * (k2 + s * k3))
    x = f * g[:, None] * u
    x[:, 0] += cx
    x[:, 1] += cy
    return x, u, s, g, z


def linearise(state: State, observations: Observations, with_points: bool = True) -> Linearisation:
    """Residuals and Jacobians at `state`, whitened.

    Parameters
    ----------
    state : State
    observations : Observations
    with_points : bool
        False leaves the points' Jacobian empty.

    References
    ----------
    See the header of this module.
    """
    f, _, _, k1, k2, k3 = state.lens
    camera, point = observations.camera, observations.point
    X = state.X[point]
    rotated = np.matmul(state.R[camera], X[:, :3, None])[:, :, 0]
    q = rotated + X[:, 3:] * state.t[camera]
    x, u, s, g, z = _project(q, state.lens)
    W = observations.whitening
    residual = _whiten(x - observations.xy, W)

    slope = k1 + s * (2 * k2 + s * 3 * k3)
    n = len(q)
    by_u = np.empty((n, 2, 2))  # W dx/du
    fg, fs = f * g, 2 * f * slope
    xx, xy, yy = fg + fs * u[:, 0] ** 2, fs * u[:, 0] * u[:, 1], fg + fs * u[:, 1] ** 2
    for i in range(2):
        by_u[:, i, 0] = W[:, i, 0] * xx + W[:, i, 1] * xy
        by_u[:, i, 1] = W[:, i, 0] * xy + W[:, i, 1] * yy
    by_q = np.empty((n, 2, 3))
    by_q[:, :, :2] = by_u / z[:, None, None]
    by_q[:, :, 2] = -(by_q[:, :, 0] * u[:, None, 0] + by_q[:, :, 1] * u[:, None, 1])

    by_pose = np.empty((n, 2, 6))
    r0, r1, r2 = rotated[:, None, 0], rotated[:, None, 1], rotated[:, None, 2]
    a0, a1, a2 = by_q[:, :, 0], by_q[:, :, 1], by_q[:, :, 2]
    by_pose[:, :, 0] = a2 * r1 - a1 * r2  # a . (w x r) = w . (r x a)
    by_pose[:, :, 1] = a0 * r2 - a2 * r0
    by_pose[:, :, 2] = a1 * r0 - a0 * r1
    by_pose[:, :, 3:] = by_q * X[:, None, 3:]

    by_lens = np.empty((n, 2, 6))
    Wu = np.matmul(W, u[:, :, None])[:, :, 0]
    by_lens[:, :, 0] = g[:, None] * Wu
    by_lens[:, :, 1:3] = W
    power = f * Wu
    for i in range(3):
        power = power * s[:, None]
        by_lens[:, :, 3 + i] = power

    if with_points:
        basis = tangent_basis(state.X)
        b = basis[point]
        by_world = np.empty((n, 2, 4))
        by_world[:, :, :3] = np.matmul(by_q, state.R[camera])
        by_world[:, :, 3] = np.matmul(by_q, state.t[camera][:, :, None])[:, :, 0]
        by_point = np.matmul(by_world, b)
    else:
        basis, by_point = np.empty((0, 4, 3)), np.empty((n, 2, 0))
    return Linearisation(residual=residual, by_pose=by_pose, by_lens=by_lens, by_point=by_point, basis=basis)
