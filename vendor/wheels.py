"""Fetch, lock and unpack the third-party wheels, and build the extension's zips.

    python vendor/wheels.py lock      choose the wheels anew: writes wheels.lock and the manifest's list
    python vendor/wheels.py fetch     download what the lock names into vendor/wheels/, check every hash
    python vendor/wheels.py unpack    unpack this platform's wheels into vendor/unpacked/cpXY/
    python vendor/wheels.py build     one zip a platform in dist/, validated by Blender's own program

The extension carries its wheels and Blender installs those that fit its platform and Python. A
Blender program that runs `batch.py` from a checkout has no installed extension: for it `unpack`
lays the same packages into a folder that `batch.py` adds to the path. numpy is not among them in
either case, because numpy is Blender's own.

Only the standard library and pip are used; `build` also needs a bpy wheel, whose `blender_ext.py`
is Blender's builder and validator.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

VENDOR = Path(__file__).resolve().parent
ROOT = VENDOR.parent
LOCK = VENDOR / "wheels.lock"
WHEELS = VENDOR / "wheels"
UNPACKED = VENDOR / "unpacked"
MANIFEST = ROOT / "blender_manifest.toml"
DIST = ROOT / "dist"

PYTHONS = ("3.11", "3.13")
"""Blender 4.2 to 5.0 run Python 3.11, 5.1 and later 3.13."""

PIP_PLATFORMS = {
    # Blender for Linux asks for glibc 2.28 itself.
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x64": ("win_amd64",),
    # Blender ignores the macOS version in a wheel's name, so the oldest macOS is ours to state:
    # PyAV has no stable-ABI wheel for anything before 14.
    "macos-arm64": tuple(f"macosx_{major}_0_arm64" for major in (14, 13, 12, 11)),
}


ANY = "any"
"""Platform of a wheel without compiled code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A package that the solver imports, and why this version."""

    name: str
    version: str
    licence: str
    note: str


REQUIREMENTS = (
    Requirement(
        name="scipy",
        version="1.15.3",
        licence="BSD-3-Clause",
        note="the last series that accepts numpy 1.24 of Blender 4.2 and also runs with 2.x",
    ),
    Requirement(
        name="opencv-python-headless",
        version="4.11.0.86",
        licence="Apache-2.0",
        note="4.12 and later demand numpy 2; one stable-ABI wheel serves both Pythons",
    ),
    Requirement(
        name="av",
        version="18.1.0",
        licence="BSD-3-Clause",
        note="the last stable-ABI wheel for Python 3.11 and later; 19 starts at 3.12",
    ),
    Requirement(
        name="OpenEXR",
        version="3.5.3",
        licence="BSD-3-Clause",
        note="multi-part, tiled and half-float files through numpy",
    ),
    Requirement(
        name="threadpoolctl",
        version="3.8.0",
        licence="BSD-3-Clause",
        note="pure Python, one wheel for all",
    ),
    Requirement(
        name="ruamel.yaml",
        version="0.19.1",
        licence="MIT",
        note="YAML files of shots; pure Python, one wheel for all",
    ),
)


class VendorError(Exception):
    """The wheels are not what the lock says, or a program that is needed failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One wheel file: a line of the lock."""

    name: str
    version: str
    file: str
    sha256: str
    licence: str
    platform: str
    pythons: tuple[str, ...]

    @property
    def path(self) -> Path:
        return WHEELS / self.file

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms that it serves: all, where it holds nothing but Python."""
        return tuple(PIP_PLATFORMS) if self.platform == ANY else (self.platform,)


def read_lock(path: Path = LOCK) -> tuple[Wheel, ...]:
    """Return the wheels that the lock file names.

    Raises
    ------
    VendorError
        If the file has another version than this program writes.
    """
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    if data.get("version") != 1:
        raise VendorError(f"{path.name}: version 1 expected, found {data.get('version')!r}")
    return tuple(Wheel(**{**entry, "pythons": tuple(entry["pythons"])}) for entry in data["wheel"])


def write_lock(wheels: Iterable[Wheel], path: Path = LOCK) -> None:
    """Write the lock file: TOML, one table a wheel."""
    lines = ["# Written by `python vendor/wheels.py lock`.", "version = 1"]
    for wheel in wheels:
        lines += ["", "[[wheel]]"]
        # JSON's strings and lists of plain ASCII are TOML too.
        lines += [f"{key} = {json.dumps(value)}" for key, value in asdict(wheel).items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_manifest_wheels(wheels: Iterable[Wheel]) -> None:
    """Put the lock's files into the manifest's `wheels` list."""
    entries = "".join(f'  "./vendor/wheels/{wheel.file}",\n' for wheel in wheels)
    text = MANIFEST.read_text(encoding="utf-8")
    text, count = re.subn(r"^wheels = \[\n.*?^\]$", f"wheels = [\n{entries}]", text, flags=re.M | re.S)
    if count != 1:
        raise VendorError(f"{MANIFEST.name}: one `wheels` list expected, found {count}")
    MANIFEST.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the file's SHA-256 as lower-case hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(name: str, version: str, *, platform_id: str, python: str, folder: Path) -> Path:
    """Let pip choose and download one wheel into an empty `folder`; return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    for tag in PIP_PLATFORMS[platform_id]:
        command += ["--platform", tag]
    result = subprocess.run(
        [*command, "--dest", str(folder), f"{name}=={version}"], capture_output=True, text=True, check=False
    )
    found = list(folder.glob("*.whl"))
    if result.returncode or len(found) != 1:
        raise VendorError(
            f"pip found no wheel of {name} {version} for {platform_id} and Python {python}:\n{result.stderr.strip()}"
        )
    return found[0]


def lock() -> tuple[Wheel, ...]:
    """Choose a wheel for every requirement, platform and Python; write the lock and the manifest."""
    wheels: dict[str, Wheel] = {}
    WHEELS.mkdir(exist_ok=True)
    for requirement in REQUIREMENTS:
        for platform_id in PIP_PLATFORMS:
            for python in PYTHONS:
                with tempfile.TemporaryDirectory(dir=WHEELS) as folder:
                    path = download(
                        requirement.name,
                        requirement.version,
                        platform_id=platform_id,
                        python=python,
                        folder=Path(folder),
                    )
                    known = wheels.get(path.name)
                    wheels[path.name] = Wheel(
                        name=requirement.name,
                        version=requirement.version,
                        file=path.name,
                        sha256=sha256(path),
                        licence=requirement.licence,
                        platform=ANY if path.name.endswith("-any.whl") else platform_id,
                        # A stable-ABI wheel is chosen for each Python in turn, a pure one for each platform too.
                        pythons=tuple(dict.fromkeys((*known.pythons, python))) if known else (python,),
                    )
                    path.replace(WHEELS / path.name)
    write_lock(wheels.values())
    write_manifest_wheels(wheels.values())
    return tuple(wheels.values())


def fetch(platforms: Sequence[str] = tuple(PIP_PLATFORMS)) -> None:
    """Download the locked wheels of `platforms` and check each hash.

    Raises
    ------
    VendorError
        If a downloaded file is not the locked one; it is deleted.
    """
    WHEELS.mkdir(exist_ok=True)
    for wheel in read_lock():
        if not set(wheel.platforms) & set(platforms):
            continue
        if wheel.path.exists() and sha256(wheel.path) == wheel.sha256:
            continue
        with tempfile.TemporaryDirectory(dir=WHEELS) as folder:
            path = download(
                wheel.name,
                wheel.version,
                platform_id=wheel.platforms[0],
                python=wheel.pythons[0],
                folder=Path(folder),
            )
            if (path.name, found := sha256(path)) != (wheel.file, wheel.sha256):
                raise VendorError(
                    f"{wheel.file} with hash {wheel.sha256} is locked, but {path.name} with {found} was served"
                )
            path.replace(wheel.path)
        print(f"fetched {wheel.file}", flush=True)


def this_platform() -> str:
    """Return Blender's name of the platform that this program runs on.

    Raises
    ------
    VendorError
        If there are no wheels for it.
    """
    machine = platform.machine().lower()
    names = {
        ("linux", "x86_64"): "linux-x64",
        ("windows", "amd64"): "windows-x64",
        ("darwin", "arm64"): "macos-arm64",
    }
    try:
        return names[(platform.system().lower(), machine)]
    except KeyError:
        raise VendorError(f"no wheels are locked for {platform.system()} {machine}") from None


def unpack(python: str) -> Path:
    """Unpack this platform's wheels for Python `python` ("3.11"); return the folder.

    The folder is renamed into place when it is complete and left alone when it already holds what
    the lock names.
    """
    wheels = [wheel for wheel in read_lock() if this_platform() in wheel.platforms and python in wheel.pythons]
    if not wheels:
        raise VendorError(f"no wheels are locked for Python {python}; the lock has {', '.join(PYTHONS)}")
    fetch((this_platform(),))
    target = UNPACKED / f"cp{python.replace('.', '')}"
    contents = "".join(f"{wheel.sha256}  {wheel.file}\n" for wheel in wheels)
    stamp = target / "unpacked.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == contents:
        return target
    UNPACKED.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=UNPACKED))
    partial.chmod(0o755)
    for wheel in wheels:
        with zipfile.ZipFile(wheel.path) as archive:
            archive.extractall(partial)
    (partial / stamp.name).write_text(contents, encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    partial.replace(target)
    return target


def blender_ext() -> Path:
    """Return Blender's own builder and validator out of the newest bpy wheel of this Python.

    Raises
    ------
    VendorError
        If this Python has no bpy wheel.
    """
    found = sorted(
        program
        for folder in sys.path
        for program in Path(folder or ".").glob("bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")
    )
    if not found:
        raise VendorError("no bpy wheel in this Python: run this with the environment that run.py makes")
    return found[-1]


def run_blender_ext(*arguments: str) -> None:
    """Run `blender_ext.py`; raise with its output where it fails."""
    program = blender_ext()
    tags = program.parents[3] / "modules" / "_bpy_internal" / "extensions" / "tags.py"
    if tags.exists():
        arguments = (*arguments, f"--valid-tags={tags}")
    result = subprocess.run([sys.executable, str(program), *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise VendorError(f"blender_ext.py {arguments[0]} failed:\n{result.stdout}{result.stderr}")


def build(output: Path = DIST) -> list[Path]:
    """Build and validate one zip a platform in `output`; return their paths."""
    fetch()
    manifest = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    output.mkdir(parents=True, exist_ok=True)
    run_blender_ext("validate", str(ROOT))
    run_blender_ext("build", "--source-dir", str(ROOT), "--output-dir", str(output), "--split-platforms")
    zips = [
        output / f"{manifest['id']}-{manifest['version']}-{platform_id.replace('-', '_')}.zip"
        for platform_id in manifest["platforms"]
    ]
    for path in zips:
        run_blender_ext("validate", str(path))
    return zips


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock", help="choose the wheels anew and write the lock")
    fetching = commands.add_parser("fetch", help="download the locked wheels and check their hashes")
    fetching.add_argument("--platform", choices=list(PIP_PLATFORMS), action="append", help="only this one")
    unpacking = commands.add_parser("unpack", help="unpack the wheels for a Blender that runs batch.py")
    unpacking.add_argument("--python", choices=PYTHONS, action="append", help="only this one (default: all)")
    building = commands.add_parser("build", help="build and validate one zip a platform")
    building.add_argument("--output", type=Path, default=DIST)
    options = parser.parse_args(arguments)
    try:
        if options.command == "lock":
            for wheel in lock():
                print(wheel.file)
        elif options.command == "fetch":
            fetch(options.platform or tuple(PIP_PLATFORMS))
        elif options.command == "unpack":
            for python in options.python or PYTHONS:
                print(unpack(python).relative_to(ROOT))
        else:
            for path in build(options.output):
                print(os.path.relpath(path), f"{path.stat().st_size / 1e6:.1f} MB")
    except VendorError as error:
        print(f"wheels.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
