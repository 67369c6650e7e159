"""The lens model."""

from __future__ import annotations

import numpy as np
import pytest

from solver.lens import BrownConradyLens

SIZE = (1920, 1080)
LENSES = {
    "none": (0.0, 0.0, 0.0),
    "barrel": (-0.28, 0.07, 0.0),
    "pincushion": (0.15, 0.02, 0.0),
    "three": (-0.2, 0.05, -0.008),
    "moustache": (-0.1, 0.12, 0.0),
}


def lens_of(k: tuple[float, float, float], principal_point: tuple[float, float] = (960.0, 540.0)) -> BrownConradyLens:
    return BrownConradyLens(size=SIZE, principal_point=np.array(principal_point), k=np.array(k))


@pytest.mark.parametrize("name", LENSES)
def test_undistorting_undoes_distorting(name: str) -> None:
    lens = lens_of(LENSES[name])
    radius = min(1.2, 0.97 * lens.largest_radius)
    rng = np.random.default_rng(1)
    angle, r = rng.uniform(0, 2 * np.pi, 500), radius * np.sqrt(rng.uniform(0, 1, 500))
    xy = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    assert np.abs(lens.undistort(lens.distort(xy)) - xy).max() < 1e-10


@pytest.mark.parametrize("name", LENSES)
def test_unprojecting_undoes_projecting(name: str) -> None:
    lens = lens_of(LENSES[name], (975.5, 530.25))
    rng = np.random.default_rng(2)
    cam = rng.uniform([-2, -1, 4], [2, 1, 9], (5, 40, 3))
    focal = rng.uniform(1400, 1700, (5, 1))
    ray = lens.unproject(lens.project(cam, focal), focal)
    assert np.abs(ray - cam / cam[..., 2:]).max() < 1e-10


def test_projection_follows_the_cited_polynomial() -> None:
    lens = lens_of((-0.2, 0.05, -0.008), (950.0, 545.0))
    x, y = 0.4, -0.3
    r2 = 0.25
    factor = 1 - 0.2 * r2 + 0.05 * r2**2 - 0.008 * r2**3
    assert lens.project(np.array([2 * x, 2 * y, 2.0]), 1500.0) == pytest.approx(
        [950 + 1500 * factor * x, 545 + 1500 * factor * y]
    )


def test_largest_radius_is_where_the_polynomial_turns() -> None:
    assert lens_of((0.0, 0.0, 0.0)).largest_radius == float("inf")
    assert lens_of((0.1, 0.0, 0.0)).largest_radius == float("inf")
    lens = lens_of((-0.3, 0.02, 0.0))
    r = lens.largest_radius
    inside, outside = lens.distort(np.array([[r * 0.999, 0], [r, 0], [r * 1.001, 0]]))[[0, 2], 0]
    top = lens.distort(np.array([r, 0.0]))[0]
    assert inside < top and outside < top


def test_what_no_ray_reaches_gets_the_largest_radius() -> None:
    lens = lens_of((-0.3, 0.0, 0.0))
    beyond = 1.5 * lens.distort(np.array([lens.largest_radius, 0.0]))
    found = lens.undistort(beyond)
    assert np.linalg.norm(found) == pytest.approx(lens.largest_radius)
    assert found[0] > 0 and found[1] == 0


def test_the_middle_stays_where_it_is() -> None:
    lens = lens_of(LENSES["barrel"])
    assert np.array_equal(lens.undistort(np.zeros((1, 2))), np.zeros((1, 2)))
    assert np.array_equal(lens.distort(np.zeros((1, 2))), np.zeros((1, 2)))


def test_undistorted_lens_is_centred() -> None:
    lens = BrownConradyLens.undistorted(SIZE)
    assert lens.principal_point.tolist() == [960.0, 540.0] and not lens.params.any()
    assert lens.param_names == ("k1", "k2", "k3")


@pytest.mark.parametrize("k", [np.zeros(2), np.array([0.0, np.nan, 0.0])])
def test_wrong_coefficients_are_refused(k: np.ndarray) -> None:
    with pytest.raises(ValueError, match="k must be finite"):
        BrownConradyLens(size=SIZE, principal_point=np.zeros(2), k=k)
