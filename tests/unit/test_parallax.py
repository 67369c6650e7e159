"""Parallax that is seen, and what one that is not seen leaves open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solver.bundle.residuals import residuals
from solver.known import Known, KnownPose, KnownValues
from solver.reconstruction.model import Model
from solver.reconstruction.parallax import (
    brought_in_front,
    in_front,
    parallax_deg,
    parallax_px,
    shows_parallax,
    shows_things_near_by,
    unseen_focal_share,
)
from tests.synthetic import FOCAL_PX, Scene, make_scene
from tests.unit.test_reconstruction import start


def true_model(scene: Scene, *, nodal: bool = False) -> Model:
    """All posed and placed where they are."""
    model, _ = start(scene)
    state = scene.state()
    if nodal:
        X = state.X * np.array([1.0, 1.0, 1.0, 0.0])
        state = replace(state, X=X / np.linalg.norm(X, axis=1, keepdims=True))
    return replace(model, state=state, nodal=nodal, posed=np.ones_like(model.posed), placed=np.ones_like(model.placed))


def sideways(distance: float, depth: float, noise_px: float = 0.2) -> Scene:
    """The dolly's camera before points that are all equally far, moved aside by so much in all."""
    rng = np.random.default_rng(1)
    points = np.stack([rng.uniform(-4, 4, 300), rng.uniform(-2, 2, 300), np.full(300, depth)], axis=1)
    scene = make_scene("pan", points=points, noise_px=noise_px, rng=rng)
    centre = np.linspace(-0.5, 0.5, 40)[:, None] * np.array([distance, 0.0, 0.0])
    R = np.tile(np.eye(3), (40, 1, 1))
    xy = FOCAL_PX * (scene.points[scene.tracks.track] - centre[scene.tracks.frame])[:, :2] / depth
    xy = xy + np.array(scene.size) / 2
    noisy = xy + noise_px * rng.standard_normal(xy.shape)
    return replace(scene, R=R, t=-centre, true_xy=xy, tracks=replace(scene.tracks, xy=noisy))


def test_the_angle_is_that_between_the_rays() -> None:
    scene = sideways(1.0, 10.0, noise_px=0.0)
    model = true_model(scene)
    first = np.append(True, np.diff(scene.tracks.track) != 0)
    last = np.append(np.diff(scene.tracks.track) != 0, True)
    moved = scene.centre[scene.tracks.frame[last], 0] - scene.centre[scene.tracks.frame[first], 0]
    # the camera stays before the points: each is seen at about its own depth
    assert parallax_deg(model) == pytest.approx(np.degrees(np.median(moved) / 10), rel=0.05)
    assert parallax_px(model) == pytest.approx(np.radians(parallax_deg(model)) * FOCAL_PX)


@pytest.mark.parametrize(("distance", "seen"), [(0.2, True), (0.02, True), (0.004, False)])
def test_parallax_is_seen_above_the_noise(distance: float, seen: bool) -> None:
    assert shows_parallax(true_model(sideways(distance, 10.0))) == seen


@pytest.mark.parametrize(("near", "seen"), [(0.2, True), (0.02, False)])
def test_a_few_things_near_by_are_enough(near: float, seen: bool) -> None:
    """Hills, and before them a share of points that are near."""
    rng = np.random.default_rng(2)
    points = rng.uniform([-7.0, -4.0, 4.0], [7.0, 4.0, 15.0], size=(400, 3))
    points[int(near * 400) :] *= 400.0
    model = true_model(make_scene("handheld", points=points, rng=rng))
    assert not shows_parallax(model)
    assert shows_things_near_by(model) == seen


def test_wide_angles_are_parallax_however_the_tracks_miss() -> None:
    assert shows_parallax(true_model(sideways(0.2, 10.0, noise_px=8.0)))
    assert not shows_parallax(true_model(sideways(0.02, 10.0, noise_px=2.0)))


def test_a_scene_turned_inside_out_lies_behind_the_camera() -> None:
    model = true_model(sideways(1.0, 10.0))
    assert in_front(model)
    reversed_ = replace(model, state=replace(model.state, X=model.state.X * np.array([1.0, 1.0, 1.0, -1.0])))
    assert not in_front(reversed_)
    assert in_front(replace(reversed_, nodal=True))


def pan(noise_px: float, degrees: float = 30.0) -> Scene:
    """A camera that turns about itself, by thirty degrees or a part of it."""
    scene = make_scene("pan", noise_px=noise_px, rng=np.random.default_rng(2))
    if degrees == 30.0:
        return scene
    few = int(40 * degrees / 30)
    tracks = scene.tracks.select(scene.tracks.frame < few)
    return replace(
        scene,
        R=scene.R[:few],
        t=scene.t[:few],
        tracks=replace(tracks, n_frames=few),
        points=scene.points[np.unique(scene.tracks.track[scene.tracks.frame < few])],
    )


def test_what_goes_unseen_grows_with_noise_and_with_small_turns() -> None:
    quiet, noisy, small = (
        unseen_focal_share(true_model(scene, nodal=True)) for scene in (pan(0.1), pan(0.4), pan(0.1, 6.0))
    )
    # however good the tracks are, nobody sees where the pupil is
    assert 0.003 < unseen_focal_share(true_model(pan(0.001), nodal=True)) < 0.0031
    assert 0.003 < quiet < noisy < 0.01
    assert small > 1.5 * quiet


def test_what_is_known_bounds_it() -> None:
    model = true_model(pan(0.4), nodal=True)
    free = unseen_focal_share(model)

    def share(**known: object) -> float:
        return unseen_focal_share(replace(model, known=KnownValues(**known)))  # type: ignore[arg-type]

    assert share(focal_px=Known(value=FOCAL_PX, deviation=0)) == 0
    assert share(focal_px=Known(value=FOCAL_PX, deviation=free * FOCAL_PX)) == pytest.approx(free / 2**0.5)
    many = {frame: Known(value=FOCAL_PX, deviation=0.1 * FOCAL_PX) for frame in range(25)}
    assert share(focal_px_by_frame=many) == pytest.approx((free**-2 + 0.02**-2) ** -0.5)
    pose = KnownPose(
        R_cam_from_world=np.eye(3), t_cam_from_world=np.zeros(3), rotation_deviation=0.01, position_deviation=0.01
    )
    assert share(poses={1: pose}) == free and share(poses={1: pose, 9: pose}) == 0


def test_a_scene_behind_the_camera_is_brought_before_it() -> None:
    model = true_model(make_scene("orbit", n_frames=12, rng=np.random.default_rng(6)))
    state = model.state
    behind = replace(model, state=replace(state, X=state.X * [1.0, 1.0, 1.0, -1.0], t=-state.t))
    assert in_front(model) and not in_front(behind)
    found = brought_in_front(behind)
    assert in_front(found) and np.allclose(found.state.t, state.t)
    observations = model.observations(model.rows(model.posed))
    assert np.allclose(residuals(found.state, observations), residuals(behind.state, observations))
    # where noise decides, nothing is certain
    mixed = replace(model, state=replace(state, X=state.X * np.where(np.arange(len(state.X)) % 2, 1, -1)[:, None]))
    assert brought_in_front(mixed) is mixed
