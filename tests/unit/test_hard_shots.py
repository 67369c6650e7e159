"""Simulated shots of kinds that were once refused, or solved wrongly, though the tracks tell what they are.

Each stands for a cause; the seeds are those under which it first showed.
"""

from __future__ import annotations

import pytest

from solver.types import MOVING, NODAL
from tests.simulated.score import REFUSED, score_seed

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


def test_points_far_from_their_tracks_are_no_answer() -> None:
    """A zoom from a tripod with wild tracks, which a camera of no such kind seems to explain."""
    found = score_seed(203, largest=LARGEST)
    assert found.status == REFUSED and "the points miss them by" in found.reasons[0]
