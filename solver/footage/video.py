"""Video files, decoded by libav with its frame threads.

The number of frames is known before decoding (see `video_index`), so that a file that is cut short is refused when it
is opened. Decoding stops at the first frame that cannot be decoded: to go on would shift all later ones. A frame that
the decoder could patch is passed on and noted in `damaged_frames`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..errors import InputError
from .base import Footage, Frame, no_alpha
from .camera_names import rename_attributes
from .luma import luminance_of_frame, rgb_of_frame, rotate
from .video_index import read_index, scan_packets

_N_THREADS = min(os.cpu_count() or 1, 8)  # each of the decoder's threads holds frames of its own
_MAX_PIXELS = 1 << 28  # a limit to what a broken header makes the decoder allocate
_DEFAULT_RATE = 24.0
_REMEDY = "copy or export it again, or convert it to an image sequence"
_ENOUGH_STAMPS, _RATE_TOLERANCE = 5, 0.02  # Matroska rounds times to a thousandth of a second
_SEEK_OVER = 48  # this many frames are decoded sooner than jumped over


class VideoFootage(Footage):
    """A video file.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    damaged_frames : set of int
        Numbers of the frames decoded so far whose picture is incomplete and was patched by the decoder.

    Raises
    ------
    InputError
        If the file has no video, cannot be decoded or is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged_frames: set[int] = set()
        file_size = path.stat().st_size
        if file_size == 0:
            raise InputError(f"{path} is empty: {_REMEDY}.")
        with self._open() as (container, stream):
            index = read_index(container, stream, file_size)
            whole = index.n_frames >= index.n_announced
            first = self._first_frame(container, stream) if whole and index.is_from_header else None
            metadata = rename_attributes(dict(stream.metadata) | dict(container.metadata))
            rate = _frame_rate(stream, index.time_stamps)
            aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        if not whole:
            raise InputError(
                f"{path} is cut short: {index.n_frames} of {index.n_announced} frames are in the file; {_REMEDY}."
            )
        if first is None:  # the packets were read to count them
            with self._open() as (container, stream):
                first = self._first_frame(container, stream)
        self._turns = round(first.rotation / 90) % 4
        self._stored_size = (first.width, first.height)
        self._first_time = first.time or 0.0
        self._time_stamps = index.time_stamps
        n_frames = index.n_frames
        if not index.is_exact or first.interlaced_frame:
            n_frames = self._count_by_decoding()
        metadata.pop("frame_rate", None)  # the camera's, which slow motion does not play at
        if first.interlaced_frame:
            metadata["interlaced"] = True
        pixel_aspect = float(aspect) if aspect and 0.01 < aspect < 100 else 1.0
        lying = self._turns % 2 == 1
        super().__init__(
            name=path.stem,
            path=path,
            first_file=path,
            kind="video",
            size=self._stored_size[::-1] if lying else self._stored_size,
            frame_rate=rate or _DEFAULT_RATE,
            frame_rate_known=bool(rate),
            frame_numbers=np.arange(1, n_frames + 1, dtype=np.int64),
            bit_depth=max(first.format.components[0].bits, 8),
            pixel_aspect=1 / pixel_aspect if lying else pixel_aspect,
            metadata=metadata,
        )

    def _decode(self, start: int, stop: int) -> Generator[Frame]:
        for index, decoded in self._numbered(start, stop):
            if decoded.is_corrupt:
                self.damaged_frames.add(index + 1)
            time = index / self.frame_rate if decoded.time is None else decoded.time - self._first_time
            pixels = rotate(luminance_of_frame(decoded), self._turns)
            yield Frame(index=index, number=index + 1, time=float(time), pixels=pixels)

    def _decode_alphas(self, start: int) -> Generator[NDArray[np.float32]]:
        for _, decoded in self._numbered(start, len(self)):
            if not any(component.is_alpha for component in decoded.format.components):
                raise no_alpha(self.path)
            rgba = decoded.reformat(format="rgba").to_ndarray()
            yield rotate(rgba[..., 3] * np.float32(1 / 255), self._turns)

    def _decode_colour(self, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
        wanted = set(indices)
        if wanted:
            for index, decoded in self._numbered(indices[0], indices[-1] + 1):
                if index in wanted:
                    yield rotate(rgb_of_frame(decoded), self._turns)

    def _numbered(self, start: int, stop: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames `start` to `stop` with their indices; raises InputError if there are fewer."""
        if start > _SEEK_OVER:
            jumped = self._after_jump(start)
            landed = next(jumped, None)
            if landed is not None and landed[0] <= start:
                yield from self._cut(chain([landed], jumped), start, stop)
                return
            jumped.close()
        with self._open() as (container, stream):
            yield from self._cut(enumerate(self._decoded(stream, container)), start, stop)

    def _cut(
        self, frames: Iterator[tuple[int, av.VideoFrame]], start: int, stop: int
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        n_done = start
        for index, decoded in frames:
            if index >= stop:
                break
            if index >= start:
                if (decoded.width, decoded.height) != self._stored_size:
                    raise InputError(
                        f"{self.path}: frame {index + 1} is {decoded.width}x{decoded.height} pixels while the first is "
                        f"{self._stored_size[0]}x{self._stored_size[1]}: all frames of a shot must have one size."
                    )
                n_done = index + 1
                yield index, decoded
        if n_done < stop:
            raise InputError(f"{self.path} is damaged: only {n_done} of {len(self)} frames can be decoded; {_REMEDY}.")

    def _after_jump(self, start: int) -> Generator[tuple[int, av.VideoFrame]]:
        """Yield frames from the key frame before `start` on; nothing where the file does not allow to jump."""
        if not self._time_stamps:
            with self._open() as (container, stream):
                self._time_stamps = scan_packets(container, stream).time_stamps
        if len(self._time_stamps) != len(self):
            return
        index_of = {stamp: index for index, stamp in enumerate(self._time_stamps)}
        with self._open() as (container, stream):
            container.seek(self._time_stamps[start], stream=stream, backward=True)
            for decoded in self._decoded(stream, container):
                if decoded.pts in index_of:
                    yield index_of[decoded.pts], decoded

    def _count_by_decoding(self) -> int:
        with self._open() as (container, stream):
            return sum(1 for _ in self._decoded(stream, container))

    def _first_frame(self, container: InputContainer, stream: VideoStream) -> av.VideoFrame:
        first = next(self._decoded(stream, container, n_threads=1), None)  # more threads would decode more frames
        if first is None:
            raise InputError(f"{self.path} holds no frame that can be decoded: {_REMEDY}.")
        return first

    def _decoded(
        self, stream: VideoStream, container: InputContainer, n_threads: int = _N_THREADS
    ) -> Iterator[av.VideoFrame]:
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = n_threads
        n_done = 0
        try:
            for packet in container.demux(stream):
                for decoded in packet.decode():
                    yield decoded
                    n_done += 1
        except av.FFmpegError as error:
            raise InputError(
                f"{self.path} is damaged after {n_done} decoded frames ({error.strerror}): {_REMEDY}."
            ) from error

    @contextmanager
    def _open(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the file anew, at its start."""
        try:  # only files: a text that pretends to be a video may name other places to read from
            container = av.open(
                str(self.path.absolute()), options={"protocol_whitelist": "file"}, metadata_errors="replace"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{self.path} is not a video that can be read ({reason}): {_REMEDY}.") from error
        with container:
            yield container, self._video_stream(container)

    def _video_stream(self, container: InputContainer) -> VideoStream:
        for stream in container.streams.video:
            if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
                context = stream.codec_context
                if context is None:
                    raise InputError(f"{self.path} uses a codec that cannot be decoded: {_REMEDY}.")
                if not 0 < context.width * context.height <= _MAX_PIXELS:
                    raise InputError(f"{self.path} has no usable picture size: {_REMEDY}.")
                return stream
        what = "only sound" if container.streams.audio else "no video"
        raise InputError(f"{self.path} holds {what}: choose a video file or a folder of frames.")


def _frame_rate(stream: VideoStream, time_stamps: tuple[int, ...]) -> float | None:
    """The average rate that the file states, unless the time stamps of all frames contradict it (a variable rate)."""
    stated = stream.average_rate or stream.guessed_rate or stream.base_rate
    rate = float(stated) if stated else None
    if len(time_stamps) >= _ENOUGH_STAMPS and stream.time_base:
        measured = (len(time_stamps) - 1) / float((time_stamps[-1] - time_stamps[0]) * stream.time_base)
        if rate is None or abs(measured / rate - 1) > _RATE_TOLERANCE:
            rate = measured
    return rate
