"""Which way is up in a shot that is solved: a few of its frames are looked at once more, for straight lines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..footage import Footage
from ..progress import Progress
from ..types import Solve
from .edges import Edges
from .gravity import gravity
from .world_lines import edges_in_shot

# frames that are looked at: more of them show the same lines again
MOST_FRAMES = 6


def edges_of_shot(footage: Footage) -> dict[int, Edges]:
    """Edges of the frames, by their indices, that `with_up` looks at if all of a shot is solved."""
    return {int(index): _edges_of_frame(footage, int(index)) for index in _spread(np.arange(len(footage)))}


def _edges_of_frame(footage: Footage, index: int) -> Edges:
    (frame,) = footage.luminance(index, index + 1)
    return edges_in_shot(frame.pixels)


def _spread(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """A few of the frames: not the first and the last, which are where a solve is weakest."""
    count = min(MOST_FRAMES, len(frames))
    share = (np.arange(count) + 0.5) / max(count, 1)
    return np.unique(frames[(share * len(frames)).astype(np.int64)])


def with_up(
    solve: Solve, footage: Footage, edges: Mapping[int, Edges] | None = None, progress: Progress | None = None
) -> Solve:
    """The solve with `up_world` and `up_sd` where the footage's straight lines show clearly what is vertical.

    Parameters
    ----------
    solve : Solve
        Of a camera whose orientation is known in some frames.
    footage : Footage
        Of the solve: as many frames.
    edges : mapping of int to Edges
        What is known already, from `edges_of_shot`.
    progress : Progress or None

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
    chosen = _spread(np.flatnonzero(path.solved))
    known = dict(edges or {})
    for done, index in enumerate(chosen.tolist()):
        progress(done / len(chosen), "Looking for what is vertical")
        if index not in known:
            known[index] = _edges_of_frame(footage, index)
    seen = [known[index] for index in chosen.tolist()]
    found = gravity(seen, path.R_cam_from_world[chosen], path.focal_px[chosen], solve.lens)
    seconds = {**solve.report.seconds, "vertical": round(time.perf_counter() - started, 3)}
    report = replace(solve.report, seconds=seconds)
    progress(1.0, "Looking for what is vertical")
    if found is None:
        return replace(solve, report=report)
    return replace(solve, up_world=found.up_world, up_sd=found.sd, report=report)
