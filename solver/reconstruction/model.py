"""What is solved so far, while a reconstruction grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import Adjustment, BundleOptions, adjust
from ..bundle.residuals import Array, Observations, State, camera_points, reprojection_errors
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
        return BrownConradyLens(size=self.size, principal_point=self.state.lens[1:3].copy(), k=self.state.lens[3:].copy())

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


def place_points(model: Model, which: NDArray[np.bool_], least_views: int = 2, limit_px: float = 4.0) -> Model:
    """Triangulate the tracks of a mask (T,) from all posed frames; those that do not fit are left out.

    A point must lie in front of its cameras and fit the middle one of its observations within `limit_px`.
    """
    tracks = model.tracks
    rows = model.usable & model.posed[tracks.frame] & which[tracks.track]
    views = np.bincount(tracks.track[rows], minlength=tracks.n_tracks)
    rows &= (views >= least_views)[tracks.track]
    chosen = np.flatnonzero(views * which >= least_views)
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


def adjust_frames(
    model: Model,
    frames: NDArray[np.bool_],
    options: BundleOptions,
    least_views: int = 2,
    tick: Callable[[int], None] | None = None,
) -> tuple[Model, Adjustment]:
    """Bundle adjustment over the frames of a mask (F,) and the placed points that at least `least_views` of them see."""
    rows = model.rows(frames)
    views = np.bincount(model.tracks.track[rows], minlength=len(model.placed))
    rows &= (views >= least_views)[model.tracks.track]
    frame_ids, camera = np.unique(model.tracks.frame[rows], return_inverse=True)
    track_ids, point = np.unique(model.tracks.track[rows], return_inverse=True)
    start = State(
        R=model.state.R[frame_ids], t=model.state.t[frame_ids], X=model.state.X[track_ids], lens=model.state.lens
    )
    observations = Observations(
        camera=camera.astype(np.int64),
        point=point.astype(np.int64),
        xy=model.tracks.xy[rows],
        whitening=model.whitening[rows],
    )
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
