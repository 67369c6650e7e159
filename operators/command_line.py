"""The command line: footage in, files out, without a window.

`batch.py` and `blender --command lens_solver` both end here. Blender is imported only when a scene is built: refusals
and skipped shots need none.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from ..solver.footage import Footage
    from ..solver.types import Solve
    from .arguments import Request

EXIT_SOLVED = 0
EXIT_SOME_NOT = 1
EXIT_USAGE = 2
EXIT_STOPPED = 130

_ROOT = Path(__file__).resolve().parent.parent

# parameters of glibc's mallopt, and the largest value that the second accepts
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _LARGEST_BLOCK_BYTES = 2**29, 2**25


def main(argv: Sequence[str]) -> int:
    """Solve what the arguments name.

    Returns
    -------
    int
        0: every shot was solved; 1: some were not; 2: the arguments cannot be used.
    """
    from . import arguments

    try:
        args = arguments.parse(argv, program_version())
        requests = arguments.requests(args)
    except SystemExit as exit_request:  # argparse has printed why, or the help
        return int(exit_request.code or 0)
    except arguments.UsageError as error:
        _complain(str(error))
        return EXIT_USAGE
    problem = _check(requests, args)
    if problem is not None:
        _complain(problem)
        return EXIT_USAGE
    later = [stage for stage in args.stages or () if stage not in arguments.AVAILABLE_STAGES]
    if later:
        _say(f"This version has only the camera stage: {' and '.join(later)} left out.")
    _keep_memory()
    try:
        solved = [_run_shot(request, args) for request in requests]
    except KeyboardInterrupt:
        _complain("Stopped.")
        return EXIT_STOPPED
    return EXIT_SOLVED if all(solved) else EXIT_SOME_NOT


def _keep_memory() -> None:
    """Let glibc keep what arrays leave: given back, it is cleared anew for the next array, a tenth of a solve."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)


def register_command() -> Any:
    """Register `blender --command lens_solver`; the handle that unregisters it."""
    import bpy

    return bpy.utils.register_cli_command("lens_solver", main)


def unregister_command(handle: Any) -> None:
    """Take the command away again."""
    import bpy

    bpy.utils.unregister_cli_command(handle)


def _check(requests: list[Request], args: argparse.Namespace) -> str | None:
    """What makes the arguments unusable once they are read, in one sentence."""
    from .arguments import fallback_name

    names: dict[str, Request] = {}
    for request in requests:
        name = request.name or fallback_name(request.footage)
        other = names.setdefault(name, request)
        if other.footage != request.footage:
            both = f"{other.footage} and {request.footage}"
            return f"Both {both} would be written as {name}: give them different output folders."
        if other != request:
            return f"{request.footage} is to be solved in two ways as {name}: give the two different names."
    if args.output is None:
        return "Name the folder for the results with --output DIR."
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"The output folder {args.output} cannot be made: {error.strerror}."
    if not os.access(args.output, os.W_OK):
        return f"The output folder {args.output} cannot be written to."
    return None


def program_version() -> str:
    """The version in the manifest, its only place."""
    import tomllib  # here: Blender enables the add-on faster without it

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


def _run_shot(request: Request, args: argparse.Namespace) -> bool:
    """Solve one shot and write its files; whether it is solved."""
    from ..solver.errors import SolverError
    from .arguments import fallback_name

    path = request.footage
    target = _Target(folder=args.output.resolve(), name=request.name or fallback_name(path))
    try:
        from ..solver.footage import open_footage

        whole = open_footage(path)
        target = _Target(folder=target.folder, name=request.name or whole.name)
        fingerprint = _fingerprint(request, whole, args)
        if request.resolve is None and not args.force and _is_done(target, fingerprint):
            _say(f"{target.name}: done before and unchanged, skipped (--force solves it again).")
            return True
        _solve_shot(request, whole, target, fingerprint)
    except SolverError as error:
        return _not_solved(request, target, str(error))
    except OSError as error:
        return _not_solved(request, target, f"{error.strerror or error}: {error.filename or path}")
    except Exception:  # noqa: BLE001 - the next shot must still get its turn; nothing is hidden: the log holds the traceback
        return _fail(request, target)
    return True


def _solve_shot(request: Request, whole: Footage, target: _Target, fingerprint: str) -> None:
    from dataclasses import replace

    from ..solver.earlier import earlier_solve, read_solved
    from ..solver.footage import part_of
    from ..solver.overlay import overlay_frames, write_overlay
    from ..solver.progress import Progress
    from ..solver.result import solve_record, write_json
    from .solving import solve_footage

    started = time.perf_counter()
    steps = _StepPrinter(target.name)
    earlier = None
    footage = whole
    if request.resolve is not None:
        earlier = earlier_solve(read_solved(request.resolve), str(request.resolve))
    elif request.settings.frames is not None:
        footage = part_of(whole, *request.settings.frames)
    found = solve_footage(footage, request.settings, Progress(steps), earlier)
    result = found.solve
    if request.name is not None:
        result = replace(result, shot=replace(result.shot, name=request.name))
    steps(1.0, "Writing the scene")
    with ThreadPoolExecutor(1) as pool:
        overlay = pool.submit(write_overlay, target.overlay, result, footage.images(overlay_frames(result)))
        notes = (*found.notes, *_write_blend(result, target))
        overlay.result()
    seconds = time.perf_counter() - started
    record = solve_record(result, program_version(), found.known)
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


def _not_solved(request: Request, target: _Target, reason: str) -> bool:
    """Leave the record of a shot that was not solved, and no scene; an earlier solve that was to be mended stays."""
    from ..solver.result import refusal_record, write_json

    if request.resolve is not None:
        _complain(f"{target.name}: not solved again, the earlier solve is kept. {reason}")
        return False
    try:
        _keep_edited(target)
        target.blend.unlink(missing_ok=True)
        target.overlay.unlink(missing_ok=True)
        write_json(target.json, refusal_record(target.name, request.footage, [reason], program_version()))
    except OSError as error:
        reason = f"{reason} ({target.json} cannot be written: {error.strerror}.)"
    _complain(f"{target.name}: not solved. {reason}")
    return False


def _fail(request: Request, target: _Target) -> bool:
    """The same for an error of the program itself, with its traceback in a log."""
    import traceback

    try:
        target.log.write_text(f"{request.footage}\n{traceback.format_exc()}", encoding="utf-8")
        where = str(target.log)
    except OSError:
        where = "the log, which cannot be written"
    return _not_solved(request, target, f"Internal error, see {where}.")


def _summary(solve: Solve) -> str:
    """One line: what an artist asks first."""
    from ..solver.result import camera_kind, equivalent_35mm, millimetres

    width = f"{solve.sensor_width_mm:g} mm sensor, {solve.sensor_width_source}"
    focal_px = solve.path.focal_px
    pixels = f"{focal_px.min():.1f} to {focal_px.max():.1f} px" if solve.zooms else f"{focal_px[0]:.1f} px"
    full_frame = millimetres(equivalent_35mm(solve), 1)
    parts = [
        solve.report.status,
        camera_kind(solve),
        f"{millimetres(solve.focal_mm)} ({pixels}; {full_frame} on full frame; {width})",
    ]
    if solve.report.n_observations:
        parts.append(f"error {solve.report.rms_px:.2f} px")
    parts.append(f"{int(solve.path.solved.sum())} of {len(solve.path.solved)} frames")
    return ", ".join(parts)


# Skipping what is done


def _fingerprint(request: Request, footage: Footage, args: argparse.Namespace) -> str:
    """Of everything that a result depends on: footage files, options and the files that they name, program."""
    from .arguments import AVAILABLE_STAGES

    first = Path(footage.first_file)
    content = {
        "footage": str(Path(request.footage).resolve()),
        "files": _states(first if footage.kind == "video" else first.parent),
        "settings": str(request.settings),
        "named": [_states(path) for path in request.settings.files],
        "stages": [stage for stage in AVAILABLE_STAGES if args.stages is None or stage in args.stages],
        "version": program_version(),
        "source": max(file.stat().st_mtime_ns for part in ("operators", "solver") for file in _sources(part)),
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _states(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of a file, or of the files of a folder."""
    if not path.exists():  # a pattern
        path = path.parent
    files = [path] if path.is_file() else sorted(entry for entry in path.iterdir() if entry.is_file())
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


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
