"""The add-on in the window of a real Blender program, worked by mouse and keyboard.

LENS_SOLVER_BLENDERS names the programs; LENS_SOLVER_GUI_FOOTAGE other footage than the sample. Pictures are left in
out/gui/ for the eye.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from desktop import ROOT, Desktop

BLENDERS = [program for program in os.environ.get("LENS_SOLVER_BLENDERS", "").split(os.pathsep) if program]
SAMPLE = ROOT / "tests" / "data" / "sample" / "sample.mp4"
SOLVE_S = 240.0

SETTINGS = "bpy.context.window_manager.windows[0].scene.lens_solver"
COUNTS = "[len(bpy.data.cameras), len(bpy.data.meshes), len(bpy.data.collections), len(bpy.data.actions)]"

# Of the sidebar in the interface's pixels at scale 1, from its top and right edge.
TAB_X = 9
FOLDER_X = 49
CLIP_ROW = 46
BUTTON_ROW = 99
CANCEL_X = 49
CANCEL_ROW = 96
KNOWN_ROW = 136
PART_ROW = 162
SHOW_X = 71
SHOW_ROW = 487


@pytest.fixture(params=BLENDERS or [None], ids=lambda program: Path(program).name if program else "none")
def desktop(request: pytest.FixtureRequest) -> Iterator[Desktop]:
    assert request.param, "name Blender programs in LENS_SOLVER_BLENDERS"
    assert shutil.which("Xvfb") and shutil.which("xdotool"), "Xvfb and xdotool are needed"
    pictures = ROOT / "out" / "gui" / Path(request.param).name / request.node.name.replace("/", "_")
    with Desktop(request.param, pictures) as window:
        yield window


@pytest.fixture
def footage() -> Iterator[Path]:
    """The footage, in a folder that Blender in another root sees as well."""
    source = Path(os.environ.get("LENS_SOLVER_GUI_FOOTAGE", SAMPLE))
    with tempfile.TemporaryDirectory(prefix="lens_solver_footage_") as folder:
        if source.is_dir():
            for file in source.iterdir():
                shutil.copy(file, folder)
        else:
            shutil.copy(source, folder)
        yield min(Path(folder).iterdir())


def sidebar(desktop: Desktop, editor: str) -> tuple[int, int, int, int]:
    """Left, bottom, width and height of an editor's sidebar."""
    left, bottom, width, height = desktop.ask(f"areas({editor!r})")[0]["UI"]
    return left, bottom, width, height


def hover(desktop: Desktop, editor: str) -> None:
    """Put the mouse into the middle of an editor, left of its sidebar."""
    left, bottom, width, height = desktop.ask(f"areas({editor!r})")[0]["WINDOW"]
    desktop.move(left + width * 0.4, bottom + height * 0.4)


def open_tab(desktop: Desktop, editor: str) -> None:
    """Open the sidebar with N and click through its tabs down to ours."""
    hover(desktop, editor)
    if sidebar(desktop, editor)[2] < 50:
        desktop.key("n")
    desktop.wait_until(lambda: sidebar(desktop, editor)[2] > 50, "the sidebar is open")
    left, bottom, width, height = sidebar(desktop, editor)
    for down in range(20, min(height, 500), 12):
        desktop.click(left + width - TAB_X, bottom + height - down)
        if desktop.ask(f"open_tab({editor!r})") == "Lens Solver":
            return
    raise AssertionError("there is no tab Lens Solver")


def click_in_sidebar(desktop: Desktop, editor: str, from_right: float, from_top: float) -> None:
    left, bottom, width, height = sidebar(desktop, editor)
    desktop.click(left + width - from_right, bottom + height - from_top)


def click_solve(desktop: Desktop, editor: str) -> None:
    click_in_sidebar(desktop, editor, 120, BUTTON_ROW)
    desktop.wait_for(f"{SETTINGS}.is_solving", 5)


def set_clip(desktop: Desktop, footage: Path) -> None:
    desktop.ask(f"bpy.ops.lens_solver.choose_footage(filepath={str(footage)!r}) and None")


def wait_until_solved(desktop: Desktop) -> None:
    desktop.wait_for(f"not {SETTINGS}.is_solving", SOLVE_S)
    failure = desktop.ask(f"{SETTINGS}.failure")
    assert not failure, f"{failure}\n{desktop.log[-3000:]}"
    assert desktop.ask(f"{SETTINGS}.result.status") in ("SOLVED", "WARNINGS")


def end(desktop: Desktop) -> None:
    """Quit; neither crash nor traceback may have happened."""
    assert desktop.quit() == 0
    assert "Traceback" not in desktop.log, desktop.log


def test_footage_solve_cancel_undo_redo(desktop: Desktop, footage: Path) -> None:
    editor = "VIEW_3D"
    open_tab(desktop, editor)
    desktop.picture("1_no_footage")

    click_in_sidebar(desktop, editor, FOLDER_X, CLIP_ROW)
    desktop.wait_for("bool(areas('FILE_BROWSER'))")
    space = "next(a for a in bpy.context.window_manager.windows[0].screen.areas if a.type == 'FILE_BROWSER').spaces[0]"
    desktop.wait_for(f"{space}.params is not None")
    desktop.ask(f"setattr({space}.params, 'directory', {os.fsencode(footage.parent)!r})")
    desktop.ask(f"setattr({space}.params, 'filename', {footage.name!r})")
    hover(desktop, "FILE_BROWSER")
    desktop.picture("2_file_browser")
    desktop.key("Return")
    desktop.wait_for(f"{SETTINGS}.clip is not None")
    desktop.wait_for(f"bool(areas({editor!r}))")

    before = desktop.ask(COUNTS)
    click_solve(desktop, editor)
    hover(desktop, editor)
    desktop.wait_for(f"{SETTINGS}.progress > 0.05", SOLVE_S)
    desktop.picture("3_solving")
    assert desktop.ask(f"{SETTINGS}.progress_text")
    desktop.key("Escape")
    desktop.wait_for(f"not {SETTINGS}.is_solving", 10)
    assert desktop.ask(COUNTS) == before
    assert desktop.ask(f"{SETTINGS}.result.status") == "NONE"
    desktop.picture("4_cancelled")

    click_solve(desktop, editor)
    hover(desktop, editor)
    wait_until_solved(desktop)
    desktop.picture("5_solved")
    after = desktop.ask(COUNTS)
    assert after != before
    camera = "bpy.context.window_manager.windows[0].scene.camera.name"
    assert desktop.ask(camera) == "Lens Solver Camera"

    desktop.key("ctrl+z")
    desktop.wait_until(lambda: desktop.ask(COUNTS) == before, "one undo takes the whole solve back", 10)
    assert desktop.ask(camera) == "Camera"
    assert desktop.ask(f"{SETTINGS}.clip is not None")
    desktop.key("ctrl+shift+z")
    desktop.wait_until(lambda: desktop.ask(COUNTS) == after, "one redo brings it back", 10)
    assert desktop.ask(camera) == "Lens Solver Camera"
    assert desktop.ask(f"{SETTINGS}.result.status") in ("SOLVED", "WARNINGS")

    scene = "bpy.context.window_manager.windows[0].scene"
    desktop.ask("bpy.data.objects['Cube'].hide_set(True)")
    desktop.ask(f"{scene}.frame_set({scene}.frame_end)")
    view = (
        "next(a for a in bpy.context.window_manager.windows[0].screen.areas if a.type == 'VIEW_3D').spaces[0].region_3d"
    )
    desktop.ask(f"setattr({view}, 'view_perspective', 'CAMERA')")
    hover(desktop, editor)
    desktop.key("Home")
    desktop.picture("6_through_the_camera")
    end(desktop)


def test_clip_editor_and_cancel_button(desktop: Desktop, footage: Path) -> None:
    editor = "CLIP_EDITOR"
    desktop.ask("setattr(max(bpy.context.window_manager.windows[0].screen.areas,"
                " key=lambda a: a.width * a.height), 'ui_type', 'CLIP_EDITOR')")  # fmt: skip
    set_clip(desktop, footage)
    clip_space = (
        "next(a for a in bpy.context.window_manager.windows[0].screen.areas if a.type == 'CLIP_EDITOR').spaces[0]"
    )
    desktop.ask(f"setattr({clip_space}, 'clip', {SETTINGS}.clip)")
    open_tab(desktop, editor)

    before = desktop.ask(COUNTS)
    click_solve(desktop, editor)
    desktop.wait_for(f"{SETTINGS}.progress > 0.02", SOLVE_S)
    desktop.picture("1_solving")
    click_in_sidebar(desktop, editor, CANCEL_X, CANCEL_ROW)
    desktop.wait_for(f"not {SETTINGS}.is_solving", 10)
    assert desktop.ask(COUNTS) == before

    click_solve(desktop, editor)
    wait_until_solved(desktop)
    hover(desktop, editor)
    desktop.key("Home")
    desktop.picture("2_tracks")
    click_solve(desktop, editor)
    wait_until_solved(desktop)
    names = desktop.ask(f"[t.name for t in {SETTINGS}.clip.tracking.tracks]")
    assert len(names) == len(set(names)) > 20 and all(name.startswith("LS.") for name in names)
    end(desktop)


def test_known_values_and_ranges_not_to_be_trusted(desktop: Desktop, footage: Path) -> None:
    """Every row of the panels is drawn; one range is gone to with its button."""
    editor = "VIEW_3D"
    set_clip(desktop, footage)
    open_tab(desktop, editor)
    click_solve(desktop, editor)
    hover(desktop, editor)
    wait_until_solved(desktop)
    chosen = {"use_focal": True, "focal_lock": False, "rolling_shutter": "VALUE", "matte": "FILE", "use_frames": True}
    for name, value in chosen.items():
        desktop.ask(f"setattr({SETTINGS}, {name!r}, {value!r})")
    click_in_sidebar(desktop, editor, 150, PART_ROW)
    click_in_sidebar(desktop, editor, 150, KNOWN_ROW)
    hover(desktop, editor)
    desktop.picture("1_known_values")

    result = f"{SETTINGS}.result"
    found = {"kind": "Tripod zoom 28-60 mm, no depth", "focal_longest_mm": 60.0, "is_upright": True, "readout": 0.4}
    for name, value in found.items():
        desktop.ask(f"setattr({result}, {name!r}, {value!r})")
    desktop.ask(f"{result}.bad_ranges.add() and None")
    bad = {"first": 20, "last": 31, "reason": "Focal length and path cannot be told apart here: little parallax."}
    for name, value in bad.items():
        desktop.ask(f"setattr({result}.bad_ranges[0], {name!r}, {value!r})")
    click_in_sidebar(desktop, editor, 150, KNOWN_ROW)
    click_in_sidebar(desktop, editor, 150, PART_ROW)
    hover(desktop, editor)
    desktop.picture("2_not_to_be_trusted")
    click_in_sidebar(desktop, editor, SHOW_X, SHOW_ROW)
    scene = "bpy.context.window_manager.windows[0].scene"
    desktop.wait_for(f"{scene}.use_preview_range and {scene}.frame_current == 20", 10)
    assert desktop.ask(f"[{scene}.frame_preview_start, {scene}.frame_preview_end]") == [20, 31]
    end(desktop)


@pytest.mark.parametrize(
    "event",
    [
        "bpy.ops.wm.read_homefile(use_factory_startup=True) and None",
        "disable()",
        "bpy.data.scenes.new('other') and bpy.data.scenes.remove(bpy.data.scenes['Scene'])",
    ],
    ids=["file_loaded", "disabled", "scene_removed"],
)
def test_what_ends_a_solve_leaves_blender_well(desktop: Desktop, footage: Path, event: str) -> None:
    set_clip(desktop, footage)
    open_tab(desktop, "VIEW_3D")
    click_solve(desktop, "VIEW_3D")
    desktop.wait_for(f"{SETTINGS}.progress > 0.02", SOLVE_S)
    desktop.ask(event, 20)
    threads = "[t.name for t in __import__('threading').enumerate()]"
    desktop.wait_until(lambda: "Lens Solver" not in desktop.ask(threads), "the solver's thread has ended", SOLVE_S)
    assert not desktop.ask("any(c.name.startswith('Lens Solver') for c in bpy.data.cameras)")
    end(desktop)


def test_a_clip_removed_during_the_solve_is_loaded_again(desktop: Desktop, footage: Path) -> None:
    set_clip(desktop, footage)
    open_tab(desktop, "VIEW_3D")
    click_solve(desktop, "VIEW_3D")
    desktop.ask(f"bpy.data.movieclips.remove({SETTINGS}.clip)")
    hover(desktop, "VIEW_3D")
    wait_until_solved(desktop)
    assert desktop.ask(f"{SETTINGS}.clip is not None and len(bpy.data.movieclips) == 1")
    end(desktop)


@pytest.mark.parametrize("blender", BLENDERS or [None])
def test_the_command_of_the_installed_extension(blender: str | None, footage: Path) -> None:
    assert blender, "name Blender programs in LENS_SOLVER_BLENDERS"
    output = footage.parent / "out"
    profile = footage.parent / "profile"
    profile.mkdir()
    desk = footage.parent / "desk"
    desk.mkdir()
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(profile), "LENS_SOLVER_BIND": str(ROOT)}
    environment["LENS_SOLVER_DESK"] = str(desk)
    command = [blender, "--background", "--factory-startup", "--python", str(ROOT / "tests" / "gui" / "inside.py")]
    command += ["--command", "lens_solver", str(footage), "--output", str(output)]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SOLVE_S, check=False, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(list(output.glob("*.blend"))) == 1
