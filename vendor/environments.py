"""The virtual environments: one for each Blender that PyPI has as a Python module.

An environment is made from a pinned list in requirements/ and left alone while that list stays as
it is. Only the standard library is used, because this is what runs first on a fresh machine.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"


class SetupError(Exception):
    """Something that is needed is missing; the message says what to do."""


def say(text: str) -> None:
    print(f"run.py: {text}", flush=True)


def version_of(python: str) -> tuple[int, int] | None:
    """Return (major, minor) of a Python program, None where it does not start."""
    try:
        command = [*shlex.split(python, posix=os.name != "nt"), "-c", "import sys; print(*sys.version_info[:2])"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        major, minor = result.stdout.split()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return int(major), int(minor)


def find_python(version: tuple[int, int]) -> str | None:
    """Return a command that starts Python `version`, None where there is none."""
    dotted = f"{version[0]}.{version[1]}"
    candidates = [sys.executable] if sys.version_info[:2] == version else []
    candidates += [os.environ.get(f"LENS_SOLVER_PYTHON{version[0]}{version[1]}", "")]
    candidates += [shutil.which(f"python{dotted}") or ""]
    candidates += [str(path) for path in sorted(Path.home().glob(f".pyenv/versions/{dotted}*/bin/python{dotted}"))]
    if os.name == "nt":
        candidates += [f"py -{dotted}"]
    return next((python for python in candidates if python and version_of(python) == version), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A virtual environment with one Blender as a Python module."""

    folder: str
    blender: str
    python: tuple[int, int]

    @property
    def requirements(self) -> Path:
        return REQUIREMENTS / f"blender-{self.blender}.txt"

    @property
    def program(self) -> Path:
        scripts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
        return ROOT.joinpath(self.folder, *scripts)

    def fingerprint(self) -> str:
        """Hash of every line of the requirement lists that this environment is made from."""
        digest = hashlib.sha256()
        pending = [self.requirements]
        while pending:
            text = pending.pop().read_text(encoding="utf-8")
            digest.update(text.encode())
            pending += [REQUIREMENTS / line[3:].strip() for line in text.splitlines() if line.startswith("-r ")]
        return digest.hexdigest()

    def available(self) -> bool:
        """Say whether the environment is there or could be made."""
        return version_of(shlex.quote(str(self.program))) == self.python or find_python(self.python) is not None

    def make(self) -> Path:
        """Bring the environment up to date; return its Python.

        Raises
        ------
        SetupError
            If Python or a package cannot be had.
        """
        stamp = ROOT / self.folder / "lens_solver_requirements.txt"
        wanted = self.fingerprint()
        if self.program.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return self.program
        dotted = ".".join(map(str, self.python))
        if version_of(shlex.quote(str(self.program))) != self.python:
            python = find_python(self.python)
            if python is None:
                raise SetupError(f"Blender {self.blender} needs Python {dotted}, and none was found")
            say(f"making {self.folder} with Python {dotted}")
            command = [*shlex.split(python, posix=os.name != "nt"), "-m", "venv", "--clear", str(ROOT / self.folder)]
            if subprocess.run(command, check=False).returncode:
                raise SetupError(f"{python} could not make {self.folder} (on Debian: apt install python{dotted}-venv)")
        say(f"installing {self.requirements.relative_to(ROOT)} into {self.folder}")
        pip = [str(self.program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "-r", str(self.requirements)], check=False).returncode:
            raise SetupError(f"pip could not install {self.requirements.relative_to(ROOT)}")
        stamp.write_text(wanted, encoding="utf-8")
        return self.program


MAIN = Environment(folder=".venv", blender="4.5", python=(3, 11))
OLDEST = Environment(folder=".venv-4.2", blender="4.2", python=(3, 11))
NEWEST = Environment(folder=".venv-5.2", blender="5.2", python=(3, 13))
