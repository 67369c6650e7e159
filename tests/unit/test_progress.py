"""Progress that never falls, and cancelling."""

from __future__ import annotations

import pytest

from solver.errors import Cancelled
from solver.progress import Progress


def recorded() -> tuple[list[tuple[float, str]], Progress]:
    seen: list[tuple[float, str]] = []
    return seen, Progress(lambda fraction, message: seen.append((fraction, message)))


def test_fractions_arrive_with_their_messages() -> None:
    seen, progress = recorded()
    progress(0.25, "first")
    progress(1.0, "last")
    assert seen == [(0.25, "first"), (1.0, "last")]


def test_fractions_stay_within_the_bar_and_never_fall() -> None:
    seen, progress = recorded()
    for fraction in (-1.0, 0.5, 0.3, 2.0, 0.9):
        progress(fraction, "")
    assert [fraction for fraction, _ in seen] == [0.0, 0.5, 0.5, 1.0, 1.0]


def test_parts_fill_their_range() -> None:
    seen, progress = recorded()
    part = progress.part(0.2, 0.6)
    for fraction in (0.0, 0.5, 1.0):
        part(fraction, "")
    assert [fraction for fraction, _ in seen] == pytest.approx([0.2, 0.4, 0.6])


def test_parts_of_parts() -> None:
    seen, progress = recorded()
    inner = progress.part(0.5, 1.0).part(0.5, 1.0)
    inner(0.0, "")
    inner(1.0, "")
    assert [fraction for fraction, _ in seen] == pytest.approx([0.75, 1.0])


def test_without_a_callback_nothing_happens() -> None:
    progress = Progress()
    progress(0.5, "")
    progress.part(0.0, 0.5)(1.0, "")


def test_cancelling_passes_through_every_part() -> None:
    def cancel(fraction: float, message: str) -> None:
        del message
        if fraction > 0.3:
            raise Cancelled

    part = Progress(cancel).part(0.0, 0.5).part(0.0, 1.0)
    part(0.5, "")
    with pytest.raises(Cancelled):
        part(0.7, "")
