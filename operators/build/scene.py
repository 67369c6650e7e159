"""The scene's format: size, rate and frames of the footage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

if TYPE_CHECKING:
    from ...solver.types import Shot

LAST_FRAME = 1_048_574  # Blender's MAXFRAME

_NTSC = 1.001


def frame_offset(shot: Shot) -> int:
    """Footage frame number less scene frame: 0, unless the numbers are beyond what Blender can count."""
    first, last = int(shot.frame_numbers[0]), int(shot.frame_numbers[-1])
    return first - 1 if first < 0 or last > LAST_FRAME else 0


def set_format(shot: Shot, scene: bpy.types.Scene, offset: int) -> None:
    """Set resolution, pixel aspect, frame rate and frame range to those of the footage."""
    render = scene.render
    render.resolution_x, render.resolution_y = shot.size
    render.resolution_percentage = 100
    render.pixel_aspect_x = max(shot.pixel_aspect, 1.0)
    render.pixel_aspect_y = max(1 / shot.pixel_aspect, 1.0)
    render.fps, render.fps_base = frame_rate(shot.frame_rate)
    scene.frame_start = int(shot.frame_numbers[0]) - offset
    scene.frame_end = int(shot.frame_numbers[-1]) - offset
    scene.frame_set(min(max(scene.frame_current, scene.frame_start), scene.frame_end))


def frame_rate(rate: float) -> tuple[int, float]:
    """Blender's (fps, fps_base), whose ratio is `rate`: 24/1.001 for 23.976."""
    for base in (1.0, _NTSC):
        nominal = round(rate * base)
        if nominal >= 1 and abs(nominal / base - rate) < 5e-4 * rate / 24:
            return nominal, base
    nominal = max(1, round(rate))
    return nominal, nominal / rate
