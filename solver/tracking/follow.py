"""Tracks through the shot: pyramidal Lucas-Kanade from frame to frame, each hit aligned to its track's first patch.

Bouguet, Pyramidal implementation of the Lucas Kanade feature tracker (2001) finds a point in the next frame to half a
pixel or so and back again (forward-backward check: Kalal et al. 2010); `align` then places it against the first patch
and tells how well it fits there. A point that no longer looks as it did is dropped, and new ones are detected where
the picture has room.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..conventions import OPENCV_OFFSET_PX
from ..errors import SceneCut, TooFewTracks
from ..progress import Progress
from ..types import Tracks
from .align import Array32, Templates, align, make_templates, patch_grid, smooth
from .detect import detect


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackOptions:
    """How to follow points.

    Attributes
    ----------
    count : int
        Points followed at a time.
    patch_radius : int
        Half the side of the patch that is aligned, pixels.
    smoothing_px : float
        Blur before the alignment: 0.8 px keeps bilinear sampling unbiased to 0.01 px and most of the detail.
    window_px : int
        Window of the frame-to-frame search.
    pyramid_levels : int
    forward_backward_px : float
        Largest distance after tracking there and back.
    least_correlation : float
        With the first patch.
    iterations : int
        Of the alignment.
    least_length : int
        Frames a track must last.
    """

    count: int = 900
    patch_radius: int = 7
    smoothing_px: float = 0.8
    window_px: int = 21
    pyramid_levels: int = 4
    forward_backward_px: float = 1.0
    least_correlation: float = 0.75
    iterations: int = 8
    least_length: int = 4


class LuminanceFrame(Protocol):
    """A decoded frame: `index` from 0, `number` in the footage, `pixels` (H, W) uint8, or float32 in 0 to 255."""

    @property
    def index(self) -> int: ...

    @property
    def number(self) -> int: ...

    @property
    def pixels(self) -> NDArray[np.uint8] | NDArray[np.float32]: ...


# an observation is never better than this, whatever the patch says: interpolation and compression
_LEAST_DEVIATION_PX = 0.03


def follow(
    frames: Iterable[LuminanceFrame], n_frames: int, options: TrackOptions, progress: Progress | None = None
) -> Tracks:
    """Tracks of all frames, each read once.

    Parameters
    ----------
    frames : iterable of LuminanceFrame
        In order.
    n_frames : int
    options : TrackOptions
    progress : Progress or None

    Returns
    -------
    Tracks

    Raises
    ------
    SceneCut
        If next to nothing of one frame is found in the next.
    TooFewTracks
        If the first frame has hardly any texture.
    """
    follower = _Follower(options)
    for frame in frames:
        follower.advance(frame)
        if progress is not None:
            progress((frame.index + 1) / n_frames, "Tracking")
    return follower.tracks(n_frames)


class _Follower:
    """The points that live, and what was observed of all."""

    def __init__(self, options: TrackOptions) -> None:
        self.options = options
        self.grid = patch_grid(options.patch_radius)
        self.position = np.empty((0, 2), np.float32)
        self.velocity = np.empty((0, 2), np.float32)
        self.warp = np.empty((0, 2, 2), np.float32)
        self.track = np.empty(0, np.int64)
        self.templates: Templates | None = None
        self.grey: NDArray[np.uint8] | None = None
        self.n_tracks = 0
        self.rows: list[tuple[NDArray[np.int64], int, Array32, Array32]] = []

    def advance(self, frame: LuminanceFrame) -> None:
        options = self.options
        grey = frame.pixels if frame.pixels.dtype == np.uint8 else np.clip(np.rint(frame.pixels), 0, 255).astype(np.uint8)
        picture = smooth(frame.pixels, options.smoothing_px)
        if self.grey is not None and len(self.position):
            self._follow(grey, picture, frame)
        self.grey = grey
        self._detect(picture, frame)

    def _follow(self, grey: NDArray[np.uint8], picture: Array32, frame: LuminanceFrame) -> None:
        options = self.options
        window = (options.window_px, options.window_px)
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.02)
        before = self.position
        guess = before + self.velocity
        found, status, _ = cv2.calcOpticalFlowPyrLK(
            self.grey, grey, before, guess.copy(), winSize=window, maxLevel=options.pyramid_levels,
            criteria=criteria, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        back, status_back, _ = cv2.calcOpticalFlowPyrLK(
            grey, self.grey, found, before.copy(), winSize=window, maxLevel=options.pyramid_levels,
            criteria=criteria, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        height, width = picture.shape
        margin = options.patch_radius
        keep = (status.ravel() > 0) & (status_back.ravel() > 0)
        keep &= ((back - before) ** 2).sum(axis=1) < options.forward_backward_px**2
        keep &= (found > margin).all(axis=1) & (found[:, 0] < width - 1 - margin) & (found[:, 1] < height - 1 - margin)
        self._keep(keep)
        found = found[keep]
        assert self.templates is not None
        result = align(picture, self.templates, self.grid, found, self.warp, options.iterations)
        area = np.abs(np.linalg.det(result.warp))
        good = (result.correlation > options.least_correlation) & (area > 0.1) & (area < 10)
        good &= ((result.position - found) ** 2).sum(axis=1) < 3.0**2
        good &= np.isfinite(result.position).all(axis=1)
        self.velocity = result.position - self.position
        self.position, self.warp = result.position, result.warp
        self._keep(good)
        assert self.templates is not None
        deviation2 = result.noise[good] ** 2
        covariance = self.templates.covariance * deviation2[:, None, None]
        covariance = np.matmul(np.matmul(self.warp, covariance), self.warp.transpose(0, 2, 1))
        covariance[:, [0, 1], [0, 1]] += _LEAST_DEVIATION_PX**2
        self.rows.append((self.track, frame.index, self.position, covariance))

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        assert self.templates is not None
        self.position, self.velocity, self.warp = self.position[keep], self.velocity[keep], self.warp[keep]
        self.track, self.templates = self.track[keep], self.templates.select(keep)

    def _detect(self, picture: Array32, frame: LuminanceFrame) -> None:
        options = self.options
        height, width = picture.shape
        if len(self.position) > 0.9 * options.count:
            return
        spacing = 0.6 * float(np.sqrt(height * width / options.count))
        new = detect(picture, self.position, options.count - len(self.position), spacing, options.patch_radius + 2)
        if not len(new):
            return
        templates = make_templates(picture, new, self.grid)
        track = self.n_tracks + np.arange(len(new))
        self.n_tracks += len(new)
        self.templates = templates if self.templates is None else self.templates.joined(templates)
        # a new track moves like its nearest neighbour
        velocity = np.zeros_like(new)
        if len(self.position):
            nearest = ((new[:, None] - self.position[None]) ** 2).sum(axis=2).argmin(axis=1)
            velocity = self.velocity[nearest]
        self.position = np.concatenate([self.position, new])
        self.velocity = np.concatenate([self.velocity, velocity])
        self.warp = np.concatenate([self.warp, np.tile(np.eye(2, dtype=np.float32), (len(new), 1, 1))])
        self.track = np.concatenate([self.track, track])
        self.rows.append((track, frame.index, new, np.tile(_LEAST_DEVIATION_PX**2 * np.eye(2, dtype=np.float32), (len(new), 1, 1))))

    def tracks(self, n_frames: int) -> Tracks:
        if not self.rows:
            raise TooFewTracks("The footage has no texture to follow: a wall, fog or a blank frame. Use a shot with detail.", 0, 1)
        track = np.concatenate([row[0] for row in self.rows])
        frame = np.concatenate([np.full(len(row[0]), row[1]) for row in self.rows])
        xy = np.concatenate([row[2] for row in self.rows]).astype(np.float64) + OPENCV_OFFSET_PX
        covariance = np.concatenate([row[3] for row in self.rows]).astype(np.float64)
        order = np.lexsort((frame, track))
        all_tracks = Tracks(
            track=track[order], frame=frame[order].astype(np.int64), xy=xy[order], covariance=covariance[order], n_frames=n_frames
        )
        length = np.bincount(all_tracks.track)
        return all_tracks.select(length[all_tracks.track] >= self.options.least_length)
