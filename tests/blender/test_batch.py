"""`batch.py` as a program of its own, with footage that cannot be solved: sentences, exit codes, no half files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bpy
import cv2
import numpy as np
import pytest
from conftest import ROOT

LIMIT_S = 120


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "batch.py")]
    if bpy.app.binary_path:  # a Blender program; as a module Blender has none
        command = [bpy.app.binary_path, "--background", "--factory-startup", "--python", str(ROOT / "batch.py"), "--"]
    return subprocess.run(
        [*command, *arguments], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def frames(folder: Path, pictures: list[np.ndarray]) -> str:
    folder.mkdir()
    for number, picture in enumerate(pictures, start=1):
        assert cv2.imwrite(str(folder / f"frame_{number:04d}.png"), picture)
    return str(folder)


def noise(seed: int, width: int = 320, height: int = 180) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 255, (height, width), dtype=np.uint8), (0, 0), 1.5)


def bad_shots(folder: Path) -> dict[str, str]:
    """Name of each shot that cannot be solved, and its footage."""
    (folder / "empty").mkdir()
    (folder / "text").mkdir()
    for number in range(1, 5):
        (folder / "text" / f"frame.{number:04d}.exr").write_text("This is no picture.\n")
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(400))
    (folder / "notes.txt").write_text("This is no footage.\n")
    grey = np.full((180, 320), 128, dtype=np.uint8)
    return {
        "none": str(folder / "none.mp4"),
        "empty": str(folder / "empty"),
        "text": str(folder / "text"),
        "broken": str(folder / "broken.mp4"),
        "notes": str(folder / "notes.txt"),
        "pattern": str(folder / "pattern.####.exr"),
        "one": frames(folder / "one", [noise(1)]),
        "sizes": frames(folder / "sizes", [noise(1), noise(1), noise(1, 300), noise(1)]),
        "flat": frames(folder / "flat", [grey] * 8),
        "still": frames(folder / "still", [noise(3)] * 8),
        "unrelated": frames(folder / "unrelated", [noise(seed) for seed in range(8)]),
    }


def test_each_bad_shot_gets_one_sentence(tmp_path: Path) -> None:
    shots = bad_shots(tmp_path)
    output = tmp_path / "out"
    ended = run(*shots.values(), "--output", str(output), folder=tmp_path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "Internal error" not in ended.stderr, ended.stderr
    said = {line.partition(":")[0]: line for line in ended.stderr.splitlines() if ": not solved. " in line}
    assert set(said) == set(shots), ended.stderr
    assert sorted(path.name for path in output.iterdir()) == sorted(f"{name}.json" for name in shots)
    for name, sentence in said.items():
        record = json.loads((output / f"{name}.json").read_text())
        assert record["status"] == "refused" and record["schema"] == 1
        assert sentence == f"{name}: not solved. {record['reasons'][0]}"
        assert record["reasons"][0].endswith("."), sentence


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("shot.mp4",),
        ("shot.mp4", "--output", "out", "--stages", "roto"),
        ("shot.mp4", "--output", "out", "--sensor", "-1"),
        ("shots.yaml", "--output", "out"),
    ],
)
def test_unusable_arguments_are_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = run(*arguments, folder=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr and ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_is_exit_code_0(tmp_path: Path) -> None:
    ended = run("--help", folder=tmp_path)
    assert ended.returncode == 0 and "--stages" in ended.stdout
