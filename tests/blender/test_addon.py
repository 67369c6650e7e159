"""Registration: what it brings, what it leaves, how long it takes; every class and property explained."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import bpy
import pytest
from conftest import ROOT, load_package
from lens_solver.operators import settings

ENABLE_LIMIT_S = 0.2
HEAVY = ("cv2", "scipy", "av", "OpenEXR", "numpy", "torch")

TIMED = """
import importlib.util, sys, time
import bpy
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("lens_solver", {init!r}, submodule_search_locations=[{root!r}])
package = importlib.util.module_from_spec(spec); sys.modules["lens_solver"] = package
started = time.perf_counter()
spec.loader.exec_module(package); package.register()
seconds = time.perf_counter() - started
loaded = sorted({{name.partition(".")[0] for name in set(sys.modules) - before}} & set({heavy!r}))
package.unregister()
print("RESULT", seconds, *loaded)
"""


def ours() -> list[str]:
    """Everything in Blender with our name on it."""
    found = [name for name in dir(bpy.types) if name.startswith("LENS_SOLVER")]
    for owner in (bpy.types.Scene, bpy.types.WindowManager, bpy.types.Object, bpy.types.MovieClip):
        found += [prop.identifier for prop in owner.bl_rna.properties if prop.identifier.startswith("lens_solver")]
    found += dir(bpy.ops.lens_solver)
    found += [cls.__name__ for cls in bpy.types.Panel.__subclasses__() if getattr(cls, "is_registered", False)
              and cls.__name__.startswith("LENS_SOLVER")]  # fmt: skip
    return found


def test_registering_twice_leaves_nothing() -> None:
    package = load_package()
    assert ours() == []
    for _ in range(2):
        package.register()
        assert "LENS_SOLVER_PT_view3d_solve" in ours() and "solve_camera" in ours()
        package.unregister()
        assert ours() == []


def test_enabling_is_fast_and_loads_nothing_heavy() -> None:
    program = TIMED.format(init=str(ROOT / "__init__.py"), root=str(ROOT), heavy=HEAVY)
    command = [sys.executable, "-c", program]
    if bpy.app.binary_path:  # a Blender program; as a module Blender has none
        command = [bpy.app.binary_path, "--background", "--factory-startup", "--python-expr", program]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT"))
    _, seconds, *heavy = line.split()
    assert heavy == []
    assert float(seconds) < ENABLE_LIMIT_S


def modules() -> Iterator[ModuleType]:
    for folder in ("operators", "panels"):
        for path in sorted((ROOT / folder).glob("*.py")):
            if path.stem != "__init__":
                yield import_module(f"lens_solver.{folder}.{path.stem}")


def test_every_class_is_in_its_modules_tuple() -> None:
    kinds = (bpy.types.Operator, bpy.types.Panel, bpy.types.PropertyGroup, bpy.types.UIList, bpy.types.Menu)
    for module in modules():
        defined = {
            cls
            for _, cls in inspect.getmembers(module, inspect.isclass)
            if issubclass(cls, kinds) and cls.__module__ == module.__name__
        }
        assert defined == set(getattr(module, "classes", ())), module.__name__


@pytest.mark.usefixtures("addon")
def test_everything_says_what_it_is() -> None:
    for module in modules():
        for cls in getattr(module, "classes", ()):
            if issubclass(cls, bpy.types.Operator):
                rna = getattr(bpy.ops.lens_solver, cls.bl_idname.partition(".")[2]).get_rna_type()
                assert cls.bl_description and not cls.bl_description.endswith("."), cls
            else:
                rna = cls.bl_rna
            for prop in rna.properties:
                if prop.identifier not in ("rna_type", "name") and prop.identifier in cls.__annotations__:
                    assert prop.name and prop.description, (cls, prop.identifier)
                    assert not prop.description.endswith("."), (cls, prop.identifier)


def test_sensor_presets_are_sound() -> None:
    data = json.loads((ROOT / "presets" / "sensors.json").read_text())
    assert data["schema"] == 1
    sensors = data["sensors"]
    for key in ("id", "number", "name"):
        values = [sensor[key] for sensor in sensors]
        assert len(set(values)) == len(values), key
    for sensor in sensors:
        assert sensor["number"] > 1 and 4 < sensor["width_mm"] < 60
        assert sensor["note"].startswith(f"{sensor['width_mm']:g} x") or f"{sensor['width_mm']:.2f} x" in sensor["note"]
    assert settings.load_sensors() == sensors


@pytest.mark.usefixtures("addon")
def test_sensor_setting_becomes_the_solvers_option(footage: Path) -> None:
    chosen, clip = bpy.context.scene.lens_solver, bpy.data.movieclips.load(str(footage / "frame.1001.png"))
    assert settings.to_settings(chosen, clip).sensor_width_mm is None
    chosen.sensor = "ARRI_ALEXA_LF"
    assert settings.to_settings(chosen, clip).sensor_width_mm == pytest.approx(36.70)
    chosen.sensor, chosen.sensor_width_mm = "CUSTOM", 5.5
    assert settings.to_settings(chosen, clip).sensor_width_mm == pytest.approx(5.5)


def test_settings_are_kept_in_the_file(addon: ModuleType, tmp_path: Path) -> None:
    bpy.context.scene.lens_solver.sensor = "SONY_VENICE"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    assert bpy.context.scene.lens_solver.sensor == "FOOTAGE"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    assert bpy.context.scene.lens_solver.sensor == "SONY_VENICE"
    assert addon is not None
