"""Straight edges of scenes whose camera is known, as points with errors: what `find_edges` would give.

Projection is written out here once more, without the solver's code, so that a mistake there shows.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from solver.vanishing.edges import Edges

from .synthetic import turn

Array = NDArray[np.float64]

SIZE = (960, 540)


def camera(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Array:
    """R_cam_from_world, world axes right, down, forward; a positive pitch looks up."""
    return turn(2, np.radians(roll_deg)) @ turn(0, np.radians(-pitch_deg)) @ turn(1, np.radians(yaw_deg))


def line_pieces(
    R: Array, focal_px: float, directions: Array, rng: np.random.Generator, size: tuple[int, int] = SIZE
) -> Array:
    """Ends (n, 2, 2), pixels, of pieces of lines along world directions (n, 3) through points of the picture."""
    n = len(directions)
    middle = rng.uniform((0.05, 0.05), (0.95, 0.95), (n, 2)) * size
    ray = np.column_stack([(middle - np.array(size) / 2) / focal_px, np.ones(n)])
    along = directions @ R.T
    # as long in the scene as makes 15 to 100 pixels in the picture, on either side
    step = along[:, :2] - ray[:, :2] * along[:, 2:]
    reach = rng.uniform(8, 50, n) / focal_px / np.maximum(np.linalg.norm(step, axis=1), 0.05)
    ends = []
    for sign in (-1, 1):
        point = ray + sign * np.minimum(reach, 0.5)[:, None] * along
        ends.append(focal_px * point[:, :2] / point[:, 2:] + np.array(size) / 2)
    return np.stack(ends, axis=1)


def clutter(n: int, rng: np.random.Generator, size: tuple[int, int] = SIZE) -> Array:
    """Ends (n, 2, 2) of pieces that lie anyhow."""
    middle = rng.uniform(0.05, 0.95, (n, 2)) * size
    angle, half = rng.uniform(0, np.pi, n), rng.uniform(8, 50, n)
    along = half[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.stack([middle - along, middle + along], axis=1)


def edges_of(
    ends: Array, rng: np.random.Generator, *, noise_px: float = 0.15, kappa: float = 0.0, size: tuple[int, int] = SIZE
) -> Edges:
    """Points a pixel apart on pieces (n, 2, 2), with errors; the lens makes r (1 + kappa r^2) of a radius r."""
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    ends, length = ends[length > 10], length[length > 10]
    count = length.astype(int)
    edge = np.repeat(np.arange(len(ends)), count)
    share = (np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)) / np.maximum(count[edge] - 1, 1)
    xy = ends[edge, 0] + share[:, None] * (ends[edge, 1] - ends[edge, 0])
    centred = xy - np.array(size) / 2
    xy = np.array(size) / 2 + centred * (1 + kappa * (centred**2).sum(axis=1, keepdims=True))
    xy += noise_px * rng.standard_normal(xy.shape)
    return Edges(edge=edge.astype(np.int64), xy=xy, n_edges=len(ends), size=size, pixel=1.0)


def built_scene(
    R: Array,
    focal_px: float,
    rng: np.random.Generator,
    *,
    shares: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3),
    n_lines: int = 150,
    askew_deg: float = 0.3,
    unsquare_deg: float = 0.0,
    lines_a_thing: int = 8,
    size: tuple[int, int] = SIZE,
) -> Array:
    """Ends of lines along the world's axes, in things of some lines each that stand askew by a little; each axis itself
    is off by `unsquare_deg`."""
    axis = np.repeat(rng.choice(3, size=n_lines // lines_a_thing, p=shares), lines_a_thing)
    tilt = np.repeat(np.radians(askew_deg) * rng.standard_normal((n_lines // lines_a_thing, 3)), lines_a_thing, axis=0)
    bend = np.radians(unsquare_deg) * rng.standard_normal((3, 3))
    directions = (np.eye(3) + np.cross(bend, np.eye(3)))[axis]
    directions = directions + np.cross(tilt, directions)
    return line_pieces(R, focal_px, directions, rng, size)


def drawn(
    ends: Array, rng: np.random.Generator, *, noise: float = 2.0, size: tuple[int, int] = SIZE
) -> NDArray[np.uint8]:
    """A picture of the pieces (n, 2, 2) as strokes two pixels wide, light or dark on grey, with noise."""
    fine, bits = 3, 6
    canvas = np.full((size[1] * fine, size[0] * fine), 120, np.uint8)
    # pixel centres of the fine canvas lie half a fine pixel from our origin
    for a, b in np.rint((ends * fine - 0.5) * 2**bits).astype(int):
        grey = int(rng.choice([40, 70, 180, 220]))
        cv2.line(canvas, a.tolist(), b.tolist(), grey, 2 * fine, cv2.LINE_AA, bits)
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.clip(np.rint(small + noise * rng.standard_normal(small.shape)), 0, 255).astype(np.uint8)


def room(rng: np.random.Generator, *, walls: bool = True, lean_deg: float = 0.2) -> Array:
    """Ends (n, 2, 3), world axes right, down, forward, of lines on three walls and the floor of a room 6 wide, 3 high
    and 8 deep: uprights and shelves, boards and rugs, each thing off its axis by about `lean_deg`."""
    pieces = []
    for _ in range(45 * walls):
        wall, place = rng.integers(3), rng.uniform(0.05, 0.95)
        at = np.array([[-3, 0, 8 * place], [3, 0, 8 * place], [6 * place - 3, 0, 8]][wall], dtype=float)
        level = np.array([0.0, 0.0, 1.0] if wall < 2 else [1.0, 0.0, 0.0])
        at[1] = rng.uniform(0.2, 1.2)
        pieces.append([at, at - rng.uniform(0.8, 1.6) * np.eye(3)[1]])
        pieces.append([at, at - rng.uniform(0.3, 1.0) * level])
    for _ in range(40):
        at = np.array([rng.uniform(-2.5, 2.5), 1.4, rng.uniform(3, 7.5)])
        pieces.append([at, at + np.eye(3)[rng.choice([0, 2])] * rng.uniform(0.4, 1.2)])
    ends = np.array(pieces)
    tilt = np.radians(lean_deg) * rng.standard_normal((len(ends), 3))
    middle = ends.mean(axis=1, keepdims=True)
    return ends + np.cross(tilt[:, None], ends - middle)


def post(lean_deg: float, rng: np.random.Generator) -> Array:
    """Ends (n, 2, 3) of the many parallel stripes of one thing that leans sideways."""
    x = np.sort(rng.uniform(-0.55, 0.55, 30))
    foot = np.stack([x, np.full(30, 1.2), np.full(30, 5.0)], axis=1)
    return np.stack([foot, foot + 2.2 * np.array([np.sin(np.radians(lean_deg)), -np.cos(np.radians(lean_deg)), 0])], 1)


def seen(ends: Array, R: Array, centre: Array, focal_px: float, size: tuple[int, int] = SIZE) -> Array:
    """Ends (m, 2, 2), pixels, of the pieces (n, 2, 3) that are in front of a camera, R_cam_from_world, at a centre."""
    cam = (ends - centre) @ R.T
    cam = cam[(cam[..., 2] > 0.5).all(axis=1)]
    return focal_px * cam[..., :2] / cam[..., 2:] + np.array(size) / 2
