"""From scene-linear light to what the tracker sees: display-encoded luminance in 0..255.

Tracking compares brightness between frames, so the curve must be the same for every frame of a shot: the exposure
comes from the first one, x = L / P99(first frame). Below half of that the curve is that of sRGB; above, where sRGB
would clip as soon as a later frame is brighter, a shoulder with the same value and slope at the knee k goes on towards
255 and never reaches it:

    d(x) = 255 sRGB(x)                                   x <= k = 1/2
    d(x) = 255 - (255 - d(k)) (x / k) ** -p              x >  k,   p = k d'(k) / (255 - d(k))

Highlights keep some texture that way, and an exposure that is a stop or two off costs little.

References
----------
IEC 61966-2-1 (sRGB); ITU-R BT.709 (luminance weights).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REC709 = (0.2126, 0.7152, 0.0722)
_KNEE = 0.5
_KNEE_VALUE = 255 * (1.055 * _KNEE ** (1 / 2.4) - 0.055)
_KNEE_SLOPE = 255 * 1.055 / 2.4 * _KNEE ** (1 / 2.4 - 1)
_POWER = _KNEE * _KNEE_SLOPE / (255 - _KNEE_VALUE)
_WHITE_PERCENTILE = 99.0  # a lamp or a glint may take one pixel in a hundred without darkening the shot


def luminance_of(red: NDArray, green: NDArray, blue: NDArray) -> NDArray[np.float32]:
    """Weigh linear Rec.709 channels of one shape into luminance, float32."""
    result = red.astype(np.float32)
    result *= np.float32(REC709[0])
    result += np.float32(REC709[1]) * green.astype(np.float32, copy=False)
    result += np.float32(REC709[2]) * blue.astype(np.float32, copy=False)
    return result


def make_usable(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace, in place, what is no light: negative and undefined values by 0, infinite ones by the largest finite."""
    finite_max = np.float32(65504.0)  # the largest half float; float files may hold more, which says nothing either
    np.copyto(linear, np.float32(0), where=np.isnan(linear))
    return np.clip(linear, np.float32(0), finite_max, out=linear)


def exposure_for(linear: NDArray[np.float32]) -> float:
    """Exposure that brings the brightest hundredth of the lit pixels to 1.

    Parameters
    ----------
    linear : ndarray of any shape, finite, >= 0: the luminance of the first frame of a shot

    Returns
    -------
    float, > 0; 1 for a black picture
    """
    lit = linear[linear > 0]
    white = float(np.percentile(lit, _WHITE_PERCENTILE)) if lit.size else 0.0
    return 1.0 / white if white > 1e-6 else 1.0


def display_encode(linear: NDArray[np.float32], exposure: float) -> NDArray[np.float32]:
    """Encode linear light for display.

    Parameters
    ----------
    linear : ndarray of any shape, finite, >= 0
    exposure : float, > 0

    Returns
    -------
    float32 ndarray of the same shape, 0..255
    """
    scaled = linear * np.float32(exposure)
    encoded = np.maximum(scaled, np.float32(0.0031308)) ** np.float32(1 / 2.4)
    encoded *= np.float32(255 * 1.055)
    encoded -= np.float32(255 * 0.055)
    dark = scaled < 0.0031308
    encoded[dark] = scaled[dark] * np.float32(255 * 12.92)
    bright = scaled > _KNEE
    encoded[bright] = 255 - np.float32(255 - _KNEE_VALUE) * (scaled[bright] / np.float32(_KNEE)) ** np.float32(-_POWER)
    return encoded
