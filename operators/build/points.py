"""The solved points, as loose vertices that the artist can snap to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from . import axes, blocks

if TYPE_CHECKING:
    from ...solver.types import Solve

# The name must not hold "Depth": that word marks the depth mesh.
POINTS_NAME = "Lens Solver Points"


def ensure_points(
    solve: Solve, scene: bpy.types.Scene, collection: bpy.types.Collection, owner: blocks.Owner, world: axes.World
) -> bpy.types.Object | None:
    """The solved points: one vertex each, with attributes `track` and `error_px`; never rendered.

    A static camera has none: then there is no object, or one that an earlier solve made is empty.
    """
    points = solve.points
    if not len(points.track) and blocks.find_tagged(scene.objects, owner, "points") is None:
        return None
    obj = blocks.ensure_object(scene, collection, owner, "points", lambda: bpy.data.meshes.new(POINTS_NAME))
    mesh: Any = obj.data
    mesh.clear_geometry()
    mesh.vertices.add(len(points.track))
    mesh.vertices.foreach_set("co", world.points(points.xyz_world).astype(np.float32).ravel())
    track = mesh.attributes.get("track") or mesh.attributes.new("track", "INT", "POINT")
    track.data.foreach_set("value", points.track.astype(np.int32))
    error = mesh.attributes.get("error_px") or mesh.attributes.new("error_px", "FLOAT", "POINT")
    error.data.foreach_set("value", points.error_px.astype(np.float32))
    mesh.update()
    obj.hide_render = True
    return obj
