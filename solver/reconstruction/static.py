"""The solve of a camera that stands still: a lens and an orientation, from one picture.

The focal length comes from vanishing points, from a given value, or from metadata. What is known of it in two ways is
weighed by the deviations where the two agree; where they do not, the given value stands, or the picture against mere
metadata, and the report says by how much they differ. World axes are x right, y down, z forward, the camera at their
origin: level, and along the scene's own directions where vanishing points show them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import LensUndetermined
from ..footage import Footage
from ..known import KnownValues
from ..lens import BrownConradyLens
from ..metadata import METADATA, metadata_focal
from ..progress import Progress
from ..types import SOLVED, STATIC, WARNINGS, CameraPath, Points, Shot, Solve, SolveReport, Tracks
from ..vanishing.edges import Edges, find_edges
from ..vanishing.estimate import KnownLens, VanishingPoints, at_focal, edge_distortion, vanishing_points
from ..vanishing.gravity import gravity
from ..vanishing.mean_picture import mean_picture
from ..vanishing.world_lines import edges_in_shot

Array = NDArray[np.float64]

_DISAGREE_SIGMAS = 3.0
# beyond these the focal length is reported as uncertain, and as worth nothing
_WARN_FOCAL_SHARE = 0.06
_NO_FOCAL_SHARE = 0.5
_SQUARE_ASSUMED = (
    "The focal length rests on two horizontal directions of lines, which are taken to be at right angles: check that "
    "they are so in the scene."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Focal:
    """A focal length, pixels, and what to say about it; `source` is "lines", "given" or "metadata"."""

    value: float
    sd: float
    source: str
    reasons: tuple[str, ...] = ()


def solve_static(
    footage: Footage,
    shot: Shot,
    known: KnownValues,
    sensor: tuple[float, str],
    tracks: Tracks | None = None,
    progress: Progress | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Solve:
    """Solve a shot whose camera stands still, or a still.

    Parameters
    ----------
    footage : Footage
        At least one frame.
    shot : Shot
        Of the footage, with its metadata.
    known : KnownValues
        Focal length, principal point and distortion are used.
    sensor : (float, str)
        Width of the sensor, mm, and where it is from: "given", "metadata" or "default".
    tracks : Tracks or None
        What was followed, to be kept in the result.
    progress : Progress or None
    seconds : mapping of str to float, or None
        Time of the stages before, for the report.

    Returns
    -------
    Solve
        Of kind STATIC.

    Raises
    ------
    LensUndetermined
        If nothing says what the focal length is; the message says what it takes.
    """
    started = time.perf_counter()
    progress = progress or Progress()
    picture = mean_picture(footage, progress.part(0.0, 0.7))
    edges = find_edges(picture)
    lens = _known_lens(known, shot.size)
    lines, why_not = _from_lines(edges, lens)
    progress(0.9, "Looking for straight lines")
    focal = _focal(lines, why_not, known, shot, sensor)
    model = _lens(lens, lines, edges, focal.value)
    R, rotation_sd, up_sd, direction_reasons = _orientation(picture, lines, model, focal)
    reasons = (*focal.reasons, *direction_reasons, *_pixel_aspect(shot))
    progress(1.0, "Looking for straight lines")
    spent = {**(seconds or {}), "lines": round(time.perf_counter() - started, 3)}
    return _solve(shot, model, focal, R, rotation_sd, up_sd, tracks, sensor, reasons, spent)


def _known_lens(known: KnownValues, size: tuple[int, int]) -> KnownLens:
    k = None
    if any(value is not None for value in known.k):
        k = np.array([0.0 if value is None else value.value for value in known.k])
    lens = KnownLens.centred(size, k)
    if known.principal_point is None:
        return lens
    x, y = known.principal_point
    return KnownLens(
        principal_point=np.array([x.value, y.value]),
        principal_point_sd=max(x.deviation, y.deviation),
        principal_point_free=not (x.locked and y.locked),
        k=k,
    )


def _lens(known: KnownLens, lines: VanishingPoints | None, edges: Edges, focal_px: float) -> BrownConradyLens:
    """The lens: distortion as known, else as the edges tell."""
    k = known.k
    if k is None:
        k = np.array([edge_distortion(edges, known)[0] * focal_px**2, 0.0, 0.0])
    principal_point = known.principal_point if lines is None else lines.lens.principal_point
    return BrownConradyLens(size=edges.size, principal_point=principal_point, k=k)


def _from_lines(edges: Edges, lens: KnownLens) -> tuple[VanishingPoints | None, str]:
    """Vanishing points, or why there are none."""
    try:
        return vanishing_points(edges, lens), ""
    except LensUndetermined as refusal:
        return None, str(refusal)


def _focal(
    lines: VanishingPoints | None, why_not: str, known: KnownValues, shot: Shot, sensor: tuple[float, str]
) -> _Focal:
    """The focal length from all that is known of it."""
    prior, source = known.focal_px, known.source
    if prior is None:
        # a lens that zooms would not be static
        prior = next(iter(known.focal_px_by_frame.values()), None)
    if prior is None:
        prior, source = metadata_focal(shot, sensor, any_sensor=True), METADATA
    if prior is not None and prior.deviation > _NO_FOCAL_SHARE * prior.value:
        prior = None
    by_lines = None
    if lines is not None:
        reasons = (_SQUARE_ASSUMED,) if lines.square_assumed else ()
        by_lines = _Focal(value=lines.focal_px, sd=lines.focal_px_sd, source="lines", reasons=reasons)
    if prior is None and by_lines is None:
        raise LensUndetermined(
            "Of a camera that stands still the focal length must be known, or be told by straight lines or metadata. "
            f"{why_not} Give the focal length."
        )
    if prior is None:
        assert by_lines is not None
        return replace(by_lines, reasons=(*by_lines.reasons, *_uncertain(by_lines)))
    stated = _Focal(value=prior.value, sd=prior.deviation, source="metadata" if source == METADATA else "given")
    if by_lines is not None:
        return _weighed(stated, by_lines)
    if stated.source == "given":
        return replace(stated, reasons=_uncertain(stated))
    assumed = f" and a sensor {sensor[0]:g} mm wide, which is only assumed" if _sensor_assumed(shot, sensor) else ""
    reason = (
        f"The focal length, {stated.value:.0f} px (give or take {stated.sd:.0f}), is that of the metadata{assumed}: "
        "the picture of a camera that stands still does not confirm it."
    )
    return replace(stated, reasons=(reason,))


def _sensor_assumed(shot: Shot, sensor: tuple[float, str]) -> bool:
    return sensor[1] == "default" and "focal_length_35mm" not in shot.metadata


def _weighed(stated: _Focal, lines: _Focal) -> _Focal:
    """Both together where they agree, else the one that is to be believed."""
    difference = abs(stated.value - lines.value)
    sigmas = difference / float(np.hypot(stated.sd, lines.sd))
    if sigmas > _DISAGREE_SIGMAS:
        kept = stated if stated.source == "given" else lines
        name = "given focal length" if kept is stated else "focal length of the metadata"
        used = "given one" if kept is stated else "latter"
        reason = (
            f"The {name}, {stated.value:.0f} px, and that of the picture's vanishing points, {lines.value:.0f} px, "
            f"differ by {100 * difference / stated.value:.0f} % ({sigmas:.1f} standard deviations): the {used} was "
            "used. Check the sensor's width and whether the footage is cropped."
        )
        return replace(kept, reasons=(reason, *kept.reasons, *_uncertain(kept)))
    if stated.sd == 0:
        return stated
    weights = np.array([stated.sd, lines.sd]) ** -2
    value = float((weights * [stated.value, lines.value]).sum() / weights.sum())
    both = _Focal(value=value, sd=float(weights.sum() ** -0.5), source="lines")
    return replace(both, reasons=_uncertain(both))


def _uncertain(focal: _Focal) -> tuple[str, ...]:
    if focal.sd <= _WARN_FOCAL_SHARE * focal.value:
        return ()
    return (f"The focal length is uncertain by {100 * focal.sd / focal.value:.0f} %.",)


def _orientation(
    picture: NDArray[np.float32],
    lines: VanishingPoints | None,
    lens: BrownConradyLens,
    focal: _Focal,
) -> tuple[Array, Array, float | None, tuple[str, ...]]:
    """R_cam_from_world, its deviations (3,), that of the vertical (None without one), and what to say of them."""
    if lines is not None and abs(focal.value - lines.focal_px) < _DISAGREE_SIGMAS * lines.focal_px_sd:
        lines = at_focal(lines, focal.value, focal.sd)
        if lines.upright:
            return lines.R_cam_from_axes, lines.rotation_sd, lines.up_sd, ()
    found = gravity([edges_in_shot(picture)], np.eye(3)[None], np.array([focal.value]), lens)
    if found is None:
        reason = "The picture shows no vertical or horizontal lines: the camera is set level, as it need not be."
        return np.eye(3), np.full(3, np.pi / 6), None, (reason,)
    down = -found.up_world
    forward = np.array([0.0, 0.0, 1.0]) - down[2] * down
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(down, forward), down, forward], axis=1), np.full(3, found.sd), found.sd, ()


def _pixel_aspect(shot: Shot) -> tuple[str, ...]:
    if abs(shot.pixel_aspect - 1) <= 1e-3:
        return ()
    reason = (
        f"The pixels are not square ({shot.pixel_aspect:g} to 1) but were solved as if they were: squeeze or stretch "
        "the footage to square pixels first."
    )
    return (reason,)


def _solve(
    shot: Shot,
    lens: BrownConradyLens,
    focal: _Focal,
    R: Array,
    rotation_sd: Array,
    up_sd: float | None,
    tracks: Tracks | None,
    sensor: tuple[float, str],
    reasons: tuple[str, ...],
    seconds: dict[str, float],
) -> Solve:
    n = len(shot.frame_numbers)
    if tracks is None:
        none = np.zeros(0, np.int64)
        tracks = Tracks(track=none, frame=none, xy=np.zeros((0, 2)), covariance=np.zeros((0, 2, 2)), n_frames=n)
    quality = max(0.0, 1.0 - focal.sd / focal.value / _NO_FOCAL_SHARE)
    return Solve(
        shot=shot,
        kind=STATIC,
        lens=lens,
        path=CameraPath(
            R_cam_from_world=np.tile(R, (n, 1, 1)),
            t_cam_from_world=np.zeros((n, 3)),
            focal_px=np.full(n, focal.value),
            focal_px_sd=np.full(n, focal.sd),
            distortion=np.tile(lens.k, (n, 1)),
            rotation_sd=np.tile(rotation_sd, (n, 1)),
            position_sd=np.zeros((n, 3)),
            solved=np.ones(n, dtype=bool),
        ),
        points=Points(xyz_world=np.zeros((0, 3)), track=np.zeros(0, np.int64), error_px=np.zeros(0)),
        tracks=tracks,
        inlier=np.zeros(len(tracks.track), dtype=bool),
        sensor_width_mm=sensor[0],
        sensor_width_source=sensor[1],
        scale_source="none",
        up_world=None if up_sd is None else np.array([0.0, -1.0, 0.0]),
        up_sd=up_sd or 0.0,
        report=SolveReport(
            status=WARNINGS if reasons else SOLVED,
            reasons=reasons,
            rms_px=0.0,
            quality=np.full(n, quality),
            n_tracks=0,
            n_observations=0,
            iterations=0,
            seconds=seconds,
            lens_sd={"focal_px": focal.sd},
        ),
    )
