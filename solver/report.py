"""From an adjusted model to the `Solve`: cameras of every frame, how far to trust them, and what to say of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .between import Motion, interpolated, interpolation_missed
from .bundle.covariance import Deviations
from .bundle.residuals import LENS_PARAMETERS, READOUT, Array
from .doubts import bad_ranges, doubted, range_warnings, uncertain_focal, whole_warnings
from .errors import SolveDiverged
from .footage import format_ranges
from .lens import BrownConradyLens
from .reconstruction.finish import Finished
from .reconstruction.held_out import frame_trust
from .reconstruction.knowledge import focal_known, scale_known
from .reconstruction.model import Model
from .reconstruction.parallax import parallax_deg, shows_parallax, shows_things_near_by
from .reconstruction.zoom import filled
from .types import MOVING, NODAL, SOLVED, WARNINGS, CameraPath, Points, Shot, Solve, SolveReport

# beyond these there is no solve
_REFUSE_FOCAL_SHARE = 0.25
_REFUSE_RMS_PX = 4.0
_LEAST_POSED_SHARE = 0.5
# of what was followed, once what was found to move by itself is left out, and with it
_LEAST_KEPT_SHARE = 0.6
_LEAST_STILL_SHARE = 0.4


def made_solve(
    shot: Shot,
    finished: Finished,
    frame_ids: NDArray[np.int64],
    found: Deviations,
    *,
    sensor_width_mm: float,
    sensor_width_source: str,
    seconds: dict[str, float],
) -> Solve:
    """The solve of a shot.

    Parameters
    ----------
    shot : Shot
    finished : Finished
    frame_ids : ndarray of int64, shape (C,)
        The frames that `found` speaks of.
    found : Deviations
    sensor_width_mm : float
    sensor_width_source : str
    seconds : dict of str to float

    Raises
    ------
    SolveDiverged
        If what was found cannot be trusted.
    """
    model = finished.model
    rows = model.rows(model.posed)
    error, depth = model.errors_px(rows)
    trust = frame_trust(model)
    report = SolveReport(
        status=SOLVED,
        reasons=(),
        rms_px=float(np.sqrt((error**2).mean())),
        quality=trust.quality,
        n_tracks=int(model.placed.sum()),
        n_observations=int(rows.sum()),
        iterations=finished.iterations,
        seconds=seconds,
        lens_sd={LENS_PARAMETERS[i]: float(sd) for i, sd in enumerate(found.lens) if sd > 0},
        known=model.known,
    )
    path = _path(model, frame_ids, found)
    _refuse_nonsense(model, path, report)
    bad = bad_ranges(shot, path, model.nodal, trust.quality, trust.pose_sd_px, _median_depth(model, rows, depth))
    whole = whole_warnings(trust.quality, path.solved, report.rms_px, shot.size[0])
    if whole and not focal_known(model.known):
        path, lens_sd = doubted(path, report.lens_sd)
        report = replace(report, lens_sd=lens_sd)
    reasons = (
        *finished.reasons,
        *path_warnings(shot, path, model.nodal, misfit=bool(whole)),
        *whole,
        *range_warnings(shot, bad),
    )
    if not finished.converged:
        reasons = (*reasons, "The adjustment did not settle: the shot does not determine lens and camera well.")
    median = int(np.argsort(path.focal_px)[len(path.focal_px) // 2])
    return Solve(
        shot=shot,
        kind=NODAL if model.nodal else MOVING,
        lens=BrownConradyLens(
            size=shot.size, principal_point=model.lens.principal_point, k=path.distortion[median].copy()
        ),
        path=path,
        points=_points(model, rows, error),
        tracks=model.tracks,
        inlier=rows,
        sensor_width_mm=sensor_width_mm,
        sensor_width_source=sensor_width_source,
        scale_source="poses" if scale_known(model) else "none",
        readout=float(model.state.lens[READOUT]),
        readout_sd=float(found.lens[READOUT]) if model.rolling else 0.0,
        report=replace(report, status=WARNINGS if reasons else SOLVED, reasons=reasons, bad_ranges=bad),
    )


def _path(model: Model, frame_ids: NDArray[np.int64], found: Deviations) -> CameraPath:
    """Cameras of all frames: those not posed between their neighbours', those at the ends as the nearest."""
    state, times = model.state, model.times
    centre = -np.einsum("fji,fj->fi", state.R, state.t)
    missed = interpolation_missed(Motion(R=state.R, centre=centre, log_focal=state.zoom), model.posed, times)
    R, centre = interpolated(state.R, centre, model.posed, times)
    t = np.where(model.posed[:, None], state.t, -np.einsum("fij,fj->fi", R, centre))
    state = replace(state, zoom=filled(state.zoom, model.posed, times))

    def spread(values: Array, missed: Array) -> Array:
        between = np.stack([np.interp(times, times[frame_ids], column) for column in values.T], axis=1)
        return np.hypot(between, missed)

    return CameraPath(
        R_cam_from_world=R,
        t_cam_from_world=t,
        focal_px=state.focal_px,
        focal_px_sd=state.focal_px * spread(found.log_focal[:, None], missed.log_focal[:, None])[:, 0],
        distortion=state.k,
        rotation_sd=spread(found.rotation, missed.rotation),
        position_sd=spread(found.position, missed.position),
        solved=model.posed,
    )


def _median_depth(model: Model, rows: NDArray[np.bool_], depth: Array) -> float:
    """Scene units; infinite where the points are. `depth` (n,) of the rows (N,) is that of homogeneous points."""
    if model.nodal:
        return float("inf")
    return 1 / max(float(np.median(model.state.X[model.tracks.track[rows], 3] / np.maximum(depth, 1e-9))), 1e-9)


def _points(model: Model, rows: NDArray[np.bool_], error: Array) -> Points:
    track = model.tracks.track[rows]
    n = len(model.placed)
    count = np.bincount(track, minlength=n)
    square = np.bincount(track, weights=error**2, minlength=n)
    X = model.state.X
    # a point at infinity has no place in the scene, but a direction
    ids = np.flatnonzero(model.placed & (count > 0) & (model.nodal | (X[:, 3] > 1e-5)))
    xyz = X[ids, :3].copy() if model.nodal else X[ids, :3] / X[ids, 3:]
    return Points(xyz_world=xyz, track=ids, error_px=np.sqrt(square[ids] / count[ids]))


def _refuse_nonsense(model: Model, path: CameraPath, report: SolveReport) -> None:
    focal, sd = float(np.median(path.focal_px)), float(np.median(path.focal_px_sd))
    if model.posed.mean() < _LEAST_POSED_SHARE:
        raise SolveDiverged(
            f"Only {int(model.posed.sum())} of {len(model.posed)} frames could be posed: something in the shot breaks "
            "the tracks (a cut, an occlusion, blur). Solve the good ranges on their own.",
            report,
        )
    posed = model.posed[model.tracks.frame]
    seen, still = int(posed.sum()), int((posed & model.still[model.tracks.track]).sum())
    if report.n_observations < max(_LEAST_KEPT_SHARE * still, _LEAST_STILL_SHARE * seen):
        raise SolveDiverged(
            f"Only {100 * report.n_observations / max(seen, 1):.0f} % of what was followed fits one camera in a still "
            "scene: most of the picture moves by itself. Mask out what moves, or use a shot that shows more of a still "
            "scene.",
            report,
        )
    if report.rms_px > _REFUSE_RMS_PX * max(1.0, model.size[0] / 1000):
        raise SolveDiverged(
            f"No camera was found that explains the tracks: the points miss them by {report.rms_px:.0f} px. Solve a "
            "shorter range, or mask out what moves.",
            report,
        )
    if not (model.nodal or shows_parallax(model) or shows_things_near_by(model)) or sd > _REFUSE_FOCAL_SHARE * focal:
        turn = (
            "the camera turns too little"
            if model.nodal
            else f"the scene turns by {parallax_deg(model):.1f} degrees as seen from it"
        )
        raise SolveDiverged(
            f"The camera moves too little to tell its focal length (found {focal:.0f} px, give or take {sd:.0f}; "
            f"{turn}). Use a longer range or a shot with more movement.",
            report,
        )


def path_warnings(shot: Shot, path: CameraPath, nodal: bool, misfit: bool) -> tuple[str, ...]:
    """What to say of a camera path, one sentence each.

    Parameters
    ----------
    shot : Shot
    path : CameraPath
    nodal : bool
        Whether the camera only turns.
    misfit : bool
        Whether the shot fits badly as a whole.
    """
    reasons = []
    if len(shot.missing_frames):
        reasons.append(f"{_frames(shot.missing_frames, 'is', 'are')} missing; the camera is interpolated there.")
    if abs(shot.pixel_aspect - 1) > 1e-3:
        reasons.append(
            f"The pixels are not square ({shot.pixel_aspect:g} to 1) but were solved as if they were: squeeze or "
            "stretch the footage to square pixels first."
        )
    if not path.solved.all():
        lost = shot.frame_numbers[~path.solved]
        reasons.append(f"{_frames(lost, 'could', 'could')} not be posed; the camera is interpolated there.")
    uncertain = uncertain_focal(path)
    if uncertain.any():
        worst = float((path.focal_px_sd / path.focal_px).max())
        where = "" if uncertain.all() else f" in frames {format_ranges(shot.frame_numbers[uncertain])}"
        zooms = np.ptp(path.focal_px) > 0
        what = "zoom and movement cannot be told apart" if zooms else "the shot has little parallax"
        what = "the camera turns little" if nodal else what
        what = "no camera was found that fits all that is seen" if misfit else what
        reasons.append(f"The focal length is uncertain by {100 * worst:.0f} %{where}: {what}.")
    return tuple(reasons)


def _frames(numbers: NDArray[np.int64], one: str, many: str) -> str:
    """As "Frame 7 is" or "Frames 7-9 are"."""
    noun, verb = ("Frame", one) if len(numbers) == 1 else ("Frames", many)
    return f"{noun} {format_ranges(numbers)} {verb}"
