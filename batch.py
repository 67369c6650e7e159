"""Solve shots from the command line.

    blender -b --python batch.py -- FOOTAGE [FOOTAGE ...] --output DIR [options]     in any Blender
    python batch.py FOOTAGE [FOOTAGE ...] --output DIR [options]                     with the bpy wheel
    blender --command lens_solver FOOTAGE [FOOTAGE ...] --output DIR [options]       with the extension installed

`--help` lists the options.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent
PACKAGE = "lens_solver"


def load_package() -> ModuleType:
    """This folder as a package, whatever it is called, so that its relative imports work."""
    spec = importlib.util.spec_from_file_location(PACKAGE, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{ROOT} is not the Lens Solver")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)
    return package


def find_libraries() -> str | None:
    """Make the third-party packages importable; what to do where they are not.

    A Blender program has none of its own beside numpy: for it `vendor/wheels.py unpack` laid them beside this file.
    """
    if importlib.util.find_spec("cv2") is None:
        unpacked = ROOT / "vendor" / "unpacked" / f"cp{sys.version_info.major}{sys.version_info.minor}"
        sys.path.append(str(unpacked))
    missing = [name for name in ("numpy", "cv2", "scipy", "av", "ruamel") if importlib.util.find_spec(name) is None]
    if missing:
        return (
            f"This Python {sys.version_info.major}.{sys.version_info.minor} lacks {', '.join(missing)}:"
            f" run `python {ROOT / 'vendor' / 'wheels.py'} unpack`, or install the extension."
        )
    return None


def arguments() -> list[str]:
    """What was given to this program: inside Blender, what follows `--`."""
    if "bpy" in sys.modules:
        return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    return sys.argv[1:]


def main() -> int:
    """Run the command line; its exit code."""
    problem = find_libraries()
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    load_package()
    command_line = importlib.import_module(f"{PACKAGE}.operators.command_line")
    code: int = command_line.main(arguments())
    return code


if __name__ == "__main__":
    sys.exit(main())
