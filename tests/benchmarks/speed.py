"""Time whole solves, files to .blend, against another program on the same footage.

    python tests/benchmarks/speed.py FOOTAGE [FOOTAGE ...] --peer 'COMMAND with {footage} and {output}' [--runs 3]

Ours and the peer run in turn, A B A B, after one warm-up of each; what counts is the ratio of each pair, so that a
machine whose speed drifts does not decide. Only clips that are solved count. With --require the exit status is 1 when
a median ratio (peer's seconds over ours) stays below it, or no clip is solved.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def seconds(command: list[str]) -> tuple[float, int]:
    """Wall seconds and exit status of a command, its output thrown away."""
    # as on an artist's machine, the warm-up leaves both programs' modules compiled
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    status = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode
    return time.perf_counter() - started, status


def compare(footage: Path, peer: str, runs: int, folder: Path) -> list[tuple[float, float]] | None:
    """Seconds of each pair (ours, peer's), or None when ours does not solve the clip."""
    ours = [sys.executable, "batch.py", str(footage), "--output", str(folder), "--stages", "camera", "--force"]
    theirs = [
        part.format(footage=footage, output=folder / "peer.blend", first=first_file(footage))
        for part in shlex.split(peer)
    ]
    pairs = []
    for run in range(runs + 1):
        mine, status = seconds(ours)
        if status != 0:
            return None
        other, status = seconds(theirs)
        if status != 0:
            raise SystemExit(f"The peer's command failed with status {status}: {shlex.join(theirs)}")
        if run:
            pairs.append((mine, other))
    return pairs


def first_file(footage: Path) -> Path:
    """The first frame of a folder, or the file itself: what some programs want instead of a folder."""
    return min(p for p in footage.iterdir() if p.name[0] != ".") if footage.is_dir() else footage


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", nargs="+", type=Path)
    parser.add_argument("--peer", required=True, help="may hold {footage}, {first} (its first frame) and {output}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--require", type=float, help="least median ratio")
    args = parser.parse_args()
    missed, counted = False, 0
    print(f"{'clip':20}{'ours s':>9}{'peer s':>9}{'ratio':>8}{'lowest':>8}{'highest':>9}")
    for footage in args.footage:
        with tempfile.TemporaryDirectory() as folder:
            pairs = compare(footage.resolve(), args.peer, args.runs, Path(folder))
        if pairs is None:
            print(f"{footage.name:20}not solved: does not count")
            continue
        counted += 1
        ratios = [other / mine for mine, other in pairs]
        mine, other = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(ratios)
        print(f"{footage.name:20}{mine:9.2f}{other:9.2f}{ratio:8.2f}{min(ratios):8.2f}{max(ratios):9.2f}", flush=True)
        missed |= args.require is not None and ratio < args.require
    return int(missed or (args.require is not None and not counted))


if __name__ == "__main__":
    sys.exit(main())
