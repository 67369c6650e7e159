"""What is held in an adjustment and is not so: the reported deviations know of it."""

from __future__ import annotations

import numpy as np
import pytest

from solver.bundle.residuals import FOCAL, PRINCIPAL_X
from solver.known import Known, KnownValues
from solver.progress import Progress
from solver.reconstruction.choose import reconstruct
from solver.reconstruction.finish import Finished
from solver.reconstruction.reported import reported_deviations
from tests.synthetic import Scene, make_scene
from tests.unit.test_shutter import rolled


def solved(scene: Scene, known: KnownValues | None = None) -> Finished:
    times = np.arange(scene.tracks.n_frames, dtype=np.float64)
    return reconstruct(scene.tracks, scene.size, times, Progress(), known)


def deviations(found: Finished) -> tuple[float, float]:
    """Of the logarithm of the focal length, of the adjustment and as reported."""
    return float(found.deviations[1].log_focal[0]), float(reported_deviations(found)[1].log_focal[0])


def off(found: Finished, scene: Scene) -> float:
    return abs(float(np.log(found.model.state.lens[FOCAL] / scene.lens[FOCAL])))


@pytest.fixture(scope="module")
def aside() -> Scene:
    """A lens whose middle lies 0.7 % aside of the picture's."""
    return make_scene("dolly", principal=(487.0, 266.0), noise_px=0.1, rng=np.random.default_rng(3))


def test_a_lens_a_little_aside(aside: Scene) -> None:
    found = solved(aside)
    assert PRINCIPAL_X not in found.options.free_lens
    plain, reported = deviations(found)
    assert off(found, aside) > 2 * plain
    assert off(found, aside) < 2 * reported < 20 * plain


def test_a_middle_that_is_known_is_not_asked_about(aside: Scene) -> None:
    x, y = (Known(value=float(value), deviation=0.0) for value in aside.lens[1:3])
    found = solved(aside, KnownValues(principal_point=(x, y), readout=Known(value=0.0, deviation=0.0)))
    plain, reported = deviations(found)
    assert plain <= reported < 1.2 * plain
    assert off(found, aside) < 3 * reported


def test_a_readout_too_slight_to_be_told() -> None:
    rng = np.random.default_rng(5)
    scene = rolled(make_scene("dolly", n_frames=16, noise_px=0.2, rng=rng), 0.5, 0.2, rng)
    found = solved(scene)
    assert not found.model.rolling
    plain, reported = deviations(found)
    assert reported > 1.1 * plain and off(found, scene) < 2 * reported


def test_the_report_says_of_the_lens_what_the_path_says(aside: Scene) -> None:
    found = solved(aside)
    sd = reported_deviations(found)[1]
    assert sd.lens[FOCAL] == pytest.approx(float(sd.log_focal[0]) * found.model.state.lens[FOCAL], rel=1e-6)
