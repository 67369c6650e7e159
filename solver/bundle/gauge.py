"""What no picture shows: the world's own place, turn and size."""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr

from .residuals import Array, State


def gauge_directions(state: State, n_lens: int, nodal: bool = False) -> Array:
    """Orthonormal basis (6 C + L, 7) of the changes of poses that no picture shows; (6 C + L, 3) of turns alone."""
    n = len(state.R)
    G = np.zeros((n, 6, 7))
    for axis in range(3):
        G[:, :3, axis] = -state.R[:, :, axis]
        G[:, 3:, 3 + axis] = -state.R[:, :, axis]
    G[:, 3:, 6] = state.t
    if nodal:
        G = G[:, :, :3]
        G[:, 3:] = 0
    full = np.concatenate([G.reshape(6 * n, -1), np.zeros((n_lens, G.shape[2]))])
    return np.asarray(qr(full, mode="economic")[0])
