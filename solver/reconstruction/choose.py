"""What kind of camera the shot has: every kind that the tracks allow is tried, and evidence decides.

A moving camera explains everything that a turning one does, and a zooming lens everything that a constant one does, so
the freer one must earn its freedom: its cost has to fall by more than twice the number of unknowns that it adds, as in
Torr, Geometric motion segmentation and model selection (1998).

Most shots are solved at once, as a camera that moves and has one focal length. Where that fails or leaves doubts, the
other kinds are tried from many starts, on a part of the tracks, and the best of them is finished.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bundle.covariance import Deviations
from ..errors import DegenerateMotion, SolverError
from ..geometry.two_view import FrameIndex
from ..known import KnownValues
from ..progress import Progress
from ..types import NODAL, Tracks
from .explore import Sketch, filled_in, flattened, sketched
from .finish import Finished, finish, finishing_options, frame_deviations, reweighted
from .from_poses import seeded_by_poses
from .grow import grow
from .knowledge import knowing, located, may_zoom, must_zoom, told_to_move
from .misfit import mean_misfit, misfit, plain_noise, unknowns
from .model import Model, new_model, whitening_of
from .moving import find_motion, leave_out, still_only, take_back
from .profile import profiled
from .seed import seed

# added to each observation while the lens is rough: what distortion not yet known does to a patch's neighbours
_EARLY_DEVIATION_PX = 0.2
# the parallax, as a share of the picture's larger side, below which the tracks may be those of a camera that only turns
_NODAL_PARALLAX = 0.006
# how many times its deviation, for each unknown, a zoom must reach, and how much it must change the focal length
_ZOOM_SIGMAS = 3.5
_ZOOM_LEAST = 0.002
# the same, for a look at it
_DOUBT_SIGMAS = 2.6
# a focal length that is less certain than this may be that of another valley; than the second, of another kind of lens
_DOUBTFUL = 0.02
_UNCERTAIN = 0.05
# a principal point so far from the middle, as a share of the picture's sides, is that of a crop or of a wrong solve
_OFF_CENTRE = 0.06
# below this share of fitting observations what was solved may be what moves in front of the scene, or nothing at all;
# above it, what moves by itself is left out only where the mean cost of the rest falls so far; few moving tracks do not
# matter
_WELL_KEPT = 0.9
_FITS_PX = 4.0
_MOVERS_GAIN = 0.85
_MOVING_SHARE = 0.03
# focal length over the picture's larger side: from 120 degrees to 3
_POSSIBLE_FOCAL = (0.28, 20.0)
# beyond 7 degrees a first attempt is not worth finishing: it is far more often a zoom taken for a long lens
_USUAL_FOCAL = (0.28, 8.0)
# a change of the focal length is tried from a solve that holds it where one of its forms is so many deviations away
# from none, and so large; what comes out must change more, in all and in its deviations
_HINT_SIGMAS = 3.5
_HINT_LEAST = 0.01
_TOLD_LEAST = 0.02
_TOLD_SIGMAS = 3.0
# gain in cost for each unknown that a freer camera adds
_GAIN = 2.0
# iterations of one adjustment of a first attempt: more do not settle it
_FIRST_ITERATIONS = 30


def reconstruct(
    tracks: Tracks,
    size: tuple[int, int],
    times: np.ndarray,
    progress: Progress,
    known: KnownValues | None = None,
    kind: str | None = None,
) -> Finished:
    """Lens, cameras and points of the kind of shot that the tracks show.

    Parameters
    ----------
    tracks : Tracks
    size : (int, int)
    times : ndarray of shape (F,)
        Of the frames, in frames.
    progress : Progress
    known : KnownValues or None
    kind : str or None
        MOVING or NODAL where it is known.

    Raises
    ------
    SolverError
        If no kind of camera explains the tracks.
    """
    index = FrameIndex(tracks)
    model = replace(
        new_model(tracks, _early_whitening(tracks), size, float(max(size))), times=np.asarray(times, dtype=np.float64)
    )
    model = knowing(model, known or KnownValues())
    first: Finished | None = None
    kept, possible = 0.0, True
    failures: list[SolverError] = []
    try:
        plain = replace(model, nodal=kind == NODAL, zooms=must_zoom(model))
        # the seed's own weights are those of the first frames only
        start = replace(seeded_by_poses(plain) or seed(plain, index), whitening=model.whitening)
        grown = located(grow(start, progress.part(0.05, 0.3)))
        kept, possible = _kept(grown), _possible(grown, _USUAL_FOCAL)
        if kind is not None or possible:
            first = finish(grown, progress.part(0.3, 0.45), _FIRST_ITERATIONS)
            first = _let_zoom(first, progress.part(0.45, 0.5)) if kind is None else first
            possible = _possible(first.model)
    except SolverError as failure:
        failures.append(failure)
    if kind is not None and first is None:
        raise failures[0]
    if first is None or (kind is None and _doubtful(first)):
        second = _SecondLook(model, index, kept, possible, progress.part(0.5, 1.0), failures)
        first = second.best(first if possible else None)
    first = profiled(first, progress.part(0.9, 1.0))
    progress(1.0, "Adjusting all frames")
    return first


class _SecondLook:
    """Other kinds of cameras, from many starts, and why some of them failed."""

    def __init__(
        self,
        model: Model,
        index: FrameIndex,
        kept: float,
        possible: bool,
        progress: Progress,
        failures: list[SolverError],
    ) -> None:
        self.model, self.index = model, index
        self.kept, self.possible = kept, possible
        self.progress = progress
        self.failures = failures
        self.reasons: tuple[str, ...] = ()

    def best(self, first: Finished | None) -> Finished:
        """The best camera of all kinds, the first attempt among them."""
        sketch = self._chosen()
        found = None
        if sketch is not None:
            try:
                model = take_back(filled_in(self.model, sketch))
                found = finish(located(model), self.progress.part(0.6, 0.9))
                found = _let_zoom(found, self.progress.part(0.9, 1.0))
                if not _possible(found.model):
                    raise DegenerateMotion(
                        "No lens that exists explains how the picture moves: too much of it moves by itself, or the "
                        "camera hardly moves. Use a shot in which the camera moves through a still scene."
                    )
            except SolverError as failure:
                self.failures.append(failure)
                found = None
        best = _better(first, found)
        if best is None:
            # the plainest camera that failed says it best
            degenerate = [failure for failure in self.failures if isinstance(failure, DegenerateMotion)]
            raise degenerate[-1] if degenerate else self.failures[0]
        return replace(best, reasons=self.reasons)

    def _chosen(self) -> Sketch | None:
        """The sketch of the kind of camera that evidence chooses."""
        if not self.possible and self.kept > _WELL_KEPT and may_zoom(self.model) and not must_zoom(self.model):
            # tracks that fit, but no lens that exists: most likely it zooms, and if not, one focal length will do too
            zooming = self._sketch(0.0, nodal=False, zooms=True)
            if zooming is not None:
                return _plainer(flattened(zooming), zooming)
        zooms = must_zoom(self.model)
        sketch = self._sketch(0.0, nodal=False, zooms=zooms)
        crashing = None
        if not zooms and may_zoom(self.model) and self.kept < _WELL_KEPT:
            # a zoom of a few frames breaks as many tracks as somebody who walks through
            crashing = self._sketch(0.1, nodal=False, zooms=True)
        if crashing is not None and _kept(crashing.model) > _WELL_KEPT:
            sketch = _plainer(sketch, crashing)
        else:
            sketch = self._without_movers(sketch)
        if sketch is None:
            # without parallax: a camera that turns, one that zooms besides, or one that moves before a plane
            turning = self._sketch(0.2, nodal=True, zooms=zooms)
            if not zooms and may_zoom(self.model) and (turning is None or _sketch_may_zoom(turning)):
                turning = _plainer(turning, self._sketch(0.25, nodal=True, zooms=True))
            sketch = _plainer(turning, self._sketch(0.3, nodal=False, zooms=zooms, flat=True))
        elif _may_be_nodal(sketch.model):
            sketch = _plainer(self._sketch(0.2, nodal=True, zooms=zooms), sketch)
        if sketch is not None and sketch.model.zooms:
            zooms = True
        if not zooms and may_zoom(self.model) and (sketch is None or _sketch_may_zoom(sketch)):
            nodal = sketch is not None and sketch.model.nodal
            zooming = self._sketch(0.3, nodal=nodal, zooms=True)
            if zooming is None and sketch is None:
                zooming = self._sketch(0.4, nodal=True, zooms=True)
            if zooming is not None:
                sketch = _plainer(_plainer(sketch, flattened(zooming)), zooming)
        return sketch

    def _without_movers(self, sketch: Sketch | None) -> Sketch | None:
        """The sketch, or one without what moves by itself where that fits the rest much better."""
        motion = find_motion(self.model.tracks, self.model.size)
        if motion.moving_share < _MOVING_SHARE:
            return sketch
        whole = self.model, self.index
        self.model = leave_out(self.model, motion.still)
        self.index = FrameIndex(still_only(self.model.tracks, motion.still))
        without = self._sketch(0.1, nodal=False, zooms=must_zoom(self.model))
        if self.kept > _WELL_KEPT and sketch is not None and without is not None:
            scale = min(plain_noise(sketch.model), plain_noise(without.model))
            mean = [mean_misfit(one.model, scale) for one in (sketch, without)]
            if mean[1] > _MOVERS_GAIN * mean[0]:
                self.model, self.index = whole
                return sketch
        if without is None and sketch is not None:
            self.model, self.index = whole
            return sketch
        self.reasons = motion.reasons
        return without

    def _sketch(self, begun: float, *, nodal: bool, zooms: bool, flat: bool = False) -> Sketch | None:
        model = replace(self.model, nodal=nodal, zooms=zooms)
        try:
            return sketched(model, self.index, self.progress.part(begun, begun + 0.2), flat)
        except SolverError as failure:
            self.failures.append(failure)
            return None


def _let_zoom(found: Finished, progress: Progress) -> Finished:
    """What comes out when a camera with one focal length is let zoom, where the data hint at it and tell it then.

    A dolly zoom passes for a camera that hardly moves: from there the way to the zoom leads downhill, and is found more
    surely than from nothing.
    """
    model = found.model
    if not found.converged or model.nodal or model.zooms or not may_zoom(model) or not _possible(model):
        return found
    sd = found.deviations[1]
    hint = np.abs(sd.probe_step) / np.sqrt(np.diag(sd.probe_covariance))
    if hint.max() < _HINT_SIGMAS or np.sqrt((sd.probe_step**2).sum()) < _HINT_LEAST:
        return found
    try:
        zooming = finish(replace(model, zooms=True), progress)
    except SolverError:
        return found
    frames, sd = zooming.deviations
    change = float(np.ptp(zooming.model.state.zoom[frames]))
    told = change > max(_TOLD_LEAST, _TOLD_SIGMAS * float(np.median(sd.log_focal)))
    return zooming if told and _better(found, zooming) is zooming else found


def _possible(model: Model, bounds: tuple[float, float] = _POSSIBLE_FOCAL) -> bool:
    """Whether there are such lenses."""
    share = model.state.focal_px[model.posed] / max(model.size)
    return bool(bounds[0] < share.min() and share.max() < bounds[1])


def _early_whitening(tracks: Tracks) -> np.ndarray:
    return whitening_of(tracks.covariance + _EARLY_DEVIATION_PX**2 * np.eye(2))


def _doubtful(found: Finished) -> bool:
    """Whether another start or another kind of camera may explain the tracks better."""
    if not found.converged or not _possible(found.model) or _may_be_nodal(found.model):
        return True
    model = found.model
    off_centre = np.abs(model.lens.principal_point / np.array(model.size) - 0.5).max()
    if (off_centre > _OFF_CENTRE and model.known.principal_point is None) or _kept(found.model) < _WELL_KEPT:
        return True
    probe = may_zoom(model) and not model.zooms
    sd = found.deviations[1]
    # where the focal length is known it is in the right valley
    uncertain = float(np.median(sd.log_focal)) > _DOUBTFUL and model.known.focal_px is None
    return uncertain or (probe and _asks_for_zoom(sd))


def _may_be_nodal(model: Model) -> bool:
    parallax_px = np.radians(parallax_deg(model)) * float(np.median(model.state.focal_px[model.posed]))
    return bool(not told_to_move(model) and parallax_px < _NODAL_PARALLAX * max(model.size))


def _kept(model: Model) -> float:
    """Share of the observations in posed frames that fit."""
    rows = model.rows(model.posed)
    near = model.errors_px(rows)[0] < _FITS_PX
    return float(near.sum() / max(int(model.posed[model.tracks.frame].sum()), 1))


def _sketch_may_zoom(sketch: Sketch) -> bool:
    """Whether the data ask for a focal length that changes, or do not tell a constant one."""
    model = reweighted(sketch.model, by_track=False)
    _, sd = frame_deviations(model, model.posed, finishing_options(model), probe_zoom=True)
    return float(np.median(sd.log_focal)) > _UNCERTAIN or _asks_for_zoom(sd)


def _asks_for_zoom(sd: Deviations, sigmas: float = _ZOOM_SIGMAS) -> bool:
    return zoom_evidence(sd) > sigmas and float(np.sqrt((sd.probe_step**2).sum())) > _ZOOM_LEAST


def zoom_evidence(sd: Deviations) -> float:
    """How many deviations, for each unknown, the zoom that the data ask for is away from none."""
    chi2 = float(sd.probe_step @ np.linalg.solve(sd.probe_covariance, sd.probe_step))
    return float(np.sqrt(max(chi2, 0.0) / len(sd.probe_step)))


def _plainer(plain: Sketch | None, free: Sketch | None) -> Sketch | None:
    """The plainer of two sketches unless the freer one explains enough more."""
    if plain is None or free is None:
        return plain or free
    return free if _gain(plain.model, free.model) > _GAIN * (unknowns(free.model) - unknowns(plain.model)) else plain


def _better(first: Finished | None, second: Finished | None) -> Finished | None:
    """The better explanation of the tracks that the second counts as still, the first unless the second is more so."""
    if first is None or second is None:
        return first or second
    plain = replace(first.model, still=second.model.still)
    return second if _gain(plain, second.model) > _GAIN * (unknowns(second.model) - unknowns(plain)) else first


def _gain(plain: Model, free: Model) -> float:
    scale = min(plain_noise(plain), plain_noise(free))
    return misfit(plain, scale) - misfit(free, scale)


def parallax_deg(model: Model) -> float:
    """Median angle between the first and the last ray to a point, degrees."""
    tracks = model.tracks
    rows = np.flatnonzero(model.rows(model.posed))
    first = rows[np.append(True, np.diff(tracks.track[rows]) != 0)]
    last = rows[np.append(np.diff(tracks.track[rows]) != 0, True)]
    rays = []
    for row in (first, last):
        ray = np.concatenate([model.rays(row), np.ones((len(row), 1))], axis=1)
        ray = np.einsum("fji,fj->fi", model.state.R[tracks.frame[row]], ray)
        rays.append(ray / np.linalg.norm(ray, axis=1, keepdims=True))
    return float(np.degrees(np.median(2 * np.arcsin(np.clip(np.linalg.norm(rays[0] - rays[1], axis=1) / 2, 0, 1)))))
