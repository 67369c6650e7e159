"""The last adjustment of a reconstruction: every observation at its own weight, outliers out, the lens free."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import BundleOptions
from ..bundle.covariance import Deviations, LensEvidence, deviations
from ..bundle.priors import Priors
from ..bundle.residuals import (
    FOCAL,
    K1,
    K1_SLOPE,
    K2,
    K3,
    LENS_PARAMETERS,
    PRINCIPAL_X,
    PRINCIPAL_Y,
    READOUT,
    residuals,
)
from ..geometry.resect import POSE, TURN, refine_poses
from ..progress import Progress
from .grow import WIDE_CORNER_SD, keyframes, posed_anew
from .held import considering
from .knowledge import lens_values, may_zoom
from .model import Model, adjust_frames, in_full, least_views, normalised, place_points, sub_problem
from .seed import corner_prior, lens_sd
from .shutter import with_velocity, without_readout
from .weights import reweighted
from .zoom import estimated_sd, zoom_probe

# above this many frames the dense reduced system costs more than the rest of the solve: frames between keyframes are
# then posed against the points
MOST_ADJUSTED_FRAMES = 250
_PRINCIPAL_SD = 0.05
_REJECT_SIGMAS = 5.5
_REJECT_PX = 4.0
# each adjustment: the share of the cost at which it stops, Cauchy's constant, whether tracks are weighed by their own
# residuals. While the lens is rough it is the informative tracks that fit worst: weighing them down would keep it rough
_ROUNDS = ((1e-4, 6.0, False), (2e-4, 2.5, True), (1e-6, 2.5, True))
# a zoom settles along narrow valleys, in which little is gained at a time
_ZOOM_TOLERANCE = 1e-6
# of one adjustment
_ITERATIONS = 100
# a held parameter is freed when the data would move it by so many of its deviations
_EVIDENCE_SIGMAS = {K3: 5.0, PRINCIPAL_X: 8.0, PRINCIPAL_Y: 8.0}
# the same for a rolling shutter, whose readout must also be so many frames long to matter
_READOUT_SIGMAS = 8.0
_LEAST_READOUT = 0.03
# fewer frames than this leave k2 to noise
_K2_FRAMES = 8


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The adjusted model and how it was adjusted.

    Attributes
    ----------
    model : Model
        In a world as `normalised` makes it.
    options : BundleOptions
        Of the last adjustment; `free_lens` says what was estimated.
    frames : ndarray of bool, shape (F,)
        The frames that were adjusted together.
    iterations : int
        Of all adjustments.
    converged : bool
        Whether the last one settled.
    reasons : tuple of str
        Sentences for the report.
    least_log_focal_sd : float
        What the deviation of the logarithm of the focal length is at least; see `profile`.
    """

    model: Model
    options: BundleOptions
    frames: NDArray[np.bool_]
    iterations: int
    converged: bool
    reasons: tuple[str, ...] = ()
    least_log_focal_sd: float = 0.0

    @cached_property
    def deviations(self) -> tuple[NDArray[np.int64], Deviations]:
        """As `frame_deviations`, with all that is held considered (see `held`).

        Where the lens of a moving camera does not zoom but may, the zoom is probed.
        """
        model = self.model
        probe_zoom = may_zoom(model) and not (model.zooms or model.nodal)
        asking, considered = considering(model, self.options)
        # without a velocity a readout changes nothing
        moving = model if model.rolling else with_velocity(model)
        return frame_deviations(moving, self.frames, asking, probe_zoom, considered, by_frame=True)


def finish(model: Model, progress: Progress, iterations: int | None = None) -> Finished:
    """Adjust everything.

    Parameters
    ----------
    model : Model
        From `grow`.
    progress : Progress
    iterations : int or None
        Give up, not converged, at the first adjustment that takes so many.

    Returns
    -------
    Finished
    """
    frames = keyframes(model.posed, MOST_ADJUSTED_FRAMES)
    limit, iterations = iterations or _ITERATIONS, 0
    free = _plain_lens(model)
    # what is wildly off goes first, or its cost would hide how much the rest still gains
    model = _reject(reweighted(model, by_track=False), np.inf)
    rounds, done, shutter_known = list(_ROUNDS), 0, False
    while rounds:

        def tick(iteration: int, done: int = done, left: int = len(rounds)) -> None:
            progress((done + min(iteration / 10, 1)) / (done + left), "Adjusting all frames")

        tolerance, cauchy, by_track = rounds[0]
        last = len(rounds) == 1
        model = reweighted(with_velocity(model) if model.rolling else model, by_track)
        if last:
            evidence = _evidence(model, frames, free)
            if not shutter_known:
                shutter_known, rolled = True, model.rolling
                model = _with_shutter(model, evidence, free)
                if model.rolling != rolled:
                    rounds = list(_ROUNDS[1:])
                    continue
            free = _with_evidence(model, evidence, (*free, READOUT) if model.rolling else free)
        shutter = (READOUT,) if model.rolling else ()
        options = _options(model, tuple(sorted({*free, *shutter})), tolerance, cauchy)
        options = replace(
            options, iterations=limit, relative_tolerance=min(tolerance, _ZOOM_TOLERANCE) if model.zooms else tolerance
        )
        model, result = adjust_frames(model, frames, options, least_views(model), tick)
        iterations += result.iterations
        model = _pose_between(model, frames)
        if model.zooms and not last:
            model = replace(model, zoom_sd=estimated_sd(model.times[model.posed], model.state.zoom[model.posed]))
        if not last:
            model = posed_anew(model)
            frames &= model.posed
            model = _reject(model, _REJECT_SIGMAS)
        rounds, done = rounds[1:], done + 1
        if not result.converged and limit < _ITERATIONS:
            break
    progress(1.0, "Adjusting all frames")
    return Finished(
        model=normalised(model), options=options, frames=frames, iterations=iterations, converged=result.converged
    )


def adjusted_again(found: Finished) -> Finished:
    """The last adjustment once more, from where it ended, with what its model now says is known."""
    model, result = adjust_frames(found.model, found.frames, found.options, least_views(found.model))
    model = normalised(_pose_between(model, found.frames))
    return replace(found, model=model, iterations=found.iterations + result.iterations, converged=result.converged)


def frame_deviations(
    model: Model,
    frames: NDArray[np.bool_],
    options: BundleOptions,
    probe_zoom: bool = False,
    considered: tuple[int, ...] = (),
    by_frame: bool = False,
) -> tuple[NDArray[np.int64], Deviations]:
    """The frames (indices) that were adjusted and the deviations of their poses and of the lens."""
    frame_ids, _, state, observations, _ = sub_problem(model, frames, least_views(model))
    probe = zoom_probe(model.times[frame_ids]) if probe_zoom else None
    options = in_full(model, frame_ids, options)
    return frame_ids, deviations(state, observations, options, probe, considered, by_frame)


def _evidence(model: Model, frames: NDArray[np.bool_], free: tuple[int, ...]) -> LensEvidence:
    """What the data say of a rolling shutter and of the lens parameters that are held."""
    model = model if model.rolling else with_velocity(model)
    asked = tuple(sorted({*free, *_evidence_sigmas(model), READOUT}))
    return frame_deviations(model, frames, _options(model, asked, 0.0, _ROUNDS[-1][1]))[1].evidence


def _evidence_sigmas(model: Model) -> dict[int, float]:
    return _EVIDENCE_SIGMAS | ({K1_SLOPE: 5.0} if model.zooms else {})


def _with_shutter(model: Model, evidence: LensEvidence, free: tuple[int, ...]) -> Model:
    """The model with a rolling shutter where it is known or the data tell one, else without."""
    if model.known.readout is not None:
        return model
    step, sd = evidence.of((*free, READOUT, *lens_values(model.known)))
    readout = float(model.state.lens[READOUT] if model.rolling else step[READOUT])
    told = abs(readout) > max(_READOUT_SIGMAS * sd[READOUT], _LEAST_READOUT)
    return replace(model, rolling=True) if told else without_readout(model)


def _with_evidence(model: Model, evidence: LensEvidence, free: tuple[int, ...]) -> tuple[int, ...]:
    sigmas = _evidence_sigmas(model)
    step, sd = evidence.of((*free, *sigmas, *lens_values(model.known)))
    told = [i for i, least in sigmas.items() if abs(step[i]) > least * sd[i]]
    if PRINCIPAL_X in told or PRINCIPAL_Y in told:
        told = [*told, PRINCIPAL_X, PRINCIPAL_Y]  # it is one thing
    return tuple(sorted({*free, *told}))


def finishing_options(model: Model) -> BundleOptions:
    """How the last adjustment is done where the data ask for nothing more."""
    return _options(model, _plain_lens(model), *_ROUNDS[-1][:2])


def _plain_lens(model: Model) -> tuple[int, ...]:
    return (FOCAL, K1, K2) if model.posed.sum() >= _K2_FRAMES else (FOCAL, K1)


def _options(model: Model, free: tuple[int, ...], tolerance: float, cauchy: float) -> BundleOptions:
    sd = lens_sd(
        principal=_PRINCIPAL_SD * max(model.size),
        distortion=corner_prior(float(model.state.lens[FOCAL]), model.size, WIDE_CORNER_SD),
    )
    mean = np.zeros(len(LENS_PARAMETERS))
    mean[[PRINCIPAL_X, PRINCIPAL_Y]] = np.array(model.size) / 2
    priors = Priors(lens_mean=mean, lens_sd=sd)
    return BundleOptions(
        free_lens=free, priors=priors, iterations=_ITERATIONS, relative_tolerance=tolerance, cauchy=cauchy
    )


def _reject(model: Model, sigmas: float) -> Model:
    """Drop observations that do not fit, and points that keep too few; place anew what may fit by now."""
    model = replace(model, usable=model.still[model.tracks.track])
    model = place_points(model, ~model.placed, least_views(model))
    rows = model.rows(model.posed)
    e = residuals(model.state, model.observations(rows))
    error, depth = model.errors_px(rows)
    bad = ((e**2).sum(axis=1) > sigmas**2) | (error > _REJECT_PX) | (depth <= 0)
    usable = model.usable.copy()
    usable[np.flatnonzero(rows)[bad]] = False
    model = replace(model, usable=usable)
    left = np.bincount(model.tracks.track[model.rows(model.posed)], minlength=len(model.placed))
    return replace(model, placed=model.placed & (left >= least_views(model)))


def _pose_between(model: Model, frames: NDArray[np.bool_]) -> Model:
    between = np.flatnonzero(model.posed & ~frames)
    if not len(between):
        return model
    mask = np.zeros_like(frames)
    mask[between] = True
    free = TURN if model.nodal else POSE
    state = refine_poses(model.state, model.observations(model.rows(mask)), between, free=free)
    return place_points(replace(model, state=state), ~model.placed, least_views(model))
