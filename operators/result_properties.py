"""What the last solve of a scene found, for the panels.

No `from __future__ import annotations` here: Blender reads properties from annotations, which must not be text.
"""

from typing import TYPE_CHECKING

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

if TYPE_CHECKING:
    from ..solver.types import Solve


class LENS_SOLVER_PG_bad_range(bpy.types.PropertyGroup):
    """Frames whose camera is not to be trusted."""

    first: IntProperty(name="First Frame", description="First frame of the range in the scene", options=set())
    last: IntProperty(name="Last Frame", description="Last frame of the range in the scene", options=set())
    reason: StringProperty(name="Reason", description="Why the camera is not to be trusted there", options=set())


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
    kind: StringProperty(
        name="Kind of Shot",
        description="What the camera does in this shot. A camera that only turns or stands still gives no depth",
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
    is_upright: BoolProperty(
        name="Upright",
        description="Whether the picture showed which way is up, so that the scene stands upright",
        options=set(),
    )
    readout: FloatProperty(
        name="Rolling Shutter",
        description="Time from the first row of the picture to the last, in frames; 0 for a global shutter",
        precision=3,
        options=set(),
    )
    readout_sd: FloatProperty(
        name="Rolling Shutter Deviation",
        description="Standard deviation of the rolling shutter in frames, 0 where it was not estimated",
        min=0.0,
        precision=3,
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
        description="Share of the held-out tracks that the solved cameras predict, over all frames; 70 to 95 % is good",
        subtype="FACTOR",
        min=0.0,
        max=1.0,
        options=set(),
    )
    bad_ranges: CollectionProperty(
        name="Bad Ranges", description="Frames whose camera is not to be trusted", type=LENS_SOLVER_PG_bad_range
    )
    frame_offset: IntProperty(
        name="Frame Offset",
        description="Number of a footage frame less its frame in the scene, 0 unless the numbers are too large",
        options=set(),
    )
    record: PointerProperty(
        name="Record",
        description="The numbers of the solve as JSON, from which a range of it is solved again",
        type=bpy.types.Text,
    )


def store_result(result: LENS_SOLVER_PG_result, solve: "Solve", notes: tuple[str, ...]) -> None:
    """Keep what the panels show."""
    import numpy as np

    from ..solver.result import camera_kind, confidence, equivalent_35mm
    from .build.scene import frame_offset

    solved = solve.path.solved
    focal_mm = solve.focal_mm[solved]
    result.status = solve.report.status.upper()
    result.kind = camera_kind(solve)
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
    result.is_upright = solve.up_world is not None
    result.readout, result.readout_sd = solve.readout, solve.readout_sd
    result.frame_offset = frame_offset(solve.shot)
    result.bad_ranges.clear()
    for bad in solve.report.bad_ranges:
        item = result.bad_ranges.add()
        item.first, item.last = bad.first - result.frame_offset, bad.last - result.frame_offset
        item.reason = bad.reason


classes = (LENS_SOLVER_PG_bad_range, LENS_SOLVER_PG_result)
