"""Install a built zip into a clean profile, enable and solve; in a later run disable. What was seen goes to a JSON.

Started by test_package.py inside a Blender program or a Python with the bpy wheel, with
BLENDER_USER_RESOURCES naming an empty folder:

    ... install_zip.py -- ZIP REPORT FOOTAGE
    ... install_zip.py -- installed REPORT      enable what an earlier run installed, and disable it
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import bpy

HEAVY = ("cv2", "scipy", "av", "OpenEXR", "torch")
MODULE = "bl_ext.user_default.lens_solver"


def registered() -> list[str]:
    """Names of every class, property and operator of the add-on that Blender knows at the moment."""
    found = [f"class {name}" for name in dir(bpy.types) if name.upper().startswith("LENS_SOLVER")]
    owners = (bpy.types.Scene, bpy.types.WindowManager, bpy.types.MovieClip, bpy.types.Object, bpy.types.Camera)
    found += [f"{owner.__name__}.lens_solver" for owner in owners if hasattr(owner, "lens_solver")]
    found += [f"operator {name}" for name in dir(bpy.ops.lens_solver)]
    return found


def loaded() -> list[str]:
    return [name for name in HEAVY if name in sys.modules]


def solve(footage: str) -> dict[str, object]:
    """Solve footage as the button does; return what an artist would find."""
    scene = bpy.context.scene
    settings = scene.lens_solver
    settings.clip = bpy.data.movieclips.load(footage)
    finished = bpy.ops.lens_solver.solve_camera()
    places = set()
    for frame in (scene.frame_start, scene.frame_end):
        scene.frame_set(frame)
        places.add(tuple(scene.camera.matrix_world.translation))
    return {
        "finished": sorted(finished),
        "status": settings.result.status,
        "focal_px": scene.camera.data.lens / scene.camera.data.sensor_width * scene.render.resolution_x,
        "frames": scene.frame_end - scene.frame_start + 1,
        "moved": len(places) == 2,
    }


def enable_installed() -> dict[str, object]:
    """Enable the add-on as Blender does when it starts, with its wheels in place; disable it."""
    # With the bpy wheel this module is found only once bpy has been imported.
    import addon_utils

    start = time.perf_counter()
    addon_utils.enable(MODULE, default_set=True)
    seconds = time.perf_counter() - start
    report: dict[str, object] = {"seconds": seconds, "loaded": loaded(), "registered": registered()}

    bpy.ops.preferences.addon_disable(module=MODULE)
    report["after"] = registered()
    return report


def install(zip_path: str, footage: str) -> dict[str, object]:
    """Install, enable, solve."""
    report: dict[str, object] = {"before": registered()}

    result = bpy.ops.extensions.package_install_files(
        filepath=zip_path, repo="user_default", enable_on_install=False, overwrite=True
    )
    report["install"] = sorted(result)
    # Blender unpacks the wheels when the extension is enabled for the first time.
    bpy.ops.preferences.addon_enable(module=MODULE)
    report["enabled"] = MODULE in bpy.context.preferences.addons
    report["loaded"] = loaded()
    report["registered"] = registered()

    site = [Path(folder) for folder in sys.path if ".local" in Path(folder).parts and "extensions" in folder]
    report["site"] = [str(folder) for folder in site]
    report["wheels"] = sorted({entry.name for folder in site for entry in folder.iterdir() if entry.is_dir()})
    # What the zip carries must work with the numpy of this Blender, whatever else is installed here.
    sys.path[:0] = [str(folder) for folder in site]
    imports: dict[str, str] = {}
    for name in ("numpy", "scipy.linalg", "scipy.sparse.linalg", "scipy.spatial", "cv2", "av", "OpenEXR"):
        try:
            __import__(name)
            imports[name] = str(sys.modules[name.partition(".")[0]].__file__)
        except ImportError as error:
            imports[name] = f"failed: {error}"
    report["imports"] = imports

    report["solve"] = solve(footage)
    return report


def main() -> None:
    zip_path, report_path, *footage = sys.argv[sys.argv.index("--") + 1 :]
    report = enable_installed() if zip_path == "installed" else install(zip_path, *footage)
    report["python"] = sys.version_info[:2]
    report["blender"] = bpy.app.version
    Path(report_path).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
