"""The deviations that are reported, and what is known weighed by them.

A focal length that is known with a deviation has to count against the picture by the same deviations. The adjustment
takes the picture for surer of its focal length than is reported (see `held`), so it is done once more with what is
known as much surer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.covariance import Deviations
from ..bundle.residuals import FOCAL
from ..known import Known, KnownValues
from .finish import Finished, adjusted_again

# of reported deviations to those of the adjustment: less does not matter to what is weighed by them
_LEAST_RATIO = 1.02


def reported_deviations(found: Finished) -> tuple[NDArray[np.int64], Deviations]:
    """The frames (indices) that were adjusted, and their deviations with those of what is held."""
    frame_ids, sd = found.deviations
    log_focal = np.maximum(sd.considered_log_focal, found.least_log_focal_sd)
    lens = sd.lens.copy()
    lens[FOCAL] *= float(np.median(log_focal / np.maximum(sd.log_focal, 1e-300)))
    return frame_ids, replace(sd, log_focal=log_focal, lens=lens)


def weighed(found: Finished) -> Finished:
    """Adjusted once more where a focal length is known with a deviation; see the header."""
    known = found.model.known
    if not any(value.deviation > 0 for value in _known_focal(known)):
        return found
    alone = replace(found, model=replace(found.model, known=replace(known, focal_px=None, focal_px_by_frame={})))
    sd = alone.deviations[1]
    ratio = float(np.median(sd.considered_log_focal / np.maximum(sd.log_focal, 1e-300)))
    if ratio < _LEAST_RATIO:
        return found
    surer = replace(
        known,
        focal_px=None if known.focal_px is None else _surer(known.focal_px, ratio),
        focal_px_by_frame={frame: _surer(value, ratio) for frame, value in known.focal_px_by_frame.items()},
    )
    again = adjusted_again(replace(found, model=replace(found.model, known=surer)))
    return replace(again, model=replace(again.model, known=known))


def _known_focal(known: KnownValues) -> list[Known]:
    values = list(known.focal_px_by_frame.values())
    return values if known.focal_px is None else [known.focal_px, *values]


def _surer(value: Known, ratio: float) -> Known:
    return replace(value, deviation=value.deviation / ratio)
