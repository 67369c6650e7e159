"""Choosing the footage with the file browser.

No `from __future__ import annotations` here: Blender reads properties from annotations, which must not be text.
"""

import os
import re
from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty

from . import job

_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")


def first_frame(path: Path) -> Path:
    """The first frame of the image sequence that `path` belongs to; `path` itself where it belongs to none."""
    from ..solver.footage.numbering import find_sequences

    suffix = path.suffix.lower()
    names = os.listdir(path.parent)  # noqa: PTH208 - only names are needed, of folders that may be large
    alike = [name for name in names if name.lower().endswith(suffix)]
    for found in find_sequences(alike):
        if path.name in found.names and found.is_dense:
            return path.with_name(found.names[0])
    return path


def first_number(clip: bpy.types.MovieClip) -> int:
    """Number that the footage gives to the clip's first frame: that of its file in a sequence, else 1."""
    number = _LAST_NUMBER.search(Path(clip.filepath).stem)
    return int(number[0]) if clip.source == "SEQUENCE" and clip.frame_duration > 1 and number else 1


def first_picture(folder: Path) -> Path | None:
    """The first picture of a folder, by name."""
    pictures = (
        path for path in folder.iterdir() if path.suffix.lower() in bpy.path.extensions_image and path.name[0] != "."
    )
    return min(pictures, default=None)


class LENS_SOLVER_OT_choose_footage(bpy.types.Operator):
    """Choose the footage to solve"""

    bl_idname = "lens_solver.choose_footage"
    bl_label = "Choose Footage"
    bl_description = "Choose a video, a frame of an image sequence, or a folder of frames, and load it as a movie clip"
    bl_options = {"UNDO"}

    filepath: StringProperty(
        name="Path",
        description="Video, one frame of an image sequence, or folder of frames",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_folder: BoolProperty(
        name="Show Folders", description="Show folders in the file browser", default=True, options={"HIDDEN"}
    )
    filter_movie: BoolProperty(
        name="Show Videos", description="Show videos in the file browser", default=True, options={"HIDDEN"}
    )
    filter_image: BoolProperty(
        name="Show Pictures", description="Show pictures in the file browser", default=True, options={"HIDDEN"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> job.Status:  # noqa: ARG002 - Blender's call
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> job.Status:
        path = Path(bpy.path.abspath(self.filepath)) if self.filepath else None
        if path is None or not path.exists():
            self.report({"ERROR"}, f"{path or 'Nothing'} does not exist: choose a video or a frame of a sequence")
            return {"CANCELLED"}
        chosen = first_picture(path) if path.is_dir() else path
        if chosen is None:
            self.report({"ERROR"}, f"{path} holds no pictures: choose a video or a folder of frames")
            return {"CANCELLED"}
        if chosen.suffix.lower() in bpy.path.extensions_image:
            chosen = first_frame(chosen)
        try:
            clip = bpy.data.movieclips.load(str(chosen), check_existing=True)
        except RuntimeError:
            self.report({"ERROR"}, f"{chosen} cannot be read as a video or a picture")
            return {"CANCELLED"}
        context.scene.lens_solver.clip = clip
        return {"FINISHED"}


classes = (LENS_SOLVER_OT_choose_footage,)
