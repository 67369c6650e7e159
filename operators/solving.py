"""Calling the solver: the one place that knows what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..solver.errors import InputError
from .shot_settings import Matte, ShotSettings, Told, told

if TYPE_CHECKING:
    from ..solver.footage import Footage
    from ..solver.footage.matte import Matte as SolverMatte
    from ..solver.known import KnownValues
    from ..solver.pipeline import SolveOptions
    from ..solver.progress import Progress
    from ..solver.types import Solve


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """A solved shot and what the solve was told.

    Attributes
    ----------
    solve : Solve
    known : KnownValues
    notes : tuple of str
        What was assumed, one sentence each.
    """

    solve: Solve
    known: KnownValues
    notes: tuple[str, ...]


def solve_shot(path: str, settings: ShotSettings, progress: Progress, earlier: Solve | None = None) -> Solved:
    """Solve a shot, or a range of one that was solved before.

    Parameters
    ----------
    path : str
        Of the footage.
    settings : ShotSettings
    progress : Progress
    earlier : Solve or None
        Without it the frames of the settings' range alone are read and solved. With it the range is solved again, and
        the rest of the earlier solve stays as it is.

    Raises
    ------
    SolverError, Cancelled
    """
    from ..solver.footage import open_footage

    progress(0.0, "Reading the footage")
    footage = open_footage(path, settings.frames if earlier is None else None)
    return solve_footage(footage, settings, progress, earlier)


def solve_footage(footage: Footage, settings: ShotSettings, progress: Progress, earlier: Solve | None = None) -> Solved:
    """The same for footage that is open: a range of it, or the whole with `earlier`."""
    from ..solver.pipeline import solve

    if earlier is not None and earlier.shot.size != footage.size:
        width, height = earlier.shot.size
        raise InputError(
            f"The earlier solve is of pictures of {width}x{height} pixels, the footage has "
            f"{footage.size[0]}x{footage.size[1]}: solve the whole shot again."
        )
    given = told(settings, footage)
    options = _options(given, settings, _opened(settings.matte, footage), earlier)
    return Solved(solve=solve(footage, options, progress), known=given.known, notes=given.notes)


def _opened(chosen: Matte | None, footage: Footage) -> SolverMatte | None:
    if chosen is None:
        return None
    from ..solver.footage.matte import DrawnMatte, open_matte, polygon_mask

    if chosen.outlines is None:
        return open_matte(chosen.path, footage, chosen.invert)
    outlines, size = chosen.outlines, footage.size

    def draw(number: int) -> NDArray[np.bool_]:
        return polygon_mask([outline * size for outline in outlines.get(number, ())], size)

    return DrawnMatte(draw, chosen.invert)


def _options(given: Told, settings: ShotSettings, matte: SolverMatte | None, earlier: Solve | None) -> SolveOptions:
    from ..solver.pipeline import SolveOptions

    return SolveOptions(
        sensor_width_mm=given.sensor_width_mm,
        known=given.known,
        matte=matte,
        earlier=earlier,
        # without an earlier solve the footage is the range already
        frames=settings.frames if earlier is not None else None,
    )
