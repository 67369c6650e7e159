"""Image sequences: frames that are files of their own, found from a folder, a pattern or one of the frames."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import still
from .base import Footage, Frame
from .numbering import NumberedFiles, find_sequences, match_pattern, natural_order
from .picture_header import PictureHeader

EXR_SUFFIXES = frozenset({".exr"})
SUFFIXES = still.SUFFIXES | EXR_SUFFIXES
# Pictures that artists have and that are not read here: named, so that a folder of them is not called empty.
_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".ari")
_OTHER = (".dpx", ".cin", ".tga", ".hdr", ".psd", ".gif", ".jp2", ".j2k", ".jxl", ".avif", ".heic", ".heif", ".ppm")
UNREADABLE_SUFFIXES = frozenset((*_RAW, *_OTHER))
_VIDEO_SUFFIXES = frozenset((".mov", ".mp4", ".m4v", ".mkv", ".avi", ".webm", ".mxf", ".mts", ".m2ts", ".mpg", ".ts"))
_CONVERT = "convert the frames to EXR, PNG, TIFF or JPEG"
_DEFAULT_RATE = 24.0
# A second sequence with less than this share of the biggest one's frames is a leftover (thumbnails, references).
_RIVAL_SHARE = 0.25


class FrameReader(Protocol):
    """Reads the files of one format; every method raises InputError."""

    def header(self, path: Path) -> PictureHeader: ...

    def luminance(self, path: Path) -> NDArray[np.uint8] | NDArray[np.float32]: ...

    def rgb(self, path: Path) -> NDArray[np.uint8]: ...

    def level(self, path: Path) -> NDArray[np.float32]: ...

    def alpha(self, path: Path) -> NDArray[np.float32]: ...


class SequenceFootage(Footage):
    """An image sequence, or a single still.

    Parameters
    ----------
    path : Path, as the user gave it
    name : str
    files : sequence of Path, one a frame
    numbers : sequence of int, rising

    Raises
    ------
    InputError
        If a header cannot be read or the frames differ in size.
    """

    def __init__(self, *, path: Path, name: str, files: Sequence[Path], numbers: Sequence[int]) -> None:
        self._files = list(files)
        self._reader = _reader_for(self._files[0])
        first = self._reader.header(self._files[0])
        rate = first.frame_rate
        super().__init__(
            name=name,
            path=path,
            first_file=self._files[0],
            kind="sequence",
            size=first.size,
            frame_rate=rate or _DEFAULT_RATE,
            frame_rate_known=rate is not None,
            frame_numbers=np.asarray(numbers, np.int64),
            bit_depth=first.bit_depth,
            pixel_aspect=first.pixel_aspect,
            metadata=first.metadata,
        )
        if self._files[0].suffix.lower() not in {".bmp", ".webp"}:  # whose headers are not read without the picture
            for file in self._files[1:]:
                self._check_size(file, self._reader.header(file).size)

    def frame_metadata(self, index: int) -> dict[str, object]:
        """Return what the header of frame `index` says, with the names of `metadata`; raises InputError."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} does not lie in a clip of {len(self)} frames")
        return self._reader.header(self._files[index]).metadata

    def _decode(self, start: int, stop: int) -> Generator[Frame]:
        first = int(self.frame_numbers[0])
        for index in range(start, stop):
            pixels = self._reader.luminance(self._files[index])
            self._check_size(self._files[index], (pixels.shape[1], pixels.shape[0]))
            number = int(self.frame_numbers[index])
            yield Frame(index=index, number=number, time=(number - first) / self.frame_rate, pixels=pixels)

    def _decode_levels(self, start: int) -> Generator[NDArray[np.float32]]:
        return self._decode_planes(self._reader.level, start)

    def _decode_alphas(self, start: int) -> Generator[NDArray[np.float32]]:
        return self._decode_planes(self._reader.alpha, start)

    def _decode_planes(self, read: Callable[[Path], NDArray[np.float32]], start: int) -> Generator[NDArray[np.float32]]:
        for file in self._files[start:]:
            pixels = read(file)
            self._check_size(file, (pixels.shape[1], pixels.shape[0]))
            yield pixels

    def _decode_colour(self, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
        for index in indices:
            pixels = self._reader.rgb(self._files[index])
            self._check_size(self._files[index], (pixels.shape[1], pixels.shape[0]))
            yield np.ascontiguousarray(pixels)

    def _check_size(self, file: Path, size: tuple[int, int]) -> None:
        if size != self.size:
            raise InputError(
                f"{file} is {size[0]}x{size[1]} pixels while {self.first_file.name} is {self.size[0]}x{self.size[1]}: "
                "all frames of a shot must have one size."
            )


def open_folder(folder: Path) -> SequenceFootage:
    """Open the one image sequence, or the set of stills, that a folder holds; raises InputError."""
    files = _list_files(folder)
    pictures = [name for name in files if _suffix(name) in SUFFIXES]
    if not pictures:
        raise InputError(_why_no_pictures(folder, files))
    sequences = [found for found in find_sequences(pictures) if found.is_dense]
    if 2 * sum(len(found.names) for found in sequences) < len(pictures):  # mostly names that nobody numbered
        stills = sorted(pictures, key=natural_order)
        if len({_suffix(name) in EXR_SUFFIXES for name in stills}) > 1:
            raise InputError(f"{folder} holds EXR files beside other pictures: leave one kind in it.")
        paths = [folder / name for name in stills]
        return SequenceFootage(path=folder, name=_folder_name(folder), files=paths, numbers=range(1, len(paths) + 1))
    rivals = [found for found in sequences if len(found.names) >= _RIVAL_SHARE * len(sequences[0].names)]
    if len(rivals) > 1:
        named = ", ".join(f"{found.pattern} ({len(found.names)} frames)" for found in rivals[:4])
        more = f" and {len(rivals) - 4} more" if len(rivals) > 4 else ""
        raise InputError(f"{folder} holds several image sequences: {named}{more}; choose one by its pattern.")
    return _open_numbered(folder, rivals[0], path=folder, name=_folder_name(folder))


def open_pattern(path: Path) -> SequenceFootage:
    """Open the frames of a `shot.####.exr` or `shot.%04d.exr` pattern; raises InputError."""
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder: check the path of the pattern {path.name}.")
    found = match_pattern(path.name, _list_files(path.parent))
    if found is None:
        raise InputError(f"No file in {path.parent} matches {path.name}: check the name and the number of digits.")
    _check_readable(path.parent / found.names[0])
    return _open_numbered(path.parent, found, path=path, name=found.title or _folder_name(path.parent))


def open_frame(path: Path) -> SequenceFootage:
    """Open the sequence that a frame belongs to, or the picture alone where it belongs to none; raises InputError."""
    _check_readable(path)
    alike = [name for name in _list_files(path.parent) if _suffix(name) == _suffix(path.name)]
    for found in find_sequences(alike):
        if path.name in found.names and found.is_dense:
            return _open_numbered(path.parent, found, path=path, name=found.title or _folder_name(path.parent))
    return SequenceFootage(path=path, name=path.stem, files=[path], numbers=[1])


def is_picture_name(name: str) -> bool:
    """Whether a file's name is that of a picture, readable here or not."""
    return _suffix(name) in SUFFIXES | UNREADABLE_SUFFIXES


def _open_numbered(folder: Path, found: NumberedFiles, *, path: Path, name: str) -> SequenceFootage:
    return SequenceFootage(path=path, name=name, files=[folder / file for file in found.names], numbers=found.numbers)


def _reader_for(path: Path) -> FrameReader:
    if _suffix(path.name) in EXR_SUFFIXES:
        from .exr import ExrReader  # the OpenEXR library is only loaded for those who need it

        return ExrReader(path)
    return still.StillReader(path)


def _list_files(folder: Path) -> list[str]:
    """Names of the folder's files, without hidden ones (such as the `._` files that macOS leaves on shares)."""
    try:
        return [entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file()]
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}): check its permissions.") from error


def _check_readable(path: Path) -> None:
    suffix = _suffix(path.name)
    if suffix not in SUFFIXES:
        raise InputError(f"{path.name}: {suffix[1:].upper() or 'such'} files cannot be read; {_CONVERT}.")


def _why_no_pictures(folder: Path, files: list[str]) -> str:
    unreadable = sorted({_suffix(name) for name in files} & UNREADABLE_SUFFIXES)
    videos = [name for name in files if _suffix(name) in _VIDEO_SUFFIXES]
    if unreadable:
        return f"{folder} holds {unreadable[0][1:].upper()} files, which cannot be read: {_CONVERT}."
    if videos:
        return f"{folder} holds no frames but a video: choose the file {videos[0]} itself."
    if files:
        return f"{folder} holds no pictures: choose a folder with EXR, PNG, TIFF or JPEG frames."
    return f"{folder} is empty: choose a folder with EXR, PNG, TIFF or JPEG frames."


def _folder_name(folder: Path) -> str:
    return folder.resolve().name or "footage"


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()
