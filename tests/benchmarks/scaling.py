"""Time and memory of a solve against the length of the shot.

    python tests/benchmarks/scaling.py FOOTAGE [--frames 100 200 400 800] [--size 1920x1080]

FOOTAGE (a folder of frames) is run forwards and backwards with fresh noise until it is long enough, resized if asked.
Prints the seconds and the peak memory of each length and the exponent of time over frames: 1 is linear. With
--require-exponent the exit status is 1 when it is larger, with --require-memory when a peak is (in GB).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
_NOISE = 1.5


def lengthen(source: Path, target: Path, count: int, size: tuple[int, int] | None) -> None:
    """Write `count` frames: those of `source` there and back again, each time with new noise."""
    files = sorted(path for path in source.iterdir() if path.suffix.lower() in {".jpg", ".png", ".tif"})
    order = [*range(len(files)), *range(len(files) - 2, 0, -1)]
    rng = np.random.default_rng(0)
    for i in range(count):
        picture = cv2.imread(str(files[order[i % len(order)]]))
        if size is not None:
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(picture + rng.normal(0, _NOISE, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(target / f"frame_{i + 1:04d}.jpg"), noisy, [cv2.IMWRITE_JPEG_QUALITY, 92])


def solve(footage: Path, folder: Path) -> tuple[float, float, dict[str, float]]:
    """Wall seconds, peak memory in GB, and the seconds of each stage.

    Raises
    ------
    SystemExit
        If the clip is not solved.
    """
    command = [sys.executable, "batch.py", str(footage), "--output", str(folder), "--stages", "camera", "--force"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{footage.name} is not solved")
    statistics = json.loads((folder / f"{footage.name}.json").read_text())["statistics"]
    return statistics["seconds_in_all"], usage.ru_maxrss / 1024**2, statistics["seconds"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 200, 400, 800])
    parser.add_argument("--size", help="WIDTHxHEIGHT")
    parser.add_argument("--require-exponent", type=float)
    parser.add_argument("--require-memory", type=float)
    args = parser.parse_args()
    size = tuple(int(part) for part in args.size.split("x")) if args.size else None
    times, peaks = [], []
    print(f"{'frames':>7}{'seconds':>9}{'GB':>7}  stages")
    for count in args.frames:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / f"clip_{count}"
            clip.mkdir()
            lengthen(args.footage, clip, count, size)
            seconds, memory, stages = solve(clip, Path(folder))
        times.append(seconds)
        peaks.append(memory)
        print(f"{count:7d}{seconds:9.1f}{memory:7.2f}  {stages}", flush=True)
    failed = args.require_memory is not None and max(peaks) > args.require_memory
    if len(times) > 1:
        exponent = float(np.polyfit([math.log(n) for n in args.frames], [math.log(t) for t in times], 1)[0])
        print(f"time grows with the number of frames to the power {exponent:.2f}")
        failed |= args.require_exponent is not None and exponent > args.require_exponent
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
