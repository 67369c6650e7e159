"""The best of many starts, for shots whose first start leads nowhere.

Which pair of frames a reconstruction starts from, and with which focal length, decides where it ends: the cost has
valleys and local minima. Many starts are grown on a part of the tracks, the longest ones seen in each part of the shot,
which costs a fraction of the whole; what explains those tracks best is then filled in with the rest.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import stretched
from ..bundle.residuals import FOCAL
from ..errors import SolverError
from ..geometry.two_view import FrameIndex
from ..progress import Progress
from .grow import adjust_keyframes, grow
from .misfit import misfit, plain_noise
from .model import Model, least_views, place_points
from .seed import seeds

# frames whose longest tracks are taken, and how many of each
_SKETCH_FRAMES = 16
_SKETCH_TRACKS = 150
# pairs of frames to start from, and the starts, once grown, that are worth a walk along the valley
_PAIRS = 4
_WALKED = 2
# a jump along the valley, how long to settle after it, and the focal lengths, over the picture's larger side, to try
_VALLEY_STEP = 1.4
_VALLEY_ITERATIONS = 15
_FOCAL_RANGE = (0.3, 8.0)


def explored(model: Model, progress: Progress) -> Model:
    """The best model of its kind, all frames posed that can be.

    Parameters
    ----------
    model : Model
        With nothing solved; says what kind of camera to look for.
    progress : Progress

    Raises
    ------
    SolverError
        If no start grows.
    """
    sketch, taken = _sketch(model)
    starts = seeds(sketch, FrameIndex(sketch.tracks), _PAIRS)
    grown: list[Model] = []
    failures: list[SolverError] = []
    for i, start in enumerate(starts):
        progress(0.2 + 0.4 * i / len(starts), "Trying other beginnings")
        try:
            grown.append(grow(replace(start, whitening=sketch.whitening)))
        except SolverError as failure:
            failures.append(failure)
    if not grown:
        raise failures[0]
    scale = min(plain_noise(found) for found in grown)
    grown.sort(key=lambda found: misfit(found, scale))
    walked = []
    for i, found in enumerate(grown[:_WALKED]):
        progress(0.6 + 0.15 * i, "Trying other focal lengths")
        walked.append(best_along_valley(found))
    scale = min(plain_noise(found) for found in walked)
    best = min(walked, key=lambda found: misfit(found, scale))
    progress(0.9, "Solving")
    return _filled_in(model, best, taken)


def best_along_valley(model: Model) -> Model:
    """The model, or the same with a much longer or shorter lens where that explains the tracks better.

    A shot with little rotation has a second valley: depth, dolly and zoom all stretched. Steps do not lead out of it, a
    jump does.
    """
    scale = plain_noise(model)
    best = adjust_keyframes(model, _VALLEY_ITERATIONS)
    cost = misfit(best, scale)
    for factor in (_VALLEY_STEP, 1 / _VALLEY_STEP):
        while True:
            lens = best.state.lens.copy()
            lens[FOCAL] *= factor
            state = best.state if model.nodal else stretched(best.state, factor)[0]
            X = state.X / np.sqrt((state.X**2).sum(axis=1))[:, None]
            tried = adjust_keyframes(replace(best, state=replace(state, X=X, lens=lens)), _VALLEY_ITERATIONS)
            tried_cost = misfit(tried, scale)
            if (
                tried_cost > cost * (1 - 1e-3)
                or not _FOCAL_RANGE[0] < tried.state.lens[FOCAL] / max(model.size) < _FOCAL_RANGE[1]
            ):
                break
            best, cost = tried, tried_cost
    return best


def _sketch(model: Model) -> tuple[Model, NDArray[np.int64]]:
    """The model with a part of its tracks, and their numbers among all."""
    tracks = model.tracks
    length = np.bincount(tracks.track[model.still[tracks.track]], minlength=tracks.n_tracks)
    chosen = np.zeros(tracks.n_tracks, dtype=bool)
    for frame in np.unique(np.linspace(0, tracks.n_frames - 1, _SKETCH_FRAMES).round().astype(int)):
        alive = tracks.track[tracks.frame == frame]
        chosen[alive[np.argsort(-length[alive], kind="stable")[:_SKETCH_TRACKS]]] = True
    chosen &= length > 0
    taken = np.flatnonzero(chosen)
    rows = chosen[tracks.track]
    part = tracks.select(rows)
    return (
        replace(
            model,
            tracks=part,
            whitening=model.whitening[rows],
            state=replace(model.state, X=model.state.X[taken]),
            placed=model.placed[taken],
            usable=np.ones(int(rows.sum()), dtype=bool),
            still=np.ones(len(taken), dtype=bool),
        ),
        taken,
    )


def _filled_in(model: Model, sketch: Model, taken: NDArray[np.int64]) -> Model:
    """The cameras of a sketch with the points of all tracks."""
    X, placed = model.state.X.copy(), np.zeros_like(model.placed)
    X[taken], placed[taken] = sketch.state.X, sketch.placed
    model = replace(
        model,
        state=replace(sketch.state, X=X),
        posed=sketch.posed,
        placed=placed,
        zoom_sd=sketch.zoom_sd,
        rolling=sketch.rolling,
    )
    model = place_points(model, model.still & ~placed, least_views(model))
    # frames that only other tracks reach
    return grow(model) if not model.posed.all() else adjust_keyframes(model)
