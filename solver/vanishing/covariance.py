"""Covariance of a fitted Manhattan frame, with what the errors of single segments do not say.

- Segments of one thing err together (a building that stands askew, a texture): the scores are summed over cells of the
  picture and direction before they are squared (the cluster-robust sandwich: Liang and Zeger, Longitudinal data
  analysis using generalized linear models, 1986).
- Right angles of built things are not exact: each direction may be off by `SLACK`, all its segments alike.
- What is held (the principal point) has a deviation of its own.

The last two are pushed through the linearised estimate (Schmidt's "considered" parameters).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .likelihood import Lines, vanishing_of
from .refine import PARAMETERS, Frame, angle_change, jacobian, normal_equations, weighted_errors

Array = NDArray[np.float64]

# how far edges that should be at right angles are from it, radians: joinery, carpets, books on a table
SLACK = np.radians(0.35)
# cells along the picture's longer side
_CELLS = 6


def covariance(lines: Lines, frame: Frame, free: tuple[int, ...], held_centre_sd: float, slack: float = SLACK) -> Array:
    """Covariance (6, 6) of the parameters of `refine`; zero for those that are not free.

    Parameters
    ----------
    lines : Lines
    frame : Frame
    free : tuple of int
    held_centre_sd : float
        Deviation of a principal point that is not free, in units of the longer side.
    slack : float
        Of right angles, radians.
    """
    index = np.array(free)
    a, weight = weighted_errors(lines, frame)
    J = jacobian(lines, frame)
    H, _ = normal_equations(lines, frame)
    inverse = np.linalg.inv(H[np.ix_(index, index)] + 1e-9 * np.eye(len(index)))
    score = (J * (weight * a)[..., None])[..., index]
    total = _larger(inverse @ _clustered(lines, frame, score) @ inverse, inverse)
    considered = [slack * shift for shift in _askew(lines, frame)]
    considered += [held_centre_sd * J[..., i] for i in (4, 5) if i not in free]
    for shift in considered:
        moved = inverse @ np.einsum("knp,kn,kn->p", J[..., index], weight, shift)
        total = total + np.outer(moved, moved)
    out = np.zeros((PARAMETERS, PARAMETERS))
    out[np.ix_(index, index)] = total
    return out


def _clustered(lines: Lines, frame: Frame, score: Array) -> Array:
    """Sum (P, P) of the squares of scores (3, N, P) that were summed over each cell."""
    cell = np.floor((lines.middle + 0.5) * _CELLS).astype(np.int64) + 1
    n_cells = (_CELLS + 2) ** 2
    which = (cell[:, 1] * (_CELLS + 2) + cell[:, 0])[None] + n_cells * np.arange(3)[:, None]
    size = score.shape[-1]
    sums = np.stack([np.bincount(which.ravel(), score[..., i].ravel(), 3 * n_cells) for i in range(size)], axis=1)
    # a few cells with many lines each fit themselves: as many degrees of freedom as parameters are lost
    count = np.bincount(which.ravel(), frame.belongs(lines).ravel())
    effective = float(count.sum() ** 2 / max((count**2).sum(), 1e-12))
    return np.asarray(sums.T @ sums * effective / max(effective - size, 1.0))


def _larger(first: Array, second: Array) -> Array:
    """A covariance that is no smaller than either, along the axes that they share."""
    L = np.linalg.cholesky(second)
    inverse = np.linalg.inv(L)
    value, vector = np.linalg.eigh(inverse @ first @ inverse.T)
    basis = L @ vector
    return np.asarray((basis * np.maximum(value, 1.0)) @ basis.T)


def _askew(lines: Lines, frame: Frame) -> list[Array]:
    """Derivatives (3, N) of the errors when one direction alone turns towards each of the two others."""
    found = []
    for k in range(3):
        for other in {0, 1, 2} - {k}:
            change = np.zeros((3, 3))
            change[k] = frame.axes[:, other]
            found.append(angle_change(lines, frame, vanishing_of(change, frame.phi)))
    return found
