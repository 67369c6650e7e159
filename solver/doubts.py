"""The ranges of a shot whose camera is not to be trusted, and what to do about each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .footage import format_ranges
from .types import BadRange, CameraPath, Shot

Array = NDArray[np.float64]

# of a focal length: beyond it, zoom and movement cannot be told apart
UNCERTAIN_FOCAL_SHARE = 0.03
# of the shot's own median. The worst frame of a good shot has 0.75 of it; one whose pose is off by as much as a track's
# error is caught, 0.3 of it
_LEAST_QUALITY_SHARE = 0.5
# a median below it is that of a solve to be doubted as a whole: rendered shots have 0.76 and more, real ones that are
# solved rightly 0.68, simulated ones 0.71; of seven simulated ones solved wrongly four have 0.59 and less, a film
# without a true camera 0.33
_LEAST_MEDIAN_QUALITY = 0.63
# the same of the points' distance from their tracks, pixels, in a picture of up to 1000 pixels' width
_MOST_RMS_PX = 1.0
# of the focal length of a solve that is doubted as a whole: 24 simulated ones were off by e to the power of 0.42 (RMS),
# many times what the adjustment takes for its deviation, which is that of a model that holds
_DOUBTED_FOCAL_SHARE = 0.4
# a pose is doubtful where its deviation is so many times that of most frames, and could move the picture by so much of
# its width. It grows towards the ends of a path: in rendered shots to 3.6 times that of most frames
_DOUBTFUL_POSE_TIMES = 4.0
_DOUBTFUL_POSE_SHARE = 0.0005

MISSING = "The footage has no such frames; the camera is interpolated."
UNPOSED = "Too little of the scene was found here; the camera is interpolated."
# the first words are all that fits a marker in Blender's timeline
MISFIT = (
    "Tracks that were held out do not fit the camera here: look for what moves, blurs or covers the picture, mask it "
    "out and solve the range again."
)
UNCERTAIN_FOCAL = (
    "Zoom and movement cannot be told apart here: the picture keeps its tracks, but focal length and path may both be "
    "off; give the focal length of a frame of this range."
)
UNCERTAIN_TURN = (
    "The camera turns too little here to tell its focal length: give the focal length of a frame of this range."
)
UNCERTAIN_POSE = (
    "Points hold the camera badly here, being few or all in one place: it is far less certain than in the rest of the "
    "shot; check it against the picture, give the pose of a frame of this range, or leave it out."
)
# a pose holds all the same where only the focal length is in doubt
FOCAL_DOUBTS = (UNCERTAIN_FOCAL, UNCERTAIN_TURN)


def uncertain_focal(path: CameraPath) -> NDArray[np.bool_]:
    """Mask (F,) of the frames whose focal length the picture does not tell."""
    return np.asarray(path.focal_px_sd > UNCERTAIN_FOCAL_SHARE * path.focal_px)


def bad_ranges(
    shot: Shot, path: CameraPath, nodal: bool, quality: Array, pose_sd_px: Array, median_depth: float
) -> tuple[BadRange, ...]:
    """The frames whose camera is not to be trusted, by their numbers.

    Parameters
    ----------
    shot : Shot
    path : CameraPath
    nodal : bool
        Whether the camera only turns.
    quality : ndarray of shape (F,)
        See `SolveReport`.
    pose_sd_px : ndarray of shape (F,)
        Of each pose beside its neighbours, pixels; see `FrameTrust`.
    median_depth : float
        Of the points, scene units.
    """
    numbers, posed = shot.frame_numbers, path.solved
    found = [*_runs(shot.missing_frames, shot, MISSING), *_runs(numbers[~posed], shot, UNPOSED)]
    misfit = posed & (quality < _LEAST_QUALITY_SHARE * np.median(quality[posed]))
    found += _runs(numbers[misfit], shot, MISFIT)
    # the same cause is not told twice
    doubtful = posed & ~misfit & _doubtful_pose(path, pose_sd_px, median_depth, shot.size[0])
    found += _runs(numbers[doubtful], shot, UNCERTAIN_POSE)
    if np.ptp(path.focal_px) > 0:
        uncertain = posed & uncertain_focal(path)
        found += _runs(numbers[uncertain], shot, UNCERTAIN_TURN if nodal else UNCERTAIN_FOCAL)
    return tuple(sorted(found, key=lambda bad: bad.first))


def range_warnings(shot: Shot, ranges: Iterable[BadRange]) -> tuple[str, ...]:
    """A sentence for each kind of doubt about some frames that `path_warnings` does not speak of.

    Parameters
    ----------
    shot : Shot
    ranges : iterable of BadRange
    """
    numbers = shot.frame_numbers
    reasons = []
    for kind, what in (
        (MISFIT, "not fitted by the camera"),
        (UNCERTAIN_POSE, "told by points that are few or all in one place"),
    ):
        inside = np.zeros(len(numbers), dtype=bool)
        for bad in ranges:
            inside |= (bad.reason == kind) & (numbers >= bad.first) & (numbers <= bad.last)
        if inside.any():
            noun, verb = ("Frame", "is") if inside.sum() == 1 else ("Frames", "are")
            reasons.append(f"{noun} {format_ranges(numbers[inside])} {verb} {what}: see the list of bad ranges.")
    return tuple(reasons)


def whole_warnings(quality: Array, solved: NDArray[np.bool_], rms_px: float, width: int) -> tuple[str, ...]:
    """What to say of a shot that fits badly as a whole.

    Parameters
    ----------
    quality : ndarray of shape (F,)
        See `SolveReport`.
    solved : ndarray of bool, shape (F,)
    rms_px : float
        RMS reprojection error.
    width : int
        Of the picture, pixels.
    """
    reasons = []
    if rms_px > _MOST_RMS_PX * max(1.0, width / 1000):
        reasons.append(f"The points miss their tracks by {rms_px:.1f} px: look at the overlay for what moves.")
    median = float(np.median(quality[solved]))
    if median < _LEAST_MEDIAN_QUALITY:
        reasons.append(
            f"Only {100 * median:.0f} % of what was held out of the solve is where the camera predicts it: look at the "
            "overlay for what moves by itself, blurs or mirrors, and mask it out."
        )
    return tuple(reasons)


def doubted(path: CameraPath, lens_sd: dict[str, float]) -> tuple[CameraPath, dict[str, float]]:
    """Path and lens deviations of a shot that fits badly: its focal length may be that of another camera altogether."""
    share = np.where(path.focal_px_sd > 0, _DOUBTED_FOCAL_SHARE, 0.0)
    if "focal_px" in lens_sd:
        least = _DOUBTED_FOCAL_SHARE * float(np.median(path.focal_px))
        lens_sd = lens_sd | {"focal_px": float(np.hypot(lens_sd["focal_px"], least))}
    return replace(path, focal_px_sd=np.hypot(path.focal_px_sd, share * path.focal_px)), lens_sd


def _doubtful_pose(path: CameraPath, pose_sd_px: Array, median_depth: float, width: int) -> NDArray[np.bool_]:
    posed = path.solved
    by_turn = path.focal_px * np.sqrt((path.rotation_sd**2).sum(axis=1))
    by_place = path.focal_px * np.sqrt((path.position_sd**2).sum(axis=1)) / median_depth
    doubtful = np.zeros(len(posed), dtype=bool)
    for deviation in (by_turn, by_place, pose_sd_px):
        usual = float(np.median(deviation[posed]))
        doubtful |= deviation > max(_DOUBTFUL_POSE_TIMES * usual, _DOUBTFUL_POSE_SHARE * width)
    return doubtful


def _runs(frames: NDArray[np.int64], shot: Shot, reason: str) -> list[BadRange]:
    """Frames (numbers, rising) as ranges: those that follow each other in the shot are one."""
    if not len(frames):
        return []
    every = np.sort(np.concatenate([shot.frame_numbers, shot.missing_frames]))
    runs = np.split(frames, np.flatnonzero(np.diff(np.searchsorted(every, frames)) > 1) + 1)
    return [BadRange(first=int(run[0]), last=int(run[-1]), reason=reason) for run in runs]
