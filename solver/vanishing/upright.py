"""Which way is up in a shot that is solved: a few of its frames are looked at once more, for straight lines."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from ..footage import Footage
from ..progress import Progress
from ..types import Solve
from .gravity import gravity

# frames that are looked at: more of them show the same lines again
MOST_FRAMES = 6


def with_up(solve: Solve, footage: Footage, progress: Progress | None = None, most: int = MOST_FRAMES) -> Solve:
    """The solve with `up_world` and `up_sd` where the footage's straight lines show clearly what is vertical.

    Parameters
    ----------
    solve : Solve
        Of a camera whose orientation is known in some frames.
    footage : Footage
        Of the solve: as many frames.
    progress : Progress or None
    most : int
        Frames to look at, spread over the solved ones.

    Raises
    ------
    ValueError
        If the footage has another number of frames than the solve.
    """
    if len(footage) != len(solve.path.solved):
        raise ValueError(f"a solve of {len(solve.path.solved)} frames needs as many, found {len(footage)}")
    started = time.perf_counter()
    progress = progress or Progress()
    path = solve.path
    solved = np.flatnonzero(path.solved)
    # not the ends of the shot themselves: they are where a solve is weakest
    share = (np.arange(min(most, len(solved))) + 0.5) / max(min(most, len(solved)), 1)
    chosen = np.unique(solved[(share * len(solved)).astype(np.int64)])
    pictures = []
    for done, index in enumerate(chosen):
        progress(done / len(chosen), "Looking for what is vertical")
        pictures += [frame.pixels for frame in footage.luminance(int(index), int(index) + 1)]
    found = gravity(pictures, path.R_cam_from_world[chosen], path.focal_px[chosen], solve.lens)
    seconds = {**solve.report.seconds, "vertical": round(time.perf_counter() - started, 3)}
    report = replace(solve.report, seconds=seconds)
    progress(1.0, "Looking for what is vertical")
    if found is None:
        return replace(solve, report=report)
    return replace(solve, up_world=found.up_world, up_sd=found.sd, report=report)
