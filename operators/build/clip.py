"""The footage as Blender's movie clip, with the lens and the tracks in it.

Blender's polynomial model is the solver's Brown-Conrady model with the same coefficients: both distort normalised
coordinates (x/z, y/z). None of a clip's lens values can be animated, so a zoom's clip holds the one lens that
undistorts best over the whole shot (`clip_lens`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from numpy.typing import NDArray

from . import axes, blocks

if TYPE_CHECKING:
    from ...solver.types import Shot, Solve
    from .clip_lens import ClipLens

TRACK_PREFIX = "LS."

# A marker takes 2 microseconds to add and 64 bytes on disk: 200,000 are 0.4 s and 13 MB.
MOST_MARKERS = 200_000

_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")

_PATTERN_PX = 15.0
_SEARCH_PX = 45.0


def ensure_clip(
    solve: Solve,
    scene: bpy.types.Scene,
    owner: blocks.Owner,
    frame_offset: int,
    lens: ClipLens,
    clip: bpy.types.MovieClip | None = None,
) -> bpy.types.MovieClip:
    """The footage as the scene's active clip, its camera set to the solved lens.

    Parameters
    ----------
    solve : Solve
    scene
    owner : Owner
    frame_offset : int
        Footage frame number less scene frame.
    lens : ClipLens
    clip : MovieClip, optional
        The clip that was solved; without it the clip of this file is found or loaded.
    """
    shot = solve.shot
    if clip is None:
        clip = _find_clip(shot.first_file) or bpy.data.movieclips.load(str(Path(shot.first_file).absolute()))
    clip[blocks.TAG] = owner.tag("clip")
    clip.frame_start = _first_number(clip, shot) - frame_offset
    clip.frame_offset = 0
    _set_lens(clip.tracking.camera, solve, lens)
    scene.active_clip = clip
    return clip


def _first_number(clip: bpy.types.MovieClip, shot: Shot) -> int:
    """Number of the footage frame that the clip shows first: its frame 1.

    A clip holds the whole of a video, and a sequence from the file on that it was loaded from, whatever of it was
    solved.
    """
    if not shot.is_sequence:
        return 1
    files = (bpy.path.abspath(clip.filepath), shot.first_file)
    numbers = [_LAST_NUMBER.search(Path(path).stem) for path in files]
    later = int(numbers[0][0]) - int(numbers[1][0]) if numbers[0] and numbers[1] else 0
    return int(shot.frame_numbers[0]) + later


def _find_clip(first_file: str) -> bpy.types.MovieClip | None:
    for clip in bpy.data.movieclips:
        if clip.library is None and Path(bpy.path.abspath(clip.filepath)) == Path(first_file).absolute():
            return clip
    return None


def _set_lens(camera: Any, solve: Solve, lens: ClipLens) -> None:
    camera.units = "MILLIMETERS"
    camera.pixel_aspect = solve.shot.pixel_aspect
    camera.sensor_width = solve.sensor_width_mm
    camera.focal_length = lens.focal_px * solve.sensor_width_mm / solve.shot.size[0]
    camera.principal_point_pixels = axes.clip_pixels(solve.lens.principal_point, solve.shot.size)
    camera.distortion_model = "POLYNOMIAL"
    camera.k1, camera.k2, camera.k3 = (float(k) for k in lens.k)


def write_tracks(solve: Solve, clip: bpy.types.MovieClip) -> tuple[int, int]:
    """Put the tracks of the solved points into the clip, in place of those of an earlier solve.

    Only observations that the solve kept become markers. Where there are too many to stay quick, the longest tracks are
    taken.

    Returns
    -------
    (int, int)
        Tracks written, tracks left out.
    """
    _delete_tracks(clip)
    tracks = solve.tracks
    first = _first_number(clip, solve.shot)
    clip_frame = solve.shot.frame_numbers[tracks.frame] - first + 1  # a clip counts from 1
    keep = solve.inlier & np.isin(tracks.track, solve.points.track) & (clip_frame >= 1)
    track, clip_frame = tracks.track[keep], clip_frame[keep]
    co = axes.clip_coordinates(tracks.xy[keep], solve.shot.size)
    last_frame = int(solve.shot.frame_numbers[-1]) - first + 1

    ids, starts, counts = np.unique(track, return_index=True, return_counts=True)
    longest_first = np.argsort(-counts, kind="stable")
    chosen = np.sort(longest_first[np.cumsum(counts[longest_first]) <= MOST_MARKERS])

    boxes = _marker_boxes(solve.shot.size, last_frame + 2)
    digits = len(str(len(chosen)))
    new_track = clip.tracking.objects[0].tracks.new
    for number, i in enumerate(chosen, start=1):
        rows = slice(starts[i], starts[i] + counts[i])
        frames = clip_frame[rows]
        _add_track(new_track, f"{TRACK_PREFIX}{number:0{digits}d}", frames, co[rows], last_frame, boxes)
    return len(chosen), len(ids) - len(chosen)


def _add_track(
    new_track: Callable[..., Any],
    name: str,
    frames: NDArray[np.int64],
    co: NDArray[np.float64],
    last_frame: int,
    boxes: dict[str, NDArray[np.float32]],
) -> None:
    """One track: a marker a frame, and disabled ones where it is not seen (Blender holds the last one otherwise)."""
    numbers, positions = frames.tolist(), co.tolist()
    track = new_track(name=name, frame=numbers[0])
    track.select = False
    markers = track.markers
    insert = markers.insert_frame
    for number, position in zip(numbers, positions, strict=True):
        insert(number, co=position)
    following = [*numbers[1:], last_frame + 1]
    disabled = [
        (number + 1, position)
        for number, position, then in zip(numbers, positions, following, strict=True)
        if then > number + 1
    ]
    if numbers[0] > 1:
        disabled.append((numbers[0] - 1, positions[0]))
    for number, position in disabled:
        insert(number, co=position).mute = True
    for prop, box in boxes.items():
        markers.foreach_set(prop, box[: len(markers)].ravel())


def _marker_boxes(size: tuple[int, int], most: int) -> dict[str, NDArray[np.float32]]:
    """Pattern and search areas of up to so many markers, relative to them, in the clip's units."""
    corner = _PATTERN_PX / 2 / np.array(size)
    search = _SEARCH_PX / 2 / np.array(size)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * corner
    boxes = {"pattern_corners": corners.ravel(), "search_min": -search, "search_max": search}
    return {prop: np.tile(box.astype(np.float32), (most, 1)) for prop, box in boxes.items()}


def _delete_tracks(clip: bpy.types.MovieClip) -> None:
    """Delete the tracks of an earlier solve and no other.

    Only Blender's operator can delete a track, and it acts on the selection of a clip editor: one is borrowed.
    """
    tracks = clip.tracking.objects[0].tracks
    ours = [track for track in tracks if track.name.startswith(TRACK_PREFIX)]
    if not ours:
        return
    others = {track.name: (track.select, track.hide, track.lock) for track in tracks if track not in ours}
    for track in tracks:
        mine = track.name.startswith(TRACK_PREFIX)
        track.lock = track.hide = not mine
        track.select = mine
    active_object = clip.tracking.objects.active
    clip.tracking.objects.active = clip.tracking.objects[0]
    window = bpy.context.window or bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    kind = area.ui_type
    try:
        area.ui_type = "CLIP_EDITOR"
        space = area.spaces.active
        shown = space.clip
        space.clip = clip
        region = next(region for region in area.regions if region.type == "WINDOW")
        with bpy.context.temp_override(window=window, area=area, region=region, space_data=space):
            bpy.ops.clip.delete_track(confirm=False)
        space.clip = shown
    finally:
        area.ui_type = kind
        clip.tracking.objects.active = active_object
        for name, (select, hide, lock) in others.items():
            track = tracks[name]
            track.select, track.hide, track.lock = select, hide, lock
