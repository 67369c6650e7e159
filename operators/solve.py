"""Solve Lens, and the way to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from . import job, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..solver.progress import Progress
    from ..solver.types import Solve


def footage_clip(context: bpy.types.Context) -> bpy.types.MovieClip | None:
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


class LENS_SOLVER_OT_solve_camera(job.JobMixIn, bpy.types.Operator):
    """Solve the camera of the footage"""

    bl_idname = "lens_solver.solve_camera"
    bl_label = "Solve Lens"
    bl_description = "Find the lens and the camera's path from the footage, and animate the scene's camera with them"
    bl_options = {"UNDO"}

    _clip_uid: int

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.scene.lens_solver.is_solving:
            cls.poll_message_set("This scene is being solved")
            return False
        if footage_clip(context) is None:
            cls.poll_message_set("Choose the footage first")
            return False
        return True

    def prepare(self, context: bpy.types.Context) -> Callable[[Progress], Solve]:
        clip = footage_clip(context)
        self._clip_uid = clip.session_uid
        path = bpy.path.abspath(clip.filepath, library=clip.library)
        to_options, chosen = settings.to_options, context.scene.lens_solver
        options = to_options(chosen)

        def task(progress: Progress) -> Solve:
            from ..solver.footage import open_footage
            from ..solver.pipeline import solve

            progress(0.0, "Reading the footage")
            return solve(open_footage(path), options, progress)

        return task

    def finish(self, scene: bpy.types.Scene, result: Any) -> None:
        from .build import build_scene

        clip = next((clip for clip in bpy.data.movieclips if clip.session_uid == self._clip_uid), None)
        made = build_scene(result, scene, clip)
        scene.lens_solver.clip = solved = bpy.data.movieclips[made.clip]
        _show_in_clip_editors(solved)
        summary = scene.lens_solver.result
        settings.store_result(summary, result, made.notes)
        solved_well = summary.status == "SOLVED"
        text = (
            f"{summary.shot}: {'solved' if solved_well else 'solved with warnings'}, {summary.focal_mm:.2f} mm,"
            f" error {summary.error_px:.2f} px, {summary.frames_solved} of {summary.frames_total} frames"
        )
        self.report({"INFO"} if solved_well else {"WARNING"}, ". ".join((text, *result.report.reasons)))


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


classes = (LENS_SOLVER_OT_solve_camera, LENS_SOLVER_OT_cancel_solve)
