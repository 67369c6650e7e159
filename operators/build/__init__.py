"""From a `Solve` to Blender's datablocks.

Everything is made through `bpy.data`, once, on the main thread. A second build of the same shot finds what the first
one made and updates it; what the artist added stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy

from . import axes, blocks, camera, clip, clip_lens, markers, points, scene

if TYPE_CHECKING:
    from ...solver.types import Solve


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneResult:
    """Names of what was made or updated.

    Attributes
    ----------
    collection, camera, clip : str
    points : str
        Empty where the shot has none.
    n_tracks : int
        Tracks in the clip.
    n_tracks_left_out : int
        Tracks that were solved but are too many to put into the clip.
    notes : tuple of str
        One sentence each: where the scene does not show the shot exactly.
    """

    collection: str
    camera: str
    clip: str
    points: str
    n_tracks: int
    n_tracks_left_out: int
    notes: tuple[str, ...]


def build_scene(solve: Solve, target: bpy.types.Scene, movie_clip: bpy.types.MovieClip | None = None) -> SceneResult:
    """Build or update the scene of a solved shot.

    Parameters
    ----------
    solve : Solve
    target : Scene
    movie_clip : MovieClip, optional
        The clip that was solved, where there was one.
    """
    owner = owner_of(solve, movie_clip)
    world = axes.world_of(solve)
    lens = clip_lens.fit(solve)
    offset = scene.frame_offset(solve.shot)
    scene.set_format(solve.shot, target, offset)
    markers.write_markers(solve, target, offset)
    collection = blocks.ensure_collection(target, owner)
    footage = clip.ensure_clip(solve, target, owner, offset, lens, movie_clip)
    n_tracks, n_left_out = clip.write_tracks(solve, footage)
    camera_object = camera.ensure_camera(solve, target, collection, owner, offset, world)
    camera.show_footage(camera_object.data, footage)
    points_object = points.ensure_points(solve, target, collection, owner, world)

    notes = []
    if n_left_out:
        notes.append(f"The clip holds the {n_tracks} longest tracks; {n_left_out} more were solved.")
    if offset:
        notes.append(f"Blender counts no further than {scene.LAST_FRAME}: footage frame {offset + 1} is scene frame 1.")
    if tuple(footage.size) not in ((0, 0), solve.shot.size):
        width, height = footage.size
        notes.append(f"Blender reads the footage as {width} x {height} pixels, turned or scaled.")
    if lens.worst_px > clip_lens.VISIBLE_PX:
        notes.append(
            f"The distortion changes during the zoom, and a clip in Blender has one for all frames: undistorted, the "
            f"corners of the footage are off by up to {lens.worst_px:.1f} px."
        )
    return SceneResult(
        collection=collection.name,
        camera=camera_object.name,
        clip=footage.name,
        points=points_object.name if points_object else "",
        n_tracks=n_tracks,
        n_tracks_left_out=n_left_out,
        notes=tuple(notes),
    )


def owner_of(solve: Solve, movie_clip: bpy.types.MovieClip | None) -> blocks.Owner:
    """What the datablocks of a solve belong to."""
    file = bpy.path.abspath(movie_clip.filepath, library=movie_clip.library) if movie_clip else solve.shot.first_file
    return blocks.Owner(name=solve.shot.name, file=file)


def keep_record(owner: blocks.Owner, text: str) -> bpy.types.Text:
    """Keep the numbers of a solve in the file, as a text that belongs to the footage."""
    kept = blocks.ensure_tagged(
        bpy.data.texts, owner, "record", lambda: bpy.data.texts.new(f"Lens Solver {owner.name}.json")
    )
    kept.from_string(text)
    return kept


def clip_of_record(record: bpy.types.Text) -> bpy.types.MovieClip | None:
    """The clip whose solve a record tells of."""
    _, _, file = record.get(blocks.TAG, "").partition(":")
    return next((clip for clip in bpy.data.movieclips if clip.get(blocks.TAG) == f"clip:{file}"), None)
