"""The overlay sheet."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from solver import lens, overlay, types

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blender"))

from synthetic_solve import make_solve  # noqa: E402


def grey(_: int) -> np.ndarray:
    return np.full((360, 640), 120, dtype=np.uint8)


def test_frames_are_spread_over_the_solved_ones() -> None:
    solve = make_solve(types, lens, frames=48, unsolved=(1001, 1002))
    frames = overlay.overlay_frames(solve)
    assert len(frames) == 6 and frames[0] == 2 and frames[-1] == 47
    assert overlay.overlay_frames(make_solve(types, lens, frames=3)) == [0, 1, 2]


@pytest.mark.parametrize("colour", [False, True])
def test_png_is_written_whole(tmp_path: Path, colour: bool) -> None:
    def read(i: int) -> np.ndarray:
        return cv2.cvtColor(grey(i), cv2.COLOR_GRAY2BGR) if colour else grey(i)

    target = tmp_path / "shot_overlay.png"
    overlay.write_overlay(target, make_solve(types, lens), read)
    sheet = cv2.imread(str(target))
    assert sheet.shape[1] == 1920 and sheet.shape[0] > 2 * 300
    assert [p.name for p in tmp_path.iterdir()] == ["shot_overlay.png"]


def test_a_point_is_drawn_where_it_projects() -> None:
    """One point at a known pixel: the ring is the only bright green in its tile, centred on that pixel."""
    solve = make_solve(types, lens, frames=3, points=1, seed=3)
    sheet = overlay.draw_sheet(solve, lambda i: np.zeros((360, 640), dtype=np.uint8))
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


def test_portrait_footage_and_few_frames_fit() -> None:
    solve = make_solve(types, lens, frames=3, size=(360, 640))
    sheet = overlay.draw_sheet(solve, lambda i: np.zeros((640, 360), dtype=np.uint8))
    assert sheet.shape[1] == 1920


def test_reading_error_leaves_nothing(tmp_path: Path) -> None:
    def read(_: int) -> np.ndarray:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        overlay.write_overlay(tmp_path / "a.png", make_solve(types, lens), read)
    assert list(tmp_path.iterdir()) == []
