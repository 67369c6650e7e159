"""Light that changes from one frame to the next: flicker, flashes, an exposure that jumps.

The search from frame to frame takes a point to keep its brightness. Where it does not, the picture is brought to the
brightness of the one before; the alignment that follows has a gain and a bias of its own for every patch.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .align import as_bytes

# a step of the camera is small on pictures this coarse
_SIDE_PX = 64
_COARSE_PX = 2.0
# weights of a robust line: gray levels, and how often it is fitted
_MISFIT = 6.0
_ROUNDS = 6
_GAINS = (0.2, 5.0)
# less is no change that the search would feel
_LEAST_GAIN = 0.02
_LEAST_BIAS = 2.0
# clipped in the camera, or by the curve
_DARKEST, _BRIGHTEST = 4, 250


def in_the_light_of(grey: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A picture (H, W) in the brightness of the one before it; None where that is the same, or cannot be told.

    The line from one brightness to the other is fitted robustly to both pictures, much reduced: where something else
    is seen than before, it is another thing and not another light.
    """
    height, width = grey.shape
    factor = _SIDE_PX / max(height, width)
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    now, then = (
        cv2.GaussianBlur(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), (0, 0), _COARSE_PX)
        .astype(np.float64)
        .ravel()
        for picture in (grey, before)
    )
    free = (np.minimum(now, then) > _DARKEST) & (np.maximum(now, then) < _BRIGHTEST)
    if free.sum() < len(now) / 4 or now[free].std() < _LEAST_BIAS:
        return None
    A = np.stack([now[free], np.ones(int(free.sum()))], axis=1)
    weight = np.ones(len(A))
    for _ in range(_ROUNDS):
        gain, bias = np.linalg.lstsq(A * weight[:, None], then[free] * weight, rcond=None)[0]
        weight = 1 / np.sqrt(1 + ((then[free] - A @ (gain, bias)) / _MISFIT) ** 2)
    if not _GAINS[0] < gain < _GAINS[1] or (abs(gain - 1) < _LEAST_GAIN and abs(bias) < _LEAST_BIAS):
        return None
    table = as_bytes(gain * np.arange(256) + bias)
    return np.asarray(cv2.LUT(grey, table))
