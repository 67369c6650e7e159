"""From matches between pictures to tracks through all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def join(
    frame: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64], ambiguity: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Components of the match graph in which no frame occurs twice.

    The clearest matches are taken first; a match that would bring two key points of one frame into one track
    contradicts clearer ones and is left out, which splits the track there.

    Parameters
    ----------
    frame : ndarray of int64, shape (K,)
        Frame of each key point.
    first, second : ndarray of int64, shape (M,)
        Key points of each match.
    ambiguity : ndarray of float64, shape (M,)
        Lower is clearer.

    Returns
    -------
    ndarray of int64, shape (K,)
        A track number for each key point, in the order of their first key points, without gaps.
    """
    parent = list(range(len(frame)))
    seen = [1 << int(f) for f in frame]  # a bit for each frame of the track

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    order = np.lexsort((second, first, ambiguity))
    for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True):
        a, b = sorted((root(i), root(j)))
        if a != b and not seen[a] & seen[b]:
            parent[b] = a
            seen[a] |= seen[b]
    roots = np.array([root(i) for i in range(len(frame))], np.int64)
    return np.unique(roots, return_inverse=True)[1].ravel().astype(np.int64)
