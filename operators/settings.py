"""What the artist chooses, on the scene: `scene.lens_solver`.

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

from . import job_state, result_properties

if TYPE_CHECKING:
    from .shot_settings import Matte, ShotSettings

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
    use_focal: BoolProperty(
        name="Focal Length",
        description="Tell the solve the focal length instead of leaving it to find out",
        default=False,
        options=set(),
    )
    focal_mm: FloatProperty(
        name="Focal Length",
        description="Focal length in millimetres on the sensor chosen above, the same in every frame",
        unit="CAMERA",
        default=35.0,
        min=0.1,
        max=10000.0,
        soft_min=8.0,
        soft_max=300.0,
        step=100,
        precision=2,
        options=set(),
    )
    focal_lock: BoolProperty(
        name="Lock",
        description="Keep exactly this focal length in every frame; off, the solve may depart from it"
        " as far as the deviation allows",
        default=True,
        options=set(),
    )
    focal_sd_mm: FloatProperty(
        name="Deviation",
        description="How far the true focal length may be from the value, as a standard deviation in millimetres",
        unit="CAMERA",
        default=1.0,
        min=0.001,
        soft_max=20.0,
        step=10,
        precision=2,
        options=set(),
    )
    lens_file: StringProperty(
        name="Lens File",
        description="JSON of another shot that was solved with this lens: its distortion, principal point and sensor"
        " width are taken over as far as that solve was sure of them",
        subtype="FILE_PATH",
        options=set(),
    )
    rolling_shutter: EnumProperty(
        name="Rolling Shutter",
        description="Whether the rows of a frame were exposed one after the other",
        items=(
            ("AUTO", "Auto", "Find out from the footage, where its movement tells", "", 0),
            ("OFF", "Off", "All rows at once: a global shutter, film, or rendered footage", "", 1),
            ("VALUE", "Value", "Type the readout time in", "", 2),
        ),
        default="AUTO",
        options=set(),
    )
    readout: FloatProperty(
        name="Readout",
        description="Time from the first row of the picture to the last, in frames:"
        " readout in seconds times the frame rate. Negative where the picture is upside down",
        default=0.4,
        min=-2.0,
        max=2.0,
        soft_min=0.0,
        soft_max=1.0,
        step=1,
        precision=3,
        options=set(),
    )
    matte: EnumProperty(
        name="Matte",
        description="Areas of the picture that the solve leaves out, such as actors and cars",
        items=(
            ("NONE", "None", "Use the whole picture; what moves by itself is found and left out", "", 0),
            ("FILE", "Pictures or Video", "Leave out what is white in a sequence, a picture or a video", "", 1),
            ("MASK", "Mask", "Leave out the inside of a mask that was drawn in Blender", "", 2),
            ("ALPHA", "Footage Alpha", "Leave out what is transparent in the footage itself", "", 3),
        ),
        default="NONE",
        options=set(),
    )
    matte_path: StringProperty(
        name="Pictures or Video",
        description="First frame or folder of the matte's sequence, one picture for all frames, or a video",
        subtype="FILE_PATH",
        options=set(),
    )
    matte_mask: PointerProperty(
        name="Mask",
        description="Mask drawn over the footage, animated by shape keys if it moves; its feather does not count",
        type=bpy.types.Mask,
    )
    matte_invert: BoolProperty(
        name="Invert", description="Use only these areas and leave out all others", default=False, options=set()
    )
    use_frames: BoolProperty(
        name="Frame Range", description="Solve some frames of the footage only", default=False, options=set()
    )
    frame_first: IntProperty(
        name="First", description="Number of the first frame to solve, as the footage counts", default=1, options=set()
    )
    frame_last: IntProperty(
        name="Last", description="Number of the last frame to solve, as the footage counts", default=100, options=set()
    )
    result: PointerProperty(
        name="Result",
        description="What the last solve of this scene found",
        type=result_properties.LENS_SOLVER_PG_result,
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


def to_settings(settings: LENS_SOLVER_PG_settings, clip: bpy.types.MovieClip) -> "ShotSettings":
    """What the artist says of the shot, out of bpy.

    Raises
    ------
    InputError
        If something is chosen that cannot be used.
    """
    from ..solver.known import Known
    from .shot_settings import ShotSettings

    width = _SENSOR_WIDTHS.get(settings.sensor)
    focal = None
    if settings.use_focal:
        deviation = 0.0 if settings.focal_lock else settings.focal_sd_mm
        focal = Known(value=settings.focal_mm, deviation=deviation)
    readout = None
    if settings.rolling_shutter != "AUTO":
        readout = Known(value=settings.readout if settings.rolling_shutter == "VALUE" else 0.0, deviation=0.0)
    return ShotSettings(
        sensor_width_mm=settings.sensor_width_mm if settings.sensor == CUSTOM else width,
        focal_mm=focal,
        lens_file=Path(bpy.path.abspath(settings.lens_file)) if settings.lens_file else None,
        readout=readout,
        matte=_matte(settings, clip),
        frames=(settings.frame_first, settings.frame_last) if settings.use_frames else None,
    )


def _matte(settings: LENS_SOLVER_PG_settings, clip: bpy.types.MovieClip) -> "Matte | None":
    from ..solver.errors import InputError
    from .footage import first_number
    from .mask_outlines import mask_outlines
    from .shot_settings import Matte

    invert = settings.matte_invert
    if settings.matte == "ALPHA":
        return Matte(alpha=True, invert=invert)
    if settings.matte == "FILE":
        if not settings.matte_path:
            raise InputError("No matte is chosen: choose its pictures or its video, or set Matte to None.")
        return Matte(path=Path(bpy.path.abspath(settings.matte_path)), invert=invert)
    if settings.matte == "MASK":
        if settings.matte_mask is None:
            raise InputError("No mask is chosen: choose one, or set Matte to None.")
        return Matte(outlines=mask_outlines(settings.matte_mask, clip, first_number(clip)), invert=invert)
    return None


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


classes = (LENS_SOLVER_PG_settings,)
