"""What is solved so far, while a reconstruction grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import Adjustment, BundleOptions, adjust
from ..bundle.residuals import Array, Observations, State, camera_points, reprojection_errors
from ..errors import TooFewTracks
from ..geometry.resect import refine_points
from ..geometry.triangulate import triangulate
from ..lens import BrownConradyLens
from ..types import Tracks


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Cameras of all frames and points of all tracks, with masks of what is solved.

    Attributes
    ----------
    tracks : Tracks
    whitening : ndarray of shape (N, 2, 2)
        Of each observation, 1/pixels.
    size : (int, int)
    state : State
        R, t for every frame, X for every track, the lens.
    posed : ndarray of bool, shape (F,)
    placed : ndarray of bool, shape (T,)
    usable : ndarray of bool, shape (N,)
        False for an observation that was rejected.
    """

    tracks: Tracks
    whitening: Array
    size: tuple[int, int]
    state: State
    posed: NDArray[np.bool_]
    placed: NDArray[np.bool_]
    usable: NDArray[np.bool_]

    @property
    def lens(self) -> BrownConradyLens:
        """The lens as a model."""
        return BrownConradyLens(
            size=self.size, principal_point=self.state.lens[1:3].copy(), k=self.state.lens[3:].copy()
        )

    def rows(self, frames: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Usable observations (N,) of placed points in the frames of a mask (F,)."""
        return np.asarray(self.usable & frames[self.tracks.frame] & self.placed[self.tracks.track])

    def observations(self, rows: NDArray[np.bool_]) -> Observations:
        """Observations of the rows (N,) of a mask, cameras and points numbered as frames and tracks."""
        return Observations(
            camera=self.tracks.frame[rows],
            point=self.tracks.track[rows],
            xy=self.tracks.xy[rows],
            whitening=self.whitening[rows],
        )

    def errors_px(self, rows: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Distance in pixels (n,) and depth (n,) of the observations of a mask (N,)."""
        observations = self.observations(rows)
        error = np.sqrt((reprojection_errors(self.state, observations) ** 2).sum(axis=1))
        return error, camera_points(self.state, observations)[:, 2]


def whitening_of(covariance: Array) -> Array:
    """W (N, 2, 2) with W^T W the inverse of covariances (N, 2, 2), from the Cholesky factor in closed form."""
    a = np.sqrt(covariance[:, 0, 0])
    b = covariance[:, 1, 0] / a
    c = np.sqrt(covariance[:, 1, 1] - b**2)
    out = np.zeros_like(covariance)
    out[:, 0, 0], out[:, 1, 1] = 1 / a, 1 / c
    out[:, 1, 0] = -b / (a * c)
    return out


def new_model(tracks: Tracks, whitening: Array, size: tuple[int, int], focal_px: float) -> Model:
    """A model in which nothing is solved."""
    n, m = tracks.n_frames, tracks.n_tracks
    X = np.zeros((m, 4))
    X[:, 2] = 1.0
    return Model(
        tracks=tracks,
        whitening=whitening,
        size=size,
        state=State(
            R=np.tile(np.eye(3), (n, 1, 1)),
            t=np.zeros((n, 3)),
            X=X,
            lens=np.array([focal_px, size[0] / 2, size[1] / 2, 0.0, 0.0, 0.0]),
        ),
        posed=np.zeros(n, dtype=bool),
        placed=np.zeros(m, dtype=bool),
        usable=np.ones(len(tracks.track), dtype=bool),
    )


def least_views(model: Model) -> int:
    """Views that a point must have: three confirm each other; of two or three frames one cannot ask that."""
    return 3 if model.posed.sum() > 3 else 2


def place_points(model: Model, which: NDArray[np.bool_], views_needed: int = 2, limit_px: float = 4.0) -> Model:
    """Triangulate the tracks of a mask (T,) from all posed frames; those that do not fit are left out.

    A point must lie in front of its cameras and fit the middle one of its observations within `limit_px`.
    """
    tracks = model.tracks
    rows = model.usable & model.posed[tracks.frame] & which[tracks.track]
    views = np.bincount(tracks.track[rows], minlength=tracks.n_tracks)
    rows &= (views >= views_needed)[tracks.track]
    chosen = np.flatnonzero(views * which >= views_needed)
    placed = model.placed & ~which
    if not len(chosen):
        return replace(model, placed=placed)
    slot = np.full(tracks.n_tracks, -1, dtype=np.int64)
    slot[chosen] = np.arange(len(chosen))
    rays = model.lens.undistort((tracks.xy[rows] - model.state.lens[1:3]) / model.state.lens[0])
    X = model.state.X.copy()
    X[chosen] = triangulate(
        model.state.R, model.state.t, rays, tracks.frame[rows], slot[tracks.track[rows]], len(chosen)
    )
    state = State(R=model.state.R, t=model.state.t, X=X, lens=model.state.lens)
    state = refine_points(state, model.observations(rows), chosen, iterations=4)
    model = replace(model, state=state)
    error, depth = model.errors_px(rows)
    bad = (error > limit_px) | (depth <= 0)
    share = np.bincount(tracks.track[rows], weights=bad, minlength=tracks.n_tracks)[chosen] / views[chosen]
    placed[chosen] = (share < 0.5) & (np.abs(state.X[chosen, 3]) > 0)
    return replace(model, placed=placed)


def sub_problem(
    model: Model, frames: NDArray[np.bool_], views_needed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], State, Observations, NDArray[np.bool_]]:
    """The frames of a mask (F,) and the placed points that at least `views_needed` of them see, numbered anew.

    Returns
    -------
    frame_ids, track_ids : ndarray of int64
        Frames and tracks of the new numbers.
    state : State
    observations : Observations
    rows : ndarray of bool, shape (N,)
        The observations taken.

    Raises
    ------
    TooFewTracks
        If there is no such point.
    """
    rows = model.rows(frames)
    views = np.bincount(model.tracks.track[rows], minlength=len(model.placed))
    rows &= (views >= views_needed)[model.tracks.track]
    if not rows.any():
        raise TooFewTracks(
            f"No point is seen in {views_needed} of the {int(frames.sum())} frames that were posed: the frames share "
            "too little. Use frames closer to each other.",
            0,
            1,
        )
    frame_ids, camera = np.unique(model.tracks.frame[rows], return_inverse=True)
    track_ids, point = np.unique(model.tracks.track[rows], return_inverse=True)
    state = State(
        R=model.state.R[frame_ids], t=model.state.t[frame_ids], X=model.state.X[track_ids], lens=model.state.lens
    )
    observations = replace(model.observations(rows), camera=camera.astype(np.int64), point=point.astype(np.int64))
    return frame_ids, track_ids, state, observations, rows


def adjust_frames(
    model: Model,
    frames: NDArray[np.bool_],
    options: BundleOptions,
    views_needed: int = 2,
    tick: Callable[[int], None] | None = None,
) -> tuple[Model, Adjustment]:
    """Bundle adjustment of `sub_problem`; the model with what came out of it."""
    frame_ids, track_ids, start, observations, _ = sub_problem(model, frames, views_needed)
    result = adjust(start, observations, options, tick)
    R, t, X = model.state.R.copy(), model.state.t.copy(), model.state.X.copy()
    R[frame_ids], t[frame_ids], X[track_ids] = result.state.R, result.state.t, result.state.X
    return replace(model, state=State(R=R, t=t, X=X, lens=result.state.lens)), result


def normalised(model: Model) -> Model:
    """The same scene with the first posed camera's axes, the origin amid the cameras, and a path of unit size."""
    posed = np.flatnonzero(model.posed)
    state = model.state
    centre = -np.einsum("fji,fj->fi", state.R, state.t)
    origin = centre[posed].mean(axis=0)
    R0 = state.R[posed[0]]
    scale = float(np.sqrt(((centre[posed] - origin) ** 2).sum(axis=1).max()))
    if not scale > 0:
        return model
    # x_new = R0 (x - origin) / scale
    R = state.R @ R0.T
    t = (state.t + np.einsum("fij,j->fi", state.R, origin)) / scale
    X = state.X.copy()
    X[:, :3] = (state.X[:, :3] - state.X[:, 3:] * origin) @ R0.T / scale
    X /= np.sqrt((X**2).sum(axis=1))[:, None]
    return replace(model, state=State(R=R, t=t, X=X, lens=state.lens))
