"""The command line: footage in, files out, without a window.

`batch.py` and `blender --command lens_solver` both end here. Blender is imported only when a scene is built: refusals
and skipped shots need none.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..solver.footage import Footage
    from ..solver.types import Solve

EXIT_SOLVED = 0
EXIT_SOME_NOT = 1
EXIT_USAGE = 2
EXIT_STOPPED = 130

STAGES = ("camera", "focus", "depth")
AVAILABLE_STAGES = ("camera",)

_ROOT = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str]) -> int:
    """Solve what the arguments name.

    Returns
    -------
    int
        0: every shot was solved; 1: some were not; 2: the arguments cannot be used.
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as exit_request:  # argparse has printed why, or the help
        return int(exit_request.code or 0)
    problem = _check(args)
    if problem is not None:
        _complain(problem)
        return EXIT_USAGE
    later = [stage for stage in args.stages or () if stage not in AVAILABLE_STAGES]
    if later:
        _say(f"This version has only the camera stage: {' and '.join(later)} left out.")
    try:
        solved = [_run_shot(path, args) for path in args.footage]
    except KeyboardInterrupt:
        _complain("Stopped.")
        return EXIT_STOPPED
    return EXIT_SOLVED if all(solved) else EXIT_SOME_NOT


def register_command() -> Any:
    """Register `blender --command lens_solver`; the handle that unregisters it."""
    import bpy

    return bpy.utils.register_cli_command("lens_solver", main)


def unregister_command(handle: Any) -> None:
    """Take the command away again."""
    import bpy

    bpy.utils.unregister_cli_command(handle)


# Arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lens_solver",
        description="Solve the camera and the lens of shots. Each shot leaves <shot>.blend, <shot>.json and"
        " <shot>_overlay.png in the output folder.",
        epilog="Exit code: 0 when every shot was solved, 1 when some were not, 2 for arguments that cannot be used.",
    )
    parser.add_argument(
        "footage",
        nargs="+",
        metavar="FOOTAGE",
        help="video file, folder of frames, or a pattern such as shot.####.exr or shot.%%04d.exr",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--stages",
        type=_stages,
        metavar="LIST",
        help=f"how far to go, of {','.join(STAGES)} (default: all that this version can: {','.join(AVAILABLE_STAGES)})",
    )
    parser.add_argument(
        "--sensor", type=_millimetres, metavar="MM", help="sensor width (default: what the footage says, else 36)"
    )
    parser.add_argument("--slate", type=Path, metavar="CSV", help="camera report, a row a frame (not in this version)")
    parser.add_argument("--force", action="store_true", help="solve again what is done and unchanged")
    parser.add_argument("--version", action="version", version=f"Lens Solver {program_version()}")
    return parser


def _stages(text: str) -> tuple[str, ...]:
    stages = tuple(stage.strip() for stage in text.split(",") if stage.strip())
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown or not stages:
        raise argparse.ArgumentTypeError(f"no stage {', '.join(unknown) or text!r}: choose from {', '.join(STAGES)}")
    if "camera" not in stages:
        raise argparse.ArgumentTypeError(f"{' and '.join(stages)} need camera before them")
    return stages


def _millimetres(text: str) -> float:
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not 0.5 <= width <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not a sensor width in millimetres between 0.5 and 1000")
    return width


def _check(args: argparse.Namespace) -> str | None:
    """What makes the arguments unusable, in one sentence."""
    if args.slate is not None:
        return "This version cannot read a slate yet: leave --slate out."
    if any(Path(footage).suffix.lower() in (".yaml", ".yml") for footage in args.footage):
        return "This version cannot read a YAML file of shots yet: name the footage itself."
    names: dict[str, str] = {}
    for footage in args.footage:
        name = fallback_name(footage)
        if names.setdefault(name, footage) != footage:
            return f"Both {names[name]} and {footage} would be written as {name}: give them different output folders."
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"The output folder {args.output} cannot be made: {error.strerror}."
    if not os.access(args.output, os.W_OK):
        return f"The output folder {args.output} cannot be written to."
    return None


def fallback_name(footage: str) -> str:
    """What a shot is called while its footage cannot be opened: the folder's name, or the file's without its number."""
    path = Path(footage)
    if path.is_dir():
        return path.resolve().name or "shot"
    stem = path.stem
    for mark in ("#", "%"):
        stem = stem.split(mark)[0]
    return stem.rstrip(" ._-") or path.resolve().parent.name or "shot"


def program_version() -> str:
    """The version in the manifest, its only place."""
    with (_ROOT / "blender_manifest.toml").open("rb") as file:
        return str(tomllib.load(file)["version"])


# One shot


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """The files of a shot."""

    folder: Path
    name: str

    @property
    def blend(self) -> Path:
        return self.folder / f"{self.name}.blend"

    @property
    def json(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def overlay(self) -> Path:
        return self.folder / f"{self.name}_overlay.png"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"


def _run_shot(path: str, args: argparse.Namespace) -> bool:
    """Solve one shot and write its files; whether it is solved."""
    from ..solver.errors import SolverError

    target = _Target(folder=args.output.resolve(), name=fallback_name(path))
    try:
        from ..solver.footage import open_footage

        footage = open_footage(path)
        target = _Target(folder=target.folder, name=footage.name)
        fingerprint = _fingerprint(path, footage, args)
        if not args.force and _is_done(target, fingerprint):
            _say(f"{target.name}: done before and unchanged, skipped (--force solves it again).")
            return True
        _solve_shot(footage, target, fingerprint, args)
    except SolverError as error:
        return _refuse(target, path, str(error))
    except OSError as error:
        return _refuse(target, path, f"{error.strerror or error}: {error.filename or path}")
    except Exception:  # noqa: BLE001 - the next shot must still get its turn; nothing is hidden: the log holds the traceback
        return _fail(target, path)
    return True


def _solve_shot(footage: Footage, target: _Target, fingerprint: str, args: argparse.Namespace) -> None:
    from ..solver.overlay import overlay_frames, write_overlay
    from ..solver.pipeline import SolveOptions, solve
    from ..solver.progress import Progress
    from ..solver.result import solve_record, write_json

    started = time.perf_counter()
    steps = _StepPrinter(target.name)
    result = solve(footage, SolveOptions(sensor_width_mm=args.sensor), Progress(steps))
    steps(1.0, "Writing the scene")
    notes = _write_blend(result, target)
    write_overlay(target.overlay, result, footage.images(overlay_frames(result)))
    seconds = time.perf_counter() - started
    record = solve_record(result, program_version())
    record["notes"] = list(notes)
    record["statistics"]["seconds_in_all"] = round(seconds, 3)
    record["input"] = {"fingerprint": fingerprint}
    write_json(target.json, record)  # last: it says that the others are whole
    target.log.unlink(missing_ok=True)
    for reason in (*result.report.reasons, *notes):
        _say(f"{target.name}: {reason}")
    _say(f"{target.name}: {_summary(result)}, {seconds:.1f} s")


def _write_blend(solve: Solve, target: _Target) -> tuple[str, ...]:
    """Build the scene in an empty file and save it; the notes of the build."""
    from ..solver.result import whole_file

    with quiet_blender():
        import bpy

        from .build import build_scene

        # not read_factory_settings: that would disable an installed extension while it runs
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        made = build_scene(solve, bpy.data.scenes[0])
        _look_through_camera()
        _keep_edited(target)
        with whole_file(target.blend) as temporary:
            bpy.ops.wm.save_as_mainfile(
                filepath=str(temporary), copy=True, compress=False, relative_remap=False, check_existing=False
            )
    return made.notes


def _look_through_camera() -> None:
    """Let the file open on the camera's view."""
    import bpy

    for screen in bpy.data.screens:
        for area in screen.areas:
            for space in area.spaces:
                if space.type == "VIEW_3D" and space.region_3d is not None:
                    space.region_3d.view_perspective = "CAMERA"


def _keep_edited(target: _Target) -> None:
    """Keep a .blend that was saved after its solve, as Blender keeps the one before: as .blend1."""
    if not target.blend.exists():
        return
    edited = not target.json.exists() or target.blend.stat().st_mtime_ns > target.json.stat().st_mtime_ns
    if edited:
        target.blend.replace(target.blend.with_suffix(".blend1"))


def _refuse(target: _Target, path: str, reason: str) -> bool:
    """Leave the record of a shot that was not solved, and no scene."""
    from ..solver.result import refusal_record, write_json

    try:
        _keep_edited(target)
        target.blend.unlink(missing_ok=True)
        target.overlay.unlink(missing_ok=True)
        write_json(target.json, refusal_record(target.name, path, [reason], program_version()))
    except OSError as error:
        reason = f"{reason} ({target.json} cannot be written: {error.strerror}.)"
    _complain(f"{target.name}: not solved. {reason}")
    return False


def _fail(target: _Target, path: str) -> bool:
    """The same for an error of the program itself, with its traceback in a log."""
    import traceback

    try:
        target.log.write_text(f"{path}\n{traceback.format_exc()}", encoding="utf-8")
        where = str(target.log)
    except OSError:
        where = "the log, which cannot be written"
    return _refuse(target, path, f"Internal error, see {where}.")


def _summary(solve: Solve) -> str:
    """One line: what an artist asks first."""
    import numpy as np

    from ..solver.result import equivalent_35mm

    width = f"{solve.sensor_width_mm:g} mm sensor, {solve.sensor_width_source}"
    focal_px, focal_mm = solve.path.focal_px, solve.focal_mm
    if np.ptp(focal_px) > 1e-3 * np.median(focal_px):
        lens = f"{focal_mm.min():.2f} to {focal_mm.max():.2f} mm ({focal_px.min():.1f} to {focal_px.max():.1f} px"
    else:
        lens = f"{np.median(focal_mm):.2f} mm ({np.median(focal_px):.1f} px"
    equivalent = f"{np.median(equivalent_35mm(solve)):.1f} mm on full frame; {width})"
    frames = f"{int(solve.path.solved.sum())} of {len(solve.path.solved)} frames"
    return f"{solve.report.status}, {lens}, {equivalent}, error {solve.report.rms_px:.2f} px, {frames}"


# Skipping what is done


def _fingerprint(path: str, footage: Footage, args: argparse.Namespace) -> str:
    """Of everything that a result depends on: footage files, options, program."""
    first = Path(footage.first_file)
    files = [first] if footage.kind == "video" else sorted(entry for entry in first.parent.iterdir() if entry.is_file())
    stages = args.stages or STAGES
    content = {
        "footage": str(Path(path).resolve()),
        "files": [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files],
        "sensor": args.sensor,
        "stages": [stage for stage in AVAILABLE_STAGES if stage in stages],
        "version": program_version(),
        "source": max(file.stat().st_mtime_ns for part in ("operators", "solver") for file in _sources(part)),
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _sources(part: str) -> Iterator[Path]:
    return (_ROOT / part).rglob("*.py")


def _is_done(target: _Target, fingerprint: str) -> bool:
    from ..solver.result import read_json
    from ..solver.types import REFUSED

    record = read_json(target.json)
    if record is None or record.get("status") == REFUSED or not isinstance(record.get("input"), dict):
        return False
    return record["input"].get("fingerprint") == fingerprint and target.blend.is_file() and target.overlay.is_file()


# Printing


class _StepPrinter:
    """Prints a line when the work comes to another stage."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = ""

    def __call__(self, fraction: float, message: str) -> None:
        if message != self._last:
            self._last = message
            _say(f"{self._name}: {message} ({fraction:.0%})")


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def _complain(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


@contextmanager
def quiet_blender() -> Iterator[None]:
    """Keep what Blender itself prints, by way of C or of Python, off standard output; errors arrive as exceptions."""
    _flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as silent, redirect_stdout(silent):
            os.dup2(silent.fileno(), 1)
            try:
                yield
            finally:
                _flush()
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _flush() -> None:
    """Empty Python's buffer of standard output, and that of the C library, into which Blender prints."""
    sys.stdout.flush()
    ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None).fflush(None)
