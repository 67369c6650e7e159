"""The command line's options and its YAML files of shots: both become requests, one a shot."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML, YAMLError

from . import values
from .shot_settings import Matte, ShotSettings

AVAILABLE_STAGES = ("camera",)

_MAY_BE_NEGATIVE = ("--distortion", "--frames", "--readout")
_YAML_SUFFIXES = (".yaml", ".yml")


class UsageError(Exception):
    """The arguments cannot be used; the message is one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One shot to solve.

    Attributes
    ----------
    footage : str
        Path as given; one in a YAML file as seen from here.
    name : str or None
        What its files are called; None leaves it to the footage.
    settings : ShotSettings
    resolve : Path or None
        Record of the earlier solve of which a range is solved again.
    """

    footage: str
    name: str | None
    settings: ShotSettings
    resolve: Path | None = None


def parser(version: str) -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(
        prog="lens_solver",
        description="Solve the camera and the lens of shots. Each shot leaves <shot>.blend, <shot>.json and"
        " <shot>_overlay.png in the output folder.",
        epilog="Exit code: 0 when every shot was solved, 1 when some were not, 2 for arguments that cannot be used.",
    )
    result.add_argument(
        "footage",
        nargs="*",
        metavar="FOOTAGE",
        help="video file, picture, folder of frames, a pattern such as shot.####.exr or shot.%%04d.exr, or a YAML file"
        " of shots",
    )
    result.add_argument("--output", type=Path, metavar="DIR", help="folder for the results")
    result.add_argument(
        "--stages",
        type=_typed(values.stages),
        metavar="LIST",
        help=f"how far to go, of {','.join(values.STAGES)}"
        f" (default: all that this version can: {','.join(AVAILABLE_STAGES)})",
    )
    result.add_argument("--slate", type=Path, metavar="CSV", help="camera report, a row a frame (not in this version)")
    result.add_argument("--force", action="store_true", help="solve again what is done and unchanged")
    result.add_argument(
        "--resolve",
        type=Path,
        metavar="JSON",
        help="solve the range of --frames again in the shot whose <shot>.json this is, and keep the rest of it",
    )
    result.add_argument("--version", action="version", version=f"Lens Solver {version}")

    known = result.add_argument_group(
        "what is known of the shot", "VALUE alone is kept as it is; VALUE:SD lets the solve depart from it."
    )
    known.add_argument(
        "--sensor",
        type=_typed(values.sensor),
        metavar="MM",
        help="sensor width (default: what the footage says, else 36)",
    )
    known.add_argument(
        "--focal", type=_typed(values.focal_mm), metavar="MM[:SD]", help="focal length of a lens that does not zoom"
    )
    known.add_argument(
        "--focal-px", type=_typed(values.focal_px), metavar="PX[:SD]", help="the same in pixels of the footage"
    )
    known.add_argument(
        "--distortion",
        type=_typed(values.distortion),
        metavar="K1,K2[,K3]",
        help="radial distortion on x/z, y/z, as in Blender's polynomial model",
    )
    known.add_argument(
        "--lens-file",
        type=Path,
        metavar="JSON",
        help="<shot>.json of another shot with this lens: its distortion, principal point and sensor width",
    )
    known.add_argument(
        "--poses", type=Path, metavar="JSON", help="<shot>.json whose camera poses hold for the frames of these numbers"
    )
    known.add_argument(
        "--readout",
        type=_typed(values.readout),
        metavar="FRAMES[:SD]",
        help="rolling shutter: time from the first row to the last, in frames; off, or auto (the default)",
    )

    part = result.add_argument_group("what of the shot is solved")
    part.add_argument("--frames", type=_typed(values.frames), metavar="A-B", help="only these frames")
    part.add_argument(
        "--matte",
        metavar="PATH",
        help="pictures or video whose white areas are left out; alpha: the transparent areas of the footage itself",
    )
    part.add_argument("--matte-invert", action="store_true", help="leave out the other areas instead")
    return result


def parse(argv: Sequence[str], version: str) -> argparse.Namespace:
    """The arguments; ends the program as argparse does, with its message, where they cannot be read."""
    joined: list[str] = []
    for word in argv:
        # argparse would take -0.1,0.02 for an option of its own
        if joined and joined[-1] in _MAY_BE_NEGATIVE and re.match(r"-[\d.]", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return parser(version).parse_args(joined)


def requests(args: argparse.Namespace) -> list[Request]:
    """The shots that the arguments name.

    Raises
    ------
    UsageError
    """
    if args.slate is not None:
        raise UsageError("This version cannot read a slate yet: leave --slate out.")
    try:
        settings = ShotSettings(
            sensor_width_mm=args.sensor,
            focal_mm=args.focal,
            focal_px=args.focal_px,
            distortion=args.distortion,
            lens_file=args.lens_file,
            poses_file=args.poses,
            readout=args.readout,
            matte=_matte(args.matte, args.matte_invert),
            frames=args.frames,
        )
    except ValueError as error:
        raise UsageError(_sentence(error)) from error
    if args.resolve is not None:
        found = [_resolved(args, settings)]
    else:
        if not args.footage:
            raise UsageError("Name the footage to solve: a video, a picture, a folder of frames or a YAML file.")
        found = [request for given in args.footage for request in _requests_of(given, settings)]
        if args.poses is not None and len(found) > 1:
            raise UsageError("--poses belongs to one shot: name one, or give each its poses in a YAML file.")
    for request in found:
        for path in request.settings.files:
            _check_there(path, request.name or request.footage)
    return found


def fallback_name(footage: str) -> str:
    """What a shot is called while its footage cannot be opened: the folder's name, or the file's without its number."""
    path = Path(footage)
    if path.is_dir():
        return path.resolve().name or "shot"
    stem = path.stem
    for mark in ("#", "%"):
        stem = stem.split(mark)[0]
    return stem.rstrip(" ._-") or path.resolve().parent.name or "shot"


def _typed(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """argparse shows the reason of this error only."""

    def typed(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return typed


def _matte(given: str | None, invert: bool, folder: Path = Path()) -> Matte | None:
    if given is None:
        if invert:
            raise ValueError("there is no matte to invert: name one")
        return None
    if given == "alpha":
        return Matte(alpha=True, invert=invert)
    return Matte(path=folder / given, invert=invert)


def _check_there(path: Path, shot: str) -> None:
    there = path.parent.is_dir() if any(mark in path.name for mark in "#%") else path.exists()
    if not there:
        raise UsageError(f"{path}, named for {shot}, does not exist: check the path.")


def _resolved(args: argparse.Namespace, settings: ShotSettings) -> Request:
    from ..solver.earlier import read_solved
    from ..solver.errors import InputError

    if settings.frames is None:
        raise UsageError("--resolve needs --frames: the range to solve again.")
    if len(args.footage) > 1:
        raise UsageError("--resolve is for one shot: name its footage only, or none where it is where it was.")
    try:
        shot = read_solved(args.resolve).get("shot", {})
    except InputError as error:
        raise UsageError(str(error)) from error
    recorded = [path for path in (shot.get("footage"), shot.get("first_file")) if isinstance(path, str)]
    given = args.footage or [path for path in recorded if _is_there(path)]
    if not given:
        raise UsageError(f"The footage of {args.resolve} is not where it was: name it before the options.")
    if args.output is None:
        args.output = args.resolve.parent
    return Request(footage=given[0], name=args.resolve.stem, settings=settings, resolve=args.resolve)


def _is_there(path: str) -> bool:
    return Path(path).exists() or (Path(path).parent.is_dir() and any(mark in path for mark in "#%"))


# YAML


def _requests_of(given: str, settings: ShotSettings) -> list[Request]:
    if Path(given).suffix.lower() not in _YAML_SUFFIXES:
        return [Request(footage=given, name=None, settings=settings)]
    path = Path(given)
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise UsageError(
            f"{path} is not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}{where}."
        ) from error
    shots = content.get("shots") if isinstance(content, Mapping) else None
    if not isinstance(shots, Sequence) or isinstance(shots, str) or not shots:
        raise UsageError(f"{path} has no list named shots: write one entry with name and footage for each shot.")
    return [_yaml_request(shot, i, path, settings) for i, shot in enumerate(shots, start=1)]


def _yaml_request(shot: object, number: int, path: Path, settings: ShotSettings) -> Request:
    def fail(problem: object) -> NoReturn:
        name = shot.get("name") if isinstance(shot, Mapping) else None
        raise UsageError(f"{path}, shot {name or number}: {problem}.")

    if not isinstance(shot, Mapping):
        fail("it is no mapping of names to values")
    unknown = [str(key) for key in shot if key not in _YAML_KEYS]
    if unknown:
        fail(f"{', '.join(unknown)} is not known here; there are {', '.join(sorted(_YAML_KEYS))}")
    for key in ("name", "footage"):
        if not isinstance(shot.get(key), (str, int)) or not str(shot[key]).strip():
            fail(f"it needs a {key}")
    name = str(shot["name"])
    if name != os.path.basename(name) or name in (".", ".."):  # noqa: PTH119 - a name, of which Path would forgive too much
        fail("its name becomes the name of files, and cannot hold a folder")
    folder = path.parent
    try:
        changes = {key: convert(shot[key]) for key, convert in _VALUES.items() if shot.get(key) is not None}
        for key, field in (("lens_file", "lens_file"), ("poses", "poses_file")):
            if shot.get(key) is not None:
                changes[field] = folder / str(shot[key])
        for key, field in (("focal", "focal_mm"), ("sensor", "sensor_width_mm")):
            if key in changes:
                changes[field] = changes.pop(key)
        if "focal_mm" in changes or "focal_px" in changes:
            changes = {"focal_mm": None, "focal_px": None} | changes
        matte = None if shot.get("matte") is None else str(shot["matte"])
        chosen = _matte(matte, values.switch(shot.get("matte_invert", False)), folder)
        if chosen is not None:
            changes["matte"] = chosen
        merged = replace(settings, **changes)
    except ValueError as error:
        fail(error)
    return Request(footage=str(folder / str(shot["footage"])), name=name, settings=merged)


_VALUES: dict[str, Callable[[object], Any]] = {
    "sensor": values.sensor,
    "focal": values.focal_mm,
    "focal_px": values.focal_px,
    "distortion": values.distortion,
    "readout": values.readout,
    "frames": values.frames,
}
_YAML_KEYS = {"name", "footage", "lens_file", "poses", "matte", "matte_invert", *_VALUES}


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."
