"""The whole solve: footage in, lens and camera out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .bundle.covariance import Deviations
from .bundle.residuals import LENS_PARAMETERS
from .conventions import DEFAULT_SENSOR_WIDTH_MM
from .errors import InputError, SceneCut, SolveDiverged
from .footage import Footage, format_ranges
from .geometry.two_view import FrameIndex
from .known import KnownValues
from .lens import BrownConradyLens
from .progress import Progress
from .reconstruction.finish import Finished, finish, frame_deviations
from .reconstruction.grow import grow
from .reconstruction.model import Model, new_model, normalised, whitening_of
from .reconstruction.seed import seed
from .tracking.follow import TrackOptions, follow
from .tracking.match import MatchOptions, match_tracks, pictures_overlap
from .tracking.reject import still_in_picture
from .types import SOLVED, WARNINGS, CameraPath, Points, Shot, Solve, SolveReport, Tracks

_LEAST_FRAMES = 3
# pictures that are worth matching with each other when they cannot be followed
_MOST_STILLS = 150
# after so many frames that follow each other a picture moves: what breaks it is a cut
_MOST_FOLLOWED = 8
# added to each observation while the lens is rough: what distortion not yet known does to a patch's neighbours
_EARLY_DEVIATION_PX = 0.2
# beyond these the solve is reported as poor, and beyond the second as none
_WARN_RMS_PX = 1.0
_WARN_FOCAL_SHARE = 0.03
_REFUSE_FOCAL_SHARE = 0.25
_WARN_DRIFT_SIGMAS = 5.0
_WARN_DRIFT = 0.01
_REFUSE_ANGLE_DEG = 0.4
_LEAST_POSED_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveOptions:
    """What the artist can say.

    Attributes
    ----------
    sensor_width_mm : float or None
        None: from the metadata, else 36 mm.
    known : KnownValues
    track : TrackOptions
    match : MatchOptions
        For stills, whose steps are too wide to follow.
    """

    sensor_width_mm: float | None = None
    known: KnownValues = field(default_factory=KnownValues)
    track: TrackOptions = field(default_factory=TrackOptions)
    match: MatchOptions = field(default_factory=MatchOptions)


def solve(footage: Footage, options: SolveOptions | None = None, progress: Progress | None = None) -> Solve:
    """Recover lens and camera of a shot.

    Parameters
    ----------
    footage : Footage
    options : SolveOptions
    progress : Progress or None
        Raises `Cancelled` to stop.

    Returns
    -------
    Solve

    Raises
    ------
    SolverError
        If the footage cannot be solved; the message says why and what to try.
    Cancelled
    """
    options = options or SolveOptions()
    progress = progress or Progress()
    if len(footage) < _LEAST_FRAMES:
        raise InputError(
            f"The footage has {len(footage)} frame{'s' if len(footage) > 1 else ''}, at least {_LEAST_FRAMES} are "
            "needed to find how the camera moved: choose a longer clip or the folder that holds the whole sequence."
        )
    # thousands of small products: BLAS threads would wait for each other longer than they work
    with threadpool_limits(limits=1, user_api="blas"):
        return _solve(footage, options, progress)


def _solve(footage: Footage, options: SolveOptions, progress: Progress) -> Solve:
    clock = _Clock()
    tracks = _tracks(footage, options, progress.part(0.0, 0.6))
    tracks = tracks.select(~still_in_picture(tracks, footage.size[0])[tracks.track])
    clock.stage("track")
    return _solve_tracks(_shot(footage), tracks, options, progress, clock)


def solve_tracks(
    shot: Shot, tracks: Tracks, options: SolveOptions | None = None, progress: Progress | None = None
) -> Solve:
    """Recover lens and camera from tracks that exist already.

    Parameters
    ----------
    shot : Shot
    tracks : Tracks
    options : SolveOptions
    progress : Progress or None

    Returns
    -------
    Solve

    Raises
    ------
    SolverError, Cancelled
        As `solve`.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _solve_tracks(shot, tracks, options or SolveOptions(), progress or Progress(), _Clock())


def _solve_tracks(shot: Shot, tracks: Tracks, options: SolveOptions, progress: Progress, clock: _Clock) -> Solve:
    model = _new_model(tracks, shot.size, _EARLY_DEVIATION_PX)
    model = _with_weights(seed(model, FrameIndex(tracks)), tracks, _EARLY_DEVIATION_PX)
    clock.stage("seed")
    model = grow(model, progress.part(0.62, 0.75))
    clock.stage("grow")
    finished = finish(model, progress.part(0.75, 1.0))
    finished = replace(finished, model=normalised(finished.model))
    clock.stage("adjust")
    found = _deviations(finished)
    clock.stage("deviations")
    return _result(shot, finished, found, options, clock.seconds)


def _new_model(tracks: Tracks, size: tuple[int, int], extra_px: float) -> Model:
    return new_model(tracks, _whitening(tracks, extra_px), size, float(max(size)))


def _with_weights(model: Model, tracks: Tracks, extra_px: float) -> Model:
    return replace(model, whitening=_whitening(tracks, extra_px))


def _whitening(tracks: Tracks, extra_px: float) -> NDArray[np.float64]:
    return whitening_of(tracks.covariance + extra_px**2 * np.eye(2))


def _tracks(footage: Footage, options: SolveOptions, progress: Progress) -> Tracks:
    """Tracks from frame to frame; where the steps are too wide for that, from matched key points."""
    try:
        return follow(footage.luminance(), len(footage), options.track, progress)
    except SceneCut as cut:
        after = int(np.searchsorted(footage.frame_numbers, cut.frame))
        if len(footage) > _MOST_STILLS or after > _MOST_FOLLOWED:
            raise
        pictures = [frame.pixels for frame in footage.luminance(after - 1, after + 1)]
        if not pictures_overlap(*pictures):
            raise
    return match_tracks(footage.luminance(), len(footage), options.match, progress)


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now


def _shot(footage: Footage) -> Shot:
    return Shot(
        name=footage.name,
        footage=str(footage.path),
        first_file=str(footage.first_file),
        is_sequence=footage.kind == "sequence",
        size=footage.size,
        frame_rate=footage.frame_rate,
        frame_numbers=np.asarray(footage.frame_numbers),
        missing_frames=np.asarray(footage.missing_frames),
        pixel_aspect=footage.pixel_aspect,
        metadata=dict(footage.metadata),
    )


def _deviations(finished: Finished) -> Deviations:
    """Deviations of all posed frames; those between the adjusted ones take their neighbours'."""
    frame_ids, found = frame_deviations(finished.model, finished.frames, finished.options)
    every = np.arange(finished.model.tracks.n_frames)
    spread = [
        np.stack([np.interp(every, frame_ids, values[:, axis]) for axis in range(3)], axis=1)
        for values in (found.rotation, found.position)
    ]
    return replace(found, rotation=spread[0], position=spread[1])


def _result(
    shot: Shot, finished: Finished, found: Deviations, options: SolveOptions, seconds: dict[str, float]
) -> Solve:
    model = finished.model
    rows = model.rows(model.posed)
    error, _ = model.errors_px(rows)
    rms = float(np.sqrt((error**2).mean()))
    focal = float(model.state.lens[0])
    sensor, source = _sensor(shot, options)
    report = SolveReport(
        status=SOLVED,
        reasons=(),
        rms_px=rms,
        quality=_quality(model, rows),
        n_tracks=int(model.placed.sum()),
        n_observations=int(rows.sum()),
        iterations=finished.iterations,
        seconds=seconds,
        lens_sd={LENS_PARAMETERS[i]: float(found.lens[i]) for i in finished.options.free_lens},
    )
    angle = _parallax_deg(model)
    _refuse_nonsense(model, found, angle, report)
    reasons = _warnings(shot, model, found, report)
    if not finished.converged:
        reasons = (*reasons, "The adjustment did not settle: the shot does not determine lens and camera well.")
    report = replace(report, status=WARNINGS if reasons else SOLVED, reasons=reasons)
    return Solve(
        shot=shot,
        lens=BrownConradyLens(
            size=shot.size, principal_point=model.state.lens[1:3].copy(), k=model.state.lens[3:].copy()
        ),
        path=_path(model, focal, found),
        points=_points(model, rows, error),
        tracks=model.tracks,
        inlier=rows,
        sensor_width_mm=sensor,
        sensor_width_source=source,
        scale_source="none",
        report=report,
    )


def _sensor(shot: Shot, options: SolveOptions) -> tuple[float, str]:
    if options.sensor_width_mm is not None:
        return options.sensor_width_mm, "given"
    known = shot.metadata.get("sensor_width_mm")
    if isinstance(known, (int, float)) and known > 0:
        return float(known), "metadata"
    return DEFAULT_SENSOR_WIDTH_MM, "default"


def _path(model: Model, focal_px: float, found: Deviations) -> CameraPath:
    n = len(model.posed)
    R, t = model.state.R.copy(), model.state.t.copy()
    posed = np.flatnonzero(model.posed)
    for frame in np.flatnonzero(~model.posed):
        nearest = posed[np.abs(posed - frame).argmin()]
        R[frame], t[frame] = R[nearest], t[nearest]
    return CameraPath(
        R_cam_from_world=R,
        t_cam_from_world=t,
        focal_px=np.full(n, focal_px),
        focal_px_sd=np.full(n, found.lens[0]),
        distortion=np.tile(model.state.lens[3:], (n, 1)),
        rotation_sd=found.rotation,
        position_sd=found.position,
        solved=model.posed,
    )


def _points(model: Model, rows: NDArray[np.bool_], error: NDArray[np.float64]) -> Points:
    track = model.tracks.track[rows]
    n = len(model.placed)
    count = np.bincount(track, minlength=n)
    square = np.bincount(track, weights=error**2, minlength=n)
    X = model.state.X
    # a point at infinity has no place in the scene
    finite = model.placed & (count > 0) & (X[:, 3] > 1e-5)
    ids = np.flatnonzero(finite)
    return Points(xyz_world=X[ids, :3] / X[ids, 3:], track=ids, error_px=np.sqrt(square[ids] / count[ids]))


def _quality(model: Model, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Confidence of each frame: the share of its observations that fit, less where they are few."""
    n = len(model.posed)
    fit = np.bincount(model.tracks.frame[rows], minlength=n).astype(np.float64)
    alive = model.placed[model.tracks.track]
    total = np.bincount(model.tracks.frame[alive], minlength=n)
    return np.asarray(np.where(model.posed, fit / np.maximum(total, 1) * (1 - np.exp(-fit / 30)), 0.0))


def _parallax_deg(model: Model) -> float:
    """Median angle between the first and the last ray to a point, degrees."""
    tracks = model.tracks
    rows = np.flatnonzero(model.rows(model.posed))
    first = rows[np.append(True, np.diff(tracks.track[rows]) != 0)]
    last = rows[np.append(np.diff(tracks.track[rows]) != 0, True)]
    rays = []
    for row in (first, last):
        ray = model.lens.unproject(tracks.xy[row], model.state.lens[0])
        ray = np.einsum("fji,fj->fi", model.state.R[tracks.frame[row]], ray)
        rays.append(ray / np.linalg.norm(ray, axis=1, keepdims=True))
    return float(np.degrees(np.median(2 * np.arcsin(np.clip(np.linalg.norm(rays[0] - rays[1], axis=1) / 2, 0, 1)))))


def _refuse_nonsense(model: Model, found: Deviations, parallax_deg: float, report: SolveReport) -> None:
    focal = float(model.state.lens[0])
    share = model.posed.mean()
    if share < _LEAST_POSED_SHARE:
        raise SolveDiverged(
            f"Only {int(model.posed.sum())} of {len(model.posed)} frames could be posed: something in the shot breaks "
            "the tracks (a cut, an occlusion, blur). Solve the good ranges on their own.",
            report,
        )
    if parallax_deg < _REFUSE_ANGLE_DEG or found.lens[0] > _REFUSE_FOCAL_SHARE * focal:
        raise SolveDiverged(
            f"The camera moves too little to tell its focal length (found {focal:.0f} px, give or take "
            f"{found.lens[0]:.0f}; the scene turns by {parallax_deg:.1f} degrees as seen from it). Use a longer range "
            "or a shot with more movement.",
            report,
        )


def _warnings(shot: Shot, model: Model, found: Deviations, report: SolveReport) -> tuple[str, ...]:
    reasons = []
    focal = float(model.state.lens[0])
    if len(shot.missing_frames):
        reasons.append(f"{_frames(shot.missing_frames, 'is', 'are')} missing; the camera is interpolated there.")
    if abs(shot.pixel_aspect - 1) > 1e-3:
        reasons.append(
            f"The pixels are not square ({shot.pixel_aspect:g} to 1) but were solved as if they were: squeeze or "
            "stretch the footage to square pixels first."
        )
    if not model.posed.all():
        lost = shot.frame_numbers[~model.posed]
        reasons.append(f"{_frames(lost, 'could', 'could')} not be posed; the camera holds still there.")
    if found.lens[0] > _WARN_FOCAL_SHARE * focal:
        reasons.append(
            f"The focal length is uncertain by {100 * found.lens[0] / focal:.0f} %: the shot has little parallax."
        )
    if abs(found.drift) > max(_WARN_DRIFT_SIGMAS * found.drift_sd, _WARN_DRIFT):
        reasons.append(
            f"The focal length seems to change during the shot (by about {100 * abs(found.drift):.0f} %): this version "
            "solves lenses that do not zoom, so do not trust the result."
        )
    if report.rms_px > _WARN_RMS_PX * max(1.0, shot.size[0] / 1000):
        reasons.append(f"The points miss their tracks by {report.rms_px:.1f} px: look at the overlay for what moves.")
    return tuple(reasons)


def _frames(numbers: NDArray[np.int64], one: str, many: str) -> str:
    """As "Frame 7 is" or "Frames 7-9 are"."""
    noun, verb = ("Frame", one) if len(numbers) == 1 else ("Frames", many)
    return f"{noun} {format_ranges(numbers)} {verb}"
