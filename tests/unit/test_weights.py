"""Tracks weigh by what their residuals tell of them: by how slowly those change, and only as far as tracks differ."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.bundle.residuals import residuals
from solver.progress import Progress
from solver.reconstruction import finish, weights
from solver.reconstruction.choose import reconstruct
from solver.reconstruction.finish import Finished
from solver.reconstruction.weights import reweighted
from tests.synthetic import Scene, make_scene

NOISE_PX = 0.1


def with_errors(scene: Scene, seed: int) -> tuple[Scene, NDArray[np.bool_], NDArray[np.bool_]]:
    """A quarter of the tracks are off by slow errors, another by white ones of the same size; masks of both."""
    rng = np.random.default_rng(seed)
    tracks = scene.tracks
    kind = rng.integers(4, size=tracks.n_tracks)
    off = np.zeros_like(tracks.xy)
    for track in range(tracks.n_tracks):
        rows = tracks.track == track
        length = rows.sum()
        time = np.arange(length)[:, None] / length
        if kind[track] == 0:
            off[rows] = np.sqrt(2) * np.sin(np.pi * (time + 2 * rng.random(2)))
        elif kind[track] == 1:
            off[rows] = rng.standard_normal((length, 2))
    moved = replace(scene, tracks=replace(tracks, xy=tracks.xy + 3 * NOISE_PX * off))
    return moved, kind == 0, kind == 1


@cache
def uneven() -> tuple[Scene, NDArray[np.bool_], NDArray[np.bool_]]:
    scene = make_scene("orbit", n_points=300, noise_px=NOISE_PX, longest=60, rng=np.random.default_rng(2))
    return with_errors(scene, 3)


def solved(scene: Scene) -> Finished:
    return reconstruct(scene.tracks, scene.size, np.arange(scene.tracks.n_frames, dtype=np.float64), Progress())


def deviation_of_tracks(found: Finished) -> NDArray[np.float64]:
    """What each track's observations are taken to deviate by, as a share of what the tracking says, (T,)."""
    model = reweighted(found.model)
    n = model.tracks.n_tracks
    claimed = np.linalg.det(model.tracks.covariance) ** 0.25
    growth = np.linalg.det(model.whitening) ** -0.5 / claimed
    return np.bincount(model.tracks.track, weights=growth, minlength=n) / np.bincount(model.tracks.track, minlength=n)


def test_slow_errors_count_more_against_a_track_than_noise_of_their_size() -> None:
    scene, slow, white = uneven()
    deviation = deviation_of_tracks(solved(scene))
    long = np.bincount(scene.tracks.track) >= 24
    usual = np.median(deviation[long & ~slow & ~white])
    assert np.median(deviation[long & white]) > 2 * usual
    assert np.median(deviation[long & slow]) > 3 * np.median(deviation[long & white])


def test_tracks_that_do_not_differ_weigh_the_same() -> None:
    scene = make_scene("orbit", n_points=300, noise_px=NOISE_PX, longest=60, rng=np.random.default_rng(2))
    deviation = deviation_of_tracks(solved(scene))
    assert np.quantile(deviation, 0.95) < 1.15 * np.quantile(deviation, 0.05)


def test_many_poor_tracks_do_not_make_outliers_of_the_good_ones() -> None:
    base = make_scene("orbit", n_points=600, noise_px=NOISE_PX, longest=60, rng=np.random.default_rng(2))
    rng = np.random.default_rng(4)
    poor = rng.random(base.tracks.n_tracks) < 0.8
    rows = poor[base.tracks.track]
    off = np.where(rows[:, None], 8 * NOISE_PX * rng.standard_normal((len(rows), 2)), 0.0)
    scene = replace(base, tracks=replace(base.tracks, xy=base.tracks.xy + off))
    found = solved(scene).model
    model = reweighted(found)
    used = model.rows(model.posed)
    squared = (residuals(model.state, model.observations(used)) ** 2).sum(axis=1)
    assert np.median(squared[~rows[used]]) < 4
    assert used[~rows].mean() > 0.98


def test_weights_by_track_halve_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_scene("orbit", n_points=300, noise_px=NOISE_PX, longest=60, rng=np.random.default_rng(2))
    scenes = [with_errors(base, seed)[0] for seed in range(3, 8)]

    def error() -> float:
        off = [np.log(solved(scene).model.state.lens[0] / scene.lens[0]) for scene in scenes]
        return float(np.sqrt(np.mean(np.square(off))))

    by_track = error()
    monkeypatch.setattr(finish, "reweighted", lambda model, *_, **__: weights.reweighted(model, by_track=False))
    assert by_track < 0.5 * error()
