"""The solver's modules without their work, for tests of what lies above them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from lens_solver.solver import errors
from lens_solver.solver import lens as lens_module
from lens_solver.solver import types as solver_types
from lens_solver.solver.footage import matte as real_matte
from synthetic_solve import make_solve


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the solver's options hold, as far as the artist's side knows them."""

    sensor_width_mm: float | None = None
    known: Any = None
    matte: Any = None
    frames: tuple[int, int] | None = None
    earlier: Any = None


class StandIn:
    """Opens a folder of frames or one frame of it, and returns the synthetic solve.

    Attributes
    ----------
    calls : list of str
        Names of the shots that were solved.
    options : list
        The options of each.
    error : Exception or None
        Raised instead of returning.
    changes : dict
        Arguments of `make_solve`.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.options: list[Any] = []
        self.error: Exception | None = None
        self.changes: dict[str, Any] = {}

    def open_footage(self, path: str, frames: tuple[int, int] | None = None) -> Any:
        given = Path(path)
        folder = given.parent if given.is_file() else given
        if not folder.is_dir():
            raise errors.InputError(f"{path} does not exist: check the path.")
        return self.part_of(
            SimpleNamespace(
                name=folder.name,
                kind="sequence",
                size=(640, 360),
                metadata={},
                frame_numbers=np.arange(1001, 1013),
                images=lambda indices: (np.full((360, 640, 3), 90, dtype=np.uint8) for _ in indices),
                folder=folder,
            ),
            *(frames or (1001, 1012)),
        )

    def part_of(self, footage: Any, first: int, last: int) -> Any:
        numbers = footage.frame_numbers[(footage.frame_numbers >= first) & (footage.frame_numbers <= last)]
        first_file = footage.folder / f"frame.{numbers[0]}.png"
        return SimpleNamespace(**(vars(footage) | {"frame_numbers": numbers, "first_file": first_file}))

    def solve(self, footage: Any, options: Any, progress: Callable[[float, str], None]) -> Any:
        self.calls.append(footage.name)
        self.options.append(options)
        progress(0.1, "Tracking")
        progress(0.6, "Tracking")
        progress(0.8, "Solving")
        if self.error is not None:
            raise self.error
        changes = {"first_frame": int(footage.frame_numbers[0]), "frames": len(footage.frame_numbers)} | self.changes
        return make_solve(solver_types, lens_module, name=footage.name, first_file=str(footage.first_file), **changes)

    def modules(self) -> dict[str, ModuleType]:
        """What to put in place of the solver's modules."""
        footage = ModuleType("lens_solver.solver.footage")
        footage.open_footage, footage.part_of = self.open_footage, self.part_of  # type: ignore[attr-defined]
        matte: Any = ModuleType("lens_solver.solver.footage.matte")
        matte.open_matte = lambda path, _, invert: SimpleNamespace(path=path, invert=invert, alpha=path is None)
        matte.DrawnMatte, matte.polygon_mask = real_matte.DrawnMatte, real_matte.polygon_mask
        pipeline = ModuleType("lens_solver.solver.pipeline")
        pipeline.SolveOptions, pipeline.solve = Options, self.solve  # type: ignore[attr-defined]
        return {module.__name__: module for module in (footage, matte, pipeline)}

    def install(self, set_item: Callable[[dict, str, ModuleType], None]) -> None:
        """Put the modules in place, with `monkeypatch.setitem`."""
        for name, module in self.modules().items():
            set_item(sys.modules, name, module)
