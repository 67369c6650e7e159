"""The checkout as the package `lens_solver`, and a clean file before each test."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).resolve().parent))

bpy = pytest.importorskip("bpy", reason="needs bpy: its wheel, or a Blender program")


def load_package() -> ModuleType:
    """The checkout, whatever its folder is called, as `lens_solver`."""
    if "lens_solver" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "lens_solver", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        assert spec is not None and spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules["lens_solver"] = package
        spec.loader.exec_module(package)
    return sys.modules["lens_solver"]


load_package()

from stand_in import StandIn  # noqa: E402 - needs the package


@pytest.fixture(autouse=True)
def empty_file() -> None:
    bpy.ops.wm.read_homefile(use_empty=True)


@pytest.fixture
def addon() -> Iterator[ModuleType]:
    """The add-on, registered for one test."""
    package = load_package()
    package.register()
    yield package
    package.unregister()


def _frames(folder: Path, width: int, height: int) -> Path:
    image = bpy.data.images.new("frame", width, height)
    image.file_format = "PNG"
    for number in range(1001, 1013):
        image.save(filepath=str(folder / f"frame.{number}.png"))
    return folder


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of twelve black frames, 1001 to 1012, 640 x 360."""
    return _frames(tmp_path_factory.mktemp("footage"), 640, 360)


@pytest.fixture(scope="session")
def portrait_footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, 360 x 640."""
    return _frames(tmp_path_factory.mktemp("portrait"), 360, 640)


@pytest.fixture
def solver(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in for the solver's footage and pipeline."""
    stand_in = StandIn()
    stand_in.install(monkeypatch.setitem)
    return stand_in
