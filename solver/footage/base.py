"""What every kind of footage offers: the numbers of a clip, and its frames one at a time.

A solve looks at each frame once, in order, and never needs two frames that lie far apart. So frames are decoded lazily,
in one background thread that runs at most `AHEAD` frames in front of whoever reads them: decoding overlaps with the
reader's own work, and memory does not depend on the length of the shot.
"""

from __future__ import annotations

import atexit
import queue
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

AHEAD = 2  # decoded frames that may wait for the reader; one more may be in the decoder's hands


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One frame's luminance.

    Attributes
    ----------
    index : int, 0 .. len(footage) - 1
    number : int, the frame's number in Blender and on disk
    time : float, seconds since the first frame (from the time stamps, where a video has a variable frame rate)
    pixels : ndarray of shape (H, W), C-contiguous, display-encoded
        uint8 for 8-bit sources, else float32 in 0..255.
    """

    index: int
    number: int
    time: float
    pixels: NDArray[np.uint8] | NDArray[np.float32]


@dataclass(kw_only=True, eq=False)
class Footage(ABC):
    """A clip: its properties, and its frames on request.

    Attributes
    ----------
    name : str, what files made from this clip are called
    path : Path, as given to `open_footage`
    first_file : Path, the video or the first frame: what Blender loads
    kind : "video" or "sequence"
    size : (width, height) in pixels, after the video's rotation flag
    frame_rate : float, frames a second; the average of a variable rate; 24 where nothing says it
    frame_rate_known : bool
    frame_numbers : ndarray of shape (F,), rising
    bit_depth : int, bits a channel (8, 10, 12, 16, 32)
    pixel_aspect : float, a pixel's width over its height
    metadata : dict of what the headers say, in plain Python values
        `focal_length_mm`, `focal_length_35mm`, `focus_distance_m`, `aperture`, `sensor_width_mm`, `camera_make`,
        `camera_model`, `lens_model` and others, each only where present.
    """

    name: str
    path: Path
    first_file: Path
    kind: Literal["video", "sequence"]
    size: tuple[int, int]
    frame_rate: float
    frame_rate_known: bool
    frame_numbers: NDArray[np.int64]
    bit_depth: int
    pixel_aspect: float = 1.0
    metadata: dict[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame_numbers)

    @property
    def missing_frames(self) -> NDArray[np.int64]:
        """Numbers between the first and the last frame that have no file, shape (M,)."""
        first, last = int(self.frame_numbers[0]), int(self.frame_numbers[-1])
        return np.setdiff1d(np.arange(first, last + 1, dtype=np.int64), self.frame_numbers)

    def luminance(self, start: int = 0, stop: int | None = None) -> Generator[Frame]:
        """Decode the frames `start` to `stop` (exclusive), each once, a little ahead of the reader.

        Parameters
        ----------
        start, stop : int, 0 <= start <= stop <= len(self); stop is the end by default

        Returns
        -------
        generator of Frame
            Closing it, or dropping it, stops the decoding.

        Raises
        ------
        ValueError
            If the range does not lie in the clip.
        InputError
            From the iterator, when a frame cannot be read.
        """
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"frames {start} to {stop} do not lie in a clip of {len(self)} frames")
        return _decode_ahead(self._decode(start, stop))

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return frame `index` as display RGB, uint8 of shape (H, W, 3); see `images`."""
        return next(self.images([index]))

    def images(self, indices: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
        """Decode some frames in colour, in ascending order, in one pass.

        Parameters
        ----------
        indices : iterable of int, 0 .. len(self) - 1

        Returns
        -------
        iterator of uint8 arrays of shape (H, W, 3), display RGB

        Raises
        ------
        IndexError
            If an index does not lie in the clip.
        InputError
            From the iterator, when a frame cannot be read.
        """
        wanted = sorted(set(indices))
        if wanted and not 0 <= wanted[0] <= wanted[-1] < len(self):
            raise IndexError(f"frames {wanted[0]} to {wanted[-1]} do not lie in a clip of {len(self)} frames")
        return self._decode_colour(wanted)

    def levels(self, start: int = 0) -> Generator[NDArray[np.float32]]:
        """Decode the brightness as it is stored, from frame `start` on, a little ahead of the reader.

        Returns
        -------
        generator of float32 arrays of shape (H, W)
            0 (black) to 1 (white), of EXR and floating point TIFF the value itself: no exposure and no curve, as
            mattes want to be read.
        """
        return _decode_ahead(self._decode_levels(start))

    def alphas(self, start: int = 0) -> Generator[NDArray[np.float32]]:
        """Decode the alpha channel, from frame `start` on, a little ahead of the reader.

        Returns
        -------
        generator of float32 arrays of shape (H, W)
            0 (transparent) to 1 (opaque).

        Raises
        ------
        InputError
            Where there is no alpha channel, or a frame cannot be read: at once or from the iterator.
        """
        return _decode_ahead(self._decode_alphas(start))

    def frame_metadata(self, index: int) -> dict[str, object]:
        """Return what frame `index` itself says, with the names of `metadata`; the clip's own for a video."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} does not lie in a clip of {len(self)} frames")
        return dict(self.metadata)

    @abstractmethod
    def _decode(self, start: int, stop: int) -> Generator[Frame]:
        """Yield the frames of a valid range; runs in the background thread."""

    def _decode_levels(self, start: int) -> Generator[NDArray[np.float32]]:
        """Yield the stored brightness from a valid index on; runs in the background thread."""
        for frame in self._decode(start, len(self)):
            yield frame.pixels * np.float32(1 / 255)

    def _decode_alphas(self, start: int) -> Generator[NDArray[np.float32]]:
        """Yield the alpha channel from a valid index on; runs in the background thread."""
        del start
        raise no_alpha(self.path)

    @abstractmethod
    def _decode_colour(self, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the RGB pictures of valid, rising indices."""


def no_alpha(path: Path) -> InputError:
    """The sentence for footage that was to bring its own matte."""
    return InputError(
        f"{path} has no alpha channel: choose a matte of its own, or export the footage with its alpha channel."
    )


_END = object()
_Item = TypeVar("_Item")


def _decode_ahead(frames: Generator[_Item]) -> Generator[_Item]:
    """Run a generator in a thread, `AHEAD` items in front of the reader; pass on its end or its exception."""
    waiting: queue.Queue[object] = queue.Queue(maxsize=AHEAD)
    stopped = threading.Event()

    def work() -> None:
        last: object = _END
        try:
            for frame in frames:
                waiting.put(frame)
                if stopped.is_set():
                    break
        except BaseException as error:  # noqa: BLE001  raised again in the reader's thread
            last = error
        finally:
            frames.close()  # closes the video in the thread that opened it
            waiting.put(last)

    thread = threading.Thread(target=work, name="footage decoding", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        while thread.is_alive() and not sys.is_finalizing():  # a finalizing interpreter has frozen the thread
            with suppress(queue.Empty):
                waiting.get(timeout=0.05)

    # a program that ends while a clip is open must not leave the decoder's own threads running under it
    atexit.register(stop)
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]
            del item
    finally:
        stop()
        atexit.unregister(stop)
