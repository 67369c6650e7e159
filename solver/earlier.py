"""What an earlier solve says, read back from its record (`<shot>.json`): the camera, the lens, the poses.

A record holds no tracks and no points, so neither does the `Solve` that is made from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .known import Known, KnownPose
from .lens import BrownConradyLens
from .result import SCHEMA
from .types import MOVING, REFUSED, BadRange, CameraPath, Points, Shot, Solve, SolveReport, Tracks

# pictures of one shape: more than this between their aspects is a crop
_SAME_SHAPE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLens:
    """A lens that was solved before, as prior of another solve.

    Attributes
    ----------
    k : (Known or None, Known or None, Known or None)
        None where the earlier solve did not estimate the coefficient.
    principal_point : (Known, Known) or None
        Pixels.
    sensor_width_mm : float or None
        None where the earlier solve had only assumed it.
    """

    k: tuple[Known | None, Known | None, Known | None]
    principal_point: tuple[Known, Known] | None
    sensor_width_mm: float | None


def read_solved(path: Path) -> dict[str, Any]:
    """The record of a solved shot.

    Raises
    ------
    InputError
        If the file cannot be read, is no record, or is that of a shot that was not solved.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except ValueError as error:  # bytes that are no text are a ValueError too
        raise _not_ours(path) from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise _not_ours(path)
    if record.get("status") == REFUSED:
        raise InputError(f"{path} is the record of a shot that could not be solved: choose one that was.")
    return record


def _not_ours(path: Path | str) -> InputError:
    return InputError(f"{path} is not the JSON of a shot that Lens Solver solved: choose <shot>.json.")


def earlier_solve(record: Mapping[str, Any], name: str = "The record") -> Solve:
    """The solve that a record tells of, without tracks and points.

    Parameters
    ----------
    record : mapping
        As `result.solve_record` makes it, of this version or an earlier one.
    name : str
        What to call it in an error.

    Raises
    ------
    InputError
        If the record is incomplete.
    """
    try:
        return _solve(record)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _not_ours(name) from error


def known_lens(record: Mapping[str, Any], size: tuple[int, int], name: str = "The lens file") -> KnownLens:
    """The lens of an earlier solve as prior for pictures of `size`.

    What the earlier solve estimated has its deviation; what it was told and kept is locked. Distortion acts on
    normalised coordinates and is the same for any size; the principal point is scaled with the picture.

    Raises
    ------
    InputError
        If the record is incomplete, or of pictures of another shape.
    """
    try:
        lens = record["lens"]
        width, height = int(lens["width"]), int(lens["height"])
        if abs(width / height / (size[0] / size[1]) - 1) > _SAME_SHAPE:
            raise InputError(
                f"{name} is of pictures of {width}x{height} pixels, the footage has {size[0]}x{size[1]}: take the lens "
                "of footage with the same shape."
            )
        scale = size[0] / width
        deviations, known = lens.get("sd", {}), record.get("known", {})
        k = [_known(float(lens[key]), deviations.get(key), known.get(key)) for key in ("k1", "k2", "k3")]
        told = known.get("principal_point_px") or (None, None)
        centre = [
            _known(scale * float(value), deviations.get(f"principal_{axis}"), told[i], scale)
            for i, (axis, value) in enumerate(zip("xy", lens["principal_point_px"], strict=True))
        ]
        sensor = float(lens["sensor_width_mm"]) if lens["sensor_width_source"] != "default" else None
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise _not_ours(name) from error
    x, y = centre
    return KnownLens(
        k=(k[0], k[1], k[2]),
        principal_point=(x, y) if x is not None and y is not None else None,
        sensor_width_mm=sensor,
    )


def known_poses(record: Mapping[str, Any], name: str = "The file of poses") -> dict[int, KnownPose]:
    """The solved poses of a record by frame number, with their deviations.

    Raises
    ------
    InputError
        If the record is incomplete or has no solved frame.
    """
    try:
        poses = {
            int(frame["frame"]): KnownPose(
                R_cam_from_world=_array(frame["cam_from_world"], (4, 4))[:3, :3],
                t_cam_from_world=_array(frame["cam_from_world"], (4, 4))[:3, 3],
                rotation_deviation=_root_mean_square(frame["rotation_sd"]),
                position_deviation=_root_mean_square(frame["position_sd"]),
            )
            for frame in record["frames"]
            if frame.get("solved", True)
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _not_ours(name) from error
    if not poses:
        raise InputError(f"{name} holds no solved frame: choose the JSON of a shot that was solved.")
    return poses


def _known(value: float, deviation: object, told: object, scale: float = 1.0) -> Known | None:
    if isinstance(deviation, (int, float)):
        return Known(value=value, deviation=scale * float(deviation))
    locked = isinstance(told, Mapping) and told.get("sd") == 0
    return Known(value=value, deviation=0.0) if locked else None


def _root_mean_square(values: object) -> float:
    return float(np.sqrt((_array(values, (3,)) ** 2).mean()))


def _array(values: object, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers of shape {shape}, found {array.shape}")
    return array


def _solve(record: Mapping[str, Any]) -> Solve:
    frames, lens, n = record["frames"], record["lens"], len(record["frames"])
    if not n:
        raise ValueError("no frames")
    k = [lens["k1"], lens["k2"], lens["k3"]]
    poses = _array([frame["cam_from_world"] for frame in frames], (n, 4, 4))
    up = record.get("up_world")
    statistics = record["statistics"]
    path = CameraPath(
        R_cam_from_world=poses[:, :3, :3],
        t_cam_from_world=poses[:, :3, 3],
        focal_px=_array([frame["focal_px"] for frame in frames], (n,)),
        focal_px_sd=_array([frame["focal_px_sd"] for frame in frames], (n,)),
        distortion=_array([frame.get("distortion", k) for frame in frames], (n, 3)),
        rotation_sd=_array([frame["rotation_sd"] for frame in frames], (n, 3)),
        position_sd=_array([frame["position_sd"] for frame in frames], (n, 3)),
        solved=np.array([bool(frame["solved"]) for frame in frames]),
    )
    return Solve(
        shot=_shot(record["shot"], np.array([int(frame["frame"]) for frame in frames], dtype=np.int64)),
        kind=record.get("kind", MOVING),
        lens=BrownConradyLens(
            size=(int(lens["width"]), int(lens["height"])),
            principal_point=_array(lens["principal_point_px"], (2,)),
            k=_array(k, (3,)),
        ),
        path=path,
        points=Points(xyz_world=np.empty((0, 3)), track=np.empty(0, dtype=np.int64), error_px=np.empty(0)),
        tracks=Tracks(
            track=np.empty(0, dtype=np.int64),
            frame=np.empty(0, dtype=np.int64),
            xy=np.empty((0, 2)),
            covariance=np.empty((0, 2, 2)),
            n_frames=n,
        ),
        inlier=np.empty(0, dtype=np.bool_),
        sensor_width_mm=float(lens["sensor_width_mm"]),
        sensor_width_source=str(lens["sensor_width_source"]),
        scale_source=str(record["scale_source"]),
        up_world=None if up is None else _array(up, (3,)),
        up_sd=float(record.get("up_sd") or 0.0),
        readout=float(record.get("readout") or 0.0),
        readout_sd=float(record.get("readout_sd") or 0.0),
        report=SolveReport(
            status=str(record["status"]),
            reasons=tuple(map(str, record["reasons"])),
            rms_px=float(statistics["rms_px"]),
            quality=_array([frame["quality"] for frame in frames], (n,)),
            n_tracks=int(statistics["tracks"]),
            n_observations=int(statistics["observations"]),
            iterations=int(statistics["iterations"]),
            seconds={str(stage): float(seconds) for stage, seconds in statistics["seconds"].items()},
            lens_sd={str(key): float(value) for key, value in lens["sd"].items()},
            bad_ranges=tuple(
                BadRange(first=int(bad["first"]), last=int(bad["last"]), reason=str(bad["reason"]))
                for bad in record.get("bad_ranges", ())
            ),
        ),
    )


def _shot(shot: Mapping[str, Any], frame_numbers: NDArray[np.int64]) -> Shot:
    return Shot(
        name=str(shot["name"]),
        footage=str(shot["footage"]),
        first_file=str(shot["first_file"]),
        is_sequence=bool(shot["is_sequence"]),
        size=(int(shot["width"]), int(shot["height"])),
        frame_rate=float(shot["frame_rate"]),
        frame_numbers=frame_numbers,
        missing_frames=np.array(shot["missing_frames"], dtype=np.int64),
        pixel_aspect=float(shot["pixel_aspect"]),
        metadata=dict(shot["metadata"]),
    )
