"""Second-order correction of a step: it bends with the valley in which the cost lies.

Along a step v the residuals are r + J v + r_vv / 2. A Gauss-Newton step leaves out r_vv, and in a long, narrow, curved
valley (focal length against depth, zoom against dolly) leads up its wall unless it is very short. The correction a with
J^T J a = -J^T r_vv, added by half, costs one more evaluation of the residuals, for their second difference along v, and
one more solve with the factors that exist (Transtrum and Sethna, Improvements to the Levenberg-Marquardt algorithm for
nonlinear least-squares minimization, 2012).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .normal_equations import NormalEquations, Reduced, Structure, point_step, shared_side
from .residuals import Array, Linearisation
from .rolling import at_rows, by_cameras

# how far along the step the residuals are evaluated again
PROBE = 0.1


def bent(
    step: Array,
    points: Array,
    ahead: Array,
    lin: Linearisation,
    by_shared: Array,
    weight: Array,
    eq: NormalEquations,
    reduced: Reduced,
    s: Structure,
    camera: NDArray[np.int64],
    point: NDArray[np.int64],
    solve: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """A step with its correction.

    Parameters
    ----------
    step : ndarray of shape (6 C + L,), points : ndarray of shape (P, 3)
        Of poses and what they share, and of the points in their tangent spaces.
    ahead : ndarray of shape (N, 2)
        Whitened residuals at `PROBE` times the step.
    lin, by_shared, weight, eq, reduced, s
        Of the state; `weight` (N,) is that of J^T J.
    camera, point : ndarray of int64, shape (N,)
        Of the observations.
    solve : callable
        Solves the reduced equations for a right side.

    Returns
    -------
    step, points
    """
    n_pose = 6 * s.n_cameras
    pose_step = at_rows(eq.rolling, step[:n_pose].reshape(-1, 6), camera)
    along = np.matmul(lin.by_pose, pose_step[:, :, None])[:, :, 0]
    along += by_shared @ step[n_pose:] + np.matmul(lin.by_point, points[point][:, :, None])[:, :, 0]
    second = 2 / PROBE * ((ahead - lin.residual) / PROBE - along) * weight[:, None]
    by_pose = np.matmul(lin.by_pose.transpose(0, 2, 1), second[:, :, None])[:, :, 0]
    gradient = np.empty_like(step)
    gradient[:n_pose] = by_cameras(eq.rolling, by_pose, camera, s.n_cameras).ravel()
    gradient[n_pose:] = np.einsum("nil,ni->l", by_shared, second)
    by_point = np.matmul(lin.by_point.transpose(0, 2, 1), second[:, :, None])[:, :, 0]
    point_gradient = np.add.reduceat(by_point, s.starts, axis=0)
    bend = solve(shared_side(eq, reduced, s, camera, point, gradient, point_gradient))
    bend_points = point_step(replace(eq, gradient=gradient, point_gradient=point_gradient), reduced, s, camera, bend)
    return step + bend / 2, points + bend_points / 2
