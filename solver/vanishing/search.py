"""Candidates for three orthogonal directions and a focal length, found by going through all of them.

1. Vanishing points alone: pairs of lines, drawn at random, meet in candidates; the best explains the most lines, the
   next best the most of the rest, and so on.
2. A vanishing point and a focal length leave one angle open, about the direction that vanishes there. Each other line
   says which angle would make it parallel to one of the two other axes; modulo 90 degrees both vote in one histogram
   (Lu et al., 2-line exhaustive searching for real-time vanishing point estimation in Manhattan world, 2017, whose
   sphere this replaces by the focal length). This is done for every focal length of a grid, so that a focal length
   which the lines do not determine shows as one: all of the grid explains them alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .likelihood import Lines, densities, log_likelihood, vanishing_of

Array = NDArray[np.float64]

# phi from a fisheye's centre to a long telephoto lens (11 to 290 mm on a 36 mm sensor)
FOCAL_GRID = np.geomspace(0.3, 5.0, 30)
# of a line's angle while candidates are rough, radians
ROUGH_TAU = np.radians(0.5)
_PAIRS = 2500
_POINTS = 8
# of the lines, to one direction, while nothing is known
ROUGH_SHARE = 0.15
_ANGLE_BINS = 90
_PEAKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Three orthogonal directions and a focal length.

    Attributes
    ----------
    axes : ndarray of shape (3, 3)
        Columns: the directions in the camera's axes, a right-handed frame.
    phi : float
    score : float
        Log-likelihood with the rough mixture.
    """

    axes: Array
    phi: float
    score: float


def strongest_points(
    lines: Lines, rng: np.random.Generator, weight: Array | None = None, count: int = _POINTS
) -> Array:
    """Homogeneous vanishing points (K, 3), unit length, of which each explains the most of what is left of the lines,
    each of which counts by its weight (N,)."""
    n = len(lines)
    left = np.ones(n) if weight is None else weight
    chance = left / (lines.angle_sd**2 + ROUGH_TAU**2) ** 0.5
    pick = rng.choice(n, size=(_PAIRS, 2), p=chance / chance.sum())
    pick = pick[pick[:, 0] != pick[:, 1]]
    line = lines.homogeneous
    v = np.cross(line[pick[:, 0]], line[pick[:, 1]])
    norm = np.linalg.norm(v, axis=1)
    v = v[norm > 1e-9] / norm[norm > 1e-9][:, None]
    gain = np.log(1 - ROUGH_SHARE + ROUGH_SHARE * densities(lines, v, ROUGH_TAU))  # (H, N)
    found = []
    for _ in range(min(count, len(v))):
        best = int((gain @ left).argmax())
        found.append(v[best])
        inside = ROUGH_SHARE * densities(lines, v[best], ROUGH_TAU)
        left = left * (1 - inside / (inside + 1 - ROUGH_SHARE))
    return np.array(found).reshape(-1, 3)


def candidates(lines: Lines, rng: np.random.Generator, focal_grid: Array = FOCAL_GRID) -> list[Candidate]:
    """Candidates at every focal length of the grid, best first."""
    line = lines.homogeneous
    axes, phis = [], []
    for v in strongest_points(lines, rng):
        free = 1 / (1 + ROUGH_SHARE * densities(lines, v, ROUGH_TAU))  # what this direction does not explain
        for phi in focal_grid:
            first = v / (phi, phi, 1.0)
            first /= np.linalg.norm(first)
            for second in second_axes(line * (phi, phi, 1.0), free, first):
                axes.append(np.stack([first, second, np.cross(first, second)], axis=1))
                phis.append(phi)
    frames, focal = np.array(axes), np.array(phis)
    score = log_likelihood(lines, vanishing_of(frames.swapaxes(1, 2), focal[:, None]), ROUGH_TAU, ROUGH_SHARE)
    return [
        Candidate(axes=frames[i], phi=float(focal[i]), score=float(score[i])) for i in np.argsort(-score, kind="stable")
    ]


def second_axes(normal: Array, weight: Array, first: Array) -> list[Array]:
    """Directions at right angles to another with which most lines agree.

    Parameters
    ----------
    normal : ndarray of shape (N, 3)
        Of the planes through camera and line.
    weight : ndarray of shape (N,)
    first : ndarray of shape (3,)

    Returns
    -------
    list of ndarray of shape (3,)
        The best few; the third axis, at right angles to both, has half of the votes.
    """
    e1 = np.cross(first, np.eye(3)[np.abs(first).argmin()])
    e1 /= np.linalg.norm(e1)
    e2 = np.cross(first, e1)
    along1, along2 = normal @ e1, normal @ e2
    angle = np.arctan2(-along1, along2) % (np.pi / 2)
    # a plane at right angles to the first axis says nothing of the angle about it
    weight = weight * np.hypot(along1, along2) / np.linalg.norm(normal, axis=1)
    votes = np.bincount((angle / (np.pi / 2) * _ANGLE_BINS).astype(np.int64) % _ANGLE_BINS, weight, _ANGLE_BINS)
    votes = votes + 0.5 * (np.roll(votes, 1) + np.roll(votes, -1))
    peak = np.flatnonzero((votes >= np.roll(votes, 1)) & (votes > np.roll(votes, -1)))
    best = peak[np.argsort(-votes[peak], kind="stable")[:_PEAKS]]
    return [np.cos(a) * e1 + np.sin(a) * e2 for a in (best + 0.5) / _ANGLE_BINS * (np.pi / 2)]
