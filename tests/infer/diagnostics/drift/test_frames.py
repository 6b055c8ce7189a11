"""The figures of a frame: its kind, and what is made of damaged journals."""

import json

import numpy as np
import pytest

from rbinfer.diagnostics.drift.frames import FrameFigures, Scorer

USUAL = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50, 60, 75, 80, 90, 100, 120, 150, 180)
LONG = (200, 240, 300, 360, 400, 500, 600, 900, 1200, 1800, 3600)


def of(**summary):
    return FrameFigures.of("a.fits", "camera", summary)


@pytest.mark.parametrize("seconds", USUAL + LONG)
def test_times_that_a_shutter_measures_are_of_one_kind(seconds):
    rng = np.random.default_rng(seconds)
    measured = seconds * (1 + rng.uniform(-0.004, 0.004, 50))
    assert {of(exposure=s).kind for s in measured} == {of(exposure=seconds).kind}


def test_other_exposures_are_other_kinds():
    kinds = [of(exposure=s).kind for s in (10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)]
    assert len(set(kinds)) == len(kinds)
    assert kinds[5] == "camera; about 60 s"
    assert of(exposure=None).kind == of(exposure=0).kind == "camera"


@pytest.mark.parametrize(
    "text",
    [
        '{"classes": {"star": null}}',
        '{"classes": {"star": NaN}}',
        '{"classes": {"star": "many"}}',
        '{"classes": {"star": -3}}',
        '{"classes": {"star": 1e999}}',
        f'{{"real": 1{"0" * 400}}}',
        '{"real": -5, "bogus": -1}',
        '{"real": NaN, "bogus": true}',
        '{"scores": {"real": [NaN, 1], "bogus": [0, 1]}}',
        '{"scores": {"real": [-1, 1], "bogus": [0, 1]}}',
        f'{{"scores": {{"real": [1{"0" * 400}], "bogus": [1]}}}}',
        '{"scores": {"real": [null], "bogus": [1]}}',
        '{"fwhm_source": "measured", "fwhm": -2, "ellipticity": NaN}',
        '{"noise": -1, "background": Infinity, "exposure": -30}',
    ],
)
def test_damaged_numbers_are_not_known(text):
    found = FrameFigures.of("a.fits", "camera", json.loads(text))
    assert (found.real, found.bogus, found.scored, found.classes, found.scores) == (None,) * 5
    assert (found.fwhm, found.ellipticity, found.noise, found.background) == (None,) * 4
    assert found.kind == "camera"


def test_what_scored_a_frame_is_compared_as_far_as_it_is_known():
    now = of(model="m", version=1, threshold=0.5, real_classes=["star", "galaxy"]).scorer
    assert now == Scorer("m", "1", 0.5, ("galaxy", "star"))
    assert now.is_like(of(model="m", version=1, threshold=0.5).scorer)
    for other in ({"model": "n"}, {"version": 2}, {"threshold": 0.6}, {"real_classes": ["star"]}):
        assert not now.is_like(of(**other).scorer)
