"""Whole simulated shots: a motion, a scene, a lens and a tracker's conditions drawn at random from a seed.

Each aspect has a random generator of its own, so that one can be left out (`without`) and all else stays as it was: the
way to find out why a shot fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.types import Shot, Tracks

from . import paths
from .followed import Conditions, Followed, follow_grain, follow_scene
from .lens import CURVES, Lens, following, random_lens, zooming
from .paths import Array, Path, Room
from .surroundings import SCENES

# the honest answers
MOVING = "moving"
NODAL = "nodal"
STATIC = "static"
AMBIGUOUS = "ambiguous"
REFUSE = "refuse"

DISTANCE = 10.0
_SIZES = ((960, 540), (1280, 720), (720, 576), (640, 360))
_NEAR = ("box", "street", "room")
_DEEP = (*_NEAR, "box", "background")
_ANY = ("box", "street", "room", "plane", "relief", "background", "sparse")
_NOISY = ("drift", "sliding", "jumping", "wild", "moving", "dishonest", "lost", "gaps", "duplicates")
ASPECTS = ("principal", "distortion", "change", "readout", *_NOISY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How the camera of a kind of shot moves.

    Attributes
    ----------
    path : callable
    scenes : tuple of str
        Out of `SCENES`, and "sparse", a box with few points.
    answer : str
        What an honest solve says: MOVING, NODAL, STATIC, AMBIGUOUS (the tracks leave the focal length open: a wide
        deviation, a warning and a refusal are all right) or REFUSE.
    zoom : tuple of str
        Curves of the zoom, out of `CURVES`; "follow" keeps the subject's size.
    share : float
        Of the mix.
    """

    path: Callable[[Room, np.random.Generator], Path]
    scenes: tuple[str, ...]
    answer: str
    share: float
    zoom: tuple[str, ...] = ()


_SOFT = ("even", "eased", "holds", "there and back")
MOTIONS: dict[str, Motion] = {
    "dolly": Motion(path=paths.dolly, scenes=_ANY, answer=MOVING, share=11),
    "orbit": Motion(path=paths.orbit, scenes=("box", "street", "plane", "relief", "sparse"), answer=MOVING, share=10),
    "crane": Motion(path=paths.crane, scenes=("box", "street", "plane", "relief"), answer=MOVING, share=6),
    "handheld": Motion(path=paths.handheld, scenes=_ANY, answer=MOVING, share=13),
    "walk": Motion(path=paths.walk, scenes=_ANY, answer=MOVING, share=8),
    "straight": Motion(path=paths.straight, scenes=("box", "street", "room", "wall"), answer=AMBIGUOUS, share=5),
    "tiny": Motion(path=paths.tiny, scenes=_DEEP, answer=AMBIGUOUS, share=4),
    "pan": Motion(path=paths.pan, scenes=_ANY, answer=NODAL, share=8),
    "tilt": Motion(path=paths.tilt, scenes=_ANY, answer=NODAL, share=4),
    "static": Motion(path=paths.static, scenes=_ANY, answer=STATIC, share=3),
    "pan zoom": Motion(path=paths.pan, scenes=_ANY, answer=NODAL, share=4, zoom=_SOFT),
    "tripod zoom": Motion(path=paths.static, scenes=_DEEP, answer=AMBIGUOUS, share=3, zoom=_SOFT),
    "zoom": Motion(path=paths.dolly, scenes=_DEEP, answer=MOVING, share=5, zoom=_SOFT),
    "handheld zoom": Motion(path=paths.handheld, scenes=_DEEP, answer=MOVING, share=4, zoom=_SOFT),
    "crash zoom": Motion(path=paths.handheld, scenes=_DEEP, answer=MOVING, share=3, zoom=("crash",)),
    "dolly zoom": Motion(path=paths.towards, scenes=_NEAR, answer=MOVING, share=5, zoom=("follow",)),
    "crowd": Motion(path=paths.handheld, scenes=("box",), answer=REFUSE, share=2),
    "grain": Motion(path=paths.static, scenes=("wall",), answer=REFUSE, share=2),
}
CONSTANT = ("dolly", "orbit", "crane", "handheld", "walk", "straight", "tiny")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedShot:
    """Tracks of a shot and its truth.

    Attributes
    ----------
    seed : int
    motion, scene, curve : str
        Names out of `MOTIONS`, `SCENES` (or "sparse") and `CURVES` (or "constant", "follow").
    kind : str
        The honest answer; see `Motion`.
    size : (int, int)
    time : ndarray of shape (F,)
        When each frame's middle row is exposed, in frames; not even where frames are missing or doubled.
    tracks : Tracks
    true_xy : ndarray of shape (N, 2)
    wrong : ndarray of bool, shape (N,)
        Observations far off.
    moving, sliding : ndarray of bool, shape (T,)
        Tracks that are on no place of the scene.
    points : ndarray of shape (T, 3)
    R : ndarray of shape (F, 3, 3), t : ndarray of shape (F, 3)
        cam_from_world, of the middle row.
    focal_px : ndarray of shape (F,)
    distortion : ndarray of shape (F, 3)
    principal : ndarray of shape (2,)
    readout : float
        From the first row to the last, in frames.
    missing_frames : ndarray of int64
        Frame numbers, from 1, that the shot lacks.
    conditions : Conditions
    path : Path, lens : Lens
        The truth at any time.
    """

    seed: int
    motion: str
    scene: str
    curve: str
    kind: str
    size: tuple[int, int]
    time: Array
    tracks: Tracks
    true_xy: Array
    wrong: NDArray[np.bool_]
    moving: NDArray[np.bool_]
    sliding: NDArray[np.bool_]
    points: Array
    R: Array
    t: Array
    focal_px: Array
    distortion: Array
    principal: Array
    readout: float
    missing_frames: NDArray[np.int64]
    conditions: Conditions
    path: Path
    lens: Lens

    @property
    def centre(self) -> Array:
        """Camera centres (F, 3) in the world."""
        return np.asarray(-np.einsum("fji,fj->fi", self.R, self.t))

    @property
    def zooms(self) -> bool:
        """Whether the focal length changes."""
        return bool(np.ptp(self.focal_px) > 0)

    def shot(self) -> Shot:
        """What the solver is told of the footage."""
        numbers = np.setdiff1d(np.arange(1, len(self.time) + len(self.missing_frames) + 1), self.missing_frames)
        return Shot(
            name=f"simulated {self.seed}",
            footage="",
            first_file="",
            is_sequence=True,
            size=self.size,
            frame_rate=paths.FRAME_RATE,
            frame_numbers=numbers,
            missing_frames=self.missing_frames,
        )

    def describe(self) -> str:
        """One line: what the shot is made of."""
        c = self.conditions
        parts = [
            f"{self.motion} in {self.scene}",
            f"{len(self.time)} frames",
            f"f {self.focal_px.min() / max(self.size):.2f}"
            + (f"-{self.focal_px.max() / max(self.size):.2f} {self.curve}" if self.zooms else ""),
            f"corner {100 * self._corner():+.1f} %",
            f"noise {c.noise_px:.2f}",
        ]
        off = np.abs(self.principal / np.array(self.size) - 0.5).max()
        numbers = {
            "principal": off,
            "drift": c.drift_px,
            "wild": c.wild,
            "jump": c.jumping,
            "slide": c.sliding,
            "crowd" if c.crowd else "thing": c.moving,
            "readout": self.readout,
        }
        parts += [f"{name} {value:.2f}" for name, value in numbers.items() if value > 0.001]
        parts += [f"lost {len(c.lost)}"] * bool(c.lost) + [f"missing {len(self.missing_frames)}"] * bool(
            len(self.missing_frames)
        )
        return ", ".join(parts)

    def _corner(self) -> float:
        """Distortion at the picture's corner, relative, in the first frame."""
        s = float((np.hypot(*self.size) / 2 / self.focal_px[0]) ** 2)
        return float(self.distortion[0, 0] * s + self.distortion[0, 1] * s * s)


def random_motion(rng: np.random.Generator, among: Collection[str] = ()) -> str:
    """A name out of `MOTIONS` with its share of the mix."""
    names = [name for name in MOTIONS if not among or name in among]
    shares = np.array([MOTIONS[name].share for name in names])
    return str(rng.choice(names, p=shares / shares.sum()))


def random_shot(
    seed: int, among: Collection[str] = (), without: Collection[str] = (), largest: int = 150
) -> SimulatedShot:
    """The shot of a seed.

    Parameters
    ----------
    seed : int
    among : collection of str
        Names of `MOTIONS` to draw from; all by default.
    without : collection of str
        `ASPECTS` to leave out.
    largest : int
        Most frames.

    Raises
    ------
    ValueError
        If a name is not known.
    """
    unknown = [*(set(among) - set(MOTIONS)), *(set(without) - set(ASPECTS))]
    if unknown:
        raise ValueError(f"not known: {', '.join(sorted(unknown))}; there are {', '.join((*MOTIONS, *ASPECTS))}")
    for_shot, for_path, for_lens, for_scene, for_conditions, for_tracks = (
        np.random.default_rng([seed, aspect]) for aspect in range(6)
    )
    name = random_motion(for_shot, among)
    motion = MOTIONS[name]
    scene = str(for_shot.choice(motion.scenes))
    size = _SIZES[for_shot.choice(len(_SIZES), p=[0.5, 0.2, 0.15, 0.15])]
    n = int(for_shot.integers(20, 56)) if for_shot.uniform() < 0.85 else int(for_shot.integers(60, 151))
    n = min(n, largest)

    zoom_in = for_lens.uniform() < 0.5
    narrowest = 1.6 if motion.zoom or scene == "room" or name in ("tilt", "walk") else 4.0
    lens = random_lens(size, for_lens, longest=narrowest)
    lens = replace(
        lens,
        principal=np.array(size) / 2 if "principal" in without else lens.principal,
        k1=0.0 if "distortion" in without else lens.k1,
        k2=0.0 if "distortion" in without else lens.k2,
    )
    room = Room(n=n, field=2 * float(np.arctan(size[0] / 2 / lens.reference)), distance=DISTANCE)
    path = motion.path(room, for_path)
    curve = str(for_lens.choice(motion.zoom)) if motion.zoom else "constant"
    ratio, change = float(for_lens.uniform(1.3, 2.6)), float(for_lens.normal(0, 0.04))
    if "change" in without:
        change = 0.0
    if curve == "follow":
        lens = following(lens, _keeping_size(path, lens, n), change)
    elif curve in CURVES:
        lens = zooming(lens, n, ratio if zoom_in else 1 / ratio, curve, change)

    conditions, readout, time = _random_conditions(for_conditions, n, scene, name, without)
    followed: Followed
    if name == "grain":
        followed = follow_grain(size, len(time), conditions.live, for_tracks)
    else:
        cast = SCENES["box" if scene == "sparse" else scene](DISTANCE, for_scene)
        followed = follow_scene(path, lens, readout, cast, DISTANCE, time, conditions, for_tracks)
    R, centre = path.pose(time)
    present = set(np.round(time).astype(int))
    return SimulatedShot(
        seed=seed,
        motion=name,
        scene=scene,
        curve=curve,
        kind=motion.answer,
        size=size,
        time=time,
        tracks=followed.tracks,
        true_xy=followed.true_xy,
        wrong=followed.wrong,
        moving=followed.moving,
        sliding=followed.sliding,
        points=followed.points,
        R=R,
        t=-np.einsum("fij,fj->fi", R, centre),
        focal_px=lens.focal(time),
        distortion=lens.distortion(time),
        principal=lens.principal,
        readout=readout,
        missing_frames=_missing(time, present),
        conditions=conditions,
        path=path,
        lens=lens,
    )


def _missing(time: Array, present: set[int]) -> NDArray[np.int64]:
    """Numbers, from 1, of the frames that are not there; a doubled frame stands in for the one that it replaced."""
    if (np.diff(time) == 0).any():
        return np.zeros(0, dtype=np.int64)
    return np.array([i + 1 for i in range(int(time[-1])) if i not in present], dtype=np.int64)


def _keeping_size(path: Path, lens: Lens, n: int) -> Callable[[Array], Array]:
    """Focal length in proportion to the distance of the scene's middle from the camera."""
    target = np.array([0.0, 0.0, DISTANCE])
    middle = float(np.linalg.norm(target - path.place(np.array([(n - 1) / 2]))[0]))

    def focal(time: Array) -> Array:
        return np.asarray(lens.reference / middle * np.linalg.norm(target - path.place(time), axis=1))

    return focal


def _random_conditions(
    rng: np.random.Generator, n: int, scene: str, name: str, without: Collection[str]
) -> tuple[Conditions, float, Array]:
    """How the shot is tracked, the readout, and the times of its frames."""

    def sometimes(aspect: str, chance: float, low: float, high: float) -> float:
        """A value, or 0: always three draws, so that leaving one aspect out changes no other."""
        happens, value = rng.uniform() < chance, float(rng.uniform(low, high))
        return value if happens and aspect not in without else 0.0

    readout = sometimes("readout", 0.25, 0.2, 0.9)
    moving = sometimes("moving", 0.3, 0.05, 0.45)
    is_crowd = bool(rng.uniform() < 0.4)
    occluded = int(sometimes("lost", 0.12, 2, 6))
    occluded_at = int(rng.integers(6, max(n - 12, 7)))
    ends = int(sometimes("lost", 0.06, 1, 4))
    gap = int(sometimes("gaps", 0.08, 1, 5))
    gap_at = int(rng.integers(4, max(n - 8, 5)))
    doubled = sometimes("duplicates", 0.05, 0, 1)
    lost = (*range(ends), *range(occluded_at, occluded_at + occluded))
    conditions = Conditions(
        live=80 if scene == "sparse" else int(rng.integers(110, 240)),
        detect_every=int(rng.integers(3, 9)),
        lifetime=float(rng.choice([12.0, 25.0, 60.0, 1e6], p=[0.15, 0.35, 0.3, 0.2])),
        noise_px=float(np.exp(rng.uniform(np.log(0.1), np.log(0.5)))),
        uneven=float(rng.uniform(0.1, 0.5)),
        dishonest=sometimes("dishonest", 0.5, 0.05, 0.35),
        drift_px=sometimes("drift", 0.5, 0.05, 0.3),
        sliding=sometimes("sliding", 0.4, 0.01, 0.1),
        jumping=sometimes("jumping", 0.4, 0.01, 0.1),
        moving=1.0 if name == "crowd" else moving,
        wild=sometimes("wild", 0.5, 0.005, 0.15),
        crowd=is_crowd or name == "crowd",
        lost=tuple(frame for frame in lost if frame < n),
        joined=float(rng.uniform(0.4, 0.8)),
    )
    time = np.arange(n, dtype=np.float64)
    if gap:
        time = np.delete(time, np.arange(gap_at, min(gap_at + gap, n - 3)))
    elif doubled:
        time[5 :: max(7, n // 3)] -= 1.0
    last = len(time)
    return replace(conditions, lost=tuple(f for f in conditions.lost if f < last)), readout, time
