"""The built zips: their contents, and installing one into a clean profile of each Blender.

LENS_SOLVER_BPY_PYTHONS lists Pythons that have a bpy wheel (default: this one), and
LENS_SOLVER_BLENDERS lists Blender programs, both separated as in PATH.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from vendor import wheels

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "data" / "sample"
PROGRAM = Path(__file__).with_name("install_zip.py")
ENABLE_SECONDS = 0.2

Command = tuple[str, ...]


def listed(variable: str) -> list[str]:
    return [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry]


def blenders() -> list[Command]:
    """What each Blender of this machine is started with, up to the name of a script."""
    modules = [(python,) for python in listed("LENS_SOLVER_BPY_PYTHONS") or [sys.executable]]
    programs = [
        (program, "--background", "--python-exit-code", "1", "--python") for program in listed("LENS_SOLVER_BLENDERS")
    ]
    return [*modules, *programs]


def name_of(command: Command) -> str:
    path = Path(command[0])
    return path.name if len(command) > 1 else path.parents[1].name


@pytest.fixture(scope="session")
def zips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The zip of each platform, built and validated with Blender's own program."""
    built = wheels.build(tmp_path_factory.mktemp("dist"))
    return dict(zip(wheels.PIP_PLATFORMS, built, strict=True))


def manifest_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return tomllib.loads(archive.read("blender_manifest.toml").decode())


def test_lock_and_manifest_agree() -> None:
    manifest = tomllib.loads(wheels.MANIFEST.read_text(encoding="utf-8"))
    assert manifest["wheels"] == [f"./vendor/wheels/{wheel.file}" for wheel in wheels.read_lock()]
    assert manifest["platforms"] == list(wheels.PIP_PLATFORMS)


def test_lock_covers_every_platform_and_python() -> None:
    locked = wheels.read_lock()
    for requirement in wheels.REQUIREMENTS:
        served = sorted(
            (platform, python)
            for wheel in locked
            for platform in wheel.platforms
            if (wheel.name, wheel.version, wheel.licence)
            == (requirement.name, requirement.version, requirement.licence)
            for python in wheel.pythons
        )
        assert served == sorted((name, python) for name in wheels.PIP_PLATFORMS for python in wheels.PYTHONS)


def test_environments_have_the_locked_versions() -> None:
    lines = (ROOT / "requirements" / "solver.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line for line in lines if not line.startswith("#")}
    assert pinned == {f"{requirement.name}=={requirement.version}" for requirement in wheels.REQUIREMENTS}


def test_changelog_knows_the_version() -> None:
    manifest = tomllib.loads(wheels.MANIFEST.read_text(encoding="utf-8"))
    assert f"## [{manifest['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_zip_names(zips: dict[str, Path]) -> None:
    version = tomllib.loads(wheels.MANIFEST.read_text(encoding="utf-8"))["version"]
    names = [path.name for path in zips.values()]
    assert names == [f"lens_solver-{version}-{name}.zip" for name in ("linux_x64", "windows_x64", "macos_arm64")]


@pytest.mark.parametrize("platform_id", wheels.PIP_PLATFORMS)
def test_zip_carries_its_own_wheels_only(zips: dict[str, Path], platform_id: str) -> None:
    locked = [wheel for wheel in wheels.read_lock() if platform_id in wheel.platforms]
    generated = manifest_of(zips[platform_id])["build"]["generated"]
    assert generated["platforms"] == [platform_id]
    assert generated["wheels"] == [f"./vendor/wheels/{wheel.file}" for wheel in locked]
    with zipfile.ZipFile(zips[platform_id]) as archive:
        carried = {name for name in archive.namelist() if name.startswith("vendor/")}
    assert carried == {f"vendor/wheels/{wheel.file}" for wheel in locked}


def test_zip_holds_what_blender_runs_and_nothing_else(zips: dict[str, Path]) -> None:
    with zipfile.ZipFile(zips["linux-x64"]) as archive:
        names = [name for name in archive.namelist() if not name.startswith("vendor/wheels/")]
    files = {"__init__.py", "batch.py", "blender_manifest.toml", "LICENSE", "README.md", "CHANGELOG.md"}
    folders = {"solver", "operators", "panels", "presets"}
    unexpected = [name for name in names if name not in files and name.partition("/")[0] not in folders]
    assert not unexpected
    assert files <= set(names)
    for path in [
        *(ROOT / "solver").rglob("*.py"),
        *(ROOT / "operators").rglob("*.py"),
        *(ROOT / "panels").rglob("*.py"),
    ]:
        assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if "__pycache__" in name or name.rpartition("/")[2].startswith(".")]


def run_blender(command: Command, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    profile = tmp_path / "profile"
    profile.mkdir(exist_ok=True)
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(profile), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [*command, str(PROGRAM), "--", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def python_of(command: Command) -> str:
    """Return the Python version inside a Blender, as "3.11"."""
    line = "import sys; print('python is', *sys.version_info[:2])"
    inside = [*command[:-1], "--python-expr", line] if len(command) > 1 else [*command, "-c", line]
    output = subprocess.run(inside, capture_output=True, text=True, timeout=120, check=True).stdout
    return ".".join(output.partition("python is")[2].split()[:2])


@pytest.mark.parametrize("command", blenders(), ids=name_of)
def test_install_enable_solve_disable(zips: dict[str, Path], command: Command, tmp_path: Path) -> None:
    report_path = tmp_path / "report.json"
    result = run_blender(
        command, tmp_path, str(zips[wheels.this_platform()]), str(report_path), str(SAMPLE / "sample.mp4")
    )
    output = result.stdout + result.stderr
    python = python_of(command)
    if python not in wheels.PYTHONS:
        # Not a Blender as blender.org builds it, for which there are wheels: Blender refuses and says why.
        assert result.returncode != 0
        assert f"Python version ({python}) isn't compatible" in output
        return
    assert result.returncode == 0, output
    report = json.loads(report_path.read_text(encoding="utf-8"))

    assert report["before"] == []
    assert report["install"] == ["FINISHED"]
    assert report["enabled"]
    assert report["loaded"] == [], "enabling imported heavy modules"
    assert "Scene.lens_solver" in report["registered"]
    assert "operator solve_camera" in report["registered"]

    (site,) = report["site"]
    assert {"scipy", "cv2", "av"} <= set(report["wheels"])
    assert "numpy" not in report["wheels"], "numpy is Blender's own"
    for name, origin in report["imports"].items():
        assert origin.startswith(site) == (name != "numpy"), f"{name}: {origin}"
        assert not origin.startswith("failed"), f"{name}: {origin}"

    truth = json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))
    solve = report["solve"]
    assert solve["finished"] == ["FINISHED"]
    assert solve["status"] in {"SOLVED", "WARNINGS"}
    assert solve["frames"] == len(truth["frames"])
    assert solve["moved"]
    assert solve["focal_px"] == pytest.approx(truth["frames"][0]["focal_px"], rel=0.01)

    result = run_blender(command, tmp_path, "installed", str(report_path))
    assert result.returncode == 0, result.stdout + result.stderr
    again = json.loads(report_path.read_text(encoding="utf-8"))
    assert again["registered"] == report["registered"]
    assert again["loaded"] == []
    assert again["seconds"] < ENABLE_SECONDS
    assert again["after"] == []
