"""What the footage's own metadata say of the lens, as a prior of the solve.

A camera writes the focal length that its lens reports: rounded, at infinity, and of the whole sensor, of which the
picture may be a part. So it is a prior with a wide deviation and never more, and where the picture contradicts it, the
picture has the last word.

With a prior m of deviation s and a solve f of deviation d that has used it, what the picture alone says is away from m
by |f - m| / K with the variance s^2 / K, K = 1 - d^2 / s^2 (the Kalman gain): so many as |f - m| / sqrt(s^2 - d^2)
deviations of the two together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .known import Known, KnownValues
from .types import Shot, Solve

METADATA = "metadata"
# labels of lenses are true to about 5 % (ISO 517), and focusing and stabilisation change the angle of view by as much
_SHARE = 0.05
# the equivalent focal length is rounded to a millimetre as well, and refers to the diagonal or to the width
_EQUIVALENT_SHARE = 0.08
# full frame, Super 35 and Micro Four Thirds lie within twice of this
_ANY_SENSOR_SHARE = 0.3
_FULL_FRAME_DIAGONAL_MM = 43.267
# farther apart than so many of their deviations, metadata and picture contradict each other
_DISAGREEMENT_SIGMAS = 3.0
# a picture that tells less than this share of what the metadata tell contradicts nothing
_LEAST_GAIN = 0.1


def metadata_focal(shot: Shot, sensor: tuple[float, str], any_sensor: bool = False) -> Known | None:
    """The focal length, pixels, that the metadata of a shot tell, or None.

    Parameters
    ----------
    shot : Shot
    sensor : (float, str)
        Its width, mm, and where that comes from: "given", "metadata" or "default".
    any_sensor : bool
        Whether a focal length in millimetres counts, with a deviation of 30 %, for a sensor of unknown width.
    """
    focal_mm, equivalent_mm = _number(shot, "focal_length_mm"), _number(shot, "focal_length_35mm")
    known = sensor[1] != "default"
    if equivalent_mm is not None and not (known and focal_mm is not None):
        # the equivalent is that of the diagonal (CIPA DCG-001)
        value = equivalent_mm / _FULL_FRAME_DIAGONAL_MM * float(np.hypot(*shot.size))
        return Known(value=value, deviation=_EQUIVALENT_SHARE * value)
    if focal_mm is None or not (known or any_sensor):
        return None
    value = focal_mm / sensor[0] * shot.size[0]
    return Known(value=value, deviation=(_SHARE if known else _ANY_SENSOR_SHARE) * value)


def _number(shot: Shot, name: str) -> float | None:
    value = shot.metadata.get(name)
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) and value > 0 else None


def with_focal(known: KnownValues, shot: Shot, focal: Known) -> KnownValues:
    """`known` with a focal length out of the metadata: it is that of the first frame."""
    bare = known == KnownValues(source=known.source)
    source = METADATA if bare else f"{known.source} and {METADATA}"
    return replace(known, focal_px_by_frame={int(shot.frame_numbers[0]): focal}, source=source)


def contradicted(solve: Solve, focal: Known) -> bool:
    """Whether the picture contradicts the metadata that the solve has used."""
    found, sd = float(solve.path.focal_px[0]), float(solve.path.focal_px_sd[0])
    told = max(focal.deviation**2 - sd**2, _LEAST_GAIN * focal.deviation**2)
    return abs(found - focal.value) > _DISAGREEMENT_SIGMAS * np.sqrt(told)


def contradiction(solve: Solve, focal: Known) -> str | None:
    """What to say of a solve that did not use the metadata: None where it agrees with them."""
    found, sd = float(solve.path.focal_px[0]), float(solve.path.focal_px_sd[0])
    if abs(found - focal.value) <= _DISAGREEMENT_SIGMAS * float(np.hypot(focal.deviation, sd)):
        return None
    mm = solve.sensor_width_mm / solve.shot.size[0]
    return (
        f"The footage's metadata say {mm * focal.value:.1f} mm, the picture shows {mm * found:.1f} mm (give or take "
        f"{mm * sd:.1f}) on a sensor {solve.sensor_width_mm:g} mm wide: the picture was followed. Check the sensor "
        "width, and whether the footage is a crop."
    )
