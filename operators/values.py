"""From what an artist types to values: the same words on the command line and in a YAML file.

Each function raises ValueError with what is wrong, as the second half of a sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ..solver.known import Known

STAGES = ("camera", "focus", "depth")

_RANGE = re.compile(r"\s*(-?\d+)(?:\s*-\s*(-?\d+))?\s*")


def sensor(given: object) -> float:
    """A sensor width in millimetres."""
    width = _number(given)
    if not 0.5 <= width <= 1000:
        raise ValueError(f"{given} is not a sensor width in millimetres between 0.5 and 1000")
    return width


def focal_mm(given: object) -> Known:
    """A focal length in millimetres: "35" locks it, "35:0.5" gives it a standard deviation."""
    return _known(given, "a focal length in millimetres such as 35, or 35:0.5 with its deviation", 0.1, 1e5)


def focal_px(given: object) -> Known:
    """A focal length in pixels, in the same way."""
    return _known(given, "a focal length in pixels such as 1800, or 1800:20 with its deviation", 1.0, 1e7)


def distortion(given: object) -> tuple[float, ...]:
    """Radial distortion: "k1,k2" or "k1,k2,k3"."""
    parts = given.split(",") if isinstance(given, str) else given if isinstance(given, Sequence) else ()
    values = tuple(_number(part) for part in parts)
    if len(values) not in (2, 3) or not all(abs(value) < 100 for value in values):
        raise ValueError(f"{given} is not a distortion: give k1,k2 or k1,k2,k3, such as -0.12,0.03")
    return values


def readout(given: object) -> Known | None:
    """Rolling shutter: "auto" (None), "off", or the readout time in frames, perhaps with its deviation."""
    if given in ("auto", None):
        return None
    if given in ("off", False):
        return Known(value=0.0, deviation=0.0)
    return _known(given, "auto, off, or a readout time in frames such as 0.4 or 0.4:0.05", -2.0, 2.0)


def frames(given: object) -> tuple[int, int]:
    """A range of frames: "1001-1048", or one frame."""
    match = _RANGE.fullmatch(str(given))
    if match is None:
        raise ValueError(f"{given} is not a range of frames such as 1001-1048")
    first = int(match[1])
    last = int(match[2]) if match[2] is not None else first
    if last < first:
        raise ValueError(f"the range of frames {given} ends before it begins")
    return first, last


def switch(given: object) -> bool:
    """Yes or no."""
    if not isinstance(given, bool):
        raise ValueError(f"{given} is neither true nor false")
    return given


def stages(text: str) -> tuple[str, ...]:
    """How far to go: a list of stages, the camera among them."""
    wanted = tuple(stage.strip() for stage in text.split(",") if stage.strip())
    unknown = [stage for stage in wanted if stage not in STAGES]
    if unknown or not wanted:
        raise ValueError(f"no stage {', '.join(unknown) or repr(text)}: choose from {', '.join(STAGES)}")
    if "camera" not in wanted:
        raise ValueError(f"{' and '.join(wanted)} need camera before them")
    return wanted


def _known(given: object, what: str, least: float, most: float) -> Known:
    """ "VALUE" or "VALUE:DEVIATION"."""
    value, colon, deviation = str(given).partition(":")
    known, sd = _number(value), _number(deviation) if colon else 0.0
    if not least <= known <= most or not 0 <= sd < math.inf:
        raise ValueError(f"{given} is not {what}")
    return Known(value=known, deviation=sd)


def _number(given: object) -> float:
    """The number that is given; what is none becomes one that no range holds."""
    if isinstance(given, bool) or not isinstance(given, (str, int, float)):
        return math.nan
    try:
        return float(given)
    except ValueError:
        return math.nan
