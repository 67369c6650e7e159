"""What the artist chooses and what a solve found, on the scene: `scene.lens_solver`.

No `from __future__ import annotations` here: Blender reads properties from annotations, which must not be text.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import job_state

if TYPE_CHECKING:
    from ..solver.pipeline import SolveOptions
    from ..solver.types import Solve

_SENSORS = Path(__file__).resolve().parent.parent / "presets" / "sensors.json"

FROM_FOOTAGE = "FOOTAGE"
CUSTOM = "CUSTOM"


def load_sensors(path: Path = _SENSORS) -> list[dict[str, Any]]:
    """The presets: id, number, name, width_mm, note."""
    sensors: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["sensors"]
    return sensors


_SENSOR_WIDTHS = {sensor["id"]: float(sensor["width_mm"]) for sensor in load_sensors()}
_SENSOR_ITEMS = [
    (FROM_FOOTAGE, "From Footage", "Use the width that the footage's metadata gives, else 36 mm", "", 0),
    (CUSTOM, "Custom", "Type the width in", "", 1),
    *(
        (sensor["id"], f"{sensor['name']} ({sensor['width_mm']:g} mm)", sensor["note"], "", sensor["number"])
        for sensor in load_sensors()
    ),
]


class LENS_SOLVER_PG_result(bpy.types.PropertyGroup):
    """What the last solve found, for the panels."""

    status: EnumProperty(
        name="Status",
        description="How the last solve of this scene ended",
        items=(
            ("NONE", "Not Solved", "Nothing has been solved in this scene"),
            ("SOLVED", "Solved", "The camera is solved"),
            ("WARNINGS", "Solved with Warnings", "The camera is solved, with reservations"),
        ),
        default="NONE",
        options=set(),
    )
    shot: StringProperty(name="Shot", description="Name of the shot that was solved", options=set())
    reasons: StringProperty(
        name="Reasons", description="What to know about the solve, one sentence a line", options=set()
    )
    focal_mm: FloatProperty(
        name="Focal Length",
        description="Focal length of the lens, the shortest of the shot in a zoom",
        unit="CAMERA",
        min=0.0,
        precision=2,
        options=set(),
    )
    focal_longest_mm: FloatProperty(
        name="Longest Focal Length",
        description="Longest focal length of the shot",
        unit="CAMERA",
        min=0.0,
        precision=2,
        options=set(),
    )
    focal_sd_mm: FloatProperty(
        name="Deviation",
        description="Standard deviation of the focal length",
        unit="CAMERA",
        min=0.0,
        precision=3,
        options=set(),
    )
    equivalent_mm: FloatProperty(
        name="35 mm Equivalent",
        description="Focal length with the same angle of view on a sensor 36 mm wide",
        unit="CAMERA",
        min=0.0,
        precision=1,
        options=set(),
    )
    sensor_width_mm: FloatProperty(
        name="Sensor Width",
        description="Sensor width that the solve went by",
        unit="CAMERA",
        min=0.0,
        precision=2,
        options=set(),
    )
    sensor_width_source: StringProperty(
        name="Sensor Width Source",
        description="Where the sensor width came from: given, metadata or default",
        options=set(),
    )
    error_px: FloatProperty(
        name="Error",
        description="How far solved points lie from where they were tracked, root mean square in pixels",
        min=0.0,
        precision=3,
        options=set(),
    )
    frames_solved: IntProperty(
        name="Frames Solved", description="Number of frames with a solved camera", min=0, options=set()
    )
    frames_total: IntProperty(name="Frames", description="Number of frames of the shot", min=0, options=set())
    confidence: FloatProperty(
        name="Confidence",
        description="How far the solve can be trusted, over all frames",
        subtype="FACTOR",
        min=0.0,
        max=1.0,
        options=set(),
    )


class LENS_SOLVER_PG_settings(bpy.types.PropertyGroup):
    """Everything of the add-on that belongs to a scene."""

    clip: PointerProperty(
        name="Footage", description="Movie clip to solve: a video or an image sequence", type=bpy.types.MovieClip
    )
    sensor: EnumProperty(
        name="Sensor",
        description="Camera whose sensor width turns the focal length into millimetres."
        " Recording modes that crop the sensor use less than its full width",
        items=_SENSOR_ITEMS,
        default=FROM_FOOTAGE,
        options=set(),
    )
    sensor_width_mm: FloatProperty(
        name="Sensor Width",
        description="Width of the sensor that the footage was recorded on",
        unit="CAMERA",
        default=36.0,
        min=0.5,
        max=1000.0,
        soft_min=3.0,
        soft_max=70.0,
        step=10,
        precision=2,
        options=set(),
    )
    result: PointerProperty(
        name="Result", description="What the last solve of this scene found", type=LENS_SOLVER_PG_result
    )

    # Of the work that runs now, which no file holds.
    is_solving: BoolProperty(
        name="Solving",
        description="Whether this scene is being solved",
        get=job_state.is_running,
    )
    progress: FloatProperty(
        name="Progress",
        description="How much of the work is done",
        subtype="FACTOR",
        min=0.0,
        max=1.0,
        get=job_state.fraction,
    )
    progress_text: StringProperty(
        name="Stage",
        description="What the work is at",
        get=job_state.message,
    )
    failure: StringProperty(
        name="Failure",
        description="Why the last attempt of this session failed",
        get=job_state.failure,
    )


def to_options(settings: LENS_SOLVER_PG_settings) -> "SolveOptions":
    """The solver's options."""
    from ..solver.pipeline import SolveOptions

    if settings.sensor == FROM_FOOTAGE:
        return SolveOptions(sensor_width_mm=None)
    if settings.sensor == CUSTOM:
        return SolveOptions(sensor_width_mm=settings.sensor_width_mm)
    return SolveOptions(sensor_width_mm=_SENSOR_WIDTHS[settings.sensor])


def store_result(result: LENS_SOLVER_PG_result, solve: "Solve", notes: tuple[str, ...]) -> None:
    """Keep what the panels show."""
    import numpy as np

    from ..solver.result import confidence, equivalent_35mm

    solved = solve.path.solved
    focal_mm = solve.focal_mm[solved]
    result.status = solve.report.status.upper()
    result.shot = solve.shot.name
    result.reasons = "\n".join((*solve.report.reasons, *notes))
    result.focal_mm, result.focal_longest_mm = float(focal_mm.min()), float(focal_mm.max())
    result.focal_sd_mm = float(np.median(solve.path.focal_px_sd[solved] / solve.path.focal_px[solved] * focal_mm))
    result.equivalent_mm = float(np.median(equivalent_35mm(solve)[solved]))
    result.sensor_width_mm = solve.sensor_width_mm
    result.sensor_width_source = solve.sensor_width_source
    result.error_px = solve.report.rms_px
    result.frames_solved, result.frames_total = int(solved.sum()), len(solved)
    result.confidence = confidence(solve)


def register_pointers() -> None:
    """Put the settings on the scene."""
    make_pointer: Any = PointerProperty
    bpy.types.Scene.lens_solver = make_pointer(
        name="Lens Solver",
        description="Settings and result of the Lens Solver",
        type=LENS_SOLVER_PG_settings,
    )


def unregister_pointers() -> None:
    """Take the settings off the scene."""
    del bpy.types.Scene.lens_solver


classes = (LENS_SOLVER_PG_result, LENS_SOLVER_PG_settings)
