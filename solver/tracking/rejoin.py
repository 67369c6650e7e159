"""What a shot remembers while it is followed, so that what was lost is found again.

Three things break tracks although the scene goes on: a step too wide to follow (missing frames, a jolt), frames that
show nothing of the scene (black, white, covered, blurred beyond use), and a way that leaves a place and returns to it.
In each case the tracks of an earlier view are sought in the present picture (`again`) and go on under their old
numbers. When next to nothing is found in the next frame, the shot is broken: the last good views are kept, and every
few frames it is tried whether they can be found. What was tracked in between and has ended by then (the back of
somebody who passes) is forgotten. When too many frames go by, or the shot ends, and the pictures show something else
than before, it was a cut.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import SceneCut
from .again import FirstPatches, Found, Seen, View, find_again, key_points, matched
from .align import Patch
from .features import Features
from .loops import Places, likeness

# fewer tracks than this say nothing when they end
_LEAST_TRACKS = 60
# share of the tracks found in the next frame below which nothing is left, and below which the rest is sought
_BROKEN_SHARE = 0.1
_WIDE_SHARE = 0.4
# a slow break (a dissolve, a fade, somebody who walks in): of the tracks that should still be in the picture after so
# many frames fewer than this share are, and it does not look like that any more; dissolves of 8 to 24 frames end with
# shares below 0.03 and a likeness of 0.15 to 0.26, the shot that was hardest to follow with 0.03 and 0.44
_SLOW_FRAMES = (12, 24)
_SLOW_SHARE = 0.08
_SLOW_LIKENESS = 0.33
_SLOW_PAUSE = 6
# and so many of them ended within the picture, and not at its border
_SLOW_INSIDE = 0.6
# frames after a break at which it is tried to find the scene again; black ones are not worth it
_TRIES = frozenset((0, 1, 2, 3, 4, 6, 8, 11, 14, 18, 22))
_BLANK_DEVIATION = 3.0
# frames with something in them that may lie in a break: what lasts longer is another scene
_MOST_BROKEN = 24
# detail, relative to the last good view, below which a frame is lost to blur: a Gaussian of 4 px leaves 0.33 of it, one
# of 6 px 0.2; other scenes have 0.7 or more
_SOFT_SHARE = 0.25
# so many steps too wide to follow among the last frames: the pictures are no moving picture
_WIDE_STEPS = 3
_WIDE_WINDOW = 12
# tracks that a view and the present share, from which the others' places can be told without key points
_LEAST_SHARED = 40
# a place is returned to when it looks this much more alike than what was seen in between
_LOOPS_AT_A_TIME = 2
_FRAMES_PER_FAILURE = 90


class Memory:
    """Views, first patches, and what is broken.

    Parameters
    ----------
    patch : Patch
    iterations : int
        Of the alignment.
    n_frames : int
        Of the shot.
    pool : Executor or None
    """

    def __init__(self, patch: Patch, iterations: int, n_frames: int, pool: Executor | None) -> None:
        self.patches = FirstPatches(patch)
        self._patch = patch
        self._iterations = iterations
        self._n_frames = n_frames
        self._pool = pool
        self._recent: deque[View] = deque(maxlen=max(_SLOW_FRAMES))
        self._places = Places()
        self._features: dict[int, Features] = {}
        self._wide: list[tuple[int, int, int]] = []
        self._slow_again = 0
        self._failures = 0
        self._forgotten: list[tuple[NDArray[np.int64], int]] = []
        # while the shot is broken
        self._anchors: list[View] = []
        self._age = 0
        self._n_shown = 0
        self._n_sharp = 0
        self._shown_from: tuple[int, int] | None = None
        self._same_scene = False

    # What the follower asks

    def broken(self, n_before: int, n_now: int) -> bool:
        """Whether next to nothing of the last frame was found in this one."""
        return n_before >= _LEAST_TRACKS and n_now < _BROKEN_SHARE * n_before

    def find(self, index: int, number: int, seen: Seen, live: NDArray[np.int64], n_before: int) -> Found | None:
        """Tracks of earlier views that are seen in this frame and do not live.

        Parameters
        ----------
        index, number : int
            Of the frame.
        seen : Seen
        live : ndarray of int64
            Tracks that were found in this frame.
        n_before : int
            How many lived in the last frame.

        Raises
        ------
        SceneCut
            If the steps between the frames are too wide to follow, again and again.
        """
        found = None
        if n_before >= _LEAST_TRACKS and len(live) < _WIDE_SHARE * n_before and self._recent:
            last = self._recent[-1]
            found = _if_enough(self._again(last, index, seen, live))
            if found is not None and not self._anchors and number - last.number == 1:
                self._count_wide(index, last.number, number)
            if found is None and self.broken(n_before, len(live)):
                self._break()
        if found is None and not self._anchors:
            found = self._slow(index, seen, live)
        if found is None and self._anchors and seen.grey.std() > _BLANK_DEVIATION:
            if self._recent and self._recent[-1].grey.std() <= _BLANK_DEVIATION:
                self._age = 0
            if self._age in _TRIES:
                found = self._mend(index, seen, live)
        self._features.pop(index, None)
        return found

    def remember(self, view: View, seen: Seen) -> None:
        """Keep what this frame saw, new tracks included.

        Raises
        ------
        SceneCut
            If what is seen since the shot broke is another scene.
        """
        if self._anchors:
            self._count_broken(view, seen)
        self._recent.append(view)

    def returned(self, view: View, seen: Seen) -> Found | None:
        """Tracks of a place that the camera has come back to; keeps the view for later returns."""
        if self._anchors or not self._places.wants(view):
            return None
        found = self._return(view, seen)
        self._places.add(view)
        return found

    def finish(self) -> None:
        """The shot has ended.

        Raises
        ------
        SceneCut
            If it is broken and ends with another scene.
        """
        if self._anchors and self._n_sharp and not self._same_scene:
            raise self._cut()

    def forgotten(self, track: NDArray[np.int64], frame: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask (N,) of observations of what came between the camera and the scene, by track and frame index."""
        mask = np.zeros(len(track), bool)
        for tracks, until in self._forgotten:
            mask |= (frame < until) & np.isin(track, tracks)
        return mask

    # Breaks

    def _break(self) -> None:
        """Begin a break; or go on with one, in which the picture changed once more."""
        self._age = 0
        if not self._anchors:
            last = len(self._recent) - 1
            self._open([self._recent[i] for i in sorted({last, max(0, last - 3), max(0, last - 11)})])

    def _open(self, anchors: list[View]) -> None:
        self._anchors = [anchor for anchor in anchors[::-1] if len(anchor.track) >= _LEAST_TRACKS]
        self._age = self._n_shown = self._n_sharp = 0
        self._shown_from = None
        self._same_scene = False

    def _close(self, since: View, until: int, kept: NDArray[np.int64]) -> None:
        """The break is over; what the tracks that began after a view saw until now is forgotten, but for some."""
        born = np.arange(since.track.max() + 1, self.patches.count)
        self._forgotten.append((born[~np.isin(born, kept)], until))
        self._anchors = []
        self._recent.clear()
        self._features.clear()

    def _mend(self, index: int, seen: Seen, live: NDArray[np.int64]) -> Found | None:
        for anchor in self._anchors:
            found = self._again(anchor, index, seen, live)
            self._same_scene |= found is not None
            if found is not None and found.enough:
                # also what still lives may be what came between, on its way out of the picture
                self._close(anchor, index, np.empty(0, np.int64))
                return found
        return None

    def _count_broken(self, view: View, seen: Seen) -> None:
        self._age += 1
        if len(view.track) < _LEAST_TRACKS:
            return
        if self._shown_from is None:
            self._shown_from = (self._anchors[0].number, view.number)
        last = self._recent[-1] if self._recent else None
        if last is not None and len(last.track) < _LEAST_TRACKS:
            self._age = 0  # something shows again
        self._n_shown += 1
        self._n_sharp += _detail(seen.grey) > _SOFT_SHARE * _detail(self._anchors[-1].grey)
        if self._n_shown > _MOST_BROKEN:
            if not self._same_scene:
                raise self._cut()
            self._close(self._anchors[0], view.index, view.track)

    def _cut(self) -> SceneCut:
        assert self._shown_from is not None
        return _cut_between(*self._shown_from)

    def _count_wide(self, index: int, before: int, after: int) -> None:
        self._wide = [step for step in self._wide if index - step[0] < _WIDE_WINDOW]
        self._wide.append((index, before, after))
        if len(self._wide) >= min(_WIDE_STEPS, max(1, self._n_frames // 4)):
            raise _cut_between(*self._wide[0][1:])

    def _slow(self, index: int, seen: Seen, live: NDArray[np.int64]) -> Found | None:
        """Look whether the scene has gone little by little."""
        if index < self._slow_again:
            return None
        for frames in _SLOW_FRAMES:
            if len(self._recent) < frames:
                break
            then = self._recent[-frames]
            should = then.track[seen.inside(then.position + then.velocity * np.float32(frames))]
            if len(should) < _LEAST_TRACKS or np.isin(should, live).mean() >= _SLOW_SHARE:
                continue
            self._slow_again = index + _SLOW_PAUSE
            if self._gone_inside(frames, seen) < _SLOW_INSIDE:
                continue
            if likeness(then.grey, seen.grey) >= _SLOW_LIKENESS:
                continue
            found = self._again(then, index, seen, live)
            if found is None:
                self._open([then, self._recent[-frames // 2]])
            return _if_enough(found)
        return None

    def _gone_inside(self, frames: int, seen: Seen) -> float:
        """Share of the tracks of so many frames ago that were last seen on their way to a place within the picture."""
        views = list(self._recent)[-frames:]
        track, place = views[0].track, views[0].position + views[0].velocity
        for view in views[1:]:
            _, i, j = np.intersect1d(track, view.track, assume_unique=True, return_indices=True)
            place[i] = view.position[j] + view.velocity[j]
        return float(seen.inside(place).mean())

    def _again(self, view: View, index: int, seen: Seen, live: NDArray[np.int64]) -> Found | None:
        """The tracks of a view in this picture, by key points; None if the two have nothing in common."""
        if index not in self._features:
            self._features[index] = key_points(seen.grey, seen.hidden)
        if view.index not in self._features:
            self._features[view.index] = key_points(view.grey, view.hidden)
        height, width = seen.grey.shape
        matches = matched(self._features[view.index], self._features[index], (width, height))
        if not self._anchors:
            self._features.pop(view.index)
        if matches is None:
            return None
        return self._aligned(view, matches, seen, live)

    def _aligned(
        self, view: View, matches: tuple[NDArray[np.float64], NDArray[np.float64]], seen: Seen, live: NDArray[np.int64]
    ) -> Found:
        return find_again(view, matches, seen, live, self.patches, self._patch, self._iterations, self._pool)

    # Returns

    def _return(self, now: View, seen: Seen) -> Found | None:
        best: Found | None = None
        for place in self._places.alike(now, _LOOPS_AT_A_TIME):
            view = self._places.views[place]
            if np.isin(view.track, now.track).mean() > _WIDE_SHARE:
                continue
            live = now.track if best is None else np.concatenate([now.track, best.track])
            found = self._revisit(view, now, seen, live)
            if found is not None:
                best = found if best is None else best.joined(found)
        return best

    def _revisit(self, view: View, now: View, seen: Seen, live: NDArray[np.int64]) -> Found | None:
        _, a, b = np.intersect1d(view.track, now.track, return_indices=True)
        if len(a) >= _LEAST_SHARED:
            matches = view.position[a].astype(np.float64), now.position[b].astype(np.float64)
            near = self._aligned(view, matches, seen, live)
            return near if len(near.track) else None
        if self._failures * _FRAMES_PER_FAILURE > now.index:
            return None
        height, width = seen.grey.shape
        pair = matched(key_points(view.grey, view.hidden), key_points(seen.grey, seen.hidden), (width, height))
        found = None if pair is None else self._aligned(view, pair, seen, live)
        if found is None or not found.enough:
            self._failures += 1
            return None
        return found


def _if_enough(found: Found | None) -> Found | None:
    return found if found is not None and found.enough else None


def _detail(grey: NDArray[np.uint8]) -> float:
    """Deviation of what is between 1.5 and 3 px in size (grain is finer) over that of the whole picture."""
    picture = grey.astype(np.float32)
    fine = cv2.GaussianBlur(picture, (0, 0), 1.5) - cv2.GaussianBlur(picture, (0, 0), 3.0)
    return float(fine.std() / (picture.std() + 1.0))


def _cut_between(before: int, after: int) -> SceneCut:
    return SceneCut(
        f"The picture changes completely between frames {before} and {after}: there is a cut inside the shot. Solve "
        "what lies before and after it as shots of their own.",
        after,
    )
