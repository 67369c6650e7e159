"""One picture of a shot whose camera stands still: the mean of some frames has less noise than any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..footage import Footage
from ..progress import Progress

MOST_FRAMES = 16


def mean_picture(footage: Footage, progress: Progress | None = None, most: int = MOST_FRAMES) -> NDArray[np.float32]:
    """Mean of up to `most` frames spread over the shot.

    Parameters
    ----------
    footage : Footage
    progress : Progress or None
    most : int

    Returns
    -------
    ndarray of float32, shape (H, W), 0 to 255
    """
    progress = progress or Progress()
    chosen = np.unique(np.round(np.linspace(0, len(footage) - 1, min(most, len(footage)))).astype(int))
    total = np.zeros(footage.size[::-1], np.float32)
    for done, index in enumerate(chosen):
        progress(done / len(chosen), "Looking for straight lines")
        for frame in footage.luminance(int(index), int(index) + 1):
            total += frame.pixels
    return total / len(chosen)
