"""What is known of a shot beforehand, as the adjustment takes it: values to start from, priors, and what is held.

A value with a deviation is a prior on a free parameter; a locked one is held. A focal length that is known frame by
frame is a prior on its logarithm; where it is locked in every frame, the curve is held as a whole and the lens counts
as one that does not zoom by itself.

Known poses fix the world: the reconstruction grows in a world of its own, is then moved onto the known poses by the
similarity that fits them best, and is adjusted with them as priors. With the variances a_i of the known places c_i and
b_i of the known turns, the rotation Q and the scale s maximise

    sum_i s / a_i (c_i - c)^T Q (x_i - x) + sum_i 1 / b_i trace(Q^T R_known,i^T R_i)

with s from the spread of the places first (Umeyama, Least-squares estimation of transformation parameters between two
point patterns, 1991, with the turns added). One pose, or several at one place, say nothing of the scale: it stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bundle.adjust import BundleOptions
from ..bundle.priors import PosePrior, ZoomPrior
from ..bundle.residuals import (
    FOCAL,
    K1,
    K2,
    K3,
    LENS_PARAMETERS,
    PRINCIPAL_X,
    PRINCIPAL_Y,
    READOUT,
    Array,
)
from ..known import Known, KnownPose, KnownValues

if TYPE_CHECKING:
    from .model import Model

# how firmly a locked value is held where the adjustment takes a deviation: a share of the focal length of single frames
# of a zoom (with less, the damping of a step would hold the whole curve); radians, and a share of the extent of the
# known places. No picture tells so little
_LOCKED_FOCAL = 1e-4
_LOCKED_TURN = 1e-7
_LOCKED_PLACE = 1e-7
# known places closer together than so many of their deviations are one place
_DISTINCT_SIGMAS = 3.0
# focal lengths known by frame tell a zoom when they differ by so many of their deviations
_ZOOM_SIGMAS = 3.0


def lens_values(known: KnownValues) -> dict[int, Known]:
    """What is known of each of `LENS_PARAMETERS`, by its number."""
    x, y = known.principal_point or (None, None)
    values = {FOCAL: known.focal_px, PRINCIPAL_X: x, PRINCIPAL_Y: y, READOUT: known.readout}
    values |= dict(zip((K1, K2, K3), known.k, strict=True))
    return {i: value for i, value in values.items() if value is not None}


def focal_known(known: KnownValues) -> bool:
    """Whether anything is known of the focal length."""
    return known.focal_px is not None or bool(known.focal_px_by_frame)


def knowing(model: Model, known: KnownValues) -> Model:
    """A model in which nothing is solved, with the known values to start from."""
    lens = model.state.lens.copy()
    for i, value in lens_values(known).items():
        lens[i] = value.value
    zoom = model.state.zoom
    curve = known_curve(known, model.times)
    if curve is not None:
        lens[FOCAL] = np.exp(np.log(curve).mean())
        zoom = np.log(curve / lens[FOCAL])
    elif known.focal_px is None and known.focal_px_by_frame:
        lens[FOCAL] = next(iter(known.focal_px_by_frame.values())).value
    rolling = known.readout is not None and not (known.readout.locked and known.readout.value == 0)
    return replace(model, known=known, rolling=rolling, state=replace(model.state, lens=lens, zoom=zoom))


def known_curve(known: KnownValues, times: Array) -> Array | None:
    """Focal lengths (F,) through those known by frame, or None where fewer than two frames are known."""
    if len(known.focal_px_by_frame) < 2:
        return None
    frames = np.array(sorted(known.focal_px_by_frame))
    values = np.array([known.focal_px_by_frame[int(frame)].value for frame in frames])
    return np.asarray(np.exp(np.interp(times, frames, np.log(values))))


def curve_locked(known: KnownValues, times: Array) -> bool:
    """Whether the focal length of every frame is held."""
    by_frame = known.focal_px_by_frame
    return bool(by_frame) and all((value := by_frame.get(int(time))) and value.locked for time in times)


def may_zoom(model: Model) -> bool:
    """Whether what is known leaves it open that the lens zooms."""
    known = model.known
    return not (known.focal_px is not None and known.focal_px.locked) and not curve_locked(known, model.times)


def must_zoom(model: Model) -> bool:
    """Whether what is known says that the lens zooms, and leaves open how."""
    values = list(model.known.focal_px_by_frame.values())
    if len(values) < 2 or not may_zoom(model):
        return False
    least, most = min(values, key=lambda v: v.value), max(values, key=lambda v: v.value)
    return most.value - least.value > _ZOOM_SIGMAS * float(np.hypot(least.deviation, most.deviation))


def focal_starts(model: Model, tried: Array) -> Array:
    """Of the focal lengths (n,) to try, pixels, those within three deviations of the known one, and that itself."""
    known = model.known.focal_px or next(iter(model.known.focal_px_by_frame.values()), None)
    if known is None:
        return tried
    if known_curve(model.known, model.times) is not None:
        return model.state.lens[FOCAL : FOCAL + 1]
    within = np.abs(tried - known.value) <= 3 * known.deviation
    return np.append(tried[within], known.value)


def start_lens(model: Model, focal_px: float) -> Array:
    """Lens parameters (8,) of a start: this focal length, and distortion and readout as far as they are known."""
    lens = model.state.lens.copy()
    known = lens_values(model.known)
    lens[FOCAL], lens[K1:] = focal_px, 0.0
    for i, value in known.items():
        if i != FOCAL:
            lens[i] = value.value
    return lens


def holding_curve(model: Model) -> Model:
    """The model with the curve that is held, whatever was extrapolated."""
    curve = known_curve(model.known, model.times) if curve_locked(model.known, model.times) else None
    if curve is None:
        return model
    zoom = np.log(curve / model.state.lens[FOCAL])
    return replace(model, state=replace(model.state, zoom=zoom))


def informed(model: Model, frame_ids: NDArray[np.int64], options: BundleOptions) -> BundleOptions:
    """`options` of an adjustment of the frames named, with what is known: what is locked is held, the rest are priors.

    A parameter with a prior of its own is always free.
    """
    priors, free = options.priors, set(options.free_lens)
    mean = np.zeros(len(LENS_PARAMETERS)) if priors.lens_mean is None else priors.lens_mean.copy()
    sd = np.full(len(LENS_PARAMETERS), np.inf) if priors.lens_sd is None else priors.lens_sd.copy()
    for i, value in lens_values(model.known).items():
        if value.locked:
            free.discard(i)
        else:
            free.add(i)
            mean[i], sd[i] = value.value, value.deviation
    if not model.zooms and len(model.known.focal_px_by_frame) == 1:
        # one frame's tells that of all, and nothing of a zoom
        (value,) = model.known.focal_px_by_frame.values()
        mean[FOCAL], sd[FOCAL] = value.value, max(value.deviation, _LOCKED_FOCAL * value.value)
        zoom = None
    else:
        zoom = _zoom_prior(model, frame_ids)
    if zoom is not None:
        # it says all that is known of the focal length
        sd[FOCAL] = np.inf
        zoom = zoom if priors.zoom is None else priors.zoom.joined(zoom)
    if curve_locked(model.known, model.times):
        free.discard(FOCAL)
        zoom = None
    priors = replace(priors, lens_mean=mean, lens_sd=sd, zoom=zoom or priors.zoom, poses=_pose_prior(model, frame_ids))
    return replace(options, free_lens=tuple(sorted(free)), priors=priors)


def _zoom_prior(model: Model, frame_ids: NDArray[np.int64]) -> ZoomPrior | None:
    """What is known of the focal length frame by frame; in a zoom, a known focal length is that of its middle."""
    known, n = model.known, len(frame_ids)
    rows, target = [], []
    if model.zooms and known.focal_px is not None:
        share = known.focal_px.value / max(known.focal_px.deviation, _LOCKED_FOCAL * known.focal_px.value)
        rows.append(np.full(n, share / n))
        target.append(share * np.log(known.focal_px.value))
    for at, frame in enumerate(frame_ids):
        value = known.focal_px_by_frame.get(int(model.times[frame]))
        if value is not None:
            share = value.value / max(value.deviation, _LOCKED_FOCAL * value.value)
            rows.append(share * np.eye(n)[at])
            target.append(share * np.log(value.value))
    return ZoomPrior(rows=np.stack(rows), target=np.array(target)) if rows else None


# Known poses


def _poses(model: Model, frames: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[KnownPose]]:
    """Those of the frames (indices) named whose pose is known: their place in `frames`, and the poses."""
    known = [(at, pose) for at, i in enumerate(frames) if (pose := model.known.poses.get(int(model.times[i])))]
    return np.array([at for at, _ in known], dtype=np.int64), [pose for _, pose in known]


def _known_centres(poses: list[KnownPose]) -> Array:
    return np.stack([-pose.R_cam_from_world.T @ pose.t_cam_from_world for pose in poses])


def distinct(poses: list[KnownPose]) -> bool:
    """Whether poses tell the scale of their world: whether the camera stands in more than one place."""
    if len(poses) < 2:
        return False
    away = _known_centres(poses) - _known_centres(poses)[0]
    extent = float(np.sqrt((away**2).sum(axis=1).max()))
    deviation = float(np.sqrt(np.mean([pose.position_deviation**2 for pose in poses])))
    nearest = float(np.abs(_known_centres(poses)).max())
    return extent > max(_DISTINCT_SIGMAS * deviation, 1e-9 * nearest)


def told_to_move(model: Model) -> bool:
    """Whether known poses say that the camera moves."""
    return distinct(_poses(model, np.arange(len(model.posed)))[1])


def scale_known(model: Model) -> bool:
    """Whether the model stands in the world of known poses that tell its scale."""
    posed = np.flatnonzero(model.posed)
    return model.located and not model.nodal and distinct(_poses(model, posed)[1])


def _deviations(poses: list[KnownPose]) -> tuple[Array, Array]:
    """Deviations of turns and places (K,), those of locked ones tiny instead of zero."""
    centre = _known_centres(poses)
    extent = float(np.sqrt(((centre - centre.mean(axis=0)) ** 2).sum(axis=1).max())) or 1.0
    turn = np.array([pose.rotation_deviation for pose in poses])
    place = np.array([pose.position_deviation for pose in poses])
    return np.maximum(turn, _LOCKED_TURN), np.maximum(place, _LOCKED_PLACE * extent)


def _pose_prior(model: Model, frame_ids: NDArray[np.int64]) -> PosePrior | None:
    """Known poses as priors; None where they only say where the world is, which the adjustment does not move."""
    if not model.located:
        return None
    camera, poses = _poses(model, frame_ids)
    if len(poses) < 2 or not (model.nodal or distinct(poses)):
        return None
    turn, place = _deviations(poses)
    return PosePrior(
        camera=camera,
        R=np.stack([pose.R_cam_from_world for pose in poses]),
        centre=np.zeros((len(poses), 3)) if model.nodal else _known_centres(poses),
        rotation_sd=turn,
        position_sd=np.full(len(poses), np.inf) if model.nodal else place,
    )


def poses_hold(model: Model) -> bool:
    """Whether the model's place, turn and unit are all held by known poses."""
    return _pose_prior(model, np.flatnonzero(model.posed)) is not None and not model.nodal


def located(model: Model) -> Model:
    """The model moved into the world of the known poses; unchanged where no frame with one was posed."""
    posed = np.flatnonzero(model.posed)
    at, poses = _poses(model, posed)
    if model.located or not poses:
        return model
    frames = posed[at]
    R, t = model.state.R[frames], model.state.t[frames]
    turn, place = _deviations(poses)
    turns = np.stack([pose.R_cam_from_world.T for pose in poses]) @ R
    B = np.einsum("kij,k->ij", turns, turn**-2.0 / (turn**-2.0).sum())
    scale, shift = 1.0, np.zeros(3)
    ours, theirs = -np.einsum("kji,kj->ki", R, t), _known_centres(poses)
    weight = place**-2.0 / (place**-2.0).sum()
    a, b = ours - weight @ ours, theirs - weight @ theirs
    with_scale = not model.nodal and distinct(poses)
    if with_scale:
        scale = float(np.sqrt((weight @ (b**2).sum(axis=1)) / (weight @ (a**2).sum(axis=1))))
        B = (turn**-2.0).sum() * B + scale * (place**-2.0).sum() * np.einsum("k,ki,kj->ij", weight, b, a)
    u, _, vt = np.linalg.svd(B)
    Q = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    if with_scale:
        scale = float((weight @ (b * (a @ Q.T)).sum(axis=1)) / (weight @ (a**2).sum(axis=1)))
    if not model.nodal:
        shift = weight @ theirs - scale * Q @ (weight @ ours)
    return replace(_moved(model, Q, scale, shift), located=True)


def _moved(model: Model, Q: Array, scale: float, shift: Array) -> Model:
    """The same scene after x' = scale Q x + shift."""
    state = model.state
    R = state.R @ Q.T
    X = state.X.copy()
    X[:, :3] = scale * state.X[:, :3] @ Q.T + state.X[:, 3:] * shift
    X /= np.sqrt((X**2).sum(axis=1))[:, None]
    velocity = state.velocity.copy()
    velocity[:, 3:6] = scale * velocity[:, 3:6] - np.cross(velocity[:, :3], np.einsum("fij,j->fi", R, shift))
    t = scale * state.t - np.einsum("fij,j->fi", R, shift)
    return replace(model, state=replace(state, R=R, t=t, X=X, velocity=velocity))


def with_locked_poses(model: Model) -> Model:
    """The model with the poses that are locked as they were given: the adjustment leaves a last rounding."""
    R, t, posed = model.state.R.copy(), model.state.t.copy(), model.posed.copy()
    for at, pose in zip(*_poses(model, np.arange(len(posed))), strict=True):
        if pose.rotation_deviation == 0 and pose.position_deviation == 0:
            R[at], t[at], posed[at] = pose.R_cam_from_world, pose.t_cam_from_world, True
    return replace(model, posed=posed, state=replace(model.state, R=R, t=t))
