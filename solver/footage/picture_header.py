"""Headers of PNG, JPEG and TIFF files, read without decoding the picture.

Two uses: comparing the sizes of all frames of a shot when it is opened costs a few small reads a file, and a file that
is cut short or damaged is refused before it reaches a decoder, which would complain on stderr or fill in grey.

References
----------
W3C, Portable Network Graphics (Third Edition), section 5; ITU-T T.81, annex B; Adobe, TIFF 6.0, section 8.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from .exif import Tags, camera_metadata, read_tags

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
TIFF_STARTS = (b"II*\0", b"MM\0*")
# The chunks that make the picture. Colour profiles, text and animation stay out of the decoder: they do not change the
# stored values, and libpng warns about profiles that it dislikes.
_PNG_PICTURE = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers
_JPEG_BARE = set(range(0xD0, 0xDA))  # markers without a length, which have no place before the coded picture
_JPEG_NOTES = {0xFE, *range(0xE1, 0xEE), 0xEF}  # comments and metadata; JFIF (E0) and Adobe (EE) say how to decode
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_OFFSETS, _TIFF_COUNTS = 256, 257, 258, (273, 324), (279, 325)


class DamagedFile(Exception):
    """The file's structure is broken; the message completes the sentence "frame.png is ..."."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHeader:
    """What a frame's header says.

    Attributes
    ----------
    size : (width, height) in pixels
    bit_depth : int, bits a channel
    pixel_aspect : float
    frame_rate : float or None where the header does not say
    metadata : dict, see `Footage.metadata`
    """

    size: tuple[int, int]
    bit_depth: int
    pixel_aspect: float = 1.0
    frame_rate: float | None = None
    metadata: dict[str, object] = field(default_factory=dict)


def read_header(file: BinaryIO) -> PictureHeader | None:
    """Read the header of a PNG, JPEG or TIFF file.

    Returns
    -------
    PictureHeader, or None for another format

    Raises
    ------
    DamagedFile
        If the file starts like one of them and its header is broken.
    """
    start = file.read(8)
    file.seek(0)
    if start == PNG_START:
        return _png_header(file)
    if start.startswith(JPEG_START):
        return _jpeg_header(file)
    if start.startswith(TIFF_STARTS):
        return _tiff_header(file)
    return None


def sound_png(data: bytes) -> bytes:
    """Check every chunk of a PNG file against its checksum and return a file with the chunks of the picture only.

    Raises
    ------
    DamagedFile
        If a chunk is missing, cut short or changed.
    """
    view, position, picture = memoryview(data), len(PNG_START), [PNG_START]
    while position + 12 <= len(data):
        length = int.from_bytes(view[position : position + 4], "big")
        kind, end = bytes(view[position + 4 : position + 8]), position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise DamagedFile("damaged")
        if kind in _PNG_PICTURE:
            picture.append(bytes(view[position:end]))
        if kind == b"IEND":
            return b"".join(picture)
        position = end
    raise DamagedFile("cut short")


def sound_jpeg(data: bytes) -> bytes:
    """Return the first picture of a JPEG file, without metadata and without what cameras append to it.

    Raises
    ------
    DamagedFile
        If the end is missing.
    """
    scan = _jpeg_scan(io.BytesIO(data))
    end = data.find(b"\xff\xd9", scan.picture)  # in the coded picture every ff is followed by 00 or a restart marker
    if end < 0:
        raise DamagedFile("cut short")
    return b"".join([data[:2], *(data[a:b] for a, b in scan.tables), data[scan.tables[-1][1] : end + 2]])


def sound_tiff(data: bytes) -> bytes:
    """Return the file if all strips or tiles of its first picture lie inside it.

    Raises
    ------
    DamagedFile
        If they do not.
    """
    tags = read_tags(io.BytesIO(data))
    for offsets_tag, counts_tag in zip(_TIFF_OFFSETS, _TIFF_COUNTS, strict=True):
        offsets, counts = tags.get(offsets_tag), tags.get(counts_tag)
        if isinstance(offsets, list) and isinstance(counts, list) and offsets and len(offsets) == len(counts):
            if max(offset + count for offset, count in zip(offsets, counts, strict=True)) > len(data):
                raise DamagedFile("cut short")
            return data
    raise DamagedFile("damaged")


def _png_header(file: BinaryIO) -> PictureHeader:
    head = file.read(33)
    if len(head) < 33 or head[12:16] != b"IHDR" or zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        raise DamagedFile("damaged")
    width, height, bits = struct.unpack(">IIB", head[16:25])
    return PictureHeader(size=(width, height), bit_depth=max(bits, 8), metadata=camera_metadata(_png_exif(file)))


def _png_exif(file: BinaryIO) -> Tags:
    """The eXIf chunk, if one stands before the picture."""
    while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            return read_tags(io.BytesIO(file.read(length)))
        file.seek(length + 4, io.SEEK_CUR)
    return {}


def _jpeg_header(file: BinaryIO) -> PictureHeader:
    scan = _jpeg_scan(file)
    metadata = camera_metadata(read_tags(io.BytesIO(scan.exif)))
    return PictureHeader(size=scan.size, bit_depth=scan.bits, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class _JpegScan:
    """What stands before a JPEG's coded picture, which starts at byte `picture`."""

    size: tuple[int, int]
    bits: int
    exif: bytes
    tables: list[tuple[int, int]]  # byte ranges of the segments that a decoder needs, the last one's end is `picture`
    picture: int


def _jpeg_scan(file: BinaryIO) -> _JpegScan:
    """Walk the segments up to the coded picture."""
    file.seek(2)
    size, bits, exif = (0, 0), 8, b""
    tables: list[tuple[int, int]] = []
    while True:
        if file.read(1) != b"\xff":
            raise DamagedFile("damaged")
        while (code := file.read(1)) == b"\xff":  # fill bytes may stand before a marker's code
            pass
        begin, length_bytes = file.tell() - 2, file.read(2)
        if len(length_bytes) < 2:
            raise DamagedFile("cut short")
        marker, length = code[0], int.from_bytes(length_bytes, "big") - 2
        if length < 0 or marker < 0xC0 or marker in _JPEG_BARE:
            raise DamagedFile("damaged")
        content = file.read(length) if marker in _JPEG_FRAMES or marker == 0xE1 else b""
        file.seek(begin + 4 + length)
        if marker in _JPEG_FRAMES and len(content) >= 5:
            bits, height, width = struct.unpack(">BHH", content[:5])
            size = (width, height)
        elif marker == 0xE1 and content.startswith(b"Exif\0\0") and not exif:
            exif = content[6:]
        if marker not in _JPEG_NOTES:
            tables.append((begin, file.tell()))
        if marker == 0xDA:
            if 0 in size:
                raise DamagedFile("damaged")
            return _JpegScan(size=size, bits=bits, exif=exif, tables=tables, picture=file.tell())


def _tiff_header(file: BinaryIO) -> PictureHeader:
    tags = read_tags(file)
    width, height, bits = (tags.get(tag) for tag in (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS))
    if not (isinstance(width, list) and isinstance(height, list) and width and height and width[0] * height[0]):
        raise DamagedFile("damaged")
    depth = int(bits[0]) if isinstance(bits, list) and bits else 1
    return PictureHeader(size=(int(width[0]), int(height[0])), bit_depth=max(depth, 8), metadata=camera_metadata(tags))
