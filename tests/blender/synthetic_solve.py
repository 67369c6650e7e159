"""A solve with known truth, made without footage: what the pipeline would return for a camera that circles a scene."""

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
) -> Any:
    """A `Solve`. The types come as arguments since the package has a different name in each kind of test."""
    rng = np.random.default_rng(seed)
    last = first_frame + frames + len(missing) - 1
    numbers = np.array([n for n in range(first_frame, last + 1) if n not in missing], dtype=np.int64)
    width, height = size
    focal = np.full(frames, 0.9 * width)
    lens = lens_module.BrownConradyLens(
        size=size,
        principal_point=np.array([width / 2 + 3.25, height / 2 - 2.5]),
        k=np.array([-0.06, 0.015, 0.0]),
    )
    R, t = _path(numbers - first_frame)
    world = rng.uniform([-2.5, -1.4, 4.0], [2.5, 1.4, 9.0], size=(points, 3))

    cam = np.einsum("fij,pj->pfi", R, world) + t[None]  # (P, F, 3)
    xy = lens.project(cam, focal[None])
    inside = (cam[..., 2] > 0.1) & (xy > 0).all(axis=-1) & (xy < np.array(size)).all(axis=-1)
    seen = inside.sum(axis=1) >= 3
    world, xy, inside = world[seen], xy[seen], inside[seen]
    track, frame = np.nonzero(inside)
    noisy = xy[track, frame] + rng.normal(scale=0.15, size=(len(track), 2))
    inlier = rng.uniform(size=len(track)) > 0.03
    noisy[~inlier] += rng.normal(scale=6.0, size=(int((~inlier).sum()), 2))
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
            is_sequence=True,
            size=size,
            frame_rate=frame_rate,
            frame_numbers=numbers,
            missing_frames=np.array(missing, dtype=np.int64),
        ),
        lens=lens,
        path=solver_types.CameraPath(
            R_cam_from_world=R,
            t_cam_from_world=t,
            focal_px=focal,
            focal_px_sd=np.full(frames, 0.4),
            distortion=np.tile(lens.k, (frames, 1)),
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
        report=solver_types.SolveReport(
            status=solver_types.SOLVED,
            reasons=(),
            rms_px=0.21,
            quality=np.full(frames, 0.9),
            n_tracks=len(world),
            n_observations=int(inlier.sum()),
            iterations=9,
            seconds={"tracking": 0.5, "solving": 0.25},
            lens_sd={"focal_px": 0.4, "k1": 0.001},
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
