"""What is kept of a solve outside Blender: the numbers as JSON, written so that no half file is ever seen.

The record of a shot (`<shot>.json`) has a schema number. Its cameras and pixels are those of `conventions`: x right,
y down, z forward, pixel (0, 0) at the top left corner. A value that is not known is null; a value that is not finite
never gets in.
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

from .types import REFUSED, CameraPath, Shot, Solve

SCHEMA = 1

FULL_FRAME_WIDTH_MM = 36.0


def confidence(solve: Solve) -> float:
    """Confidence in the whole solve, 0 to 1: the mean over all frames, a frame that was not solved counting nothing."""
    quality = np.where(solve.path.solved, solve.report.quality, 0.0)
    return float(quality.mean()) if len(quality) else 0.0


def equivalent_35mm(solve: Solve) -> NDArray[np.float64]:
    """Focal length of each frame on a sensor 36 mm wide, mm, shape (F,)."""
    return np.asarray(solve.path.focal_px * (FULL_FRAME_WIDTH_MM / solve.shot.size[0]))


def solve_record(solve: Solve, version: str) -> dict[str, Any]:
    """The numbers of a solved shot, ready for JSON.

    Parameters
    ----------
    solve : Solve
    version : str
        Of the program.
    """
    report = solve.report
    return {
        "schema": SCHEMA,
        "program": "Lens Solver",
        "version": version,
        "status": report.status,
        "reasons": list(report.reasons),
        "scale_source": solve.scale_source,
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
        "focal_mm": float(np.median(solve.focal_mm)),
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
    text = json.dumps(plain(record), indent=1, allow_nan=False)
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any] | None:
    """The record at `path`; None where there is none, or where it is not one of this schema."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
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
