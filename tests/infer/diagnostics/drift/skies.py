"""Frames as nights have them, with the scatter of counting and of a little seeing."""

import numpy as np

from rbinfer.diagnostics.drift.frames import FrameFigures

BINS = 20
REAL = np.linspace(0, 1, BINS) ** 8
BOGUS = np.linspace(1, 0, BINS) ** 8


def frame(
    rng, name="f.fits", fwhm=3.0, real=200, hot=60, background=500.0, noise=20.0, ellipticity=0.05
):
    """Return a frame of a night that is as it should be, but for what is given."""
    n_real, n_hot, n_hits, n_trails = rng.poisson((real, hot, 15, 0.1))
    bogus = n_hot + n_hits + n_trails
    scores = [rng.multinomial(n, p / p.sum()) for n, p in ((n_real, REAL), (bogus, BOGUS))]
    return FrameFigures(
        name,
        "camera",
        int(n_real),
        int(bogus),
        {
            "star": int(n_real),
            "hot_pixel": int(n_hot),
            "cosmic_ray": int(n_hits),
            "trail": int(n_trails),
        },
        np.array(scores, np.float64),
        fwhm * float(np.exp(rng.normal(0, 0.05))),
        abs(ellipticity + rng.normal(0, 0.01)),
        True,
        background * float(np.exp(rng.normal(0, 0.05))),
        noise * float(np.exp(rng.normal(0, 0.03))),
        exposure=60.0,
    )
