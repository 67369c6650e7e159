"""What a camera sees: rays in, distances out.

A detector finds corners all over the picture, so points are made by casting rays through random pixels; a scene says
how far each goes. A ray that meets nothing (the sky) has an infinite distance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .paths import Array

# origins (n, 3), unit directions (n, 3) to distances (n,)
Cast = Callable[[Array, Array, np.random.Generator], Array]


def _plane(origin: Array, ray: Array, normal: Array, offset: float) -> Array:
    """Distance to the plane normal . x = offset; infinite where the ray does not meet it."""
    down = ray @ normal
    distance = (offset - origin @ normal) / np.where(np.abs(down) > 1e-9, down, 1e-9)
    return np.asarray(np.where(distance > 0, distance, np.inf))


def box(distance: float, rng: np.random.Generator) -> Cast:
    """Things at all depths."""
    near, far = distance * rng.uniform(0.4, 0.7), distance * rng.uniform(1.3, 2.2)

    def cast(origin: Array, ray: Array, rng: np.random.Generator) -> Array:
        del origin
        return np.asarray(rng.uniform(near, far, len(ray)))

    return cast


def street(distance: float, rng: np.random.Generator) -> Cast:
    """A ground with facades on either side and something far ahead."""
    height, width = 0.16 * distance, distance * rng.uniform(0.45, 0.9)

    def cast(origin: Array, ray: Array, rng: np.random.Generator) -> Array:
        walls = [
            _plane(origin, ray, np.array([0.0, 1.0, 0.0]), height),
            _plane(origin, ray, np.array([1.0, 0.0, 0.0]), width),
            _plane(origin, ray, np.array([1.0, 0.0, 0.0]), -width),
            _plane(origin, ray, np.array([0.0, 0.0, 1.0]), 6 * distance),
        ]
        nearest = np.min(walls, axis=0)
        # windows and ledges stand out
        return np.asarray(nearest * (1 - 0.05 * rng.uniform(size=len(ray)) * (rng.uniform(size=len(ray)) < 0.3)))

    return cast


def room(distance: float, rng: np.random.Generator) -> Cast:
    """A room with the camera inside, and a few things in it."""
    half = distance * np.array([rng.uniform(0.5, 0.9), 0.25, 1.0])

    def cast(origin: Array, ray: Array, rng: np.random.Generator) -> Array:
        walls = [
            _plane(origin, ray, np.eye(3)[axis], sign * half[axis] + (0.1 * distance if axis == 2 else 0.0))
            for axis in range(3)
            for sign in (-1, 1)
        ]
        furniture = rng.uniform(0.55, 1.0, len(ray)) * np.min(walls, axis=0)
        return np.where(rng.uniform(size=len(ray)) < 0.25, furniture, np.min(walls, axis=0))

    return cast


def _facing(rng: np.random.Generator, least_deg: float, most_deg: float) -> Array:
    slant, way = np.radians(rng.uniform(least_deg, most_deg)), rng.uniform(0, 2 * np.pi)
    return np.array([np.sin(slant) * np.cos(way), np.sin(slant) * np.sin(way), np.cos(slant)])


def plane(distance: float, rng: np.random.Generator) -> Cast:
    """One slanted plane."""
    normal = _facing(rng, 10, 45)

    def cast(origin: Array, ray: Array, rng: np.random.Generator) -> Array:
        del rng
        return _plane(origin, ray, normal, distance * float(normal[2]))

    return cast


def wall(distance: float, rng: np.random.Generator) -> Cast:
    """One plane that faces the camera."""
    del rng

    def cast(origin: Array, ray: Array, rng: np.random.Generator) -> Array:
        del rng
        return _plane(origin, ray, np.array([0.0, 0.0, 1.0]), distance)

    return cast


def relief(distance: float, rng: np.random.Generator) -> Cast:
    """A plane with a few hundredths of relief."""
    normal, rough = _facing(rng, 0, 40), rng.uniform(0.02, 0.06)

    def cast(origin: Array, ray: Array, rng: np.random.Generator) -> Array:
        return _plane(origin, ray, normal, distance * float(normal[2])) * (1 - rough * rng.uniform(-1, 1, len(ray)))

    return cast


def background(distance: float, rng: np.random.Generator) -> Cast:
    """Distant hills and a few things near by."""
    near = rng.uniform(0.08, 0.25)

    def cast(origin: Array, ray: Array, rng: np.random.Generator) -> Array:
        del origin
        far = distance * rng.uniform(20, 80, len(ray))
        return np.where(rng.uniform(size=len(ray)) < near, distance * rng.uniform(0.5, 1.5, len(ray)), far)

    return cast


SCENES: dict[str, Callable[[float, np.random.Generator], Cast]] = {
    "box": box,
    "street": street,
    "room": room,
    "plane": plane,
    "wall": wall,
    "relief": relief,
    "background": background,
}
