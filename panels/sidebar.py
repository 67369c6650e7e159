"""The panels: they draw what `scene.lens_solver` holds, the same in both editors."""

from __future__ import annotations

import textwrap
from typing import Any

import bpy

_STATUS_ICONS: dict[str, Any] = {"SOLVED": "CHECKMARK", "WARNINGS": "ERROR"}
_SENSOR_SOURCES = {"given": "given", "metadata": "from the footage", "default": "assumed"}

# Width of a letter of the interface font, in units of the interface scale, rather too large than too small.
_LETTER = 7.0


def draw_solve(panel: bpy.types.Panel, context: bpy.types.Context) -> None:
    """Footage, sensor, the button or its progress."""
    settings = context.scene.lens_solver
    layout = panel.layout
    layout.use_property_split = True
    layout.use_property_decorate = False

    column = layout.column()
    column.enabled = not settings.is_solving
    row = column.row(align=True)
    row.use_property_split = False
    row.prop(settings, "clip", text="")
    row.operator("lens_solver.choose_footage", text="", icon="FILE_FOLDER")
    if settings.clip is None:
        shown = context.space_data.clip if context.space_data.type == "CLIP_EDITOR" else None
        found = shown or context.scene.active_clip
        column.label(text=f"Will solve {found.name}" if found else "Choose the footage first", icon="INFO")
    column.prop(settings, "sensor")
    if settings.sensor == "CUSTOM":
        column.prop(settings, "sensor_width_mm", text="Width")

    if settings.is_solving:
        row = layout.row(align=True)
        row.progress(factor=settings.progress, text=f"{settings.progress_text} {settings.progress:.0%}")
        row.operator("lens_solver.cancel_solve", text="", icon="CANCEL")
    else:
        row = layout.row()
        row.scale_y = 1.4
        row.operator("lens_solver.solve_camera", icon="CAMERA_DATA")
    if settings.failure:
        _draw_text(layout.column(align=True), context, settings.failure, "ERROR", alert=True)


def _column(panel: bpy.types.Panel, context: bpy.types.Context) -> Any:
    """Where settings are drawn; they wait while the scene is being solved."""
    layout = panel.layout
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column()
    column.enabled = not context.scene.lens_solver.is_solving
    return column


def draw_known(panel: bpy.types.Panel, context: bpy.types.Context) -> None:
    """What the artist knows of the lens and the sensor."""
    settings = context.scene.lens_solver
    column = _column(panel, context)
    row = column.row(heading="Focal Length", align=True)
    row.prop(settings, "use_focal", text="")
    value = row.row(align=True)
    value.active = settings.use_focal
    value.prop(settings, "focal_mm", text="")
    value.prop(settings, "focal_lock", text="", icon="LOCKED" if settings.focal_lock else "UNLOCKED")
    if settings.use_focal and not settings.focal_lock:
        column.prop(settings, "focal_sd_mm", text="± Deviation")
    column.prop(settings, "lens_file")
    column.prop(settings, "rolling_shutter")
    if settings.rolling_shutter == "VALUE":
        column.prop(settings, "readout")


def draw_part(panel: bpy.types.Panel, context: bpy.types.Context) -> None:
    """What of the footage is used: areas and frames."""
    settings = context.scene.lens_solver
    column = _column(panel, context)
    column.prop(settings, "matte")
    if settings.matte == "FILE":
        column.prop(settings, "matte_path", text="File")
    if settings.matte == "MASK":
        column.prop(settings, "matte_mask")
    if settings.matte != "NONE":
        column.prop(settings, "matte_invert")
    row = column.row(heading="Frame Range", align=True)
    row.prop(settings, "use_frames", text="")
    frames = row.row(align=True)
    frames.active = settings.use_frames
    frames.prop(settings, "frame_first", text="")
    frames.prop(settings, "frame_last", text="")
    if settings.use_frames and settings.result.record is not None:
        again = column.operator("lens_solver.resolve_range", icon="FILE_REFRESH")
        again.first, again.last = settings.frame_first, settings.frame_last


def draw_result(panel: bpy.types.Panel, context: bpy.types.Context) -> None:
    """What the last solve found."""
    result = context.scene.lens_solver.result
    column = panel.layout.column(align=True)
    column.label(
        text=f"{result.shot}: {result.bl_rna.properties['status'].enum_items[result.status].name}",
        icon=_STATUS_ICONS.get(result.status, "NONE"),
    )
    zooms = result.focal_longest_mm > 1.0001 * result.focal_mm
    focal = f"{result.focal_mm:.2f} to {result.focal_longest_mm:.2f} mm" if zooms else f"{result.focal_mm:.2f} mm"
    source = _SENSOR_SOURCES.get(result.sensor_width_source, result.sensor_width_source)
    _draw_text(column, context, result.kind, "BLANK1")
    rows = [
        ("Focal Length", focal),
        ("", f"± {2 * result.focal_sd_mm:.2f} mm"),
        ("35 mm Equivalent", f"{result.equivalent_mm:.1f} mm"),
        ("Sensor Width", f"{result.sensor_width_mm:.2f} mm, {source}"),
    ]
    if result.readout or result.readout_sd:
        deviation = f" ± {2 * result.readout_sd:.2f}" if result.readout_sd else ""
        rows.append(("Rolling Shutter", f"{result.readout:.2f} frames{deviation}"))
    if result.is_upright:
        rows.append(("Up", "from the picture"))
    if result.error_px:
        rows.append(("Error", f"{result.error_px:.2f} px"))
    rows += [
        ("Frames Solved", f"{result.frames_solved} of {result.frames_total}"),
        ("Confidence", f"{result.confidence:.0%}"),
    ]
    for name, value in rows:
        split = column.split(factor=0.45)
        split.label(text=name)
        split.label(text=value)
    if result.reasons:
        box = panel.layout.box().column(align=True)
        for reason in result.reasons.splitlines():
            _draw_text(box, context, reason, "INFO")
    if result.bad_ranges:
        _draw_bad_ranges(panel.layout, context)


def _draw_bad_ranges(layout: Any, context: bpy.types.Context) -> None:
    """The ranges not to be trusted, each with its reason, a way to go there and one to solve it again."""
    result, scene = context.scene.lens_solver.result, context.scene
    layout.label(text="Not to Be Trusted", icon="ERROR")
    for bad in result.bad_ranges:
        box = layout.box().column(align=True)
        row = box.row(align=True)
        first, last = bad.first + result.frame_offset, bad.last + result.frame_offset
        row.label(text=f"Frames {first} to {last}" if last > first else f"Frame {first}")
        shown = (scene.frame_preview_start, scene.frame_preview_end) == (bad.first, bad.last)
        show = row.operator(
            "lens_solver.show_range", text="", icon="PREVIEW_RANGE", depress=scene.use_preview_range and shown
        )
        show.first, show.last = bad.first, bad.last
        again = row.operator("lens_solver.resolve_range", text="", icon="FILE_REFRESH")
        again.first, again.last = first, last
        _draw_text(box, context, bad.reason, "NONE")


def _draw_text(
    layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: Any, *, alert: bool = False
) -> None:
    """A sentence over as many lines as the sidebar's width asks for."""
    layout.alert = alert
    letters = int(context.region.width / (context.preferences.system.ui_scale * _LETTER)) - 8
    for i, line in enumerate(textwrap.wrap(text, max(letters, 16))):
        layout.label(text=line, icon=icon if i == 0 or icon == "NONE" else "BLANK1")


class LENS_SOLVER_PT_view3d_solve(bpy.types.Panel):
    """Solve the lens, in the 3D viewport"""

    bl_label = "Solve Lens"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Lens Solver"
    draw = draw_solve


class LENS_SOLVER_PT_view3d_known(bpy.types.Panel):
    """What is known of the shot, in the 3D viewport"""

    bl_label = "Known Values"
    bl_parent_id = "LENS_SOLVER_PT_view3d_solve"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Lens Solver"
    bl_options = {"DEFAULT_CLOSED"}
    draw = draw_known


class LENS_SOLVER_PT_view3d_part(bpy.types.Panel):
    """What of the footage is used, in the 3D viewport"""

    bl_label = "Matte and Frames"
    bl_parent_id = "LENS_SOLVER_PT_view3d_solve"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Lens Solver"
    bl_options = {"DEFAULT_CLOSED"}
    draw = draw_part


class LENS_SOLVER_PT_view3d_result(bpy.types.Panel):
    """The result, in the 3D viewport"""

    bl_label = "Result"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Lens Solver"
    draw = draw_result

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene.lens_solver.result.status != "NONE"


class LENS_SOLVER_PT_clip_solve(bpy.types.Panel):
    """Solve the lens, in the clip editor"""

    bl_label = "Solve Lens"
    bl_space_type = "CLIP_EDITOR"
    bl_region_type = "UI"
    bl_category = "Lens Solver"
    draw = draw_solve


class LENS_SOLVER_PT_clip_known(bpy.types.Panel):
    """What is known of the shot, in the clip editor"""

    bl_label = "Known Values"
    bl_parent_id = "LENS_SOLVER_PT_clip_solve"
    bl_space_type = "CLIP_EDITOR"
    bl_region_type = "UI"
    bl_category = "Lens Solver"
    bl_options = {"DEFAULT_CLOSED"}
    draw = draw_known


class LENS_SOLVER_PT_clip_part(bpy.types.Panel):
    """What of the footage is used, in the clip editor"""

    bl_label = "Matte and Frames"
    bl_parent_id = "LENS_SOLVER_PT_clip_solve"
    bl_space_type = "CLIP_EDITOR"
    bl_region_type = "UI"
    bl_category = "Lens Solver"
    bl_options = {"DEFAULT_CLOSED"}
    draw = draw_part


class LENS_SOLVER_PT_clip_result(bpy.types.Panel):
    """The result, in the clip editor"""

    bl_label = "Result"
    bl_space_type = "CLIP_EDITOR"
    bl_region_type = "UI"
    bl_category = "Lens Solver"
    draw = draw_result

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene.lens_solver.result.status != "NONE"


classes = (
    LENS_SOLVER_PT_view3d_solve,
    LENS_SOLVER_PT_view3d_known,
    LENS_SOLVER_PT_view3d_part,
    LENS_SOLVER_PT_view3d_result,
    LENS_SOLVER_PT_clip_solve,
    LENS_SOLVER_PT_clip_known,
    LENS_SOLVER_PT_clip_part,
    LENS_SOLVER_PT_clip_result,
)
