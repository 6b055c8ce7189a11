"""What is told of a frame that was made even is of the frame that was scored."""

import logging

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.diagnostics.completeness import Trial, count_let_in, measure_completeness, negative_of
from rbinfer.diagnostics.explain import explain
from rbinfer.pipeline.mask import artefact_mask
from rbinfer.pipeline.one import detection_at, open_frame
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file

from ..measure.frames import NOISE, SKY, star_frame

SIZE = 400
OPTIONS = ScoreOptions(device="cpu", show=("snr",))


def images():
    """A steep sky, and one of which nothing below its median was kept."""
    image = star_frame(np.random.default_rng(5), 60, 3.0, size=SIZE)
    return {
        "steep": image + np.float32(0.3 * NOISE) * np.arange(SIZE, dtype=np.float32),
        "cut off": np.maximum(image - np.float32(SKY), 0),
    }


@pytest.fixture(params=["steep", "cut off"])
def path(request, tmp_path):
    fits.writeto(tmp_path / "frame.fits", images()[request.param])
    return str(tmp_path / "frame.fits")


def test_a_row_is_explained_as_it_was_scored(path, classifier, caplog):
    scored = score_file(path, None, OPTIONS, classifier)
    caplog.clear()
    for row in range(0, len(scored.table), 12):
        detection = detection_at(path, OPTIONS, row=row)
        for name, value in (("x", detection.x), ("y", detection.y)):
            assert value == pytest.approx(scored.table[name][row])
        found = explain(classifier, detection.exposure, detection.x, detection.y, peak=detection.peak)
        assert found.score == pytest.approx(scored.table["rb_score"][row], abs=0.02)
        assert found.snr == pytest.approx(scored.table["rb_snr"][row], rel=0.05)
    assert sum("cut off" in record.message for record in caplog.records) <= len(scored.table) // 12 + 1


def test_one_warning_for_a_file(tmp_path, classifier, caplog):
    fits.writeto(tmp_path / "cut.fits", images()["cut off"])
    with caplog.at_level(logging.WARNING):
        scored = score_file(str(tmp_path / "cut.fits"), None, OPTIONS, classifier)
        artefact_mask(scored.table, scored.image, {}, classifier)
    assert sum("cut off" in record.message for record in caplog.records) == 1


def test_few_pixels_of_a_cut_off_sky_are_hits(tmp_path, classifier):
    fits.writeto(tmp_path / "cut.fits", images()["cut off"])
    scored = score_file(str(tmp_path / "cut.fits"), None, OPTIONS, classifier)
    mask = artefact_mask(scored.table, scored.image, {}, classifier)
    assert np.count_nonzero(mask) < 20


def test_bright_stars_that_are_planted_are_found(path, classifier):
    frame = open_frame(path, OPTIONS)
    found = measure_completeness(classifier, frame, Trial(150, None, 0.5), np.random.default_rng(2))
    bright = found.stars.snr > 25
    assert found.detected[bright].mean() > 0.9
    assert found.accepted[bright].mean() > 0.85


def test_the_negative_of_a_frame_has_its_noise(path, classifier):
    frame = open_frame(path, OPTIONS)
    negative = negative_of(frame)
    left = 1.4826 * np.median(np.abs(negative.pixels - np.median(negative.pixels)))
    assert left == pytest.approx(NOISE, rel=0.15)
    assert count_let_in(classifier, negative, 0.5)[1] < 5


def test_the_unevenness_that_is_told_is_that_of_the_file(tmp_path, classifier):
    fits.writeto(tmp_path / "steep.fits", images()["steep"])
    summary = score_file(str(tmp_path / "steep.fits"), None, OPTIONS, classifier).summary
    assert summary["background_range"] > 0.15 * NOISE * SIZE
