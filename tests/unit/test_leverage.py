"""Tracks judged by the others, against adjustments without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.bundle import leverage
from solver.bundle.adjust import BundleOptions, adjust, hold_gauge, robust_weight
from solver.bundle.covariance import _scores, deviations
from solver.bundle.leverage import Leverage, judge_by_others, widening
from solver.bundle.normal_equations import assemble, reduce, structure
from solver.bundle.residuals import Observations, State, linearise
from solver.bundle.rolling import stencil
from tests.synthetic import make_scene

Array = NDArray[np.float64]
OPTIONS = BundleOptions(free_lens=(0, 3))


def equations(state: State, observations: Observations, options: BundleOptions) -> tuple[Array, Array, Leverage]:
    """S with its gauge held, all tracks' scores, and what asks for their leverage."""
    s = structure(observations, len(state.R), len(state.X))
    lin = linearise(state, observations)
    weight = robust_weight(lin.residual, options.cauchy)
    rolling = options.rolling(state, observations)
    by_shared = options.by_shared(lin, observations.camera, rolling)
    eq = assemble(lin, weight, by_shared, s, rolling=rolling)
    reduced = reduce(eq, s, observations, 0.0)
    S = np.triu(reduced.S) + np.triu(reduced.S, 1).T
    parts = (lin, weight, by_shared, eq, reduced.V_inverse, observations)
    return S, _scores(*parts), Leverage(*parts)


@pytest.mark.parametrize("rolling", [False, True])
def test_a_track_is_judged_as_if_it_were_left_out(rolling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leverage, "_MOST_OWN", 1.0)
    scene = make_scene("orbit", n_frames=8, n_points=40, noise_px=0.5, rng=np.random.default_rng(3))
    state, observations = scene.state(), replace(scene.observations(), height=float(scene.size[1]))
    options = OPTIONS
    if rolling:
        moving = stencil(state.R, np.arange(8.0))
        options = replace(OPTIONS, free_lens=(0, 3, 7), stencil=moving)
        state = replace(state, velocity=moving.velocities(state.R, state.t, state.zoom))
        state.lens[7] = 0.5
    S, scores, asked = equations(state, observations, options)
    held = S.copy()
    gauge = hold_gauge(held, state, options)
    inverse = np.linalg.inv(held)
    for track in (0, len(state.X) // 2, len(state.X) - 1):
        kept = observations.point != track
        without = observations.select(kept)
        without = replace(without, point=without.point - (without.point > track))
        fewer = equations(replace(state, X=np.delete(state.X, track, axis=0)), without, options)[0]
        # the gauge is held as firmly as before
        step = np.linalg.solve(fewer + held - S, scores[track])
        found = inverse @ asked.without(track, inverse)
        free = np.eye(len(S)) - gauge @ np.linalg.pinv(gauge)
        np.testing.assert_allclose(free @ found, free @ step, atol=1e-6 * np.abs(free @ step).max())
        assert np.abs(found).max() > np.abs(inverse @ scores[track]).max()


def test_the_tracks_parts_in_the_lens_are_all_there_is() -> None:
    scene = make_scene("orbit", n_frames=8, n_points=40, noise_px=0.5, rng=np.random.default_rng(4))
    state, observations = scene.state(), scene.observations()
    S, _, asked = equations(state, observations, OPTIONS)
    hold_gauge(S, state, OPTIONS)
    parts = asked.parts(np.linalg.inv(S))
    assert (parts > 0).all()
    assert parts.sum() == pytest.approx(1, rel=1e-3)


def test_only_tracks_that_decide_much_are_looked_at() -> None:
    scene = make_scene("orbit", n_frames=8, n_points=300, noise_px=0.5, rng=np.random.default_rng(5))
    state, observations = scene.state(), scene.observations()
    S, scores, asked = equations(state, observations, OPTIONS)
    hold_gauge(S, state, OPTIONS)
    inverse = np.linalg.inv(S)
    before = scores.copy()
    judge_by_others(scores, inverse, asked)
    changed = (scores != before).any(axis=1)
    assert 0 < changed.sum() < 60
    assert asked.parts(inverse)[changed].min() > asked.parts(inverse)[~changed].max()


def test_deviations_hold_where_few_drifting_tracks_decide() -> None:
    rng = np.random.default_rng(6)
    z = []
    for by_frame in (False, True):
        z.append(0.0)
        for seed in range(12):
            scene = make_scene("dolly", n_frames=8, n_points=24, noise_px=0.3, rng=np.random.default_rng(seed))
            observations = scene.observations()
            slow = rng.normal(scale=1.0, size=(len(scene.state().X), 2))[observations.point]
            xy = observations.xy + slow * (observations.camera / 7)[:, None]
            found = adjust(scene.state(), replace(observations, xy=xy), OPTIONS).state
            sd = deviations(found, replace(observations, xy=xy), OPTIONS, by_frame=by_frame).log_focal[0]
            z[-1] += (np.log(found.lens[0] / scene.lens[0]) / sd) ** 2 / 12
    plain, judged = np.sqrt(z)
    assert judged < 0.85 * plain
    assert judged < 1.5


def test_deviations_of_few_tracks_are_wider() -> None:
    many, few, one = np.ones(1000), np.ones(5), np.eye(1, 50)[0]
    grown = [float(widening(part[None])[0]) for part in (many, few, one)]
    assert grown[0] == pytest.approx(1, abs=0.01)
    assert 1.2 < grown[1] < grown[2] < 1.8
    # where nothing is estimated
    assert widening(np.zeros((2, 3))).tolist() == [1, 1]
