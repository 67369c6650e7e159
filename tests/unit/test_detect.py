"""Corners spread over the picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from solver.tracking.detect import detect, joined_area, picture_area
from tests.pictures import affine, noise_texture, picture

SIZE = (320, 240)
WHOLE = (0, 0, 320, 240)
NONE = np.empty((0, 2), np.float32)


@pytest.fixture(scope="module")
def textured() -> NDArray[np.float32]:
    return picture(noise_texture(np.random.default_rng(1), 330, 250), affine(), SIZE)


def spacing_of(points: NDArray[np.float32]) -> float:
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    return float(distance[np.triu_indices(len(points), 1)].min())


def test_points_are_spread_and_keep_their_distance(textured: NDArray[np.float32]) -> None:
    points = detect(textured, NONE, 200, 12.0, WHOLE, 9)
    assert 120 < len(points) <= 200 and spacing_of(points) >= 11.0
    assert (points >= 9).all() and (points[:, 0] < 320 - 9).all() and (points[:, 1] < 240 - 9).all()
    cells = set(map(tuple, (points // 60).astype(int).tolist()))
    assert len(cells) >= 20  # of 24


def test_the_best_come_first_and_no_more_than_asked(textured: NDArray[np.float32]) -> None:
    many = detect(textured, NONE, 200, 12.0, WHOLE, 9)
    few = detect(textured, NONE, 25, 12.0, WHOLE, 9)
    assert np.array_equal(few, many[:25])
    assert len(detect(textured, NONE, 0, 12.0, WHOLE, 9)) == 0


def test_nothing_near_points_that_are_followed(textured: NDArray[np.float32]) -> None:
    first = detect(textured, NONE, 60, 15.0, WHOLE, 9)
    more = detect(textured, first, 200, 15.0, WHOLE, 9)
    distance = np.sqrt(((more[:, None] - first[None]) ** 2).sum(axis=2))
    assert len(more) > 20 and distance.min() > 0.6 * 15


def test_corners_are_where_the_corners_are() -> None:
    squares = np.full((240, 320), 60, np.float32)
    corners = []
    for x, y in ((60, 50), (180, 70), (100, 150), (240, 160)):
        squares[y : y + 40, x : x + 40] = 180
        corners += [(x, y), (x + 39, y), (x, y + 39), (x + 39, y + 39)]
    points = detect(squares, NONE, 50, 10.0, WHOLE, 9)
    assert len(points) == 16
    distance = np.sqrt(((points[:, None] - np.array(corners)[None]) ** 2).sum(axis=2)).min(axis=1)
    assert distance.max() < 3.0


def test_an_edge_is_no_corner() -> None:
    edge = np.full((240, 320), 60, np.float32)
    edge[:, 160:] = 200
    assert len(detect(edge, NONE, 50, 10.0, WHOLE, 9)) == 0


def test_noise_is_no_texture() -> None:
    rng = np.random.default_rng(2)
    grain = np.full((240, 320), 90, np.float32) + rng.normal(scale=0.5, size=(240, 320)).astype(np.float32)
    assert len(detect(grain, NONE, 200, 10.0, WHOLE, 9)) == 0


def test_bars_are_left_out(textured: NDArray[np.float32]) -> None:
    boxed = textured.copy()
    boxed[:30], boxed[210:], boxed[:, :20] = 2, 5, 0
    assert picture_area(boxed) == (20, 30, 320, 210)
    points = detect(boxed, NONE, 200, 12.0, picture_area(boxed), 9)
    assert len(points) > 60
    assert points[:, 0].min() >= 29 and points[:, 1].min() >= 39 and points[:, 1].max() < 201


def test_a_picture_without_bars_is_used_whole(textured: NDArray[np.float32]) -> None:
    assert picture_area(textured) == WHOLE


def test_a_border_that_was_dark_once_is_no_bar(textured: NDArray[np.float32]) -> None:
    dark = textured.copy()
    dark[:40] = 0
    area = joined_area(None, picture_area(np.zeros((240, 320), np.uint8)))
    area = joined_area(area, picture_area(dark))
    assert area == (0, 40, 320, 240)
    assert joined_area(area, picture_area(textured)) == WHOLE
