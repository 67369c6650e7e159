"""Robust bundle adjustment by Levenberg-Marquardt.

Minimises sum rho(|W e|^2) + the priors' squared residuals over poses, points, the free lens parameters and the zoom,
with Cauchy's rho(r^2) = c^2 log(1 + r^2 / c^2) by iteratively reweighted least squares (Triggs et al. 2000, section
3.3). Steps along the gauge's seven directions are held: they change nothing to first order, and spoil a long step to
second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from ..geometry.rotation import rotation_matrix
from .gauge import gauge_directions
from .geodesic import PROBE, bent
from .normal_equations import assemble, point_step, reduce, structure
from .priors import Priors
from .residuals import (
    FOCAL,
    READOUT,
    Array,
    Linearisation,
    Observations,
    State,
    camera_points,
    late_rows,
    linearise,
    residuals,
    residuals_of,
)
from .rolling import Rolling, Stencil, at_rows

_LARGEST_DAMPING = 1e8
# of the logarithm of a focal length: no lens zooms by more than a factor of 50
_LARGEST_ZOOM = 4.0
# a step that gains less than this share of the cost is near the optimum
_NEAR = 0.003
# a step that the first damping still shortens by more than this does not say that there is nothing to gain
_FREE_DAMPING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOptions:
    """How to adjust.

    Attributes
    ----------
    free_lens : tuple of int
        Which of `LENS_PARAMETERS` are estimated.
    zoom_basis : ndarray of shape (C, K) or None
        Columns along which the cameras' zoom may change; orthogonal to a constant when the focal length is free too.
    priors : Priors
    stencil : Stencil or None
        With a rolling shutter, how the cameras' velocities follow their poses; None holds the velocities.
    nodal : bool
        The camera stays where it is: only turns, lens and the points' directions are estimated. All t and all
        points' distances must be zero and infinite.
    cauchy : float
        c, in units of an observation's standard deviation: 2.5 keeps 94 % efficiency on Gaussian noise.
    iterations : int
    tolerance : float
        Stop when a step lowers the cost by less than this: costs are in squared standard deviations, so that a gain
        well below 1 moves nothing by what the data could tell.
    relative_tolerance : float
        Or by less than this share of it.
    """

    free_lens: tuple[int, ...] = (0,)
    zoom_basis: Array | None = None
    priors: Priors = field(default_factory=Priors)
    stencil: Stencil | None = None
    nodal: bool = False
    cauchy: float = 2.5
    iterations: int = 30
    tolerance: float = 0.05
    relative_tolerance: float = 1e-6

    def basis(self, n_cameras: int) -> Array:
        """The zoom's basis (C, K), without columns where there is none."""
        return np.zeros((n_cameras, 0)) if self.zoom_basis is None else self.zoom_basis

    def rolling(self, state: State, observations: Observations) -> Rolling | None:
        """How the observations see the poses around their own; None where they do not."""
        if self.stencil is None or state.lens[READOUT] == 0:
            return None
        return Rolling(by_pose=self.stencil.by_pose, late=late_rows(state, observations))

    def with_velocity(self, state: State) -> State:
        """`state` with the velocities that its poses have."""
        if self.stencil is None:
            return state
        return replace(state, velocity=self.stencil.velocities(state.R, state.t, state.zoom))

    def by_shared(self, lin: Linearisation, camera: NDArray[np.int64], rolling: Rolling | None = None) -> Array:
        """Jacobian (N, 2, L + K) by the free lens parameters and the zoom."""
        by_lens = lin.by_lens[:, :, np.array(self.free_lens, dtype=np.int64)]
        if self.zoom_basis is None:
            return np.asarray(by_lens)
        basis = at_rows(rolling, self.zoom_basis, camera)
        return np.concatenate([by_lens, lin.by_zoom[:, :, None] * basis[:, None]], axis=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """Where an adjustment ended: the state, its cost, and the weights (N,) of the observations there."""

    state: State
    cost: float
    weight: Array
    iterations: int
    converged: bool


def robust_cost(residual: Array, cauchy: float) -> float:
    """Sum of Cauchy's rho over whitened residuals (N, 2)."""
    return float(cauchy**2 * np.log1p((residual**2).sum(axis=1) / cauchy**2).sum())


def cost_by_row(residual: Array, row: NDArray[np.int64], n: int, cauchy: float) -> Array:
    """Sums (n,) of Cauchy's rho over the whitened residuals (N, 2) of each row's number (N,)."""
    rho = cauchy**2 * np.log1p((residual**2).sum(axis=1) / cauchy**2)
    return np.asarray(np.bincount(row, weights=rho, minlength=n), dtype=np.float64)


def robust_weight(residual: Array, cauchy: float) -> Array:
    """Weights (N,) of whitened residuals (N, 2)."""
    return np.asarray(1 / (1 + (residual**2).sum(axis=1) / cauchy**2))


def moved(state: State, pose_step: Array, shared_step: Array, options: BundleOptions, world_step: Array) -> State:
    """`state` moved by steps of poses (C, 6), lens and zoom (L + K,) and homogeneous points (P, 4)."""
    lens = state.lens.copy()
    n_lens = len(options.free_lens)
    lens[list(options.free_lens)] += shared_step[:n_lens]
    zoom = state.zoom if options.zoom_basis is None else state.zoom + options.zoom_basis @ shared_step[n_lens:]
    X = state.X + world_step
    if options.nodal:
        X[:, 3] = 0
    X /= np.sqrt((X**2).sum(axis=1))[:, None]
    R = rotation_matrix(pose_step[:, :3]) @ state.R
    return options.with_velocity(replace(state, R=R, t=state.t + pose_step[:, 3:], X=X, lens=lens, zoom=zoom))


def adjust(
    state: State,
    observations: Observations,
    options: BundleOptions,
    tick: Callable[[int], None] | None = None,
) -> Adjustment:
    """Adjust poses, points and free lens parameters.

    Parameters
    ----------
    state : State
        Start; every point must be observed.
    observations : Observations
        Sorted by point.
    options : BundleOptions
    tick : callable(iteration) or None
        Called each iteration; may raise to cancel.

    Returns
    -------
    Adjustment

    Raises
    ------
    ValueError
        If the observations are not sorted by point or a point has none.
    """
    s = structure(observations, len(state.R), len(state.X))
    free = np.array(options.free_lens, dtype=np.int64)
    basis = options.basis(len(state.R))
    camera, point = observations.camera, observations.point
    state = options.with_velocity(state)
    cost = _cost(state, observations, options)
    damping, growth, iteration, converged, near, refused = 1e-4, 2.0, 0, False, False, False
    for iteration in range(1, options.iterations + 1):
        if tick is not None:
            tick(iteration)
        lin = linearise(state, observations)
        rolling = options.rolling(state, observations)
        by_shared = options.by_shared(lin, camera, rolling)
        weight = robust_weight(lin.residual, options.cauchy)
        eq = assemble(lin, weight, by_shared, s, near, rolling)
        options.priors.add(eq, state, free, basis)
        while True:
            reduced = reduce(eq, s, observations, damping)
            hold_gauge(reduced.S, state, options)
            try:
                solve = partial(cho_solve, cho_factor(reduced.S, check_finite=False), check_finite=False)
                step = solve(reduced.side)
            except LinAlgError:
                step = np.full(len(reduced.side), np.nan)
            if np.isfinite(step).all():
                points = point_step(eq, reduced, s, camera, step)
                trials = [(step, points)]
                if refused or options.zoom_basis is not None:
                    ahead = residuals(_moved(state, PROBE * step, PROBE * points, lin, options), observations)
                    curvature = weight * np.maximum(weight, 0.5) if near else weight
                    trials.insert(
                        0, bent(step, points, ahead, lin, by_shared, curvature, eq, reduced, s, camera, point, solve)
                    )
                for trial in trials:
                    candidate = _moved(state, *trial, lin, options)
                    new_cost = _cost(candidate, observations, options)
                    if new_cost < cost:
                        break
                if new_cost < cost:
                    break
            damping, growth, refused = damping * growth, growth * 2, True
            if damping > _LARGEST_DAMPING:
                break
        if damping > _LARGEST_DAMPING:
            converged = True  # no step lowers the cost
            break
        gain, state, cost = cost - new_cost, candidate, new_cost
        limited = damping > _FREE_DAMPING and not refused
        damping, growth = max(damping / 5, 1e-10), 2.0
        near = gain < _NEAR * cost
        if gain < max(options.tolerance, options.relative_tolerance * cost) and not limited:
            converged = True
            break
    weight = robust_weight(residuals(state, observations), options.cauchy)
    return Adjustment(state=state, cost=cost, weight=weight, iterations=iteration, converged=converged)


def _moved(state: State, step: Array, points: Array, lin: Linearisation, options: BundleOptions) -> State:
    """`state` after steps of poses and what they share (6 C + L,), and of points in their tangent spaces (P, 3)."""
    n_pose = 6 * len(state.R)
    world = np.matmul(lin.basis, points[:, :, None])[:, :, 0]
    return moved(state, step[:n_pose].reshape(-1, 6), step[n_pose:], options, world)


def hold_gauge(S: Array, state: State, options: BundleOptions) -> Array:
    """Add to S what holds the directions that no picture shows, as firmly as the data hold the rest on average.

    Returns
    -------
    ndarray of shape (6 C + L, G)
        The directions held.
    """
    diagonal = np.diag(S)
    if options.nodal:
        # places that are not estimated
        still = np.arange(6 * len(state.R)).reshape(-1, 6)[:, 3:].ravel()
        S[still, still] = 1.0
    if options.priors.poses is not None:
        return np.zeros((len(S), 0))
    gauge = gauge_directions(state, len(S) - 6 * len(state.R), options.nodal)
    S += float(np.median(diagonal[diagonal > 0])) * (gauge @ gauge.T)
    return gauge


def _cost(state: State, observations: Observations, options: BundleOptions) -> float:
    """Robust cost; infinite where the lens or many points have left the possible."""
    if state.lens[FOCAL] <= 0 or np.abs(state.zoom).max(initial=0.0) > _LARGEST_ZOOM:
        return float("inf")
    q = camera_points(state, observations)
    if not np.isfinite(q[:, 2]).all():
        return float("inf")
    free = np.array(options.free_lens, dtype=np.int64)
    # a step may lead beyond all numbers: it is refused like any that does not help
    with np.errstate(over="ignore", invalid="ignore"):
        cost = robust_cost(residuals_of(q, state, observations), options.cauchy) + options.priors.cost(state, free)
    return cost if np.isfinite(cost) else float("inf")
