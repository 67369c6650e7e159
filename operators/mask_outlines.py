"""The outlines of a Blender mask in every frame of a clip.

A mask's coordinates count from the bottom left corner, both in shares of the larger side, with the picture in the
middle of that square (`BKE_mask_coord_from_movieclip` in Blender's source). A mask is animated by shape keys, which
only the evaluated mask shows: it is evaluated in an empty scene of its own, so that a heavy scene costs nothing.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..solver.errors import InputError

_STEPS = 16  # straight pieces for each piece of a curve
_ADDING = ("ADD", "MERGE_ADD", "LIGHTEN", "REPLACE")


def mask_outlines(
    mask: bpy.types.Mask, clip: bpy.types.MovieClip, first_number: int
) -> dict[int, tuple[NDArray[np.float64], ...]]:
    """Closed outlines (K, 2) by frame number, in shares of the picture from its top left corner.

    Parameters
    ----------
    mask : Mask
    clip : MovieClip
        The footage: its size, and the scene frames at which it is shown.
    first_number : int
        Number of the clip's first frame in the footage.

    Raises
    ------
    InputError
        If the mask has what an outline cannot say: layers that take away, points that follow a track.
    """
    _check(mask)
    width, height = clip.size[0], clip.size[1] / clip.tracking.camera.pixel_aspect
    scene: Any = bpy.data.scenes.new("Lens Solver mask")
    try:
        outlines = {}
        for i in range(max(clip.frame_duration, 1)):
            scene.frame_set(clip.frame_start + i)
            evaluated: Any = mask.evaluated_get(scene.view_layers[0].depsgraph)
            outlines[first_number + i] = tuple(
                _shares(_curve(spline), width, height)
                for layer in evaluated.layers
                if _is_shown(layer)
                for spline in layer.splines
                if _is_filled(spline)
            )
    finally:
        bpy.data.scenes.remove(scene)
    return outlines


def _check(mask: bpy.types.Mask) -> None:
    shown = [layer for layer in mask.layers if _is_shown(layer)]
    for layer in shown:
        if layer.invert or layer.blend not in _ADDING:
            raise InputError(
                f"The layer {layer.name} of the mask {mask.name} is inverted or takes away: use layers that add, and"
                " the Invert of the matte."
            )
        for spline in layer.splines:
            if any(point.parent.id is not None and point.parent.parent for point in spline.points):
                raise InputError(
                    f"Points of the mask {mask.name} follow a track, which Blender does not tell: key their shape, or"
                    " render the mask and choose the pictures."
                )
    if not any(_is_filled(spline) for layer in shown for spline in layer.splines):
        raise InputError(f"The mask {mask.name} has no closed outline: close one, or choose another mask.")


def _is_shown(layer: Any) -> bool:
    return not layer.hide_render and layer.alpha > 0.5


def _is_filled(spline: Any) -> bool:
    return bool(spline.use_cyclic and spline.use_fill and len(spline.points) > 1)


def _curve(spline: Any) -> NDArray[np.float64]:
    """Points (K, 2) along a closed Bezier curve."""
    corner, before, after = (
        np.array([getattr(point, name)[:] for point in spline.points], dtype=np.float64)
        for name in ("co", "handle_left", "handle_right")
    )
    t = np.arange(_STEPS)[:, None] / _STEPS
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])  # (4, S, 1)
    pieces = [
        (weights * np.stack([corner[i], after[i], before[j], corner[j]])[:, None]).sum(axis=0)
        for i, j in zip(range(len(corner)), np.roll(range(len(corner)), -1), strict=True)
    ]
    return np.concatenate(pieces)


def _shares(points: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    larger = max(width, height)
    shares = (points - 0.5) * np.array([larger / width, larger / height]) + 0.5
    return np.stack([shares[:, 0], 1 - shares[:, 1]], axis=1)
