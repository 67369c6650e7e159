"""First frames of a reconstruction before a plane, which two frames alone cannot begin: any focal length fits them.

The homography of a plane from a reference frame to another, between undistorted normalised coordinates, is
G = s (R + t n^T), with the plane's normal n in the reference camera and its distance as unit. A direction d within the
plane, n . d = 0, only turns: G d = s R d. So of two that are at right angles and of length 1 the images are so too, but
for the common scale s: two equations a frame for the two unknowns of n, in every frame the same n, and only with the
right focal length (Triggs, Autocalibration from planar scenes, 1998). For each of a range of focal lengths the best
normal is found and the frames are posed by it; then all is adjusted with the focal length free and the points free to
leave the plane, and the start that explains the tracks best is kept.

The normal's own equations leave a plane seen edge on with any small focal length: it must be seen at a fair angle.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ..bundle.residuals import Array
from ..geometry.rotation import orthonormal
from ..geometry.two_view import FrameIndex, fundamental, homography, sampson
from .knowledge import focal_starts, start_lens
from .model import Model
from .seed import FOCAL_STARTS, LEAST_MOVED_PX, MOST_TRACKS, fresh_start, settled_start

_LEAST_SHARED = 40
# frames of a start
_WINDOW_FRAMES = 12
_LEAST_FRAMES = 4
_RANSAC_PX = 1.5
_SAMPLES = 1000
# median size of a normal variable of unit variance
_MEDIAN_OF_NORMAL = 0.6745
# how many times as far from a plane as from any rigid scene the tracks may be
_FLAT = 1.25
# a plane that is seen at less than about 25 degrees is not what most tracks lie on: the most that its normal leans, as
# the tangent, and how finely it is looked for
_STEEPEST = 2.0
_GRID = 21


def plane_starts(model: Model, index: FrameIndex, count: int) -> list[Model]:
    """Starts from so many reference frames, of those in which the tracks lie on a plane.

    Parameters
    ----------
    model : Model
        With nothing solved, of a camera that moves and has one focal length, or one that is known frame by frame.
    index : FrameIndex
        Of the model's tracks.
    count : int

    Returns
    -------
    list of Model
        A dozen frames of each posed, their points placed.
    """
    references = np.unique(np.linspace(0, model.tracks.n_frames - 1, count + 2).round().astype(int)[1:-1])
    found = [_best_start(model, index, int(reference)) for reference in references]
    return [start for start in found if start is not None]


def _best_start(model: Model, index: FrameIndex, reference: int) -> Model | None:
    others = _others(index, reference, model.tracks.n_frames)
    if len(others) + 1 < _LEAST_FRAMES or not _flat(index, reference, others):
        return None
    seen = np.unique(np.concatenate([index.pair(reference, int(other)).tracks for other in others]))
    chosen = np.zeros_like(model.placed)
    chosen[seen[:: max(1, len(seen) // MOST_TRACKS)]] = True
    window = np.sort(np.append(others, reference))
    focals = focal_starts(model, np.array(FOCAL_STARTS) * float(max(model.size)))
    starts = [_start(model, index, reference, others, chosen, float(focal)) for focal in focals]
    return settled_start(starts, window, chosen)


def _others(index: FrameIndex, reference: int, n_frames: int) -> NDArray[np.int64]:
    """Frames on both sides of a reference, as far as they share enough tracks with it."""
    shared = np.array([len(index.pair(reference, frame).tracks) for frame in range(n_frames)])
    lacking = np.flatnonzero(shared < _LEAST_SHARED)
    first = int(lacking[lacking < reference].max(initial=-1)) + 1
    last = int(lacking[lacking > reference].min(initial=n_frames)) - 1
    frames = np.unique(np.linspace(first, last, _WINDOW_FRAMES).round().astype(np.int64))
    return frames[frames != reference]


def _flat(index: FrameIndex, reference: int, others: NDArray[np.int64]) -> bool:
    """Whether the picture moves, and the tracks fit the homographies of a plane as well as epipolar geometries.

    In units of the tracks' own noise: the distance from an epipolar line has one part and both pictures' errors in
    Sampson's measure, that from where a homography puts a point two, of twice the variance.
    """
    ratios, moved = [], [0.0]
    for other in others:
        pair = index.pair(reference, int(other))
        moved.append(float(np.median(np.linalg.norm(pair.xy_second - pair.xy_first, axis=1))))
        on_plane = homography(pair.xy_first, pair.xy_second, _RANSAC_PX)
        rigid = fundamental(pair.xy_first, pair.xy_second, _RANSAC_PX / 2, 0.999, _SAMPLES)
        if on_plane is None or rigid is None:
            continue
        mapped = cv2.perspectiveTransform(pair.xy_first[:, None], on_plane[0])[:, 0]
        off_plane = np.median(((mapped - pair.xy_second) ** 2).sum(axis=1)) ** 0.5 / (2 * np.log(2)) ** 0.5 / 2**0.5
        off_lines = np.median(sampson(rigid[0], pair.xy_first, pair.xy_second)) / _MEDIAN_OF_NORMAL
        ratios.append(off_plane / max(off_lines, 1e-9))
    return bool(ratios) and max(moved) > LEAST_MOVED_PX and float(np.median(ratios)) < _FLAT


def _start(
    model: Model, index: FrameIndex, reference: int, others: NDArray[np.int64], chosen: NDArray[np.bool_], focal: float
) -> Model | None:
    """The frames posed by the plane for a focal length, pixels, and the tracks of a mask placed; None without any."""
    model = replace(model, state=replace(model.state, lens=start_lens(model, focal)))
    posed, G = [], []
    for other in others:
        pair = index.pair(reference, int(other))
        a, b = (
            model.lens.undistort((xy - model.lens.principal_point) / model.state.focal_px[frame])
            for xy, frame in ((pair.xy_first, reference), (pair.xy_second, int(other)))
        )
        agreed = homography(a, b, _RANSAC_PX / focal)
        if agreed is not None:
            posed.append(int(other))
            # in front of both cameras
            depth = np.concatenate([a, np.ones((len(a), 1))], axis=1) @ agreed[0][2]
            G.append(agreed[0] * np.sign(np.median(depth)))
    if len(posed) + 1 < _LEAST_FRAMES:
        return None
    R, t = model.state.R.copy(), model.state.t.copy()
    R[posed], t[posed] = poses_of_plane(np.array(G), plane_normal(np.array(G)))
    model = fresh_start(model, R, t, np.array([reference, *posed]), chosen)
    return model if model.placed.sum() >= _LEAST_SHARED // 2 else None


def plane_normal(G: Array) -> Array:
    """The normal n (3,), of length 1, of the plane that homographies (F, 3, 3) in normalised coordinates agree on."""
    axis = np.linspace(-_STEEPEST, _STEEPEST, _GRID)
    leaning = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    cost = (_unlike_turns(G, leaning) ** 2).sum(axis=1)
    best = least_squares(
        lambda p: _unlike_turns(G, p[None])[0], leaning[cost.argmin()], bounds=(-_STEEPEST - 1e-9, _STEEPEST + 1e-9)
    ).x
    n = np.append(best, 1.0)
    return np.asarray(n / np.linalg.norm(n))


def poses_of_plane(G: Array, n: Array) -> tuple[Array, Array]:
    """R (F, 3, 3) and t (F, 3), in units of the plane's distance, of homographies (F, 3, 3) with its normal (3,)."""
    a, b = _within(n[None])
    Ga, Gb = G @ a[0], G @ b[0]
    scale = (np.linalg.norm(Ga, axis=1) + np.linalg.norm(Gb, axis=1)) / 2
    G, Ga, Gb = G / scale[:, None, None], Ga / scale[:, None], Gb / scale[:, None]
    turned = np.stack([Ga, Gb, np.cross(Ga, Gb)], axis=2)
    R = np.stack([orthonormal(one) for one in turned @ np.stack([a[0], b[0], n])])
    return R, (G - R) @ n


def _within(n: Array) -> tuple[Array, Array]:
    """Two directions each (N, 3) within planes with normals (N, 3), so that a, b, n are a right-handed frame."""
    a = np.cross(np.array([0.0, 1.0, 0.0]), n)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    return a, np.cross(n, a)


def _unlike_turns(G: Array, leaning: Array) -> Array:
    """How far (N, 2 F) homographies (F, 3, 3) are from turning the planes whose normals are (leaning, 1), (N, 2)."""
    n = np.concatenate([leaning, np.ones((len(leaning), 1))], axis=1)
    a, b = _within(n / np.linalg.norm(n, axis=1, keepdims=True))
    Ga, Gb = np.einsum("fij,nj->nfi", G, a), np.einsum("fij,nj->nfi", G, b)
    aa, bb, ab = (Ga**2).sum(axis=2), (Gb**2).sum(axis=2), (Ga * Gb).sum(axis=2)
    return np.concatenate([(aa - bb) / (aa + bb), 2 * ab / (aa + bb)], axis=1)
