"""Footage: video files, image sequences and stills, read lazily and once, as luminance for the solver.

`open_footage` takes whatever an artist points at and returns a `Footage`.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError
from .base import Footage, Frame
from .numbering import format_ranges, is_pattern
from .part import FootagePart

__all__ = ["Footage", "Frame", "format_ranges", "open_footage", "part_of"]


def open_footage(path: str | os.PathLike[str], frames: tuple[int, int] | None = None) -> Footage:
    """Open a clip and check what can be checked without decoding it.

    Parameters
    ----------
    path : path of a video file, a folder of frames, a `shot.####.exr` or `shot.%04d.exr` pattern, or one frame of a
        sequence, which stands for the whole of it. A picture that belongs to no sequence is a clip of one frame.
    frames : (int, int) or None
        Numbers of the first and the last frame, both included; None for all.

    Returns
    -------
    Footage

    Raises
    ------
    InputError
        If there is no footage, or it cannot be read; the message is one sentence for the artist.
    """
    footage = _open_whole(Path(path))
    return footage if frames is None else part_of(footage, *frames)


def part_of(footage: Footage, first: int, last: int) -> Footage:
    """Return the frames `first` to `last` of a clip as a clip of its own; raises InputError where there are none."""
    return FootagePart(footage, first, last)


def _open_whole(path: Path) -> Footage:
    from . import sequence  # here, so that importing the package loads neither OpenCV nor libav

    try:
        if path.is_dir():
            return sequence.open_folder(path)
        if path.is_file():
            if sequence.is_picture_name(path.name):
                return sequence.open_frame(path)
            from .video import VideoFootage

            return VideoFootage(path)
        if is_pattern(path.name):
            return sequence.open_pattern(path)
        if path.exists():
            raise InputError(f"{path} is neither a file nor a folder: choose a video or a folder of frames.")
    except (OSError, ValueError) as error:  # a path that the system refuses: too long, a null character, no permission
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read ({reason}): check the path and its permissions.") from error
    raise InputError(f"{path} does not exist: check the path.")
