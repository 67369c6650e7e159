"""Keys in bulk: whole curves at once, under both of Blender's action layouts (up to 4.3, and slots from 4.4)."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray


def animation_curves(block: bpy.types.ID) -> Any:
    """The F-curve collection of the block's action; the action is made where there is none."""
    animation = block.animation_data_create()
    action = animation.action
    if action is None:
        action = bpy.data.actions.new(f"{block.name} Action")
        animation.action = action
    if not hasattr(action, "layers"):
        return action.fcurves
    slot = animation.action_slot
    if slot is None:
        slot = action.slots.new(id_type=block.id_type, name=block.name)
        animation.action_slot = slot
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves


def remove_curves(block: bpy.types.ID, data_path: str) -> None:
    """Take the keys of a property away; the property keeps the value it has."""
    if block.animation_data is None or block.animation_data.action is None:
        return
    curves = animation_curves(block)
    for curve in [curve for curve in curves if curve.data_path == data_path]:
        curves.remove(curve)


def write_curve(
    curves: Any,
    data_path: str,
    index: int,
    frames: NDArray[np.float64],
    values: NDArray[np.float64],
    solved: NDArray[np.bool_],
) -> None:
    """Replace the curve of one property by one linear key a frame.

    Parameters
    ----------
    curves
        What `animation_curves` returned.
    data_path : str
    index : int
        Component of a vector property; 0 for a single value.
    frames, values : ndarray of shape (K,)
    solved : ndarray of bool, shape (K,)
        The keys where this is false are shown as breakdowns: what stands between solved frames.
    """
    curve = curves.find(data_path, index=index) or curves.new(data_path, index=index)
    points = curve.keyframe_points
    points.clear()
    points.add(len(frames))
    points.foreach_set("co", np.stack([frames, values], axis=1).astype(np.float32).ravel())
    points.foreach_set("interpolation", np.full(len(frames), _number("interpolation", "LINEAR"), dtype=np.intc))
    shown_as = np.where(solved, _number("type", "KEYFRAME"), _number("type", "BREAKDOWN"))
    points.foreach_set("type", shown_as.astype(np.intc))
    curve.update()


def _number(prop: str, choice: str) -> int:
    return int(bpy.types.Keyframe.bl_rna.properties[prop].enum_items[choice].value)
