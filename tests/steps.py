"""The steps of `run.py test`: which tests run with which Python or Blender program, and the count.

A step that cannot run on this machine is reported as skipped. With CI=true a skipped step or a
skipped test is a failure.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from vendor.environments import (
    MAIN,
    NEWEST,
    OLDEST,
    REQUIREMENTS,
    ROOT,
    Environment,
    SetupError,
    say,
)

# one process a core: the solver's own threads are few and short
PARALLEL = ["-n", str(os.cpu_count() or 1), "--dist", "worksteal"]
# whole solves are long, and repeated with every numpy only by `run.py test all`
QUICK = ["-m", "not slow"]
IN_CI = os.environ.get("CI", "").lower() == "true"


@dataclass(slots=True)
class Tally:
    """What the steps of a run came to."""

    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)
    failed_steps: list[str] = field(default_factory=list)

    def fail(self, step: str, tests: int = 1) -> None:
        self.failed += tests
        self.failed_steps.append(step)

    def missing(self, step: str, reason: str) -> None:
        """Count a step that cannot run on this machine: a failure in CI, a remark elsewhere."""
        self.skipped.append(f"{step}: {reason}")
        if IN_CI:
            self.fail(step)


def check(tally: Tally, step: str, command: Sequence[str], *, folder: Path = ROOT) -> None:
    """Run a program that says by its exit status whether all is well."""
    say(f"{step}: {shlex.join(command)}")
    if subprocess.run(command, cwd=folder, check=False).returncode:
        tally.fail(step)
    else:
        tally.passed += 1


def run_pytest(
    tally: Tally, step: str, command: Sequence[str], path: str, settings: Mapping[str, str] | None = None
) -> None:
    """Run the tests in `path` with the pytest that `command` starts; count them from its own report."""
    say(f"{step}: {shlex.join([*command, path])}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        arguments = [*command, path, "-q", "-ra", "--durations=5", f"--junit-xml={report}"]
        status = subprocess.run(arguments, cwd=ROOT, env={**os.environ, **(settings or {})}, check=False).returncode
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    say(f"{step}: {time.monotonic() - start:.0f} s, exit status {status}")
    failures = 0
    for case in cases:
        skip = case.find("skipped")
        if skip is not None:
            tally.skipped.append(f"{step}: {case.get('classname')}.{case.get('name')}: {skip.get('message')}")
            failures += IN_CI
        elif case.find("failure") is not None or case.find("error") is not None:
            failures += 1
        else:
            tally.passed += 1
    # A run that collected nothing, or that died before it wrote its report, has failed too.
    if status or failures or not cases:
        tally.fail(step, max(failures, 1))


def pytest_of(environment: Environment) -> list[str]:
    """Return the command that starts an environment's pytest."""
    # The user's own pytest plugins are not part of these tests; pytest-blender for one ends the
    # whole run where it finds no `blender` program.
    return [str(environment.make()), "-m", "pytest", "-p", "no:pytest-blender"]


def find_blenders() -> list[str]:
    """Return the Blender programs of this machine, each once."""
    named = [*os.environ.get("LENS_SOLVER_BLENDERS", "").split(os.pathsep), os.environ.get("BLENDER", "")]
    if not any(named):
        named = [shutil.which("blender") or ""]
    return list(dict.fromkeys(program for program in named if program))


def pytest_for_blenders() -> Path:
    """Return a folder with pytest, which is pure Python, for Blender programs to import."""
    python = MAIN.make()
    requirements = REQUIREMENTS / "tests.txt"
    folder = ROOT / MAIN.folder / f"pytest-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", str(partial), "-r", str(requirements)], check=True)
        partial.replace(folder)
    return folder


def unpack_wheels() -> None:
    """Lay the solver's packages where Blender programs that run the checkout look for them."""
    subprocess.run([str(MAIN.make()), str(ROOT / "vendor" / "wheels.py"), "unpack"], check=True)


# --- the steps --------------------------------------------------------------------------------------


def lint(tally: Tally) -> None:
    python = str(MAIN.make())
    check(tally, "lint", [python, "-m", "ruff", "check", "."])
    check(tally, "format", [python, "-m", "ruff", "format", "--check", "."])


def types(tally: Tally) -> None:
    # The add-on's relative imports reach its root, so mypy must see it as a package: the checkout
    # under the name that Blender gives it.
    python = str(MAIN.make())
    parent = ROOT / MAIN.folder / "checkout"
    parent.mkdir(exist_ok=True)
    link = parent / "lens_solver"
    if not link.exists():
        link.symlink_to(ROOT, target_is_directory=True)
    mypy = [python, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    mypy += ["--cache-dir", str(ROOT / ".mypy_cache")]
    packages = [argument for name in ("solver", "operators", "panels") for argument in ("-p", f"lens_solver.{name}")]
    check(tally, "types", [*mypy, *packages, "-m", "lens_solver", "-m", "lens_solver.batch"], folder=parent)
    programs = ["run.py", "vendor/environments.py", "vendor/wheels.py", "tests/steps.py", "tests/sample_error.py"]
    check(tally, "types of the programs", [*mypy, *programs])


def unit(tally: Tally) -> None:
    run_pytest(tally, "unit", [*pytest_of(MAIN), *PARALLEL], "tests/unit")


def oldest(tally: Tally) -> None:
    run_pytest(tally, "Blender 4.2 as a module", pytest_of(OLDEST), "tests/blender")
    run_pytest(tally, "unit with Blender 4.2's numpy", [*pytest_of(OLDEST), *PARALLEL, *QUICK], "tests/unit")


def main_version(tally: Tally) -> None:
    run_pytest(tally, "Blender 4.5 as a module", pytest_of(MAIN), "tests/blender")


def newest(tally: Tally) -> None:
    if not NEWEST.available():
        tally.missing("Blender 5.2 as a module", "no Python 3.13 (name one in LENS_SOLVER_PYTHON313)")
        return
    run_pytest(tally, "Blender 5.2 as a module", pytest_of(NEWEST), "tests/blender")
    run_pytest(tally, "unit with Blender 5.2's numpy", [*pytest_of(NEWEST), *PARALLEL, *QUICK], "tests/unit")


def slow(tally: Tally) -> None:
    """What the steps for single versions leave out."""
    for environment, version in ((OLDEST, "4.2"), (NEWEST, "5.2")):
        if environment.available():
            step = f"slow unit with Blender {version}'s numpy"
            run_pytest(tally, step, [*pytest_of(environment), *PARALLEL, "-m", "slow"], "tests/unit")
        else:
            tally.missing(f"slow unit with Blender {version}'s numpy", "no Python for it")


def package(tally: Tally) -> None:
    pythons = [str(environment.make()) for environment in (OLDEST, MAIN, NEWEST) if environment.available()]
    settings = {
        "LENS_SOLVER_BPY_PYTHONS": os.pathsep.join(pythons),
        "LENS_SOLVER_BLENDERS": os.pathsep.join(find_blenders()),
    }
    run_pytest(tally, "package", pytest_of(MAIN), "tests/package", settings)


def programs(tally: Tally) -> None:
    blenders = find_blenders()
    if not blenders:
        tally.missing("Blender programs", "no Blender (name one in BLENDER)")
        return
    settings = {"LENS_SOLVER_PYTEST": str(pytest_for_blenders())}
    unpack_wheels()
    for blender in blenders:
        command = [blender, "--background", "--factory-startup", "--python-exit-code", "1"]
        command += ["--python", str(ROOT / "tests" / "run.py"), "--"]
        run_pytest(tally, f"in {Path(blender).name}", command, "tests/blender", settings)


def window(tally: Tally) -> None:
    blenders = find_blenders()
    absent = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]
    if not blenders or absent:
        tally.missing("window", f"no {', '.join(absent) or 'Blender (name one in BLENDER)'}")
        return
    unpack_wheels()
    run_pytest(tally, "window", pytest_of(MAIN), "tests/gui", {"LENS_SOLVER_BLENDERS": os.pathsep.join(blenders)})


STEPS: dict[str, Callable[[Tally], None]] = {
    "lint": lint,
    "types": types,
    "unit": unit,
    "blender-4.2": oldest,
    "blender-4.5": main_version,
    "blender-5.2": newest,
    "package": package,
    "programs": programs,
    "window": window,
}
ALL: dict[str, Callable[[Tally], None]] = {**STEPS, "slow": slow}


def run(names: Sequence[str]) -> int:
    """Run the named steps, or the usual ones, or `all` to the end; return 1 if anything failed."""
    tally = Tally()
    for name in ALL if list(names) == ["all"] else names or STEPS:
        try:
            ALL[name](tally)
        except (SetupError, subprocess.CalledProcessError) as error:
            say(f"{name}: {error}")
            tally.fail(name)
    for skip in tally.skipped:
        say(f"skipped: {skip}")
    for step in tally.failed_steps:
        say(f"FAILED: {step}")
    print(f"{tally.passed} passed, {tally.failed} failed, {len(tally.skipped)} skipped", flush=True)
    return 1 if tally.failed else 0
