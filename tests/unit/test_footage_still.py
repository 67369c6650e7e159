"""Luminance and colour of still pictures against what was written."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.errors import InputError
from solver.footage import Frame, open_footage
from solver.footage.colour import display_encode, exposure_for
from tests.unit.footage_files import HEIGHT, WIDTH, corner_marks, texture, write_picture

GREY_WEIGHTS = np.array([0.114, 0.587, 0.299])  # of B, G, R, Rec. 601


def read(path: Path) -> Frame:
    return next(open_footage(path).luminance())


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_eight_bit_pictures_keep_their_luminance(tmp_path: Path, suffix: str, channels: int) -> None:
    picture = texture(3, (HEIGHT, WIDTH, channels))
    if channels == 4:
        picture[..., 3] = 255 - picture[..., 3] // 2
    stored = picture[..., 0] if channels == 1 else picture
    path = tmp_path / f"a{suffix}"
    path.write_bytes(cv2.imencode(suffix, stored, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())
    footage = open_footage(path)
    frame = next(footage.luminance())
    expected = stored if channels == 1 else picture[..., :3] @ GREY_WEIGHTS
    assert frame.pixels.dtype == np.uint8 and footage.bit_depth == 8
    assert np.abs(frame.pixels - expected).max() <= 1.01
    shown = footage.image(0)
    assert np.array_equal(shown, np.dstack([stored] * 3) if channels == 1 else picture[..., 2::-1])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_pictures_keep_their_bits(tmp_path: Path, suffix: str, channels: int) -> None:
    picture = texture(4, (HEIGHT, WIDTH, channels), 65535)
    stored = picture[..., 0] if channels == 1 else picture
    write_picture(tmp_path / f"a{suffix}", stored)
    footage = open_footage(tmp_path / f"a{suffix}")
    frame = next(footage.luminance())
    expected = (stored if channels == 1 else picture[..., :3] @ GREY_WEIGHTS) / 257
    assert frame.pixels.dtype == np.float32 and footage.bit_depth == 16
    assert np.abs(frame.pixels - expected).max() < 0.03  # 1/10 of an 8-bit step
    shown = footage.image(0).astype(float)
    reference = np.dstack([stored] * 3) if channels == 1 else picture[..., 2::-1]
    assert np.abs(shown - reference / 257).max() <= 1.0


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("sampling", ["411", "420", "422", "440", "444", "grey"])
def test_jpeg_luminance_is_that_of_the_reference_decoder(tmp_path: Path, sampling: str, progressive: int) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    options += [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    if sampling != "grey":
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")]
    picture = texture(5, (HEIGHT, WIDTH) if sampling == "grey" else (HEIGHT, WIDTH, 3))
    data = cv2.imencode(".jpg", picture, options)[1]
    (tmp_path / "a.jpg").write_bytes(data.tobytes() + b"appended by the camera \xff\xd9")
    frame = read(tmp_path / "a.jpg")
    assert frame.pixels.dtype == np.uint8
    reference = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert np.abs(frame.pixels.astype(int) - reference).max() <= 2  # two inverse cosine transforms
    assert abs(frame.pixels.mean() - reference.mean()) < 0.05
    shown = open_footage(tmp_path / "a.jpg").image(0).astype(int)
    colour = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(shown - colour).mean(axis=(0, 1)).max() < (12 if sampling in ("411", "420", "422", "440") else 1)


def test_a_jpeg_that_libav_does_not_decode_to_luma_is_read_all_the_same(tmp_path: Path) -> None:
    """RGB stored as such, with an Adobe segment that says so."""
    picture = texture(5, (HEIGHT, WIDTH, 3))
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    data = cv2.imencode(".jpg", picture, options)[1].tobytes()
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    jfif_end = 4 + int.from_bytes(data[4:6], "big")
    (tmp_path / "a.jpg").write_bytes(data[:2] + adobe + data[jfif_end:])
    grey = read(tmp_path / "a.jpg").pixels
    reference = cv2.imdecode(np.frombuffer(data[:2] + adobe + data[jfif_end:], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.abs(grey.astype(int) - reference).max() <= 2


def test_floating_point_tiff_is_linear_light(tmp_path: Path) -> None:
    linear = texture(6, (HEIGHT, WIDTH, 3)).astype(np.float32) / 40
    plain = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
    for number in (1, 2):
        (tmp_path / f"a_{number}.tif").write_bytes(cv2.imencode(".tif", linear * number, plain)[1].tobytes())
    footage = open_footage(tmp_path)
    luminance = linear @ np.array([0.0722, 0.7152, 0.2126], np.float32)
    exposure = exposure_for(luminance)
    one, two = (frame.pixels for frame in footage.luminance())
    assert footage.bit_depth == 32 and one.dtype == np.float32
    assert one == pytest.approx(display_encode(luminance, exposure), abs=1e-3)
    assert two == pytest.approx(display_encode(2 * luminance, exposure), abs=1e-3)
    assert np.abs(footage.image(1) - display_encode(2 * linear[..., ::-1], exposure)).max() <= 0.51
    later = open_footage(tmp_path)
    assert next(later.luminance(1)).pixels == pytest.approx(two, abs=1e-3)


def _exif(width: int) -> bytes:
    """A little-endian EXIF block as cameras write it: one directory, with one for the picture behind it."""
    entries = {
        0x829D: (5, 1, struct.pack("<II", 28, 10)),
        0x9206: (5, 1, struct.pack("<II", 0xFFFFFFFF, 0)),
        0x920A: (5, 1, struct.pack("<II", 350, 10)),
        0xA405: (3, 1, struct.pack("<HH", 52, 0)),
        0xA002: (4, 1, struct.pack("<I", width)),
        0xA20E: (5, 1, struct.pack("<II", width * 10, 9)),  # pixels a centimetre
        0xA210: (3, 1, struct.pack("<HH", 3, 0)),
    }

    def directory(offset: int, items: dict[int, tuple[int, int, bytes]]) -> bytes:
        place, body, tail = offset + 2 + 12 * len(items) + 4, b"", b""
        for tag, (kind, count, value) in sorted(items.items()):
            inline = value if len(value) <= 4 else struct.pack("<I", place + len(tail))
            tail += b"" if len(value) <= 4 else value
            body += struct.pack("<HHI", tag, kind, count) + inline.ljust(4, b"\0")
        return struct.pack("<H", len(items)) + body + struct.pack("<I", 0) + tail

    first = {0x0110: (2, 6, b"EOS X\0"), 0x0112: (3, 1, struct.pack("<HH", 6, 0)), 0x8769: (4, 1, b"\0\0\0\0")}
    length = len(directory(8, first))
    first[0x8769] = (4, 1, struct.pack("<I", 8 + length))
    return b"II*\0" + struct.pack("<I", 8) + directory(8, first) + directory(8 + length, entries)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _with_exif(path: Path, picture: NDArray) -> None:
    data = cv2.imencode(path.suffix, picture)[1].tobytes()
    block = _exif(picture.shape[1])
    if path.suffix == ".png":
        path.write_bytes(data[:33] + _chunk(b"eXIf", block) + data[33:])
    else:
        segment = b"Exif\0\0" + block
        path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:])


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_says_what_the_lens_was_but_does_not_turn_the_picture(tmp_path: Path, suffix: str) -> None:
    _with_exif(tmp_path / f"a{suffix}", corner_marks())
    footage = open_footage(tmp_path / f"a{suffix}")
    assert footage.metadata == {
        "camera_model": "EOS X",
        "aperture": pytest.approx(2.8),
        "focal_length_mm": pytest.approx(35.0),
        "focal_length_35mm": 52.0,
        "sensor_width_mm": pytest.approx(9.0),
    }
    assert footage.frame_metadata(0) == footage.metadata
    assert footage.size == (WIDTH, HEIGHT)
    assert abs(int(footage.image(0)[5, -5, 0]) - 90) <= 2  # the top right quarter is still there
    assert abs(int(next(footage.luminance()).pixels[5, -5]) - 90) <= 2


def test_a_profile_that_libpng_dislikes_stays_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = cv2.imencode(".png", texture(1, (HEIGHT, WIDTH, 3)))[1].tobytes()
    packed = _chunk(b"iCCP", b"bad\0\0" + zlib.compress(b"no profile at all"))
    packed += _chunk(b"gAMA", struct.pack(">I", 100000))
    (tmp_path / "a.png").write_bytes(data[:33] + packed + data[33:])
    (tmp_path / "b.png").write_bytes(data)
    assert np.array_equal(read(tmp_path / "a.png").pixels, read(tmp_path / "b.png").pixels)
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_made_by_libav_is_read(tmp_path: Path) -> None:
    """A second encoder, so that the reader does not only know OpenCV's files; odd size."""
    picture = texture(7, (45, 71))
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.color_range = 71, 45, "yuvj420p", 2
    encoder.options, encoder.time_base, encoder.framerate = {"qmin": "1", "qmax": "1"}, Fraction(1, 25), 25
    rgb = av.VideoFrame.from_ndarray(np.dstack([picture] * 3), format="rgb24").reformat(format="yuvj420p", threads=1)
    packets = encoder.encode(rgb) + encoder.encode(None)
    (tmp_path / "a.jpg").write_bytes(b"".join(bytes(packet) for packet in packets))
    grey = read(tmp_path / "a.jpg").pixels
    assert grey.shape == (45, 71)
    assert np.abs(grey.astype(int) - picture).max() <= 12 and np.abs(grey.astype(int) - picture).mean() < 1.5


def test_files_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".tif", ".bmp", ".webp"):
        path = tmp_path / f"a{suffix}"
        path.write_text("this is a text, whatever its name says\n" * 20)
        with pytest.raises(InputError, match="is not a picture"):
            open_footage(path)
        path.write_bytes(b"")
        with pytest.raises(InputError, match="is empty"):
            open_footage(path)
