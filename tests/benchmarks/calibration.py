"""Are the reported deviations true? Solve simulated shots of mixed kinds whose truth is known, and count.

    python tests/benchmarks/calibration.py [--shots 200] [--first-seed N] [--kinds dolly zoom ...] [--jobs N]

Prints a row a motion: how many shots were refused or solved with warnings, the focal length's median error, the share
of focal lengths within two reported deviations (of a zoom, the share of its frames), how many were off by more than
five, in all and without a warning, and the path's and the rotation's error. Then every shot off by more than five, and
every one that could be solved but was refused, with its seed: `--first-seed SEED --shots 1` solves it again, and
`--without` takes one thing at a time out of it. With --require the exit status is 1 unless 90 to 98 of 100 lie within
two deviations, none is off by more than five without a warning, and no more than one in ten is refused needlessly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from solver.types import WARNINGS  # noqa: E402
from tests.simulated.score import Score, score_seed  # noqa: E402
from tests.simulated.shot import ASPECTS, CONSTANT, MOTIONS  # noqa: E402

LEAST_WITHIN, MOST_WITHIN = 0.90, 0.98
MOST_SHIRKED = 0.10


def row(name: str, scores: Sequence[Score]) -> str:
    """A row of the table."""
    answered = [s for s in scores if s.answered and s.kind != "refuse"]

    def median(attribute: str) -> str:
        values = [getattr(s, attribute) for s in answered]
        return f"{np.median(values):8.2f}" if values else f"{'-':>8}"

    within = f"{100 * np.mean([s.within for s in answered]):8.0f}" if answered else f"{'-':>8}"
    refused = sum(not s.answered for s in scores)
    warned = sum(s.status == WARNINGS for s in scores)
    beyond, false = sum(s.beyond for s in scores), sum(s.false for s in scores)
    columns = "".join(median(a) for a in ("focal_percent", "sd_percent"))
    last = "".join(median(a) for a in ("path_percent", "rotation_deg"))
    seconds = np.mean([s.seconds for s in scores])
    return f"{name:15}{len(scores):5}{refused:9}{warned:8}{columns}{within}{beyond:8}{false:7}{last}{seconds:7.1f}"


HEADER = (
    f"{'motion':15}{'n':>5}{'refused':>9}{'warned':>8}{'focal %':>8}{'sd %':>8}{'in 2sd %':>8}{'> 5 sd':>8}{'false':>7}"
    f"{'path %':>8}{'rot deg':>8}{'s':>7}"
)


def line(s: Score) -> str:
    """One shot, to be looked into."""
    found = f"{s.answer} {s.focal_percent:.2f} % off, sd {s.sd_percent:.2f} %, {s.sigmas:+.1f} sd" if s.answered else ""
    reasons = "".join(f"\n        {reason}" for reason in s.reasons)
    return f"  {s.seed}: {s.status} {found}; {s.description}{reasons}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=[], metavar="MOTION", help=f"{', '.join(MOTIONS)}; or constant")
    parser.add_argument("--without", nargs="+", default=[], choices=ASPECTS, help="what to leave out of every shot")
    parser.add_argument("--largest", type=int, default=150, help="most frames of a shot")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="a line for every shot as it is solved")
    parser.add_argument("--require", action="store_true")
    args = parser.parse_args()
    kinds = tuple(dict.fromkeys(name for kind in args.kinds for name in (CONSTANT if kind == "constant" else [kind])))
    seeds = range(args.first_seed, args.first_seed + args.shots)
    scores, broken = [], []
    with ProcessPoolExecutor(args.jobs) as pool:
        futures = {seed: pool.submit(score_seed, seed, kinds, tuple(args.without), args.largest) for seed in seeds}
        for seed, future in futures.items():
            error = future.exception()
            if error is not None:
                broken.append(f"  {seed}: {type(error).__name__}: {error}")
                continue
            scores.append(future.result())
            if args.verbose:
                print(line(scores[-1]), flush=True)
    print(HEADER)
    for name in MOTIONS:
        of_kind = [s for s in scores if s.motion == name]
        if of_kind:
            print(row(name, of_kind))
    if scores:
        print(row("all", scores))
    for title, chosen in (
        ("Off by more than five deviations, or solved where there is nothing", [s for s in scores if s.beyond]),
        ("Refused although it can be solved", [s for s in scores if s.shirked]),
    ):
        if chosen:
            print(f"{title}:", *(line(s) for s in chosen), sep="\n")
    if broken:
        print("Broken off by an error of the program:", *broken, sep="\n")
    return int(bool(broken) or (args.require and not required(scores)))


def required(scores: Sequence[Score]) -> bool:
    """Whether the scores are what is required of them."""
    answered = [s.within for s in scores if s.answered and s.kind != "refuse"]
    solvable = [s.shirked for s in scores if s.kind in ("moving", "nodal")]
    return (
        bool(answered)
        and LEAST_WITHIN <= float(np.mean(answered)) <= MOST_WITHIN
        and not any(s.false for s in scores)
        and (not solvable or float(np.mean(solvable)) <= MOST_SHIRKED)
    )


if __name__ == "__main__":
    sys.exit(main())
