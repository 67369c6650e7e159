"""The solver's modules without their work, for tests of what lies above them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from lens_solver.solver import errors
from lens_solver.solver import lens as lens_module
from lens_solver.solver import types as solver_types
from synthetic_solve import make_solve


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

    def open_footage(self, path: str) -> Any:
        given = Path(path)
        folder = given.parent if given.is_file() else given
        if not folder.is_dir():
            raise errors.InputError(f"{path} does not exist: check the path.")
        return SimpleNamespace(
            name=folder.name,
            first_file=folder / "frame.1001.png",
            kind="sequence",
            images=lambda indices: (np.full((360, 640, 3), 90, dtype=np.uint8) for _ in indices),
        )

    def solve(self, footage: Any, options: Any, progress: Callable[[float, str], None]) -> Any:
        self.calls.append(footage.name)
        self.options.append(options)
        progress(0.1, "Tracking")
        progress(0.6, "Tracking")
        progress(0.8, "Solving")
        if self.error is not None:
            raise self.error
        return make_solve(
            solver_types, lens_module, name=footage.name, first_file=str(footage.first_file), **self.changes
        )

    def modules(self) -> dict[str, ModuleType]:
        """What to put in place of the solver's modules."""
        footage = ModuleType("lens_solver.solver.footage")
        footage.open_footage = self.open_footage  # type: ignore[attr-defined]
        pipeline = ModuleType("lens_solver.solver.pipeline")
        pipeline.SolveOptions, pipeline.solve = SimpleNamespace, self.solve  # type: ignore[attr-defined]
        return {module.__name__: module for module in (footage, pipeline)}

    def install(self, set_item: Callable[[dict, str, ModuleType], None]) -> None:
        """Put the modules in place, with `monkeypatch.setitem`."""
        for name, module in self.modules().items():
            set_item(sys.modules, name, module)
