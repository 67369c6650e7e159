"""Whether a camera that was found to move shows any parallax, and what a parallax that goes unseen does to the lens.

A camera on a tripod turns about a point a few centimetres off its entrance pupil, somebody who holds one still sways.
Where the scene is far that shows no parallax, and a camera that only turns explains the tracks; but the picture moves
by f (angle + shift / distance), so that a shift in step with the turn passes for a longer or shorter lens. A parallax
of less than a few times the tracks' error is not seen. It may be that share of the picture's movement, and the focal
length of a camera that is taken to turn only is no better known than that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.residuals import Array
from .knowledge import focal_known
from .model import Model

# parallax below both of these shows nothing: degrees, and in RMS errors of the points
_LEAST_ANGLE_DEG = 0.4
_LEAST_ERRORS = 4.0
# but a few things near by may show it before hills that do not: the share of the tracks, percent, and by how many
# errors they must stand out. A camera that only turns and is taken to move shows less than four there
_NEAR_BY = 10
_NEAR_ERRORS = 10.0
# of the tracks, by how far the picture moved under them, percent: those that last
_LASTING = 75
# the share of the points that noise may put beyond infinity
_STRAY = 0.1
# how far a tripod's axis is from the entrance pupil, over how far the scene is: a few centimetres to ten metres
_PIVOT_SHARE = 0.003


def parallax_deg(model: Model) -> float:
    """Median angle in the world between the first and the last ray to a point, degrees."""
    return float(np.degrees(np.median(_angles(model))))


def parallax_px(model: Model) -> float:
    """`parallax_deg` as so many pixels in the middle of the picture."""
    return float(np.radians(parallax_deg(model))) * float(np.median(model.state.focal_px[model.posed]))


def shows_parallax(model: Model) -> bool:
    """Whether a camera that was found to move shows it.

    Points that may lie anywhere in depth let a moving camera explain noise, and so find a little parallax in anything.
    """
    return parallax_deg(model) >= _LEAST_ANGLE_DEG or parallax_px(model) >= _LEAST_ERRORS * _rms_px(model)


def shows_things_near_by(model: Model) -> bool:
    """Whether some of what a moving camera sees is so near that it must move, be the rest as far as it may."""
    near = float(np.percentile(_angles(model), 100 - _NEAR_BY))
    return near * float(np.median(model.state.focal_px[model.posed])) >= _NEAR_ERRORS * _rms_px(model)


def _angles(model: Model) -> Array:
    """Angles in the world between the first and the last ray to each point, radians."""
    first, last = _first_and_last(model)
    tracks, R = model.tracks, model.state.R
    return _angle(
        np.einsum("fji,fj->fi", R[tracks.frame[first]], _rays(model, first)),
        np.einsum("fji,fj->fi", R[tracks.frame[last]], _rays(model, last)),
    )


def in_front(model: Model) -> bool:
    """Whether most points lie before the camera, as they must, and not behind it, beyond infinity.

    Seen by a long lens, a scene turned inside out makes nearly the same picture: what was near is far, and turns the
    other way round.
    """
    return model.nodal or float((model.state.X[model.placed, 3] > 0).mean()) > 0.5


def brought_in_front(model: Model) -> Model:
    """The same pictures with nearly all points before the camera that were behind it; a mixture stays as it is.

    With q = R d + rho t of a point (d, rho), another sign of both rho and t changes no picture: a pair of frames whose
    lens is still wrong may begin with the wrong one, and what grows from it fits as well.
    """
    if model.nodal or model.located or (model.state.X[model.placed, 3] > 0).mean() > _STRAY:
        return model
    state = model.state
    velocity = state.velocity.copy()
    velocity[:, 3:6] *= -1
    return replace(model, state=replace(state, X=state.X * [1.0, 1.0, 1.0, -1.0], t=-state.t, velocity=velocity))


def unseen_focal_share(model: Model) -> float:
    """Standard deviation of a turning camera's log focal length for what it may have moved without showing it.

    That is the parallax that would just be seen, over how far the picture moved under the tracks that last. It grows
    with the movement, so that those tell best. Points that are all equally far show none at any rate: their distance,
    and the place of the pupil, set the least. What is known of the focal length bounds both; where known poses say that
    the camera stays in its place, that is believed.
    """
    if len(model.known.poses) > 1:
        return 0.0
    first, last = _first_and_last(model)
    moved = float(np.percentile(_angle(_rays(model, first), _rays(model, last)), _LASTING))
    moved_px = moved * float(np.median(model.state.focal_px[model.posed]))
    error, _ = model.errors_px(model.rows(model.posed))
    # of each coordinate, if the errors were normal: the wild ones say nothing of parallax
    typical_px = float(np.median(error)) / (2 * np.log(2)) ** 0.5
    share = float(np.hypot(_LEAST_ERRORS * typical_px / max(moved_px, 1e-9), _PIVOT_SHARE))
    if not focal_known(model.known):
        return share
    known = (model.known.focal_px, *model.known.focal_px_by_frame.values())
    deviations = np.array([one.deviation / one.value for one in known if one is not None])
    if not deviations.all():
        return 0.0
    return float((share**-2 + (deviations**-2).sum()) ** -0.5)


def _rms_px(model: Model) -> float:
    error, _ = model.errors_px(model.rows(model.posed))
    return float(np.sqrt((error**2).mean()))


def _first_and_last(model: Model) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows of each track's first and last fitting observation."""
    rows = np.flatnonzero(model.rows(model.posed))
    changes = np.diff(model.tracks.track[rows]) != 0
    return rows[np.append(True, changes)], rows[np.append(changes, True)]


def _rays(model: Model, rows: NDArray[np.intp]) -> Array:
    """Directions (n, 3) in the camera, of length 1."""
    ray = np.concatenate([model.rays(rows), np.ones((len(rows), 1))], axis=1)
    return np.asarray(ray / np.linalg.norm(ray, axis=1, keepdims=True))


def _angle(a: Array, b: Array) -> Array:
    """Between directions (n, 3) of length 1, radians (n,)."""
    return np.asarray(2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=1) / 2, 0, 1)))
