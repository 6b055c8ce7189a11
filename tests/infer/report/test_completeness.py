"""How complete a night is, on its report: as the command measures it, and only if asked."""

import re

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.cli import main
from rbinfer.diagnostics.completeness import Trial, measure_completeness
from rbinfer.io.tables import write_catalog
from rbinfer.pipeline.one import open_frame
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.report import charts
from rbinfer.report.completeness import measure_depths, section

from ..measure.frames import star_frame
from .conftest import night_in

N = 200
WIDTHS = (3.4, 2.6, 4.4)


@pytest.fixture(scope="module")
def results(tmp_path_factory, classifier):
    root = tmp_path_factory.mktemp("complete")
    (root / "results").mkdir()
    for k, fwhm in enumerate(WIDTHS):
        image = star_frame(np.random.default_rng(k), 60, fwhm, size=400)
        path = root / f"im{k}.fits"
        fits.writeto(path, image, fits.Header({"GAIN": 2.0} if k else {}))
        scored = score_file(str(path), None, ScoreOptions(device="cpu"), classifier)
        write_catalog(scored.table, root / "results" / f"im{k}.ecsv")
    return root / "results"


@pytest.fixture(scope="module")
def depths(results):
    return measure_depths(night_in(results, None, 8), N)


def test_figures_are_those_of_the_command(depths, results, classifier):
    assert [(each.title, each.image.name) for each in depths] == [
        ("Sharpest", "im1.fits"),
        ("Median", "im0.fits"),
        ("Widest", "im2.fits"),
    ]
    for each, gain in zip(depths, (2.0, None, 2.0), strict=True):
        frame = open_frame(str(results.parent / each.image.name), ScoreOptions())
        trial = Trial(N, gain, each.image.threshold)
        found = measure_completeness(classifier, frame, trial, np.random.default_rng(1))
        np.testing.assert_array_equal(each.found.score, found.score)
        snr = found.depth(0.5, "accepted")
        assert f"S/N {snr:.1f}" in section(depths)
    text = section(depths)
    assert "Without a gain in the header, planted stars have no noise: im0.fits." in text
    assert text.count("<polyline") == 3


def test_only_if_asked(results, tmp_path, capsys):
    page = tmp_path / "n.html"
    assert main(["report", str(results), "-o", str(page)]) == 0
    assert "How complete" not in page.read_text()
    command = ["report", str(results), "-o", str(page), "--overwrite", "--completeness", "57"]
    assert main(command) == 0
    first = page.read_text()
    assert len(re.findall(r'data-value="57"', first)) == 3
    assert main(command) == 0
    assert page.read_text() == first
    assert not re.search(r"(src|href)=\"(?!data:)", first)


def test_what_cannot_be_measured_is_said(results, tmp_path, caplog):
    other = tmp_path / "results"
    other.mkdir()
    for path in results.iterdir():
        text = path.read_text()
        if path.name == "im1.ecsv":
            text = re.sub(r"(rb_hash: )\w+", r"\g<1>abc", text)
        (other / path.name).write_text(text)
    depths = measure_depths(night_in(other, None, 8), 20)
    assert [each.found is None for each in depths] == [True, False, False]
    assert "im1.fits: the installed model &#x27;default&#x27; is not the one that was used" in section(
        depths
    )
    assert "no stars can be planted" in caplog.text
    assert "no image of the night is there whose own" in section([])


def test_a_line_goes_from_left_to_right_and_up():
    svg = charts.completeness([[(2.0, 0.0), (50.0, 1.0)]])
    (x0, y0), (x1, y1) = (
        map(float, pair.split(",")) for pair in re.search(r'points="([^"]+)"', svg)[1].split()
    )
    assert x0 < x1
    assert y0 > y1
