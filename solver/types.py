"""The data that flows from footage to scene: Footage -> Tracks -> Solve -> Scene.

All are immutable; estimates carry their deviation; "not solved" is a mask, never NaN. Coordinates are those of
`conventions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .known import KnownValues
from .lens import BrownConradyLens

SOLVED = "solved"
WARNINGS = "warnings"
REFUSED = "refused"

# what kind of camera a shot has
MOVING = "moving"
NODAL = "nodal"
STATIC = "static"


def _check(owner: object, **shapes: tuple[int, ...]) -> None:
    for name, shape in shapes.items():
        value = getattr(owner, name)
        if value.shape != shape:
            raise ValueError(f"{type(owner).__name__}.{name} must have shape {shape}, found {value.shape}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"{type(owner).__name__}.{name} holds values that are not finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What is known of the footage once it is read.

    Attributes
    ----------
    name : str
    footage : str
        Path of the footage as given.
    first_file : str
        The video, or the first frame of the sequence: what Blender loads.
    is_sequence : bool
    size : (int, int)
        Width, height, pixels.
    frame_rate : float
        Frames a second.
    frame_numbers : ndarray of int64, shape (F,)
        Number of each frame that exists, rising.
    missing_frames : ndarray of int64, shape (M,)
        Numbers between the first and the last that do not exist.
    pixel_aspect : float
    metadata : dict
        What headers say.
    """

    name: str
    footage: str
    first_file: str
    is_sequence: bool
    size: tuple[int, int]
    frame_rate: float
    frame_numbers: NDArray[np.int64]
    missing_frames: NDArray[np.int64]
    pixel_aspect: float = 1.0
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Observations of scene points, one row each, sorted by track, then frame.

    Attributes
    ----------
    track : ndarray of int64, shape (N,)
        Track of each observation, 0 .. n_tracks - 1.
    frame : ndarray of int64, shape (N,)
        Index of the frame (0-based, not its number).
    xy : ndarray of float64, shape (N, 2)
        Pixels.
    covariance : ndarray of float64, shape (N, 2, 2)
        Pixels squared.
    n_frames : int
    """

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    xy: NDArray[np.float64]
    covariance: NDArray[np.float64]
    n_frames: int

    def __post_init__(self) -> None:
        n = len(self.track)
        _check(self, track=(n,), frame=(n,), xy=(n, 2), covariance=(n, 2, 2))
        if n and (self.frame.min() < 0 or self.frame.max() >= self.n_frames or self.track.min() < 0):
            raise ValueError("Tracks hold an index outside the shot")

    @property
    def n_tracks(self) -> int:
        """Number of tracks."""
        return int(self.track.max()) + 1 if len(self.track) else 0

    def select(self, keep: NDArray[np.bool_]) -> Tracks:
        """The observations where `keep` (N,) is true, tracks numbered anew without gaps."""
        _, track = np.unique(self.track[keep], return_inverse=True)
        return Tracks(
            track=track.astype(np.int64),
            frame=self.frame[keep],
            xy=self.xy[keep],
            covariance=self.covariance[keep],
            n_frames=self.n_frames,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPath:
    """Pose and focal length of every frame, with standard deviations.

    Attributes
    ----------
    R_cam_from_world : ndarray of shape (F, 3, 3)
    t_cam_from_world : ndarray of shape (F, 3)
        Scene units; point_cam = R point_world + t.
    focal_px : ndarray of shape (F,)
    focal_px_sd : ndarray of shape (F,)
        All deviations of frames that were not solved include what an interpolation misses; see `between`.
    distortion : ndarray of shape (F, 3)
        k1, k2, k3 of each frame: they may change along a zoom.
    rotation_sd : ndarray of shape (F, 3)
        Radians, about the camera's axes.
    position_sd : ndarray of shape (F, 3)
        Scene units, along the world's axes, relative to the gauge that the solve holds.
    solved : ndarray of bool, shape (F,)
        False: the values are interpolated.
    """

    R_cam_from_world: NDArray[np.float64]
    t_cam_from_world: NDArray[np.float64]
    focal_px: NDArray[np.float64]
    focal_px_sd: NDArray[np.float64]
    distortion: NDArray[np.float64]
    rotation_sd: NDArray[np.float64]
    position_sd: NDArray[np.float64]
    solved: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.focal_px)
        _check(
            self,
            R_cam_from_world=(n, 3, 3),
            t_cam_from_world=(n, 3),
            focal_px=(n,),
            focal_px_sd=(n,),
            distortion=(n, 3),
            rotation_sd=(n, 3),
            position_sd=(n, 3),
            solved=(n,),
        )

    @property
    def centre_world(self) -> NDArray[np.float64]:
        """Camera centres in the world, shape (F, 3)."""
        return np.asarray(-np.einsum("fji,fj->fi", self.R_cam_from_world, self.t_cam_from_world))


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Solved scene points.

    Attributes
    ----------
    xyz_world : ndarray of shape (P, 3), scene units
    track : ndarray of int64, shape (P,)
        The track (in `Solve.tracks`) that each point belongs to.
    error_px : ndarray of shape (P,)
        RMS reprojection error.
    """

    xyz_world: NDArray[np.float64]
    track: NDArray[np.int64]
    error_px: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.track)
        _check(self, xyz_world=(n, 3), track=(n,), error_px=(n,))


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRange:
    """Frames whose camera is not to be trusted.

    Attributes
    ----------
    first, last : int
        Numbers of the first and the last frame.
    reason : str
        One sentence.
    """

    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveReport:
    """How the solve went.

    Attributes
    ----------
    status : str
        SOLVED, WARNINGS or REFUSED.
    reasons : tuple of str
        One sentence each; empty only for SOLVED.
    rms_px : float
        RMS reprojection error of the observations that were kept, pixels.
    quality : ndarray of shape (F,)
        Confidence of each frame, 0 to 1 (good): how much of what is held out of the solve is where the frame's camera
        predicts it, within three of the deviations that the tracks claim; 0 where there is no pose. Of a static camera,
        which has no tracks, it falls with the deviation of the focal length. See `reconstruction.held_out`.
    n_tracks, n_observations : int
        Kept in the solve.
    iterations : int
    seconds : dict of str to float
        Time of each stage.
    lens_sd : dict of str to float
        Standard deviations of focal_px, k1, k2 ... (only what was estimated).
    bad_ranges : tuple of BadRange
    known : KnownValues
        What was used beside the picture, and where it came from.
    """

    status: str
    reasons: tuple[str, ...]
    rms_px: float
    quality: NDArray[np.float64]
    n_tracks: int
    n_observations: int
    iterations: int
    seconds: dict[str, float]
    lens_sd: dict[str, float]
    bad_ranges: tuple[BadRange, ...] = ()
    known: KnownValues = field(default_factory=KnownValues)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solve:
    """A solved shot.

    Attributes
    ----------
    shot : Shot
    kind : str
        MOVING: the camera moves through space. NODAL: it turns (and may zoom) about one place; the points have
        directions, and stand at distance 1. STATIC: it stands still; there are no points.
    lens : BrownConradyLens
        At the shot's median focal length.
    path : CameraPath
    points : Points
    tracks : Tracks
        Every track that was followed.
    inlier : ndarray of bool, shape (N,)
        The observations that the solve kept.
    sensor_width_mm : float
    sensor_width_source : str
        "given", "metadata" or "default".
    scale_source : str
        What fixes the scene's scale: "poses" that were known; "none" means that the unit is arbitrary.
    up_world : ndarray of shape (3,) or None
        Unit vector against gravity, world axes, where the picture shows it.
    up_sd : float
        Its standard deviation, radians.
    readout : float
        Time from the first row's exposure to the last one's, in frames: 0 for a global shutter.
    readout_sd : float
        0 where it was not estimated.
    report : SolveReport
    """

    shot: Shot
    kind: str = MOVING
    lens: BrownConradyLens
    path: CameraPath
    points: Points
    tracks: Tracks
    inlier: NDArray[np.bool_]
    sensor_width_mm: float
    sensor_width_source: str
    scale_source: str
    up_world: NDArray[np.float64] | None = None
    up_sd: float = 0.0
    readout: float = 0.0
    readout_sd: float = 0.0
    report: SolveReport

    @property
    def zooms(self) -> bool:
        """Whether the focal length changes during the shot."""
        return bool(np.ptp(self.path.focal_px) > 0)

    @property
    def focal_mm(self) -> NDArray[np.float64]:
        """Focal length of each frame on the sensor, mm, shape (F,)."""
        return np.asarray(self.path.focal_px * self.sensor_width_mm / self.shot.size[0])
