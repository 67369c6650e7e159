"""Which files make a sequence."""

from __future__ import annotations

import numpy as np
import pytest

from solver.footage.numbering import find_sequences, format_ranges, match_pattern, natural_order


def numbers_of(names: list[str]) -> list[tuple[str, tuple[int, ...]]]:
    return [(found.pattern, found.numbers) for found in find_sequences(names)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["shot.0101.exr", "shot.0103.exr", "shot.0102.exr"], [("shot.####.exr", (101, 102, 103))]),
        (["frame_9.png", "frame_10.png", "frame_11.png"], [("frame_#.png", (9, 10, 11))]),
        (["a_0999.png", "a_1000.png", "a_10000.png"], [("a_####.png", (999, 1000, 10000))]),
        (["f0001_v2.png", "f0002_v2.png"], [("f####_v2.png", (1, 2))]),
        (["v2_0001.png", "v2_0002.png", "v3_0001.png"], [("v2_####.png", (1, 2))]),
        (["0001.jpg", "0002.jpg", "0003.jpg"], [("####.jpg", (1, 2, 3))]),
        (["a1.png", "a01.png", "a2.png", "a02.png"], [("a##.png", (1, 2)), ("a#.png", (1, 2))]),
        (["a1.png", "a2.png", "a3.png", "a1.exr", "a2.exr"], [("a#.png", (1, 2, 3)), ("a#.exr", (1, 2))]),
        (["one.png", "two.png"], []),
        (["x.jp2", "y.jp2", "x.jp3"], []),
        (["99999999999999999999.png", "99999999999999999998.png"], []),
    ],
)
def test_names_are_grouped_into_sequences(names: list[str], expected: list[tuple[str, tuple[int, ...]]]) -> None:
    assert numbers_of(names) == expected


@pytest.mark.parametrize(
    ("numbers", "dense"),
    [([1, 2, 3], True), ([1, 2, 5, 6], True), ([1, 5, 9, 13], True), ([1234, 1301, 1302], False), ([1, 50], False)],
)
def test_sparse_uneven_numbers_are_no_frame_numbers(numbers: list[int], dense: bool) -> None:
    found = find_sequences([f"a_{number:04d}.png" for number in numbers])[0]
    assert found.is_dense is dense


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("s.####.exr", (9, 10, 12345)),
        ("s.%04d.exr", (9, 10, 12345)),
        ("s.%d.exr", (7, 12345)),
        ("s.#.exr", (7, 12345)),
        ("s.##.exr", (12345,)),
        ("t.####.exr", None),
    ],
)
def test_a_pattern_takes_the_numbers_written_with_its_digits(pattern: str, expected: tuple[int, ...] | None) -> None:
    names = ["s.0009.exr", "s.0010.exr", "s.12345.exr", "s.7.exr", "s.0009.png", "xs.0011.exr", "s.-001.exr", "s..exr"]
    found = match_pattern(pattern, names)
    assert (found.numbers if found else None) == expected


def test_missing_numbers_are_written_as_ranges() -> None:
    assert format_ranges(np.array([1005, 1006, 1007, 1012, 1014, 1015])) == "1005-1007, 1012, 1014-1015"
    assert format_ranges([]) == ""


def test_natural_order_counts() -> None:
    names = ["still 10.jpg", "Still 9.jpg", "still.jpg", "2.jpg"]
    assert sorted(names, key=natural_order) == ["2.jpg", "Still 9.jpg", "still 10.jpg", "still.jpg"]
