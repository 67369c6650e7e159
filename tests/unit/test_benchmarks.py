"""The benchmarks run, and tell a solved clip from one that is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.sample_clip import sample

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small frames, enough of them to solve."""
    folder = tmp_path_factory.mktemp("clip")
    for i, picture in enumerate(sample()[:24]):
        cv2.imwrite(str(folder / f"frame_{i + 1:04d}.png"), picture)
    return folder


def run(name: str, *arguments: str) -> tuple[int, str]:
    program = ROOT / "tests" / "benchmarks" / f"{name}.py"
    done = subprocess.run([sys.executable, str(program), *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_speed_compares_and_holds_to_what_is_required(clip: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank"
    blank.mkdir()
    for i in range(5):
        cv2.imwrite(str(blank / f"{i}.png"), np.full((120, 160, 3), 90, np.uint8))
    peer = f"'{sys.executable}' -c 'import os, sys; sys.exit(not os.path.exists(sys.argv[1]))' {{footage}} {{output}}"
    status, text = run("speed", str(clip), str(blank), "--peer", peer, "--runs", "1", "--require", "1000")
    assert status == 1 and "blank" in text and "does not count" in text
    row = next(line for line in text.splitlines() if line.startswith(clip.name))
    ours, other, ratio = (float(value) for value in row.split()[1:4])
    assert ours > other and ratio == pytest.approx(other / ours, abs=0.02)
    assert run("speed", str(blank), "--peer", peer, "--runs", "1", "--require", "0.001")[0] == 1


def test_scaling_fits_an_exponent(clip: Path) -> None:
    status, text = run("scaling", str(clip), "--frames", "20", "30", "--require-exponent", "-9")
    assert status == 1 and "to the power" in text
    rows = [line.split() for line in text.splitlines() if line.strip()[:2] in ("20", "30")]
    assert len(rows) == 2
    for row in rows:
        assert float(row[1]) > 0 and 0.05 < float(row[2]) < 3  # seconds, GB
