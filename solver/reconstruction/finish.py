"""The last adjustment of a reconstruction: every observation at its own weight, outliers out, the lens free.

The covariances that tracking gives are right up to a common factor (they leave out what a patch does not see: surfaces
that are not flat, light that moves). The factor is measured from the residuals and all covariances are scaled by it,
so that the adjustment's weights, its robust kernel and the reported deviations share one unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import BundleOptions
from ..bundle.residuals import residuals
from ..geometry.resect import refine_poses
from ..progress import Progress
from .grow import keyframes
from .model import Model, adjust_frames, place_points
from .seed import corner_prior

# above this many frames the dense reduced system costs more than the rest of the solve: frames between keyframes are
# then posed against the points
MOST_ADJUSTED_FRAMES = 250
# prior on the distortion at the corner of the picture: 30 % covers every rectilinear lens
_CORNER_SD = 0.3
_ROUNDS = 3
_REJECT_SIGMAS = 4.0
_REJECT_PX = 4.0
_LEAST_VIEWS = 3
# a parameter is freed when it lowers the cost by this: about 4 sigma
_EVIDENCE = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The adjusted model and how it was adjusted.

    Attributes
    ----------
    model : Model
    options : BundleOptions
        Of the last adjustment; `free_lens` says what was estimated.
    frames : ndarray of bool, shape (F,)
        The frames that were adjusted together.
    iterations : int
        Of all adjustments.
    """

    model: Model
    options: BundleOptions
    frames: NDArray[np.bool_]
    iterations: int


def finish(model: Model, progress: Progress) -> Finished:
    """Adjust everything.

    Parameters
    ----------
    model : Model
        From `grow`.
    progress : Progress

    Returns
    -------
    Finished
    """
    frames = keyframes(model.posed, MOST_ADJUSTED_FRAMES)
    iterations = 0
    free: tuple[int, ...] = (0, 3, 4)
    for round_ in range(_ROUNDS):
        def tick(iteration: int, base: int = round_) -> None:
            progress((base + min(iteration / 20, 1)) / (_ROUNDS + 1), "Adjusting all frames")

        model = _reweighted(model)
        options = _options(model, free)
        model, result = adjust_frames(model, frames, options, _LEAST_VIEWS, tick)
        iterations += result.iterations
        model = _pose_between(model, frames)
        model = _reject(model)
    model = _reweighted(model)
    for extra in ((5,), (1, 2)):
        options = _options(model, free)
        before, result = adjust_frames(model, frames, options, _LEAST_VIEWS)
        wider = _options(model, tuple(sorted((*free, *extra))))
        after, wider_result = adjust_frames(model, frames, wider, _LEAST_VIEWS)
        iterations += result.iterations + wider_result.iterations
        if wider_result.cost < result.cost - _EVIDENCE * len(extra):
            free, model = wider.free_lens, after
        else:
            model = before
    model = _pose_between(model, frames)
    progress(1.0, "Adjusting all frames")
    return Finished(model=model, options=_options(model, free), frames=frames, iterations=iterations)


def _options(model: Model, free: tuple[int, ...]) -> BundleOptions:
    sd = np.full(6, np.inf)
    sd[3:] = corner_prior(float(model.state.lens[0]), model.size, _CORNER_SD)
    sd[1:3] = 0.05 * max(model.size)
    mean = np.zeros(6)
    mean[1:3] = np.array(model.size) / 2
    return BundleOptions(free_lens=free, lens_prior=mean, lens_prior_sd=sd, iterations=25)


def noise_scale(model: Model) -> float:
    """Robust ratio of the residuals to their assumed deviations (the median of |e|^2 is 2 ln 2 for unit noise)."""
    rows = model.rows(model.posed)
    e = residuals(model.state, model.observations(rows))
    return float(np.sqrt(np.median((e**2).sum(axis=1)) / (2 * np.log(2))))


def _reweighted(model: Model) -> Model:
    return replace(model, whitening=model.whitening / max(noise_scale(model), 1e-3))


def _reject(model: Model) -> Model:
    """Drop observations that do not fit, and points that keep too few; place anew what may fit by now."""
    model = replace(model, usable=np.ones_like(model.usable))
    model = place_points(model, ~model.placed, _LEAST_VIEWS)
    rows = model.rows(model.posed)
    observations = model.observations(rows)
    e = residuals(model.state, observations)
    error, depth = model.errors_px(rows)
    bad = ((e**2).sum(axis=1) > _REJECT_SIGMAS**2 * 2) | (error > _REJECT_PX) | (depth <= 0)
    usable = model.usable.copy()
    usable[np.flatnonzero(rows)[bad]] = False
    model = replace(model, usable=usable)
    left = np.bincount(model.tracks.track[model.rows(model.posed)], minlength=len(model.placed))
    return replace(model, placed=model.placed & (left >= _LEAST_VIEWS))


def _pose_between(model: Model, frames: NDArray[np.bool_]) -> Model:
    between = np.flatnonzero(model.posed & ~frames)
    if not len(between):
        return model
    mask = np.zeros_like(frames)
    mask[between] = True
    state = refine_poses(model.state, model.observations(model.rows(mask)), between)
    return place_points(replace(model, state=state), ~model.placed, _LEAST_VIEWS)


