"""Solve Lens, solving a range again, and the way to stop either.

No `from __future__ import annotations` here: Blender reads properties from annotations, which must not be text.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import IntProperty

from . import job, result_properties, settings

if TYPE_CHECKING:
    from ..solver.progress import Progress
    from ..solver.types import Solve
    from .shot_settings import ShotSettings
    from .solving import Solved


def footage_clip(context: bpy.types.Context) -> "bpy.types.MovieClip | None":
    """The clip to solve: the one chosen, else the one that the clip editor shows, else the scene's."""
    chosen = context.scene.lens_solver.clip
    if chosen is not None:
        return chosen
    shown = context.space_data.clip if getattr(context.space_data, "type", "") == "CLIP_EDITOR" else None
    return shown or context.scene.active_clip


def _show_in_clip_editors(clip: bpy.types.MovieClip) -> None:
    """Let the open clip editors show the clip, each track only where it is seen."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            space: Any = area.spaces.active
            if area.type == "CLIP_EDITOR" and space.clip in (None, clip):
                space.clip = clip
                space.show_disabled = False


class _SolveMixIn(job.JobMixIn):
    """What solving a shot and solving a range of it again have in common."""

    _clip_uid: int

    def _task(
        self, clip: bpy.types.MovieClip, chosen: "ShotSettings", earlier: "Solve | None" = None
    ) -> "Callable[[Progress], Solved]":
        self._clip_uid = clip.session_uid
        path = bpy.path.abspath(clip.filepath, library=clip.library)

        def task(progress: "Progress") -> "Solved":
            from .solving import solve_shot

            return solve_shot(path, chosen, progress, earlier)

        return task

    def finish(self, scene: bpy.types.Scene, result: "Solved") -> None:
        from ..solver.result import record_text, solve_record
        from . import build
        from .command_line import program_version

        solve = result.solve
        clip = next((clip for clip in bpy.data.movieclips if clip.session_uid == self._clip_uid), None)
        made = build.build_scene(solve, scene, clip)
        scene.lens_solver.clip = solved = bpy.data.movieclips[made.clip]
        _show_in_clip_editors(solved)
        summary = scene.lens_solver.result
        result_properties.store_result(summary, solve, (*result.notes, *made.notes))
        record = solve_record(solve, program_version(), result.known)
        summary.record = build.keep_record(build.owner_of(solve, solved), record_text(record))
        solved_well = summary.status == "SOLVED"
        parts = [
            f"{summary.shot}: {'solved' if solved_well else 'solved with warnings'}",
            summary.kind,
            f"{summary.focal_mm:.2f} mm",
            f"{summary.frames_solved} of {summary.frames_total} frames",
        ]
        if summary.error_px:
            parts.insert(3, f"error {summary.error_px:.2f} px")
        self.report({"INFO"} if solved_well else {"WARNING"}, ". ".join((", ".join(parts), *solve.report.reasons)))


class LENS_SOLVER_OT_solve_camera(_SolveMixIn, bpy.types.Operator):
    """Solve the camera of the footage"""

    bl_idname = "lens_solver.solve_camera"
    bl_label = "Solve Lens"
    bl_description = "Find the lens and the camera's path from the footage, and animate the scene's camera with them"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.scene.lens_solver.is_solving:
            cls.poll_message_set("This scene is being solved")
            return False
        if footage_clip(context) is None:
            cls.poll_message_set("Choose the footage first")
            return False
        return True

    def prepare(self, context: bpy.types.Context) -> "Callable[[Progress], Any]":
        clip: Any = footage_clip(context)
        return self._task(clip, settings.to_settings(context.scene.lens_solver, clip))


class LENS_SOLVER_OT_resolve_range(_SolveMixIn, bpy.types.Operator):
    """Solve some frames again"""

    bl_idname = "lens_solver.resolve_range"
    bl_label = "Re-solve Range"
    bl_description = "Solve these frames again with the settings above, and keep the camera of all others"
    bl_options = {"UNDO"}

    first: IntProperty(name="First", description="Number of the first frame to solve again, as the footage counts")
    last: IntProperty(name="Last", description="Number of the last frame to solve again, as the footage counts")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.scene.lens_solver.is_solving:
            cls.poll_message_set("This scene is being solved")
            return False
        if context.scene.lens_solver.result.record is None:
            cls.poll_message_set("Solve the whole shot first")
            return False
        return True

    def prepare(self, context: bpy.types.Context) -> "Callable[[Progress], Any]":
        from ..solver.earlier import earlier_solve
        from ..solver.errors import InputError
        from ..solver.result import parse_record
        from .build import clip_of_record

        record = context.scene.lens_solver.result.record
        clip = clip_of_record(record)
        if clip is None:
            raise InputError("The clip that was solved is no longer in this file: solve the whole shot again.")
        if self.last < self.first:
            raise InputError(f"The range {self.first} to {self.last} ends before it begins: set First and Last.")
        name = f"The text {record.name}"
        earlier = earlier_solve(parse_record(record.as_string()) or {}, name)
        chosen = settings.to_settings(context.scene.lens_solver, clip)
        return self._task(clip, replace(chosen, frames=(self.first, self.last)), earlier)


class LENS_SOLVER_OT_show_range(bpy.types.Operator):
    """Go to a range of frames"""

    bl_idname = "lens_solver.show_range"
    bl_label = "Show Range"
    bl_description = "Go to the first of these frames and play only them; once more to play the whole shot again"
    bl_options = {"UNDO"}

    first: IntProperty(name="First", description="First frame of the range in the scene")
    last: IntProperty(name="Last", description="Last frame of the range in the scene")

    def execute(self, context: bpy.types.Context) -> job.Status:
        scene = context.scene
        shown = (scene.frame_preview_start, scene.frame_preview_end)
        if scene.use_preview_range and shown == (self.first, self.last):
            scene.use_preview_range = False
            return {"FINISHED"}
        scene.use_preview_range = True
        # in this order: Blender keeps the start at or before the end
        scene.frame_preview_end = self.last
        scene.frame_preview_start = self.first
        scene.frame_preview_end = self.last
        scene.frame_set(self.first)
        return {"FINISHED"}


class LENS_SOLVER_OT_cancel_solve(bpy.types.Operator):
    """Stop the solve that runs"""

    bl_idname = "lens_solver.cancel_solve"
    bl_label = "Cancel"
    bl_description = "Stop the solve of this scene; nothing is changed"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not context.scene.lens_solver.is_solving:
            cls.poll_message_set("Nothing is being solved in this scene")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> job.Status:
        job.request_stop(context.scene)
        return {"FINISHED"}


classes = (
    LENS_SOLVER_OT_solve_camera,
    LENS_SOLVER_OT_resolve_range,
    LENS_SOLVER_OT_show_range,
    LENS_SOLVER_OT_cancel_solve,
)
