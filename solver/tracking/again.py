"""Finding the tracks of an earlier frame again in a later picture, over any gap of time.

What lies between may be black, covered, blurred, missing, or a whole walk around the block. Matches between the two
pictures (key points, or tracks that both see) say roughly where each track must be and how its surroundings are turned
and scaled: a locally affine map. There the track's first patch is aligned, by the same alignment that follows tracks
from frame to frame, so that a track that is found again is as accurate as one that never was lost, and keeps its
number. The positions that are found must agree with one motion of the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..conventions import OPENCV_OFFSET_PX
from ..geometry.two_view import fundamental
from .align import Array32, Patch, Templates, align, as_bytes, make_templates
from .features import Features, find_features
from .pairs import epipolar_distance, match_pair

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# key points for a match: fewer than stills get, since only their surroundings must be known and not the camera
_POINTS = 1500
_LARGEST_SIDE_PX = 800
# largest distance of a match, as a share of the next best
_RATIO = 0.8
# matches that decide where a track must be, and the pull of the whole picture's affine map on the local one
_NEIGHBOURS = 10
_GLOBAL_PULL = 0.15
# a match further than this from where its neighbours put it is no match: pixels, and neighbours' own scatter
_STRAY_PX = 4.0
_STRAY_SCATTER = 4.0
# the alignment must stay near the prediction, and a patch that is found must be clearer than one that is followed
_LARGEST_STEP_PX = 4.0
_LEAST_CORRELATION = 0.8
_AREA_CHANGE = 6.0
# starts from which the same place must be found, and how much the same
_ASIDE_PX = ((1.0, 1.0), (-1.0, 1.0))
_SAME_PLACE_PX = 0.1
# agreement with one motion of the camera, and what it takes to believe it
_AGREEMENT_PX = 1.5
_LEAST_FOUND = 12
_LEAST_SHARE = 0.12
# JPEG quality of pictures that are kept for long
_QUALITY = 92


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one frame saw.

    Attributes
    ----------
    index, number : int
        Of the frame, from 0 and in the footage.
    picture : ndarray of uint8
        (H, W), or the bytes of a JPEG of it.
    hidden : ndarray of bool, shape (H, W), or None
        What a matte leaves out.
    track : ndarray of int64, shape (N,)
    position : ndarray of float32, shape (N, 2), OpenCV pixels
    velocity : ndarray of float32, shape (N, 2), pixels for each frame number
    warp : ndarray of float32, shape (N, 2, 2)
        As in `align`.
    """

    index: int
    number: int
    picture: NDArray[np.uint8]
    hidden: Mask | None
    track: NDArray[np.int64]
    position: Array32
    velocity: Array32
    warp: Array32

    @property
    def grey(self) -> NDArray[np.uint8]:
        """The picture (H, W)."""
        if self.picture.ndim == 2:
            return self.picture
        return np.asarray(cv2.imdecode(self.picture, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)

    def packed(self) -> View:
        """The same with the picture as JPEG, to be kept for long. What was hidden is made flat."""
        picture = self.picture
        if self.hidden is not None:
            picture = np.where(self.hidden, np.uint8(128), picture)
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        assert done
        return replace(self, picture=data.ravel(), hidden=None)


class FirstPatches:
    """The surroundings in which each track began, as bytes, for templates whenever they are wanted."""

    def __init__(self, patch: Patch) -> None:
        self._patch = patch
        self._radius = patch.side // 2 + 2  # gradients are taken half a pixel further out
        self._blocks: list[NDArray[np.uint8]] = []
        self._starts: list[int] = []
        self.count = 0

    def add(self, picture: Array32, position: Array32) -> None:
        """Keep the patches of new tracks, numbered on from the last."""
        axis = np.arange(-self._radius, self._radius + 1, dtype=np.float32)
        at = position[:, None, None, :] + np.stack(np.meshgrid(axis, axis), axis=-1)  # (N, S, S, 2)
        side = len(axis)
        values = cv2.remap(
            picture, at.reshape(len(position), side * side, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        self._starts.append(self.count)
        self._blocks.append(as_bytes(values).reshape(-1, side, side))
        self.count += len(position)

    def templates(self, track: NDArray[np.int64]) -> Templates:
        """Templates of some tracks."""
        block = np.searchsorted(self._starts, track, side="right") - 1
        side = 2 * self._radius + 1
        # one under the other, as pictures: cv2.remap reads such of up to 32,767 rows
        columns = np.empty((len(track), side, side), np.float32)
        for i, (b, t) in enumerate(zip(block.tolist(), track.tolist(), strict=True)):
            columns[i] = self._blocks[b][t - self._starts[b]]
        most = 32000 // side
        whole = self._of_column(columns[:most])
        for first in range(most, len(track), most):
            whole = whole.joined(self._of_column(columns[first : first + most]))
        return whole

    def _of_column(self, column: Array32) -> Templates:
        side = column.shape[1]
        row = self._radius + side * np.arange(len(column))
        middle = np.stack([np.full(len(column), self._radius), row], axis=1).astype(np.float32)
        return make_templates(column.reshape(-1, side), middle, self._patch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The picture in which tracks are sought.

    Attributes
    ----------
    grey : ndarray of uint8, shape (H, W)
    picture : ndarray of float32, shape (H, W)
        As smoothed for the alignment.
    hidden : ndarray of bool, shape (H, W), or None
        What a matte leaves out.
    inside : callable(position (N, 2)) -> mask (N,)
        Where a track may be.
    """

    grey: NDArray[np.uint8]
    picture: Array32
    hidden: Mask | None
    inside: Callable[[Array32], Mask]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Tracks that were found again: track (N,), OpenCV position (N, 2), warp (N, 2, 2), values (N, M); and how many
    should have been seen."""

    track: NDArray[np.int64]
    position: Array32
    warp: Array32
    values: Array32
    n_expected: int

    @property
    def enough(self) -> bool:
        """Whether so many agree that it is the same scene."""
        return len(self.track) >= max(_LEAST_FOUND, _LEAST_SHARE * self.n_expected)

    def joined(self, other: Found) -> Found:
        """These and then the others."""
        return Found(
            track=np.concatenate([self.track, other.track]),
            position=np.concatenate([self.position, other.position]),
            warp=np.concatenate([self.warp, other.warp]),
            values=np.concatenate([self.values, other.values]),
            n_expected=self.n_expected + other.n_expected,
        )


def key_points(grey: NDArray[np.uint8], hidden: Mask | None) -> Features:
    """Key points for `matched`."""
    return find_features(grey, _POINTS, _LARGEST_SIDE_PX, hidden)


def matched(a: Features, b: Features, size: tuple[int, int]) -> tuple[Array, Array] | None:
    """OpenCV positions (M, 2) in two pictures of one size that show the same; None when they show nothing in common."""
    matches = match_pair(a, b, size, _RATIO)
    if matches is None:
        return None
    xy_a, xy_b = a.xy[matches.first] - OPENCV_OFFSET_PX, b.xy[matches.second] - OPENCV_OFFSET_PX
    keep = _neighbours_agree(xy_a, xy_b)
    return xy_a[keep], xy_b[keep]


def find_again(
    view: View,
    matches: tuple[Array, Array],
    seen: Seen,
    skip: NDArray[np.int64],
    patches: FirstPatches,
    patch: Patch,
    iterations: int,
    pool: Executor | None,
) -> Found:
    """Find the tracks of a view in another picture.

    Parameters
    ----------
    view : View
    matches : (ndarray of shape (M, 2), ndarray of shape (M, 2))
        OpenCV positions in the view and in the picture.
    seen : Seen
        The picture.
    skip : ndarray of int64
        Tracks that need not be sought.
    patches : FirstPatches
    patch : Patch
    iterations : int
        Of the alignment.
    pool : Executor or None
    """
    chosen = np.flatnonzero(~np.isin(view.track, skip))
    place, shape = carried(view.position[chosen].astype(np.float64), *matches)
    start = place.astype(np.float32)
    inside = seen.inside(start)
    chosen, start, shape = chosen[inside], start[inside], shape[inside]
    empty = Found(
        track=np.empty(0, np.int64),
        position=np.empty((0, 2), np.float32),
        warp=np.empty((0, 2, 2), np.float32),
        values=np.empty((0, len(patch.window)), np.float32),
        n_expected=len(chosen),
    )
    if not len(chosen):
        return empty
    track = view.track[chosen]
    warp = np.matmul(shape, view.warp[chosen]).astype(np.float32)
    templates = patches.templates(track)
    result = align(seen.picture, templates, patch, start, warp, iterations, pool)
    change = np.abs(np.linalg.det(result.warp)) / np.maximum(np.abs(np.linalg.det(view.warp[chosen])), 1e-6)
    good = (result.correlation > _LEAST_CORRELATION) & (change < _AREA_CHANGE) & (change > 1 / _AREA_CHANGE)
    good &= np.isfinite(result.position).all(axis=1)
    good &= ((result.position - start) ** 2).sum(axis=1) < _LARGEST_STEP_PX**2
    good[good] = seen.inside(result.position[good])
    # an edge, or a pattern that repeats, is found somewhere else from elsewhere
    for aside in _ASIDE_PX:
        which = np.flatnonzero(good)
        if not len(which):
            return empty
        other = align(
            seen.picture,
            templates.select(good),
            patch,
            result.position[which] + np.array(aside, np.float32),
            result.warp[which],
            iterations,
            pool,
        )
        good[which] = ((other.position - result.position[which]) ** 2).sum(axis=1) < _SAME_PLACE_PX**2
    good[good] = _one_motion(view.position[chosen][good], result.position[good])
    return replace(
        empty, track=track[good], position=result.position[good], warp=result.warp[good], values=result.values[good]
    )


def carried(at: Array, xy_a: Array, xy_b: Array) -> tuple[Array, Array]:
    """Where points (N, 2) of one picture lie in another, and the affine map (N, 2, 2) of their surroundings.

    Parameters
    ----------
    at : ndarray of shape (N, 2)
    xy_a, xy_b : ndarray of shape (M, 2)
        Points of both pictures that belong together.
    """
    whole = _affine(xy_a, xy_b)
    k = min(_NEIGHBOURS, len(xy_a))
    distance, nearest = cKDTree(xy_a).query(at, k=k)
    distance, nearest = distance.reshape(len(at), k), nearest.reshape(len(at), k)
    width = np.maximum(distance[:, k // 2], 1.0)[:, None]
    weight = np.exp(-0.5 * (distance / width) ** 2)
    # local displacement from the whole picture's map: an affine function about the point, its slope held small
    d = (xy_a[nearest] - at[:, None]) / width[:, :, None]  # (N, k, 2)
    rest = xy_b[nearest] - xy_a[nearest] @ whole[:, :2].T - whole[:, 2]
    for _ in range(2):
        basis = np.concatenate([d, np.ones_like(d[:, :, :1])], axis=2)  # (N, k, 3)
        normal = np.einsum("nk,nki,nkj->nij", weight, basis, basis)
        total = weight.sum(axis=1)[:, None]
        normal[:, [0, 1], [0, 1]] += _GLOBAL_PULL * total
        normal[:, 2, 2] += 1e-3 * total[:, 0]
        solved = np.linalg.solve(normal, np.einsum("nk,nki,nkj->nij", weight, basis, rest))  # (N, 3, 2)
        off = np.sqrt(((rest - basis @ solved) ** 2).sum(axis=2))
        scale = np.maximum(np.median(off, axis=1), 0.5)[:, None]
        weight = weight / (1 + (off / (2 * scale)) ** 2)
    slope = solved[:, :2].transpose(0, 2, 1) / width[:, :, None]
    return at @ whole[:, :2].T + whole[:, 2] + solved[:, 2], whole[:, :2] + slope


def _affine(xy_a: Array, xy_b: Array) -> Array:
    """The affine map (2, 3) of most matches."""
    found, _ = cv2.estimateAffine2D(xy_a, xy_b, method=cv2.RANSAC, ransacReprojThreshold=20.0)
    if found is None:
        return np.column_stack([np.eye(2), np.median(xy_b - xy_a, axis=0)])
    return np.asarray(found)


def _neighbours_agree(xy_a: Array, xy_b: Array) -> Mask:
    """Mask (M,) of matches that lie where the matches around them put them."""
    whole = _affine(xy_a, xy_b)
    rest = xy_b - xy_a @ whole[:, :2].T - whole[:, 2]
    k = min(_NEIGHBOURS + 1, len(xy_a))
    _, nearest = cKDTree(xy_a).query(xy_a, k=k)
    around = rest[nearest[:, 1:]]
    middle = np.median(around, axis=1)
    scatter = np.median(np.sqrt(((around - middle[:, None]) ** 2).sum(axis=2)), axis=1)
    off = np.sqrt(((rest - middle) ** 2).sum(axis=1))
    return np.asarray(off < np.maximum(_STRAY_PX, _STRAY_SCATTER * scatter))


def _one_motion(before: Array32, after: Array32) -> Mask:
    """Mask (N,) of points that agree with the epipolar geometry of most."""
    if len(before) < _LEAST_FOUND:
        return np.zeros(len(before), bool)
    a, b = before.astype(np.float64), after.astype(np.float64)
    found = fundamental(a, b, _AGREEMENT_PX, 0.999, 2000)
    if found is None:
        return np.zeros(len(before), bool)
    return np.asarray(epipolar_distance(found[0], a, b) < _AGREEMENT_PX)
