"""Decoding ahead: order, limits, errors, and no thread that stays behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.footage.base import AHEAD, Footage, Frame
from tests.unit.footage_files import write_pictures

ROOT = Path(__file__).parents[2]


class CountedFootage(Footage):
    """Makes frames out of nothing and notes what was asked of it."""

    def __init__(self, n_frames: int, fails_at: int | None = None) -> None:
        super().__init__(
            name="counted",
            path=Path("counted"),
            first_file=Path("counted"),
            kind="sequence",
            size=(4, 3),
            frame_rate=24.0,
            frame_rate_known=True,
            frame_numbers=np.arange(n_frames, dtype=np.int64),
            bit_depth=8,
        )
        self.fails_at = fails_at
        self.made: list[int] = []
        self.closed_by: threading.Thread | None = None

    def _decode(self, start: int, stop: int) -> Generator[Frame]:
        try:
            for index in range(start, stop):
                if index == self.fails_at:
                    raise RuntimeError(f"frame {index}")
                self.made.append(index)
                yield Frame(index=index, number=index, time=0.0, pixels=np.full((3, 4), index, np.uint8))
        finally:
            self.closed_by = threading.current_thread()

    def _decode_colour(self, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
        for index in indices:
            yield np.full((3, 4, 3), index, np.uint8)


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "footage decoding"]


def test_frames_come_in_order_and_never_far_ahead() -> None:
    footage = CountedFootage(50)
    seen = []
    for frame in footage.luminance():
        seen.append(int(frame.pixels[0, 0]))
        time.sleep(0.001)
        assert len(footage.made) <= len(seen) + AHEAD + 1
    assert seen == list(range(50)) == footage.made
    assert not decoding_threads()


def test_decoding_overlaps_with_the_reader() -> None:
    footage = CountedFootage(10)
    frames = footage.luminance()
    next(frames)
    deadline = time.monotonic() + 5
    while len(footage.made) < 1 + AHEAD and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(footage.made) >= 1 + AHEAD
    frames.close()


def test_nothing_happens_before_the_first_frame_is_wanted() -> None:
    footage = CountedFootage(10)
    frames = footage.luminance()
    assert footage.made == [] and not decoding_threads()
    del frames


@pytest.mark.parametrize("n_read", [1, 3, 10])
def test_closing_stops_the_thread_and_the_source(n_read: int) -> None:
    footage = CountedFootage(10)
    frames = footage.luminance()
    for _ in range(n_read):
        next(frames)
    frames.close()
    assert not decoding_threads()
    assert footage.closed_by is not None and footage.closed_by is not threading.current_thread()


def test_a_reader_that_fails_leaves_no_thread() -> None:
    footage = CountedFootage(1000)

    def consume() -> None:
        for frame in footage.luminance():
            if frame.index == 5:
                raise KeyError("reader")

    with pytest.raises(KeyError):
        consume()
    deadline = time.monotonic() + 5  # the traceback may hold the iterator for a moment
    while decoding_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not decoding_threads() and len(footage.made) < 20


@pytest.mark.parametrize("fails_at", [0, 1, 7])
def test_an_error_in_the_thread_reaches_the_reader_at_its_frame(fails_at: int) -> None:
    frames = CountedFootage(10, fails_at).luminance()
    for index in range(fails_at):
        assert next(frames).index == index
    with pytest.raises(RuntimeError, match=f"frame {fails_at}"):
        next(frames)
    assert next(frames, None) is None and not decoding_threads()


def test_a_program_that_ends_in_the_middle_of_a_clip_ends(tmp_path: Path) -> None:
    write_pictures(tmp_path, [f"a_{number:03d}.png" for number in range(40)])
    code = (
        "import sys; from solver.footage import open_footage\n"
        "frames = open_footage(sys.argv[1]).luminance()\n"
        "print(next(frames).number, next(frames).number)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 1\n", "")


def test_memory_does_not_grow_with_the_length_of_the_shot(tmp_path: Path) -> None:
    """Twice 40 frames of 3 MB: what the second 40 add to the peak is less than three frames."""
    from tests.unit.footage_files import texture, write_picture

    picture = texture(0, (1500, 2000))
    for number in range(80):
        write_picture(tmp_path / f"a_{number:03d}.tif", picture)
    code = (
        "import resource, sys; from solver.footage import open_footage\n"
        "footage, peaks = open_footage(sys.argv[1]), []\n"
        "for frame in footage.luminance():\n"
        "    if frame.index in (39, 79): peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "print(peaks[1] - peaks[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) < 9000
