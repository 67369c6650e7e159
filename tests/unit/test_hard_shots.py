"""Simulated shots of kinds that were once refused, or solved wrongly, though the tracks tell what they are.

Each stands for a cause; the seeds are those under which it first showed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solver.errors import SolveDiverged
from solver.progress import Progress
from solver.reconstruction.choose import reconstruct
from solver.report import made_solve
from solver.types import MOVING, NODAL
from tests.known_scenes import shot_of
from tests.simulated.score import REFUSED, score_seed
from tests.synthetic import make_scene

pytestmark = pytest.mark.slow

LARGEST = 60


@pytest.mark.parametrize(
    ("seed", "kind"),
    [
        pytest.param(121, NODAL, id="a moving camera explains a pan a little better"),
        pytest.param(105, NODAL, id="a principal point off the middle passes for a shorter lens"),
        pytest.param(140, NODAL, id="the pupil is off the tripod's axis"),
        pytest.param(116, MOVING, id="two frames before a plane fit any lens"),
        pytest.param(102, MOVING, id="a plane turned inside out fits a long lens"),
        pytest.param(216, MOVING, id="a dolly zoom turned inside out fits a lens that does not zoom"),
        pytest.param(550, MOVING, id="few things near by, before hills"),
        pytest.param(518, MOVING, id="two fifths of the picture move by themselves"),
        pytest.param(531, MOVING, id="the right zoom, with the scene behind the camera"),
        pytest.param(557, MOVING, id="a zoom goes on while frames are lost"),
        pytest.param(31, MOVING, id="a crash zoom among wild observations"),
        pytest.param(544, MOVING, id="a hand that shakes before a rolling shutter"),
        pytest.param(528, MOVING, id="a crash zoom beyond which a lens that holds poses nothing"),
    ],
)
def test_they_are_solved_and_as_sure_as_they_say(seed: int, kind: str) -> None:
    found = score_seed(seed, largest=LARGEST)
    assert found.answer == kind, found.reasons
    assert abs(found.sigmas) < 3 and found.sd_percent < 3
    assert found.path_percent < 15 and found.rotation_deg < 1


def test_hands_that_try_to_stand_still() -> None:
    """The lens is told as badly as the shift of the hands, which goes unseen, leaves it."""
    found = score_seed(204, largest=LARGEST)
    assert found.answer == NODAL and abs(found.sigmas) < 2
    assert found.focal_percent > 1 and 3 < found.sd_percent < 20


def test_a_zoom_from_a_tripod_that_tells_no_focal_length_is_refused() -> None:
    found = score_seed(203, largest=LARGEST)
    assert found.status == REFUSED and "too little to tell its focal length" in found.reasons[0]


def test_points_far_from_their_tracks_are_no_answer() -> None:
    scene = make_scene("orbit", n_frames=12, n_points=200, rng=np.random.default_rng(1))
    times = np.arange(12, dtype=np.float64)
    found = reconstruct(scene.tracks, scene.size, times, Progress())
    off = 9.0 * np.where(np.arange(len(scene.tracks.track)) % 2, 1.0, -1.0)[:, None]
    tracks = replace(scene.tracks, xy=scene.tracks.xy + off)
    frames, deviations = found.deviations
    spoilt = replace(found, model=replace(found.model, tracks=tracks))
    with pytest.raises(SolveDiverged, match="the points miss them by 13 px"):
        made_solve(
            shot_of(scene), spoilt, frames, deviations, sensor_width_mm=36.0, sensor_width_source="default", seconds={}
        )
