"""The sample clip in memory, what the tests make of it, and its truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from solver.footage import Footage, Frame, open_footage
from solver.result import plain, solve_record
from solver.types import Solve
from tests.sample_error import errors

FOLDER = Path(__file__).resolve().parents[1] / "data" / "sample"
VIDEO = FOLDER / "sample.mp4"

Picture = NDArray[np.uint8]


@dataclass(kw_only=True, eq=False)
class Clip(Footage):
    """Footage that is held in memory, as luminance."""

    pictures: Sequence[Picture] = field(default_factory=list)

    def _decode(self, start: int, stop: int) -> Generator[Frame]:
        for i in range(start, stop):
            number = int(self.frame_numbers[i])
            yield Frame(index=i, number=number, time=i / self.frame_rate, pixels=self.pictures[i])

    def _decode_colour(self, indices: list[int]) -> Iterator[Picture]:
        return (np.repeat(self.pictures[i][:, :, None], 3, axis=2) for i in indices)


def clip(pictures: Sequence[Picture], first: int = 1) -> Clip:
    """Pictures as a clip that counts from `first`."""
    height, width = pictures[0].shape
    return Clip(
        name="clip",
        path=Path("clip"),
        first_file=Path("clip"),
        kind="sequence",
        size=(width, height),
        frame_rate=24.0,
        frame_rate_known=True,
        frame_numbers=np.arange(first, first + len(pictures)),
        bit_depth=8,
        pictures=pictures,
    )


@cache
def sample() -> tuple[Picture, ...]:
    """All frames of the sample clip, as luminance."""
    return tuple(np.asarray(frame.pixels) for frame in open_footage(VIDEO).luminance())


def every_other(change: Callable[[Picture], Picture] = lambda picture: picture) -> list[Picture]:
    """Frames 1, 3, 5, .. of the sample clip: the whole move in half the time."""
    return [change(picture) for picture in sample()[::2]]


def grainy(picture: NDArray[Any], seed: int) -> Picture:
    """The picture with fresh grain, 1.6 of 255."""
    grain = np.random.default_rng(seed).normal(0, 1.6, picture.shape)
    return np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8)


def distances(solve: Solve, sample_frames: Sequence[int]) -> dict[str, float]:
    """What `sample_error` says of a solve whose frames are these frames of the sample clip, counted from 1."""
    truth = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))
    frames = [
        truth["frames"][i - 1] | {"frame": int(number)}
        for number, i in zip(solve.shot.frame_numbers, sample_frames, strict=True)
    ]
    return errors(plain(solve_record(solve, "test")), truth | {"frames": frames})


def burned_in(picture: Picture) -> Picture:
    """A letterbox, a line of text and a logo that never move."""
    changed = picture.copy()
    changed[:40] = changed[-40:] = 16
    cv2.putText(changed, "TC 01:02:03:04", (30, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 235, 2, cv2.LINE_AA)
    cv2.circle(changed, (560, 290), 24, 235, -1, cv2.LINE_AA)
    cv2.rectangle(changed, (548, 278), (572, 302), 30, -1)
    cv2.line(changed, (530, 262), (590, 318), 120, 3, cv2.LINE_AA)
    return changed


def dirty(picture: Picture) -> Picture:
    """Twenty dead pixels, and twenty soft dark spots on the lens."""
    height, width = picture.shape
    rng = np.random.default_rng(3)
    places = np.stack([rng.integers(20, width - 20, 40), rng.integers(20, height - 20, 40)], axis=1)
    changed = picture.astype(np.float32)
    for i, (x, y) in enumerate(places[:20]):
        changed[y, x] = 255 if i % 2 else 0
    spots = np.zeros((height, width), np.float32)
    spots[places[20:, 1], places[20:, 0]] = 1
    spots = cv2.GaussianBlur(spots, (0, 0), 4.0)
    changed *= 1 - 0.6 * spots / spots.max()
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)
