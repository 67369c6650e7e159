"""EXR: every layout gives the picture that was written, through one curve for the whole shot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray

from solver.errors import InputError
from solver.footage import open_footage
from solver.footage.colour import display_encode, exposure_for
from tests.unit.footage_files import HEIGHT, WIDTH, texture, write_exr

WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
COMPRESSIONS = ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB"]
LOSSLESS = {"NO", "RLE", "ZIPS", "ZIP", "PIZ"}


def linear_picture(seed: int = 0, top: float = 3.0) -> NDArray[np.float32]:
    """Smooth scene-linear light, (H, W, 3), in 0..top."""
    return texture(seed, (HEIGHT, WIDTH, 3), 65535).astype(np.float32) / 65535 * top


def split(picture: NDArray, names: str = "RGB", layer: str = "") -> dict[str, NDArray]:
    return {f"{layer}{name}": np.ascontiguousarray(picture[..., i]) for i, name in enumerate(names)}


def expected(picture: NDArray, exposure: float | None = None) -> NDArray:
    luminance = picture.astype(np.float32) @ WEIGHTS
    return display_encode(luminance, exposure_for(luminance) if exposure is None else exposure)


def read(path: Path) -> NDArray:
    return next(open_footage(path).luminance()).pixels


@pytest.mark.parametrize("pixel_type", [np.float16, np.float32])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_is_read(tmp_path: Path, compression: str, pixel_type: type) -> None:
    picture = linear_picture().astype(pixel_type)
    write_exr(tmp_path / "a.exr", split(picture), compression=getattr(OpenEXR, f"{compression}_COMPRESSION"))
    footage = open_footage(tmp_path / "a.exr")
    pixels = next(footage.luminance()).pixels
    assert pixels.dtype == np.float32 and pixels.flags.c_contiguous and pixels.min() >= 0 and pixels.max() < 255
    assert (footage.size, footage.bit_depth) == ((WIDTH, HEIGHT), 16 if pixel_type is np.float16 else 32)
    assert np.abs(pixels - expected(picture)).max() < (1e-3 if compression in LOSSLESS else 4)


def test_tiles_alpha_and_other_channels_do_not_disturb(tmp_path: Path) -> None:
    picture = linear_picture().astype(np.float16)
    depth = np.full((HEIGHT, WIDTH), np.inf, np.float32)
    identifiers = np.full((HEIGHT, WIDTH), 7, np.uint32)
    channels = (
        split(picture) | {"A": picture[..., 0] * 0, "Z": depth, "id": identifiers} | split(picture * 9, layer="d.")
    )
    tiles = OpenEXR.TileDescription()
    tiles.xSize, tiles.ySize = 32, 16
    write_exr(tmp_path / "a.exr", channels, type=OpenEXR.tiledimage, tiles=tiles)
    assert read(tmp_path / "a.exr") == pytest.approx(expected(picture), abs=1e-3)


@pytest.mark.parametrize(
    ("layer", "names"),
    [("ViewLayer.Combined.", "RGB"), ("beauty.", "rgb"), ("anything.", "RGB"), ("rgba.", ("red", "green", "blue"))],
)
def test_the_picture_of_a_layered_file_is_found(tmp_path: Path, layer: str, names: str) -> None:
    picture = linear_picture().astype(np.float16)
    other = split(picture[..., ::-1] * 5, layer="zz_albedo.") | {"ViewLayer.Depth.Z": picture[..., 0]}
    write_exr(tmp_path / "a.exr", split(picture, names, layer) | other)
    assert read(tmp_path / "a.exr") == pytest.approx(expected(picture), abs=1e-3)


@pytest.mark.parametrize("name", ["Y", "luma", "layer.Y", "matte.stuff"])
def test_a_file_with_one_channel_is_grey(tmp_path: Path, name: str) -> None:
    grey = linear_picture()[..., 0].copy()
    write_exr(tmp_path / "a.exr", {name: grey, "A": grey, "Z": grey})
    footage = open_footage(tmp_path / "a.exr")
    encoded = display_encode(grey, exposure_for(grey))
    assert next(footage.luminance()).pixels == pytest.approx(encoded, abs=1e-3)
    assert np.abs(footage.image(0) - encoded[..., None]).max() <= 0.51


def test_the_colour_part_of_a_multi_part_file_is_read(tmp_path: Path) -> None:
    picture = linear_picture().astype(np.float16)
    kind = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    parts = [
        OpenEXR.Part(dict(kind), {"Z": np.ones((HEIGHT, WIDTH), np.float32)}, "depth"),
        OpenEXR.Part(dict(kind), split(picture), "left"),
        OpenEXR.Part(dict(kind), split(picture * 0.5), "right"),
    ]
    with OpenEXR.File(parts) as file:
        file.write(str(tmp_path / "a.exr"))
    assert read(tmp_path / "a.exr") == pytest.approx(expected(picture), abs=1e-3)


def test_the_frame_is_the_display_window(tmp_path: Path) -> None:
    """A crop that moves, and overscan: the picture stays where it is in the frame."""
    whole = linear_picture()
    window = (np.array([10, 20], np.int32), np.array([10 + WIDTH - 1, 20 + HEIGHT - 1], np.int32))
    for number, (left, top, right, bottom) in enumerate([(0, 0, WIDTH, HEIGHT), (5, 3, 60, 40), (-4, -2, 75, 50)], 1):
        data = np.zeros((bottom - top, right - left, 3), np.float32)
        part = whole[max(top, 0) : bottom, max(left, 0) : right]
        data[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]] = part
        first = np.array([10 + left, 20 + top], np.int32)
        last = np.array([10 + right - 1, 20 + bottom - 1], np.int32)
        write_exr(tmp_path / f"s.{number}.exr", split(data), dataWindow=(first, last), displayWindow=window)
    footage = open_footage(tmp_path)
    assert footage.size == (WIDTH, HEIGHT)
    full, crop, overscan = (frame.pixels for frame in footage.luminance())
    assert full == pytest.approx(expected(whole), abs=1e-3)
    assert overscan == pytest.approx(full, abs=1e-3)
    assert np.array_equal(crop[3:40, 5:60], full[3:40, 5:60])
    assert not crop[:3].any() and not crop[40:].any() and not crop[:, :5].any() and not crop[:, 60:].any()
    assert footage.frame_metadata(1)["data_window"] == (5, 3, 59, 39) and "data_window" not in footage.metadata


def test_the_exposure_of_the_first_frame_holds_for_the_shot(tmp_path: Path) -> None:
    pictures = [linear_picture(1, 0.02), linear_picture(1, 0.01), linear_picture(1, 5.0)]
    for number, picture in enumerate(pictures):
        write_exr(tmp_path / f"s.{number}.exr", split(picture))
    exposure = exposure_for(pictures[0] @ WEIGHTS)
    assert exposure == pytest.approx(1 / np.percentile(pictures[0] @ WEIGHTS, 99), rel=0.02)
    footage = open_footage(tmp_path)
    for frame, picture in zip(footage.luminance(), pictures, strict=True):
        assert frame.pixels == pytest.approx(expected(picture, exposure), abs=1e-3)
    assert next(open_footage(tmp_path).luminance(1)).pixels == pytest.approx(expected(pictures[1], exposure), abs=1e-3)
    colour = display_encode(pictures[2], exposure)
    assert np.abs(open_footage(tmp_path).image(2) - colour).max() <= 0.51
    assert np.diff(np.unique(expected(pictures[2], exposure))).min() > 0  # a shot that brightens is not clipped


def test_values_that_are_no_light_do_not_spread(tmp_path: Path) -> None:
    picture = linear_picture()
    bad = picture.copy()
    for column, value in enumerate([np.nan, -np.inf, -5.0, np.inf, 1e30]):
        bad[4, column] = value
    write_exr(tmp_path / "s.1.exr", split(picture))
    write_exr(tmp_path / "s.2.exr", split(bad))
    write_exr(tmp_path / "t.1.exr", split(bad))
    good, patched = (frame.pixels for frame in open_footage(tmp_path / "s.1.exr").luminance())
    assert np.array_equal(np.delete(good, 4, axis=0), np.delete(patched, 4, axis=0))
    assert patched[4, :3].tolist() == [0, 0, 0] and (patched[4, 3:5] > 254).all()
    assert np.array_equal(patched[4, 5:], good[4, 5:])
    assert np.abs(read(tmp_path / "t.1.exr") - good)[5:].max() < 1  # nor do they move the exposure
    assert open_footage(tmp_path / "t.1.exr").image(0).shape == (HEIGHT, WIDTH, 3)


def test_a_black_frame_is_black(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", split(np.zeros((HEIGHT, WIDTH, 3), np.float16)))
    assert not read(tmp_path / "a.exr").any()


def test_headers_give_rate_aspect_and_lens(tmp_path: Path) -> None:
    black = split(np.zeros((HEIGHT, WIDTH, 3), np.float16))
    for number in (1001, 1003):
        write_exr(
            tmp_path / f"s.{number}.exr",
            black,
            framesPerSecond=Fraction(24000, 1001),
            pixelAspectRatio=2.0,
            focalLength=35.0 + number,
            effectiveFocalLength=float(number),
            aperture=2.8,
            focus=4.5,
            cameraMake="ARRI",
            lensModel=" Signature 47 ",
            sensorOverallDimensions=np.array([36.7, 25.54], np.float32),
        )
    footage = open_footage(tmp_path)
    assert footage.frame_rate == pytest.approx(24000 / 1001) and footage.frame_rate_known
    assert footage.pixel_aspect == 2.0
    assert footage.metadata == {
        "focal_length_mm": 1001.0,
        "aperture": pytest.approx(2.8),
        "focus_distance_m": 4.5,
        "camera_make": "ARRI",
        "lens_model": "Signature 47",
        "sensor_width_mm": pytest.approx(36.7),
    }
    assert footage.frame_metadata(1)["focal_length_mm"] == 1003.0
    assert [frame.time for frame in footage.luminance()] == pytest.approx([0, 2 * 1001 / 24000])


def test_common_names_of_other_writers_are_known(tmp_path: Path) -> None:
    texts = {"Exif:FocalLength": "50/1 mm", "Exif:FNumber": "f/4", "input/exposure_time": "0", "Camera Model": "Alexa"}
    write_exr(tmp_path / "a.exr", split(np.zeros((HEIGHT, WIDTH, 3), np.float16)), **texts)
    assert open_footage(tmp_path / "a.exr").metadata == {
        "focal_length_mm": 50.0,
        "aperture": 4.0,
        "camera_model": "Alexa",
    }


@pytest.mark.parametrize("names", [("Z",), ("A", "Z"), ("R", "G"), ("a.x", "a.y")])
def test_a_file_without_a_picture_says_what_it_holds(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_exr(tmp_path / "a.exr", {name: np.ones((8, 8), np.float32) for name in names})
    with pytest.raises(InputError, match=rf"no colour or luminance \(channels {', '.join(sorted(names))}\)"):
        open_footage(tmp_path / "a.exr")


def test_identifiers_are_no_picture(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", {"mask.id": np.ones((8, 8), np.uint32)})
    with pytest.raises(InputError, match="no colour or luminance"):
        open_footage(tmp_path / "a.exr")


def test_a_file_that_is_still_being_rendered_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    write_exr(path, split(linear_picture()))
    data = path.read_bytes()
    for keep, words in [(len(data) - 40, "cut short"), (300, "cut short"), (6, "cut short"), (2, "not an OpenEXR")]:
        path.write_bytes(data[:keep])
        with pytest.raises(InputError, match=words):
            open_footage(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        open_footage(path)
    path.write_text("a text with the name of a picture")
    with pytest.raises(InputError, match="is not an OpenEXR file"):
        open_footage(path)
    n_chunks = -(-HEIGHT // 16)
    table = _table_start(data, n_chunks)
    path.write_bytes(data[: table + 8] + bytes(8 * (n_chunks - 1)) + data[table + 8 * n_chunks :])
    with pytest.raises(InputError, match="not complete"):
        open_footage(path)


def _table_start(data: bytes, n_chunks: int) -> int:
    """The table's first entry points right behind the table."""
    for start in range(8, len(data) - 8):
        if int.from_bytes(data[start : start + 8], "little") == start + 8 * n_chunks:
            return start
    raise AssertionError("no offset table")
