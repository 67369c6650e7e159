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
from .finish import Finished, finish, finishing_options, frame_deviations
from .from_poses import seeded_by_poses
from .grow import LEAST_POINTS, grow
from .knowledge import knowing, located, may_zoom, must_zoom, told_to_move
from .misfit import earns_its_freedom, mean_misfit, plain_noise, saved_by_plane
from .model import Model, new_model, whitening_of
from .moving import find_motion, leave_out, still_only, take_back
from .parallax import brought_in_front, in_front, parallax_px, unseen_focal_share
from .profile import profiled
from .reported import weighed
from .seed import seed
from .turning import explains_as_well, turning_instead
from .weights import reweighted
from .zooming import zooming_instead

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
# of the frames in which something is seen: a camera of the right kind loses a few
_WELL_POSED = 0.8
# focal length over the picture's larger side: from 120 degrees to 3
_POSSIBLE_FOCAL = (0.28, 20.0)
# beyond 7 degrees a first attempt is not worth finishing: it is far more often a zoom taken for a long lens
_USUAL_FOCAL = (0.28, 8.0)
# how many times as large the residuals of a sketch of a camera that only turns may be to be worth adjusting
_RIVAL_NOISE = 2.5
# the same of one that zooms, in deviations that the tracks claim, to be believed before other kinds are tried
_TOLD_NOISE = 1.7
# or where what else moves together covers so little of what the scene does
_RIVAL_SUPPORT = 0.1
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
            first = finish(grown, progress.part(0.3, 0.4), _FIRST_ITERATIONS)
            if kind is None and _possible(first.model):
                first = zooming_instead(first, progress.part(0.4, 0.45))
                first = turning_instead(first, progress.part(0.45, 0.5), settled=False)
            possible = _possible(first.model) and in_front(first.model)
    except SolverError as failure:
        failures.append(failure)
    if kind is not None and first is None:
        raise failures[0]
    if first is None or (kind is None and _doubtful(first)):
        second = _SecondLook(model, index, kept, possible, progress.part(0.5, 1.0), failures)
        first = second.best(first if possible else None)
    walked = profiled(first, progress.part(0.95, 0.99))
    if kind is None and walked.model is not first.model:
        # at the end of its valley a pan may look like one at last
        walked = turning_instead(walked, progress.part(0.99, 1.0))
    first = weighed(walked)
    if first.model.nodal:
        first = replace(first, least_log_focal_sd=unseen_focal_share(first.model))
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
        # of the tracks that the model counts as still, by (nodal, zooms, flat)
        self.sketches: dict[tuple[bool, bool, bool], Sketch | None] = {}

    def best(self, first: Finished | None) -> Finished:
        """The best camera of all kinds, the first attempt among them."""
        sketch = self._chosen()
        found = None
        if sketch is not None:
            try:
                model = take_back(filled_in(self.model, sketch))
                found = finish(located(model), self.progress.part(0.6, 0.85))
                found = replace(found, model=brought_in_front(found.model))
                found = zooming_instead(found, self.progress.part(0.85, 0.9))
                found = turning_instead(found, self.progress.part(0.9, 0.95))
                if not (_possible(found.model) and in_front(found.model)):
                    raise DegenerateMotion(
                        "No lens that exists explains how the picture moves: too much of it moves by itself, or the "
                        "camera hardly moves. Use a shot in which the camera moves through a still scene."
                    )
            except SolverError as failure:
                self.failures.append(failure)
                found = None
        found = self._or_turning(found)
        best = _better(first, found, sketch is not None and sketch.plane)
        if best is None:
            # the plainest camera that failed says it best
            degenerate = [failure for failure in self.failures if isinstance(failure, DegenerateMotion)]
            raise degenerate[-1] if degenerate else self.failures[0]
        if best is not found:
            best = turning_instead(best, self.progress.part(0.95, 1.0))
        return replace(best, reasons=self.reasons)

    def _or_turning(self, found: Finished | None) -> Finished | None:
        """What was found, or a camera that only turns where moving does not earn its freedom once all is adjusted.

        In a sketch the lens is rough, and a camera that moves makes up for that.
        """
        sketch = _plainer(*(self.sketches.get((True, zooms, False)) for zooms in (False, True)))
        if sketch is None or (found is not None and found.model.nodal):
            return found
        if found is not None and plain_noise(sketch.model) > _RIVAL_NOISE * plain_noise(found.model):
            return found
        try:
            model = take_back(filled_in(self.model, sketch))
            turning = finish(located(model), self.progress.part(0.9, 0.95))
        except SolverError as failure:
            self.failures.append(failure)
            return found
        if not _possible(turning.model) or (found is not None and not explains_as_well(turning, found)):
            return found
        return turning

    def _chosen(self) -> Sketch | None:
        """The sketch of the kind of camera that evidence chooses."""
        if not self.possible and self.kept > _WELL_KEPT and may_zoom(self.model) and not must_zoom(self.model):
            # tracks that fit, but no lens that exists: most likely it zooms, and if not, one focal length will do too
            zooming = self._sketch(0.0, nodal=False, zooms=True)
            # what is told worse than its own noise may be two scenes that move differently
            if zooming is not None and (plain_noise(zooming.model) < _TOLD_NOISE or self._is_one_scene()):
                return _plainer(self._holding(zooming), zooming)
        zooms = must_zoom(self.model)
        sketch = self._sketch(0.0, nodal=False, zooms=zooms)
        crashing = None
        if not zooms and may_zoom(self.model) and self.kept < _WELL_KEPT:
            # a zoom of a few frames breaks as many tracks as somebody who walks through
            crashing = self._sketch(0.1, nodal=False, zooms=True)
            turning = None if told_to_move(self.model) else self._sketch(0.15, nodal=True, zooms=True)
            if turning is not None and _possible(turning.model, _USUAL_FOCAL):
                crashing = _plainer(turning, crashing)
        if crashing is not None and _kept_tracks(crashing.model) > _WELL_KEPT:
            sketch = _plainer(sketch, crashing)
        else:
            sketch = self._without_movers(sketch)
        nonsense = sketch is None or not (_possible(sketch.model) and in_front(sketch.model))
        if nonsense:
            # without parallax: a camera that turns, one that zooms besides, or one that moves before a plane
            turning = self._sketch(0.2, nodal=True, zooms=zooms)
            if not zooms and may_zoom(self.model) and (turning is None or _sketch_may_zoom(turning)):
                turning = _plainer(turning, self._sketch(0.25, nodal=True, zooms=True))
            sketch = _plainer(turning, self._sketch(0.3, nodal=False, zooms=zooms, flat=True))
        elif sketch is not None and not told_to_move(self.model):
            # a moving camera with the wrong lens can make up any parallax
            sketch = _plainer(self._sketch(0.2, nodal=True, zooms=zooms), sketch)
        if sketch is not None and sketch.model.zooms:
            zooms = True
        # one that zooms towards what it leaves turns the scene inside out for a lens that does not zoom
        if not zooms and may_zoom(self.model) and (nonsense or sketch is None or _sketch_may_zoom(sketch)):
            nodal = sketch is not None and sketch.model.nodal
            zooming = self._sketch(0.3, nodal=nodal, zooms=True)
            if not (nodal or told_to_move(self.model)):
                zooming = _plainer(self._sketch(0.4, nodal=True, zooms=True), zooming)
            if zooming is not None:
                sketch = _plainer(_plainer(sketch, self._holding(zooming)), zooming)
        return sketch

    def _holding(self, zooming: Sketch) -> Sketch | None:
        """The same camera with one focal length; None where too little fits that."""
        try:
            return flattened(zooming)
        except SolverError as failure:
            self.failures.append(failure)
            return None

    def _is_one_scene(self) -> bool:
        """Whether no second part of the picture moves as a scene of its own would."""
        try:
            return find_motion(self.model.tracks, self.model.size).rival < _RIVAL_SUPPORT
        except SolverError:
            return False

    def _without_movers(self, sketch: Sketch | None) -> Sketch | None:
        """The sketch, or one without what moves by itself where that fits the rest much better."""
        motion = find_motion(self.model.tracks, self.model.size)
        if motion.moving_share < _MOVING_SHARE:
            return sketch
        whole = self.model, self.index, self.sketches
        self.model = leave_out(self.model, motion.still)
        self.index, self.sketches = FrameIndex(still_only(self.model.tracks, motion.still)), {}
        without = self._sketch(0.1, nodal=False, zooms=must_zoom(self.model))
        if self.kept > _WELL_KEPT and sketch is not None and without is not None:
            scale = min(plain_noise(sketch.model), plain_noise(without.model))
            mean = [mean_misfit(one.model, scale) for one in (sketch, without)]
            if mean[1] > _MOVERS_GAIN * mean[0]:
                self.model, self.index, self.sketches = whole
                return sketch
        if without is None and sketch is not None:
            self.model, self.index, self.sketches = whole
            return sketch
        self.reasons = motion.reasons
        return without

    def _sketch(self, begun: float, *, nodal: bool, zooms: bool, flat: bool = False) -> Sketch | None:
        kind = (nodal, zooms, flat)
        if kind not in self.sketches:
            model = replace(self.model, nodal=nodal, zooms=zooms)
            try:
                self.sketches[kind] = sketched(model, self.index, self.progress.part(begun, begun + 0.2), flat)
            except SolverError as failure:
                self.failures.append(failure)
                self.sketches[kind] = None
        return self.sketches[kind]


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
    seen = np.bincount(model.tracks.frame, minlength=len(model.posed)) >= LEAST_POINTS
    if model.posed[seen].mean() < _WELL_POSED:
        return True
    off_centre = np.abs(model.lens.principal_point / np.array(model.size) - 0.5).max()
    if (off_centre > _OFF_CENTRE and model.known.principal_point is None) or _kept(found.model) < _WELL_KEPT:
        return True
    probe = may_zoom(model) and not model.zooms
    sd = frame_deviations(model, found.frames, found.options, probe)[1] if model.nodal else found.deviations[1]
    # where the focal length is known it is in the right valley
    uncertain = float(np.median(sd.log_focal)) > _DOUBTFUL and model.known.focal_px is None
    return uncertain or (probe and _asks_for_zoom(sd))


def _may_be_nodal(model: Model) -> bool:
    return not (model.nodal or told_to_move(model)) and parallax_px(model) < _NODAL_PARALLAX * max(model.size)


def _kept(model: Model) -> float:
    """Share of the observations in posed frames that fit."""
    rows = model.rows(model.posed)
    near = model.errors_px(rows)[0] < _FITS_PX
    return float(near.sum() / max(int(model.posed[model.tracks.frame].sum()), 1))


def _kept_tracks(model: Model) -> float:
    """Share of the tracks in posed frames most of whose observations fit: wild ones break few tracks, movers theirs."""
    track = model.tracks.track
    near = model.rows(model.posed)
    near[near] = model.errors_px(near)[0] < _FITS_PX
    seen = np.bincount(track[model.posed[model.tracks.frame]], minlength=len(model.placed))
    fits = np.bincount(track[near], minlength=len(model.placed))
    return float((fits > seen / 2).sum() / max(int((seen > 0).sum()), 1))


def _sketch_may_zoom(sketch: Sketch) -> bool:
    """Whether the data ask for a focal length that changes, or do not tell a constant one."""
    model = reweighted(sketch.model, by_track=False)
    _, sd = frame_deviations(model, model.posed, finishing_options(model), probe_zoom=True)
    return float(np.median(sd.log_focal)) > _UNCERTAIN or _asks_for_zoom(sd, _DOUBT_SIGMAS)


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
    if free.model.zooms and not plain.model.zooms and np.ptp(free.model.state.zoom[free.model.posed]) < _ZOOM_LEAST:
        return plain
    return free if earns_its_freedom(plain.model, free.model) else plain


def _better(first: Finished | None, second: Finished | None, plane: bool = False) -> Finished | None:
    """The better explanation of the tracks that the second counts as still, the first unless the second is more so.

    Before a plane, cameras of any lens fit if the points need not lie on it: a second that has them there is plainer.
    """
    if first is None or second is None:
        return first or second
    plain = replace(first.model, still=second.model.still)
    saved = saved_by_plane(second.model) if plane and not (plain.nodal or second.model.nodal) else 0.0
    return second if earns_its_freedom(plain, second.model, saved) else first
