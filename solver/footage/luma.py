"""From a decoded video frame to luminance or RGB, in 0..255 whatever range and bit depth the video stores.

Video stores luma Y' and colour difference planes, so grey costs nothing: the luma plane is taken as it is, without a
conversion through RGB. Limited ("TV") range, 16..235 for 8 bits, is stretched to 0..255 as a player does, so that a
video and the stills made from it look the same to the tracker. Formats without a luma plane (RGB, packed, big-endian)
go through swscale.
"""

from __future__ import annotations

import re
from functools import cache

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

_LUMA_FIRST = re.compile(r"(yuv[aj]?4\d\dp|gray|nv|p)\d*(le)?")  # planar or semi-planar, little-endian
_HIGH_BITS = re.compile(r"p[024]1\d(le)?")  # formats that keep their 10 or 12 bits at the upper end of 16
_THREADS = 1  # swscale's threads overwrite the beginning of each other's lines now and then (libswscale 9.5)


def luminance_of_frame(frame: av.VideoFrame) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Take the luminance of a decoded frame.

    Returns
    -------
    ndarray of shape (H, W), C-contiguous
        uint8 if the format stores 8 bits, else float32; 0..255, before rotation.
    """
    name, bits = frame.format.name, frame.format.components[0].bits
    plane = frame.planes[0]
    if not _LUMA_FIRST.fullmatch(name) or plane.line_size <= 0:
        grey = "gray" if bits <= 8 else "gray16le"
        frame = frame.reformat(format=grey, dst_color_range=ColorRange.JPEG, threads=_THREADS)
        return _stretch(_first_plane(frame, 2 if bits > 8 else 1), 8 if bits <= 8 else 16, True)
    luma = _first_plane(frame, 2 if bits > 8 else 1)
    if _HIGH_BITS.fullmatch(name):
        luma = luma >> np.uint16(16 - bits)
    return _stretch(luma, bits, _is_full_range(frame))


def rgb_of_frame(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Convert a decoded frame to RGB, uint8 of shape (H, W, 3), before rotation."""
    source = ColorRange.JPEG if _is_full_range(frame) else ColorRange.MPEG
    rgb = frame.reformat(format="rgb24", src_color_range=source, dst_color_range=ColorRange.JPEG, threads=_THREADS)
    return np.asarray(rgb.to_ndarray(), np.uint8)


def rotate(pixels: NDArray, quarter_turns: int) -> NDArray:
    """Turn a picture counterclockwise by quarters; the result is C-contiguous."""
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns % 4 else pixels


def _first_plane(frame: av.VideoFrame, n_bytes: int) -> NDArray:
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
        : frame.height, : frame.width * n_bytes
    ]
    return rows if n_bytes == 1 else rows.view("<u2")


def _is_full_range(frame: av.VideoFrame) -> bool:
    name = frame.format.name
    if name.startswith("yuvj") or frame.format.is_rgb:
        return True
    if name.startswith("gray"):  # full unless said otherwise, as swscale takes it
        return frame.color_range != ColorRange.MPEG
    return frame.color_range == ColorRange.JPEG


def _stretch(luma: NDArray, bits: int, full_range: bool) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Copy a luma plane into an array of its own, in 0..255."""
    if bits <= 8:
        return luma.copy() if full_range else cv2.LUT(luma, _limited_table())
    step = 1 << (bits - 8)
    black, white = (0, (1 << bits) - 1) if full_range else (16 * step, 235 * step)
    result = luma.astype(np.float32)
    result -= np.float32(black)
    result *= np.float32(255 / (white - black))
    return np.clip(result, 0, 255, out=result)


@cache
def _limited_table() -> NDArray[np.uint8]:
    return np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
