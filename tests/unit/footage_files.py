"""Small footage that the tests write themselves, with pixels that they know."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray

WIDTH, HEIGHT = 70, 46


def texture(seed: int = 0, shape: tuple[int, ...] = (HEIGHT, WIDTH), top: int = 255) -> NDArray:
    """Smooth noise over the whole range 0..top, unsigned integers."""
    noise = np.random.default_rng(seed).random(shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0).reshape(shape)
    low, high = smooth.min(), smooth.max()
    return np.rint((smooth - low) / (high - low) * top).astype(np.uint8 if top < 256 else np.uint16)


def corner_marks(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Four flat quarters, told apart by their brightness: 40 top left, 90 top right, 140 and 190 below."""
    picture = np.zeros((height, width), np.uint8)
    picture[: height // 2, : width // 2], picture[: height // 2, width // 2 :] = 40, 90
    picture[height // 2 :, : width // 2], picture[height // 2 :, width // 2 :] = 140, 190
    return picture


def write_pictures(folder: Path, names: Sequence[str], shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> list[NDArray]:
    """Write one textured 8-bit picture a name, in the format of its suffix; return the pictures (BGR if in colour)."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [texture(seed, shape) for seed in range(len(names))]
    for name, picture in zip(names, pictures, strict=True):
        write_picture(folder / name, picture)
    return pictures


def write_picture(path: Path, picture: NDArray) -> None:
    done, data = cv2.imencode(path.suffix, picture)
    assert done
    path.write_bytes(data.tobytes())


def write_exr(path: Path, channels: dict[str, NDArray], **header: object) -> None:
    attributes = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | header
    with OpenEXR.File(attributes, channels) as file:
        file.write(str(path))


def video_frame(luma: NDArray, pix_fmt: str = "yuv420p", full_range: bool = False) -> av.VideoFrame:
    """Make a frame whose luma plane holds exactly these values, with neutral colour."""
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], pix_fmt)
    neutral = 1 << (frame.format.components[0].bits - 1)
    for number, plane in enumerate(frame.planes):
        buffer = np.full(plane.buffer_size // luma.itemsize, neutral, luma.dtype)
        if number == 0:
            buffer.reshape(-1, plane.line_size // luma.itemsize)[: luma.shape[0], : luma.shape[1]] = luma
        plane.update(buffer)
    frame.color_range = 2 if full_range else 1
    return frame


def write_video(
    path: Path,
    frames: Sequence[av.VideoFrame],
    *,
    codec: str = "ffv1",
    rate: int = 25,
    times: Sequence[int] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    audio: bool = False,
    pixel_aspect: Fraction | None = None,
) -> None:
    """Encode frames; `times` are in thousandths of a second, 0, 1, 2, .. frames by default."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.bit_rate = 20_000_000  # the default is made for small moving pictures
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        stream.codec_context.color_range = frames[0].color_range
        stream.codec_context.time_base = Fraction(1, 1000) if times else Fraction(1, rate)
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=48000) if audio else None
        for index, frame in enumerate(frames):
            frame.pts = times[index] if times else index
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _add_sound(container, sound, 0.2)


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        _add_sound(container, container.add_stream("aac", rate=48000), 0.5)


def _add_sound(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    for index in range(int(seconds * 48000 / 1024)):
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate, samples.pts = 48000, 1024 * index
        container.mux(stream.encode(samples))
    container.mux(stream.encode(None))
