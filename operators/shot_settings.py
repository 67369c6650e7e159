"""What an artist says about a shot before it is solved, and what that means to the solver.

The command line, its YAML files and the panel all end in a `ShotSettings`. It is in the artist's units (millimetres,
files); `known_values` turns it into the solver's once the footage is open, since pixels depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..solver.conventions import DEFAULT_SENSOR_WIDTH_MM
from ..solver.earlier import known_lens, known_poses, read_solved
from ..solver.errors import InputError
from ..solver.known import Known, KnownValues

if TYPE_CHECKING:
    from ..solver.footage import Footage

Outlines = Mapping[int, Sequence[NDArray[np.float64]]]
"""By frame number: closed outlines (K, 2) in shares of the picture's width and height from its top left corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matte:
    """Which areas of the picture the solve leaves out.

    One of the three sources is given.

    Attributes
    ----------
    path : Path or None
        Pictures or a video of the footage's length; its white areas are left out.
    alpha : bool
        The footage's own alpha; its transparent areas are left out.
    outlines : Outlines or None
        Their insides are left out.
    invert : bool
        Leave out the other areas instead.
    """

    path: Path | None = None
    alpha: bool = False
    outlines: Outlines | None = None
    invert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotSettings:
    """What is said about a shot.

    Attributes
    ----------
    sensor_width_mm : float or None
    focal_mm, focal_px : Known or None
        Of every frame; one of the two at most.
    distortion : tuple of float or None
        k1, k2 and perhaps k3, locked; the coefficients after them are 0.
    lens_file : Path or None
        Record of a solved shot whose lens is taken over: distortion, principal point, sensor.
    poses_file : Path or None
        Record of a solved shot whose poses are taken over.
    readout : Known or None
        Of a rolling shutter, in frames; None lets the solver find out.
    matte : Matte or None
    frames : (int, int) or None
        Numbers of the first and the last frame to solve.
    """

    sensor_width_mm: float | None = None
    focal_mm: Known | None = None
    focal_px: Known | None = None
    distortion: tuple[float, ...] | None = None
    lens_file: Path | None = None
    poses_file: Path | None = None
    readout: Known | None = None
    matte: Matte | None = None
    frames: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.focal_mm is not None and self.focal_px is not None:
            raise ValueError("the focal length is given in millimetres and in pixels: give one of them")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders that the settings name."""
        matte = self.matte.path if self.matte else None
        return tuple(path for path in (self.lens_file, self.poses_file, matte) if path is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The settings in the solver's units.

    Attributes
    ----------
    known : KnownValues
    sensor_width_mm : float or None
        None leaves it to the footage.
    notes : tuple of str
        What was assumed, one sentence each.
    """

    known: KnownValues
    sensor_width_mm: float | None
    notes: tuple[str, ...] = ()


def told(settings: ShotSettings, footage: Footage) -> Told:
    """What the settings mean for this footage.

    Raises
    ------
    InputError
        If a file that they name cannot be used for it.
    """
    k: tuple[Known | None, Known | None, Known | None] = (None, None, None)
    principal_point, sensor, notes = None, settings.sensor_width_mm, []
    if settings.lens_file is not None:
        lens = known_lens(read_solved(settings.lens_file), footage.size, str(settings.lens_file))
        k, principal_point = lens.k, lens.principal_point
        sensor = sensor or lens.sensor_width_mm
    if settings.distortion is not None:
        values = (*settings.distortion, 0.0, 0.0)[:3]
        k = (_locked(values[0]), _locked(values[1]), _locked(values[2]))
    focal = settings.focal_px
    if settings.focal_mm is not None:
        width_mm = sensor or _sensor_of(footage)
        if width_mm is None:
            width_mm = DEFAULT_SENSOR_WIDTH_MM
            notes.append(
                f"The focal length of {settings.focal_mm.value:g} mm was taken as one on a sensor {width_mm:g} mm wide,"
                " since nothing says how wide it is."
            )
        scale = footage.size[0] / width_mm
        focal = Known(value=scale * settings.focal_mm.value, deviation=scale * settings.focal_mm.deviation)
    known = KnownValues(
        focal_px=focal,
        principal_point=principal_point,
        k=k,
        readout=settings.readout,
        poses=_poses(settings.poses_file, footage) if settings.poses_file is not None else {},
    )
    return Told(known=known, sensor_width_mm=sensor, notes=tuple(notes))


def _locked(value: float) -> Known:
    return Known(value=value, deviation=0.0)


def _sensor_of(footage: Footage) -> float | None:
    width = footage.metadata.get("sensor_width_mm")
    return float(width) if isinstance(width, (int, float)) and width > 0 else None


def _poses(path: Path, footage: Footage) -> dict[int, Any]:
    poses = known_poses(read_solved(path), str(path))
    existing = {int(number) for number in footage.frame_numbers}
    common = {frame: pose for frame, pose in poses.items() if frame in existing}
    if not common:
        raise InputError(
            f"{path} has poses of frames {min(poses)} to {max(poses)}, the footage has frames {min(existing)} to "
            f"{max(existing)}: their numbers must agree."
        )
    return common
