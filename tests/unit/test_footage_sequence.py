"""Folders, patterns and frames: what is opened, what is refused and in which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from solver.errors import InputError
from solver.footage import format_ranges, open_footage
from tests.unit.footage_files import HEIGHT, WIDTH, texture, write_exr, write_picture, write_pictures


def numbered(*numbers: int, prefix: str = "shot_", suffix: str = ".png") -> list[str]:
    return [f"{prefix}{number:04d}{suffix}" for number in numbers]


def test_a_folder_a_pattern_and_a_frame_open_the_same_sequence(tmp_path: Path) -> None:
    folder = tmp_path / "plate é"
    written = write_pictures(folder, numbered(1003, 1001, 1002, 1006))
    (folder / "notes.txt").write_text("take 3")
    (folder / "._shot_1001.png").write_bytes(b"resource fork")
    (folder / "thumb.png").write_bytes(b"not looked at")
    (folder / "shot_1004.png").mkdir()
    for path, name in [
        (folder, "plate é"),
        (folder / "shot_####.png", "shot"),
        (folder / "shot_%04d.png", "shot"),
        (str(folder / "shot_1003.png"), "shot"),
    ]:
        footage = open_footage(path)
        assert (footage.name, footage.kind, footage.path) == (name, "sequence", Path(path))
        assert footage.first_file == folder / "shot_1001.png"
        assert (footage.size, footage.bit_depth, len(footage)) == ((WIDTH, HEIGHT), 8, 4)
        assert (footage.frame_rate, footage.frame_rate_known, footage.pixel_aspect) == (24.0, False, 1.0)
        assert footage.frame_numbers.tolist() == [1001, 1002, 1003, 1006]
        assert footage.frame_numbers.dtype == np.int64
        assert format_ranges(footage.missing_frames) == "1004-1005"
        frames = list(footage.luminance())
        assert [frame.number for frame in frames] == [1001, 1002, 1003, 1006]
        assert [frame.index for frame in frames] == [0, 1, 2, 3]
        assert [frame.time for frame in frames] == pytest.approx([0, 1 / 24, 2 / 24, 5 / 24])
        for frame, picture in zip(frames, [written[1], written[2], written[0], written[3]], strict=True):
            assert np.array_equal(frame.pixels, picture) and frame.pixels.flags.c_contiguous


def test_a_part_of_the_frames_and_pictures_of_some(tmp_path: Path) -> None:
    written = write_pictures(tmp_path, numbered(*range(10)), (HEIGHT, WIDTH, 3))
    footage = open_footage(tmp_path)
    assert [frame.number for frame in footage.luminance(3, 6)] == [3, 4, 5]
    assert [frame.index for frame in footage.luminance(start=8)] == [8, 9]
    assert list(footage.luminance(4, 4)) == []
    pictures = list(footage.images([7, 2, 2]))
    assert len(pictures) == 2
    assert np.array_equal(pictures[0], written[2][..., ::-1]) and np.array_equal(pictures[1], written[7][..., ::-1])
    assert np.array_equal(footage.image(9), written[9][..., ::-1])
    for start, stop in [(-1, 3), (5, 4), (0, 11)]:
        with pytest.raises(ValueError, match="do not lie in a clip of 10 frames"):
            footage.luminance(start, stop)
    for index in (-1, 10):
        with pytest.raises(IndexError):
            footage.image(index)
        with pytest.raises(IndexError):
            footage.frame_metadata(index)


def test_stills_without_frame_numbers_are_taken_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = ["IMG_4711.jpg", "IMG_4730.jpg", "IMG_4802.jpg", "door.jpg"]
    write_pictures(tmp_path, names)
    footage = open_footage(tmp_path)
    assert footage.frame_numbers.tolist() == [1, 2, 3, 4]
    assert footage.first_file.name == "door.jpg"
    assert footage.missing_frames.size == 0
    alone = open_footage(tmp_path / "IMG_4711.jpg")
    assert (len(alone), alone.name, alone.first_file.name) == (1, "IMG_4711", "IMG_4711.jpg")
    assert np.array_equal(next(alone.luminance()).pixels, next(footage.luminance(1)).pixels)


def test_a_small_leftover_beside_the_sequence_is_ignored(tmp_path: Path) -> None:
    write_pictures(tmp_path, numbered(*range(1, 13)))
    write_pictures(tmp_path, numbered(1, 2, prefix="ref_"), (20, 20))
    assert len(open_footage(tmp_path)) == 12
    assert open_footage(tmp_path / "ref_0002.png").size == (20, 20)


def test_several_sequences_in_a_folder_are_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, numbered(1, 2, 3, prefix="left."))
    write_pictures(tmp_path, numbered(1, 2, prefix="right."))
    with pytest.raises(InputError, match=r"left\.####\.png \(3 frames\), right\.####\.png \(2 frames\); choose one"):
        open_footage(tmp_path)
    assert open_footage(tmp_path / "right.####.png").name == "right"


def test_frames_of_another_size_are_named_when_the_shot_is_opened(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".tif"):
        folder = tmp_path / suffix[1:]
        write_pictures(folder, numbered(1, 2, 4, 5, suffix=suffix))
        write_pictures(folder, numbered(3, suffix=suffix), (32, 48))
        with pytest.raises(InputError, match=rf"shot_0003\{suffix} is 48x32 pixels while shot_0001\{suffix} is 70x46"):
            open_footage(folder)


def test_exr_frames_of_another_size_are_named(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        grey = np.ones((30 + (number == 3), 40), np.float16)
        write_exr(tmp_path / f"s.{number}.exr", {"R": grey, "G": grey, "B": grey})
    with pytest.raises(InputError, match=r"s\.3\.exr is 40x31 pixels while s\.1\.exr is 40x30"):
        open_footage(tmp_path)


def test_frames_whose_header_is_not_read_are_compared_when_decoded(tmp_path: Path) -> None:
    write_pictures(tmp_path, numbered(1, 2, suffix=".bmp"))
    write_pictures(tmp_path, numbered(3, suffix=".bmp"), (32, 48))
    footage = open_footage(tmp_path)
    frames = footage.luminance()
    assert next(frames).number == 1 and next(frames).number == 2
    with pytest.raises(InputError, match=r"shot_0003\.bmp is 48x32 pixels"):
        next(frames)


def test_what_is_no_footage_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for folder, file in [("bare", None), ("texts", "readme.txt"), ("film", "clip.mov"), ("dpx", "a.0001.dpx")]:
        (tmp_path / folder).mkdir()
        if file:
            (tmp_path / folder / file).write_text("anything")
    for path, words in [
        ("nowhere", "does not exist"),
        ("nowhere.mp4", "does not exist"),
        ("bare", "is empty"),
        ("texts", "holds no pictures"),
        ("film", "choose the file clip.mov itself"),
        ("dpx", "DPX files, which cannot be read"),
        ("dpx/a.0001.dpx", "DPX files cannot be read"),
        ("dpx/a.####.dpx", "DPX files cannot be read"),
        ("bare/s.####.exr", "No file in .* matches s.####.exr"),
        ("nowhere/s.%04d.exr", "is not a folder"),
        ("a\0b", "cannot be read|does not exist"),
        ("x" * 5000, "cannot be read|does not exist"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            open_footage(tmp_path / path)
        message = str(caught.value)
        assert message.endswith(".") and "\n" not in message


def test_a_folder_or_frame_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, numbered(1, 2))
    footage = open_footage(tmp_path)

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"shot_0001\.png cannot be read \(Permission denied\)"):
        next(footage.luminance())
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"shot_0001\.png cannot be read \(Permission denied\)"):
        open_footage(tmp_path)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        open_footage(tmp_path)


def test_each_file_is_read_once_and_little_is_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, numbered(*range(30)))
    footage = open_footage(tmp_path)
    read: list[str] = []
    original = Path.read_bytes

    def note(path: Path) -> bytes:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", note)
    frames = footage.luminance()
    assert read == []
    for done, _ in enumerate(frames, start=1):
        assert len(read) <= done + 3
    assert read == numbered(*range(30))


def test_a_frame_that_vanishes_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, numbered(1, 2, 3))
    footage = open_footage(tmp_path)
    (tmp_path / "shot_0002.png").unlink()
    frames = footage.luminance()
    assert next(frames).number == 1
    with pytest.raises(InputError, match=r"shot_0002\.png cannot be read \(No such file"):
        list(frames)


def test_a_pattern_without_prefix_is_called_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "sc010"
    write_pictures(folder, ["0001.png", "0002.png"])
    assert open_footage(folder / "####.png").name == "sc010"
    assert open_footage(folder / "0001.png").name == "sc010"


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    write_picture(tmp_path / "take #2.png", texture(1))
    footage = open_footage(tmp_path / "take #2.png")
    assert (len(footage), footage.name) == (1, "take #2")
