"""Mattes: what is white, or transparent, is left out; of whatever size and kind, frame by frame."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.errors import InputError
from solver.footage import open_footage
from solver.footage.matte import DrawnMatte, open_matte, polygon_mask
from tests.unit.footage_files import HEIGHT, WIDTH, texture, video_frame, write_exr, write_picture, write_video

Mask = NDArray[np.bool_]


def box(seed: int, scale: int = 1) -> Mask:
    """A rectangle that moves with the seed."""
    mask = np.zeros((HEIGHT * scale, WIDTH * scale), bool)
    mask[10 * scale : 30 * scale, (5 + 3 * seed) * scale : (25 + 3 * seed) * scale] = True
    return mask


def write_footage(folder: Path, numbers: range | list[int]) -> Path:
    folder.mkdir()
    for number in numbers:
        write_picture(folder / f"shot.{number:04d}.png", texture(number))
    return folder


def write_matte(path: Path, mask: Mask) -> None:
    white = mask.astype(np.float32)
    if path.suffix == ".exr":
        write_exr(path, {"Y": white})
    elif path.suffix == ".tif":
        write_picture(path, white)
    else:
        write_picture(path, (255 * mask).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".exr", ".jpg"])
@pytest.mark.parametrize("invert", [False, True])
def test_white_is_left_out_of_the_frame_with_the_same_number(tmp_path: Path, suffix: str, invert: bool) -> None:
    footage = open_footage(write_footage(tmp_path / "shot", [7, 8, 9, 11]))
    (tmp_path / "matte").mkdir()
    for number in range(5, 14):  # more than the footage has, and from another number on
        write_matte(tmp_path / "matte" / f"roto_{number}{suffix}", box(number - 7))
    matte = open_matte(tmp_path / "matte", footage, invert)
    for index, number in enumerate([7, 8, 9, 11]):
        wrong = matte.excluded(index, number) != (box(number - 7) != invert)
        assert wrong.mean() < (0.01 if suffix == ".jpg" else 1e-9)
    assert (matte.excluded(0, 7) == (box(0) != invert)).mean() > 0.99  # and back to the first


@pytest.mark.parametrize("scale", [2, 3])
def test_another_size_is_brought_to_the_pictures(tmp_path: Path, scale: int) -> None:
    footage = open_footage(write_footage(tmp_path / "shot", range(1, 4)))
    (tmp_path / "matte").mkdir()
    for number in range(1, 4):
        write_matte(tmp_path / "matte" / f"{number}.png", box(number, scale))
    assert (open_matte(tmp_path / "matte", footage).excluded(1, 2) == box(2)).all()
    small = box(0)[::2, ::2]
    write_matte(tmp_path / "one.png", small)
    found = open_matte(tmp_path / "one.png", footage).excluded(2, 3)
    assert found.shape == (HEIGHT, WIDTH) and (found != box(0)).mean() < 0.03


def test_one_picture_is_the_matte_of_all_frames(tmp_path: Path) -> None:
    footage = open_footage(write_footage(tmp_path / "shot", range(1, 5)))
    write_matte(tmp_path / "edge.png", box(1))
    matte = open_matte(tmp_path / "edge.png", footage)
    assert all((matte.excluded(index, index + 1) == box(1)).all() for index in range(4))


def test_missing_mattes_are_named(tmp_path: Path) -> None:
    footage = open_footage(write_footage(tmp_path / "shot", range(1001, 1021)))
    (tmp_path / "matte").mkdir()
    for number in sorted(set(range(1001, 1021)) - {1004, 1010, 1011, 1012}):
        write_matte(tmp_path / "matte" / f"m.{number}.png", box(0))
    with pytest.raises(InputError, match=r"lacks frames 1004, 1010-1012 of .*shot") as caught:
        open_matte(tmp_path / "matte", footage)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_another_aspect_ratio_is_refused(tmp_path: Path) -> None:
    footage = open_footage(write_footage(tmp_path / "shot", range(1, 4)))
    write_matte(tmp_path / "square.png", np.zeros((64, 64), bool))
    with pytest.raises(InputError, match=f"64x64 .*{WIDTH}x{HEIGHT}"):
        open_matte(tmp_path / "square.png", footage)


@pytest.mark.parametrize("kind", ["png", "png16", "grey png", "tif", "exr"])
def test_what_is_transparent_in_the_footage_is_left_out(tmp_path: Path, kind: str) -> None:
    for number in (1, 2, 3):
        grey, alpha = texture(number), np.where(box(number), 0, 255).astype(np.uint8)
        path = tmp_path / f"a{number}.{kind[-3:] if kind != 'png16' else 'png'}"
        if kind == "exr":
            channels = {name: grey.astype(np.float32) / 255 for name in "RGB"}
            write_exr(path, channels | {"A": alpha.astype(np.float32) / 255})
        else:
            colour = cv2.merge([grey, grey, grey, alpha])
            write_picture(path, colour.astype(np.uint16) * 257 if kind == "png16" else colour)
    footage = open_footage(tmp_path)
    for invert in (False, True):
        matte = open_matte(None, footage, invert)
        for index in range(3):
            assert (matte.excluded(index, index + 1) == (box(index + 1) != invert)).all()


def test_the_alpha_channel_of_a_video(tmp_path: Path) -> None:
    frames = []
    for number in range(4):
        rgba = np.dstack([texture(number)] * 3 + [np.where(box(number), 0, 255).astype(np.uint8)])
        frames.append(av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="argb"))
    write_video(tmp_path / "keyed.mov", frames, codec="qtrle")
    matte = open_matte(None, open_footage(tmp_path / "keyed.mov"))
    for index in range(4):
        assert (matte.excluded(index, index + 1) == box(index)).all()


def test_footage_without_alpha_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no alpha channel"):
        open_matte(None, open_footage(write_footage(tmp_path / "shot", range(1, 4))))
    write_video(tmp_path / "plain.mkv", [video_frame(texture(i)) for i in range(3)])
    with pytest.raises(InputError, match="no alpha channel"):
        open_matte(None, open_footage(tmp_path / "plain.mkv"))


def test_a_video_has_no_numbers_its_matte_belongs_to_it_in_order(tmp_path: Path) -> None:
    write_video(tmp_path / "plain.mkv", [video_frame(texture(i)) for i in range(4)])
    (tmp_path / "matte").mkdir()
    for i in range(4):
        write_matte(tmp_path / "matte" / f"{1001 + i}.png", box(i))
    footage = open_footage(tmp_path / "plain.mkv")
    matte = open_matte(tmp_path / "matte", footage)
    assert all((matte.excluded(i, i + 1) == box(i)).all() for i in range(4))
    (tmp_path / "matte" / "1001.png").unlink()
    with pytest.raises(InputError, match="lacks frames 1-4"):
        open_matte(tmp_path / "matte", footage)
    # and a video as the matte of a sequence
    write_video(tmp_path / "matte.mkv", [video_frame((235 * box(i)).astype(np.uint8)) for i in range(3)])
    numbered = open_footage(write_footage(tmp_path / "shot", range(101, 104)))
    matte = open_matte(tmp_path / "matte.mkv", numbered)
    assert all((matte.excluded(i, 101 + i) == box(i)).all() for i in range(3))


def test_polygons() -> None:
    square = np.array([[10.0, 5.0], [30.0, 5.0], [30.0, 25.0], [10.0, 25.0]])
    mask = polygon_mask([square], (WIDTH, HEIGHT))
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[5:25, 10:30] = True
    # OpenCV draws the outline, too: half a pixel at the most
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert mask[inside].all() and not mask[~grown].any()
    overlapping = polygon_mask([square, square + 5], (WIDTH, HEIGHT))
    assert overlapping[15, 20] and overlapping.sum() > mask.sum()
    far = polygon_mask([np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]])], (WIDTH, HEIGHT))
    assert far.all() and not polygon_mask([], (WIDTH, HEIGHT)).any()


def test_a_drawn_matte_is_asked_by_number() -> None:
    asked = []

    def draw(number: int) -> Mask:
        asked.append(number)
        return box(number)

    assert (DrawnMatte(draw).excluded(0, 3) == box(3)).all() and asked == [3]
    assert (DrawnMatte(draw, invert=True).excluded(0, 3) == ~box(3)).all()
