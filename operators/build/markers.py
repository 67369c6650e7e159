"""The ranges that are not to be trusted, as markers on the timeline."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import bpy

if TYPE_CHECKING:
    from ...solver.types import Solve

PREFIX = "LS "

# Ours and no other: an artist may call a marker "LS take 2".
_OURS = re.compile(r"LS (?:end )?-?\d+(?:-\d+)?(?:: |$)")
_MOST_BYTES = 63  # of a name in Blender


def write_markers(solve: Solve, scene: bpy.types.Scene, frame_offset: int) -> None:
    """A marker with the reason at the start of every bad range and one at its end, in place of an earlier solve's.

    Parameters
    ----------
    solve : Solve
    scene
    frame_offset : int
        Footage frame number less scene frame.
    """
    for marker in [marker for marker in scene.timeline_markers if _OURS.match(marker.name)]:
        scene.timeline_markers.remove(marker)
    for bad in solve.report.bad_ranges:
        frames = f"{bad.first}-{bad.last}" if bad.last > bad.first else f"{bad.first}"
        scene.timeline_markers.new(_short(f"{PREFIX}{frames}: {bad.reason}"), frame=bad.first - frame_offset)
        if bad.last > bad.first:
            scene.timeline_markers.new(f"{PREFIX}end {frames}", frame=bad.last - frame_offset)


def _short(name: str) -> str:
    """The name as far as Blender keeps it, without half a letter at its end."""
    return name.encode()[:_MOST_BYTES].decode(errors="ignore")
