"""A range of a clip's frames, as a clip of its own. The frames keep their numbers and their times."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import Footage, Frame


class FootagePart(Footage):
    """The frames `first` to `last` of another footage; their numbers stay what they are.

    Parameters
    ----------
    whole : Footage
    first, last : int
        Frame numbers, both included; numbers that do not exist are left out.

    Raises
    ------
    InputError
        If the footage has no frame in the range.
    """

    def __init__(self, whole: Footage, first: int, last: int) -> None:
        start, stop = (int(i) for i in np.searchsorted(whole.frame_numbers, (first, last + 1)))
        if start >= stop:
            raise InputError(
                f"The footage has no frame from {first} to {last}: its frames are {whole.frame_numbers[0]} to "
                f"{whole.frame_numbers[-1]}."
            )
        self._whole = whole
        self._start = start
        super().__init__(
            name=whole.name,
            path=whole.path,
            first_file=whole.file_of(start),
            kind=whole.kind,
            size=whole.size,
            frame_rate=whole.frame_rate,
            frame_rate_known=whole.frame_rate_known,
            frame_numbers=whole.frame_numbers[start:stop],
            bit_depth=whole.bit_depth,
            pixel_aspect=whole.pixel_aspect,
            metadata=whole.metadata,
        )

    def frame_metadata(self, index: int) -> dict[str, object]:
        """What frame `index` of the part itself says."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} does not lie in a clip of {len(self)} frames")
        return self._whole.frame_metadata(self._start + index)

    def file_of(self, index: int) -> Path:
        """The file that holds frame `index` of the part."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} does not lie in a clip of {len(self)} frames")
        return self._whole.file_of(self._start + index)

    def _decode(self, start: int, stop: int) -> Generator[Frame]:
        for frame in self._whole._decode(self._start + start, self._start + stop):
            yield replace(frame, index=frame.index - self._start)

    def _decode_levels(self, start: int) -> Generator[NDArray[np.float32]]:
        yield from islice(self._whole._decode_levels(self._start + start), len(self) - start)

    def _decode_alphas(self, start: int) -> Generator[NDArray[np.float32]]:
        yield from islice(self._whole._decode_alphas(self._start + start), len(self) - start)

    def _decode_colour(self, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
        return self._whole._decode_colour([self._start + index for index in indices])
