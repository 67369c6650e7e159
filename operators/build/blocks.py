"""Finding the datablocks of an earlier solve.

Every datablock that is built carries a custom property saying what it is and of which footage, so that a second solve
finds it whatever it was renamed to, and touches nothing else. The footage is told by its first file: the names of two
shots may be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import bpy

if TYPE_CHECKING:
    from ...solver.types import Shot

TAG = "lens_solver"

Block = TypeVar("Block", bound=bpy.types.ID)


def tag_of(shot: Shot, role: str) -> str:
    """The value of the tag: what the datablock is, and of which footage."""
    return f"{role}:{Path(shot.first_file).absolute().as_posix()}"


def ensure_tagged(existing: Iterable[Block], shot: Shot, role: str, create: Callable[[], Block]) -> Block:
    """The block among `existing` with this tag, else what `create` makes, tagged."""
    tag = tag_of(shot, role)
    for block in existing:
        if block.get(TAG) == tag and block.library is None:
            return block
    block = create()
    block[TAG] = tag
    return block


def ensure_collection(scene: bpy.types.Scene, shot: Shot) -> bpy.types.Collection:
    """The collection of the shot, in the scene."""
    collection = ensure_tagged(
        scene.collection.children_recursive,
        shot,
        "collection",
        lambda: bpy.data.collections.new(f"Lens Solver {shot.name}"),
    )
    if collection not in scene.collection.children_recursive:
        scene.collection.children.link(collection)
    return collection


def ensure_object(
    scene: bpy.types.Scene, collection: bpy.types.Collection, shot: Shot, role: str, create: Callable[[], bpy.types.ID]
) -> bpy.types.Object:
    """The object of the shot with this role; a new one is named after its data and stands in `collection`.

    An object that the artist has moved to another collection of the scene stays there.
    """

    def new_object() -> bpy.types.Object:
        data = create()
        return bpy.data.objects.new(data.name, data)

    obj = ensure_tagged(scene.objects, shot, role, new_object)
    if obj.name not in scene.objects:
        collection.objects.link(obj)
    return obj
