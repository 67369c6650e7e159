"""Three orthogonal directions, a focal length and a principal point, refined from a candidate.

Expectation maximisation of the mixture of `likelihood`: shares and responsibilities, then Gauss-Newton on the
parameters of `PARAMETERS`, with tau chosen anew as the steps go on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..geometry.rotation import orthonormal, rotation_matrix
from .likelihood import FREEDOM, Lines, densities, errors, log_likelihood, vanishing_of

Array = NDArray[np.float64]

# rotation vector in the camera's axes, log phi, principal point in units of the longer side
PARAMETERS = 6
ROTATION, FOCAL, CENTRE = (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4, 5)
_TAUS = np.radians([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4])
_ITERATIONS = 25
_TAU_EVERY = 4
_LARGEST_STEP = 0.1
_SETTLED_GAIN = 1e-4
_LEAST_SHARE = 0.01
# log phi is pulled towards a usual lens (30 mm on a 36 mm sensor) so weakly that it matters only where the lines say
# nothing; the principal point towards the centre, by what crops and sensor shifts do
_PRIOR_MEAN = np.array([0.0, 0.0, 0.0, np.log(0.85), 0.0, 0.0])
_PRIOR_SD = np.array([np.inf, np.inf, np.inf, 1.0, 0.05, 0.05])


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A Manhattan frame fitted to lines.

    Attributes
    ----------
    axes : ndarray of shape (3, 3)
        Columns: the directions in the camera's axes.
    phi : float
        Focal length over the picture's longer side.
    centre : ndarray of shape (2,)
        Principal point, from the one that the lines are relative to.
    share : ndarray of shape (3,)
        Of the lines that belong to each direction.
    tau : float
        Scatter of the directions, radians.
    score : float
        Log-likelihood over that of no direction at all.
    """

    axes: Array
    phi: float
    centre: Array
    share: Array
    tau: float
    score: float

    @property
    def vanishing(self) -> Array:
        """Homogeneous vanishing points (3, 3), one a row, from the principal point."""
        return vanishing_of(self.axes.T, self.phi)

    def moved(self, step: Array) -> Frame:
        """After a step (6,) of the parameters."""
        axes = orthonormal(rotation_matrix(step[:3]) @ self.axes)
        return replace(self, axes=axes, phi=float(self.phi * np.exp(step[3])), centre=self.centre + step[4:])

    def scored(self, lines: Lines) -> Frame:
        """With its log-likelihood."""
        score = log_likelihood(lines.about(self.centre), self.vanishing, self.tau, self.share)
        return replace(self, score=float(score))

    def belongs(self, lines: Lines) -> Array:
        """Probability (3, N) that each line belongs to each direction."""
        density = self.share[:, None] * densities(lines.about(self.centre), self.vanishing, self.tau)
        return np.asarray(density / (1 - self.share.sum() + density.sum(axis=0)))


def start(lines: Lines, axes: Array, phi: float) -> Frame:
    """A frame from a candidate."""
    frame = Frame(axes=axes, phi=phi, centre=np.zeros(2), share=np.full(3, 0.15), tau=float(_TAUS[4]), score=-np.inf)
    return frame.scored(lines)


def refine(lines: Lines, frame: Frame, free: tuple[int, ...] = FOCAL, iterations: int = _ITERATIONS) -> Frame:
    """The most likely frame near another; `free` are the parameters that move."""
    index = np.array(free)
    damping = 1e-3
    for iteration in range(iterations):
        if iteration % _TAU_EVERY == 0:
            frame = max((replace(frame, tau=float(tau)).scored(lines) for tau in _TAUS), key=lambda f: f.score)
        share = np.maximum(frame.belongs(lines).mean(axis=1), _LEAST_SHARE)
        frame = replace(frame, share=share).scored(lines)
        H, g = normal_equations(lines, frame)
        H, g = H[np.ix_(index, index)], g[index]
        step = np.zeros(PARAMETERS)
        step[index] = -np.linalg.solve(H + damping * np.diag(np.diag(H) + 1e-3), g)
        step *= min(1.0, _LARGEST_STEP / max(np.abs(step).max(), 1e-12))
        tried = frame.moved(step).scored(lines)
        gain = _objective(tried, index) - _objective(frame, index)
        if gain > 0:
            frame, damping = tried, max(damping * 0.2, 1e-6)
            if gain < _SETTLED_GAIN and iteration > _TAU_EVERY:
                break
        else:
            damping *= 10
            if damping > 1e4:
                break
    return frame


def _objective(frame: Frame, free: NDArray[np.intp]) -> float:
    return frame.score - 0.5 * float((_from_prior(frame)[free] ** 2).sum())


def _from_prior(frame: Frame) -> Array:
    """Distance (6,) of the parameters from their prior, in its deviations."""
    value = np.array([0.0, 0.0, 0.0, np.log(frame.phi), *frame.centre])
    return np.asarray((value - _PRIOR_MEAN) / _PRIOR_SD)


def jacobian(lines: Lines, frame: Frame) -> Array:
    """Of the errors (3, N) by the parameters: (3, N, 6)."""
    turned = np.cross(np.eye(3)[:, None], frame.axes.T)  # (rotation, direction, xyz)
    zoomed = frame.axes.T * (1.0, 1.0, 0.0)
    change = [*vanishing_of(np.concatenate([turned, zoomed[None]]), frame.phi)]
    # middles move against the principal point: g = v_xy - v_z (m - c)
    change += [np.outer(frame.vanishing[:, 2], axis) for axis in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))]
    return np.stack([angle_change(lines, frame, c) for c in change], axis=-1)


def angle_change(lines: Lines, frame: Frame, change: Array) -> Array:
    """Derivative (3, N) of the errors when the vanishing points (3, 3) change by (3, 3), per unit."""
    middle = lines.middle - frame.centre
    g, dg = (v[:, None, :2] - v[:, None, 2:] * middle for v in (frame.vanishing, change))
    square = np.maximum((g * g).sum(axis=-1), 1e-12)
    return np.asarray((g[..., 0] * dg[..., 1] - g[..., 1] * dg[..., 0]) / square)


def weighted_errors(lines: Lines, frame: Frame) -> tuple[Array, Array]:
    """Errors (3, N), radians, and the weights of their squares (3, N), with which the mixture's slope is theirs."""
    a, variance = errors(lines.about(frame.centre), frame.vanishing)
    variance = variance + frame.tau**2
    return a, frame.belongs(lines) * (FREEDOM + 1) / (FREEDOM + a * a / variance) / variance


def normal_equations(lines: Lines, frame: Frame) -> tuple[Array, Array]:
    """H (6, 6) and g (6,) of half the weighted squares, with the prior."""
    a, weight = weighted_errors(lines, frame)
    J = jacobian(lines, frame)
    H = np.einsum("knp,kn,knq->pq", J, weight, J) + np.diag(_PRIOR_SD**-2)
    g = np.einsum("knp,kn,kn->p", J, weight, a) + _from_prior(frame) / _PRIOR_SD
    return H, g
