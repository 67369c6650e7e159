"""Which way is up, from the straight lines of a shot whose camera is solved.

Lens and rotation of each frame are known, so a direction of the world has one vanishing point in every picture, and all
pictures vote together: for three directions at right angles, of which one is the vertical. Where that is not clear (a
scene with things that lie about), vertical lines decide alone; and where they say as much alone as all three directions
together they have the last word, since streets and furniture meet at other angles too. Horizontal lines on their own,
as those of a floor, say nothing: a floor may slope.

A wrong vertical is worse than none. A direction can be the vertical only if the camera is then held as cameras are:
rolled little, looking neither straight up nor down. It must be clearly ahead of all others. And it must be so, too,
without the part of the picture, and without the part of the scene, that shows most of its lines: one thing that leans
has many parallel lines. The same lines appear in every picture, so log-likelihoods count as those of one picture, their
mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..geometry.rotation import orthonormal, rotation_matrix
from ..lens import BrownConradyLens
from .covariance import SLACK
from .edges import Edges
from .search import ROUGH_SHARE, second_axes
from .world_lines import WorldLines

Array = NDArray[np.float64]

_PAIRS = 800
# lines with which candidates are compared
_SCORED = 600
# directions to begin with, and of those that can be up
_POINTS, _UPS = 8, 6
_APART = np.radians(2.0)
_STARTS = 6
_TAU = np.radians(0.5)
_ROUGH_ITERATIONS, _ITERATIONS = 4, 8
_LEAST_SHARE = 0.002
# another direction: so far away, radians; around the best in so many directions
_ELSEWHERE = np.radians(4.0)
_AROUND = 8
# log-likelihood a picture by which the vertical must be ahead of any other direction: alone, and with horizontals,
# where a frame of things that lie about is up to 9 ahead. In shots with a vertical it is 19 and more
_LEAST_LEAD_ALONE, _LEAST_LEAD = 8.0, 16.0
# lines a picture that must be vertical themselves
_LEAST_VERTICAL = 4.0
# so much of the picture's width, or of the angle that the lines span in the scene, is left out; the rest must agree
# within an angle (radians), with a lead of its own; where it shows few vertical lines, with that of a whole shot, as
# rooms of many horizontals do (23 and more; what lies about 1 and less)
_PART = 0.34
_AGREES = np.radians(1.5)
_LEAST_REST_VERTICAL, _LEAST_REST_LEAD, _LEAST_REST_LEAD_FLAT = 2.0, 3.0, 16.0
# the vertical lines decide alone if that makes the deviation so many times larger, or less
_AS_MUCH = 1.5
# and if there are at least so many a picture
_ENOUGH_ALONE = 10
# what is built vertical is so to about this, radians
_PLUMB = np.radians(0.15)
# lines whose planes lie within this angle of each other are one thing seen in several pictures, radians
_SAME_THING = np.radians(3.0)
# how a camera is held, radians
MOST_ROLL = np.radians(15.0)
MOST_PITCH = np.radians(70.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gravity:
    """The vertical.

    Attributes
    ----------
    up_world : ndarray of shape (3,)
        Unit vector against gravity, world axes.
    sd : float
        Standard deviation, radians, about either axis at right angles to it.
    n_lines : int
        Lines a picture that are vertical, or horizontal in one of two directions at right angles.
    """

    up_world: Array
    sd: float
    n_lines: int


def roll_and_pitch(up_cam: Array) -> tuple[Array, Array]:
    """Roll and pitch (...), radians, of a camera in whose axes `up_cam` (..., 3) is up."""
    return np.arctan2(up_cam[..., 0], -up_cam[..., 1]), np.arcsin(np.clip(up_cam[..., 2], -1, 1))


def gravity(edges: Sequence[Edges], R_cam_from_world: Array, focal_px: Array, lens: BrownConradyLens) -> Gravity | None:
    """Find the vertical.

    Parameters
    ----------
    edges : sequence of K Edges
        From `edges_in_shot`, of frames of the shot; a dozen spread over it suffice.
    R_cam_from_world : ndarray of shape (K, 3, 3)
        Of these frames.
    focal_px : ndarray of shape (K,)
    lens : BrownConradyLens

    Returns
    -------
    Gravity or None
        None where the pictures show no lines that agree on a vertical.

    Raises
    ------
    ValueError
        If the numbers of pictures, rotations and focal lengths differ, or a picture is not of the lens's size.
    """
    if not len(edges) == len(R_cam_from_world) == len(focal_px):
        raise ValueError(
            f"{len(edges)} pictures need as many rotations and focal lengths, found {len(R_cam_from_world)} and "
            f"{len(focal_px)}"
        )
    width, height = lens.size
    if any(seen.size != (width, height) for seen in edges):
        raise ValueError(f"the lens is for pictures of {width} x {height} pixels")
    lines = WorldLines.of(edges, R_cam_from_world, np.asarray(focal_px, np.float64), lens)
    if len(lines) < 2:
        return None
    best = _clear_best(lines, alone=False)
    if best is None:
        best = _clear_best(lines, alone=True)
        if best is None:
            return None
        sd = _deviation(lines, best, _PLUMB)
    else:
        sd = _deviation(lines, best, SLACK)
        vertical = _refine(
            lines, _frame(lines, best.axes, np.where(np.arange(3) == best.up, best.share, 0.0)), _ITERATIONS
        )
        enough = vertical.share.sum() * len(lines) >= _ENOUGH_ALONE * len(edges)
        if enough and vertical.up is not None and (other := _deviation(lines, vertical, _PLUMB)) < _AS_MUCH * sd:
            best, sd = vertical, other
    return Gravity(up_world=best.vertical, sd=sd, n_lines=round(best.share.sum() * len(lines) / len(edges)))


def _clear_best(lines: WorldLines, *, alone: bool) -> _Frame | None:
    """The best frame, or vertical alone, if it is clearly ahead of all others."""
    found = _candidates(lines, alone)
    if not found:
        return None
    best = _refine(lines, max(found, key=lambda frame: frame.score), _ITERATIONS)
    if best.up is None or _vertical_lines(lines, best) < _LEAST_VERTICAL:
        return None
    if best.score - _best_elsewhere(lines, best, found) < (_LEAST_LEAD_ALONE if alone else _LEAST_LEAD):
        return None
    return best if _everywhere(lines, best) else None


def _vertical_lines(lines: WorldLines, frame: _Frame) -> float:
    """Vertical lines a picture."""
    assert frame.up is not None
    return float(frame.share[frame.up]) * len(lines) / len(lines.R_pictures)


def _everywhere(lines: WorldLines, best: _Frame) -> bool:
    """Whether the vertical is the same without the part of the picture, or of the scene, with most of its lines."""
    belongs = _belongs(lines, best)[best.up]
    first, second = (best.axes[:, i] for i in range(3) if i != best.up)
    normal = lines.normals_world
    # a vertical line lies in a vertical plane through the camera: the direction in which that leads
    bearing = np.arctan2(normal @ second, normal @ first) % np.pi
    across = lines.lines.middle[:, 0]
    view = float(2 * np.arctan(0.5 / np.median(lines.phi)))
    for place, turn, part in ((across, 2.0, _PART), (bearing, np.pi, _PART * view)):
        rest = lines.select(np.flatnonzero(~_fullest(place, turn, part, belongs)))
        if len(rest) < 2:
            return False
        again = _refine(rest, _frame(rest, best.axes, best.share), _ROUGH_ITERATIONS)
        if again.up != best.up or abs(float(again.vertical @ best.vertical)) < np.cos(_AGREES):
            return False
        flat = _vertical_lines(rest, again) < _LEAST_REST_VERTICAL
        least = _LEAST_REST_LEAD_FLAT if flat else _LEAST_REST_LEAD
        if again.score - _best_elsewhere(rest, again, []) < least:
            return False
    return True


def _fullest(place: Array, turn: float, width: float, weight: Array) -> NDArray[np.bool_]:
    """Mask (N,) of the window of a width that holds the most weight (N,); places (N,) that repeat after a turn."""
    inside = (place[None] - place[:, None]) % turn <= width
    return np.asarray(inside[int((inside @ weight).argmax())])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Three directions at right angles, the columns of `axes`, in the world.

    `share` (3,) of the lines belong to each, 0 for one that is not looked for; `score` is the log-likelihood a picture;
    `up` is the column that can be the vertical, or None.
    """

    axes: Array
    share: Array
    score: float
    up: int | None

    @property
    def vertical(self) -> Array:
        """The direction up."""
        assert self.up is not None
        return np.asarray(self.axes[:, self.up])


def _frame(lines: WorldLines, axes: Array, share: Array) -> _Frame:
    """The axes with signs that make each point up in the pictures, and their score."""
    ups = -lines.R_pictures[:, 1].mean(axis=0)
    axes = axes * np.where(ups @ axes < 0, -1.0, 1.0)
    able = _held_usually(lines, axes.T) & (share > 0)
    roll = np.abs(roll_and_pitch((lines.R_pictures.mean(axis=0) @ axes).T)[0])
    up = int(np.where(able, roll, np.inf).argmin()) if able.any() else None
    total = 1 - share.sum() + share @ lines.densities(axes.T, _TAU)
    return _Frame(axes=axes, share=share, score=float(np.log(total).sum()) / len(lines.R_pictures), up=up)


def _candidates(lines: WorldLines, alone: bool) -> list[_Frame]:
    """The most likely frames, from directions that two lines share and what the others add to them."""
    few = lines.select(np.sort(np.argsort(lines.lines.angle_sd, kind="stable")[:_SCORED]))
    normal = few.normals_world
    rng = np.random.default_rng(0)
    pair = rng.choice(len(few), size=(_PAIRS, 2))
    direction = np.cross(normal[pair[:, 0]], normal[pair[:, 1]])
    size = np.linalg.norm(direction, axis=1)
    direction = direction[size > np.radians(1.0)] / size[size > np.radians(1.0)][:, None]
    density = few.densities(direction, _TAU)
    held = _held_usually(lines, direction)
    starts = _strongest(direction[held], density[held], _UPS)
    if alone:
        share = np.array([ROUGH_SHARE, 0.0, 0.0])
        frames = [_frame(few, np.vstack([first, _basis(first)]).T, share) for first, _ in starts]
    else:
        starts += _strongest(direction, density, _POINTS)
        share = np.full(3, ROUGH_SHARE)
        frames = [
            _frame(few, np.stack([first, second, np.cross(first, second)], axis=1), share)
            for first, free in starts
            for second in second_axes(normal, free, first)
        ]
    plausible = sorted((frame for frame in frames if frame.up is not None), key=lambda frame: -frame.score)
    apart: list[_Frame] = []
    for frame in plausible:
        if all(abs(float(frame.vertical @ other.vertical)) < np.cos(_APART) for other in apart):
            apart.append(frame)
    refined = [_refine(lines, frame, _ROUGH_ITERATIONS) for frame in apart[:_STARTS]]
    return [frame for frame in refined if frame.up is not None]


def _basis(first: Array) -> Array:
    """Two unit vectors (2, 3) at right angles to another."""
    second = np.cross(first, np.eye(3)[np.abs(first).argmin()])
    second /= np.linalg.norm(second)
    return np.stack([second, np.cross(first, second)])


def _strongest(direction: Array, density: Array, count: int) -> list[tuple[Array, Array]]:
    """Directions (D, 3) of which each explains the most of what those before it leave, from the densities (D, N) of
    lines, and what it leaves itself (N,)."""
    gain = np.log1p(ROUGH_SHARE * (density - 1))
    left = np.ones(density.shape[1])
    found = []
    for _ in range(min(count, len(direction))):
        best = int((gain @ left).argmax())
        free = (1 - ROUGH_SHARE) / (1 - ROUGH_SHARE + ROUGH_SHARE * density[best])
        left = left * free
        found.append((direction[best], free))
    return found


def _held_usually(lines: WorldLines, up: Array) -> NDArray[np.bool_]:
    """Whether the camera is held in a usual way if directions (C, 3), or their opposites, are up, shape (C,)."""
    up = up * np.where(up @ lines.R_pictures[:, 1].mean(axis=0) > 0, -1.0, 1.0)[:, None]
    roll, pitch = roll_and_pitch(np.einsum("kij,cj->kci", lines.R_pictures, up))
    return np.asarray((np.median(np.abs(roll), axis=0) < MOST_ROLL) & (np.median(np.abs(pitch), axis=0) < MOST_PITCH))


def _refine(lines: WorldLines, frame: _Frame, iterations: int, *, turn: bool = True) -> _Frame:
    """Expectation maximisation; without `turn` of the shares only."""
    for _ in range(iterations):
        belongs = _belongs(lines, frame)
        share = np.where(frame.share > 0, np.maximum(belongs.mean(axis=1), _LEAST_SHARE), 0.0)
        axes = frame.axes
        if turn:
            H, g, _ = _normal_equations(lines, frame, belongs)
            step = -np.linalg.solve(H, g)
            step *= min(1.0, np.radians(2.0) / max(float(np.abs(step).max()), 1e-12))
            axes = orthonormal(rotation_matrix(step) @ axes * np.sign(np.linalg.det(axes)))
        frame = _frame(lines, axes, share)
    return frame


def _belongs(lines: WorldLines, frame: _Frame) -> Array:
    density = frame.share[:, None] * lines.densities(frame.axes.T, _TAU)
    return np.asarray(density / (1 - frame.share.sum() + density.sum(axis=0)))


def _normal_equations(lines: WorldLines, frame: _Frame, belongs: Array) -> tuple[Array, Array, Array]:
    """H (3, 3) and g (3,) of a rotation vector of the world, and the scores (3, N, 3) of which g is the sum."""
    a, weight = lines.weighted_errors(frame.axes.T, belongs, _TAU)
    J = lines.jacobian(frame.axes.T)
    score = J * (weight * a)[..., None]
    return np.einsum("knp,kn,knq->pq", J, weight, J) + np.eye(3), score.sum(axis=(0, 1)), score


def _best_elsewhere(lines: WorldLines, best: _Frame, found: list[_Frame]) -> float:
    """Score of the best frame with another vertical: tilted around the best, or found on its own."""
    others = [frame for frame in found if abs(float(frame.vertical @ best.vertical)) < np.cos(_ELSEWHERE)]
    horizontal = [best.axes[:, i] for i in range(3) if i != best.up]
    for angle in np.linspace(0, 2 * np.pi, _AROUND, endpoint=False):
        axis = np.cos(angle) * horizontal[0] + np.sin(angle) * horizontal[1]
        tilted = replace(best, axes=rotation_matrix(_ELSEWHERE * axis) @ best.axes)
        others.append(_refine(lines, tilted, _ROUGH_ITERATIONS, turn=False))
    return max(0.0, *(frame.score for frame in others))


def _deviation(lines: WorldLines, frame: _Frame, built_sd: float) -> float:
    """Standard deviation of the vertical, radians; what is built is so exactly to `built_sd`.

    A thing errs in the same way in every picture: the scores of its lines are summed before they are squared.
    """
    belongs = _belongs(lines, frame)
    H, _, score = _normal_equations(lines, frame, belongs)
    inverse = np.linalg.inv(H)
    normal = lines.normals_world
    normal = normal * np.where(normal @ frame.vertical < 0, -1.0, 1.0)[:, None]
    cell = np.floor(normal @ frame.axes / _SAME_THING).astype(np.int64)
    _, thing = np.unique(cell, axis=0, return_inverse=True)
    thing = thing.ravel()
    total = np.stack([np.bincount(thing, score[..., i].sum(axis=0)) for i in range(3)], axis=1)
    count = np.bincount(thing, belongs.sum(axis=0))
    effective = float(count.sum() ** 2 / max(float((count**2).sum()), 1e-12))
    sandwich = inverse @ (total.T @ total) @ inverse * effective / max(effective - 3, 1.0)
    # a rotation about the vertical does not move it
    across = np.eye(3) - np.outer(frame.vertical, frame.vertical)
    variance = max(float(np.trace(across @ C @ across)) for C in (sandwich, inverse)) / 2
    return float(np.sqrt(variance + built_sd**2))
