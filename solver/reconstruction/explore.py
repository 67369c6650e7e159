"""The best of many starts, for shots whose first start leads nowhere or leaves doubts.

Which pair of frames a reconstruction starts from, and with which focal length, decides where it ends: the cost has
local minima. Many starts are grown on a part of the tracks, and adjusted on a part of the frames, which costs a
fraction of the whole; what explains those tracks best is then filled in with the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..bundle.residuals import FOCAL
from ..errors import SolverError
from ..geometry.two_view import FrameIndex
from ..progress import Progress
from .grow import adjust_keyframes, grow, growing_options, keyframes
from .knowledge import may_zoom
from .misfit import misfit, plain_noise, saved_by_plane
from .model import Model, adjust_frames, least_views, place_points
from .parallax import in_front
from .plane import plane_starts
from .seed import seeds
from .turning import with_principal_point

# frames whose tracks are taken, and how many of each: half of them the longest, half from all over the picture
_SKETCH_FRAMES = 16
_SKETCH_TRACKS = 100
_LEAST_LENGTH = 6
# pairs of frames to start from, and reference frames before a plane; frames that are adjusted, how long, and with which
# of Cauchy's constants
_PAIRS = 3
_PLANES = 2
_KEYFRAMES = 16
# tracks outlive a dozen frames; keyframes further apart would not share enough of them
_LARGEST_SPACING = 4
_ITERATIONS = 40
_CAUCHY = 2.5
# jumps along the valley of focal length and depth
_JUMPS = (1.5, 1 / 1.5)
_FOCAL_RANGE = (0.25, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A model of a part of the tracks and frames.

    Attributes
    ----------
    model : Model
        The cameras of the keyframes are posed.
    grown : ndarray of bool, shape (F,)
        Frames that were posed while it grew.
    tracks : ndarray of int64, shape (T,)
        Numbers of its tracks among all.
    plane : bool
        Whether it began from a plane on which the tracks lie.
    """

    model: Model
    grown: NDArray[np.bool_]
    tracks: NDArray[np.int64]
    plane: bool = False


def sketched(model: Model, index: FrameIndex, progress: Progress, flat: bool = False) -> Sketch:
    """The best sketch of a kind of camera.

    Parameters
    ----------
    model : Model
        With nothing solved; says what kind of camera to look for.
    index : FrameIndex
        Of the model's tracks.
    progress : Progress
    flat : bool
        The scene may be a plane: no pair of frames needs to show parallax.

    Raises
    ------
    SolverError
        If no start grows.
    """
    part, taken = _part(model)
    found: list[tuple[Model, NDArray[np.bool_], bool]] = []
    failures: list[SolverError] = []
    starts = [] if model.nodal or model.zooms else plane_starts(model, index, _PLANES)
    planes = len(starts)
    try:
        starts += seeds(model, index, _PAIRS, flat)
    except SolverError as failure:
        failures.append(failure)
    for i, start in enumerate(starts):
        progress(0.3 + 0.6 * i / len(starts), "Trying other beginnings")
        try:
            grown = grow(place_points(_of_part(part, start), np.ones_like(part.placed)))
            count = max(_KEYFRAMES, int(grown.posed.sum()) // _LARGEST_SPACING)
            few = replace(grown, posed=keyframes(grown.posed, count))
            found.append((_adjusted(few), grown.posed, i < planes))
        except SolverError as failure:
            failures.append(failure)
    if not found:
        raise failures[0]
    scale = min(plain_noise(tried) for tried, _, _ in found)

    def cost(tried: tuple[Model, NDArray[np.bool_], bool]) -> tuple[bool, float]:
        return not in_front(tried[0]), misfit(tried[0], scale) - (saved_by_plane(tried[0]) if tried[2] else 0.0)

    best, posed, plane = min(found, key=cost)
    # in a zoom the valley has more than one direction, and too little of the data is here to tell which way it falls
    for factor in () if model.nodal or model.zooms or plane or not may_zoom(model) else _JUMPS:
        if _FOCAL_RANGE[0] < factor * best.state.lens[FOCAL] / max(model.size) < _FOCAL_RANGE[1]:
            tried = _adjusted(stretched(best, factor))
            best = tried if in_front(tried) and misfit(tried, scale) < misfit(best, scale) else best
    return Sketch(model=best, grown=posed, tracks=taken, plane=plane)


def filled_in(model: Model, sketch: Sketch) -> Model:
    """A sketch's cameras and the points of all tracks; the frames between are posed, and all is adjusted.

    Parameters
    ----------
    model : Model
        With nothing solved.
    sketch : Sketch
        Of the same tracks.
    """
    state = sketch.model.state
    X = model.state.X.copy()
    X[sketch.tracks] = state.X
    model = replace(
        model,
        state=replace(state, X=X),
        posed=sketch.model.posed,
        zooms=sketch.model.zooms,
        nodal=sketch.model.nodal,
        zoom_sd=sketch.model.zoom_sd,
        rolling=sketch.model.rolling,
    )
    model = place_points(model, model.still, least_views(model))
    return adjust_keyframes(grow(model))


def flattened(sketch: Sketch) -> Sketch:
    """The sketch with one focal length for all frames."""
    model = sketch.model
    state = model.state
    lens = state.lens.copy()
    lens[FOCAL] *= np.exp(state.zoom[model.posed].mean())
    constant = replace(model, zooms=False, state=replace(state, lens=lens, zoom=np.zeros_like(state.zoom)))
    return replace(sketch, model=_adjusted(constant))


def _part(model: Model) -> tuple[Model, NDArray[np.int64]]:
    """The model with a part of its tracks, and their numbers among all."""
    tracks = model.tracks
    length = np.bincount(tracks.track[model.still[tracks.track]], minlength=tracks.n_tracks)
    chosen = np.zeros(tracks.n_tracks, dtype=bool)
    count = max(_SKETCH_FRAMES, tracks.n_frames // (2 * _LARGEST_SPACING))
    for frame in np.unique(np.linspace(0, tracks.n_frames - 1, count).round().astype(int)):
        alive = tracks.track[tracks.frame == frame]
        alive = alive[np.argsort(-length[alive], kind="stable")]
        half = _SKETCH_TRACKS // 2
        rest = np.sort(alive[half:][length[alive[half:]] >= _LEAST_LENGTH])
        chosen[alive[:half]] = True
        chosen[rest[:: max(1, len(rest) // half)]] = True
    chosen &= length > 0
    taken = np.flatnonzero(chosen)
    rows = chosen[tracks.track]
    part = replace(
        model,
        tracks=tracks.select(rows),
        whitening=model.whitening[rows],
        state=replace(model.state, X=model.state.X[taken]),
        placed=np.zeros(len(taken), dtype=bool),
        usable=np.ones(int(rows.sum()), dtype=bool),
        still=np.ones(len(taken), dtype=bool),
    )
    return part, taken


def _of_part(part: Model, start: Model) -> Model:
    return replace(part, state=replace(start.state, X=part.state.X), posed=start.posed)


def _adjusted(model: Model) -> Model:
    options = replace(growing_options(model), iterations=_ITERATIONS, cauchy=_CAUCHY, tolerance=0.5)
    options = with_principal_point(options, model)
    model = place_points(model, np.ones_like(model.placed), least_views(model))
    model = adjust_frames(model, model.posed, options, least_views(model))[0]
    return place_points(model, np.ones_like(model.placed), least_views(model))


def stretched(model: Model, factor: float) -> Model:
    """The same pictures, nearly, by a lens that is longer by `factor`.

    All that lies along the mean optical axis is farther by as much, and pans and tilts are smaller: cameras that turn
    little hardly see the difference.
    """
    state = model.state
    mean = Rotation.from_matrix(state.R[model.posed]).mean().as_matrix()
    axis = mean[2]
    turn = Rotation.from_matrix(state.R @ mean.T).as_rotvec()
    turn[:, :2] /= factor
    R = Rotation.from_rotvec(turn).as_matrix() @ mean
    centre = -np.einsum("fji,fj->fi", state.R, state.t)
    centre = centre + (factor - 1) * (centre @ axis)[:, None] * axis
    X = state.X.copy()
    X[:, :3] += (factor - 1) * (X[:, :3] @ axis)[:, None] * axis
    X /= np.sqrt((X**2).sum(axis=1))[:, None]
    lens = state.lens.copy()
    lens[FOCAL] *= factor
    return replace(model, state=replace(state, R=R, t=-np.einsum("fij,fj->fi", R, centre), X=X, lens=lens))
