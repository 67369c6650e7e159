"""Frames that are OpenEXR files: which part and channels are the picture, and its place in the frame.

The frame is the display window. Renderers write less (a crop) or more (overscan) in the data window: what is missing is
black, what lies outside is left away, so that the frame stays the same however the data window moves. Blender's clips
(4.5) show the data window alone; `metadata["data_window"]` says, where the two differ, which pixels of the frame that
is: first x, first y, last x, last y.

The picture is the first of these that the file has, in the order of its parts: R, G, B; Y (with or without colour
difference); the colour channels of a layer, a combined or beauty layer first; a single channel that is no depth, alpha
or identifier.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from ..errors import InputError
from .base import no_alpha
from .camera_names import rename_attributes
from .colour import display_encode, exposure_for, luminance_of, make_usable
from .exr_header import PIXEL_BITS, UINT, BadExr, ExrChannel, ExrPart, read_parts
from .picture_header import PictureHeader
from .still import damaged

SUFFIXES = frozenset({".exr"})
_COLOURS = (("r", "g", "b"), ("red", "green", "blue"))
_GREYS = ("y", "l", "luminance", "grey", "gray")
_MAIN_LAYERS = ("", "rgba", "rgb", "combined", "beauty", "image", "color", "colour")
_ALPHA = ("a", "alpha", "mask", "matte")
_NO_PICTURE = ("a", "alpha", "z", "zback", "depth", "ry", "by", "ar", "ag", "ab", "id", "mask", "u", "v")


class ExrReader:
    """Reads the frames of one shot, with the exposure that the first one fixes.

    Parameters
    ----------
    first : Path, the first frame
    """

    def __init__(self, first: Path) -> None:
        self._first = first
        self._exposure: float | None = None

    def header(self, path: Path) -> PictureHeader:
        """Read a frame's header; raises InputError."""
        parts = _read_parts(path)
        index, names = _find_picture(path, parts)
        part = parts[index]
        metadata = rename_attributes(parts[0].attributes | part.attributes)
        if part.data_window != part.display_window:
            left, top = part.display_window[:2]
            x0, y0, x1, y1 = part.data_window
            metadata["data_window"] = (x0 - left, y0 - top, x1 - left, y1 - top)
        aspect, rate = part.attributes.get("pixelAspectRatio"), metadata.pop("frame_rate", None)
        return PictureHeader(
            size=_size(part.display_window),
            bit_depth=max(PIXEL_BITS[channel.pixel_type] for channel in part.channels if channel.name in names),
            pixel_aspect=aspect if isinstance(aspect, float) and 0.01 < aspect < 100 else 1.0,
            frame_rate=rate if isinstance(rate, float) and 0 < rate < 1e5 else None,
            metadata=metadata,
        )

    def luminance(self, path: Path) -> NDArray[np.float32]:
        """Decode a frame to (H, W) float32 in 0..255; raises InputError."""
        linear = _luminance(_read_channels(path))
        return display_encode(linear, self._exposure_from(linear, path))

    def rgb(self, path: Path) -> NDArray[np.uint8]:
        """Decode a frame to (H, W, 3) uint8 display RGB; raises InputError."""
        channels = _read_channels(path)
        exposure = self._exposure_from(_luminance(channels) if self._exposure is None else channels[0], path)
        encoded = [display_encode(make_usable(channel), exposure) for channel in channels]
        return np.rint(np.dstack(encoded if len(encoded) == 3 else encoded * 3)).astype(np.uint8)

    def level(self, path: Path) -> NDArray[np.float32]:
        """Decode a frame's luminance as it is stored, or its alpha where it holds nothing else; raises InputError."""
        if _has_picture(_read_parts(path)):
            return _luminance(_read_channels(path))
        return self.alpha(path)

    def alpha(self, path: Path) -> NDArray[np.float32]:
        """Decode a frame's alpha channel to (H, W) float32, opaque 1; raises InputError where it has none."""
        parts = _read_parts(path)
        found = [
            (len(channel.name), index, channel.name)
            for index, part in enumerate(parts)
            if not part.is_deep
            for channel in part.channels
            if channel.name.rpartition(".")[2].lower() in _ALPHA and channel.pixel_type != UINT
        ]
        if not found:
            raise no_alpha(path)
        _, index, name = min(found)  # the picture's own has no layer before its name
        return make_usable(_read_stored(path, parts, index, (name,))[0].copy())

    def _exposure_from(self, linear: NDArray[np.float32], path: Path) -> float:
        if self._exposure is None:
            self._exposure = exposure_for(linear if path == self._first else _luminance(_read_channels(self._first)))
        return self._exposure


def _read_parts(path: Path) -> list[ExrPart]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if not size:
                raise InputError(f"{path} is empty: copy or render this frame again.")
            return read_parts(file, size)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file and its permissions.") from error
    except BadExr as error:
        raise damaged(path, str(error)) from error


def _has_picture(parts: list[ExrPart]) -> bool:
    return bool(_choices(parts))


def _choices(parts: list[ExrPart]) -> list[tuple[int, int, tuple[str, ...]]]:
    """What could be the picture: rank, part and channels."""
    return [
        (rank, index, names)
        for index, part in enumerate(parts)
        if not part.is_deep
        for rank, names in _pictures(part.channels)
    ]


def _find_picture(path: Path, parts: list[ExrPart]) -> tuple[int, tuple[str, ...]]:
    """Choose part and channels; three names for colour, one for luminance."""
    choices = _choices(parts)
    if not choices:
        what = "deep data" if any(part.is_deep for part in parts) else "no colour or luminance"
        held = ", ".join(channel.name for part in parts for channel in part.channels[:8])
        raise InputError(f"{path} holds {what} (channels {held}): choose frames with red, green and blue.")
    _, index, names = min(choices)
    return index, names


def _pictures(channels: tuple[ExrChannel, ...]) -> list[tuple[int, tuple[str, ...]]]:
    """What of a part could be the picture, with a rank, the lower the better."""
    layers: dict[str, dict[str, str]] = {}
    for channel in channels:
        layer, _, last = channel.name.rpartition(".")
        if channel.pixel_type != UINT:
            layers.setdefault(layer, {})[last.lower()] = channel.name
    found = []
    for layer, names in layers.items():
        main = layer.rpartition(".")[2].lower() in _MAIN_LAYERS
        for colours in _COLOURS:
            if all(colour in names for colour in colours):
                rank = 0 if not layer else 2 if main else 4
                found.append((rank, tuple(names[colour] for colour in colours)))
        grey_rank = 1 if not layer else 3 if main else 5
        if "x" not in names:  # else Y is a coordinate, of a normal or a motion vector
            found += [(grey_rank, (names[grey],)) for grey in _GREYS if grey in names]
        others = [full for last, full in names.items() if last not in _NO_PICTURE]
        if len(others) == 1:
            found.append((6, (others[0],)))
    return found


def _read_channels(path: Path) -> list[NDArray[np.float32]]:
    """Read the picture's channels, linear, placed in the display window: three of (H, W), or one."""
    parts = _read_parts(path)
    return _read_stored(path, parts, *_find_picture(path, parts))


def _read_stored(path: Path, parts: list[ExrPart], index: int, names: tuple[str, ...]) -> list[NDArray[np.float32]]:
    """Read some channels of a part, placed in the display window."""
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            stored = file.parts[index].channels
            return [_place(path, stored[name].pixels, parts[index]) for name in names]
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise damaged(path, "damaged") from error


def _place(path: Path, pixels: NDArray, part: ExrPart) -> NDArray[np.float32]:
    """Copy a channel from the data window into the display window; what is outside stays black."""
    if pixels.shape != _size(part.data_window)[::-1]:
        raise damaged(path, "damaged, or its channels differ in size")
    if part.data_window == part.display_window:
        return pixels.astype(np.float32, order="C")
    (x0, y0, x1, y1), (left, top, right, bottom) = part.data_window, part.display_window
    width, height = _size(part.display_window)
    placed = np.zeros((height, width), np.float32)
    first_x, first_y, last_x, last_y = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
    if first_x <= last_x and first_y <= last_y:
        placed[first_y - top : last_y - top + 1, first_x - left : last_x - left + 1] = pixels[
            first_y - y0 : last_y - y0 + 1, first_x - x0 : last_x - x0 + 1
        ]
    return placed


def _luminance(channels: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    if len(channels) == 1:
        return make_usable(channels[0].copy())
    return make_usable(luminance_of(*(make_usable(channel) for channel in channels)))


def _size(box: tuple[int, int, int, int]) -> tuple[int, int]:
    return box[2] - box[0] + 1, box[3] - box[1] + 1
