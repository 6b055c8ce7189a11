"""One detection of an image: the row that a whole scored image has at its number."""

from pathlib import Path

import pytest

from rbinfer.io.images import load_image
from rbinfer.measure.detect import detect
from rbinfer.pipeline.one import detection_at
from rbinfer.pipeline.options import ScoreOptions

FIELD = str(Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits")


@pytest.mark.parametrize("detector", ["rbinfer", "sep"])
def test_a_row_is_that_of_the_detector_asked_for(detector):
    found = detect(load_image(FIELD).pixels, detector=detector)
    for row in (0, 48, 49, 119):  # of blends, whose parts each detector has in an order of its own
        one = detection_at(FIELD, ScoreOptions(fwhm=3.0, detector=detector), row=row)
        assert (one.x, one.y) == (found["x"][row], found["y"][row])
