"""The overlay sheet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from solver import lens, overlay, types

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blender"))

from synthetic_solve import make_solve


def pictures(solve: types.Solve, level: int = 0) -> list[np.ndarray]:
    width, height = solve.shot.size
    return [np.full((height, width, 3), level, dtype=np.uint8) for _ in overlay.overlay_frames(solve)]


def test_frames_are_spread_over_the_solved_ones() -> None:
    solve = make_solve(types, lens, frames=48, unsolved=(1001, 1002))
    frames = overlay.overlay_frames(solve)
    assert len(frames) == 6 and frames[0] == 2 and frames[-1] == 47
    assert overlay.overlay_frames(make_solve(types, lens, frames=3)) == [0, 1, 2]


def test_png_is_written_whole(tmp_path: Path) -> None:
    solve = make_solve(types, lens)
    target = tmp_path / "shot_overlay.png"
    overlay.write_overlay(target, solve, pictures(solve, 120))
    sheet = cv2.imread(str(target))
    assert sheet.shape[1] == 1920 and sheet.shape[0] > 2 * 300
    assert [p.name for p in tmp_path.iterdir()] == ["shot_overlay.png"]


def test_red_stays_red() -> None:
    solve = make_solve(types, lens, frames=3)
    red = [picture + np.array([200, 0, 0], dtype=np.uint8) for picture in pictures(solve)]
    blue, green, red_level = overlay.draw_sheet(solve, red)[150, 20]
    assert red_level > 100 and blue < 30 and green < 30


def test_a_point_is_drawn_where_it_projects() -> None:
    """One point at a known pixel: the ring is the only bright green in its tile, centred on that pixel."""
    solve = make_solve(types, lens, frames=3, points=1, seed=3)
    sheet = overlay.draw_sheet(solve, pictures(solve))
    observations = solve.tracks
    i = int(np.flatnonzero(observations.frame == 0)[0])
    assert solve.inlier[i]
    scale = ((1920 - 4 * 8) // 3) / 640
    header, gap = 74, 8
    tile = sheet[header : header + round(360 * scale) - 26, gap : gap + round(640 * scale)].astype(int)
    ring = np.argwhere((tile[..., 1] > 120) & (tile[..., 0] < 120))
    assert len(ring) > 8
    centre = (ring.min(axis=0) + ring.max(axis=0)) / 2 + 0.5
    np.testing.assert_allclose(centre[::-1], observations.xy[i] * scale, atol=1.0)


def test_no_words_are_cut_at_the_edge() -> None:
    solve = make_solve(types, lens, frames=3)
    reasons = ("A sentence that goes on for long enough to need another line of the header, and one more. " * 4,)
    long_name = replace(solve.shot, name="A001_C012_1122XY_a_name_as_pipelines_give_them_graded_v003_denoised")
    told = replace(
        solve, shot=long_name, up_world=np.array([0.0, 0.0, 1.0]), report=replace(solve.report, reasons=reasons)
    )
    sheet, plain = overlay.draw_sheet(told, pictures(solve)), overlay.draw_sheet(solve, pictures(solve))
    assert sheet.shape[0] > plain.shape[0] + 20
    # header and legend
    for words in (sheet[: 74 + sheet.shape[0] - plain.shape[0]], sheet[-44:]):
        assert (words[:, -8:] == words[0, -1]).all()
        assert (words[:, :-8] != words[0, -1]).any()


def test_portrait_footage_and_few_frames_fit() -> None:
    solve = make_solve(types, lens, frames=3, size=(360, 640))
    sheet = overlay.draw_sheet(solve, pictures(solve))
    assert sheet.shape[1] == 1920


@pytest.mark.parametrize("kind", ["moving", "nodal", "static"])
def test_every_kind_of_shot_has_a_sheet(kind: str) -> None:
    """A static camera's tracks are shown, and are neither points nor rejected."""
    solve = make_solve(types, lens, kind=kind, frames=9, zoom=1.5)
    tiles = overlay.draw_sheet(solve, pictures(solve))[74:-50].astype(int)
    tails = ((tiles[..., 0] > 150) & (tiles[..., 2] < 130)).sum()
    rings = ((tiles[..., 1] > 150) & (tiles[..., 0] < 110)).sum()
    crosses = ((tiles[..., 2] > 150) & (tiles[..., 1] < 90)).sum()
    assert tails > 20
    assert (rings > 100 and crosses > 10) if kind != "static" else (rings == 0 and crosses == 0)


@pytest.mark.parametrize("frames", [1, 2])
def test_one_or_two_frames_fit(frames: int) -> None:
    solve = make_solve(types, lens, kind="static", frames=frames)
    assert overlay.draw_sheet(solve, pictures(solve)).shape[1] == 1920


def test_points_of_a_zoom_are_drawn_with_their_frames_lens() -> None:
    solve = make_solve(types, lens, zoom=1.8, frames=12)
    observations = overlay._Observations(solve)
    residual = np.linalg.norm(observations.xy - observations.projected, axis=1)[observations.kept]
    assert observations.kept.sum() > 200 and residual.max() < 1.0


def test_the_horizon_is_drawn_where_level_rays_meet_the_picture() -> None:
    """The camera looks down by 5 degrees: the horizon lies above the middle by focal * tan(5 degrees)."""
    down = np.radians(5.0)
    solve = make_solve(types, lens, frames=1, kind="static", up_world=(0.0, -np.cos(down), -np.sin(down)))
    line = overlay._horizon(solve, 0)
    middle = line[np.abs(line[:, 0] - solve.lens.principal_point[0]).argmin()]
    expected = solve.lens.principal_point[1] - solve.path.focal_px[0] * np.tan(down)
    assert middle[1] == pytest.approx(expected, abs=0.5)
    assert line[:, 0].min() < 0 and line[:, 0].max() > 640
    sheet = overlay.draw_sheet(solve, pictures(solve)).astype(int)
    drawn = np.argwhere((sheet[74:-60, :, 0] > 150) & (sheet[74:-60, :, 2] > 170) & (sheet[74:-60, :, 1] < 170))
    assert np.median(drawn[:, 0]) == pytest.approx(expected * 629 / 640, abs=3)
    straight_down = make_solve(types, lens, frames=1, kind="static", up_world=(0.0, 0.0, -1.0))
    assert len(overlay._horizon(straight_down, 0)) == 0


def test_reading_error_leaves_nothing(tmp_path: Path) -> None:
    solve = make_solve(types, lens)

    def read() -> Iterator[np.ndarray]:
        yield pictures(solve)[0]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        overlay.write_overlay(tmp_path / "a.png", solve, read())
    assert list(tmp_path.iterdir()) == []
