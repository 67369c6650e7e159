"""Focal length and orientation of a camera from one picture of a scene with right angles.

Of all candidates (`search`) the most likely is refined. It is believed only if the picture, not the search, chose its
focal length: the best frames at clearly other focal lengths must be clearly less likely. A single direction, directions
that stay parallel in the picture, clutter, grain and round things all explain themselves about as well at one focal
length as at another, and are refused by this one test.

References
----------
Caprile and Torre, Using vanishing points for camera calibration (1990); Coughlan and Yuille, Manhattan world (1999);
Desolneux, Moisan and Morel, From Gestalt theory to image analysis (2008), for what chance explains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import LensUndetermined
from ..lens import BrownConradyLens
from .covariance import covariance
from .edges import Edges
from .gravity import MOST_PITCH, MOST_ROLL, roll_and_pitch
from .likelihood import Lines, densities
from .refine import CENTRE, FOCAL, ROTATION, Frame, refine, start
from .search import FOCAL_GRID, ROUGH_SHARE, ROUGH_TAU, Candidate, candidates, strongest_points
from .segments import Segments, radial_bend, straight_segments

Array = NDArray[np.float64]

# the longest segments: more cost time and tell the same
_MOST_SEGMENTS = 500
_LEAST_SEGMENTS = 12
_STARTS = 8
# other focal lengths than the found one: log phi farther away than this
_ELSEWHERE = 0.3
_RIVALS = 6
# log-likelihood by which the frame must be more likely than any elsewhere. On pictures without right angles, and on
# random lines, the best is 1 to 12 ahead; on pictures with them 23 to 90
_LEAST_EVIDENCE = 20.0
# without vertical lines: two sets of parallels that lie about pass for horizontals at right angles, at 21; those of
# rooms are 59 to 99 ahead
_LEAST_EVIDENCE_FLAT = 40.0
_MOST_FOCAL_SHARE = 0.15
# another direction contradicts the frame if its log-likelihood is beyond these, and so far from a right angle (radians)
_LEAST_CONTRADICTION, _CONTRADICTION_SHARE = 25.0, 0.5
_NOT_SQUARE = np.radians(3.0)
# a camera that looks up or down by less than this is held level: two directions that are not square may be explained
_LEVEL = np.radians(7.0)
# log-likelihood that a direction must add to count as one
_LEAST_SUPPORT = 8.0
# principal point: its deviation where it is not estimated; log-likelihood, distance and deviation at which it is
_HELD_CENTRE_SD = 0.005
_CENTRE_EVIDENCE = 20.0
_CENTRE_SIGMAS = 3.0
_CENTRE_SD = 0.015
# distortion: evidence at which that of the edges' straightness is believed, and what a lens may have besides, as a
# shift of the picture's corners
_BEND_SIGMAS = 4.0
_USUAL_CORNER_SHIFT = 0.01
_LENS_ROUNDS = 4
_SETTLED_FOCAL = 1e-3
# a line is shown with the direction that it belongs to with this probability
_BELONGS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class VanishingPoints:
    """What one picture of a scene with right angles says of its camera.

    Attributes
    ----------
    lens : BrownConradyLens
        Principal point and distortion, given or estimated.
    focal_px, focal_px_sd : float
    R_cam_from_axes : ndarray of shape (3, 3)
        Columns: the scene's directions that lead right, down and forward, in the camera's axes.
    rotation_sd : ndarray of shape (3,)
        Radians, about the camera's axes.
    upright : bool
        Whether the direction that leads down can be the vertical: the camera is rolled little.
    up_sd : float
        Deviation of the vertical, radians.
    segments : Segments
        Undistorted.
    direction : ndarray of int64, shape (N,)
        Column of `R_cam_from_axes` that each segment belongs to, or -1.
    evidence : float
        Log-likelihood by which the found focal length is ahead of all others.
    square_assumed : bool
        Whether the focal length rests on two directions of which neither is the vertical: nothing shows that they are
        at right angles, as a vertical and a horizontal one are. So it is where the camera is held level, since the
        vertical then is parallel in the picture at any focal length.
    """

    lens: BrownConradyLens
    focal_px: float
    focal_px_sd: float
    R_cam_from_axes: Array
    rotation_sd: Array
    upright: bool
    up_sd: float
    segments: Segments
    direction: NDArray[np.int64]
    evidence: float
    square_assumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLens:
    """What is known of the lens besides its focal length.

    Attributes
    ----------
    principal_point : ndarray of shape (2,)
        Pixels.
    principal_point_sd : float
        Pixels.
    principal_point_free : bool
        Whether it may be estimated where three directions determine it.
    k : ndarray of shape (3,) or None
        Distortion; None: from the straightness of edges where they tell.
    """

    principal_point: Array
    principal_point_sd: float
    principal_point_free: bool = True
    k: Array | None = None

    @classmethod
    def centred(cls, size: tuple[int, int], k: Array | None = None) -> KnownLens:
        """A lens of which nothing is known: its centre is the picture's, give or take half a percent."""
        return cls(principal_point=np.array(size) / 2, principal_point_sd=_HELD_CENTRE_SD * max(size), k=k)


def vanishing_points(
    edges: Edges, known: KnownLens | None = None, rng: np.random.Generator | None = None
) -> VanishingPoints:
    """Find focal length and orientation.

    Parameters
    ----------
    edges : Edges
        From `find_edges`.
    known : KnownLens or None
    rng : numpy Generator
        Draws the first candidates; a fixed one by default.

    Returns
    -------
    VanishingPoints

    Raises
    ------
    LensUndetermined
        If the picture does not determine the focal length; the message says why.
    """
    known = known or KnownLens.centred(edges.size)
    rng = rng or np.random.default_rng(0)
    side = float(max(edges.size))
    if known.k is not None:
        return _with_lens(edges, known, rng, side)
    kappa, kappa_sd = edge_distortion(edges, known)
    # in units of the longer side, so that it does not depend on the focal length that is looked for
    lens = _lens(edges.size, known.principal_point, np.array([kappa * side**2, 0.0, 0.0]))
    segments = _longest(straight_segments(edges, lens, side))
    fit = _fit(Lines.of(segments, known.principal_point, side), known, side, rng)
    if np.isfinite(kappa_sd):
        other = replace(lens, k=np.array([(kappa + kappa_sd) * side**2, 0.0, 0.0]))
        bent = _longest(straight_segments(edges, other, side))
        moved = refine(Lines.of(bent, known.principal_point, side), fit.frame, fit.free)
        fit = fit.with_focal_variance(np.log(moved.phi / fit.frame.phi) ** 2)
    focal = fit.frame.phi * side
    return _result(edges.size, fit, segments, known, np.array([kappa * focal**2, 0.0, 0.0]), side)


def edge_distortion(edges: Edges, known: KnownLens) -> tuple[float, float]:
    """First coefficient of the radial distortion, from the edges' straightness where they tell, else none.

    Returns
    -------
    kappa, kappa_sd : float
        1/pixels^2: k1 is kappa focal_px^2.
    """
    kappa, sd = radial_bend(edges, known.principal_point)
    corner = float((np.array(edges.size) ** 2).sum()) / 4
    if abs(kappa) > _BEND_SIGMAS * sd:
        return kappa, sd
    return 0.0, 1 / np.hypot(1 / sd, corner / _USUAL_CORNER_SHIFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    frame: Frame
    covariance: Array
    evidence: float
    free: tuple[int, ...]

    def with_focal_variance(self, variance: float) -> _Fit:
        added = self.covariance.copy()
        added[3, 3] += variance
        return replace(self, covariance=added)


def _with_lens(edges: Edges, known: KnownLens, rng: np.random.Generator, side: float) -> VanishingPoints:
    """With known distortion, whose coefficients belong to the focal length that is looked for: a fixed point."""
    assert known.k is not None
    lens = _lens(edges.size, known.principal_point, known.k)
    focal = 0.85 * side
    for _ in range(_LENS_ROUNDS if known.k.any() else 1):
        segments = _longest(straight_segments(edges, lens, focal))
        fit = _fit(Lines.of(segments, known.principal_point, side), known, side, rng)
        before, focal = focal, fit.frame.phi * side
        if abs(np.log(focal / before)) < _SETTLED_FOCAL:
            break
    return _result(edges.size, fit, segments, known, known.k, side)


def _lens(size: tuple[int, int], principal_point: Array, k: Array) -> BrownConradyLens:
    return BrownConradyLens(size=size, principal_point=np.asarray(principal_point, np.float64), k=k)


def _longest(segments: Segments) -> Segments:
    if len(segments) < _LEAST_SEGMENTS:
        raise LensUndetermined(
            f"The picture shows only {len(segments)} straight edges, too few to find vanishing points."
        )
    return segments.select(np.sort(np.argsort(-segments.length, kind="stable")[:_MOST_SEGMENTS]))


def _fit(lines: Lines, known: KnownLens, side: float, rng: np.random.Generator) -> _Fit:
    """The best frame, with its covariance, if the lines determine its focal length."""
    found = candidates(lines, rng)
    best = max((refine(lines, start(lines, c.axes, c.phi)) for c in found[:_STARTS]), key=lambda frame: frame.score)
    if not FOCAL_GRID[0] < best.phi < FOCAL_GRID[-1]:
        raise LensUndetermined("The straight lines of the picture converge too little to determine the focal length.")
    evidence = best.score - _best_elsewhere(lines, best, found)
    flat = _unsupported(lines, best) == _upright(best.axes)[0][1]
    if evidence < (_LEAST_EVIDENCE_FLAT if flat else _LEAST_EVIDENCE):
        raise LensUndetermined(
            "The straight lines of the picture do not determine the focal length: it takes edges in at least two "
            "directions at right angles to each other, both of them neither along the view nor across it."
        )
    if _contradicted(lines, best, evidence, rng):
        raise LensUndetermined(
            "The straight lines of the picture have directions that are not at right angles to each other, so they do "
            "not determine the focal length."
        )
    free: tuple[int, ...] = FOCAL
    if known.principal_point_free:
        best, free = _with_centre(lines, best, known.principal_point_sd / side)
    cov = covariance(lines, best, free, known.principal_point_sd / side)
    if not cov[3, 3] < _MOST_FOCAL_SHARE**2:
        raise LensUndetermined(
            f"The straight lines of the picture give a focal length of {best.phi * side:.0f} px, but uncertain by "
            f"{100 * np.sqrt(cov[3, 3]):.0f} %."
        )
    return _Fit(frame=best, covariance=cov, evidence=evidence, free=free)


def _best_elsewhere(lines: Lines, best: Frame, found: list[Candidate]) -> float:
    """Score of the best frame whose focal length is another."""
    by_focal: dict[float, Candidate] = {}
    for candidate in found:
        if abs(np.log(candidate.phi / best.phi)) > _ELSEWHERE:
            by_focal.setdefault(candidate.phi, candidate)
    rivals = sorted(by_focal.values(), key=lambda c: -c.score)[:_RIVALS]
    # the same directions at the nearest focal length that counts as another
    held = [replace(best, phi=best.phi * float(np.exp(sign * _ELSEWHERE))).scored(lines) for sign in (-1, 1)]
    frames = [start(lines, c.axes, c.phi) for c in rivals] + held
    return max(refine(lines, frame, ROTATION).score for frame in frames)


def _contradicted(lines: Lines, best: Frame, evidence: float, rng: np.random.Generator) -> bool:
    """Whether the strongest direction among the lines that the frame leaves is at right angles to none of its axes.

    In a scene that stands upright all horizontal directions, not only two of them, are so to the vertical.
    """
    left = 1 - best.belongs(lines).sum(axis=0)
    rest = lines.about(best.centre)
    first = strongest_points(rest, rng, weight=left, count=1)
    if not len(first):
        return False
    gain = float(np.log1p(ROUGH_SHARE * (densities(rest, first[0], ROUGH_TAU) - 1)) @ left)
    direction = first[0] / (best.phi, best.phi, 1.0)
    direction /= np.linalg.norm(direction)
    off = float(np.abs(np.arcsin(np.clip(direction @ best.axes, -1, 1))).min())
    return gain > max(_LEAST_CONTRADICTION, _CONTRADICTION_SHARE * evidence) and off > _NOT_SQUARE


def _unsupported(lines: Lines, frame: Frame) -> int:
    """The axis that explains nothing which the others do not, or -1."""
    without = []
    for k in range(3):
        share = frame.share.copy()
        share[k] = 0.0
        without.append(replace(frame, share=share).scored(lines).score)
    gain = frame.score - np.array(without)
    return int(gain.argmin()) if gain.min() < _LEAST_SUPPORT else -1


def _with_centre(lines: Lines, best: Frame, prior_sd: float) -> tuple[Frame, tuple[int, ...]]:
    """With the principal point freed if that makes the lines much more likely, and they say well where it is."""
    freed = refine(lines, best, CENTRE)
    sd = np.sqrt(np.diag(covariance(lines, freed, CENTRE, prior_sd))[4:])
    told = (sd < _CENTRE_SD).all() and (np.abs(freed.centre) > _CENTRE_SIGMAS * sd).any()
    return (freed, CENTRE) if told and freed.score - best.score > _CENTRE_EVIDENCE else (best, FOCAL)


def _result(
    size: tuple[int, int], fit: _Fit, segments: Segments, known: KnownLens, k: Array, side: float
) -> VanishingPoints:
    frame = fit.frame
    order, signs, upright = _upright(frame.axes)
    axes = frame.axes[:, order] * signs
    lines = Lines.of(segments, known.principal_point, side)
    belongs = frame.belongs(lines)[order]
    direction = np.where(belongs.max(axis=0) > _BELONGS, belongs.argmax(axis=0), -1)
    rotation = fit.covariance[:3, :3]
    down = axes[:, 1]
    # a rotation about the vertical does not move it
    across = np.eye(3) - np.outer(down, down)
    return VanishingPoints(
        lens=_lens(size, known.principal_point + side * frame.centre, k),
        focal_px=frame.phi * side,
        focal_px_sd=float(frame.phi * side * np.sqrt(fit.covariance[3, 3])),
        R_cam_from_axes=axes,
        rotation_sd=np.sqrt(np.diag(rotation)),
        upright=upright,
        up_sd=float(np.sqrt(np.trace(across @ rotation @ across) / 2)),
        segments=segments,
        direction=direction.astype(np.int64),
        evidence=fit.evidence,
        square_assumed=not upright or _unsupported(lines, frame) == order[1] or abs(float(axes[2, 1])) < np.sin(_LEVEL),
    )


def at_focal(found: VanishingPoints, focal_px: float, focal_px_sd: float) -> VanishingPoints:
    """The same directions fitted anew with a focal length that is better known.

    Parameters
    ----------
    found : VanishingPoints
    focal_px, focal_px_sd : float
    """
    side = float(max(found.lens.size))
    lines = Lines.of(found.segments, found.lens.principal_point, side)
    frame = refine(lines, start(lines, found.R_cam_from_axes, focal_px / side), ROTATION)
    cov = covariance(lines, frame, ROTATION, _HELD_CENTRE_SD)
    cov[3, 3] = (focal_px_sd / focal_px) ** 2
    known = KnownLens(principal_point=found.lens.principal_point, principal_point_sd=0.0)
    fit = _Fit(frame=frame, covariance=cov, evidence=found.evidence, free=ROTATION)
    return _result(found.lens.size, fit, found.segments, known, found.lens.k, side)


def _upright(axes: Array) -> tuple[list[int], Array, bool]:
    """Order and signs of the columns that make them lead right, down and forward, and whether down is plausible."""
    signed = axes * np.where(axes[1] < 0, 1.0, -1.0)  # each with its end that is up in the picture
    roll, pitch = roll_and_pitch(signed.T)
    able = (np.abs(roll) < MOST_ROLL) & (np.abs(pitch) < MOST_PITCH)
    vertical = int(np.where(able, np.abs(pitch), np.inf).argmin()) if able.any() else int(np.abs(axes[1]).argmax())
    rest = [i for i in range(3) if i != vertical]
    forward = max(rest, key=lambda i: abs(axes[2, i]))
    right = next(i for i in rest if i != forward)
    order = [right, vertical, forward]
    signs = np.sign(axes[[0, 1, 2], order])
    signs[signs == 0] = 1.0
    if np.linalg.det(axes[:, order] * signs) < 0:
        signs[0] *= -1
    return order, signs, bool(able.any())
