"""Runs inside the Blender program that is tested: enables the checkout as an extension and answers questions.

    LENS_SOLVER_DESK=FOLDER blender --factory-startup --python inside.py

The desk is a folder. A question is an expression in `question.json`; its value goes into `answer.json`. Questions are
answered from a timer, so an answer also shows that Blender's event loop runs.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

import addon_utils
import bpy

ROOT = Path(__file__).resolve().parents[2]
MODULE = "bl_ext.dev.lens_solver"
INTERVAL_S = 0.05

# At the end, so that Blender's own numpy comes first.
sys.path.append(str(ROOT / "vendor" / "unpacked" / f"cp{sys.version_info[0]}{sys.version_info[1]}"))
sys.dont_write_bytecode = True

desk = Path(os.environ["LENS_SOLVER_DESK"])


def enable() -> None:
    """Enable the checkout, whatever its folder is called, as the extension `lens_solver`.

    Debian's newest Blender runs a Python for which the extension has no wheels, and refuses it: there the package is
    registered as it is.
    """
    folder = desk / "extensions"
    folder.mkdir()
    (folder / "lens_solver").symlink_to(ROOT, target_is_directory=True)
    if sys.version_info[:2] not in ((3, 11), (3, 13)):
        sys.path.append(str(folder))
        importlib.import_module("lens_solver").register()
        return
    repos = bpy.context.preferences.extensions.repos
    repo = repos.new(name="dev", module="dev", custom_directory=str(folder), remote_url="", source="USER")
    repo.use_custom_directory = True
    addon_utils.enable(MODULE, default_set=True)


def disable() -> None:
    """Undo `enable`."""
    if "lens_solver" in sys.modules:
        sys.modules["lens_solver"].unregister()
    else:
        addon_utils.disable(MODULE, default_set=True)


def areas(kind: str) -> list[dict[str, list[int]]]:
    """Regions of the areas of a kind in the first window: x, y (from the bottom), width, height."""
    window = bpy.context.window_manager.windows[0]
    return [
        {region.type: [region.x, region.y, region.width, region.height] for region in area.regions}
        for area in window.screen.areas
        if area.type == kind
    ]


def open_tab(kind: str) -> str:
    """The tab that an editor's sidebar shows; only for editors that have one: asking others crashes Blender 4.3."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == kind)
    return next(region.active_panel_category for region in area.regions if region.type == "UI")


def answer() -> float:
    question = desk / "question.json"
    try:
        asked = json.loads(question.read_text())
    except (OSError, ValueError):
        return INTERVAL_S
    question.unlink()
    try:
        names = {"bpy": bpy, "areas": areas, "open_tab": open_tab, "disable": disable}
        value = eval(asked["expression"], names)
        reply = {"number": asked["number"], "value": value}
        text = json.dumps(reply)
    except Exception:  # noqa: BLE001 - the test reports it
        text = json.dumps({"number": asked["number"], "error": traceback.format_exc()})
    partial = desk / "answer.part"
    partial.write_text(text)
    partial.replace(desk / "answer.json")
    return INTERVAL_S


preferences = bpy.context.preferences
preferences.view.show_splash = False
preferences.view.ui_scale = 1.0
preferences.filepaths.file_preview_type = "NONE"
preferences.view.filebrowser_display_type = "SCREEN"
enable()
bpy.app.timers.register(answer, persistent=True)
