"""Cameras, points and tracks whose truth is known.

A scene is a box of points seen by a camera that moves in one of the ways of `MOTIONS`. Tracks are made as tracking
makes them: a point is followed while it stays in the picture, for a limited number of frames, and then anew as another
track. Projection is written out here once more, without the solver's code, so that a mistake there shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.bundle.residuals import Observations, State
from solver.types import Tracks

Array = NDArray[np.float64]

SIZE = (960, 540)
FOCAL_PX = 900.0


def turn(axis: int, angle: float) -> Array:
    """Rotation by `angle`, radians, about an axis of the camera (0 is x)."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[i, i], out[i, j], out[j, i], out[j, j] = c, -s, s, c
    return out


def look_at(centre: Array, target: Array, roll: float = 0.0) -> Array:
    """R_cam_from_world of a camera at `centre` whose z axis meets `target`, its y axis as far down as that allows."""
    z = (target - centre) / np.linalg.norm(target - centre)
    x = np.cross(np.array([0.0, 1.0, 0.0]), z)
    x /= np.linalg.norm(x)
    return turn(2, roll) @ np.stack([x, np.cross(z, x), z])


def _dolly(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    centre = np.stack([np.linspace(-1.2, 1.2, n), np.linspace(0.1, -0.1, n), np.linspace(0, 0.4, n)], axis=1)
    R = [turn(1, a) for a in np.linspace(0.06, -0.06, n)]
    del rng
    return np.stack(R), centre


def _orbit(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    target = np.array([0.0, 0.0, 9.0])
    angle = np.radians(np.linspace(-22, 22, n))
    centre = target + 9 * np.stack([np.sin(angle), -0.1 + 0 * angle, -np.cos(angle)], axis=1)
    del rng
    return np.stack([look_at(c, target) for c in centre]), centre


def _handheld(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    time = np.arange(n) / 24

    def sway(size: float) -> Array:
        """Three slow waves along each of three axes."""
        rate, phase = rng.uniform(0.4, 2.2, (3, 3)), rng.uniform(0, 2 * np.pi, (3, 3))
        return np.asarray(size * np.sin(2 * np.pi * rate * time[:, None, None] + phase).sum(axis=1))

    centre = sway(0.05) + np.stack([0.5 * time, 0 * time, 0.35 * time], axis=1)
    wobble = sway(0.008)
    R = np.stack([turn(0, a) @ turn(1, b) @ turn(2, c) for a, b, c in wobble])
    return R, centre


def _forward(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    # it must turn: pure translation leaves the focal length open, since depth may stretch with it
    centre = np.stack([np.linspace(0, 0.4, n), np.zeros(n), np.linspace(-1.0, 2.5, n)], axis=1)
    del rng
    return np.stack([turn(1, 0.12 * a) @ turn(0, 0.05 * a * a) for a in np.linspace(-1, 1, n)]), centre


def _pan(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    del rng
    return np.stack([turn(1, a) for a in np.radians(np.linspace(-15, 15, n))]), np.zeros((n, 3))


MOTIONS: dict[str, Callable[[int, np.random.Generator], tuple[Array, Array]]] = {
    "dolly": _dolly,
    "orbit": _orbit,
    "handheld": _handheld,
    "forward": _forward,
    "pan": _pan,
}


def project(R: Array, t: Array, points: Array, lens: Array) -> tuple[Array, Array]:
    """Pixels (F, P, 2) and depths (F, P) of points (P, 3) in cameras (F, ...); lens as `LENS_PARAMETERS`.

    A point beyond the radius up to which the distortion grows is given a depth of -1.
    """
    cam = np.einsum("fij,pj->fpi", R, points) + t[:, None]
    depth = cam[..., 2].copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = cam[..., 0] / depth, cam[..., 1] / depth
    f, cx, cy, k1, k2, k3 = lens
    r2 = x * x + y * y
    depth[1 + 3 * k1 * r2 + 5 * k2 * r2**2 + 7 * k3 * r2**3 <= 0.05] = -1.0
    factor = f * (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3)
    return np.stack([factor * x + cx, factor * y + cy], axis=-1), depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A scene with its truth.

    Attributes
    ----------
    size : (int, int)
    lens : ndarray of shape (6,), as `LENS_PARAMETERS`
    R : ndarray of shape (F, 3, 3), t : ndarray of shape (F, 3), cam_from_world
    points : ndarray of shape (T, 3)
        A row for each track.
    tracks : Tracks
        With noise and outliers.
    true_xy : ndarray of shape (N, 2)
    outlier : ndarray of bool, shape (N,)
    """

    size: tuple[int, int]
    lens: Array
    R: Array
    t: Array
    points: Array
    tracks: Tracks
    true_xy: Array
    outlier: NDArray[np.bool_]

    @property
    def centre(self) -> Array:
        """Camera centres (F, 3) in the world."""
        return np.asarray(-np.einsum("fji,fj->fi", self.R, self.t))

    def state(self) -> State:
        """The truth as the adjustment holds it."""
        X = np.concatenate([self.points, np.ones((len(self.points), 1))], axis=1)
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        return State(R=self.R.copy(), t=self.t.copy(), X=X, lens=np.append(self.lens, [0.0, 0.0]))

    def observations(self) -> Observations:
        """The tracks as the adjustment takes them."""
        factor = np.linalg.cholesky(np.linalg.inv(self.tracks.covariance))
        return Observations(
            camera=self.tracks.frame,
            point=self.tracks.track,
            xy=self.tracks.xy,
            whitening=np.ascontiguousarray(factor.transpose(0, 2, 1)),
        )


def make_scene(
    motion: str = "dolly",
    *,
    n_frames: int = 40,
    n_points: int = 400,
    k1: float = 0.0,
    k2: float = 0.0,
    noise_px: float = 0.2,
    correlation: float = 0.0,
    outlier_share: float = 0.0,
    longest: int = 1000,
    lost: tuple[int, ...] = (),
    size: tuple[int, int] = SIZE,
    focal_px: float = FOCAL_PX,
    principal: tuple[float, float] | None = None,
    points: Array | None = None,
    rng: np.random.Generator,
) -> Scene:
    """A scene.

    Parameters
    ----------
    motion : str
        One of `MOTIONS`.
    n_points : int
        In the box; those never seen in three frames make no track.
    noise_px : float
        Standard deviation along each axis, which the tracks also state (but never less than 0.01 px).
    correlation : float
        Of a track's errors in two frames in a row (an autoregressive process).
    outlier_share : float
        Of the observations, displaced by up to 40 pixels.
    longest : int
        Frames after which a point goes on as another track.
    lost : tuple of int
        Frames in which nothing is seen.
    principal : (float, float) or None
        Pixels; the middle of the picture by default.
    points : ndarray of shape (n_points, 3) or None
        In place of those in the box.
    """
    lens = np.array([focal_px, *(principal or (size[0] / 2, size[1] / 2)), k1, k2, 0.0])
    R, centre = MOTIONS[motion](n_frames, rng)
    t = -np.einsum("fij,fj->fi", R, centre)
    if points is None:
        points = rng.uniform([-7.0, -4.0, 4.0], [7.0, 4.0, 15.0], size=(n_points, 3))
    n_points = len(points)
    xy, depth = project(R, t, points, lens)
    seen = ((xy > 4) & (xy < np.array(size) - 4)).all(axis=-1) & (depth > 0.5)
    seen[list(lost)] = False

    point, frame = np.nonzero(seen.T)
    piece = (frame + rng.integers(longest, size=n_points)[point]) // longest if longest < n_frames else 0 * frame
    broken = (np.diff(point) != 0) | (np.diff(frame) != 1) | (np.diff(piece) != 0)
    run = np.concatenate([[0], np.cumsum(broken)])
    keep = np.bincount(run)[run] >= 3
    track = np.unique(run[keep], return_inverse=True)[1]
    point, frame = point[keep], frame[keep]

    true_xy = xy[frame, point]
    error = noise_px * correlated_noise(track, correlation, rng)
    outlier = rng.uniform(size=len(track)) < outlier_share
    error[outlier] += rng.uniform(-40, 40, (int(outlier.sum()), 2))
    return Scene(
        size=size,
        lens=lens,
        R=R,
        t=t,
        points=points[point[np.unique(track, return_index=True)[1]]],
        tracks=Tracks(
            track=track.astype(np.int64),
            frame=frame.astype(np.int64),
            xy=true_xy + error,
            covariance=np.tile(np.eye(2) * max(noise_px, 0.01) ** 2, (len(track), 1, 1)),
            n_frames=n_frames,
        ),
        true_xy=true_xy,
        outlier=outlier,
    )


def correlated_noise(track: NDArray[np.int64], correlation: float, rng: np.random.Generator) -> Array:
    """Gaussian noise (N, 2) of deviation 1 whose rows of one track follow each other with `correlation`."""
    out = rng.standard_normal((len(track), 2))
    if correlation:
        fresh = np.sqrt(1 - correlation**2)
        for i in range(1, len(track)):
            if track[i] == track[i - 1]:
                out[i] = correlation * out[i - 1] + fresh * out[i]
    return out


def aligned_path_error(scene: Scene, centre: Array, frames: NDArray[np.bool_] | None = None) -> float:
    """RMS distance of camera centres (F, 3) from the truth after the best similarity, as a share of the extent."""
    which = np.ones(len(centre), dtype=bool) if frames is None else frames
    a, b = centre[which] - centre[which].mean(axis=0), scene.centre[which] - scene.centre[which].mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    fitted = (d * sign).sum() / (a**2).sum() * a @ ((u * sign) @ vt).T
    return float(np.sqrt(((fitted - b) ** 2).sum(axis=1).mean()) / np.ptp(b, axis=0).max())
