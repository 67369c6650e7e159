"""The normal equations of a bundle adjustment with the points eliminated.

With poses and lens a, points b and whitened Jacobians A, B,

    [ U    E ] [da]     [g_a]         S = U - E V^-1 E^T
    [ E^T  V ] [db] = - [g_b] ,       S da = -(g_a - E V^-1 g_b),   db = -V^-1 (g_b + E^T da)

V is block diagonal with 3 x 3 blocks. The points are sorted by the first frame that sees them and eliminated in
chunks: a chunk touches only the frames that its points span, so that the cost grows linearly with the length of the
shot while each product is a dense one that BLAS does fast (Triggs et al. 2000, section 6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from .residuals import Array, Linearisation, Observations
from .rolling import REACH, Rolling, at_rows, by_cameras, spread_blocks

_CHUNK_POINTS = 256
# smaller products cost more to set up than to multiply
_LEAST_CHUNK_POINTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """Which observation belongs where; made once for an adjustment.

    Attributes
    ----------
    starts : first observation of each point, shape (P,)
    by_camera : observations in the order of their cameras, shape (N,)
    camera_starts : range of each camera in `by_camera`, shape (C + 1,)
    chunks : the points (and with them the observations) of each chunk
    """

    n_cameras: int
    n_points: int
    starts: NDArray[np.int64]
    by_camera: NDArray[np.int64]
    camera_starts: NDArray[np.int64]
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Points eliminated together: their observations and the cameras that they span."""

    observations: NDArray[np.int64]
    points: NDArray[np.int64]
    point_column: NDArray[np.int64]
    first_camera: int
    last_camera: int


def structure(observations: Observations, n_cameras: int, n_points: int) -> Structure:
    """Analyse observations that are sorted by point; every point must be observed.

    Raises
    ------
    ValueError
        If the observations are not sorted by point or a point has none.
    """
    point, camera = observations.point, observations.camera
    counts = np.bincount(point, minlength=n_points)
    if (np.diff(point) < 0).any() or len(counts) != n_points or (counts == 0).any():
        raise ValueError("observations must be sorted by point and every point must be observed")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    first = np.minimum.reduceat(camera, starts)
    last = np.maximum.reduceat(camera, starts)
    chunks = []
    for points in _chunks(first, last):
        length = counts[points]
        column = np.repeat(np.arange(len(points)), length)
        offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        rows = np.repeat(starts[points], length) + offset
        chunks.append(
            Chunk(
                observations=rows,
                points=points,
                point_column=column,
                first_camera=int(first[points].min()),
                last_camera=int(last[points].max()),
            )
        )
    return Structure(
        n_cameras=n_cameras,
        n_points=n_points,
        starts=starts,
        by_camera=np.argsort(camera, kind="stable"),
        camera_starts=np.searchsorted(np.sort(camera), np.arange(n_cameras + 1)),
        chunks=tuple(chunks),
    )


def _chunks(first: NDArray[np.int64], last: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Points whose cameras nearly coincide: long tracks apart from short ones, each sorted by their first camera."""
    span = last - first + 1
    size = np.ceil(np.log2(span)).astype(np.int64)
    order = np.lexsort((last, first, size))
    breaks = [0]
    for i in range(1, len(order)):
        begin, point = order[breaks[-1]], order[i]
        full = i - breaks[-1] >= _CHUNK_POINTS
        wide = last[point] - first[begin] + 1 > 1.5 * 2 ** size[begin] and i - breaks[-1] >= _LEAST_CHUNK_POINTS
        if full or wide or size[point] != size[begin]:
            breaks.append(i)
    return np.split(order, breaks[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalEquations:
    """U, E, V and the gradient at one state. Order of the unknowns a: 6 a camera, then those of the lens.

    With a rolling shutter `pose_point` is that of the pose that an observation sees; `rolling` says whose it is.
    """

    U: Array
    gradient: Array
    V: Array
    point_gradient: Array
    pose_point: Array  # (N, 6, 3)
    lens_point: Array  # (P, L, 3)
    rolling: Rolling | None = None


def assemble(
    lin: Linearisation,
    weight: Array,
    by_shared: Array,
    s: Structure,
    near: bool = True,
    rolling: Rolling | None = None,
) -> NormalEquations:
    """Normal equations of the residuals with Cauchy's weights w (N,); `by_shared` (N, 2, L) is the Jacobian by what all
    cameras share.

    The gradient is J^T w r. The curvature of rho is w along one direction of the image plane and w (1 - s) / (1 + s),
    s = r^2 / c^2, along the other; their mean is w^2. `near` the optimum J^T h J with h = w max(w, 1/2) takes steps
    nearer to Newton's than the h = w of plain reweighting, which converges only linearly but is safe from afar.
    """
    n_lens, n_pose = by_shared.shape[2], 6 * s.n_cameras
    root = np.sqrt(weight * np.maximum(weight, 0.5)) if near else np.sqrt(weight)
    r = lin.residual.T * (weight / root)
    A = np.concatenate([lin.by_pose.transpose(1, 2, 0), by_shared.transpose(1, 2, 0)], axis=1) * root  # (2, 6 + L, N)
    B = lin.by_point.transpose(1, 2, 0) * root

    U = np.zeros((n_pose + n_lens, n_pose + n_lens))
    gradient = np.zeros(n_pose + n_lens)
    by_camera = np.take(np.concatenate([A, r[:, None]], axis=1), s.by_camera, axis=2)
    late = None if rolling is None else rolling.late[s.by_camera]
    once, twice = np.zeros((s.n_cameras, 6, 7 + n_lens)), np.zeros((s.n_cameras, 6, 6))
    for camera in range(s.n_cameras):
        begin, end = s.camera_starts[camera], s.camera_starts[camera + 1]
        if begin == end:
            continue
        u, v = by_camera[:, :, begin:end]
        product = u @ u.T + v @ v.T
        at = slice(6 * camera, 6 * camera + 6)
        U[at, at] = product[:6, :6]
        U[at, n_pose:] = product[:6, 6:-1]
        U[n_pose:, at] = product[6:-1, :6]
        U[n_pose:, n_pose:] += product[6:-1, 6:-1]
        gradient[at] = product[:6, -1]
        gradient[n_pose:] += product[6:-1, -1]
        if late is not None:
            delayed = by_camera[:, :6, begin:end] * late[begin:end]
            once[camera] = delayed[0] @ u.T + delayed[1] @ v.T
            twice[camera] = delayed[0] @ delayed[0].T + delayed[1] @ delayed[1].T
    if rolling is not None:
        U[:n_pose, :n_pose] += spread_blocks(rolling, once[:, :, :6], twice)
        shared = np.tensordot(rolling.by_pose.T, once[:, :, 6:], axes=1).reshape(n_pose, -1)
        U[:n_pose, n_pose:] += shared[:, :-1]
        U[n_pose:, :n_pose] += shared[:, :-1].T
        gradient[:n_pose] += shared[:, -1]

    V, point_gradient = point_blocks(B, r, s.starts)
    cross = np.empty((6 + n_lens, 3, A.shape[2]))
    for i in range(6 + n_lens):
        cross[i] = A[0, i] * B[0] + A[1, i] * B[1]
    return NormalEquations(
        U=U,
        gradient=gradient,
        V=V,
        point_gradient=point_gradient,
        pose_point=cross[:6].transpose(2, 0, 1),
        lens_point=np.add.reduceat(cross[6:], s.starts, axis=2).transpose(2, 0, 1),
        rolling=rolling,
    )


def point_blocks(B: Array, r: Array, starts: NDArray[np.int64]) -> tuple[Array, Array]:
    """V (P, 3, 3) and the gradient (P, 3) of points whose observations begin at `starts` (P,), from their Jacobians
    (2, 3, N) and residuals (2, N)."""
    right = np.concatenate([B, r[:, None]], axis=1)
    blocks = np.empty((len(starts), 3, 4))
    for i in range(3):
        blocks[:, i] = np.add.reduceat(B[0, i] * right[0] + B[1, i] * right[1], starts, axis=1).T
    return blocks[:, :, :3], blocks[:, :, 3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """S and its right side, and what is needed to recover the points."""

    S: Array
    side: Array
    V_inverse: Array


def reduce(eq: NormalEquations, s: Structure, observations: Observations, damping: float) -> Reduced:
    """Eliminate the points from the equations damped by Marquardt's factor (1 + damping) on the diagonal."""
    n_pose, n_lens = 6 * s.n_cameras, eq.lens_point.shape[1]
    V = eq.V.copy()
    diagonal = np.einsum("pii->pi", V)
    diagonal *= 1 + damping
    # of each point's own: one that nearly touches a camera would make the others know more than they do
    diagonal += 1e-14 * diagonal.max(axis=1, keepdims=True) + 1e-12
    factor = _inverse_lower(np.linalg.cholesky(V))  # V^-1 = factor^T factor
    V_inverse = np.matmul(factor.transpose(0, 2, 1), factor)

    S = eq.U.copy()
    S[np.diag_indices_from(S)] *= 1 + damping
    side = -eq.gradient.copy()
    half_gradient = np.matmul(factor, eq.point_gradient[:, :, None])[:, :, 0]
    factor_t = factor.transpose(0, 2, 1)
    for chunk in s.chunks:
        first, last = chunk.first_camera, chunk.last_camera
        if eq.rolling is not None:
            first, last = max(first - REACH, 0), min(last + REACH, s.n_cameras - 1)
        n_cameras, n_columns = last - first + 1, 3 * len(chunk.points)
        n_rows = 6 * n_cameras
        E = np.zeros((n_rows + n_lens, n_columns))
        blocks = E[:n_rows].reshape(n_cameras, 6, len(chunk.points), 3)
        rows = chunk.observations
        local = np.matmul(eq.pose_point[rows], factor_t[observations.point[rows]])
        blocks[observations.camera[rows] - first, :, chunk.point_column] = local
        if eq.rolling is not None:
            delayed = np.zeros_like(blocks)
            delayed[observations.camera[rows] - first, :, chunk.point_column] = (
                local * eq.rolling.late[rows][:, None, None]
            )
            D = eq.rolling.by_pose[first : last + 1, first : last + 1]
            E[:n_rows] += (D.T @ delayed.reshape(n_cameras, -1)).reshape(n_rows, n_columns)
        if n_lens:
            lens = np.matmul(eq.lens_point[chunk.points], factor_t[chunk.points])  # (p, L, 3)
            E[n_rows:] = lens.transpose(1, 0, 2).reshape(n_lens, n_columns)
        product = blas.dsyrk(1.0, E.T, trans=1, lower=0)  # upper triangle of E E^T
        a = slice(6 * first, 6 * last + 6)
        S[a, a] -= product[:n_rows, :n_rows]
        S[a, n_pose:] -= product[:n_rows, n_rows:]
        S[n_pose:, n_pose:] -= product[n_rows:, n_rows:]
        reduced_side = E @ half_gradient[chunk.points].ravel()
        side[a] += reduced_side[:n_rows]
        side[n_pose:] += reduced_side[n_rows:]
    # only the upper triangle is complete
    return Reduced(S=S, side=side, V_inverse=V_inverse)


def _inverse_lower(L: Array) -> Array:
    """Inverses of lower triangular matrices (P, 3, 3), in closed form: LAPACK called once a matrix costs a hundred
    times as much."""
    out = np.zeros_like(L)
    a, b, c, d, e, f = L[:, 0, 0], L[:, 1, 0], L[:, 1, 1], L[:, 2, 0], L[:, 2, 1], L[:, 2, 2]
    out[:, 0, 0], out[:, 1, 1], out[:, 2, 2] = 1 / a, 1 / c, 1 / f
    out[:, 1, 0], out[:, 2, 1], out[:, 2, 0] = -b / (a * c), -e / (c * f), (b * e - c * d) / (a * c * f)
    return out


def point_step(eq: NormalEquations, reduced: Reduced, s: Structure, camera: NDArray[np.int64], step: Array) -> Array:
    """db (P, 3) for the step of poses and lens."""
    n_pose = 6 * s.n_cameras
    pose_step = at_rows(eq.rolling, step[:n_pose].reshape(-1, 6), camera)
    coupled = np.matmul(pose_step[:, None, :], eq.pose_point)[:, 0, :]
    side = -eq.point_gradient - np.add.reduceat(coupled, s.starts, axis=0)
    if eq.lens_point.shape[1]:
        side -= np.einsum("l,plk->pk", step[n_pose:], eq.lens_point)
    return np.asarray(np.matmul(reduced.V_inverse, side[:, :, None])[:, :, 0])


def shared_side(
    eq: NormalEquations,
    reduced: Reduced,
    s: Structure,
    camera: NDArray[np.int64],
    point: NDArray[np.int64],
    gradient: Array,
    points: Array,
) -> Array:
    """The right side of the reduced equations for another gradient: of poses and lens (6 C + L,), of points (P, 3)."""
    y = np.matmul(reduced.V_inverse, points[:, :, None])[:, :, 0]
    coupled = np.matmul(eq.pose_point, y[point][:, :, None])[:, :, 0]
    side = -gradient
    side[: 6 * s.n_cameras] += by_cameras(eq.rolling, coupled, camera, s.n_cameras).ravel()
    if eq.lens_point.shape[1]:
        side[6 * s.n_cameras :] += np.einsum("plk,pk->l", eq.lens_point, y)
    return side
