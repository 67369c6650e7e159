"""Solves with known truth, made without footage: what the pipeline would return for each kind of camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIZE = (640, 360)


def make_solve(
    solver_types: Any,
    lens_module: Any,
    *,
    frames: int = 12,
    points: int = 60,
    first_frame: int = 1001,
    missing: tuple[int, ...] = (),
    unsolved: tuple[int, ...] = (),
    first_file: str = "",
    name: str = "synthetic",
    frame_rate: float = 24.0,
    sensor_width_mm: float = 36.0,
    size: tuple[int, int] = SIZE,
    seed: int = 7,
    kind: str = "moving",
    zoom: float = 1.0,
    up_world: tuple[float, float, float] | None = None,
    readout: float = 0.0,
    bad: tuple[tuple[int, int, str], ...] = (),
    is_sequence: bool = True,
) -> Any:
    """A `Solve`. The types come as arguments since the package has a different name in each kind of test.

    `zoom` is the last focal length over the first; the distortion shrinks along it. Points of a nodal camera have
    directions only, at distance 1; a static camera has none.
    """
    rng = np.random.default_rng(seed)
    last = first_frame + frames + len(missing) - 1
    numbers = np.array([n for n in range(first_frame, last + 1) if n not in missing], dtype=np.int64)
    width, height = size
    focal = np.geomspace(0.9 * width, 0.9 * width * zoom, frames) if zoom != 1 else np.full(frames, 0.9 * width)
    distortion = np.array([-0.06, 0.015, 0.0]) * (focal[0] / focal[:, None])
    principal_point = np.array([width / 2 + 3.25, height / 2 - 2.5])
    lenses = [lens_module.BrownConradyLens(size=size, principal_point=principal_point, k=k) for k in distortion]
    lens = lenses[frames // 2]
    R, t = _path(numbers - first_frame)
    world = rng.uniform([-2.5, -1.4, 4.0], [2.5, 1.4, 9.0], size=(points, 3))
    if kind != "moving":
        t = np.zeros_like(t)
        world /= np.linalg.norm(world, axis=1, keepdims=True)
    if kind == "static":
        R = np.tile(np.eye(3), (frames, 1, 1))

    cam = np.einsum("fij,pj->pfi", R, world) + t[None]  # (P, F, 3)
    xy = np.stack([lenses[i].project(cam[:, i], focal[i]) for i in range(frames)], axis=1)
    inside = (cam[..., 2] > 0.1) & (xy > 0).all(axis=-1) & (xy < np.array(size)).all(axis=-1)
    seen = inside.sum(axis=1) >= 3
    world, xy, inside = world[seen], xy[seen], inside[seen]
    track, frame = np.nonzero(inside)
    noisy = xy[track, frame] + rng.normal(scale=0.15, size=(len(track), 2))
    inlier = rng.uniform(size=len(track)) > 0.03
    noisy[~inlier] += rng.normal(scale=6.0, size=(int((~inlier).sum()), 2))
    if kind == "static":
        world, inlier = world[:0], np.zeros_like(inlier)
    tracks = solver_types.Tracks(
        track=track.astype(np.int64),
        frame=frame.astype(np.int64),
        xy=noisy,
        covariance=np.tile(np.eye(2) * 0.15**2, (len(track), 1, 1)),
        n_frames=frames,
    )
    solved = np.ones(frames, dtype=bool)
    solved[[int(np.flatnonzero(numbers == n)[0]) for n in unsolved]] = False
    return solver_types.Solve(
        shot=solver_types.Shot(
            name=name,
            footage=str(Path(first_file).parent) if first_file else name,
            first_file=first_file,
            is_sequence=is_sequence,
            size=size,
            frame_rate=frame_rate,
            frame_numbers=numbers,
            missing_frames=np.array(missing, dtype=np.int64),
        ),
        kind=kind,
        lens=lens,
        path=solver_types.CameraPath(
            R_cam_from_world=R,
            t_cam_from_world=t,
            focal_px=focal,
            focal_px_sd=np.full(frames, 0.4),
            distortion=distortion,
            rotation_sd=np.full((frames, 3), 1e-4),
            position_sd=np.full((frames, 3), 1e-3),
            solved=solved,
        ),
        points=solver_types.Points(
            xyz_world=world,
            track=np.arange(len(world), dtype=np.int64),
            error_px=rng.uniform(0.05, 0.4, size=len(world)),
        ),
        tracks=tracks,
        inlier=inlier,
        sensor_width_mm=sensor_width_mm,
        sensor_width_source="given",
        scale_source="none",
        up_world=None if up_world is None else np.array(up_world) / np.linalg.norm(up_world),
        up_sd=0.0 if up_world is None else 0.004,
        readout=readout,
        readout_sd=0.02 if readout else 0.0,
        report=solver_types.SolveReport(
            status=solver_types.WARNINGS if bad else solver_types.SOLVED,
            reasons=tuple(reason for _, _, reason in bad),
            rms_px=0.21,
            quality=np.full(frames, 0.9),
            n_tracks=len(world),
            n_observations=int(inlier.sum()),
            iterations=9,
            seconds={"tracking": 0.5, "solving": 0.25},
            lens_sd={"focal_px": 0.4, "k1": 0.001},
            bad_ranges=tuple(solver_types.BadRange(first=a, last=b, reason=reason) for a, b, reason in bad),
        ),
    )


def _path(step: Any) -> tuple[Any, Any]:
    """A level first camera that then moves sideways, up and round: R (F, 3, 3), t (F, 3)."""
    angle = 0.02 * step
    c, s = np.cos(angle), np.sin(angle)
    R = np.zeros((len(step), 3, 3))
    R[:, 0, 0], R[:, 0, 2], R[:, 1, 1], R[:, 2, 0], R[:, 2, 2] = c, s, 1.0, -s, c
    centre = np.stack([0.08 * step, -0.01 * step, 0.03 * np.sin(0.3 * step)], axis=1)
    return R, -np.einsum("fij,fj->fi", R, centre)
