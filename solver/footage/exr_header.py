"""The header of an OpenEXR file, read in Python before the library sees the file.

The library's Python binding reads the pixels; the header is read here, because a damaged one can bring a binding down
with the whole of Blender, and because comparing the sizes of all frames needs only these few bytes. What is checked:
the attributes that a picture cannot do without, the plausibility of its size, and that the chunks of pixels that the
offset table names lie inside the file, so that a file that is still being rendered is refused.

References
----------
Academy Software Foundation, OpenEXR File Layout; OpenEXR, Standard Attributes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, TypeGuard

import numpy as np

MAGIC = b"\x76\x2f\x31\x01"
_TILED, _DEEP, _MULTI_PART = 0x200, 0x800, 0x1000
_MAX_ATTRIBUTE = 1 << 28
_MAX_NAME = 256
_MAX_PIXELS = 1 << 28  # 16k x 16k: beyond any camera, and a limit to what a broken header makes the library allocate
_MAX_PARTS = 4096
# By compression: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB, HTJ2K256, HTJ2K32.
_LINES_PER_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256, 10: 256, 11: 32}
PIXEL_BITS = {0: 32, 1: 16, 2: 32}  # uint, half, float
UINT = 0

Box = tuple[int, int, int, int]  # first x, first y, last x, last y


class BadExr(Exception):
    """The message completes the sentence "frame.exr is ..."."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExrChannel:
    """One channel: its full name, its pixel type (see `PIXEL_BITS`) and its sampling in x and y."""

    name: str
    pixel_type: int
    sampling: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExrPart:
    """One part of a file: its windows (inclusive), its channels, and every attribute of a type that is read here."""

    channels: tuple[ExrChannel, ...]
    data_window: Box
    display_window: Box
    is_deep: bool
    attributes: dict[str, object]


def read_parts(file: BinaryIO, size: int) -> list[ExrPart]:
    """Read and check the header of an EXR file.

    Parameters
    ----------
    file : binary file at its start
    size : int, bytes

    Returns
    -------
    list of ExrPart, at least one

    Raises
    ------
    BadExr
        If it is no EXR file, damaged, or not complete.
    """
    head = file.read(8)
    if head[:4] != MAGIC:
        raise BadExr("not an OpenEXR file")
    if len(head) < 8:
        raise BadExr("cut short")
    flags = int.from_bytes(head[4:], "little")
    if flags & 0xFF != 2:
        raise BadExr("of an OpenEXR version that is not known")
    raw: list[dict[str, tuple[str, bytes]]] = []
    while (attributes := _read_attributes(file)) or not raw:
        raw.append(attributes)
        if not flags & _MULTI_PART:
            break
        if len(raw) > _MAX_PARTS:
            raise BadExr("damaged")
    parts = [_part(attributes, flags) for attributes in raw]
    for attributes, part in zip(raw, parts, strict=True):
        _check_chunks(file, size, attributes, part, flags)
    return parts


def _read_attributes(file: BinaryIO) -> dict[str, tuple[str, bytes]]:
    """Read attributes (name, type, size, value) up to the empty name that ends them."""
    found: dict[str, tuple[str, bytes]] = {}
    while name := _read_name(file):
        kind, size_bytes = _read_name(file), file.read(4)
        n_bytes = int.from_bytes(size_bytes, "little")
        if not kind or n_bytes > _MAX_ATTRIBUTE:
            raise BadExr("damaged")
        value = file.read(n_bytes)
        if len(size_bytes) < 4 or len(value) < n_bytes:
            raise BadExr("cut short")
        found[name] = (kind, value)
    return found


def _read_name(file: BinaryIO) -> str:
    name = bytearray()
    while (byte := file.read(1)) != b"\0":
        if not byte:
            raise BadExr("cut short")
        name += byte
        if len(name) >= _MAX_NAME:
            raise BadExr("damaged")
    return name.decode("utf-8", "replace")


def _part(raw: dict[str, tuple[str, bytes]], flags: int) -> ExrPart:
    attributes: dict[str, object] = {}
    for name, (kind, value) in raw.items():
        try:
            attributes[name] = _DECODE[kind](value) if kind in _DECODE else None
        except (struct.error, ValueError, IndexError) as error:
            raise BadExr("damaged") from error
    channels, data, display = (attributes.get(name) for name in ("channels", "dataWindow", "displayWindow"))
    if not (isinstance(channels, tuple) and channels and _is_box(data) and _is_box(display)):
        raise BadExr("damaged")
    width, height = data[2] - data[0] + 1, data[3] - data[1] + 1
    for channel in channels:
        if channel.pixel_type not in PIXEL_BITS or min(channel.sampling) < 1:
            raise BadExr("damaged")
        if width % channel.sampling[0] or height % channel.sampling[1]:
            raise BadExr("damaged")
    return ExrPart(
        channels=channels,
        data_window=data,
        display_window=display,
        is_deep=bool(flags & _DEEP) or str(attributes.get("type", "")).startswith("deep"),
        attributes={name: value for name, value in attributes.items() if value is not None and name != "channels"},
    )


def _is_box(value: object) -> TypeGuard[Box]:
    if not isinstance(value, tuple) or len(value) != 4:
        return False
    width, height = value[2] - value[0] + 1, value[3] - value[1] + 1
    return 0 < width < 1 << 20 and 0 < height < 1 << 20 and width * height <= _MAX_PIXELS


def _check_chunks(file: BinaryIO, size: int, raw: dict[str, tuple[str, bytes]], part: ExrPart, flags: int) -> None:
    """Check one part's offset table, which stands where the file is, against the size of the file."""
    n_chunks = _count_chunks(raw, part, flags)
    if n_chunks is None:
        return
    if n_chunks * 8 > size:
        raise BadExr("cut short")
    table = file.read(n_chunks * 8)
    if len(table) < n_chunks * 8:
        raise BadExr("cut short")
    offsets = np.frombuffer(table, "<u8")
    if not offsets.all():
        raise BadExr("not complete (its renderer may still be writing it)")
    last = int(offsets.max())
    place = file.tell()
    n_head = (4 if flags & _MULTI_PART else 0) + (16 if _is_tiled(raw, flags) else 4) + 4
    if last + n_head > size:
        raise BadExr("cut short")
    if not part.is_deep:
        file.seek(last)
        head = file.read(n_head)
        if last + n_head + int.from_bytes(head[-4:], "little") > size:
            raise BadExr("cut short")
        file.seek(place)


def _count_chunks(raw: dict[str, tuple[str, bytes]], part: ExrPart, flags: int) -> int | None:
    """Number of entries of a part's offset table; None for mip-mapped single-part files, which do not say it."""
    if flags & _MULTI_PART:
        count = part.attributes.get("chunkCount")
        if not isinstance(count, int) or count < 1:
            raise BadExr("damaged")
        return count
    x0, y0, x1, y1 = part.data_window
    if _is_tiled(raw, flags):
        description = raw.get("tiles", ("", b""))[1]
        if len(description) != 9:
            raise BadExr("damaged")
        tile_width, tile_height, mode = struct.unpack("<IIB", description)
        if not (0 < tile_width < 1 << 20 and 0 < tile_height < 1 << 20):
            raise BadExr("damaged")
        if mode & 0xF:
            return None
        return -(-(x1 - x0 + 1) // tile_width) * -(-(y1 - y0 + 1) // tile_height)
    compression = raw.get("compression", ("", b""))[1]
    lines = _LINES_PER_CHUNK.get(compression[0]) if len(compression) == 1 else None
    if lines is None:
        raise BadExr("damaged, or compressed in a way that is not known")
    return -(-(y1 - y0 + 1) // lines)


def _is_tiled(raw: dict[str, tuple[str, bytes]], flags: int) -> bool:
    if flags & _MULTI_PART or "type" in raw:
        return raw.get("type", ("", b""))[1].startswith((b"tiledimage", b"deeptile"))
    return bool(flags & _TILED)


def _decode_channels(value: bytes) -> tuple[ExrChannel, ...]:
    channels, position = [], 0
    while value[position] != 0:
        end = value.index(0, position)
        kind, _, x, y = struct.unpack_from("<iIii", value, end + 1)
        name = value[position:end].decode("utf-8", "replace")
        channels.append(ExrChannel(name=name, pixel_type=kind, sampling=(x, y)))
        position = end + 17
    return tuple(channels)


def _decode_fraction(value: bytes) -> float:
    numerator, denominator = struct.unpack("<iI", value)
    return numerator / denominator if denominator else 0.0


_DECODE = {
    "box2i": lambda value: struct.unpack("<4i", value),
    "chlist": _decode_channels,
    "double": lambda value: struct.unpack("<d", value)[0],
    "float": lambda value: struct.unpack("<f", value)[0],
    "int": lambda value: struct.unpack("<i", value)[0],
    "rational": _decode_fraction,
    "string": lambda value: value.decode("utf-8", "replace"),
    "v2f": lambda value: struct.unpack("<2f", value),
    "v2i": lambda value: struct.unpack("<2i", value),
}
