"""Finding the datablocks of an earlier solve.

Every datablock that is built carries a custom property saying what it is and of which footage, so that a second solve
finds it whatever it was renamed to, and touches nothing else. The footage is told by the file that its clip was loaded
from: the names of two shots may be the same, and a solve of some of its frames is still of this footage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import bpy

TAG = "lens_solver"

Block = TypeVar("Block", bound=bpy.types.ID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What the datablocks belong to.

    Attributes
    ----------
    name : str
        Of the shot.
    file : str
        The video, or the first frame of the sequence.
    """

    name: str
    file: str

    def tag(self, role: str) -> str:
        """The value of the tag: what the datablock is, and of which footage."""
        return f"{role}:{Path(self.file).absolute().as_posix()}"


def ensure_tagged(existing: Iterable[Block], owner: Owner, role: str, create: Callable[[], Block]) -> Block:
    """The block among `existing` with this tag, else what `create` makes, tagged."""
    block = find_tagged(existing, owner, role)
    if block is None:
        block = create()
        block[TAG] = owner.tag(role)
    return block


def find_tagged(existing: Iterable[Block], owner: Owner, role: str) -> Block | None:
    """The block among `existing` with this tag."""
    tag = owner.tag(role)
    return next((block for block in existing if block.get(TAG) == tag and block.library is None), None)


def ensure_collection(scene: bpy.types.Scene, owner: Owner) -> bpy.types.Collection:
    """The collection of the shot, in the scene."""
    collection = ensure_tagged(
        scene.collection.children_recursive,
        owner,
        "collection",
        lambda: bpy.data.collections.new(f"Lens Solver {owner.name}"),
    )
    if collection not in scene.collection.children_recursive:
        scene.collection.children.link(collection)
    return collection


def ensure_object(
    scene: bpy.types.Scene,
    collection: bpy.types.Collection,
    owner: Owner,
    role: str,
    create: Callable[[], bpy.types.ID],
) -> bpy.types.Object:
    """The object of the shot with this role; a new one is named after its data and stands in `collection`.

    An object that the artist has moved to another collection of the scene stays there.
    """

    def new_object() -> bpy.types.Object:
        data = create()
        return bpy.data.objects.new(data.name, data)

    obj = ensure_tagged(scene.objects, owner, role, new_object)
    if obj.name not in scene.objects:
        collection.objects.link(obj)
    return obj
