"""The median of values that do not all count the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The first of `values` (N,), in their order, at which the `weights` (N,) so far reach half of their sum.

    Raises
    ------
    ValueError
        If there are no values.
    """
    if not len(values):
        raise ValueError("there is no median of no values")
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])
