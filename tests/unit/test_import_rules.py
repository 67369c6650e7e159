"""The dependency rule: panels know no code of ours, operators know the solver, the solver knows only itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLENDER = ("bpy", "mathutils", "bmesh", "gpu", "blf", "bl_ui", "bpy_extras", "addon_utils", "idprop", "imbuf")

BLOCKED_IMPORT = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blender!r}:
            raise ImportError(f"{{name}} is Blender's")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, {root!r})
for name in {names!r}:
    importlib.import_module(name)
climbed = sorted(name for name in sys.modules if name.partition(".")[0] in {{"operators", "panels", "lens_solver"}})
assert not climbed, climbed
"""


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no sources in {folder}"
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Full names of what a file imports anywhere, ours as seen from the root: "solver.lens", "operators"."""
    is_package = path.name == "__init__.py"
    package = module_name(path).split(".")[: None if is_package else -1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            climbs = node.level - 1
            assert climbs <= len(package), f"{path} climbs above the extension"
            base = package[: len(package) - climbs] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            names.update(".".join([*base, alias.name]) for alias in node.names)
    return names


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def test_solver_imports_without_blender() -> None:
    names = [module_name(path) for path in sources("solver")]
    program = BLOCKED_IMPORT.format(blender=BLENDER, root=str(ROOT), names=names)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", sources("solver"), ids=module_name)
def test_solver_stays_below(path: Path) -> None:
    names = imported(path)
    assert not {name for name in names if within(name, (*BLENDER, "operators", "panels", "batch", "tests"))}


def test_importing_the_solver_alone_loads_nothing_heavy() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import solver; "
        "print(*sorted({'cv2', 'scipy', 'av', 'OpenEXR', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_the_solver_does_not_wait_for_what_it_hardly_uses() -> None:
    # scipy.stats alone takes as long to load as a short shot's lens takes to adjust
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import solver.pipeline; "
        "print(*sorted({'scipy.stats', 'scipy.signal', 'scipy.ndimage'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("path", sources("panels"), ids=module_name)
def test_panels_know_property_names_only(path: Path) -> None:
    assert not {name for name in imported(path) if within(name, ("solver", "operators", "batch"))}


@pytest.mark.parametrize("path", sources("operators"), ids=module_name)
def test_operators_do_not_know_panels(path: Path) -> None:
    assert not {name for name in imported(path) if within(name, ("panels", "tests"))}


def test_root_imports_nothing_at_module_level() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    allowed = {"__future__"}
    for node in tree.body:
        assert not isinstance(node, ast.Import), ast.unparse(node)
        assert not isinstance(node, ast.ImportFrom) or node.module in allowed, ast.unparse(node)
        assert not isinstance(node, ast.If | ast.Try | ast.With), "only plain definitions at the root"
