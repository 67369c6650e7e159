"""Camera paths as functions of time, so that a rolling shutter can ask for the pose of any row.

A path is made for a field of view and a distance of the scene: what moves a picture by a third of its width is a walk
with a wide lens and a hand's breadth with a long one. World axes: x right, y down, z forward, where the camera looks
when it is not turned; the scene lies around (0, 0, distance). Time is in frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Wave = Callable[[Array], Array]

FRAME_RATE = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A camera path.

    Attributes
    ----------
    place : callable, times (n,) to centres (n, 3)
    angles : callable, times (n,) to yaw, pitch, roll (n, 3), radians
        Positive yaw looks right, positive pitch looks up, positive roll turns the picture clockwise.
    """

    place: Wave
    angles: Wave

    def pose(self, time: Array) -> tuple[Array, Array]:
        """R_cam_from_world (n, 3, 3) and centres (n, 3) at times (n,)."""
        return rotation(self.angles(time)), self.place(time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a path is made for: `n` frames, horizontal field of view (radians), distance of the scene."""

    n: int
    field: float
    distance: float

    def share(self, time: Array) -> Array:
        """Share (n,) of the shot that has passed."""
        return time / max(self.n - 1, 1)

    def baseline(self, rng: np.random.Generator, least: float = 0.2, most: float = 0.7) -> float:
        """Length of a sideways move that shifts the scene by a share of the picture's width."""
        return float(self.distance * min(rng.uniform(least, most) * 2 * np.tan(self.field / 2), 0.4))


def rotation(angles: Array) -> Array:
    """R_cam_from_world (n, 3, 3) of yaw, pitch, roll (n, 3)."""
    yaw, pitch, roll = angles.T
    one, zero = np.ones_like(yaw), np.zeros_like(yaw)

    def stack(*rows: tuple[Array, Array, Array]) -> Array:
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    by_yaw = stack((cy, zero, -sy), (zero, one, zero), (sy, zero, cy))
    by_pitch = stack((one, zero, zero), (zero, cp, sp), (zero, -sp, cp))
    by_roll = stack((cr, sr, zero), (-sr, cr, zero), (zero, zero, one))
    return by_roll @ by_pitch @ by_yaw


def looking_at(place: Wave, target: Array, roll: float = 0.0) -> Wave:
    """Angles that keep `target` in the middle of the picture."""

    def angles(time: Array) -> Array:
        x, y, z = (target - place(time)).T
        return np.stack([np.arctan2(x, z), np.arctan2(-y, np.hypot(x, z)), np.full_like(x, roll)], axis=1)

    return angles


def eased(share: Array) -> Array:
    """From 0 to 1 with a soft start and a soft end, held outside."""
    s = np.clip(share, 0.0, 1.0)
    return s * s * (3 - 2 * s)


def shake(rng: np.random.Generator, size: Array) -> Wave:
    """Waves of 0.3 to 9 Hz whose amplitude falls as 1 / f, as of a hand; RMS `size` (k,), times (n,) to (n, k)."""
    rate = np.geomspace(0.3, 9.0, 14) * rng.uniform(0.85, 1.15, 14)
    phase = rng.uniform(0, 2 * np.pi, (14, len(size)))
    amplitude = rng.uniform(0.5, 1.5, (14, len(size))) / rate[:, None]
    amplitude *= size / np.sqrt((amplitude**2).sum(axis=0) / 2)

    def wave(time: Array) -> Array:
        angle = 2 * np.pi * rate * time[:, None] / FRAME_RATE
        return np.asarray((amplitude * np.sin(angle[:, :, None] + phase)).sum(axis=1))

    return wave


def _zero(time: Array) -> Array:
    return np.zeros((len(time), 3))


def _with(one: Wave, other: Wave) -> Wave:
    return lambda time: one(time) + other(time)


def _line(room: Room, end: Array) -> Wave:
    """Along a straight line through the origin, half of `end` (3,) on either side."""
    return lambda time: (room.share(time)[:, None] - 0.5) * end


def dolly(room: Room, rng: np.random.Generator) -> Path:
    """Sideways, with a slow turn and the rails' small unevenness."""
    length = room.baseline(rng)
    end = length * np.array([rng.choice([-1, 1]), rng.uniform(-0.2, 0.2), rng.uniform(-0.4, 0.4)])
    turn = room.field * rng.uniform(0.1, 0.5) * rng.choice([-1, 1])
    place = _with(_line(room, end), shake(rng, np.full(3, 0.002 * length)))
    angles = _with(_line(room, np.array([turn, rng.normal(0, 0.1) * turn, 0.0])), shake(rng, np.full(3, 4e-4)))
    return Path(place=place, angles=angles)


def orbit(room: Room, rng: np.random.Generator) -> Path:
    """Around the scene's middle, which stays in the picture's."""
    target = np.array([0.0, 0.0, room.distance])
    half = np.radians(rng.uniform(4, 22))
    rise = rng.uniform(-0.15, 0.15) * room.distance

    def place(time: Array) -> Array:
        angle = half * (2 * room.share(time) - 1)
        height = rise * room.share(time)
        return target + np.stack([room.distance * np.sin(angle), height, -room.distance * np.cos(angle)], axis=1)

    return Path(place=place, angles=looking_at(place, target, rng.normal(0, 0.03)))


def crane(room: Room, rng: np.random.Generator) -> Path:
    """Upwards, looking down at what it leaves."""
    rise = room.baseline(rng, 0.4, 1.0) + 0.05 * room.distance

    def place(time: Array) -> Array:
        s = eased(room.share(time))
        return np.stack([0.2 * rise * s, -rise * s, -0.2 * rise * s], axis=1)

    target = np.array([0.0, 0.0, room.distance * rng.uniform(0.7, 1.3)])
    return Path(place=place, angles=_with(looking_at(place, target), shake(rng, np.full(3, 5e-4))))


def handheld(room: Room, rng: np.random.Generator) -> Path:
    """A person who holds the camera and leans."""
    drift = room.baseline(rng, 0.1, 0.4) * rng.normal(size=3) * np.array([1.0, 0.3, 0.8])
    place = _with(_line(room, drift), shake(rng, np.full(3, rng.uniform(0.002, 0.006) * room.distance)))
    sway = rng.uniform(0.01, 0.04) * room.field * np.array([1.0, 1.0, 0.5])
    turn = room.field * rng.normal(0, 0.2, 3) * np.array([1.0, 0.5, 0.1])
    return Path(place=place, angles=_with(_line(room, turn), shake(rng, sway)))


def walk(room: Room, rng: np.random.Generator) -> Path:
    """Forward at walking pace, with steps, turning to one side."""
    length = room.distance * rng.uniform(0.15, 0.4)
    turn = room.field * rng.uniform(0.2, 0.6) * rng.choice([-1, 1])
    side = rng.uniform(-0.2, 0.2) * length
    bob, rate, phase = rng.uniform(0.001, 0.004) * room.distance, rng.uniform(1.6, 2.2), rng.uniform(0, 6)

    def place(time: Array) -> Array:
        s, step = room.share(time), 2 * np.pi * rate * time / FRAME_RATE + phase
        return np.stack([side * s * s + bob * np.sin(step / 2), bob * np.sin(step), length * s], axis=1)

    angles = _with(_line(room, np.array([turn, 0.2 * turn, 0.0])), shake(rng, np.full(3, 0.01 * room.field)))
    return Path(place=place, angles=angles)


def straight(room: Room, rng: np.random.Generator) -> Path:
    """Along a straight line, forward or sideways, without any turn."""
    if rng.uniform() < 0.6:
        end = room.distance * rng.uniform(0.15, 0.45) * np.array([rng.normal(0, 0.1), 0.0, 1.0])
    else:
        end = room.baseline(rng) * np.array([1.0, rng.normal(0, 0.1), rng.normal(0, 0.3)])
    return Path(place=_line(room, end), angles=_zero)


def tiny(room: Room, rng: np.random.Generator) -> Path:
    """Someone who tries to stand still."""
    place = shake(rng, np.full(3, rng.uniform(0.0008, 0.003) * room.distance))
    return Path(place=place, angles=shake(rng, np.full(3, rng.uniform(0.004, 0.02) * room.field)))


def static(room: Room, rng: np.random.Generator) -> Path:
    """A camera that stands still."""
    del room, rng
    return Path(place=_zero, angles=_zero)


def _tripod(room: Room, rng: np.random.Generator, which: int) -> Path:
    """Turns about a tripod's head; the entrance pupil sits on the axis or a few centimetres before it."""
    swing = min(room.field * rng.uniform(0.4, 2.0), 2.2 if which == 0 else 1.2) * rng.choice([-1, 1])
    other = rng.normal(0, 0.08) * swing
    # the scene's distance stands for ten metres
    offset = 0.0 if rng.uniform() < 0.6 else rng.uniform(0.02, 0.08) * room.distance / 10
    soft = rng.uniform() < 0.5

    def angles(time: Array) -> Array:
        s = room.share(time)
        s = (eased(s) if soft else s) - 0.5
        out = np.zeros((len(time), 3))
        out[:, which], out[:, 1 - which] = swing * s, other * s
        return out

    def place(time: Array) -> Array:
        return np.asarray(offset * rotation(angles(time))[:, 2])

    return Path(place=place, angles=_with(angles, shake(rng, np.full(3, 1e-4))))


def pan(room: Room, rng: np.random.Generator) -> Path:
    """A turn about the vertical on a tripod."""
    return _tripod(room, rng, 0)


def tilt(room: Room, rng: np.random.Generator) -> Path:
    """A turn up or down on a tripod."""
    return _tripod(room, rng, 1)


def towards(room: Room, rng: np.random.Generator) -> Path:
    """Forward or back along the optical axis, a little aside and with little turn: what a dolly zoom does."""
    length = room.distance * rng.uniform(0.2, 0.45) * rng.choice([-1, 1])
    aside = length * rng.normal(0, 0.08)

    def place(time: Array) -> Array:
        s = eased(room.share(time)) - 0.5
        return np.stack([aside * s, 0 * s, length * s], axis=1)

    return Path(place=place, angles=shake(rng, np.full(3, 0.006 * room.field)))
