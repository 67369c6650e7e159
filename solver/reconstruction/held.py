"""How much less sure a focal length is for what the adjustment holds, and for what the errors of a frame share.

The principal point of a whole picture is held in its middle, the shutter is taken for a global one, and a zoom's
distortion for one that stays, unless the data say otherwise; but lenses sit a little off, a readout may be too slight
to be told, and so may a distortion that changes. With what lenses and sensors are like as a prior, all are asked about:
the variance that they would leave the focal length, and the square of how far they would move it, which it is off by if
they are right (a parameter that is considered and not estimated: Bierman, Factorization methods for discrete sequential
estimation, 1977, chapter 8, with what the data say of it besides).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.covariance import Deviations
from ..bundle.residuals import FOCAL, K1_SLOPE, PRINCIPAL_X, PRINCIPAL_Y, READOUT
from .finish import Finished, frame_deviations
from .knowledge import lens_values
from .shutter import with_velocity

# of the principal point about the middle of whole pictures, as a share of their width and height
_CENTRE_SD = 0.007
# of the readout, frames: a quarter of all shutters roll for about half a frame
_READOUT_SD = 0.3
# of the change of k1 while a zoom's focal length grows by a factor e: a few percent at the corner of a wide picture
_SLOPE_SD = 0.05


def reported_deviations(found: Finished) -> tuple[NDArray[np.int64], Deviations]:
    """The frames (indices) that were adjusted, and their deviations with those of what is held; see the header."""
    model, options = found.model, found.options
    told = {*options.free_lens, *lens_values(model.known)}
    held = (PRINCIPAL_X, PRINCIPAL_Y, READOUT, *((K1_SLOPE,) if model.zooms else ()))
    asked = [i for i in held if i not in told]
    if not asked or options.priors.lens_sd is None:
        return _deviations_of(found)
    prior = options.priors.lens_sd.copy()
    usual = {
        PRINCIPAL_X: _CENTRE_SD * model.size[0],
        PRINCIPAL_Y: _CENTRE_SD * model.size[1],
        READOUT: _READOUT_SD,
        K1_SLOPE: _SLOPE_SD,
    }
    for i in asked:
        prior[i] = usual[i]
    asking = replace(
        options,
        free_lens=tuple(sorted({*options.free_lens, *asked})),
        priors=replace(options.priors, lens_sd=prior),
    )
    # without a velocity a readout changes nothing
    moving = model if model.rolling else with_velocity(model)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(frame_deviations, moving, found.frames, asking, by_frame=True)
        frame_ids, sd = _deviations_of(found)
        open_sd = opened.result()[1]
    step = open_sd.log_focal_step - sd.log_focal_step
    log_focal = np.sqrt(np.maximum(open_sd.log_focal, sd.log_focal) ** 2 + step**2)
    lens = sd.lens.copy()
    lens[FOCAL] *= float(np.median(log_focal / np.maximum(sd.log_focal, 1e-300)))
    return frame_ids, replace(sd, log_focal=log_focal, lens=lens)


def _deviations_of(found: Finished) -> tuple[NDArray[np.int64], Deviations]:
    """The frames (indices) and their deviations with what is held as it is."""
    probed = found.deviations[1]
    frame_ids, sd = frame_deviations(found.model, found.frames, found.options, by_frame=True)
    return frame_ids, replace(sd, probe_step=probed.probe_step, probe_covariance=probed.probe_covariance)
