"""Points that stand still, ride on one rigid thing, or walk in a crowd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .lens import Lens
from .paths import Array, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Things:
    """Points (K, ...) as functions of time t: turn(spin t) local + start + speed t + bend t^2 + sway sin(t + phase).

    Attributes
    ----------
    start, speed, bend, local, sway : ndarray of shape (K, 3)
        World axes; a point that stands still has only `start`.
    spin : ndarray of shape (K,)
        Radians a frame, about the vertical.
    phase : ndarray of shape (K,)
    """

    start: Array
    speed: Array
    bend: Array
    local: Array
    sway: Array
    spin: Array
    phase: Array

    @property
    def moves(self) -> NDArray[np.bool_]:
        """Which points (K,) belong to something that moves."""
        return np.asarray((self.local != 0).any(axis=1))

    def place(self, which: NDArray[np.int64], time: Array) -> Array:
        """World positions (n, 3) of points (n,) at times (n,)."""
        angle = self.spin[which] * time
        x, y, z = self.local[which].T
        turned = np.stack([x * np.cos(angle) + z * np.sin(angle), y, z * np.cos(angle) - x * np.sin(angle)], axis=1)
        t = time[:, None]
        swayed = self.sway[which] * np.sin(0.5 * t + self.phase[which, None])
        return np.asarray(turned + self.start[which] + self.speed[which] * t + self.bend[which] * t**2 + swayed)


def standing(points: Array) -> Things:
    """Points (K, 3) that stand still."""
    zero, none = np.zeros_like(points), np.zeros(len(points))
    return Things(start=points, speed=zero, bend=zero, local=zero, sway=zero, spin=none, phase=none)


def together(parts: list[Things]) -> Things:
    """The points of all parts, in order."""
    return Things(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Things)})


def see(
    path: Path, lens: Lens, readout: float, place: Callable[[Array], Array], time: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Pixels (n, 2) of moving points in frames whose middle row is exposed at times (n,), and which are shown (n,).

    A rolling shutter exposes row y at time + readout (y / height - 1/2); a point is where it is when its own row is
    exposed, found by fixed-point iteration.
    """
    when = time
    # a row moves by a tenth of the picture in a frame at the most, so that each round gains a digit
    for _ in range(14):
        # without a rolling shutter all points of a frame share its time
        moment, at = np.unique(when, return_inverse=True)
        R, centre = path.pose(moment)
        xy, shown = lens.project(np.einsum("nij,nj->ni", R[at], place(when) - centre[at]), when)
        row = np.where(shown, np.clip(xy[:, 1] / lens.size[1] - 0.5, -0.6, 0.6), 0.0)
        again = time + readout * row
        if np.abs(again - when).max(initial=0.0) < 1e-10:
            break
        when = again
    return xy, shown


def cast_pixels(path: Path, lens: Lens, readout: float, xy: Array, time: Array) -> tuple[Array, Array]:
    """Origins (n, 3) and unit rays (n, 3) in the world through pixels (n, 2) of frames at times (n,)."""
    when = time + readout * (xy[:, 1] / lens.size[1] - 0.5)
    R, centre = path.pose(when)
    return centre, np.einsum("nji,nj->ni", R, lens.rays(xy, when))


def rigid_thing(
    path: Path, lens: Lens, n: int, distance: float, rng: np.random.Generator
) -> Callable[[int, np.random.Generator], Things]:
    """Something rigid that crosses the picture over the whole shot, turning; gives as many of its points as asked."""
    width, height = lens.size
    time = np.array([0.0, 0.5, 1.0]) * max(n - 1.0, 1.0)
    first, last = rng.uniform([0.2, 0.4], [0.8, 0.7]), rng.uniform([0.2, 0.4], [0.8, 0.7])
    xy = (first + np.array([0.0, 0.5, 1.0])[:, None] * (last - first)) * np.array([width, height])
    origin, ray = cast_pixels(path, lens, 0.0, xy, time)
    depth = distance * rng.uniform(0.5, 0.8) * (1 + np.array([0.0, 0.5, 1.0]) * rng.uniform(-0.3, 0.3))
    x = origin + depth[:, None] * ray
    # a parabola through the three places
    speed = (-3 * x[0] + 4 * x[1] - x[2]) / time[2]
    bend = (2 * x[0] - 4 * x[1] + 2 * x[2]) / time[2] ** 2
    extent = depth[0] * width / lens.reference * rng.uniform(0.15, 0.35) * rng.uniform(0.5, 1.0, 3)
    spin = rng.uniform(-0.8, 0.8) / n

    def points(count: int, rng: np.random.Generator) -> Things:
        def same(value: Array) -> Array:
            return np.tile(value, (count, 1))

        return Things(
            start=same(x[0]),
            speed=same(speed),
            bend=same(bend),
            local=rng.uniform(-0.5, 0.5, (count, 3)) * extent,
            sway=np.zeros((count, 3)),
            spin=np.full(count, spin),
            phase=np.zeros(count),
        )

    return points


def crowd(
    origin: Array, ray: Array, time: float, n: int, distance: float, field: float, rng: np.random.Generator
) -> Things:
    """Walkers on some of the rays (K, 3): about six points each, each at a pace of its own, arms and legs swinging."""
    count = len(ray)
    walker = rng.integers(max(1, count // 6), size=count)
    k = int(walker.max()) + 1
    depth = distance * rng.uniform(0.6, 1.0, k)
    body = origin[:k] + depth[:, None] * ray[:k]
    size = depth * field
    pace = rng.choice([-1, 1], k) * rng.uniform(0.1, 0.6, k) * size / n
    sideways = np.stack([ray[:k, 2], np.zeros(k), -ray[:k, 0]], axis=1)
    velocity = pace[:, None] * sideways + rng.normal(0, 0.1, (k, 3)) * pace[:, None]
    return Things(
        start=(body - velocity * time)[walker],
        speed=velocity[walker],
        bend=np.zeros((count, 3)),
        local=rng.normal(0, 0.02, (count, 3)) * size[walker, None],
        sway=rng.normal(0, 0.004, (count, 3)) * size[walker, None],
        spin=rng.normal(0, 0.2 / n, k)[walker],
        phase=rng.uniform(0, 2 * np.pi, count),
    )
