"""The whole solve: footage in, lens and camera out."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .conventions import DEFAULT_SENSOR_WIDTH_MM
from .errors import DegenerateMotion, InputError, LensUndetermined, SceneCut, SolverError
from .footage import Footage
from .footage.matte import Matte, PartMatte
from .footage.part import FootagePart
from .known import KnownValues
from .metadata import contradicted, contradiction, metadata_focal, with_focal
from .progress import Progress
from .ranges import cropped, frames_around, known_around, spliced
from .reconstruction.choose import reconstruct
from .reconstruction.reported import reported_deviations
from .reconstruction.standstill import is_static
from .reconstruction.static import solve_static
from .report import made_solve
from .tracking.follow import TrackOptions, follow
from .tracking.match import MatchOptions, match_tracks, pictures_overlap
from .tracking.reject import still_in_picture
from .types import MOVING, WARNINGS, Shot, Solve, Tracks
from .vanishing.upright import edges_of_shot, with_up

_log = logging.getLogger(__name__)

_LEAST_FRAMES = 3
# pictures that are worth matching with each other when they cannot be followed
_MOST_STILLS = 150
# after so many frames that follow each other a picture moves: what breaks it is a cut
_MOST_FOLLOWED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveOptions:
    """What the artist can say.

    Attributes
    ----------
    sensor_width_mm : float or None
        None: from the metadata, else 36 mm.
    known : KnownValues
    frames : (int, int) or None
        Numbers of the first and the last frame to solve; all others are left out, or stay as in `earlier`.
    earlier : Solve or None
        Of the whole shot; with it `frames` are solved again, and the rest stays.
    matte : Matte or None
        What to leave out of the pictures; indices are those of the whole footage.
    track : TrackOptions
    match : MatchOptions
        For stills, whose steps are too wide to follow.
    """

    sensor_width_mm: float | None = None
    known: KnownValues = field(default_factory=KnownValues)
    frames: tuple[int, int] | None = None
    earlier: Solve | None = None
    matte: Matte | None = None
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
    if options.frames is not None:
        whole, footage = footage, FootagePart(footage, *_extent(options, options.frames))
        if options.matte is not None:
            start = int(np.searchsorted(whole.frame_numbers, footage.frame_numbers[0]))
            options = replace(options, matte=PartMatte(options.matte, start))
    # thousands of small products: BLAS threads would wait for each other longer than they work
    with threadpool_limits(limits=1, user_api="blas"):
        return _solve(footage, options, progress)


def _solve(footage: Footage, options: SolveOptions, progress: Progress) -> Solve:
    clock = _Clock()
    shot = _shot(footage)
    tracks = _tracks(footage, options, progress.part(0.0, 0.6)) if len(footage) > 1 else None
    clock.stage("track")
    if options.earlier is None and (tracks is None or is_static(tracks, footage.size)):
        sensor = _sensor(shot, options)
        return solve_static(footage, shot, options.known, sensor, tracks, progress.part(0.6, 1.0), clock.seconds)
    if tracks is None or len(footage) < _LEAST_FRAMES:
        raise InputError(
            f"The footage has {len(footage)} frames between which the camera moves, at least {_LEAST_FRAMES} are "
            "needed to find how: choose a longer clip or the folder that holds the whole sequence."
        )
    tracks = tracks.select(~still_in_picture(tracks, footage.size[0])[tracks.track])
    if options.earlier is not None:
        # which way is up is one thing for the whole shot
        return _solve_shot(shot, tracks, options, progress, clock)
    with ThreadPoolExecutor(1) as pool:
        # the solve leaves a core idle
        edges = pool.submit(edges_of_shot, footage)
        solved = _solve_shot(shot, tracks, options, progress.part(0.0, 0.98), clock)
        return with_up(solved, footage, edges.result(), progress.part(0.98, 1.0))


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
        As `solve`; LensUndetermined where the camera stands still, which tracks alone cannot tell the lens of.
    """
    options = options or SolveOptions()
    if options.frames is not None:
        shot, tracks = cropped(shot, tracks, *_extent(options, options.frames))
    if options.earlier is None and is_static(tracks, shot.size):
        raise LensUndetermined(
            "The camera stands still, so that its tracks tell nothing of the lens: solve the footage itself, whose "
            "straight lines may."
        )
    with threadpool_limits(limits=1, user_api="blas"):
        return _solve_shot(shot, tracks, options, progress or Progress(), _Clock())


def _extent(options: SolveOptions, frames: tuple[int, int]) -> tuple[int, int]:
    """Numbers of the first and the last frame that are looked at."""
    if options.earlier is None:
        return frames
    around = frames_around(options.earlier, *frames)
    return min(frames[0], int(around[0])), max(frames[1], int(around[-1]))


def _solve_shot(shot: Shot, tracks: Tracks, options: SolveOptions, progress: Progress, clock: _Clock) -> Solve:
    """All of the shot, or a range of it between frames that stay."""
    earlier, frames = options.earlier, options.frames
    if earlier is None:
        return _solve_whole(shot, tracks, options, progress, clock)
    if frames is None:
        raise ValueError("an earlier solve needs the frames to solve again")
    if not np.array_equal(_within(shot, *frames), _within(earlier.shot, *frames)):
        raise InputError(
            f"The footage has other frames from {frames[0]} to {frames[1]} than when it was solved: solve the whole "
            "shot again."
        )
    known = known_around(earlier, frames_around(earlier, *frames), options.known)
    part = _reconstructed(shot, tracks, replace(options, known=known), progress, clock, earlier.kind)
    if earlier.kind == MOVING and part.scale_source != "poses":
        raise DegenerateMotion(
            f"Frames {frames[0]} to {frames[1]} cannot be joined to those beside them: too few points are seen in "
            "both. Choose a longer range, or solve the whole shot again."
        )
    return spliced(earlier, part, *frames)


def _within(shot: Shot, first: int, last: int) -> NDArray[np.int64]:
    numbers = shot.frame_numbers
    return np.asarray(numbers[(numbers >= first) & (numbers <= last)])


def _solve_whole(shot: Shot, tracks: Tracks, options: SolveOptions, progress: Progress, clock: _Clock) -> Solve:
    """With what the metadata tell of the focal length; where that contradicts the picture, without it."""
    known, focal = options.known, None
    if known.focal_px is None and not known.focal_px_by_frame:
        focal = metadata_focal(shot, _sensor(shot, options))
    if focal is not None:
        try:
            solved = _reconstructed(
                shot, tracks, replace(options, known=with_focal(known, shot, focal)), progress, clock
            )
            if not contradicted(solved, focal):
                return solved
        except SolverError as failure:
            _log.info("Not solved with the focal length of the metadata: %s", failure)
    solved = _reconstructed(shot, tracks, options, progress, clock)
    reason = contradiction(solved, focal) if focal is not None else None
    if reason is None:
        return solved
    report = replace(solved.report, status=WARNINGS, reasons=(*solved.report.reasons, reason))
    return replace(solved, report=report)


def _reconstructed(
    shot: Shot, tracks: Tracks, options: SolveOptions, progress: Progress, clock: _Clock, kind: str | None = None
) -> Solve:
    times = shot.frame_numbers.astype(np.float64)
    finished = reconstruct(tracks, shot.size, times, progress.part(0.6, 1.0), options.known, kind)
    clock.stage("solve")
    frame_ids, found = reported_deviations(finished)
    clock.stage("deviations")
    sensor, source = _sensor(shot, options)
    return made_solve(
        shot, finished, frame_ids, found, sensor_width_mm=sensor, sensor_width_source=source, seconds=clock.seconds
    )


def _tracks(footage: Footage, options: SolveOptions, progress: Progress) -> Tracks:
    """Tracks from frame to frame; where the steps are too wide for that, from matched key points."""
    # of two or three frames no track can be as long as it should
    track = replace(options.track, least_length=min(options.track.least_length, len(footage)))
    try:
        return follow(footage.luminance, len(footage), track, progress, options.matte)
    except SceneCut as cut:
        after = int(np.searchsorted(footage.frame_numbers, cut.frame))
        if len(footage) > _MOST_STILLS or after > _MOST_FOLLOWED:
            raise
        pictures = [frame.pixels for frame in footage.luminance(after - 1, after + 1)]
        if not pictures_overlap(*pictures):
            raise
    return match_tracks(footage.luminance(), len(footage), options.match, progress, options.matte)


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._last, 3)
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


def _sensor(shot: Shot, options: SolveOptions) -> tuple[float, str]:
    if options.sensor_width_mm is not None:
        return options.sensor_width_mm, "given"
    known = shot.metadata.get("sensor_width_mm")
    if isinstance(known, (int, float)) and known > 0:
        return float(known), "metadata"
    return DEFAULT_SENSOR_WIDTH_MM, "default"
