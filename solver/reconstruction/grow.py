"""From a few posed frames to the whole shot.

Frames next to those already posed are resected a few at a time against the points placed so far, new points are
triangulated, and all is adjusted again each time the posed part has grown by a third, on keyframes only, so that the
work grows linearly with the length of the shot. Where the points fit worse and worse the poses drift: there it is
adjusted sooner.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from ..bundle.adjust import BundleOptions
from ..bundle.priors import Priors
from ..bundle.residuals import FOCAL, K1, K2, READOUT, Array
from ..geometry.resect import POSE, TURN, ZOOM, refine_poses
from ..geometry.rotation import orthonormal
from ..geometry.two_view import relative_turn
from ..progress import Progress
from .knowledge import holding_curve
from .model import Model, adjust_frames, least_views, place_points
from .seed import CORNER_DISTORTION_SD, corner_prior, lens_sd
from .shutter import with_velocity
from .zoom import filled

# frames resected at a time on either side: a quarter of a second, over which extrapolation holds
_STEP_FRAMES = 6
LEAST_POINTS = 15
_GROWTH = 1.35
_KEYFRAMES = 40
# 30 % at the corner covers every rectilinear lens; fewer frames than this leave k2 to noise
WIDE_CORNER_SD = 0.3
_K2_FRAMES = 16
# the next adjustment goes on where this one stops
_ITERATIONS = 5
# wide: with a lens that is still rough, most of what does not fit yet is no outlier
_CAUCHY = 6.0
_INLIER_PX = 4.0
_LEAST_INLIERS = 0.35
# where fewer of a frame's points fit the poses have drifted; the next adjustment then comes after a growth of so much
_GOOD_INLIERS = 0.85
_DRIFTED_GROWTH = 1.08
# what is posed anew once all has been adjusted
_FAIR_INLIERS = 0.7
_CLOSE_PX = 1.5
# beyond a break nothing else speaks for a pose; how many frames to try
_JUMP_INLIERS = 0.5
_JUMP_TRIES = 12
# how far the logarithm of the focal length may leave its extrapolation over a few frames
_ZOOM_STEP_SD = 0.05


def grow(model: Model, progress: Progress | None = None) -> Model:
    """Pose every frame that can be posed, starting from a seed.

    Parameters
    ----------
    model : Model
        From `seed`.
    progress : Progress or None

    Returns
    -------
    Model
    """
    model = adjust_keyframes(_fill(model))
    while True:
        model = _grown(model, progress)
        beyond = _jumped(model)
        if beyond is None:
            break
        model = beyond
    return model if model.posed.all() else _fill(model)


def _grown(model: Model, progress: Progress | None) -> Model:
    """Pose frame after frame on both sides until one fails on each."""
    n = model.tracks.n_frames
    adjusted_at, just_adjusted = int(model.posed.sum()), True
    while not model.posed.all():
        before = model.posed
        first, last = np.flatnonzero(before)[[0, -1]]
        for edge, frames in (
            (first, np.arange(first - 1, max(first - _STEP_FRAMES, 0) - 1, -1)),
            (last, np.arange(last + 1, min(last + _STEP_FRAMES, n - 1) + 1)),
        ):
            if len(frames):
                # a frame that does not fit is posed from nothing only where the others have just been adjusted
                model = _resect(model, frames, int(edge), anew=just_adjusted)
        fresh = model.posed & ~before
        count = int(model.posed.sum())
        if not fresh.any() and just_adjusted:
            break
        model = _place_new(model)
        drifts = bool(fresh.any()) and _worst_fit(model, fresh) < _GOOD_INLIERS
        growth = _DRIFTED_GROWTH if drifts else _GROWTH
        model = replace(model, rolling=model.rolling or drifts)
        just_adjusted = not fresh.any() or bool(model.posed.all()) or count > growth * adjusted_at
        if just_adjusted:
            model = adjust_keyframes(model)
            adjusted_at = count
        if progress is not None:
            progress(count / n, "Solving")
    return model


def _jumped(model: Model) -> Model | None:
    """Pose the nearest frame beyond those that cannot be posed (black, covered, blurred), or None."""
    posed = np.flatnonzero(model.posed)
    seen = np.bincount(model.tracks.frame[model.rows(~model.posed)], minlength=len(model.posed)) >= LEAST_POINTS
    for side, edge in ((1, int(posed[-1])), (-1, int(posed[0]))):
        for frame, change in _jumps(model, (edge + side * np.flatnonzero(seen[edge::side]))[:_JUMP_TRIES], edge):
            zoom = model.state.zoom.copy()
            zoom[frame] = zoom[edge] + change
            tried = replace(model, state=replace(model.state, zoom=zoom))
            found = _turned(tried, frame, edge) if model.nodal else _ransac(tried, frame, _JUMP_INLIERS)
            if found is not None:
                mask = model.posed.copy()
                mask[frame] = True
                return replace(found, posed=mask)
    return None


def _jumps(model: Model, frames: NDArray[np.int64], edge: int) -> list[tuple[int, float]]:
    """Frames to try, and by how much the zoom may have changed to them since the edge: on as before, or not at all."""
    if not model.zooms:
        return [(int(frame), 0.0) for frame in frames]
    posed = np.flatnonzero(model.posed)
    before = posed[np.abs(posed - edge) <= _STEP_FRAMES]
    slope = np.polyfit(model.times[before], model.state.zoom[before], 1)[0] if len(before) > 1 else 0.0
    on = [float(slope * (model.times[frame] - model.times[edge])) for frame in frames]
    return [(int(frame), change) for frame, ahead in zip(frames, on, strict=True) for change in (ahead, 0.0)]


def posed_anew(model: Model) -> Model:
    """Frames that most of their points do not fit, posed from nothing but their points; or posed no longer.

    Where a path closes, a frame may have been posed between what it saw before and what drifted until then.
    """
    model = replace(model, usable=np.ones_like(model.usable))
    _, share = _inliers(model, model.rows(model.posed), _CLOSE_PX)
    bad = model.posed & (share < _FAIR_INLIERS)
    good = np.flatnonzero(model.posed & ~bad)
    if bad.sum() > len(good):
        return model
    for frame in np.flatnonzero(bad).tolist():
        edge = int(good[np.abs(good - frame).argmin()])
        found = _turned(model, frame, edge) if model.nodal else _ransac(model, frame, _JUMP_INLIERS)
        if found is not None:
            only = np.arange(len(bad)) == frame
            model = found if _inliers(found, found.rows(only), _CLOSE_PX)[1][frame] > share[frame] else model
        elif share[frame] < _JUMP_INLIERS:
            posed = model.posed.copy()
            posed[frame] = False
            model = replace(model, posed=posed)
    return model


def _fill(model: Model) -> Model:
    """Pose the frames between those of the seed."""
    n = model.tracks.n_frames
    posed = np.flatnonzero(model.posed)
    inside = np.zeros(n, dtype=bool)
    inside[posed[0] : posed[-1] + 1] = True
    missing = np.flatnonzero(inside & ~model.posed)
    if not len(missing):
        return _place_new(model)
    R, t = model.state.R.copy(), model.state.t.copy()
    centre = -np.einsum("fji,fj->fi", R[posed], t[posed])
    R[missing] = Slerp(posed, Rotation.from_matrix(R[posed]))(missing).as_matrix()
    between = np.stack([np.interp(missing, posed, column) for column in centre.T], axis=1)
    t[missing] = -np.einsum("fij,fj->fi", R[missing], between)
    zoom = filled(model.state.zoom, model.posed, model.times)
    model = replace(model, state=replace(model.state, R=R, t=t, zoom=zoom))
    return _place_new(_posed(model, missing, None, True))


def _resect(model: Model, frames: NDArray[np.int64], edge: int, anew: bool) -> Model:
    """Pose frames beyond the edge, in order, until one fails; `anew`: what fails, from nothing but its points."""
    posed = np.flatnonzero(model.posed)
    inner = posed[posed < edge][-1:] if frames[0] > edge else posed[posed > edge][:1]
    R, t, zoom = model.state.R.copy(), model.state.t.copy(), model.state.zoom.copy()
    R_step, centre_step = np.eye(3), np.zeros(3)
    zoom[frames] = zoom[edge]
    if len(inner) and abs(int(inner[0]) - edge) == 1:
        zoom[frames] += (zoom[edge] - zoom[inner[0]]) * np.arange(1, len(frames) + 1)
        # the transpose of what rounding has bent is not its inverse: from step to step the bend would grow
        R_step = orthonormal(R[edge] @ R[inner[0]].T)
        centre_step = _centre(R[edge], t[edge]) - _centre(R[inner[0]], t[inner[0]])
    R_last, centre = R[edge], _centre(R[edge], t[edge])
    for frame in frames:
        R_last, centre = R_step @ R_last, centre + centre_step
        R[frame], t[frame] = R_last, -R_last @ centre
    extrapolated = replace(model, state=replace(model.state, R=R, t=t, zoom=zoom))
    return _posed(extrapolated, frames, edge, anew)


def _centre(R: Array, t: Array) -> Array:
    return np.asarray(-R.T @ t)


def _posed(model: Model, frames: NDArray[np.int64], edge: int | None, anew: bool) -> Model:
    """Refine the poses of frames that hold a guess; those that fit become posed, up to the first failure."""
    model = holding_curve(model)
    mask = np.zeros(len(model.posed), dtype=bool)
    mask[frames] = True
    rows = model.rows(mask)
    counts = np.bincount(model.tracks.frame[rows], minlength=len(mask))
    enough = frames[counts[frames] >= LEAST_POINTS]
    if edge is not None:
        enough = frames[: np.argmin(np.append(counts[frames] >= LEAST_POINTS, False))]
    if not len(enough):
        return model
    mask[:] = False
    mask[enough] = True
    rows = model.rows(mask)
    free = (TURN if model.nodal else POSE) + (ZOOM if model.zooms else ())
    if model.rolling and edge is not None:
        velocity = model.state.velocity.copy()
        velocity[frames] = velocity[edge]
        model = replace(model, state=replace(model.state, velocity=velocity))
    state = refine_poses(model.state, model.observations(rows), enough, cauchy=3.0, free=free, zoom_sd=_ZOOM_STEP_SD)
    model = replace(model, state=state)
    good = _fit(model, rows, mask)
    share = _inliers(model, rows)[1]
    for frame in enough[share[enough] < _GOOD_INLIERS] if not model.nodal else ():
        # a guess that is far off can end at a pose that fits a part of the points
        if good[frame] or anew:
            retried = _ransac(model, int(frame))
            if retried is not None and _worst_fit(retried, np.arange(len(mask)) == frame) > share[frame]:
                model = retried
                good[frame] = True
        if not good[frame] and edge is not None:
            break
    accepted = enough[good[enough]]
    if edge is not None:
        accepted = enough[: np.argmin(np.append(good[enough], False))]
    posed = model.posed.copy()
    posed[accepted] = True
    model = replace(model, posed=posed)
    return with_velocity(model) if model.rolling else model


def _inliers(model: Model, rows: NDArray[np.bool_], limit_px: float = _INLIER_PX) -> tuple[Array, Array]:
    """How many observations of each frame (F,) lie near their points, and their share of all."""
    error, depth = model.errors_px(rows)
    fits = (error < limit_px) & (depth > 0)
    at = model.tracks.frame[rows]
    inliers = np.bincount(at, weights=fits, minlength=len(model.posed))
    total = np.maximum(np.bincount(at, minlength=len(model.posed)), 1)
    return inliers.astype(np.float64), np.asarray(inliers / total)


def _fit(
    model: Model, rows: NDArray[np.bool_], frames: NDArray[np.bool_], least_share: float = _LEAST_INLIERS
) -> NDArray[np.bool_]:
    """Mask (F,) of the frames in which enough observations lie near their points."""
    inliers, share = _inliers(model, rows)
    return np.asarray(frames & (inliers >= LEAST_POINTS) & (share >= least_share))


def _worst_fit(model: Model, frames: NDArray[np.bool_]) -> float:
    """Smallest share of the observations near their points in the frames of a mask (F,)."""
    return float(_inliers(model, model.rows(frames))[1][frames].min())


def _ransac(model: Model, frame: int, least_share: float = _LEAST_INLIERS) -> Model | None:
    """Pose one frame from nothing but its points, or None."""
    mask = np.zeros(len(model.posed), dtype=bool)
    mask[frame] = True
    rows = model.rows(mask) & (np.abs(model.state.X[model.tracks.track, 3]) > 1e-4)
    if rows.sum() < LEAST_POINTS:
        return None
    X = model.state.X[model.tracks.track[rows]]
    focal = float(model.state.focal_px[frame])
    xy = model.rays(rows)
    found, vector, t, _ = cv2.solvePnPRansac(
        X[:, :3] / X[:, 3:],
        xy,
        np.eye(3),
        None,
        reprojectionError=_INLIER_PX / focal,
        iterationsCount=300,
        flags=cv2.SOLVEPNP_EPNP,
    )
    if not found:
        return None
    R_all, t_all = model.state.R.copy(), model.state.t.copy()
    R_all[frame], t_all[frame] = cv2.Rodrigues(vector)[0], t[:, 0]
    rows = model.rows(mask)
    state = replace(model.state, R=R_all, t=t_all)
    tried = replace(model, state=state)
    free = POSE + (ZOOM if model.zooms else ())
    observations = tried.observations(rows)
    state = refine_poses(state, observations, np.array([frame]), free=free, zoom_sd=_ZOOM_STEP_SD)
    tried = replace(tried, state=state)
    return tried if _fit(tried, rows, mask, least_share)[frame] else None


def _turned(model: Model, frame: int, edge: int) -> Model | None:
    """Turn one frame of a camera that only turns from nothing but its points, or None."""
    mask = np.zeros(len(model.posed), dtype=bool)
    mask[frame] = True
    rows = model.rows(mask)
    ahead = model.state.X[model.tracks.track[rows], :3] @ model.state.R[edge].T
    front = ahead[:, 2] > 0
    if front.sum() < LEAST_POINTS:
        return None
    at_edge = ahead[front, :2] / ahead[front, 2:]
    found = relative_turn(at_edge, model.rays(rows)[front], _INLIER_PX / float(model.state.focal_px[edge]))
    if found is None:
        return None
    R_all = model.state.R.copy()
    R_all[frame] = found[0] @ model.state.R[edge]
    tried = replace(model, state=replace(model.state, R=R_all))
    tried = replace(tried, state=refine_poses(tried.state, tried.observations(rows), np.array([frame]), free=TURN))
    return tried if _fit(tried, rows, mask, _JUMP_INLIERS)[frame] else None


def _place_new(model: Model) -> Model:
    return place_points(model, ~model.placed, least_views(model))


def keyframes(posed: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """About `count` posed frames, evenly spread, with the first and the last."""
    ids = np.flatnonzero(posed)
    mask = np.zeros(len(posed), dtype=bool)
    mask[ids[np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))]] = True
    return mask


def growing_options(model: Model) -> BundleOptions:
    """How to adjust while a model grows."""
    enough = model.posed.sum() >= _K2_FRAMES
    free_lens, corner = ((FOCAL, K1, K2), WIDE_CORNER_SD) if enough else ((FOCAL, K1), CORNER_DISTORTION_SD)
    sd = lens_sd(distortion=corner_prior(float(model.state.lens[FOCAL]), model.size, corner))
    return BundleOptions(
        free_lens=(*free_lens, READOUT) if model.rolling else free_lens,
        priors=Priors(lens_mean=np.zeros(len(sd)), lens_sd=sd),
        iterations=_ITERATIONS,
        tolerance=1.0,
        cauchy=_CAUCHY,
    )


def adjust_keyframes(model: Model, iterations: int = _ITERATIONS) -> Model:
    """Adjust on keyframes with the lens free as far as so many frames tell it, then the frames between, all points."""
    # tracks outlive a dozen frames; keyframes further apart would not share enough of them
    spacing_limit = int(np.ceil(model.posed.sum() / 6))
    mask = keyframes(model.posed, max(_KEYFRAMES, spacing_limit))
    model = with_velocity(model) if model.rolling else model
    options = replace(growing_options(model), iterations=iterations)
    model, _ = adjust_frames(model, mask, options, least_views(model))
    between = np.flatnonzero(model.posed & ~mask)
    if len(between):
        frames = np.zeros_like(mask)
        frames[between] = True
        rows = model.rows(frames)
        free = TURN if model.nodal else POSE
        state = refine_poses(model.state, model.observations(rows), between, iterations=5, free=free)
        model = replace(model, state=state)
    return place_points(model, np.ones_like(model.placed), least_views(model))
