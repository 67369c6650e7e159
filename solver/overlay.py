"""The overlay: a sheet of frames on which the eye can check a solve.

Each tile shows a frame with what was tracked and what the solved camera makes of it: the tail of each track, the
solved point reprojected (its colour is its error), the residual magnified, the observations that the solve rejected,
and the horizon where the solve knows up. A good solve shows points that sit on things, and residuals that point
everywhere. A static camera has no points: its tracks are shown as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .lens import BrownConradyLens
from .reconstruction.shutter import velocities
from .result import camera_kind, equivalent_35mm, millimetres, whole_file
from .types import STATIC, Solve

RESIDUAL_GAIN = 10

_TILES = 6
_COLUMNS = 3
_SHEET_WIDTH = 1920
_GAP = 8
_TAIL_FRAMES = 10
_MOST_POINTS = 350  # drawn in a tile: more than these hide the picture
_ERROR_SCALE_PX = 1.0  # error at the red end of the scale
_SUBPIXEL_BITS = 4
_HORIZON_STEPS = 33

# Blue, green, red, as OpenCV wants them.
_BACKGROUND = (32, 30, 28)
_TEXT = (235, 235, 235)
_MUTED = (165, 160, 155)
_TAIL = (230, 190, 90)
_RESIDUAL = (255, 255, 255)
_REJECTED = (70, 60, 255)
_HORIZON = (210, 120, 240)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LARGE, _SMALL = 0.72, 0.55
_LINE = 24


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
    rows.append(_legend(width, solve))
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
        standing = solve.kind == STATIC
        self.rejected = ~solve.inlier & ~np.bool_(standing)
        self.shown = self.kept | np.bool_(standing)
        self.projected = np.zeros_like(tracks.xy)
        path = solve.path
        velocity = _velocity(solve)
        for frame in np.unique(self.frame[self.kept]):
            rows = np.flatnonzero(self.kept & (self.frame == frame))
            R, t = path.R_cam_from_world[frame], path.t_cam_from_world[frame]
            cam = solve.points.xyz_world[self.point[rows]] @ R.T + t
            front = cam[:, 2] > 0
            self.kept[rows[~front]] = False
            rows, cam = rows[front], cam[front]
            # a rolling shutter exposes each row at a time of its own, while the camera goes on
            late = (solve.readout * (self.xy[rows, 1] / solve.shot.size[1] - 0.5))[:, None]
            turn = np.cross(velocity[frame, :3], cam - t)
            cam += late * (turn + velocity[frame, 3:6]) + 0.5 * late**2 * np.cross(velocity[frame, :3], turn)
            focal = path.focal_px[frame] * np.exp(late[:, 0] * velocity[frame, 6])
            self.projected[rows] = _lens_of(solve, frame).project(cam, focal)

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
        return np.asarray(self.xy[rows][self.shown[rows]])


def _velocity(solve: Solve) -> NDArray[np.float64]:
    """Of each frame (F, 7), as the solve's rolling shutter took it."""
    path, numbers = solve.path, solve.shot.frame_numbers.astype(np.float64)
    velocity = np.zeros((len(path.solved), 7))
    if solve.readout:
        at = np.flatnonzero(path.solved)
        velocity[at] = velocities(
            path.R_cam_from_world[at], path.t_cam_from_world[at], np.log(path.focal_px[at]), numbers[at]
        )
    return velocity


def _lens_of(solve: Solve, frame: int) -> BrownConradyLens:
    return replace(solve.lens, k=solve.path.distortion[frame])


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
    drawn = _choice(observations.track[kept], solve.tracks.n_tracks)
    shown = np.flatnonzero(here & observations.shown)
    for i in shown[_choice(observations.track[shown], solve.tracks.n_tracks)]:
        _polyline(tile, observations.tail(int(i)) * to_tile, _TAIL)
    if solve.up_world is not None:
        _polyline(tile, _horizon(solve, index) * to_tile, _HORIZON)
    for i in rejected:
        _cross(tile, observations.xy[i] * to_tile)
    for i in drawn:
        at = observations.projected[kept[i]] * to_tile
        _polyline(tile, np.stack([at, at + RESIDUAL_GAIN * residuals[i] * to_tile]), _RESIDUAL)
        _ring(tile, at, _error_colour(float(errors[i])))

    caption = (
        f"frame {solve.shot.frame_numbers[index]}"
        f"    {solve.focal_mm[index]:.2f} mm ({solve.path.focal_px[index]:.1f} px)"
    )
    if len(errors):
        rms = float(np.sqrt((errors**2).mean()))
        caption += f"    rms {rms:.2f} px    {len(kept)} points, {len(rejected)} rejected"
    _caption(tile, caption)
    return tile


def _choice(track: NDArray[np.int64], n_tracks: int) -> NDArray[np.int64]:
    """Which of the observations of a frame to draw: the same tracks in every tile, as far as they live."""
    if len(track) <= _MOST_POINTS:
        return np.arange(len(track))
    order = np.random.default_rng(0).permutation(n_tracks)
    return np.argsort(order[track])[:_MOST_POINTS]


def _horizon(solve: Solve, index: int) -> NDArray[np.float64]:
    """The horizon across a frame, pixels, shape (K, 2): where rays at right angles to up meet the picture."""
    width = solve.shot.size[0]
    normal = solve.path.R_cam_from_world[index] @ solve.up_world
    along = np.array([normal[1], -normal[0]])
    if np.linalg.norm(along) < 1e-6:  # the camera looks straight up or down
        return np.empty((0, 2))
    along /= np.linalg.norm(along)
    focal = solve.path.focal_px[index]
    foot = -normal[2] * normal[:2] / (normal[:2] ** 2).sum()
    steps = np.linspace(-1.0, 1.0, _HORIZON_STEPS)[:, None] * width / focal
    straight = foot + steps * along
    cam = np.concatenate([straight, np.ones((len(straight), 1))], axis=1)
    return _lens_of(solve, index).project(cam, focal)


def _header(solve: Solve, width: int) -> NDArray[np.uint8]:
    report, path = solve.report, solve.path
    focal, full_frame = solve.focal_mm, equivalent_35mm(solve)
    first = (
        f"{solve.shot.name}    {camera_kind(solve)}    {millimetres(focal)} on {solve.sensor_width_mm:.2f} mm"
        f" ({solve.sensor_width_source})    {millimetres(full_frame, 1)} on 36 mm"
        f"    k1 {solve.lens.k[0]:+.4f}  k2 {solve.lens.k[1]:+.4f}"
    )
    if report.n_observations:
        first += f"    rms {report.rms_px:.2f} px"
    shutter = f"Rolling shutter {solve.readout:+.2f} frames.  " if solve.readout else ""
    second = (
        f"{report.status}: {int(path.solved.sum())} of {len(path.solved)} frames, {report.n_tracks} tracks,"
        f" {report.n_observations} observations.  {shutter}" + "  ".join(report.reasons)
    )
    lines = _wrapped(_ascii(second), width - 2 * (_GAP + 4))
    band = np.full((50 + _LINE * len(lines), width, 3), _BACKGROUND, dtype=np.uint8)
    large = min(_LARGE, _SMALL * (width - 2 * (_GAP + 4)) / _text_width(_ascii(first)))
    cv2.putText(band, _ascii(first), (_GAP + 4, 30), _FONT, large, _TEXT, 1, cv2.LINE_AA)
    for i, line in enumerate(lines):
        cv2.putText(band, line, (_GAP + 4, 58 + _LINE * i), _FONT, _SMALL, _MUTED, 1, cv2.LINE_AA)
    return band


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of small text that are at most so many pixels wide, words whole."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and _text_width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _SMALL, 1)[0][0])


def _legend(width: int, solve: Solve) -> NDArray[np.uint8]:
    band = np.full((44, width, 3), _BACKGROUND, dtype=np.uint8)
    x, y = _GAP + 8, 22

    def say(text: str) -> None:
        nonlocal x
        cv2.putText(band, text, (x, y + 6), _FONT, _SMALL, _MUTED, 1, cv2.LINE_AA)
        x += _text_width(text) + 32

    _polyline(band, np.array([[x, y + 5.0], [x + 14, y - 2.0], [x + 30, y - 4.0]]), _TAIL)
    x += 42
    say(f"track, last {_TAIL_FRAMES} frames")
    _ring(band, np.array([x + 6.0, y]), _error_colour(0.0))
    x += 20
    say("solved point, reprojected, coloured by error:")
    x -= 24
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
    if solve.up_world is not None:
        _polyline(band, np.array([[x, y + 0.5], [x + 30, y + 0.5]]), _HORIZON)
        x += 42
        say("horizon")
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
