"""Lens Solver's two commands for a fresh machine with Python 3.11.

    python3.11 run.py solve [FOOTAGE ...] [-- OPTIONS]   solve a camera: your footage, else the sample clip
    python3.11 run.py test [STEP ...]                    run the tests, or the steps that are named, or `all`

Each command first makes the virtual environments that it needs, from the pinned lists in
requirements/, and does nothing where they are up to date. OPTIONS are those of batch.py.

`test` looks for more than Python 3.11 and says what it could not find:
    Python 3.13      on the path, in pyenv's folder or named by LENS_SOLVER_PYTHON313: Blender 5.2's Python
    Blender itself   `blender` on the path, BLENDER, or LENS_SOLVER_BLENDERS (programs, separated as in PATH)
    Xvfb, xdotool    for the tests that use a real window
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests import steps
from vendor.environments import MAIN, ROOT, SetupError

SAMPLE = ROOT / "tests" / "data" / "sample"


def solve(footage: Sequence[str], output: Path, options: Sequence[str]) -> int:
    """Solve `footage`, or the sample clip and compare it with its truth; return the exit status."""
    python = MAIN.make()
    shots = list(footage) or [str(SAMPLE / "sample.mp4")]
    command = [str(python), str(ROOT / "batch.py"), *shots, "--output", str(output), *options]
    status = subprocess.run(command, check=False).returncode
    if footage or status:
        return status
    record, truth = output / "sample.json", SAMPLE / "truth.json"
    return subprocess.run(
        [str(python), str(ROOT / "tests" / "sample_error.py"), str(record), str(truth)], check=False
    ).returncode


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split at "--": what follows is for batch.py."""
    i = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:i], arguments[i + 1 :]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    solving = commands.add_parser("solve", help="solve a camera")
    solving.add_argument("footage", nargs="*", help="video, folder or pattern (default: the sample clip)")
    solving.add_argument("--output", type=Path, default=ROOT / "out", help="default: %(default)s")
    testing = commands.add_parser("test", help="run the tests")
    testing.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(steps.ALL)}; or all")
    own, passed_on = split(sys.argv[1:])
    options = parser.parse_args(own)
    try:
        if options.command == "solve":
            return solve(options.footage, options.output, passed_on)
        if unknown := set(options.steps) - {*steps.ALL, "all"}:
            raise SetupError(f"no step is called {', '.join(sorted(unknown))}")
        return steps.run(options.steps)
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
