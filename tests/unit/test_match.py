"""Matching of pictures that lie far apart, against planes seen by known cameras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.errors import Cancelled, TooFewTracks
from solver.progress import Progress
from solver.tracking.features import find_features
from solver.tracking.join import join
from solver.tracking.match import MatchOptions, match_tracks, pictures_overlap
from solver.tracking.pairs import epipolar_distance
from solver.types import Tracks

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

WIDTH, HEIGHT, FOCAL = 480, 360, 420.0
# the wall: texels are seen nearly as large as pixels
WALL_DEPTH, WALL_SIDE, WALL_TEXELS = 5.0, 9.0, 900
K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
# texture pixels of our convention from OpenCV's
CENTRE = np.array([[1.0, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])


@dataclass
class Still:
    index: int
    number: int
    pixels: NDArray[np.generic]


def texture(seed: int, size: int) -> Picture:
    """Noise at all scales, as real surfaces have it."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size))
    for blur in (1.5, 3.0, 6.0, 12.0, 24.0):
        layer = cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), blur)
        total += layer / layer.std()
    return np.clip(128 + 26 * total, 0, 255).astype(np.uint8)


def camera(turn_deg: float, centre: tuple[float, float, float]) -> tuple[Array, Array]:
    """R and t, cam_from_world, of a camera that looks along +z but for a turn about the vertical axis."""
    R = cv2.Rodrigues(np.radians([0.3 * turn_deg, turn_deg, 0.1 * turn_deg]))[0]
    return R, -R @ np.array(centre)


def plane_homography(R: Array, t: Array, depth: float, side: float, texels: int) -> Array:
    """Pixels (our convention) from texture pixels of a square of `side`, centred before the cameras at `depth`."""
    scale = side / texels
    world = np.array([[scale, 0, -side / 2], [0, scale, -side / 2], [0, 0, depth]])
    return np.asarray(K @ (R @ world + np.outer(t, [0, 0, 1])))


def render(
    planes: list[tuple[Picture, float, float]], R: Array, t: Array, seed: int = 0, noise: float = 1.5
) -> Picture:
    """Squares (texture, depth, side), the farthest first, filtered as a lens and a sensor do."""
    over = 2
    up = np.diag([over, over, 1.0])
    canvas = np.full((HEIGHT * over, WIDTH * over), 90, np.uint8)
    for picture, depth, side in planes:
        H = CENTRE @ up @ plane_homography(R, t, depth, side, len(picture)) @ np.linalg.inv(CENTRE)
        cv2.warpPerspective(picture, H, canvas.shape[::-1], dst=canvas, borderMode=cv2.BORDER_TRANSPARENT)
    small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(float)
    return np.clip(np.rint(small + noise * np.random.default_rng(seed).standard_normal(small.shape)), 0, 255).astype(
        np.uint8
    )


CAMERAS = [camera(4.0 * i, (-0.45 * i, 0.08 * i, 0.05 * i)) for i in range(-3, 4)]


def stills(pictures: list[Picture]) -> Iterator[Still]:
    return (Still(i, i + 1, picture) for i, picture in enumerate(pictures))


@pytest.fixture(scope="module")
def wall() -> list[Picture]:
    surface = texture(1, WALL_TEXELS)
    return [render([(surface, WALL_DEPTH, WALL_SIDE)], R, t, seed=i) for i, (R, t) in enumerate(CAMERAS)]


@pytest.fixture(scope="module")
def box_pictures() -> list[Picture]:
    planes = [(texture(2, 900), 9.0, 18.0), (texture(3, 320), 6.0, 4.5), (texture(4, 230), 4.5, 2.4)]
    return [render(planes, R, t, seed=i) for i, (R, t) in enumerate(CAMERAS)]


@pytest.fixture(scope="module")
def wall_tracks(wall: list[Picture]) -> Tracks:
    return match_tracks(stills(wall), len(wall), MatchOptions())


def on_texture(tracks: Tracks) -> Array:
    """Observations of the wall in texture pixels of the size that they have in the picture."""
    out = np.empty_like(tracks.xy)
    for frame, (R, t) in enumerate(CAMERAS):
        rows = tracks.frame == frame
        H = np.linalg.inv(plane_homography(R, t, WALL_DEPTH, WALL_SIDE, WALL_TEXELS))
        out[rows] = cv2.perspectiveTransform(tracks.xy[rows][None], H)[0]
    return out * (WALL_SIDE / WALL_TEXELS * FOCAL / WALL_DEPTH)


def from_mean(tracks: Tracks) -> Array:
    """Distance of each observation of the wall from its track's mean, scaled to the deviation of one observation."""
    place = on_texture(tracks)
    length = np.bincount(tracks.track)
    mean = np.stack([np.bincount(tracks.track, weights=place[:, i]) / length for i in (0, 1)], axis=1)
    return np.asarray((place - mean[tracks.track]) * np.sqrt(length / (length - 1))[tracks.track][:, None])


def test_tracks_are_in_the_promised_order(wall_tracks: Tracks) -> None:
    assert wall_tracks.n_tracks > 300 and wall_tracks.n_frames == len(CAMERAS)
    step = np.diff(wall_tracks.track)
    assert ((step == 0) | (step == 1)).all()
    assert (np.diff(wall_tracks.frame)[step == 0] > 0).all()
    assert np.bincount(wall_tracks.track).min() >= MatchOptions().least_length


def test_observations_lie_where_the_cameras_say_and_their_deviation_is_true(wall_tracks: Tracks) -> None:
    off = from_mean(wall_tracks)
    distance = np.sqrt((off**2).sum(axis=1))
    assert (distance > 1.5).mean() < 0.005
    assert 0.02 < 1.4826 * np.median(np.abs(off)) < 0.08
    # what is seen at a larger scale is known less well, and says so
    sigma = np.sqrt(wall_tracks.covariance[:, 0, 0])
    fine, coarse = sigma < 0.28, sigma > 0.4
    assert np.median(distance[coarse]) > 2 * np.median(distance[fine])


def test_stated_deviations_hold_in_grain() -> None:
    surface = texture(1, WALL_TEXELS)
    grainy = [render([(surface, WALL_DEPTH, WALL_SIDE)], R, t, seed=i, noise=20.0) for i, (R, t) in enumerate(CAMERAS)]
    tracks = match_tracks(stills(grainy), len(grainy), MatchOptions(count=1000))
    off = from_mean(tracks)
    assert 0.3 < 1.4826 * np.median(np.abs(off) / np.sqrt(tracks.covariance[:, 0, 0])[:, None]) < 1.3


def test_a_scene_with_depth_keeps_its_parallax(box_pictures: list[Picture]) -> None:
    tracks = match_tracks(stills(box_pictures), len(box_pictures), MatchOptions())
    assert tracks.n_tracks > 200
    distances = []
    for i in range(len(CAMERAS)):
        for j in range(i + 1, len(CAMERAS)):
            a, b = np.flatnonzero(tracks.frame == i), np.flatnonzero(tracks.frame == j)
            _, ia, ib = np.intersect1d(tracks.track[a], tracks.track[b], return_indices=True)
            distances.append(epipolar_distance(fundamental(i, j), tracks.xy[a[ia]], tracks.xy[b[ib]]))
    distance = np.concatenate(distances)
    assert np.median(distance) < 0.5
    assert (distance > 3.0).mean() < 0.015
    # all three planes are found: they shift by different amounts
    a, b = np.flatnonzero(tracks.frame == 1), np.flatnonzero(tracks.frame == 3)
    _, ia, ib = np.intersect1d(tracks.track[a], tracks.track[b], return_indices=True)
    for depth in (9.0, 6.0, 4.5):
        H = plane_homography(*CAMERAS[3], depth, 1.0, 1) @ np.linalg.inv(plane_homography(*CAMERAS[1], depth, 1.0, 1))
        mapped = cv2.perspectiveTransform(tracks.xy[a[ia]][None], H)[0]
        assert (np.abs(mapped - tracks.xy[b[ib]]).max(axis=1) < 2).sum() > 10


def fundamental(i: int, j: int) -> Array:
    (R_i, t_i), (R_j, t_j) = CAMERAS[i], CAMERAS[j]
    R = R_j @ R_i.T
    t = t_j - R @ t_i
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    return np.asarray(np.linalg.inv(K).T @ cross @ R @ np.linalg.inv(K))


def test_the_same_pictures_give_the_same_tracks(wall: list[Picture], wall_tracks: Tracks) -> None:
    again = match_tracks(stills(wall), len(wall), MatchOptions())
    assert np.array_equal(again.track, wall_tracks.track) and np.array_equal(again.frame, wall_tracks.frame)
    assert np.array_equal(again.xy, wall_tracks.xy) and np.array_equal(again.covariance, wall_tracks.covariance)


def test_a_return_is_matched_beyond_the_neighbours(wall: list[Picture]) -> None:
    there_and_back = [*wall[:4], *wall[2::-1]]
    options = MatchOptions(count=600, neighbours=1, all_pairs_up_to=2)
    tracks = match_tracks(stills(there_and_back), len(there_and_back), options)
    first, last = np.flatnonzero(tracks.frame == 0), np.flatnonzero(tracks.frame == len(there_and_back) - 1)
    assert len(np.intersect1d(tracks.track[first], tracks.track[last])) > 0.8 * len(first)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("larger", [1, 3])
def test_positions_are_unbiased_at_full_resolution(kind: type, larger: int) -> None:
    rng = np.random.default_rng(5)
    width, height = 320 * larger, 240 * larger
    grid = np.stack(np.meshgrid(np.arange(30, 300, 30), np.arange(30, 220, 30)), axis=-1).reshape(-1, 2)
    true = (grid + rng.uniform(-3, 3, grid.shape)) * larger
    y, x = np.mgrid[:height, :width] + 0.5
    picture = np.full((height, width), 60.0)
    for centre in true:
        picture += 150 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * (2.5 * larger) ** 2))
    features = find_features(np.clip(np.rint(picture), 0, 255).astype(kind), 500, 320)
    off = features.xy[:, None] - true[None]
    nearest = (off**2).sum(axis=2).argmin(axis=0)
    error = (features.xy[nearest] - true) / larger
    assert np.abs(error).max() < 0.2
    assert np.abs(error.mean(axis=0)).max() < 0.02
    assert 1.5 < np.median(features.scale_px[nearest]) / larger < 4.0


def test_key_points_are_spread_over_the_picture() -> None:
    picture = texture(6, 400)
    picture[:, 200:] = 128 + (picture[:, 200:].astype(int) - 128) // 3  # the right half is dull
    features = find_features(picture, 200, 1600)
    right = (features.xy[:, 0] > 200).sum()
    assert len(features.xy) == 200 and 60 < right < 140
    assert features.point.max() == 199 and (np.diff(features.point) >= 0).all()
    assert len(np.unique(features.xy, axis=0)) == 200


def test_joining_keeps_one_key_point_a_frame() -> None:
    #   0 - 2 - 4 is clear; 1 - 2 contradicts it: it would bring 0 and 1, both of frame 0, together
    frame = np.array([0, 0, 1, 1, 2, 2])
    first, second = np.array([0, 1, 2, 3]), np.array([2, 2, 4, 5])
    track = join(frame, first, second, np.array([0.2, 0.6, 0.3, 0.1]))
    assert track.tolist() == [0, 1, 0, 2, 0, 2]
    # the other way about, the clearer match wins
    track = join(frame, first, second, np.array([0.6, 0.2, 0.3, 0.1]))
    assert track.tolist() == [0, 1, 1, 2, 1, 2]


def test_joining_splits_a_chain_that_comes_back_to_its_frame() -> None:
    # 0 - 1 - 2 - 3 where 3 lies in the frame of 0: the weakest link goes
    frame = np.array([0, 1, 2, 0])
    track = join(frame, np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([0.1, 0.5, 0.2]))
    assert track.tolist() == [0, 0, 1, 1]


def test_joining_does_not_depend_on_the_order_of_the_matches() -> None:
    rng = np.random.default_rng(0)
    frame = np.repeat(np.arange(6), 50)
    first, second = rng.integers(0, 300, (2, 800))
    ambiguity = rng.uniform(0, 1, 800)
    track = join(frame, first, second, ambiguity)
    order = rng.permutation(800)
    assert np.array_equal(track, join(frame, first[order], second[order], ambiguity[order]))
    assert len(np.unique(np.stack([track, frame]), axis=1).T) == len(frame)
    assert np.array_equal(np.unique(track), np.arange(track.max() + 1))


def test_a_wide_step_overlaps_and_a_cut_does_not(wall: list[Picture], box_pictures: list[Picture]) -> None:
    assert pictures_overlap(wall[0], wall[0])
    assert pictures_overlap(wall[0], wall[4])
    assert pictures_overlap(box_pictures[1], box_pictures[5].astype(np.float32))
    assert not pictures_overlap(wall[0], box_pictures[0])
    assert not pictures_overlap(box_pictures[3], wall[3])


def test_a_title_over_two_scenes_is_no_overlap(wall: list[Picture], box_pictures: list[Picture]) -> None:
    titled = []
    for picture in (wall[2], box_pictures[2]):
        titled.append(picture.copy())
        cv2.putText(titled[-1], "SCENE 12 TAKE 3  01:02:03:04", (20, 340), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    assert not pictures_overlap(*titled)


def test_grain_on_a_wall_is_no_overlap() -> None:
    rng = np.random.default_rng(7)
    for blur in (0.0, 1.5):
        grain = rng.standard_normal((2, HEIGHT, WIDTH))
        if blur:
            grain = np.stack([cv2.GaussianBlur(layer, (0, 0), blur) for layer in grain])
        a, b = np.clip(128 + 12 * grain / grain.std(), 0, 255).astype(np.uint8)
        assert not pictures_overlap(a, b)
    flat = np.full((HEIGHT, WIDTH), 128, np.uint8)
    assert not pictures_overlap(flat, flat)


@pytest.mark.parametrize("level", [0, 128])
def test_blank_pictures_are_refused_in_a_sentence(level: int) -> None:
    blank = [np.full((HEIGHT, WIDTH), level, np.uint8)] * 4
    with pytest.raises(TooFewTracks, match=r"^Only 0 points .* 4 pictures, 40 are needed.*\.$") as caught:
        match_tracks(stills(blank), 4, MatchOptions())
    assert caught.value.found == 0 and caught.value.needed == 40


def test_different_scenes_are_refused() -> None:
    scenes = [texture(seed, 300) for seed in range(20, 24)]
    with pytest.raises(TooFewTracks, match="show different scenes"):
        match_tracks(stills(scenes), 4, MatchOptions())


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(TooFewTracks):
        match_tracks(iter([]), 0, MatchOptions())


def test_progress_rises_and_cancels(wall: list[Picture]) -> None:
    fractions: list[float] = []
    match_tracks(stills(wall[:4]), 4, MatchOptions(count=500), Progress(lambda fraction, _: fractions.append(fraction)))
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) >= 10

    def cancel(fraction: float, _: str) -> None:
        if fraction > 0.6:
            raise Cancelled

    with pytest.raises(Cancelled):
        match_tracks(stills(wall[:4]), 4, MatchOptions(count=500), Progress(cancel))
