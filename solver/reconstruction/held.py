"""How much less sure a focal length is for what the adjustment holds.

The principal point of a whole picture is held in its middle, the shutter is taken for a global one, and a zoom's
distortion for one that stays, unless the data say otherwise; but lenses sit a little off, a readout may be too slight
to be told, and so may a distortion that changes. With what lenses and sensors are like as a prior, all are asked about:
the variance that they would leave the focal length, and the square of how far they would move it, which it is off by if
they are right (a parameter that is considered and not estimated: Bierman, Factorization methods for discrete sequential
estimation, 1977, chapter 8, with what the data say of it besides).
"""

from __future__ import annotations

from dataclasses import replace

from ..bundle.adjust import BundleOptions
from ..bundle.residuals import K1_SLOPE, PRINCIPAL_X, PRINCIPAL_Y, READOUT
from .knowledge import lens_values
from .model import Model

# of the principal point about the middle of whole pictures, as a share of their width and height
_CENTRE_SD = 0.007
# of the readout, frames: a quarter of all shutters roll for about half a frame
_READOUT_SD = 0.3
# of the change of k1 while a zoom's focal length grows by a factor e: a few percent at the corner of a wide picture
_SLOPE_SD = 0.05


def considering(model: Model, options: BundleOptions) -> tuple[BundleOptions, tuple[int, ...]]:
    """`options` with what they hold free and a prior on it, and which of `LENS_PARAMETERS` that is; see the header."""
    told = {*options.free_lens, *lens_values(model.known)}
    held = (PRINCIPAL_X, PRINCIPAL_Y, READOUT, *((K1_SLOPE,) if model.zooms else ()))
    considered = tuple(i for i in held if i not in told)
    if options.priors.lens_sd is None:
        raise ValueError("what is held is considered with a prior")
    sd = options.priors.lens_sd.copy()
    usual = {
        PRINCIPAL_X: _CENTRE_SD * model.size[0],
        PRINCIPAL_Y: _CENTRE_SD * model.size[1],
        READOUT: _READOUT_SD,
        K1_SLOPE: _SLOPE_SD,
    }
    for i in considered:
        sd[i] = usual[i]
    free = tuple(sorted({*options.free_lens, *considered}))
    return replace(options, free_lens=free, priors=replace(options.priors, lens_sd=sd)), considered
