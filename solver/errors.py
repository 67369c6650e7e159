"""What can go wrong, in three kinds.

A caller's mistake is a `ValueError` or `TypeError`. Footage that cannot be solved is a `SolverError`, whose message is
one sentence for the artist: what was found, what was needed, what to try. A poor solve is no error: it is a result with
status "warnings". `Cancelled` is not a `SolverError`, so that nothing reports it as a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import SolveReport


class SolverError(Exception):
    """The footage cannot be solved; the message says why and what to try."""


class InputError(SolverError):
    """A file is missing, unreadable, or does not fit the others."""


class SceneCut(SolverError):
    """The shot holds a hard cut; `frame` is the number of the first frame after it."""

    def __init__(self, message: str, frame: int) -> None:
        super().__init__(message)
        self.frame = frame


class TooFewTracks(SolverError):
    """Not enough of the picture can be followed: `found` tracks, `needed` at least."""

    def __init__(self, message: str, found: int, needed: int) -> None:
        super().__init__(message)
        self.found = found
        self.needed = needed


class DegenerateMotion(SolverError):
    """The camera's motion determines no solution of the kind that was asked for."""


class LensUndetermined(SolverError):
    """Nothing in the footage or in what is known of it determines the focal length."""


class SolveDiverged(SolverError):
    """The adjustment ended in something that cannot be trusted; `report` says what it reached."""

    def __init__(self, message: str, report: SolveReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class Cancelled(Exception):
    """Raised by a progress callback to stop the work."""
