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

and its zoom at its own rate r: z' = z + tau r.

Observations are computed with side by side in memory, component by component: arrays of shape (N, ...) are views of
contiguous ones of shape (..., N), which numpy works through several times as fast.
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
    velocity : ndarray of shape (C, 7)
        Turn w, radians about the camera's axes, change v of t, and rate r of the zoom, all a frame. Held in an
        adjustment.
    """

    R: Array
    t: Array
    X: Array
    lens: Array
    zoom: Array = field(default_factory=lambda: np.zeros(0))
    velocity: Array = field(default_factory=lambda: np.zeros((0, 7)))

    def __post_init__(self) -> None:
        n = len(self.R)
        if len(self.lens) != len(LENS_PARAMETERS):
            raise ValueError(f"State.lens must have {len(LENS_PARAMETERS)} values, found {len(self.lens)}")
        if len(self.zoom) != n:
            object.__setattr__(self, "zoom", np.zeros(n))
        if len(self.velocity) != n:
            object.__setattr__(self, "velocity", np.zeros((n, 7)))

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
    return _camera_points(state, observations)[0].T


def _camera_points(state: State, observations: Observations) -> tuple[Array, Array, Array, Array, Array | None]:
    """q (3, N) at the time of each observation's row, R (9, N), R d (3, N), X (4, N), dq/dreadout (3, N) or None."""
    R = _gathered(state.R.reshape(-1, 9), observations.camera)
    X = _gathered(state.X, observations.point)
    rotated = np.stack([R[i] * X[0] + R[i + 1] * X[1] + R[i + 2] * X[2] for i in (0, 3, 6)])
    q = rotated + X[3] * _gathered(state.t, observations.camera)
    if not state.velocity.any():
        return q, R, rotated, X, None
    velocity = _gathered(state.velocity, observations.camera)
    late = _late(observations)
    turn = np.cross(velocity[:3], rotated, axis=0)
    linear = late * (turn + X[3] * velocity[3:6])
    second = 0.5 * late**2 * np.cross(velocity[:3], turn, axis=0)
    readout = state.lens[READOUT]
    return q + readout * linear + readout**2 * second, R, rotated, X, linear + 2 * readout * second


def late_rows(state: State, observations: Observations) -> Array:
    """tau (N,) of the observations, frames."""
    return np.asarray(state.lens[READOUT] * _late(observations))


def _late(observations: Observations) -> Array:
    """When the row of each observation (N,) is exposed after the middle row, in readouts."""
    return observations.xy[:, 1] / observations.height - 0.5


def _zoom_rate(state: State, observations: Observations) -> Array | None:
    """Change (N,) of the zoom at each observation for a readout of a frame; None where nothing changes."""
    rate = state.velocity[:, 6]
    return _late(observations) * rate[observations.camera] if rate.any() else None


def _zoom_of(state: State, observations: Observations) -> Array:
    """Zoom (N,) at the time of each observation's row."""
    zoom, rate = state.zoom[observations.camera], _zoom_rate(state, observations)
    return zoom if rate is None else zoom + state.lens[READOUT] * rate


def _gathered(values: Array, index: NDArray[np.int64]) -> Array:
    """Rows (K, n) of an array (M, n), each component on its own: (n, K)."""
    return np.take(np.ascontiguousarray(values.T), index, axis=1)


def residuals(state: State, observations: Observations) -> Array:
    """Whitened residuals (N, 2); behind the camera the depth is held at a small positive value."""
    return residuals_of(camera_points(state, observations), state, observations)


def residuals_of(q: Array, state: State, observations: Observations) -> Array:
    """The same for points (N, 3) in their cameras' frames, from `camera_points`."""
    error = _project(q.T, _lens_of(state, observations))[0] - observations.xy.T
    return _whiten(error, _by_component(observations.whitening)).T


def reprojection_errors(state: State, observations: Observations) -> Array:
    """Projected minus observed position (N, 2), pixels."""
    q = _camera_points(state, observations)[0]
    return np.asarray((_project(q, _lens_of(state, observations))[0] - observations.xy.T).T)


def _lens_of(state: State, observations: Observations) -> tuple[Array, ...]:
    """f, cx, cy, k1, k2, k3 of every observation: (N,) where they differ, else numbers."""
    f, cx, cy, k1, k2, k3 = state.lens[: K3 + 1]
    if not state.zoom.any():
        return f, cx, cy, k1, k2, k3
    zoom = _zoom_of(state, observations)
    return f * np.exp(zoom), cx, cy, k1 + state.lens[K1_SLOPE] * zoom, k2, k3


def _by_component(whitening: Array) -> Array:
    """W (N, 2, 2) as (2, 2, N)."""
    return np.ascontiguousarray(whitening.transpose(1, 2, 0))


def _whiten(error: Array, W: Array) -> Array:
    return np.asarray(W[:, 0] * error[0] + W[:, 1] * error[1])


_SMALLEST_DEPTH = 1e-6


def _project(q: Array, lens: tuple[Array, ...]) -> tuple[Array, Array, Array, Array, Array]:
    """Pixels (2, N) of points (3, N); u (2, N), s, g and the depth (N,)."""
    f, cx, cy, k1, k2, k3 = lens
    z = np.maximum(q[2], _SMALLEST_DEPTH)
    u = q[:2] / z
    s = u[0] ** 2 + u[1] ** 2
    g = 1 + s * (k1 + s * (k2 + s * k3))
    x = (f * g) * u
    x[0] += cx
    x[1] += cy
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
    q, R, rotated, X, by_readout = _camera_points(state, observations)
    x, u, s, g, z = _project(q, lens)
    W = _by_component(observations.whitening)
    residual = _whiten(x - observations.xy.T, W)

    n = len(camera)
    slope = k1 + s * (2 * k2 + s * 3 * k3)
    fg, fs = f * g / z, 2 * f * slope / z
    xx, xy, yy = fg + fs * u[0] ** 2, fs * u[0] * u[1], fg + fs * u[1] ** 2
    by_q = np.empty((2, 3, n))
    by_q[:, 0] = W[:, 0] * xx + W[:, 1] * xy
    by_q[:, 1] = W[:, 0] * xy + W[:, 1] * yy
    by_q[:, 2] = -(by_q[:, 0] * u[0] + by_q[:, 1] * u[1])

    by_pose = np.empty((2, 6, n))
    a, r = by_q.transpose(1, 0, 2), rotated
    by_pose[:, 0] = a[2] * r[1] - a[1] * r[2]  # a . (w x r) = w . (r x a)
    by_pose[:, 1] = a[0] * r[2] - a[2] * r[0]
    by_pose[:, 2] = a[1] * r[0] - a[0] * r[1]
    by_pose[:, 3:] = by_q * X[3]

    by_lens = np.zeros((2, len(LENS_PARAMETERS), n))
    Wu = W[:, 0] * u[0] + W[:, 1] * u[1]
    zoom = _zoom_of(state, observations)
    by_lens[:, FOCAL] = g * np.exp(zoom) * Wu
    by_lens[:, PRINCIPAL_X : PRINCIPAL_Y + 1] = W
    power = f * Wu
    for i in range(3):
        power = power * s
        by_lens[:, K1 + i] = power
    by_zoom = state.lens[FOCAL] * by_lens[:, FOCAL]
    if state.zoom.any():
        by_lens[:, K1_SLOPE] = zoom * by_lens[:, K1]
        by_zoom = by_zoom + state.lens[K1_SLOPE] * by_lens[:, K1]
    if by_readout is not None:
        by_lens[:, READOUT] = (by_q * by_readout).sum(axis=1)
        rate = _zoom_rate(state, observations)
        if rate is not None:
            by_lens[:, READOUT] += rate * by_zoom

    if with_points:
        basis = tangent_basis(state.X)
        b = _gathered(basis.reshape(-1, 12), point).reshape(4, 3, n)
        t = _gathered(state.t, camera)
        by_world = np.empty((2, 4, n))
        for j in range(3):
            by_world[:, j] = a[0] * R[j] + a[1] * R[3 + j] + a[2] * R[6 + j]
        by_world[:, 3] = a[0] * t[0] + a[1] * t[1] + a[2] * t[2]
        by_point = np.empty((2, 3, n))
        w = by_world.transpose(1, 0, 2)
        for j in range(3):
            by_point[:, j] = w[0] * b[0, j] + w[1] * b[1, j] + w[2] * b[2, j] + w[3] * b[3, j]
    else:
        basis, by_point = np.empty((0, 4, 3)), np.empty((2, 0, n))
    return Linearisation(
        residual=residual.T,
        by_pose=by_pose.transpose(2, 0, 1),
        by_lens=by_lens.transpose(2, 0, 1),
        by_zoom=by_zoom.T,
        by_point=by_point.transpose(2, 0, 1),
        basis=basis,
    )
