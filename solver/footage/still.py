"""Frames that are pictures of their own: PNG, JPEG, TIFF, BMP, WebP.

JPEG goes through libavcodec: its luma plane is the grey picture, and with strict error detection it refuses a damaged
file, where libjpeg prints to stderr and fills in grey. Everything else, and the rarer kinds of JPEG, goes through
OpenCV. Files are read here and decoded from memory, since OpenCV cannot open a non-ASCII path on Windows. An EXIF
orientation is not applied: Blender shows the frames of a sequence as they are stored.
"""

from __future__ import annotations

import io
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import no_alpha
from .colour import display_encode, exposure_for, luminance_of, make_usable
from .exif import read_tags
from .luma import luminance_of_frame, rgb_of_frame
from .picture_header import (
    JPEG_START,
    PNG_START,
    TIFF_STARTS,
    DamagedFile,
    PictureHeader,
    read_header,
    sound_jpeg,
    sound_png,
    sound_tiff,
)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".webp"})
# OpenCV writes what it dislikes to stderr. The level is the whole process's, and errors reach us as exceptions.
cv2.setLogLevel(0)
_STORED = cv2.IMREAD_IGNORE_ORIENTATION
_GREY = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | _STORED
_TIFF_SAMPLE_FORMAT, _FLOATING = 339, 3
_TIFF_COMPRESSION, _LOG_LUV = 259, (34676, 34677)
_SOUND = {PNG_START: sound_png, JPEG_START: sound_jpeg, TIFF_STARTS[0]: sound_tiff, TIFF_STARTS[1]: sound_tiff}


def read_file(path: Path) -> bytes:
    """Read a frame's file.

    Raises
    ------
    InputError
        If it cannot be read or is empty.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file and its permissions.") from error
    if not data:
        raise InputError(f"{path} is empty: copy or render this frame again.")
    return data


def damaged(path: Path, how: str) -> InputError:
    """The sentence for a frame that is "damaged" or "cut short"."""
    return InputError(f"{path} is {how}: copy or render this frame again.")


class StillReader:
    """Reads the frames of one shot; keeps the exposure of linear pictures (float TIFF), fixed by the first frame.

    Parameters
    ----------
    first : Path, the first frame
    """

    def __init__(self, first: Path) -> None:
        self._first = first
        self._exposure: float | None = None

    def header(self, path: Path) -> PictureHeader:
        """Read a frame's header; BMP and WebP are decoded for it.

        Raises
        ------
        InputError
            If the file is no picture or cannot be read.
        """
        try:
            with path.open("rb") as file:
                header = read_header(file)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}): check the file and its permissions."
            ) from error
        except DamagedFile as error:
            raise damaged(path, str(error)) from error
        if header is None:
            pixels = _decode(path, read_file(path), cv2.IMREAD_UNCHANGED)
            header = PictureHeader(size=(pixels.shape[1], pixels.shape[0]), bit_depth=8 * pixels.itemsize)
        return header

    def luminance(self, path: Path) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Decode a frame to (H, W), uint8 or float32 in 0..255; raises InputError."""
        data = _checked(path)
        if data.startswith(JPEG_START):
            frame = _decode_jpeg(path, data)
            if frame is not None:
                return luminance_of_frame(frame)
        grey = _decode(path, data, cv2.IMREAD_UNCHANGED if _is_linear(data) else _GREY)
        if grey.dtype == np.uint8:
            return grey
        if grey.dtype == np.uint16:
            return grey * np.float32(255 / 65535)
        return display_encode(_linear_luminance(grey), self._exposure_from(grey, path))

    def rgb(self, path: Path) -> NDArray[np.uint8]:
        """Decode a frame to (H, W, 3) uint8 display RGB; raises InputError."""
        data = _checked(path)
        if data.startswith(JPEG_START):
            frame = _decode_jpeg(path, data)
            if frame is not None:
                return rgb_of_frame(frame)
        if not _is_linear(data):
            return cv2.cvtColor(_decode(path, data, cv2.IMREAD_COLOR | _STORED), cv2.COLOR_BGR2RGB)
        stored = _decode(path, data, cv2.IMREAD_UNCHANGED)
        colour = np.dstack([stored] * 3) if stored.ndim == 2 else stored[..., 2::-1]
        linear = make_usable(np.ascontiguousarray(colour, dtype=np.float32))
        return np.rint(display_encode(linear, self._exposure_from(stored, path))).astype(np.uint8)

    def level(self, path: Path) -> NDArray[np.float32]:
        """Decode a frame's stored brightness to (H, W) float32, white 1, without exposure; raises InputError."""
        data = _checked(path)
        if _is_linear(data):
            return _linear_luminance(_decode(path, data, cv2.IMREAD_UNCHANGED))
        return np.asarray(self.luminance(path) * np.float32(1 / 255), dtype=np.float32)

    def alpha(self, path: Path) -> NDArray[np.float32]:
        """Decode a frame's alpha channel to (H, W) float32, opaque 1; raises InputError where it has none."""
        stored = _decode(path, _checked(path), cv2.IMREAD_UNCHANGED)
        if stored.ndim != 3 or stored.shape[2] != 4:
            raise no_alpha(path)
        plane = np.ascontiguousarray(stored[..., 3])
        if plane.dtype.kind == "f":
            return make_usable(plane.astype(np.float32))
        return np.asarray(plane * np.float32(1 / np.iinfo(plane.dtype).max), dtype=np.float32)

    def _exposure_from(self, stored: NDArray, path: Path) -> float:
        if self._exposure is None:
            if path != self._first:
                stored = _decode(self._first, _checked(self._first), cv2.IMREAD_UNCHANGED)
            self._exposure = exposure_for(_linear_luminance(stored))
        return self._exposure


def _checked(path: Path) -> bytes:
    """Read a file and check what its format lets one check before decoding."""
    data = read_file(path)
    for start, sound in _SOUND.items():
        if data.startswith(start):
            try:
                return sound(data)
            except DamagedFile as error:
                raise damaged(path, str(error)) from error
    return data


def _decode(path: Path, data: bytes, flags: int) -> NDArray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise damaged(path, "damaged, or of a kind that cannot be read") from error
    if pixels is None:
        known = any(data.startswith(start) for start in _SOUND)
        raise damaged(path, "damaged, or of a kind that cannot be read" if known else "not a picture")
    return pixels


def _decode_jpeg(path: Path, data: bytes) -> av.VideoFrame | None:
    """Decode strictly; None for kinds of JPEG without a luma plane (RGB, CMYK) or unknown to libavcodec."""
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    try:
        frames = decoder.decode(av.Packet(data))
    except av.error.PatchWelcomeError:
        return None
    except av.FFmpegError as error:
        raise damaged(path, "damaged") from error
    if not frames or frames[0].format.is_rgb or len(frames[0].format.components) not in (1, 3):
        return None
    return frames[0]


def _is_linear(data: bytes) -> bool:
    """Whether a file is a TIFF with floating point samples or LogLuv coding, which are linear light by custom."""
    if not data.startswith(TIFF_STARTS):
        return False
    tags = read_tags(io.BytesIO(data))
    sample_format, compression = tags.get(_TIFF_SAMPLE_FORMAT), tags.get(_TIFF_COMPRESSION)
    floating = isinstance(sample_format, list) and sample_format[:1] == [_FLOATING]
    return floating or (isinstance(compression, list) and compression[0] in _LOG_LUV)


def _linear_luminance(stored: NDArray) -> NDArray[np.float32]:
    """Luminance of an OpenCV picture of any channel count (BGR order)."""
    if stored.ndim == 2:
        return make_usable(stored.astype(np.float32))
    return make_usable(luminance_of(stored[..., 2], stored[..., 1], stored[..., 0]))
