"""A range of a shot solved again, while the rest of an earlier solve stays as it is.

The frames around the range are solved with it, their poses and the lens held as the earlier solve has them: points are
placed by them, the poses of the range grow out of them, and end where they do. Of the result only the range is taken.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .doubts import FOCAL_DOUBTS, range_warnings, whole_warnings
from .errors import InputError
from .known import Known, KnownPose, KnownValues
from .report import path_warnings
from .types import MOVING, NODAL, SOLVED, STATIC, WARNINGS, BadRange, CameraPath, Points, Shot, Solve, Tracks

Number = TypeVar("Number", bound=np.generic)

# on either side of the range: a second of film. Tracks live about as long, so that more would hardly be joined to it
_AROUND_FRAMES = 24
# of the deviation of its places: a camera that moves less tells no scale
_LEAST_MOVED_SIGMAS = 5.0


def frames_around(earlier: Solve, first: int, last: int) -> NDArray[np.int64]:
    """Numbers of the frames beside a range whose earlier poses are to hold: solved, and not in a bad range.

    Parameters
    ----------
    earlier : Solve
    first, last : int
        Frame numbers, both included.

    Raises
    ------
    InputError
        If there is nothing in the range, or no pose beside it to join it to.
    """
    numbers = earlier.shot.frame_numbers
    if earlier.kind == STATIC:
        raise InputError("The camera stands still, so that all frames have one pose: solve the whole shot again.")
    if not ((numbers >= first) & (numbers <= last)).any():
        raise InputError(
            f"The earlier solve has no frame from {first} to {last}: its frames are {numbers[0]} to {numbers[-1]}."
        )
    good = earlier.path.solved.copy()
    for bad in earlier.report.bad_ranges:
        if bad.reason in FOCAL_DOUBTS:
            # it is held together with its focal length
            continue
        good &= (numbers < bad.first) | (numbers > bad.last)
    before, after = numbers[good & (numbers < first)], numbers[good & (numbers > last)]
    around = np.concatenate([before[-_AROUND_FRAMES:], after[:_AROUND_FRAMES]])
    at = np.searchsorted(numbers, around)
    if earlier.kind == MOVING and len(around) > 1:
        away = earlier.path.centre_world[at] - earlier.path.centre_world[at[0]]
        if np.sqrt((away**2).sum(axis=1)).max() < _LEAST_MOVED_SIGMAS * np.median(earlier.path.position_sd[at]):
            raise InputError(
                f"The camera stands still beside frames {first} to {last}, so that what is solved there cannot be "
                "joined to it in the same scale: choose a longer range, or solve the whole shot again."
            )
    if len(around) < 2:
        raise InputError(
            f"The earlier solve has no poses beside frames {first} to {last} to join them to: solve the whole shot "
            "again."
        )
    return np.asarray(around)


def known_around(earlier: Solve, around: NDArray[np.int64], given: KnownValues) -> KnownValues:
    """The earlier poses of the frames named and the earlier lens, held, with what is given instead.

    Parameters
    ----------
    earlier : Solve
    around : ndarray of int64
        Frame numbers, from `frames_around`.
    given : KnownValues
        What it says goes before the earlier lens.
    """
    path, lens = earlier.path, earlier.lens
    at = np.searchsorted(earlier.shot.frame_numbers, around)
    poses = {
        int(number): KnownPose(
            R_cam_from_world=path.R_cam_from_world[i],
            t_cam_from_world=path.t_cam_from_world[i],
            rotation_deviation=0.0,
            position_deviation=0.0,
        )
        for number, i in zip(around, at, strict=True)
    }
    known = replace(given, poses={**given.poses, **poses})
    if given.focal_px is None and not given.focal_px_by_frame:
        if earlier.zooms:
            curve = {int(number): _held(path.focal_px[i]) for number, i in zip(around, at, strict=True)}
            known = replace(known, focal_px_by_frame=curve)
        else:
            known = replace(known, focal_px=_held(path.focal_px[0]))
    k1, k2, k3 = (value or _held(old) for value, old in zip(given.k, lens.k, strict=True))
    x, y = given.principal_point or (_held(lens.principal_point[0]), _held(lens.principal_point[1]))
    return replace(
        known, k=(k1, k2, k3), principal_point=(x, y), readout=given.readout or _held(earlier.readout), source="earlier"
    )


def _held(value: float) -> Known:
    return Known(value=float(value), deviation=0.0)


def cropped(shot: Shot, tracks: Tracks, first: int, last: int) -> tuple[Shot, Tracks]:
    """The frames `first` to `last` (numbers) of a shot and of its tracks."""
    start, stop = (int(i) for i in np.searchsorted(shot.frame_numbers, (first, last + 1)))
    missing = shot.missing_frames[(shot.missing_frames > first) & (shot.missing_frames < last)]
    part = replace(shot, frame_numbers=shot.frame_numbers[start:stop], missing_frames=missing)
    kept = tracks.select((tracks.frame >= start) & (tracks.frame < stop))
    return part, replace(kept, frame=kept.frame - start, n_frames=stop - start)


def spliced(earlier: Solve, part: Solve, first: int, last: int) -> Solve:
    """The earlier solve with the frames `first` to `last` (numbers) of another solve of some of its frames.

    Everything outside of the range, and the lens of the whole, is that of the earlier solve. Tracks and points that the
    range has replaced are those of the part; an earlier solve that was read from its record has no others.
    """
    numbers = earlier.shot.frame_numbers
    range_ = (numbers >= first) & (numbers <= last)
    taken = (part.shot.frame_numbers >= first) & (part.shot.frame_numbers <= last)

    def mended(old: NDArray[Number], new: NDArray[Number]) -> NDArray[Number]:
        out = old.copy()
        out[range_] = new[taken]
        return out

    path = replace(
        earlier.path,
        **{
            one.name: mended(getattr(earlier.path, one.name), getattr(part.path, one.name))
            for one in fields(CameraPath)
        },
    )
    tracks, inlier, points = _joined(earlier, part, range_, taken)
    old, new = earlier.report, part.report
    share = float(range_.mean())
    bad = [piece for one in old.bad_ranges for piece in _outside(one, first, last)]
    bad += [piece for one in new.bad_ranges for piece in _inside(one, first, last)]
    rms = float(np.sqrt((1 - share) * old.rms_px**2 + share * new.rms_px**2))
    quality = mended(old.quality, new.quality)
    # what was said of the old path is said anew of the mended one, the rest still holds
    said = {*_said(earlier), *_said(part)}
    other = [reason for reason in dict.fromkeys((*old.reasons, *new.reasons)) if reason not in said]
    report = replace(old, rms_px=rms, quality=quality, bad_ranges=tuple(sorted(bad, key=lambda one: one.first)))
    reasons = (*_said(replace(earlier, path=path, report=report)), *other)
    report = replace(
        report,
        status=WARNINGS if reasons else SOLVED,
        reasons=reasons,
        iterations=old.iterations + new.iterations,
        seconds=new.seconds,
    )
    return replace(earlier, path=path, tracks=tracks, inlier=inlier, points=points, report=report)


def _said(solve: Solve) -> tuple[str, ...]:
    """What is said of a solve's path, quality and bad ranges."""
    report = solve.report
    whole = whole_warnings(report.quality, solve.path.solved, report.rms_px, solve.shot.size[0])
    return (
        *path_warnings(solve.shot, solve.path, solve.kind == NODAL, misfit=bool(whole)),
        *whole,
        *range_warnings(solve.shot, report.bad_ranges),
    )


def _outside(bad: BadRange, first: int, last: int) -> list[BadRange]:
    pieces = [replace(bad, last=min(bad.last, first - 1)), replace(bad, first=max(bad.first, last + 1))]
    return [piece for piece in pieces if piece.first <= piece.last]


def _inside(bad: BadRange, first: int, last: int) -> list[BadRange]:
    piece = replace(bad, first=max(bad.first, first), last=min(bad.last, last))
    return [piece] if piece.first <= piece.last else []


def _joined(
    earlier: Solve, part: Solve, range_: NDArray[np.bool_], taken: NDArray[np.bool_]
) -> tuple[Tracks, NDArray[np.bool_], Points]:
    """Tracks, the rows kept in the solve, and points: the part's in the range, the earlier ones elsewhere."""
    a, b = earlier.tracks, part.tracks
    old, new = ~range_[a.frame], taken[b.frame]
    start = int(np.flatnonzero(range_)[0]) - int(np.flatnonzero(taken)[0])
    track = np.concatenate([a.track[old], a.n_tracks + b.track[new]])
    names, number = np.unique(track, return_inverse=True)
    tracks = Tracks(
        track=number.astype(np.int64),
        frame=np.concatenate([a.frame[old], b.frame[new] + start]),
        xy=np.concatenate([a.xy[old], b.xy[new]]),
        covariance=np.concatenate([a.covariance[old], b.covariance[new]]),
        n_frames=a.n_frames,
    )
    inlier = np.concatenate([earlier.inlier[old], part.inlier[new]])
    owner = np.concatenate([earlier.points.track, a.n_tracks + part.points.track])
    seen = np.isin(owner, track[inlier])
    points = Points(
        xyz_world=np.concatenate([earlier.points.xyz_world, part.points.xyz_world])[seen],
        track=np.searchsorted(names, owner[seen]),
        error_px=np.concatenate([earlier.points.error_px, part.points.error_px])[seen],
    )
    return tracks, inlier, points
