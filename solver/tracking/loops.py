"""Places that the camera has seen before, so that a camera that returns does not drift.

Of every few frames a small picture is kept, without its coarse brightness, and compared with all earlier ones by the
correlation over all shifts (through Fourier transforms, so that hundreds cost a few milliseconds). What looks alike is
only a suggestion: `again` decides by key points and geometry whether it is the same place.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from .again import View

# a thumbnail's larger side, and what is left out of it as mere brightness
_SIDE_PX = 48
_COARSE_PX = 6.0
# correlation from which two thumbnails may show the same place; see `alike`
_LEAST_LIKENESS = 0.42
# and how much less alike something seen in between must be, for it to be a return
_LIKENESS_RISE = 0.1
# a view is kept when fewer than this share of the last one's tracks live, and at the latest after so many frames
_SHARE = 0.7
_LEAST_TRACKS = 60
_MOST_FRAMES = 24
_LEAST_FRAMES = 4
# so many are compared: more are thinned evenly, so that the cost stays linear in the length of the shot
_MOST_COMPARED = 128


class Places:
    """Views of the shot so far, with what to know them by."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self._spectra: list[NDArray[np.complex64]] = []

    def wants(self, view: View) -> bool:
        """Whether a view is new enough to be kept."""
        if len(view.track) < _LEAST_TRACKS:
            return False
        if not self.views:
            return True
        last = self.views[-1]
        gone = view.index - last.index
        if gone < _LEAST_FRAMES:
            return False
        return gone >= _MOST_FRAMES or np.isin(last.track, view.track).mean() < _SHARE

    def add(self, view: View) -> None:
        """Keep a view."""
        self.views.append(view.packed())
        self._spectra.append(_spectrum(view.grey))

    def alike(self, view: View, most: int) -> list[int]:
        """Indices of the earlier views to which the camera may have returned, the most alike first.

        Parameters
        ----------
        view : View
        most : int
        """
        n = len(self.views)
        if not n:
            return []
        compared = np.unique(np.linspace(0, n - 1, min(n, _MOST_COMPARED)).round().astype(int))
        stack = np.stack([self._spectra[i] for i in compared])
        alike = _correlation(stack, _spectrum(view.grey)).max(axis=(1, 2))
        # what was seen since must have looked less like this: else it is still the same place
        least_since = np.append(np.minimum.accumulate(alike[::-1])[::-1][1:], 1.0)
        returns = (alike > _LEAST_LIKENESS) & (alike - least_since > _LIKENESS_RISE)
        order = np.argsort(-alike, kind="stable")
        return [int(compared[i]) for i in order if returns[i]][:most]


def likeness(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """How much two grey pictures of one size look alike at the best shift: 1 for the same one, below 0.35 for any."""
    return float(_correlation(_spectrum(a), _spectrum(b)).max())


def _correlation(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> NDArray[np.float32]:
    return np.asarray(scipy.fft.irfft2(a * b.conj(), axes=(-2, -1)), dtype=np.float32)


def _spectrum(grey: NDArray[np.uint8]) -> NDArray[np.complex64]:
    """Of the thumbnail with zeros around it, scaled so that it correlates with itself by 1."""
    height, width = grey.shape
    factor = _SIDE_PX / max(height, width)
    size = (max(4, round(width * factor)), max(4, round(height * factor)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    fine = small - cv2.GaussianBlur(small, (0, 0), _COARSE_PX, borderType=cv2.BORDER_REPLICATE)
    # bright spots must not decide alone
    spread = float(fine.std()) + 1e-3
    fine = np.clip(fine, -2 * spread, 2 * spread)
    fine -= fine.mean()
    fine /= max(float(np.sqrt((fine**2).sum())), 1e-3)
    padded = np.zeros((2 * size[1], 2 * size[0]), np.float32)
    padded[: size[1], : size[0]] = fine
    return np.asarray(scipy.fft.rfft2(padded), dtype=np.complex64)
