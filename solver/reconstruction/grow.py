"""From a few posed frames to the whole shot.

Frames next to those already posed are resected a few at a time against the points placed so far, new points are
triangulated, and all is adjusted again each time the posed part has grown by a third, on keyframes only, so that the
work grows linearly with the length of the shot.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import BundleOptions
from ..bundle.priors import Priors
from ..bundle.residuals import Array
from ..geometry.resect import POSE, TURN, ZOOM, refine_poses
from ..progress import Progress
from .model import Model, adjust_frames, least_views, place_points
from .seed import CORNER_DISTORTION_SD, corner_prior, lens_sd
from .zoom import filled

# frames resected at a time on either side: a quarter of a second, over which extrapolation holds
_STEP_FRAMES = 6
_LEAST_POINTS = 15
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
    n = model.tracks.n_frames
    model = _fill(model)
    model = adjust_keyframes(model)
    adjusted_at = int(model.posed.sum())
    blocked = {-1: False, 1: False}
    while not model.posed.all() and not all(blocked.values()):
        posed = np.flatnonzero(model.posed)
        for side in (-1, 1):
            edge = int(posed[-1] if side > 0 else posed[0])
            if blocked[side] or not 0 <= edge + side < n:
                blocked[side] = True
                continue
            frames = edge + side * np.arange(1, _STEP_FRAMES + 1)
            frames = frames[(frames >= 0) & (frames < n)]
            grown = _resect(model, frames, edge)
            blocked[side] = not grown.posed[frames[0]]
            model = grown
        model = _place_new(model)
        count = int(model.posed.sum())
        if count > _GROWTH * adjusted_at or model.posed.all() or all(blocked.values()):
            model = adjust_keyframes(model)
            adjusted_at = count
            blocked = dict.fromkeys(blocked, False) if count < n and _advanced(model, posed) else blocked
        if progress is not None:
            progress(count / n, "Solving")
    return model


def _advanced(model: Model, posed_before: NDArray[np.int64]) -> bool:
    return int(model.posed.sum()) > len(posed_before)


def _fill(model: Model) -> Model:
    """Pose the frames between those of the seed."""
    n = model.tracks.n_frames
    posed = np.flatnonzero(model.posed)
    inside = np.zeros(n, dtype=bool)
    inside[posed[0] : posed[-1] + 1] = True
    missing = np.flatnonzero(inside & ~model.posed)
    if not len(missing):
        return _place_new(model)
    nearest = posed[np.abs(missing[:, None] - posed[None]).argmin(axis=1)]
    R, t = model.state.R.copy(), model.state.t.copy()
    R[missing], t[missing] = R[nearest], t[nearest]
    zoom = filled(model.state.zoom, model.posed, model.times)
    model = replace(model, state=replace(model.state, R=R, t=t, zoom=zoom))
    return _place_new(_posed(model, missing, None))


def _resect(model: Model, frames: NDArray[np.int64], edge: int) -> Model:
    """Pose frames beyond the edge, in order, until one fails."""
    posed = np.flatnonzero(model.posed)
    inner = posed[posed < edge][-1:] if frames[0] > edge else posed[posed > edge][:1]
    R, t, zoom = model.state.R.copy(), model.state.t.copy(), model.state.zoom.copy()
    R_step, centre_step = np.eye(3), np.zeros(3)
    zoom[frames] = zoom[edge]
    if len(inner) and abs(int(inner[0]) - edge) == 1:
        zoom[frames] += (zoom[edge] - zoom[inner[0]]) * np.arange(1, len(frames) + 1)
        R_step = R[edge] @ R[inner[0]].T
        centre_step = _centre(R[edge], t[edge]) - _centre(R[inner[0]], t[inner[0]])
    R_last, centre = R[edge], _centre(R[edge], t[edge])
    for frame in frames:
        R_last, centre = R_step @ R_last, centre + centre_step
        R[frame], t[frame] = R_last, -R_last @ centre
    extrapolated = replace(model, state=replace(model.state, R=R, t=t, zoom=zoom))
    return _posed(extrapolated, frames, edge)


def _centre(R: Array, t: Array) -> Array:
    return np.asarray(-R.T @ t)


def _posed(model: Model, frames: NDArray[np.int64], edge: int | None) -> Model:
    """Refine the poses of frames that hold a guess; those that fit become posed, up to the first failure."""
    mask = np.zeros(len(model.posed), dtype=bool)
    mask[frames] = True
    rows = model.rows(mask)
    counts = np.bincount(model.tracks.frame[rows], minlength=len(mask))
    enough = frames[counts[frames] >= _LEAST_POINTS]
    if edge is not None:
        enough = frames[: np.argmin(np.append(counts[frames] >= _LEAST_POINTS, False))]
    if not len(enough):
        return model
    mask[:] = False
    mask[enough] = True
    rows = model.rows(mask)
    free = (TURN if model.nodal else POSE) + (ZOOM if model.zooms else ())
    state = refine_poses(model.state, model.observations(rows), enough, cauchy=3.0, free=free, zoom_sd=_ZOOM_STEP_SD)
    model = replace(model, state=state)
    good = _fit(model, rows, mask)
    for frame in enough[~good[enough]]:
        retried = None if model.nodal else _ransac(model, int(frame))
        if retried is not None:
            model = retried
            good[frame] = True
        elif edge is not None:
            break
    accepted = enough[good[enough]]
    if edge is not None:
        accepted = enough[: np.argmin(np.append(good[enough], False))]
    posed = model.posed.copy()
    posed[accepted] = True
    return replace(model, posed=posed)


def _fit(model: Model, rows: NDArray[np.bool_], frames: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask (F,) of the frames in which enough observations lie near their points."""
    error, depth = model.errors_px(rows)
    fits = (error < _INLIER_PX) & (depth > 0)
    at = model.tracks.frame[rows]
    inliers = np.bincount(at, weights=fits, minlength=len(frames))
    total = np.maximum(np.bincount(at, minlength=len(frames)), 1)
    return np.asarray(frames & (inliers >= _LEAST_POINTS) & (inliers / total >= _LEAST_INLIERS))


def _ransac(model: Model, frame: int) -> Model | None:
    """Pose one frame from nothing but its points, or None."""
    mask = np.zeros(len(model.posed), dtype=bool)
    mask[frame] = True
    rows = model.rows(mask) & (np.abs(model.state.X[model.tracks.track, 3]) > 1e-4)
    if rows.sum() < _LEAST_POINTS:
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
    tried = replace(tried, state=refine_poses(state, tried.observations(rows), np.array([frame])))
    return tried if _fit(tried, rows, mask)[frame] else None


def _place_new(model: Model) -> Model:
    return place_points(model, ~model.placed, least_views(model))


def keyframes(posed: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """About `count` posed frames, evenly spread, with the first and the last."""
    ids = np.flatnonzero(posed)
    mask = np.zeros(len(posed), dtype=bool)
    mask[ids[np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))]] = True
    return mask


def adjust_keyframes(model: Model, iterations: int = _ITERATIONS) -> Model:
    """Adjust on keyframes with focal length and k1 free, then the frames between, then all points."""
    focal = model.state.lens[0]
    # tracks outlive a dozen frames; keyframes further apart would not share enough of them
    spacing_limit = int(np.ceil(model.posed.sum() / 6))
    mask = keyframes(model.posed, max(_KEYFRAMES, spacing_limit))
    free_lens, corner = (
        ((0, 3, 4), WIDE_CORNER_SD) if model.posed.sum() >= _K2_FRAMES else ((0, 3), CORNER_DISTORTION_SD)
    )
    priors = Priors(lens_mean=np.zeros(8), lens_sd=lens_sd(distortion=corner_prior(focal, model.size, corner)))
    options = BundleOptions(free_lens=free_lens, priors=priors, iterations=iterations, tolerance=1.0, cauchy=_CAUCHY)
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
