"""Mattes: which parts of a picture the solve must not look at (an actor, a car, a screen, the edge of a set).

The convention: a matte is white where the footage is left OUT; of the footage's own alpha channel, what is transparent
is left out. `invert` turns either around. The limit between the two is half-way; a matte has no shades.

Frames belong together by their numbers. A video has no numbers of its own, so that a matte of equal length belongs to
it in order; one single picture is the matte of all frames.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..conventions import OPENCV_OFFSET_PX
from ..errors import InputError
from . import open_footage
from .base import Footage
from .numbering import format_ranges

_LEVEL = 0.5
# proxies are rounded to whole pixels, and to even numbers of them
_ASPECT_TOLERANCE = 0.01
# cv2.fillPoly takes whole numbers of 1/256 px
_SHIFT = 8


class Matte(ABC):
    """What to leave out, frame by frame."""

    @abstractmethod
    def excluded(self, index: int, number: int) -> NDArray[np.bool_]:
        """Mask (H, W) of the pixels to leave out of frame `index`, whose number in the footage is `number`.

        Quickest when asked for rising indices.
        """


class PictureMatte(Matte):
    """A matte that is decoded: a picture sequence, a video, a still, or the footage's own alpha channel.

    Parameters
    ----------
    source : Footage
        The matte, or the footage itself.
    planes : callable(start)
        `source.levels` or `source.alphas`.
    place_of : ndarray of int64, shape (F,)
        For each frame of the footage, the index in `source`.
    size : (int, int)
        Of the footage, width and height, pixels.
    white_is_out : bool
    """

    def __init__(
        self,
        source: Footage,
        planes: Callable[[int], Generator[NDArray[np.float32]]],
        place_of: NDArray[np.int64],
        size: tuple[int, int],
        white_is_out: bool,
    ) -> None:
        self.source = source
        self._planes = planes
        self._place_of = place_of
        self._size = size
        self._white_is_out = white_is_out
        self._reading: Generator[NDArray[np.float32]] | None = None
        self._next = 0
        self._last: tuple[int, NDArray[np.bool_]] | None = None

    def excluded(self, index: int, number: int) -> NDArray[np.bool_]:
        del number  # `place_of` has matched the numbers
        place = int(self._place_of[index])
        if self._last is None or self._last[0] != place:
            self._last = place, self._mask(self._read(place))
        return self._last[1]

    def _read(self, place: int) -> NDArray[np.float32]:
        if self._reading is None or place < self._next:
            self.close()
            self._reading, self._next = self._planes(place), place
        plane = None
        while self._next <= place:
            plane = next(self._reading)
            self._next += 1
        assert plane is not None
        if self._next == len(self.source):
            self.close()
        return plane

    def close(self) -> None:
        """Stop decoding; the next call of `excluded` begins anew."""
        if self._reading is not None:
            self._reading.close()
        self._reading, self._next = None, 0

    def _mask(self, plane: NDArray[np.float32]) -> NDArray[np.bool_]:
        if plane.shape != self._size[::-1]:
            smaller = self._size[0] < plane.shape[1]
            plane = cv2.resize(plane, self._size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        return np.asarray((plane > _LEVEL) == self._white_is_out)


class DrawnMatte(Matte):
    """A matte that a function draws, such as the polygons of a mask that an artist animated.

    Parameters
    ----------
    draw : callable(number)
        Mask (H, W) of what is drawn in the frame with this number; see `polygon_mask`.
    invert : bool
        Leave out what is not drawn instead.
    """

    def __init__(self, draw: Callable[[int], NDArray[np.bool_]], invert: bool = False) -> None:
        self._draw = draw
        self._invert = invert

    def excluded(self, index: int, number: int) -> NDArray[np.bool_]:
        del index
        drawn = self._draw(number)
        return ~drawn if self._invert else drawn


def open_matte(path: str | os.PathLike[str] | None, footage: Footage, invert: bool = False) -> PictureMatte:
    """Open the matte of some footage and check what can be checked without decoding it.

    Parameters
    ----------
    path : path or None
        What `open_footage` takes: a folder of frames, a pattern, a video, or one picture for all frames. None: the
        footage's own alpha channel.
    footage : Footage
    invert : bool
        False: white is left out; of an alpha channel, what is transparent. True: the other part.

    Returns
    -------
    PictureMatte

    Raises
    ------
    InputError
        If the matte cannot be read, misses frames, has another aspect ratio, or the footage has no alpha channel.
    """
    if path is None:
        return _own_alpha(footage, invert)
    matte = open_footage(path)
    _check_aspect(matte, footage)
    return PictureMatte(matte, matte.levels, _places(matte, footage), footage.size, not invert)


def polygon_mask(polygons: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Rasterise closed polygons.

    Parameters
    ----------
    polygons : sequence of ndarray of shape (K, 2)
        Corners, pixels (origin as in `conventions`); they may lie outside the picture. What two of them cover counts
        once.
    size : (int, int)
        Width and height, pixels.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True inside. Hard edges: a mask's feather does not matter here.
    """
    mask = np.zeros(size[::-1], np.uint8)
    # far outside, whole numbers of 1/256 px would overflow
    limit = 16.0 * max(size)
    for polygon in polygons:
        corners = np.clip(np.asarray(polygon, np.float64) - OPENCV_OFFSET_PX, -limit, limit)
        cv2.fillPoly(mask, [np.rint(corners * (1 << _SHIFT)).astype(np.int32)], 1, shift=_SHIFT)
    return mask.astype(bool)


def _own_alpha(footage: Footage, invert: bool) -> PictureMatte:
    matte = PictureMatte(footage, footage.alphas, np.arange(len(footage)), footage.size, invert)
    matte.excluded(0, int(footage.frame_numbers[0]))  # raises where there is no alpha channel
    matte.close()
    return matte


def _places(matte: Footage, footage: Footage) -> NDArray[np.int64]:
    """For each frame of the footage, the index in the matte; raises InputError for frames that the matte lacks."""
    if len(matte) == 1:
        return np.zeros(len(footage), np.int64)
    if len(matte) == len(footage) and "video" in (matte.kind, footage.kind):
        return np.arange(len(footage), dtype=np.int64)
    missing = footage.frame_numbers[~np.isin(footage.frame_numbers, matte.frame_numbers)]
    if len(missing):
        noun = "frame" if len(missing) == 1 else "frames"
        raise InputError(
            f"The matte {matte.path} lacks {noun} {format_ranges(missing)} of the footage {footage.path}: render the "
            "missing mattes, or number them as the footage is numbered."
        )
    return np.searchsorted(matte.frame_numbers, footage.frame_numbers).astype(np.int64)


def _check_aspect(matte: Footage, footage: Footage) -> None:
    (mw, mh), (w, h) = matte.size, footage.size
    # half a pixel of the matte's smaller side at the least: a small matte is rounded more
    if abs(mw * h / (mh * w) - 1) > max(_ASPECT_TOLERANCE, 0.5 / min(mw, mh)):
        raise InputError(
            f"The matte {matte.path} is {mw}x{mh} pixels and the footage {footage.path} {w}x{h}: a matte may be "
            "smaller or larger but must show the same picture; render it with the footage's aspect ratio."
        )
