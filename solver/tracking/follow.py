"""Tracks through the shot: pyramidal Lucas-Kanade from frame to frame, each hit aligned to its track's first patch.

Bouguet, Pyramidal implementation of the Lucas Kanade feature tracker (2001) finds a point in the next frame to half a
pixel or so and back again (forward-backward check: Kalal et al. 2010); `align` then places it against the first patch
and tells how well it fits there. A point that no longer looks as it did is dropped, and new ones are detected where
the picture has room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..conventions import OPENCV_OFFSET_PX
from ..errors import TooFewTracks
from ..footage.matte import Matte
from ..progress import Progress
from ..types import Tracks
from .again import Found, Seen, View
from .align import Array32, Templates, align, as_bytes, make_patch, make_templates, sample_warped, smooth
from .detect import Area, detect, joined_area, picture_area
from .light import in_the_light_of
from .rejoin import Memory
from .settle import Rows, Settled, joined, settle


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackOptions:
    """How to follow points.

    Attributes
    ----------
    count : int
        Points followed at a time.
    patch_radius : int
        Half the side of the patch that is aligned, pixels.
    patch_sigma : float
        Of the patch's Gaussian window, pixels.
    smoothing_px : float
        Blur before the alignment. Little: a wider one mixes the two sides of an outline, and what is measured of
        distortion gets worse (0.65 px for 0.35 px: focal length 0.19 % for 0.14 %).
    grain_smoothing_px : tuple of (float, float, float)
        Correlations of new patches with the next frame, the blur where a quarter of the frames have less, and the share
        of the shot up to which it is worth beginning anew for; strongest first. In a picture of grain, or of texture as
        fine as grain, a patch looks different in every frame: more blur makes tracks last twice as long and the focal
        length as certain again (0.65 px for 0.35 px: deviations of 0.19 % for 0.69 %, 0.8 % for 1.6 %; 0.5 px: 0.18 %
        for 0.29 %, 0.16 % for 0.20 %).
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
    patch_sigma: float = 3.5
    smoothing_px: float = 0.35
    grain_smoothing_px: tuple[tuple[float, float, float], ...] = ((0.72, 0.65, 1.0), (0.82, 0.5, 0.25))
    window_px: int = 21
    pyramid_levels: int = 3
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


# corners are found on a picture smooth enough that grain makes none
_DETECTION_SMOOTHING_PX = 0.8
# the way back is known to half a pixel if the way there was right
_BACKWARD_LEVELS = 1
# a frame that is missing doubles the step
_GAP_LEVELS = 1
# when fewer are found, the light may have changed: a flash, flicker, an exposure that jumps
_FLICKER_SHARE = 0.7
# mean difference, in grey levels, below which a frame is a copy of the one before; and every how manieth pixel counts:
# a camera that stands still has grain of half a level or more
_SAME = 0.15
_SAMPLED = 3
# a frame tells its grain where it has so many new patches
_LEAST_NEW = 30
# the share of the frames so far, the share of all and the number of frames with grain that ask for more smoothing
_GRAINY_SHARE = 0.25
_GRAINY_SHARE_OF_ALL = 0.1
_LEAST_GRAINY = 6
# how often the patches of ended tracks are let go, so that memory does not grow with the shot
_SETTLE_FRAMES = 32


def follow(
    frames: Callable[[], Iterable[LuminanceFrame]],
    n_frames: int,
    options: TrackOptions,
    progress: Progress | None = None,
    matte: Matte | None = None,
) -> Tracks:
    """Tracks of all frames.

    Parameters
    ----------
    frames : callable
        Reads the frames, in order; called again where their grain asks for more smoothing.
    n_frames : int
    options : TrackOptions
    progress : Progress or None
    matte : Matte or None
        What it excludes is not tracked, up to the radius of a patch around it.

    Returns
    -------
    Tracks
        A track has a gap where it was lost and found again. Frames that show nothing of the scene have none.

    Raises
    ------
    SceneCut
        If next to nothing of one frame is found in the next, nor soon after.
    TooFewTracks
        If the first frame has hardly any texture.
    """
    progress = progress or Progress()
    with ThreadPoolExecutor(2) as pool:
        follower, begun = _Follower(options, n_frames, matte, pool), 0.0
        while True:
            for frame in frames():
                follower.advance(frame)
                done = begun + (1 - begun) * (frame.index + 1) / n_frames
                progress(done, "Tracking")
                smoothing_px = follower.asked_smoothing_px(frame.index + 1, n_frames)
                if smoothing_px > options.smoothing_px:
                    break
            else:
                return follower.tracks(n_frames)
            options = replace(options, smoothing_px=smoothing_px)
            follower, begun = _Follower(options, n_frames, matte, pool), done


class _Follower:
    """The points that live, and what was observed of all."""

    def __init__(self, options: TrackOptions, n_frames: int, matte: Matte | None, pool: Executor) -> None:
        self.options = options
        self.pool = pool
        self.patch = make_patch(options.patch_radius, options.patch_sigma)
        self.memory = Memory(self.patch, options.iterations, n_frames, pool)
        self.matte = matte
        self.near_hidden: NDArray[np.bool_] | None = None
        self.position = np.empty((0, 2), np.float32)
        self.velocity = np.empty((0, 2), np.float32)
        self.warp = np.empty((0, 2, 2), np.float32)
        self.track = np.empty(0, np.int64)
        self.templates: Templates | None = None
        self.grey: NDArray[np.uint8] | None = None
        self.number = 0
        self.area: Area | None = None
        self.n_tracks = 0
        self.n_older = 0
        self.new_correlation: list[float] = []
        self.copy: list[bool] = []
        self.rows: list[Rows] = []
        self.settled: list[Settled] = []

    def advance(self, frame: LuminanceFrame) -> None:
        options = self.options
        grey = as_bytes(frame.pixels)
        picture = smooth(frame.pixels, options.smoothing_px)
        self.area = joined_area(self.area, picture_area(grey))
        self.copy.append(self.grey is not None and _same(grey, self.grey))
        seen = Seen(grey=grey, picture=picture, hidden=self._hide(frame), inside=self._inside)
        n_before = len(self.position)
        if self.grey is not None and n_before:
            self._follow(grey, picture, frame)
        self._find_again(frame, seen, n_before)
        self.grey, self.number = grey, frame.number
        self._detect(picture, frame)
        self.memory.remember(self._view(frame, seen), seen)
        if frame.index % _SETTLE_FRAMES == _SETTLE_FRAMES - 1:
            self._settle()

    def asked_smoothing_px(self, n_seen: int, n_frames: int) -> float:
        """The blur that the grain of the frames so far asks for; zero for none."""
        correlation = np.array(self.new_correlation)
        least = max(_LEAST_GRAINY, _GRAINY_SHARE_OF_ALL * n_frames, _GRAINY_SHARE * len(correlation))
        for below, smoothing_px, latest in self.options.grain_smoothing_px:
            if n_seen <= latest * n_frames and (correlation < below).sum() >= least:
                return smoothing_px
        return 0.0

    def _follow(self, grey: NDArray[np.uint8], picture: Array32, frame: LuminanceFrame) -> None:
        options = self.options
        before = self.position
        gap = max(frame.number - self.number, 1)
        found, keep = self._search(grey, gap)
        if keep.mean() < _FLICKER_SHARE:
            assert self.grey is not None
            same_light = in_the_light_of(grey, self.grey)
            if same_light is not None:
                found_so, keep_so = self._search(same_light, gap)
                if keep_so.sum() > keep.sum():
                    found, keep = found_so, keep_so
        self._keep(keep)
        if not keep.any():
            return
        found = found[keep]
        assert self.templates is not None
        result = align(picture, self.templates, self.patch, found, self.warp, options.iterations, self.pool)
        new = self.track >= self.n_older
        if new.sum() >= _LEAST_NEW:
            self.new_correlation.append(float(np.median(result.correlation[new])))
        area = np.abs(np.linalg.det(result.warp))
        good = (result.correlation > options.least_correlation) & (area > 0.1) & (area < 10)
        good &= ((result.position - found) ** 2).sum(axis=1) < 3.0**2
        good &= np.isfinite(result.position).all(axis=1)
        if self.near_hidden is not None:
            good[good] = self._inside(result.position[good])
        if not self.copy[-1]:
            self.velocity = (result.position - self.position) / np.float32(gap)
        self.position, self.warp = result.position, result.warp
        if self.memory.broken(len(before), int(good.sum())):
            good[:] = False  # what seems to be left is left by chance
        self._keep(good)
        self._observe(frame, self.track, self.position, self.warp, result.values[good])

    def _search(self, grey: NDArray[np.uint8], gap: int) -> tuple[Array32, NDArray[np.bool_]]:
        """Where the points lie in the next picture, `gap` frames on, and a mask of those that are found there."""
        options = self.options
        window = (options.window_px, options.window_px)
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.02)
        before = self.position
        guess = before + self.velocity * np.float32(gap)
        found, status, _ = cv2.calcOpticalFlowPyrLK(
            self.grey,
            grey,
            before,
            guess.copy(),
            winSize=window,
            maxLevel=options.pyramid_levels + (_GAP_LEVELS if gap > 1 else 0),
            criteria=criteria,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        back, status_back, _ = cv2.calcOpticalFlowPyrLK(
            grey,
            self.grey,
            found,
            before.copy(),
            winSize=window,
            maxLevel=_BACKWARD_LEVELS,
            criteria=criteria,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        keep = (status.ravel() > 0) & (status_back.ravel() > 0)
        keep &= ((back - before) ** 2).sum(axis=1) < options.forward_backward_px**2
        return found, keep & self._inside(found)

    def _hide(self, frame: LuminanceFrame) -> NDArray[np.bool_] | None:
        """What the matte leaves out of this frame; and for `_inside`, that and what a patch reaches from there."""
        if self.matte is None:
            return None
        hidden = self.matte.excluded(frame.index, frame.number)
        near = cv2.dilate(hidden.astype(np.uint8), np.ones((self.patch.side, self.patch.side), np.uint8))
        self.near_hidden = near.astype(bool)
        return hidden

    def _inside(self, position: Array32) -> NDArray[np.bool_]:
        """Mask (N,) of OpenCV positions (N, 2) whose patch lies in the picture, and not in what the matte hides."""
        assert self.area is not None
        margin = self.options.patch_radius
        left, top, right, bottom = self.area
        inside = (position > (left + margin, top + margin)).all(axis=1)
        inside &= (position < (right - 1 - margin, bottom - 1 - margin)).all(axis=1)
        if self.near_hidden is not None:
            x, y = np.rint(position[inside]).astype(int).T
            inside[inside] = ~self.near_hidden[y, x]
        return np.asarray(inside)

    def _view(self, frame: LuminanceFrame, seen: Seen) -> View:
        return View(
            index=frame.index,
            number=frame.number,
            picture=seen.grey,
            hidden=seen.hidden,
            track=self.track,
            position=self.position,
            velocity=self.velocity,
            warp=self.warp,
        )

    def _find_again(self, frame: LuminanceFrame, seen: Seen, n_before: int) -> None:
        """Take up the tracks of earlier frames that are seen once more."""
        found = self.memory.find(frame.index, frame.number, seen, self.track, n_before)
        if found is None:
            found = self.memory.returned(self._view(frame, seen), seen)
        if found is not None and len(found.track):
            self._take_up(found, frame, seen)

    def _take_up(self, found: Found, frame: LuminanceFrame, seen: Seen) -> None:
        velocity = self._velocity_near(found.position)
        templates = self.memory.patches.templates(found.track)
        if self.templates is not None and len(self.position):
            # a younger track of the same place has done its part
            spacing = _spacing(seen.picture.shape, self.options.count)
            away = ((self.position[:, None] - found.position[None]) ** 2).sum(axis=2)
            younger = self.track[:, None] > found.track[None]
            self._keep(~(younger & (away < (0.5 * spacing) ** 2)).any(axis=1))
            templates = self.templates.joined(templates)
        self.templates = templates
        self.position = np.concatenate([self.position, found.position])
        self.velocity = np.concatenate([self.velocity, velocity])
        self.warp = np.concatenate([self.warp, found.warp])
        self.track = np.concatenate([self.track, found.track])
        self._observe(frame, found.track, found.position, found.warp, found.values)

    def _velocity_near(self, position: Array32) -> Array32:
        """A track moves like its nearest neighbour."""
        if not len(self.position):
            return np.zeros_like(position)
        x, y = (np.subtract.outer(position[:, i], self.position[:, i]) for i in range(2))
        return self.velocity[(x * x + y * y).argmin(axis=1)]

    def _observe(
        self, frame: LuminanceFrame, track: NDArray[np.int64], position: Array32, warp: Array32, values: Array32
    ) -> None:
        self.rows.append(
            Rows(
                track=track,
                frame=np.full(len(track), frame.index, dtype=np.int64),
                position=position,
                warp=warp,
                values=as_bytes(values),
            )
        )

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        assert self.templates is not None
        self.position, self.velocity, self.warp = self.position[keep], self.velocity[keep], self.warp[keep]
        self.track, self.templates = self.track[keep], self.templates.select(keep)

    def _detect(self, picture: Array32, frame: LuminanceFrame) -> None:
        options = self.options
        self.n_older = self.n_tracks
        if len(self.position) > 0.9 * options.count or self.area is None:
            return
        new = detect(
            smooth(frame.pixels, _DETECTION_SMOOTHING_PX),
            self.position,
            options.count - len(self.position),
            _spacing(picture.shape, options.count),
            self.area,
            options.patch_radius + 2,
            self.near_hidden,
        )
        if not len(new):
            return
        templates = make_templates(picture, new, self.patch)
        self.memory.patches.add(picture, new)
        track = self.n_tracks + np.arange(len(new))
        self.n_tracks += len(new)
        self.templates = templates if self.templates is None else self.templates.joined(templates)
        velocity = self._velocity_near(new)
        self.position = np.concatenate([self.position, new])
        self.velocity = np.concatenate([self.velocity, velocity])
        self.warp = np.concatenate([self.warp, np.tile(np.eye(2, dtype=np.float32), (len(new), 1, 1))])
        self.track = np.concatenate([self.track, track])
        identity = np.tile(np.eye(2, dtype=np.float32), (len(new), 1, 1))
        self._observe(frame, track, new, identity, sample_warped(picture, new, identity, self.patch))

    def _settle(self, everything: bool = False) -> None:
        """Settle the tracks that have ended and let go of their patches."""
        if not self.rows:
            return
        rows = joined(self.rows)
        ended = np.ones(len(rows.track), dtype=bool) if everything else ~np.isin(rows.track, self.track)
        self.rows = [rows.select(~ended)]
        length = np.bincount(rows.track)
        done = rows.select(ended & (length[rows.track] >= self.options.least_length))
        if len(done.track):
            self.settled.append(settle(done.sorted(), self.patch, self.options.least_correlation))

    def _copies(self) -> NDArray[np.int64]:
        """How often each frame's picture follows itself (F,): together they say as much as one of them."""
        run = np.cumsum(~np.array(self.copy, dtype=bool))
        return np.bincount(run)[run]

    def tracks(self, n_frames: int) -> Tracks:
        """All tracks of the shot."""
        self.memory.finish()
        self._settle(everything=True)
        if not self.settled:
            raise TooFewTracks(
                "The footage has no texture that can be followed (a blank wall, fog, a black picture): use a shot with "
                "visible detail.",
                0,
                1,
            )
        track = np.concatenate([part.track for part in self.settled])
        frame = np.concatenate([part.frame for part in self.settled])
        xy = np.concatenate([part.position for part in self.settled]) + OPENCV_OFFSET_PX
        covariance = np.concatenate([part.covariance for part in self.settled])
        covariance *= self._copies()[frame][:, None, None]
        known = ~self.memory.forgotten(track, frame)
        length = np.bincount(track[known], minlength=track.max() + 1)
        keep = np.flatnonzero(known & (length[track] >= self.options.least_length))
        keep = keep[np.lexsort((frame[keep], track[keep]))]
        return Tracks(
            track=np.unique(track[keep], return_inverse=True)[1].astype(np.int64),
            frame=frame[keep],
            xy=xy[keep],
            covariance=covariance[keep],
            n_frames=n_frames,
        )


def _same(grey: NDArray[np.uint8], before: NDArray[np.uint8]) -> bool:
    """Whether a picture is the one before once more, but for its compression."""
    now, then = (np.ascontiguousarray(picture[::_SAMPLED, ::_SAMPLED]) for picture in (grey, before))
    return bool(cv2.norm(now, then, cv2.NORM_L1) < _SAME * now.size)


def _spacing(shape: tuple[int, ...], count: int) -> float:
    """Least distance between new points, pixels, when so many cover a picture (H, W)."""
    return 0.6 * float(np.sqrt(shape[0] * shape[1] / count))
