"""What is known of a shot before it is solved: values with a standard deviation, or locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A value and its standard deviation; a deviation of 0 locks it.

    Raises
    ------
    ValueError
        If the value is not finite or the deviation is not a number from 0 up.
    """

    value: float
    deviation: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.value) or not 0 <= self.deviation < np.inf:
            raise ValueError(f"a known value needs a finite value and deviation, found {self.value}, {self.deviation}")

    @property
    def locked(self) -> bool:
        """Whether the solve must keep the value."""
        return self.deviation == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPose:
    """The pose of one frame.

    Attributes
    ----------
    R_cam_from_world : ndarray of shape (3, 3), t_cam_from_world : ndarray of shape (3,)
        In the axes of `conventions`; the solve takes over the world and the unit of the known poses.
    rotation_deviation : float
        Radians; 0 with a position deviation of 0 locks the pose.
    position_deviation : float
        Scene units.
    """

    R_cam_from_world: NDArray[np.float64]
    t_cam_from_world: NDArray[np.float64]
    rotation_deviation: float
    position_deviation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownValues:
    """Everything that may be known.

    Attributes
    ----------
    focal_px : Known or None
        Of every frame: a locked one also says that the lens does not zoom.
    focal_px_by_frame : mapping of int to Known
        By frame number, for a lens that zooms.
    principal_point : (Known, Known) or None
        Pixels, origin at the top left corner of the picture.
    k : (Known or None, Known or None, Known or None)
        k1, k2, k3 of `BrownConradyLens`.
    readout : Known or None
        Of a rolling shutter, in frames.
    poses : mapping of int to KnownPose
        By frame number.
    source : str
        Where the values come from, for the report: "given", "metadata" ...
    """

    focal_px: Known | None = None
    focal_px_by_frame: Mapping[int, Known] = field(default_factory=dict)
    principal_point: tuple[Known, Known] | None = None
    k: tuple[Known | None, Known | None, Known | None] = (None, None, None)
    readout: Known | None = None
    poses: Mapping[int, KnownPose] = field(default_factory=dict)
    source: str = "given"
