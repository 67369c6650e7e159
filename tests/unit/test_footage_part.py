"""A range of a clip, single pictures, and what shots given by one of their frames are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from solver.errors import InputError
from solver.footage import open_footage
from tests.unit.footage_files import HEIGHT, WIDTH, texture, write_exr, write_pictures, write_video
from tests.unit.test_footage_video import luma_frames


def test_a_range_of_a_sequence_keeps_its_numbers(tmp_path: Path) -> None:
    names = [f"shot_{number}.png" for number in (1001, 1002, 1003, 1005, 1006)]
    written = write_pictures(tmp_path, names)
    part = open_footage(tmp_path, (1002, 1005))
    assert part.frame_numbers.tolist() == [1002, 1003, 1005] and part.missing_frames.tolist() == [1004]
    assert part.first_file.name == "shot_1002.png" and part.size == (WIDTH, HEIGHT) and part.kind == "sequence"
    frames = list(part.luminance())
    assert [frame.index for frame in frames] == [0, 1, 2] and [frame.number for frame in frames] == [1002, 1003, 1005]
    assert all(np.array_equal(frame.pixels, picture) for frame, picture in zip(frames, written[1:4], strict=True))
    assert [frame.number for frame in part.luminance(1, 2)] == [1003]
    assert part.file_of(2).name == "shot_1005.png"
    assert np.array_equal(part.image(2)[..., 0], written[3])
    with pytest.raises(IndexError):
        part.image(3)
    with pytest.raises(IndexError):
        part.frame_metadata(3)
    with pytest.raises(IndexError):
        part.file_of(-1)
    assert open_footage(tmp_path, (900, 1001)).frame_numbers.tolist() == [1001]


def test_a_range_of_a_video_is_decoded_alone(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", luma_frames(8))
    whole, part = open_footage(tmp_path / "a.mkv"), open_footage(tmp_path / "a.mkv", (3, 5))
    assert part.frame_numbers.tolist() == [3, 4, 5] and part.first_file == tmp_path / "a.mkv" and part.kind == "video"
    expected = list(whole.luminance(2, 5))
    for frame, known in zip(part.luminance(), expected, strict=True):
        assert (frame.number, frame.time) == (known.number, known.time)
        assert np.array_equal(frame.pixels, known.pixels)


def test_a_range_has_its_own_matte(tmp_path: Path) -> None:
    grey = texture().astype(np.float16) / 255
    alphas = [np.full((HEIGHT, WIDTH), number / 8, np.float16) for number in range(1, 6)]
    for number, alpha in enumerate(alphas, start=1):
        write_exr(tmp_path / f"s.{number}.exr", {"R": grey, "G": grey, "B": grey, "A": alpha})
    part = open_footage(tmp_path, (2, 4))
    assert [float(plane[0, 0]) for plane in part.alphas()] == [2 / 8, 3 / 8, 4 / 8]
    assert [float(plane[0, 0]) for plane in part.alphas(2)] == [4 / 8]
    levels = list(part.levels())
    assert len(levels) == 3 and np.allclose(levels[0], texture() / 255, atol=1e-3)


def test_a_range_without_frames_names_those_that_exist(tmp_path: Path) -> None:
    write_pictures(tmp_path, [f"shot_{number}.png" for number in (11, 12, 13)])
    for frames in ((14, 20), (1, 10), (13, 11)):
        with pytest.raises(InputError, match=r"has no frame from \d+ to \d+: its frames are 11 to 13"):
            open_footage(tmp_path, frames)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".exr"])
def test_a_picture_alone_is_a_clip_of_one_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"church{suffix}"
    if suffix == ".exr":
        grey = texture().astype(np.float16) / 255
        write_exr(path, {"R": grey, "G": grey, "B": grey})
    else:
        write_pictures(tmp_path, [path.name])
    for given in (path, tmp_path):
        footage = open_footage(given)
        assert len(footage) == 1 and footage.frame_numbers.tolist() == [1] and footage.size == (WIDTH, HEIGHT)
        assert footage.first_file == path and footage.kind == "sequence"
        assert next(footage.luminance()).pixels.shape == (HEIGHT, WIDTH)
    assert open_footage(path).name == "church" and open_footage(tmp_path).name == tmp_path.name


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["frame_0001.jpg", "frame_0002.jpg"], "plate"),
        (["frame_0001.jpg"], "plate"),
        (["Image 12.png"], "plate"),
        (["0007.png", "0008.png"], "plate"),
        (["0007.png"], "plate"),
        (["frames.png"], "frames"),
        (["still.png"], "still"),
        (["IMG_4711.jpg"], "IMG_4711"),
        (["sh010_frame_0001.jpg", "sh010_frame_0002.jpg"], "sh010_frame"),
    ],
)
def test_a_frame_that_nobody_named_goes_by_its_folder(tmp_path: Path, names: list[str], expected: str) -> None:
    write_pictures(tmp_path / "plate", names)
    assert open_footage(tmp_path / "plate" / names[-1]).name == expected
