"""The first frames of a reconstruction, with the focal length unknown.

A pair of frames with parallax and many shared tracks is chosen; for each of a range of focal lengths the pair's
relative pose is found, a few frames between are posed, and all of it is adjusted with the focal length and the first
distortion coefficient free. The start whose adjustment explains the tracks best is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from ..bundle.adjust import BundleOptions
from ..bundle.priors import Priors
from ..bundle.residuals import (
    FOCAL,
    K1,
    K1_SLOPE,
    K3,
    LENS_PARAMETERS,
    PRINCIPAL_X,
    PRINCIPAL_Y,
    READOUT,
    Array,
)
from ..errors import DegenerateMotion, TooFewTracks
from ..geometry.resect import POSE, TURN, refine_poses
from ..geometry.two_view import FrameIndex, Pair, homography_residual, relative_pose, relative_turn
from .knowledge import focal_starts, start_lens
from .model import Model, adjust_frames, normalised, place_points
from .shutter import READOUT_SD

# focal length over the picture's larger side: from a fisheye-like 100 degrees to a long lens of 10
FOCAL_STARTS = (0.45, 0.65, 0.9, 1.25, 1.8, 2.6, 4.0)
# by how much it may change over the first frames
ZOOM_STARTS = (0.67, 1.0, 1.5)
_LEAST_SHARED = 40
_WINDOW_FRAMES = 6
# adjustment of every start, and of the few that explain the tracks best by then
_FIRST_ITERATIONS = 6
_PROMISING = 2
_ITERATIONS = 30
MOST_TRACKS = 400
# parallax below this cannot be told from the tracks' own errors
_LEAST_PARALLAX_PX = 1.5
# with a focal length known for all frames this is enough: a zoom cannot look like parallax
_LEAST_PARALLAX_KNOWN_PX = 0.5
# a picture that moves less than this says nothing of the lens
LEAST_MOVED_PX = 3.0
# standard deviation of the early observations: alignment errors and a lens that is not known yet
_EARLY_DEVIATION_PX = 0.7
# deviation of log focal length (a factor of 2 either way) and of distortion at the picture's corner
_LOG_FOCAL_SD = 0.7
CORNER_DISTORTION_SD = 0.12
# Cauchy's cost of an error of ten deviations: what an observation costs whose point could not be placed
_OUTLIER_COST = 18.0
# how far off the points of a start may be, whose lens is wrong
_ROUGH_PX = 30.0


def choose_pairs(
    tracks: FrameIndex, n_frames: int, count: int = 1, least_parallax_px: float = _LEAST_PARALLAX_PX
) -> list[Pair]:
    """The pairs of frames that promise most, each with another first frame: much parallax, many shared tracks.

    A short baseline fits every focal length equally well, so parallax counts as much as the number of tracks.

    Parameters
    ----------
    tracks : FrameIndex
    n_frames : int
    least_parallax_px : float

    Raises
    ------
    TooFewTracks
        If no two frames share enough.
    DegenerateMotion
        If no pair shows parallax.
    """
    found: list[tuple[float, Pair]] = []
    most_shared, most_parallax = 0, 0.0
    for first in np.unique(np.linspace(0, n_frames - 2, 9).astype(int)):
        best: Pair | None = None
        best_score = 0.0
        gap = max(1, n_frames // 64)
        while first + gap < n_frames:
            pair = tracks.pair(int(first), int(first) + gap)
            most_shared = max(most_shared, len(pair.tracks))
            if len(pair.tracks) < _LEAST_SHARED:
                break
            parallax = homography_residual(pair)
            most_parallax = max(most_parallax, parallax)
            score = np.sqrt(len(pair.tracks) * parallax)
            if parallax > least_parallax_px and score > best_score:
                best, best_score = pair, score
            gap = max(gap + 1, int(gap * 1.5))
        if best is not None:
            found.append((best_score, best))
    if not found and most_shared < _LEAST_SHARED:
        raise _too_few(most_shared)
    if not found:
        raise DegenerateMotion(
            f"The camera shows no parallax ({most_parallax:.1f} px at the most): it stands still or only turns, so "
            "that no depth or camera path can be found. Use a shot in which the camera moves through space."
        )
    return [pair for _, pair in sorted(found, key=lambda pair: -pair[0])[:count]]


def widest_pair(tracks: FrameIndex, n_frames: int) -> Pair:
    """The pair of frames between which the picture moves farthest while many tracks last: for a camera that turns.

    Raises
    ------
    TooFewTracks
        If no two frames share enough.
    DegenerateMotion
        If the picture stands still.
    """
    best: Pair | None = None
    best_score, most_shared, most_moved = 0.0, 0, 0.0
    for first in np.unique(np.linspace(0, n_frames - 2, 9).astype(int)):
        gap = max(1, n_frames // 64)
        while first + gap < n_frames:
            pair = tracks.pair(int(first), int(first) + gap)
            most_shared = max(most_shared, len(pair.tracks))
            if len(pair.tracks) < _LEAST_SHARED:
                break
            moved = float(np.median(np.sqrt(((pair.xy_second - pair.xy_first) ** 2).sum(axis=1))))
            most_moved = max(most_moved, moved)
            score = np.sqrt(len(pair.tracks)) * moved
            if score > best_score:
                best, best_score = pair, score
            gap = max(gap + 1, int(gap * 1.5))
    if best is None:
        raise _too_few(most_shared)
    if most_moved < LEAST_MOVED_PX:
        raise DegenerateMotion(
            f"The camera stands still (the picture moves by {most_moved:.1f} px at the most): how it stands and what "
            "lens it has cannot be told from movement. Use a shot in which the camera moves or turns."
        )
    return best


def _too_few(most_shared: int) -> TooFewTracks:
    return TooFewTracks(
        f"Only {most_shared} points can be followed from one frame to another, {_LEAST_SHARED} are needed: "
        "the footage has too little texture, too much blur, or cuts. Try a shot or a range with more detail.",
        most_shared,
        _LEAST_SHARED,
    )


def corner_prior(focal_px: float, size: tuple[int, int], sd: float = CORNER_DISTORTION_SD) -> Array:
    """Deviations of k1, k2, k3 for a distortion of `sd` (relative) at the picture's corner."""
    r = np.hypot(*size) / 2 / focal_px
    return np.array([sd / r**2, sd / r**4, sd / r**6])


def lens_sd(focal: float = np.inf, principal: float = np.inf, distortion: Array | None = None) -> Array:
    """Deviations (8,) of `LENS_PARAMETERS`, infinite where nothing is known."""
    sd = np.full(len(LENS_PARAMETERS), np.inf)
    sd[READOUT] = READOUT_SD
    sd[FOCAL], sd[PRINCIPAL_X : PRINCIPAL_Y + 1] = focal, principal
    if distortion is not None:
        sd[K1 : K3 + 1] = distortion
        sd[K1_SLOPE] = distortion[0]
    return sd


def seed(model: Model, index: FrameIndex) -> Model:
    """The best start over all focal lengths, from the pair of frames that promises most.

    Parameters
    ----------
    model : Model
        With nothing solved.
    index : FrameIndex
        Of the model's tracks.

    Returns
    -------
    Model
        A few frames posed, the points of the seed pair placed.

    Raises
    ------
    TooFewTracks, DegenerateMotion
        See `choose_pairs`; also when no start can be adjusted.
    """
    return seeds(model, index, 1)[0]


def seeds(model: Model, index: FrameIndex, count: int, flat: bool = False) -> list[Model]:
    """As `seed`, the best starts of so many pairs of frames; of a scene so `flat` that no pair shows parallax, of one.

    Raises
    ------
    TooFewTracks, DegenerateMotion
        When no pair gives any.
    """
    n = model.tracks.n_frames
    least = _LEAST_PARALLAX_KNOWN_PX if model.known.focal_px is not None else _LEAST_PARALLAX_PX
    pairs = [widest_pair(index, n)] if model.nodal or flat else choose_pairs(index, n, count, least)
    found = [start for pair in pairs if (start := _best_start(model, pair)) is not None]
    if not found:
        raise DegenerateMotion(
            "No two frames of the shot have a consistent relative pose: too much of the picture moves by itself, or "
            "the camera only turns. Use a shot in which the camera moves through a still scene."
        )
    return found


def _best_start(model: Model, pair: Pair) -> Model | None:
    """The start from a pair whose adjustment explains the tracks best."""
    window = np.unique(np.linspace(pair.first, pair.second, _WINDOW_FRAMES).round().astype(int))
    chosen = np.zeros_like(model.placed)
    chosen[pair.tracks[:: max(1, len(pair.tracks) // MOST_TRACKS)]] = True
    starts = [
        _start(model, pair, window, chosen, float(focal), ratio)
        for focal in focal_starts(model, np.array(FOCAL_STARTS) * float(max(model.size)))
        for ratio in (ZOOM_STARTS if model.zooms and not model.state.zoom.any() else (1.0,))
    ]
    return settled_start(starts, window, chosen)


def settled_start(starts: Iterable[Model | None], window: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Model | None:
    """The best of several starts: all are adjusted a little, and the promising ones until they settle.

    Parameters
    ----------
    starts : iterable of Model or None
        None: there is none.
    window : ndarray of int64
        The frames that are adjusted.
    chosen : ndarray of bool, shape (T,)
        The tracks.

    Returns
    -------
    Model or None
        Normalised; None where there is no start.
    """
    tried = [_adjusted_start(start, window, chosen, _FIRST_ITERATIONS) for start in starts if start is not None]
    if not tried:
        return None
    promising = sorted(tried, key=lambda attempt: attempt[1])[:_PROMISING]
    settled = [_adjusted_start(start, window, chosen, _ITERATIONS) for start, _ in promising]
    return normalised(min(settled, key=lambda attempt: attempt[1])[0])


def _start(
    model: Model, pair: Pair, window: NDArray[np.int64], chosen: NDArray[np.bool_], focal_px: float, ratio: float
) -> Model | None:
    """The window posed for a focal length and its ratio from the first to the last frame, or None."""
    share = (window - window[0]) / (window[-1] - window[0])
    zoom = model.state.zoom.copy()
    # beside a curve that is known the ratio is 1
    zoom[window] += np.log(ratio) * (share - 0.5)
    lens = start_lens(model, focal_px)
    model = replace(model, state=replace(model.state, lens=lens, zoom=zoom))
    a = model.lens.undistort((pair.xy_first - model.lens.principal_point) / model.state.focal_px[pair.first])
    b = model.lens.undistort((pair.xy_second - model.lens.principal_point) / model.state.focal_px[pair.second])
    pose = relative_turn(a, b, 3.0 / focal_px) if model.nodal else relative_pose(a, b, 1.5 / focal_px)
    if pose is None:
        return None
    R_ab, t_ab, _ = pose
    state = model.state
    R, t = state.R.copy(), state.t.copy()
    slerp = Slerp([0, 1], Rotation.from_matrix(np.stack([np.eye(3), R_ab])))
    R[window] = slerp(share).as_matrix()
    centre_b = -R_ab.T @ t_ab
    t[window] = -np.einsum("fij,fj->fi", R[window], share[:, None] * centre_b)
    fresh = fresh_start(model, R, t, window[[0, -1]], chosen)
    if fresh.placed.sum() < 12:
        return None
    middle = window[1:-1]
    if len(middle):
        mask = np.zeros_like(fresh.posed)
        mask[middle] = True
        rows = fresh.rows(mask)
        seen = np.unique(fresh.tracks.frame[rows])
        state = refine_poses(fresh.state, fresh.observations(rows), seen, free=TURN if model.nodal else POSE)
        posed = fresh.posed.copy()
        posed[seen] = True
        fresh = replace(fresh, state=state, posed=posed)
    return fresh


def fresh_start(model: Model, R: Array, t: Array, frames: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Model:
    """The model with only these frames posed, by R (F, 3, 3) and t (F, 3), and the tracks of a mask (T,) placed."""
    posed = np.zeros_like(model.posed)
    posed[frames] = True
    fresh = replace(
        model,
        whitening=np.tile(np.eye(2) / _EARLY_DEVIATION_PX, (len(model.whitening), 1, 1)),
        state=replace(model.state, R=R, t=t),
        posed=posed,
        placed=np.zeros_like(model.placed),
    )
    return place_points(fresh, chosen, limit_px=_ROUGH_PX)


def _adjusted_start(
    model: Model, window: NDArray[np.int64], chosen: NDArray[np.bool_], iterations: int
) -> tuple[Model, float]:
    """A start adjusted with the focal length and the first distortion coefficient free, and its cost.

    Parameters
    ----------
    model : Model
    window : ndarray of int64
        Frames of the start.
    chosen : ndarray of bool, shape (T,)
        Its tracks: those that could not be placed cost as much as outliers.
    iterations : int
    """
    focal = model.state.lens[FOCAL]
    mean = model.state.lens.copy()
    mean[K1:] = 0.0
    sd = lens_sd(_LOG_FOCAL_SD * focal, distortion=corner_prior(focal, model.size))
    options = BundleOptions(free_lens=(FOCAL, K1), priors=Priors(lens_mean=mean, lens_sd=sd), iterations=iterations)
    frames = np.zeros_like(model.posed)
    frames[window] = True
    model, result = adjust_frames(model, frames & model.posed, options)
    missing = int((frames[model.tracks.frame] & chosen[model.tracks.track]).sum()) - len(result.weight)
    return model, result.cost + _OUTLIER_COST * missing
