"""What is kept of a solve outside Blender: the numbers as JSON, written so that no half file is ever seen.

The record of a shot (`<shot>.json`) has a schema number. Its cameras and pixels are those of `conventions`: x right,
y down, z forward, pixel (0, 0) at the top left corner. A value that is not known is null; a value that is not finite
never gets in. The quality of a frame is that of `SolveReport`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .known import Known, KnownPose, KnownValues
from .types import MOVING, NODAL, REFUSED, STATIC, CameraPath, Shot, Solve

SCHEMA = 1

FULL_FRAME_WIDTH_MM = 36.0


def confidence(solve: Solve) -> float:
    """Confidence in the whole solve, 0 to 1: the mean quality of all frames, one without a solve counting nothing."""
    quality = np.where(solve.path.solved, solve.report.quality, 0.0)
    return float(quality.mean()) if len(quality) else 0.0


def equivalent_35mm(solve: Solve) -> NDArray[np.float64]:
    """Focal length of each frame on a sensor 36 mm wide, mm, shape (F,)."""
    return np.asarray(solve.path.focal_px * (FULL_FRAME_WIDTH_MM / solve.shot.size[0]))


def camera_kind(solve: Solve) -> str:
    """What kind of shot it is in an artist's words: "Zoom 28-60 mm", "Tripod pan, no depth" ..."""
    if len(solve.path.focal_px) == 1:
        return "Still, no depth"
    zoom = f"zoom {solve.focal_mm.min():.0f}-{solve.focal_mm.max():.0f} mm"
    words = {
        (MOVING, False): "Moving camera",
        (MOVING, True): zoom.capitalize(),
        (NODAL, False): "Tripod pan, no depth",
        (NODAL, True): f"Tripod {zoom}, no depth",
        (STATIC, False): "Static camera, no depth",
        (STATIC, True): f"Static camera, {zoom}, no depth",
    }
    return words[solve.kind, solve.zooms]


def millimetres(focal_mm: NDArray[np.float64], digits: int = 2) -> str:
    """Focal lengths of a shot as text: "35.00 mm", or "28.00 to 60.00 mm" in a zoom."""
    least, most = float(focal_mm.min()), float(focal_mm.max())
    if f"{least:.{digits}f}" == f"{most:.{digits}f}":
        return f"{least:.{digits}f} mm"
    return f"{least:.{digits}f} to {most:.{digits}f} mm"


def solve_record(solve: Solve, version: str, known: KnownValues | None = None) -> dict[str, Any]:
    """The numbers of a solved shot, ready for JSON.

    Parameters
    ----------
    solve : Solve
    version : str
        Of the program.
    known : KnownValues or None
        What the solve was told beforehand, where its report does not say it.
    """
    report = solve.report
    return {
        "schema": SCHEMA,
        "program": "Lens Solver",
        "version": version,
        "status": report.status,
        "reasons": list(report.reasons),
        "kind": solve.kind,
        "zooms": solve.zooms,
        "scale_source": solve.scale_source,
        "up_world": solve.up_world,
        "up_sd": solve.up_sd if solve.up_world is not None else None,
        "readout": solve.readout,
        "readout_sd": solve.readout_sd,
        "bad_ranges": [{"first": bad.first, "last": bad.last, "reason": bad.reason} for bad in report.bad_ranges],
        "known": known_record(report.known) or known_record(known or KnownValues()),
        "shot": _shot_record(solve.shot),
        "lens": _lens_record(solve),
        "frames": _frame_records(solve.path, report.quality, solve.shot.frame_numbers),
        "statistics": {
            "rms_px": report.rms_px,
            "confidence": confidence(solve),
            "frames": len(solve.path.solved),
            "frames_solved": int(solve.path.solved.sum()),
            "tracks": report.n_tracks,
            "observations": report.n_observations,
            "points": len(solve.points.track),
            "iterations": report.iterations,
            "seconds": dict(report.seconds),
        },
    }


def refusal_record(name: str, footage: str, reasons: Sequence[str], version: str) -> dict[str, Any]:
    """The record of a shot that could not be solved."""
    return {
        "schema": SCHEMA,
        "program": "Lens Solver",
        "version": version,
        "status": REFUSED,
        "reasons": list(reasons),
        "scale_source": "none",
        "shot": {"name": name, "footage": footage},
        "frames": [],
    }


def known_record(known: KnownValues) -> dict[str, Any]:
    """What was known beforehand, and from where; a value's `sd` of 0 says that it was locked."""
    given: dict[str, Any] = {
        "focal_px": _value_record(known.focal_px),
        "focal_px_by_frame": [
            {"frame": int(frame), **(_value_record(value) or {})}
            for frame, value in sorted(known.focal_px_by_frame.items())
        ],
        "principal_point_px": [_value_record(value) for value in known.principal_point or ()],
        **{f"k{i}": _value_record(value) for i, value in enumerate(known.k, start=1)},
        "readout": _value_record(known.readout),
        "poses": [_pose_record(int(frame), pose) for frame, pose in sorted(known.poses.items())],
    }
    given = {name: value for name, value in given.items() if value}
    return {"source": known.source, **given} if given else {}


def _value_record(value: Known | None) -> dict[str, float] | None:
    return None if value is None else {"value": value.value, "sd": value.deviation}


def _pose_record(frame: int, pose: KnownPose) -> dict[str, Any]:
    return {"frame": frame, "rotation_sd": pose.rotation_deviation, "position_sd": pose.position_deviation}


def _shot_record(shot: Shot) -> dict[str, Any]:
    return {
        "name": shot.name,
        "footage": shot.footage,
        "first_file": shot.first_file,
        "is_sequence": shot.is_sequence,
        "width": shot.size[0],
        "height": shot.size[1],
        "pixel_aspect": shot.pixel_aspect,
        "frame_rate": shot.frame_rate,
        "first_frame": int(shot.frame_numbers[0]),
        "last_frame": int(shot.frame_numbers[-1]),
        "missing_frames": [int(number) for number in shot.missing_frames],
        "metadata": shot.metadata,
    }


def _lens_record(solve: Solve) -> dict[str, Any]:
    lens = solve.lens
    return {
        "model": "brown_conrady",
        **{name: float(value) for name, value in zip(lens.param_names, lens.params, strict=True)},
        "principal_point_px": lens.principal_point,
        "width": lens.size[0],
        "height": lens.size[1],
        "sensor_width_mm": solve.sensor_width_mm,
        "sensor_width_source": solve.sensor_width_source,
        "focal_px": float(np.median(solve.path.focal_px)),
        "focal_px_range": [float(solve.path.focal_px.min()), float(solve.path.focal_px.max())],
        "focal_mm": float(np.median(solve.focal_mm)),
        "focal_mm_range": [float(solve.focal_mm.min()), float(solve.focal_mm.max())],
        "focal_35mm_equivalent": float(np.median(equivalent_35mm(solve))),
        "sd": dict(solve.report.lens_sd),
    }


def _frame_records(
    path: CameraPath, quality: NDArray[np.float64], frame_numbers: NDArray[np.int64]
) -> list[dict[str, Any]]:
    records = []
    for i, number in enumerate(frame_numbers):
        cam_from_world = np.eye(4)
        cam_from_world[:3, :3] = path.R_cam_from_world[i]
        cam_from_world[:3, 3] = path.t_cam_from_world[i]
        records.append(
            {
                "frame": int(number),
                "solved": bool(path.solved[i]),
                "focal_px": float(path.focal_px[i]),
                "focal_px_sd": float(path.focal_px_sd[i]),
                "distortion": path.distortion[i],
                "cam_from_world": cam_from_world,
                "rotation_sd": path.rotation_sd[i],
                "position_sd": path.position_sd[i],
                "focus_distance": None,
                "fstop": None,
                "quality": float(quality[i]),
            }
        )
    return records


def plain(value: Any) -> Any:
    """`value` with numpy turned into lists and numbers, and whatever is not finite into None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(record_text(record), encoding="utf-8")


def record_text(record: Mapping[str, Any]) -> str:
    """The record as JSON."""
    return json.dumps(plain(record), indent=1, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any] | None:
    """The record at `path`; None where there is none, or where it is not one of this schema."""
    try:
        return parse_record(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def parse_record(text: str) -> dict[str, Any] | None:
    """The record that a text holds; None where it is not one of this schema."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return None
    return record


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end; on failure nothing is left and `path` is untouched.

    The temporary name ends as `path` does, since writers choose the format by it.
    """
    temporary = path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
