"""What is noted of a mosaic as a whole."""

import numpy as np
import pytest
from astropy.table import Table

from rbinfer.pipeline.mosaic import stacked


def part(n, fwhm, source):
    """Make the scored table of an image."""
    meta = {"rb_fwhm": fwhm, "rb_fwhm_source": source, "rb_npsf": 4, "rb_nfit": 9}
    return Table({"x": np.arange(float(n))}, meta=meta)


@pytest.mark.parametrize(
    ("sources", "fwhm", "source"),
    [
        (("measured", "measured", "measured"), 3.0, "measured"),
        (("measured", "assumed", "assumed"), 2.0, "measured"),
        (("assumed", "measured", "measured"), 4.5, "measured"),
        (("assumed", "assumed", "assumed"), 3.0, "assumed"),
    ],
)
def test_a_width_that_was_assumed_has_no_say_beside_one_that_was_not(sources, fwhm, source):
    parts = [
        part(k, width, source) for k, (width, source) in enumerate(zip((2, 3, 6), sources, strict=True))
    ]
    joined = stacked(parts, [1, 3, 4])
    assert joined.meta["rb_fwhm"] == fwhm
    assert joined.meta["rb_fwhm_source"] == source
    assert joined.meta["rb_npsf"] == 12
    assert joined["rb_hdu"].tolist() == [3, 4, 4]
