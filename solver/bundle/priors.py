"""What is known beside the tracks: priors on the lens, on its zoom curve and on poses, as squared residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..geometry.rotation import cross_matrix
from .normal_equations import NormalEquations
from .residuals import FOCAL, LENS_PARAMETERS, Array, State


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoomPrior:
    """Linear statements of the logarithm of the cameras' focal lengths, each in units of its standard deviation.

    The residual of row m is sum_c rows[m, c] log(focal length of camera c) - target[m].

    Attributes
    ----------
    rows : ndarray of shape (M, C)
    target : ndarray of shape (M,)
    """

    rows: Array
    target: Array

    def residual(self, state: State) -> Array:
        """(M,)."""
        return np.asarray(self.rows @ np.log(state.focal_px) - self.target)

    def joined(self, other: ZoomPrior) -> ZoomPrior:
        """Both."""
        return ZoomPrior(
            rows=np.concatenate([self.rows, other.rows]), target=np.concatenate([self.target, other.target])
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PosePrior:
    """Known poses of some cameras.

    Attributes
    ----------
    camera : ndarray of int64, shape (K,)
    R : ndarray of shape (K, 3, 3), centre : ndarray of shape (K, 3)
        cam_from_world; the camera's place in the world.
    rotation_sd, position_sd : ndarray of shape (K,)
        Radians; scene units.
    """

    camera: NDArray[np.int64]
    R: Array
    centre: Array
    rotation_sd: Array
    position_sd: Array

    def residual(self, state: State) -> tuple[Array, Array]:
        """Turn (K, 3) and place (K, 3) off the known ones, in standard deviations."""
        R, t = state.R[self.camera], state.t[self.camera]
        turn = Rotation.from_matrix(R @ self.R.transpose(0, 2, 1)).as_rotvec()
        centre = -np.einsum("fji,fj->fi", R, t)
        return turn / self.rotation_sd[:, None], (centre - self.centre) / self.position_sd[:, None]

    def add(self, eq: NormalEquations, state: State) -> None:
        """Add to the normal equations: the turn is that of the left perturbation, c = -R^T t."""
        turn, place = self.residual(state)
        for k, camera in enumerate(self.camera):
            R, t = state.R[camera], state.t[camera]
            J = np.zeros((6, 6))
            J[:3, :3] = np.eye(3) / self.rotation_sd[k]
            J[3:, :3] = R.T @ cross_matrix(t) / self.position_sd[k]
            J[3:, 3:] = -R.T / self.position_sd[k]
            at = slice(6 * camera, 6 * camera + 6)
            eq.U[at, at] += J.T @ J
            eq.gradient[at] += J.T @ np.concatenate([turn[k], place[k]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """All of them; what is None is not known.

    Attributes
    ----------
    lens_mean, lens_sd : ndarray of shape (8,)
        Of `LENS_PARAMETERS`, used where the deviation is finite and the parameter free.
    zoom : ZoomPrior or None
    poses : PosePrior or None
    """

    lens_mean: Array | None = None
    lens_sd: Array | None = None
    zoom: ZoomPrior | None = None
    poses: PosePrior | None = None

    @property
    def information(self) -> Array:
        """Inverse variances (8,) of the lens; zero where there is none."""
        if self.lens_sd is None:
            return np.zeros(len(LENS_PARAMETERS))
        return np.asarray(self.lens_sd**-2.0)

    def cost(self, state: State, free: NDArray[np.int64]) -> float:
        """Sum of the squared residuals."""
        cost = 0.0
        if self.lens_mean is not None:
            cost += float((self.information * (state.lens - self.lens_mean) ** 2)[free].sum())
        if self.zoom is not None:
            cost += float((self.zoom.residual(state) ** 2).sum())
        if self.poses is not None:
            cost += float(sum((part**2).sum() for part in self.poses.residual(state)))
        return cost

    def add(self, eq: NormalEquations, state: State, free: NDArray[np.int64], zoom_basis: Array) -> None:
        """Add to the normal equations whose shared unknowns are the `free` lens parameters, then the zoom's (C, K)."""
        at = len(eq.gradient) - len(free) - zoom_basis.shape[1]
        if self.lens_mean is not None and len(free):
            own = at + np.arange(len(free))
            eq.U[own, own] += self.information[free]
            eq.gradient[own] += (self.information * (state.lens - self.lens_mean))[free]
        if self.zoom is not None:
            J = np.zeros((len(self.zoom.target), len(free) + zoom_basis.shape[1]))
            J[:, : len(free)][:, free == FOCAL] = self.zoom.rows.sum(axis=1)[:, None] / state.lens[FOCAL]
            J[:, len(free) :] = self.zoom.rows @ zoom_basis
            eq.U[at:, at:] += J.T @ J
            eq.gradient[at:] += J.T @ self.zoom.residual(state)
        if self.poses is not None:
            self.poses.add(eq, state)
