"""Camera metadata of photographs: the EXIF tags that say something about the lens.

EXIF is a TIFF file inside a JPEG or PNG: directories (IFDs) of 12-byte entries (tag, type, count, value or its offset).
Metadata is a help, never a need: what is malformed is left out without a word.

References
----------
CIPA DC-008, Exchangeable image file format, sections 4.6.2 to 4.6.8; Adobe, TIFF 6.0, section 2.
"""

from __future__ import annotations

import math
import struct
from typing import BinaryIO

_EXIF_IFD = 0x8769
# Type code -> (struct letter, numbers an item); 5 and 10 are fractions of two numbers.
_TYPES = {1: "B", 2: "c", 3: "H", 4: "I", 5: "II", 6: "b", 7: "c", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
_MAX_BYTES = 1 << 24  # strip tables of large TIFF files are long, everything else that is longer is a broken count
_MAX_ENTRIES = 4096

_NUMBERS = {
    0x829A: "exposure_time_s",
    0x829D: "aperture",
    0x8827: "iso",
    0x9206: "focus_distance_m",
    0x920A: "focal_length_mm",
    0xA405: "focal_length_35mm",
}
_TEXTS = {0x010F: "camera_make", 0x0110: "camera_model", 0xA433: "lens_make", 0xA434: "lens_model"}
_PIXEL_WIDTH, _PLANE_RESOLUTION, _PLANE_UNIT = 0xA002, 0xA20E, 0xA210
_PLANE_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0}

Tags = dict[int, "list[float] | str"]


def read_tags(file: BinaryIO) -> Tags:
    """Read the first directory of a TIFF file, and its EXIF directory.

    Parameters
    ----------
    file : binary file that starts with the TIFF header; it may be cut short or hold anything

    Returns
    -------
    dict from tag to list of numbers, or to text; what cannot be read is left out
    """
    head = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None or len(head) < 8:
        return {}
    tags = _read_directory(file, order, struct.unpack(order + "I", head[4:])[0])
    exif = tags.get(_EXIF_IFD)
    if isinstance(exif, list) and exif:
        tags |= _read_directory(file, order, int(exif[0]))
    return tags


def camera_metadata(tags: Tags) -> dict[str, object]:
    """Name the tags that concern the camera, in the units of `Footage.metadata`, without unknown values (0, inf)."""
    found: dict[str, object] = {}
    for tag, name in _TEXTS.items():
        value = tags.get(tag)
        if isinstance(value, str) and value:
            found[name] = value
    for tag, name in _NUMBERS.items():
        number = _positive(tags, tag)
        if number is not None:
            found[name] = number
    width, pixels_per_unit = _positive(tags, _PIXEL_WIDTH), _positive(tags, _PLANE_RESOLUTION)
    unit = _PLANE_UNIT_MM.get(int(_positive(tags, _PLANE_UNIT) or 2))
    if width and pixels_per_unit and unit:
        found["sensor_width_mm"] = width / pixels_per_unit * unit
    return found


def _positive(tags: Tags, tag: int) -> float | None:
    value = tags.get(tag)
    if not isinstance(value, list) or not value or not math.isfinite(value[0]) or value[0] <= 0:
        return None
    return float(value[0])


def _read_directory(file: BinaryIO, order: str, offset: int) -> Tags:
    tags: Tags = {}
    file.seek(offset)
    count_bytes = file.read(2)
    if len(count_bytes) < 2:
        return tags
    n_entries = min(struct.unpack(order + "H", count_bytes)[0], _MAX_ENTRIES)
    entries = file.read(12 * n_entries)
    for start in range(0, len(entries) - 11, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", entries, start)
        letters = _TYPES.get(kind)
        if letters is None:
            continue
        n_bytes = struct.calcsize("=" + letters) * count
        if n_bytes > _MAX_BYTES:
            continue
        data = entries[start + 8 : start + 8 + n_bytes]
        if n_bytes > 4:
            file.seek(struct.unpack_from(order + "I", entries, start + 8)[0])
            data = file.read(n_bytes)
        if len(data) == n_bytes:
            tags[tag] = _value(data, order, letters)
    return tags


def _value(data: bytes, order: str, letters: str) -> list[float] | str:
    if letters == "c":
        return data.split(b"\0")[0].decode("utf-8", "replace").strip()
    n_numbers = len(data) // struct.calcsize("=" + letters[0])
    numbers = list(struct.unpack(f"{order}{n_numbers}{letters[0]}", data))
    if len(letters) == 2:
        return [a / b if b else math.inf for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
    return numbers
