"""Velocities that follow from the poses: their derivative, and an adjustment that ends where they are true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solver.bundle.adjust import BundleOptions, adjust, moved, robust_cost
from solver.bundle.residuals import FOCAL, READOUT, Observations, State, linearise, residuals
from solver.bundle.rolling import Stencil, at_rows, stencil
from solver.geometry.rotation import rotation_matrix
from tests.synthetic import Scene, make_scene
from tests.unit.test_shutter import rolled

N = 24


def shaken(shake_deg: float, rng: np.random.Generator) -> Scene:
    """A hand that also shakes, differently in every frame."""
    scene = make_scene("handheld", n_frames=N, noise_px=0.0, rng=rng)
    # of a few frames, as hands do
    shake = np.cumsum(rng.standard_normal((N, 3)), axis=0)
    shake = np.radians(shake_deg) * (shake - shake.mean(axis=0))
    R = rotation_matrix(shake) @ scene.R
    return replace(scene, R=R, t=np.einsum("fij,fkj,fk->fi", R, scene.R, scene.t))


def rolling_state(readout: float) -> tuple[State, Observations, Stencil]:
    rng = np.random.default_rng(1)
    scene = rolled(shaken(0.15, rng), readout, 0.1, rng)
    around = stencil(scene.R, np.arange(N, dtype=np.float64))
    state = scene.state()
    lens = state.lens.copy()
    lens[READOUT] = readout
    state = replace(state, lens=lens, velocity=around.velocities(state.R, state.t, state.zoom))
    return state, replace(scene.observations(), height=float(scene.size[1])), around


def test_what_a_row_sees_of_the_poses_around_it() -> None:
    state, observations, around = rolling_state(0.6)
    options = BundleOptions(stencil=around)
    lin, rolling = linearise(state, observations), options.rolling(state, observations)
    rng = np.random.default_rng(2)
    step = 1e-6 * rng.standard_normal((N, 6))
    no_lens, no_points = np.zeros(1), np.zeros_like(state.X)
    ahead, behind = (
        residuals(moved(state, sign * step, no_lens, options, no_points), observations) for sign in (1, -1)
    )
    numeric = (ahead - behind) / 2
    linear = np.einsum("nij,nj->ni", lin.by_pose, at_rows(rolling, step, observations.camera))
    held = np.einsum("nij,nj->ni", lin.by_pose, step[observations.camera])
    size = np.sqrt((numeric**2).mean())
    assert np.sqrt(((linear - numeric) ** 2).mean()) < 0.002 * size
    assert np.sqrt(((held - numeric) ** 2).mean()) > 0.1 * size


def test_an_adjustment_ends_where_the_velocities_are_those_of_its_poses() -> None:
    state, observations, around = rolling_state(0.8)
    rng = np.random.default_rng(3)
    start = replace(
        state,
        R=rotation_matrix(2e-3 * rng.standard_normal((N, 3))) @ state.R,
        lens=state.lens * np.where(np.arange(len(state.lens)) == FOCAL, 1.03, 1.0),
    )
    off = {}
    for name, used in (("follow", around), ("held", None)):
        options = BundleOptions(free_lens=(FOCAL, READOUT), stencil=used, iterations=60, relative_tolerance=1e-9)
        found = adjust(replace(start, velocity=around.velocities(start.R, start.t, start.zoom)), observations, options)
        true = replace(found.state, velocity=around.velocities(found.state.R, found.state.t, found.state.zoom))
        off[name] = robust_cost(residuals(true, observations), options.cauchy) / found.cost - 1
        if name == "follow":
            assert found.state.lens[FOCAL] == pytest.approx(state.lens[FOCAL], rel=0.01)
            assert found.state.lens[READOUT] == pytest.approx(0.8, abs=0.05)
    assert abs(off["follow"]) < 1e-9
    assert off["held"] > 0.005


def test_a_hand_that_shakes_drops_no_frames() -> None:
    times = np.arange(60, dtype=np.float64)
    rng = np.random.default_rng(4)
    turn = np.radians(0.3) * np.cumsum(rng.standard_normal((60, 3)), axis=0)
    weights = stencil(rotation_matrix(turn), times).weights
    assert (weights[2:-2] != 0).sum(axis=1).min() == 4


def test_steps_over_lost_frames_tell_nothing() -> None:
    times = np.array([0.0, 1, 2, 3, 9, 10, 11, 12])
    around = stencil(rotation_matrix(np.outer(times, [0.0, 0.01, 0.0])), times)
    assert (around.weights[:, 3] == 0).all()
    velocity = around.velocities(rotation_matrix(np.outer(times, [0.0, 0.01, 0.0])), np.zeros((8, 3)), 0.1 * times)
    assert velocity == pytest.approx(np.tile([0, 0.01, 0, 0, 0, 0, 0.1], (8, 1)), abs=1e-12)
