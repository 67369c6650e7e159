"""What kind of camera the shot has: every kind that the tracks allow is tried, and evidence decides.

A moving camera explains everything that a turning one does, and a zooming lens everything that a constant one does, so
the freer one must earn its freedom: its cost has to fall by more than twice the number of unknowns that it adds, as in
Torr, Geometric motion segmentation and model selection (1998).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bundle.adjust import robust_cost, stretched
from ..bundle.covariance import Deviations
from ..bundle.residuals import FOCAL, reprojection_errors
from ..errors import DegenerateMotion, SolverError
from ..geometry.two_view import FrameIndex
from ..progress import Progress
from ..types import Tracks
from .finish import Finished, finish, frame_deviations, noise_scale
from .grow import adjust_keyframes, grow
from .model import Model, new_model, normalised, whitening_of
from .moving import find_motion, leave_out, still_only, take_back
from .seed import seed

# added to each observation while the lens is rough: what distortion not yet known does to a patch's neighbours
_EARLY_DEVIATION_PX = 0.2
# below this angle between the first and the last ray to a point, the tracks may be those of a camera that only turns
_NODAL_ANGLE_DEG = 1.5
# how many times its deviation, for each unknown, a zoom must reach, and how much it must change the focal length
_ZOOM_SIGMAS = 3.5
_ZOOM_LEAST = 0.003
# a constant focal length that is less certain than this may be a zoom that looks like a move
_UNCERTAIN = 0.05
# focal length over the picture's larger side: from 140 degrees to 3
_POSSIBLE_FOCAL = (0.18, 20.0)
# gain in cost for each unknown that a freer camera adds
_GAIN = 2.0
# a jump along the valley, how long to settle after it, and the focal lengths, over the picture's larger side, to try
_VALLEY_STEP = 1.4
_VALLEY_ITERATIONS = 15
_FOCAL_RANGE = (0.3, 8.0)
# an observation that no camera explains
_MISSING_COST = 18.0
_CAUCHY = 2.5


def reconstruct(tracks: Tracks, size: tuple[int, int], times: np.ndarray, progress: Progress) -> Finished:
    """Lens, cameras and points of the kind of shot that the tracks show.

    Parameters
    ----------
    tracks : Tracks
    size : (int, int)
    times : ndarray of shape (F,)
        Of the frames, in frames.
    progress : Progress

    Raises
    ------
    SolverError
        If no kind of camera explains the tracks.
    """
    motion = find_motion(tracks, size)
    index = FrameIndex(still_only(tracks, motion.still))
    model = replace(
        new_model(tracks, _early_whitening(tracks), size, float(max(size))), times=np.asarray(times, dtype=np.float64)
    )
    attempts = _Attempts(leave_out(model, motion.still), index)
    best = moving = attempts.make(progress.part(0.0, 0.6), nodal=False, zooms=False)
    if moving is None or parallax_deg(moving.model) < _NODAL_ANGLE_DEG:
        best = _plainer(attempts.make(progress.part(0.6, 0.75), nodal=True, zooms=False), moving)
    if best is None or _may_zoom(best):
        zooming = attempts.make(progress.part(0.75, 1.0), nodal=best is not None and best.model.nodal, zooms=True)
        if best is None and zooming is None:
            zooming = attempts.make(progress.part(0.75, 1.0), nodal=True, zooms=True)
        best = _plainer(best, zooming)
    if best is None:
        # the plainest camera that failed says it best
        raise attempts.failures[-1] if isinstance(attempts.failures[-1], DegenerateMotion) else attempts.failures[0]
    progress(1.0, "Adjusting all frames")
    return replace(best, model=normalised(best.model), reasons=motion.reasons)


class _Attempts:
    """Solves of one set of tracks as different kinds of camera, and why some of them failed."""

    def __init__(self, model: Model, index: FrameIndex) -> None:
        self.model = model
        self.index = index
        self.failures: list[SolverError] = []

    def make(self, progress: Progress, *, nodal: bool, zooms: bool) -> Finished | None:
        model = replace(self.model, nodal=nodal, zooms=zooms)
        try:
            # the seed's own weights are those of the first frames only
            model = replace(seed(model, self.index), whitening=self.model.whitening)
            model = take_back(grow(model, progress.part(0.1, 0.6)))
            if zooms:
                model = _best_along_valley(model)
            found = finish(model, progress.part(0.6, 1.0))
            share = found.model.state.focal_px / max(model.size)
            if not (_POSSIBLE_FOCAL[0] < share.min() and share.max() < _POSSIBLE_FOCAL[1]):
                raise DegenerateMotion(
                    "No lens that exists explains how the picture moves: too much of it moves by itself, or the camera "
                    "hardly moves. Use a shot in which the camera moves through a still scene."
                )
            return found
        except SolverError as failure:
            self.failures.append(failure)
            return None


def _best_along_valley(model: Model) -> Model:
    """The model, or the same with a much longer or shorter lens where that explains the tracks better.

    A zoom seen with little rotation has a second valley: depth, dolly and zoom all stretched. Steps do not lead out of
    it, a jump does.
    """
    scale = noise_scale(_plain_weights(model))
    best = adjust_keyframes(model, _VALLEY_ITERATIONS)
    cost = _misfit(best, scale)
    for factor in (_VALLEY_STEP, 1 / _VALLEY_STEP):
        while True:
            lens = best.state.lens.copy()
            lens[FOCAL] *= factor
            state = best.state if model.nodal else stretched(best.state, factor)[0]
            X = state.X / np.sqrt((state.X**2).sum(axis=1))[:, None]
            tried = adjust_keyframes(replace(best, state=replace(state, X=X, lens=lens)), _VALLEY_ITERATIONS)
            tried_cost = _misfit(tried, scale)
            if (
                tried_cost > cost * (1 - 1e-3)
                or not _FOCAL_RANGE[0] < tried.state.lens[FOCAL] / max(model.size) < _FOCAL_RANGE[1]
            ):
                break
            best, cost = tried, tried_cost
    return best


def _early_whitening(tracks: Tracks) -> np.ndarray:
    return whitening_of(tracks.covariance + _EARLY_DEVIATION_PX**2 * np.eye(2))


def _may_zoom(found: Finished) -> bool:
    """Whether the data ask for a focal length that changes, or do not tell a constant one."""
    _, sd = frame_deviations(found.model, found.frames, found.options, probe_zoom=True)
    if float(np.median(sd.log_focal)) > _UNCERTAIN:
        return True
    return zoom_evidence(sd) > _ZOOM_SIGMAS and float(np.sqrt((sd.probe_step**2).sum())) > _ZOOM_LEAST


def zoom_evidence(sd: Deviations) -> float:
    """How many deviations, for each unknown, the zoom that the data ask for is away from none."""
    chi2 = float(sd.probe_step @ np.linalg.solve(sd.probe_covariance, sd.probe_step))
    return float(np.sqrt(max(chi2, 0.0) / len(sd.probe_step)))


def _plainer(plain: Finished | None, free: Finished | None) -> Finished | None:
    """The plainer of two solves unless the freer one explains enough more."""
    if plain is None or free is None:
        return plain or free
    scale = min(noise_scale(_plain_weights(found.model)) for found in (plain, free))
    gain = _misfit(plain.model, scale) - _misfit(free.model, scale)
    return free if gain > _GAIN * (_unknowns(free) - _unknowns(plain)) else plain


def _plain_weights(model: Model) -> Model:
    return replace(model, whitening=whitening_of(model.tracks.covariance))


def _misfit(model: Model, scale: float) -> float:
    """Robust cost of every observation, with what is not explained at all at a fixed price."""
    model = replace(_plain_weights(model), usable=np.ones_like(model.usable))
    rows = model.rows(model.posed)
    observations = model.observations(rows)
    error = reprojection_errors(model.state, observations)
    whitened = np.matmul(observations.whitening, error[:, :, None])[:, :, 0] / scale
    square = np.minimum((whitened**2).sum(axis=1), 100.0)
    return robust_cost(np.sqrt(square)[:, None], _CAUCHY) + _MISSING_COST * float((~rows).sum())


def _unknowns(found: Finished) -> float:
    model = found.model
    poses, points = float(model.posed.sum()), float(model.placed.sum())
    lens = len(found.options.free_lens)
    zoom = min(poses, float(np.ptp(model.times)) / 6 + 3) if model.zooms else 0.0
    return (3 * poses + 2 * points if model.nodal else 6 * poses + 3 * points) + lens + zoom


def parallax_deg(model: Model) -> float:
    """Median angle between the first and the last ray to a point, degrees."""
    tracks = model.tracks
    rows = np.flatnonzero(model.rows(model.posed))
    first = rows[np.append(True, np.diff(tracks.track[rows]) != 0)]
    last = rows[np.append(np.diff(tracks.track[rows]) != 0, True)]
    rays = []
    for row in (first, last):
        ray = np.concatenate([model.rays(row), np.ones((len(row), 1))], axis=1)
        ray = np.einsum("fji,fj->fi", model.state.R[tracks.frame[row]], ray)
        rays.append(ray / np.linalg.norm(ray, axis=1, keepdims=True))
    return float(np.degrees(np.median(2 * np.arcsin(np.clip(np.linalg.norm(rays[0] - rays[1], axis=1) / 2, 0, 1)))))
