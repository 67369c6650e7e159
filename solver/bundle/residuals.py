"""Reprojection residuals and their Jacobians.

A point is a homogeneous unit vector X = (d, rho) in the world, so that a point at infinity (rho = 0) is an ordinary
one (Triggs et al., Bundle adjustment - a modern synthesis, 2000, section 3). With the pose (R, t) of its camera

    q = R d + rho t,   u = (q_x, q_y) / q_z,   s = |u|^2,   g = 1 + k1 s + k2 s^2 + k3 s^3,   x = f g u + c

and the residual is the whitened W (x - x_observed). The pose is perturbed on the left, R <- exp([w]) R, t <- t + v; the
point along an orthonormal basis B (4, 3) of the sphere's tangent space:

    dq/dw = -[R d]_x,   dq/dv = rho I,   dq/db = [R | t] B
    dx/du = f (g I + 2 g' u u^T),   du/dq = (I_2 | -u) / q_z
    dx/df = g u,   dx/dc = I,   dx/dk_i = f s^i u

In a zoom the focal length of a camera is f exp(z) with z its own, and k1 is k1 + z k1_slope.

A rolling shutter exposes row y later than the middle row by tau = readout (y / height - 1/2) frames, in which the
camera goes on at its velocity (w, v) (Hedborg et al., Rolling shutter bundle adjustment, 2012; here to second order):

    q' = q + tau (w x R d + rho v) + tau^2 / 2 w x (w x R d)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LENS_PARAMETERS = ("focal_px", "principal_x", "principal_y", "k1", "k2", "k3", "k1_slope", "readout")
FOCAL, PRINCIPAL_X, PRINCIPAL_Y, K1, K2, K3, K1_SLOPE, READOUT = range(len(LENS_PARAMETERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Image measurements, sorted by point.

    Attributes
    ----------
    camera, point : ndarray of int64, shape (N,)
    xy : ndarray of shape (N, 2), pixels
    whitening : ndarray of shape (N, 2, 2)
        W with W^T W the inverse covariance, 1/pixels.
    height : float
        Of the picture, pixels: with a rolling shutter the row says when it was exposed.
    """

    camera: NDArray[np.int64]
    point: NDArray[np.int64]
    xy: Array
    whitening: Array
    height: float = 1.0

    def __len__(self) -> int:
        return len(self.camera)

    def select(self, keep: NDArray[np.bool_]) -> Observations:
        """The observations where `keep` is true; cameras and points keep their numbers."""
        return replace(
            self, camera=self.camera[keep], point=self.point[keep], xy=self.xy[keep], whitening=self.whitening[keep]
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
    lens : ndarray of shape (8,)
        `LENS_PARAMETERS`; in a zoom the focal length is that where `zoom` is zero.
    zoom : ndarray of shape (C,)
        Logarithm of each camera's focal length over the lens's.
    velocity : ndarray of shape (C, 6)
        Turn w, radians about the camera's axes, and change v of t, both a frame. Held in an adjustment.
    """

    R: Array
    t: Array
    X: Array
    lens: Array
    zoom: Array = field(default_factory=lambda: np.zeros(0))
    velocity: Array = field(default_factory=lambda: np.zeros((0, 6)))

    def __post_init__(self) -> None:
        n = len(self.R)
        if len(self.lens) != len(LENS_PARAMETERS):
            raise ValueError(f"State.lens must have {len(LENS_PARAMETERS)} values, found {len(self.lens)}")
        if len(self.zoom) != n:
            object.__setattr__(self, "zoom", np.zeros(n))
        if len(self.velocity) != n:
            object.__setattr__(self, "velocity", np.zeros((n, 6)))

    @property
    def focal_px(self) -> Array:
        """Focal length of each camera (C,), pixels."""
        return np.asarray(self.lens[FOCAL] * np.exp(self.zoom))

    @property
    def k(self) -> Array:
        """k1, k2, k3 of each camera (C, 3)."""
        k = np.tile(self.lens[K1 : K3 + 1], (len(self.zoom), 1))
        k[:, 0] += self.lens[K1_SLOPE] * self.zoom
        return k


@dataclass(frozen=True, slots=True, kw_only=True)
class Linearisation:
    """Whitened residuals (N, 2) and Jacobians by pose (N, 2, 6), lens (N, 2, 8), zoom (N, 2), point (N, 2, 3)."""

    residual: Array
    by_pose: Array
    by_lens: Array
    by_zoom: Array
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
    return _moved_by_readout(state, observations, rotated, rotated + X[:, 3:] * state.t[observations.camera])[0]


def _moved_by_readout(state: State, observations: Observations, rotated: Array, q: Array) -> tuple[Array, Array | None]:
    """q (N, 3) at the time of each observation's row, and its derivative by the readout."""
    if not state.velocity.any():
        return q, None
    velocity = state.velocity[observations.camera]
    late = observations.xy[:, 1:] / observations.height - 0.5
    rho = state.X[observations.point, 3:]
    turn = np.cross(velocity[:, :3], rotated)
    linear = late * (turn + rho * velocity[:, 3:])
    second = 0.5 * late**2 * np.cross(velocity[:, :3], turn)
    readout = state.lens[READOUT]
    return q + readout * linear + readout**2 * second, linear + 2 * readout * second


def residuals(state: State, observations: Observations) -> Array:
    """Whitened residuals (N, 2); behind the camera the depth is held at a small positive value."""
    return _whiten(reprojection_errors(state, observations), observations.whitening)


def reprojection_errors(state: State, observations: Observations) -> Array:
    """Projected minus observed position (N, 2), pixels."""
    q = camera_points(state, observations)
    return np.asarray(_project(q, _lens_of(state, observations))[0] - observations.xy)


def _lens_of(state: State, observations: Observations) -> tuple[Array, ...]:
    """f, cx, cy, k1, k2, k3 of every observation: (N,) where they differ, else numbers."""
    f, cx, cy, k1, k2, k3 = state.lens[: K3 + 1]
    if not state.zoom.any():
        return f, cx, cy, k1, k2, k3
    zoom = state.zoom[observations.camera]
    return f * np.exp(zoom), cx, cy, k1 + state.lens[K1_SLOPE] * zoom, k2, k3


def _whiten(error: Array, whitening: Array) -> Array:
    return np.stack(
        [
            whitening[:, 0, 0] * error[:, 0] + whitening[:, 0, 1] * error[:, 1],
            whitening[:, 1, 0] * error[:, 0] + whitening[:, 1, 1] * error[:, 1],
        ],
        axis=1,
    )


_SMALLEST_DEPTH = 1e-6


def _project(q: Array, lens: tuple[Array, ...]) -> tuple[Array, Array, Array, Array, Array]:
    f, cx, cy, k1, k2, k3 = lens
    z = np.maximum(q[:, 2], _SMALLEST_DEPTH)
    u = q[:, :2] / z[:, None]
    s = (u**2).sum(axis=1)
    g = 1 + s * (k1 + s * (k2 + s * k3))
    x = (f * g)[:, None] * u
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
    lens = _lens_of(state, observations)
    f, _, _, k1, k2, k3 = lens
    camera, point = observations.camera, observations.point
    X = state.X[point]
    rotated = np.matmul(state.R[camera], X[:, :3, None])[:, :, 0]
    q, by_readout = _moved_by_readout(state, observations, rotated, rotated + X[:, 3:] * state.t[camera])
    x, u, s, g, z = _project(q, lens)
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

    by_lens = np.zeros((n, 2, len(LENS_PARAMETERS)))
    Wu = np.matmul(W, u[:, :, None])[:, :, 0]
    zoom = state.zoom[camera]
    by_lens[:, :, FOCAL] = (g * np.exp(zoom))[:, None] * Wu
    by_lens[:, :, 1:3] = W
    power = np.multiply(f, Wu.T).T
    for i in range(3):
        power = power * s[:, None]
        by_lens[:, :, K1 + i] = power
    by_zoom = state.lens[FOCAL] * by_lens[:, :, FOCAL]
    if state.zoom.any():
        by_lens[:, :, K1_SLOPE] = zoom[:, None] * by_lens[:, :, K1]
        by_zoom = by_zoom + state.lens[K1_SLOPE] * by_lens[:, :, K1]
    if by_readout is not None:
        by_lens[:, :, READOUT] = np.matmul(by_q, by_readout[:, :, None])[:, :, 0]

    if with_points:
        basis = tangent_basis(state.X)
        b = basis[point]
        by_world = np.empty((n, 2, 4))
        by_world[:, :, :3] = np.matmul(by_q, state.R[camera])
        by_world[:, :, 3] = np.matmul(by_q, state.t[camera][:, :, None])[:, :, 0]
        by_point = np.matmul(by_world, b)
    else:
        basis, by_point = np.empty((0, 4, 3)), np.empty((n, 2, 0))
    return Linearisation(
        residual=residual, by_pose=by_pose, by_lens=by_lens, by_zoom=by_zoom, by_point=by_point, basis=basis
    )
