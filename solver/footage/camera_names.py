"""One set of names for what EXR attributes and video tags say about the camera.

Cameras, renderers and transcoders write the same facts under many names: `focalLength`, `camera/focal_length`,
`Exif:FocalLength`, `com.apple.quicktime.camera.focal_length.35mm_equivalent`. Names are compared without case,
separators and well-known prefixes. Where a file has several, the first of the list below counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

# Units: OpenEXR's standard attributes have focal lengths and sensor sizes in millimetres, `focus` in metres.
_NUMBERS = {
    "focal_length_mm": (
        "pinholefocallength", "effectivefocallength", "nominalfocallength", "focallength", "focallengthmm",
        "lensfocallength", "focallengthinmm",
    ),
    "focal_length_35mm": ("focallength35mmequivalent", "focallengthin35mmfilm", "focallengthin35mmformat"),
    "focus_distance_m": ("focus", "focusdistancem", "subjectdistance"),
    "aperture": ("aperture", "fnumber", "fstop", "lensaperture"),
    "exposure_time_s": ("exptime", "exposuretime"),
    "iso": ("isospeed", "isospeedratings", "iso", "photographicsensitivity"),
    "shutter_angle_deg": ("shutterangle",),
    "frame_rate": ("framespersecond", "framerate", "capturerate", "fps"),
}  # fmt: skip
_TEXTS = {
    "camera_make": ("cameramake", "make"),
    "camera_model": ("cameramodel", "model"),
    "lens_make": ("lensmake",),
    "lens_model": ("lensmodel",),
}
_PREFIXES = ("comapplequicktime", "comandroid", "exif", "camera", "input", "exr", "arnold", "tiff")
_SENSOR = "sensoroveralldimensions"
_SEPARATORS = re.compile(r"[^a-z0-9]")
_NUMBER = re.compile(r"\s*f?/?\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*(?:/\s*(\d+(?:\.\d+)?))?\s*(?:mm|m|s|fps)?\s*", re.I)


def rename_attributes(attributes: Mapping[str, object]) -> dict[str, object]:
    """Pick what is known about the camera out of a file's attributes.

    Parameters
    ----------
    attributes : mapping from names to values; texts that are numbers ("35 mm", "24000/1001") count as numbers

    Returns
    -------
    dict with the names of `Footage.metadata`; numbers are positive and finite floats
    """
    bare: dict[str, object] = {}
    for name, value in attributes.items():
        for short in _short_names(name):
            bare.setdefault(short, value)
    found: dict[str, object] = {}
    for ours, theirs in _NUMBERS.items():
        numbers = [number for name in theirs if (number := _number(bare.get(name))) is not None]
        if numbers:
            found[ours] = numbers[0]
    for ours, theirs in _TEXTS.items():
        texts = [text.strip() for name in theirs if isinstance(text := bare.get(name), str) and text.strip()]
        if texts:
            found[ours] = texts[0]
    sensor = bare.get(_SENSOR)
    if isinstance(sensor, tuple) and len(sensor) == 2 and (width := _number(sensor[0])) is not None:
        found["sensor_width_mm"] = width
    return found


def _short_names(name: str) -> list[str]:
    """The name as it is, then without each prefix in turn: `exif:FocalLength` gives exiffocallength, focallength."""
    short = _SEPARATORS.sub("", name.lower())
    names = [short]
    while prefix := next((p for p in _PREFIXES if short.startswith(p) and len(short) > len(p)), None):
        short = short[len(prefix) :]
        names.append(short)
    return names


def _number(value: object) -> float | None:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        if not match or (match[2] and float(match[2]) == 0):
            return None
        value = float(match[1]) / float(match[2] or 1)
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return float(value)
