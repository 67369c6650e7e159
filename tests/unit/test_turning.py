"""From a camera that moves without showing it to one that only turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solver.known import KnownPose, KnownValues
from solver.progress import Progress
from solver.reconstruction.finish import Finished, finish
from solver.reconstruction.model import least_views, place_points
from solver.reconstruction.parallax import shows_parallax, unseen_focal_share
from solver.reconstruction.turning import turning_instead
from tests import synthetic
from tests.synthetic import FOCAL_PX, Array, Scene, make_scene, turn
from tests.unit.test_reconstruction import start


def about_an_axis(offset: float):  # type: ignore[no-untyped-def]
    """A pan whose pupil sits so far before the axis."""

    def motion(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        del rng
        R = np.stack([turn(1, a) @ turn(0, 0.1 * a) for a in np.radians(np.linspace(-15, 15, n))])
        return R, offset * R[:, 2]

    return motion


def as_moving(scene: Scene, shift: float = 0.01) -> Finished:
    """Adjusted as a camera that moves, from the truth and a little noise in its places."""
    model, _ = start(scene)
    rng = np.random.default_rng(9)
    state = scene.state()
    lens = state.lens.copy()
    lens[1:3] = np.array(scene.size) / 2
    state = replace(state, lens=lens, t=state.t + shift * rng.standard_normal(state.t.shape))
    model = replace(model, state=state, posed=np.ones_like(model.posed))
    return finish(place_points(model, np.ones_like(model.placed), least_views(model), 20.0), Progress())


@pytest.mark.parametrize(("offset", "principal"), [(0.0, None), (0.04, None), (0.0, (468.0, 276.0))])
def test_a_pan_that_was_solved_as_moving(
    monkeypatch: pytest.MonkeyPatch, offset: float, principal: tuple[float, float] | None
) -> None:
    """The lens is as sure as it says, with the pupil off the axis, and with the principal point off the middle."""
    monkeypatch.setitem(synthetic.MOTIONS, "tripod", about_an_axis(offset))
    scene = make_scene("tripod", noise_px=0.3, principal=principal, k1=-0.1, k2=0.02, rng=np.random.default_rng(3))
    moving = as_moving(scene)
    assert not moving.model.nodal
    found = turning_instead(moving, Progress())
    assert found.model.nodal and found.converged and found.model.posed.all()
    off = np.log(found.model.state.lens[0] / FOCAL_PX)
    assert abs(off) < 2 * max(unseen_focal_share(found.model), found.deviations[1].log_focal[0]) < 0.03
    assert np.abs(found.model.lens.principal_point - scene.lens[1:3]).max() < 4
    if offset:
        # what the tracks alone say of a camera that only turns is too sure
        assert abs(off) > 2 * found.deviations[1].log_focal[0]


def test_a_camera_that_moves_stays_one() -> None:
    moving = as_moving(make_scene("dolly", rng=np.random.default_rng(1)))
    assert turning_instead(moving, Progress()) is moving


def test_a_camera_that_is_known_to_move_stays_one() -> None:
    moving = as_moving(make_scene("pan", rng=np.random.default_rng(1)))
    assert turning_instead(moving, Progress()).model.nodal
    poses = {
        frame: KnownPose(
            R_cam_from_world=np.eye(3),
            t_cam_from_world=np.array([float(frame), 0.0, 0.0]),
            rotation_deviation=0.1,
            position_deviation=0.1,
        )
        for frame in (2, 30)
    }
    told = replace(moving, model=replace(moving.model, known=KnownValues(poses=poses)))
    assert turning_instead(told, Progress()) is told


def test_an_off_centre_lens_is_no_parallax() -> None:
    """With tracks this good a moving camera makes up two degrees of it, and a wrong focal length."""
    scene = make_scene("pan", noise_px=0.1, principal=(468.0, 276.0), rng=np.random.default_rng(3))
    moving = as_moving(scene)
    assert shows_parallax(moving.model) and abs(moving.model.state.lens[0] / FOCAL_PX - 1) > 0.02
    found = turning_instead(moving, Progress(), settled=False)
    assert found.model.nodal and abs(found.model.state.lens[0] / FOCAL_PX - 1) < 0.002


def test_parallax_that_goes_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pupil six centimetres off the axis, at ten metres: moving earns its freedom, but what it shows is nothing."""
    monkeypatch.setitem(synthetic.MOTIONS, "tripod", about_an_axis(0.06))
    moving = as_moving(make_scene("tripod", noise_px=0.3, rng=np.random.default_rng(3)))
    assert not shows_parallax(moving.model)
    assert turning_instead(moving, Progress(), settled=False) is moving
    assert turning_instead(moving, Progress()).model.nodal
