"""Cutouts that come as a plain array may be those of another preset: that is told."""

import numpy as np
import pytest

from rbinfer import Classifier


@pytest.mark.parametrize(("name", "is_told"), [("default", True), ("reference", False)])
def test_a_plain_array_is_warned_of_by_models_that_read_more(scene, caplog, name, is_told):
    image, table, fwhm = scene
    classifier = Classifier(name)
    cutouts = classifier.cutouts(image, table["x"], table["y"], fwhm=fwhm)
    scores = classifier.predict(cutouts)
    assert "takes what `Classifier.cutouts` returns" not in caplog.text
    plain = classifier.predict(cutouts.pixels)
    assert ("takes what `Classifier.cutouts` returns" in caplog.text) == is_told
    assert np.array_equal(scores, plain) != is_told
