"""The overlay: a sheet of frames on which the eye can check a solve.

Each tile shows a frame with what was tracked and what the solved camera makes of it: the tail of each track, the
solved point reprojected (its colour is its error), the residual magnified, and the observations that the solve
rejected. A good solve shows points that sit on things, and residuals that point everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .result import equivalent_35mm, whole_file
from .types import Solve

RESIDUAL_GAIN = 10

_TILES = 6
_COLUMNS = 3
_SHEET_WIDTH = 1920
_GAP = 8
_TAIL_FRAMES = 10
_MOST_POINTS = 350  # drawn in a tile: more than these hide the picture
_ERROR_SCALE_PX = 1.0  # error at the red end of the scale
_SUBPIXEL_BITS = 4

# Blue, green, red, as OpenCV wants them.
_BACKGROUND = (32, 30, 28)
_TEXT = (235, 235, 235)
_MUTED = (165, 160, 155)
_TAIL = (230, 190, 90)
_RESIDUAL = (255, 255, 255)
_REJECTED = (70, 60, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def overlay_frames(solve: Solve, count: int = _TILES) -> list[int]:
    """Indices of the frames that the sheet shows, spread over the solved ones."""
    solved = np.flatnonzero(solve.path.solved)
    if not len(solved):
        return []
    spread = np.round(np.linspace(0, len(solved) - 1, min(count, len(solved)))).astype(int)
    return [int(solved[i]) for i in np.unique(spread)]


def write_overlay(path: Path, solve: Solve, pictures: Iterable[NDArray[np.uint8]]) -> None:
    """Write the sheet as a PNG, whole or not at all.

    Parameters
    ----------
    path : Path
    solve : Solve
    pictures : iterable of uint8 arrays of shape (H, W, 3), display RGB
        The frames of `overlay_frames(solve)`, in that order.
    """
    sheet = draw_sheet(solve, pictures)
    done, data = cv2.imencode(".png", sheet, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise OSError(f"The overlay {path} could not be encoded")
    with whole_file(path) as temporary:
        temporary.write_bytes(data.tobytes())


def draw_sheet(solve: Solve, pictures: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The sheet, (H, W, 3) uint8 in OpenCV's channel order: a header, the tiles and a legend."""
    indices = overlay_frames(solve)
    columns = min(_COLUMNS, max(len(indices), 1))
    tile_width = (_SHEET_WIDTH - (_COLUMNS + 1) * _GAP) // _COLUMNS
    scale = tile_width / solve.shot.size[0]
    observations = _Observations(solve)
    tiles = [_draw_tile(solve, observations, i, picture, scale) for i, picture in zip(indices, pictures, strict=True)]

    width = _SHEET_WIDTH
    rows = [_header(solve, width)]
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        band = np.full((row[0].shape[0] + _GAP, width, 3), _BACKGROUND, dtype=np.uint8)
        for column, tile in enumerate(row):
            left = _GAP + column * (tile_width + _GAP)
            band[: tile.shape[0], left : left + tile.shape[1]] = tile
        rows.append(band)
    rows.append(_legend(width))
    return np.concatenate(rows)


class _Observations:
    """Every observation with the reprojection of its point."""

    def __init__(self, solve: Solve) -> None:
        tracks = solve.tracks
        n_tracks = max(tracks.n_tracks, int(solve.points.track.max(initial=-1)) + 1)
        point_of_track = np.full(n_tracks, -1)
        point_of_track[solve.points.track] = np.arange(len(solve.points.track))
        self.frame, self.xy, self.track = tracks.frame, tracks.xy, tracks.track
        self.point = point_of_track[tracks.track]
        self.kept = solve.inlier & (self.point >= 0)
        self.rejected = ~solve.inlier
        self.projected = np.zeros_like(tracks.xy)
        kept = np.flatnonzero(self.kept)
        R, t = solve.path.R_cam_from_world[self.frame[kept]], solve.path.t_cam_from_world[self.frame[kept]]
        cam = np.einsum("nij,nj->ni", R, solve.points.xyz_world[self.point[kept]]) + t
        front = cam[:, 2] > 0
        self.kept[kept[~front]] = False
        kept, cam = kept[front], cam[front]
        self.projected[kept] = solve.lens.project(cam, solve.path.focal_px[self.frame[kept]])

    def tail(self, observation: int) -> NDArray[np.float64]:
        """Where the track was in the frames before, and is now, oldest first, shape (K, 2)."""
        first = observation
        while (
            first > 0
            and self.track[first - 1] == self.track[observation]
            and self.frame[first - 1] >= self.frame[observation] - _TAIL_FRAMES
        ):
            first -= 1
        rows = slice(first, observation + 1)
        return np.asarray(self.xy[rows][self.kept[rows]])


def _draw_tile(
    solve: Solve, observations: _Observations, index: int, frame: NDArray[np.uint8], scale: float
) -> NDArray[np.uint8]:
    width, height = solve.shot.size
    aspect = solve.shot.pixel_aspect
    tile_size = (round(width * scale), round(height * scale / aspect))
    tile = cv2.resize(frame, tile_size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    tile = (cv2.cvtColor(tile, cv2.COLOR_RGB2BGR) * 0.62).astype(np.uint8)
    to_tile = np.array([tile_size[0] / width, tile_size[1] / height])

    here = observations.frame == index
    kept, rejected = np.flatnonzero(here & observations.kept), np.flatnonzero(here & observations.rejected)
    residuals = observations.xy[kept] - observations.projected[kept]
    errors = np.linalg.norm(residuals, axis=1)
    drawn = np.arange(len(kept))
    if len(kept) > _MOST_POINTS:  # the same points in every tile, as far as they live
        order = np.random.default_rng(0).permutation(solve.tracks.n_tracks)
        drawn = np.argsort(order[observations.track[kept]])[:_MOST_POINTS]

    for i in drawn:
        _polyline(tile, observations.tail(int(kept[i])) * to_tile, _TAIL)
    for i in rejected:
        _cross(tile, observations.xy[i] * to_tile)
    for i in drawn:
        at = observations.projected[kept[i]] * to_tile
        _polyline(tile, np.stack([at, at + RESIDUAL_GAIN * residuals[i] * to_tile]), _RESIDUAL)
        _ring(tile, at, _error_colour(float(errors[i])))

    rms = float(np.sqrt((errors**2).mean())) if len(errors) else 0.0
    caption = (
        f"frame {solve.shot.frame_numbers[index]}"
        f"    {solve.focal_mm[index]:.2f} mm ({solve.path.focal_px[index]:.1f} px)"
        f"    rms {rms:.2f} px    {len(kept)} points, {len(rejected)} rejected"
    )
    _caption(tile, caption)
    return tile


def _header(solve: Solve, width: int) -> NDArray[np.uint8]:
    band = np.full((74, width, 3), _BACKGROUND, dtype=np.uint8)
    report, path = solve.report, solve.path
    first = (
        f"{solve.shot.name}    {np.median(solve.focal_mm):.2f} mm on {solve.sensor_width_mm:.2f} mm"
        f" ({solve.sensor_width_source})    {np.median(equivalent_35mm(solve)):.1f} mm on 36 mm"
        f"    k1 {solve.lens.k[0]:+.4f}  k2 {solve.lens.k[1]:+.4f}    rms {report.rms_px:.2f} px"
    )
    second = (
        f"{report.status}: {int(path.solved.sum())} of {len(path.solved)} frames, {report.n_tracks} tracks,"
        f" {report.n_observations} observations.  " + "  ".join(report.reasons)
    )
    cv2.putText(band, _ascii(first), (_GAP + 4, 30), _FONT, 0.72, _TEXT, 1, cv2.LINE_AA)
    cv2.putText(band, _ascii(second), (_GAP + 4, 58), _FONT, 0.55, _MUTED, 1, cv2.LINE_AA)
    return band


def _legend(width: int) -> NDArray[np.uint8]:
    band = np.full((44, width, 3), _BACKGROUND, dtype=np.uint8)
    x, y = _GAP + 8, 22

    def say(text: str) -> None:
        nonlocal x
        cv2.putText(band, text, (x, y + 6), _FONT, 0.55, _MUTED, 1, cv2.LINE_AA)
        x += cv2.getTextSize(text, _FONT, 0.55, 1)[0][0] + 48

    _polyline(band, np.array([[x, y + 5.0], [x + 14, y - 2.0], [x + 30, y - 4.0]]), _TAIL)
    x += 42
    say(f"track, last {_TAIL_FRAMES} frames")
    _ring(band, np.array([x + 6.0, y]), _error_colour(0.0))
    x += 20
    say("solved point, reprojected, coloured by error:")
    x -= 40
    for i in range(120):
        band[y - 7 : y + 8, x + i] = _error_colour(i / 119 * _ERROR_SCALE_PX)
    x += 130
    say(f"0 to {_ERROR_SCALE_PX:g} px")
    _ring(band, np.array([x + 4.0, y]), _error_colour(0.4))
    _polyline(band, np.array([[x + 4.0, y], [x + 30, y - 6.0]]), _RESIDUAL)
    x += 42
    say(f"residual x {RESIDUAL_GAIN}")
    _cross(band, np.array([x + 6.0, y]))
    x += 22
    say("rejected observation")
    say(f"(at most {_MOST_POINTS} points a frame are drawn)")
    return band


def _caption(tile: NDArray[np.uint8], text: str) -> None:
    strip = tile[-26:]
    strip[:] = (strip * 0.35).astype(np.uint8)
    cv2.putText(tile, _ascii(text), (8, tile.shape[0] - 8), _FONT, 0.46, _TEXT, 1, cv2.LINE_AA)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """OpenCV's fixed-point coordinates: its pixel centres lie at integers."""
    return np.round((np.clip(points, -1e4, 1e4) - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _polyline(image: NDArray[np.uint8], points: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    if len(points) > 1:
        cv2.polylines(image, [_fixed(points)], False, colour, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _ring(image: NDArray[np.uint8], at: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    x, y = (int(v) for v in _fixed(at))
    cv2.circle(image, (x, y), 3 << _SUBPIXEL_BITS, colour, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _cross(image: NDArray[np.uint8], at: NDArray[np.float64]) -> None:
    arm = np.array([3.5, 3.5])
    _polyline(image, np.stack([at - arm, at + arm]), _REJECTED)
    _polyline(image, np.stack([at - arm * [1, -1], at + arm * [1, -1]]), _REJECTED)


def _error_colour(error_px: float) -> tuple[int, int, int]:
    """Green at no error, yellow, then red at `_ERROR_SCALE_PX` and beyond."""
    share = min(error_px / _ERROR_SCALE_PX, 1.0)
    red, green = min(1.0, 2 * share), min(1.0, 2 * (1 - share))
    return 60, int(70 + 170 * green), int(60 + 195 * red)


def _ascii(text: Any) -> str:
    """OpenCV's fonts hold nothing else."""
    return str(text).encode("ascii", "replace").decode("ascii")
