"""What is solved so far, while a reconstruction grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import Adjustment, BundleOptions, adjust
from ..bundle.residuals import (
    K1,
    K1_SLOPE,
    K3,
    PRINCIPAL_X,
    PRINCIPAL_Y,
    Array,
    Observations,
    State,
    camera_points,
    reprojection_errors,
)
from ..bundle.rolling import stencil
from ..errors import TooFewTracks
from ..geometry.resect import refine_points
from ..geometry.triangulate import mean_directions, triangulate
from ..known import KnownValues
from ..lens import BrownConradyLens
from ..types import Tracks
from .knowledge import informed, located, poses_hold, with_locked_poses
from .zoom import WIDEST_SD, filled, smoothness, zoom_basis


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
    times : ndarray of shape (F,)
        Of the frames, in frames.
    zooms : bool
        Whether the focal length may change.
    zoom_sd : float
        Of its acceleration; see `zoom`.
    nodal : bool
        Whether the camera only turns: t is zero, and all points are infinitely far.
    rolling : bool
        Whether the shutter's readout is estimated, and velocities are kept; see `shutter`.
    still : ndarray of bool, shape (T,)
        False for a track that moves by itself: none of its observations is usable.
    known : KnownValues
        By the frames' times.
    located : bool
        Whether the model stands in the world of the known poses.
    """

    tracks: Tracks
    whitening: Array
    size: tuple[int, int]
    state: State
    posed: NDArray[np.bool_]
    placed: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    times: Array
    still: NDArray[np.bool_]
    zooms: bool = False
    zoom_sd: float = WIDEST_SD
    nodal: bool = False
    rolling: bool = False
    known: KnownValues = field(default_factory=KnownValues)
    located: bool = False

    @property
    def lens(self) -> BrownConradyLens:
        """The lens where its zoom is zero."""
        return BrownConradyLens(
            size=self.size,
            principal_point=self.state.lens[PRINCIPAL_X : PRINCIPAL_Y + 1].copy(),
            k=self.state.lens[K1 : K3 + 1].copy(),
        )

    def rays(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Array:
        """Undistorted normalised coordinates (n, 2) of the observations of a mask or of numbers."""
        frame = self.tracks.frame[rows]
        xy = self.tracks.xy[rows] - self.state.lens[PRINCIPAL_X : PRINCIPAL_Y + 1]
        xy = xy / self.state.focal_px[frame][:, None]
        if not (self.state.lens[K1_SLOPE] and self.state.zoom.any()):
            return self.lens.undistort(xy)
        k = self.state.k
        for one in np.unique(frame):
            at = frame == one
            xy[at] = replace(self.lens, k=k[one]).undistort(xy[at])
        return xy

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
            height=float(self.size[1]),
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
            lens=np.array([focal_px, size[0] / 2, size[1] / 2, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ),
        posed=np.zeros(n, dtype=bool),
        placed=np.zeros(m, dtype=bool),
        usable=np.ones(len(tracks.track), dtype=bool),
        times=np.arange(n, dtype=np.float64),
        still=np.ones(m, dtype=bool),
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
    X = model.state.X.copy()
    locate = mean_directions if model.nodal else triangulate
    X[chosen] = locate(
        model.state.R, model.state.t, model.rays(rows), tracks.frame[rows], slot[tracks.track[rows]], len(chosen)
    )
    state = replace(model.state, X=X)
    state = refine_points(state, model.observations(rows), chosen, iterations=4)
    if model.nodal:
        # their distance is not estimated, and rounding must not give them one
        X = state.X * np.array([1.0, 1.0, 1.0, 0.0])
        state = replace(state, X=X / np.sqrt((X**2).sum(axis=1))[:, None])
    model = replace(model, state=state)
    error, depth = model.errors_px(rows)
    bad = (error > limit_px) | (depth <= 0)
    share = np.bincount(tracks.track[rows], weights=bad, minlength=tracks.n_tracks)[chosen] / views[chosen]
    placed[chosen] = (share < 0.5) & (model.nodal | (np.abs(state.X[chosen, 3]) > 0))
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
        R=model.state.R[frame_ids],
        t=model.state.t[frame_ids],
        X=model.state.X[track_ids],
        lens=model.state.lens,
        zoom=model.state.zoom[frame_ids],
        velocity=model.state.velocity[frame_ids],
    )
    observations = replace(model.observations(rows), camera=camera.astype(np.int64), point=point.astype(np.int64))
    return frame_ids, track_ids, state, observations, rows


def in_full(model: Model, frame_ids: NDArray[np.int64], options: BundleOptions) -> BundleOptions:
    """`options` with what the model says of its camera: nodal or not, what is known, the zoom over the frames named."""
    moving = model.rolling and len(frame_ids) == model.posed.sum()
    options = replace(
        options,
        nodal=model.nodal,
        stencil=stencil(model.state.R[frame_ids], model.times[frame_ids]) if moving else None,
    )
    if not model.zooms:
        return informed(model, frame_ids, options)
    times = model.times[frame_ids]
    priors = replace(options.priors, zoom=smoothness(times, model.zoom_sd, float(max(model.size))))
    return informed(model, frame_ids, replace(options, zoom_basis=zoom_basis(times), priors=priors))


def adjust_frames(
    model: Model,
    frames: NDArray[np.bool_],
    options: BundleOptions,
    views_needed: int = 2,
    tick: Callable[[int], None] | None = None,
) -> tuple[Model, Adjustment]:
    """Bundle adjustment of `sub_problem`; the model with what came out of it."""
    frame_ids, track_ids, start, observations, _ = sub_problem(model, frames, views_needed)
    result = adjust(start, observations, in_full(model, frame_ids, options), tick)
    R, t, X, zoom = model.state.R.copy(), model.state.t.copy(), model.state.X.copy(), model.state.zoom.copy()
    velocity = model.state.velocity.copy()
    R[frame_ids], t[frame_ids], X[track_ids] = result.state.R, result.state.t, result.state.X
    velocity[frame_ids] = result.state.velocity
    if model.zooms:
        zoom[frame_ids] = result.state.zoom
        mask = np.zeros(len(frames), dtype=bool)
        mask[frame_ids] = True
        # frames that were not posed keep what they have
        zoom = np.where(mask | ~model.posed, zoom, filled(zoom, mask, model.times))
    return replace(
        model, state=replace(model.state, R=R, t=t, X=X, lens=result.state.lens, zoom=zoom, velocity=velocity)
    ), result


def turned(state: State, R0: Array) -> State:
    """The same scene in a world whose axes are those of a camera with rotation R0 (3, 3)."""
    X = state.X.copy()
    X[:, :3] = X[:, :3] @ R0.T
    return replace(state, R=state.R @ R0.T, X=X)


def normalised(model: Model) -> Model:
    """The same scene with the first posed camera's axes, the origin amid the cameras, and a path of unit size.

    A model in the world of known poses stays there; one whose unit they do not tell has a path of unit size.
    """
    if poses_hold(model):
        return with_locked_poses(model)
    fresh = _normalised(replace(model, located=False))
    return located(fresh) if model.located else fresh


def _normalised(model: Model) -> Model:
    posed = np.flatnonzero(model.posed)
    state = model.state
    if model.nodal:
        return replace(model, state=turned(state, state.R[posed[0]]))
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
    velocity = state.velocity.copy()
    velocity[:, 3:6] /= scale
    return replace(model, state=replace(state, R=R, t=t, X=X, velocity=velocity))
