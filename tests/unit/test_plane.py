"""Beginnings before a plane, against cameras and planes that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solver.geometry.two_view import FrameIndex
from solver.reconstruction.model import Model
from solver.reconstruction.plane import plane_normal, plane_starts, poses_of_plane
from tests.synthetic import FOCAL_PX, Array, Scene, make_scene, turn
from tests.unit.test_reconstruction import start

NORMAL = np.array([0.5, -0.2, 1.0]) / np.linalg.norm([0.5, -0.2, 1.0])


def cameras() -> tuple[Array, Array]:
    """R (5, 3, 3) and t (5, 3) in units of the plane's distance."""
    R = np.stack([turn(1, 0.09 * i) @ turn(0, 0.04 * i * i) @ turn(2, -0.02 * i) for i in range(1, 6)])
    t = np.stack([np.array([0.1 * i, 0.05 * np.sin(i), -0.04 * i]) for i in range(1, 6)])
    return R, t


def homographies(R: Array, t: Array, normal: Array = NORMAL) -> Array:
    """Of any scale, as they are estimated."""
    return (R + t[:, :, None] * normal) * np.linspace(0.5, 2, len(R))[:, None, None]


def test_the_normal_and_the_poses_of_a_plane() -> None:
    R, t = cameras()
    found = plane_normal(homographies(R, t))
    assert np.degrees(np.arccos(found @ NORMAL)) < 0.01
    R_found, t_found = poses_of_plane(homographies(R, t), NORMAL)
    assert np.abs(R_found - R).max() < 1e-9 and np.abs(t_found - t).max() < 1e-9


def test_noise_on_the_homographies_turns_the_normal_a_little() -> None:
    R, t = cameras()
    G = homographies(R, t) + 1e-4 * np.random.default_rng(1).standard_normal((5, 3, 3))
    assert np.degrees(np.arccos(plane_normal(G) @ NORMAL)) < 1
    R_found, t_found = poses_of_plane(G, plane_normal(G))
    assert np.abs(np.linalg.det(R_found) - 1).max() < 1e-9
    assert np.abs(R_found - R).max() < 0.02 and np.abs(t_found - t).max() < 0.02


def wall(noise_px: float = 0.2, depth: float = 0.0, focal_px: float = FOCAL_PX) -> Scene:
    """An orbit before a wall that leans back to one side, its points off it by up to `depth`."""
    rng = np.random.default_rng(4)
    u, v = rng.uniform(-4, 4, 300), rng.uniform(-2.5, 2.5, 300)
    points = np.stack([u, v, 9 + 0.4 * u + 0.1 * v + depth * rng.uniform(-1, 1, 300)], axis=1)
    return make_scene("orbit", points=points, noise_px=noise_px, focal_px=focal_px, rng=rng)


@pytest.mark.parametrize("focal_px", [700.0, 900.0, 1800.0])
def test_the_focal_length_before_a_wall(focal_px: float) -> None:
    scene = wall(focal_px=focal_px)
    model, index = start(scene)
    starts = plane_starts(model, index, 2)
    assert len(starts) == 2
    for found in starts:
        assert abs(np.log(found.state.lens[0] / focal_px)) < 0.04
        assert found.posed.sum() >= 8 and found.placed.sum() > 60
        posed = np.flatnonzero(found.posed)
        turned = found.state.R[posed] @ found.state.R[posed[0]].T
        assert np.abs(turned - scene.R[posed] @ scene.R[posed[0]].T).max() < 0.03


@pytest.mark.parametrize(("depth", "flat"), [(0.0, True), (1.5, False)])
def test_only_a_plane_is_one(depth: float, flat: bool) -> None:
    model, index = start(wall(depth=depth))
    assert bool(plane_starts(model, index, 1)) == flat


def test_a_picture_that_stands_still_shows_no_plane() -> None:
    scene = wall()
    still = replace(
        scene.tracks, xy=scene.tracks.xy[np.unique(scene.tracks.track, return_index=True)[1]][scene.tracks.track]
    )
    rng = np.random.default_rng(5)
    model: Model = replace(
        start(scene)[0], tracks=replace(still, xy=still.xy + 0.2 * rng.standard_normal(still.xy.shape))
    )
    assert plane_starts(model, FrameIndex(model.tracks), 1) == []


def test_too_few_frames_show_no_plane() -> None:
    scene = wall()
    few = scene.tracks.select(scene.tracks.frame < 3)
    model, _ = start(replace(scene, tracks=few))
    assert plane_starts(model, FrameIndex(few), 1) == []
