"""Progress of long work, as a fraction that never falls, and the way to cancel it.

The callback that the caller hands in receives (fraction, message). To cancel, it raises `Cancelled`; solver code lets
that pass.
"""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[float, str], None]


class Progress:
    """A part of a bar: `progress(0.5, "Tracking")` is half of this part.

    Parameters
    ----------
    report : callable(fraction, message) or None
        Receives the fraction of the whole bar, 0 to 1, never falling.
    start, end : float
        This part of the whole bar.
    """

    def __init__(self, report: ProgressCallback | None = None, start: float = 0.0, end: float = 1.0) -> None:
        self._report = report
        self._start = start
        self._end = end
        self._last = 0.0

    def __call__(self, fraction: float, message: str) -> None:
        self._last = max(self._last, min(max(fraction, 0.0), 1.0))
        if self._report is not None:
            self._report(self._start + self._last * (self._end - self._start), message)

    def part(self, start: float, end: float) -> Progress:
        """The sub-range [start, end] of this bar as a bar of its own."""
        span = self._end - self._start
        return Progress(self._report, self._start + start * span, self._start + end * span)
