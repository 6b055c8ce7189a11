"""The width that an image is scored with: of its own stars, or else from where it is said to be."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table

from rbinfer import Classifier, PreprocessSpec, Status
from rbinfer.io.exposure import Exposure, Width, as_exposure
from rbinfer.io.header_width import header_fwhm
from rbinfer.measure.estimate import catalogue_fwhm, measure_width
from rbinfer.model.stamps import POPULATION
from rbinfer.scoring.prepare import prepare

SIZE = 256
Y, X = np.mgrid[:SIZE, :SIZE]


def stars(fwhm=3.0, n=60, seed=0, hits=0):
    """Return a frame of stars and single-pixel hits, and the positions of the stars."""
    rng = np.random.default_rng(seed)
    image = rng.normal(300, 6, (SIZE, SIZE))
    x, y = rng.uniform(12, SIZE - 12, (2, n))
    for cx, cy, peak in zip(x, y, 10 ** rng.uniform(2, 3.4, n), strict=True):
        image += peak * np.exp(-4 * np.log(2) * ((X - cx) ** 2 + (Y - cy) ** 2) / fwhm**2)
    hx, hy = rng.integers(3, SIZE - 3, (2, hits))
    image[hy, hx] += 10 ** rng.uniform(2.3, 3.5, hits)
    return image.astype(np.float32), x, y


DARK = stars(n=0, hits=200)[0]


@pytest.mark.parametrize("fwhm", [1.5, 3.0, 6.0, 12.0])
def test_the_frames_own_stars_speak(fwhm):
    image, _, _ = stars(fwhm)
    width = measure_width(as_exposure(image))
    assert width.source == "measured"
    # The pixel adds to the width of a profile that is sampled and not integrated.
    assert width.fwhm == pytest.approx(fwhm, rel=0.12)
    assert 10 <= width.n_stars <= width.n_fitted
    assert width.is_trusted


def test_a_starless_frame_says_so_and_makes_no_width_up(caplog):
    width = measure_width(as_exposure(DARK))
    assert (width.fwhm, width.source) == (3.0, "assumed")
    assert width.note == "no stars found: a dark, a closed shutter, clouds?"
    assert width.population.shape == (POPULATION,)
    assert "no stars found" in caplog.text
    scores = Classifier(device="cpu").score(DARK, [50.0], [50.0])
    assert scores.status[0] & Status.FWHM_ASSUMED


@pytest.mark.parametrize("header", [None, {"FWHM": 4.0}])
def test_that_a_dark_shows_no_stars_is_no_news(header, caplog):
    dark = Exposure(DARK, header=header)
    wanted = measure_width(dark)
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1
    caplog.clear()
    found = measure_width(dark, is_sky=False)
    assert (found.fwhm, found.source, found.note) == (wanted.fwhm, wanted.source, wanted.note)
    assert not [each for each in caplog.records if each.levelname == "WARNING"]


def test_widths_of_hits_in_a_catalogue_are_not_believed():
    hits = Table({"x": [5.0, 9.0], "y": [5.0, 9.0], "fwhm": [1.2, 1.3]})
    assert measure_width(as_exposure(DARK), hits).source == "assumed"
    wide = Table({"fwhm": np.linspace(2, 12, 30)})
    assert measure_width(as_exposure(DARK), wide).source == "assumed"
    defocused = Table({"fwhm": np.linspace(9.5, 10.5, 30)})
    width = measure_width(as_exposure(DARK), defocused)
    assert (width.source, width.is_trusted) == ("catalogue", False)
    assert width.fwhm == pytest.approx(10.0)
    x = np.linspace(10, 380, 30)
    y = np.random.default_rng(1).uniform(10, 380, 30)
    defocused["x"], defocused["y"] = x, y
    assert measure_width(as_exposure(DARK), defocused).source == "catalogue"
    # Pieces of two trails are of one width, too.
    defocused["y"] = np.where(np.arange(30) % 2, 0.4 * x + 3, 390 - 0.9 * x)
    assert measure_width(as_exposure(DARK), defocused).source == "assumed"


def test_the_header_comes_before_the_catalogue():
    header = fits.Header({"SEEING": 2.4, "PIXSCALE": 0.6})
    width = measure_width(Exposure(DARK, header=header), Table({"fwhm": np.full(9, 10.0)}))
    assert (width.source, width.is_trusted) == ("header", False)
    assert width.fwhm == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("cards", "wanted"),
    [
        ({"FWHM": (2.5, "[pixels] of the stars")}, 2.5),
        ({"FWHM": (2.5, "arcsec"), "SECPIX": 0.5}, 5.0),
        ({"PSF_FWHM": 3.25}, 3.25),
        ({"SEEING": 1.5, "CTYPE1": "RA---TAN", "CDELT1": -1e-4, "CDELT2": 1e-4}, 1.5 / 0.36),
        ({"L1FWHM": (1.8, "[arcsec]"), "CD1_1": -1e-4, "CD2_2": 1e-4}, 5.0),
        # As Astropy's WCS writes it: CDELT is 1, and the scale is in PC.
        (
            {"SEEING": 1.5, "CTYPE1": "RA---TAN", "CDELT1": 1.0, "CDELT2": 1.0}
            | {"PC1_1": 0.0, "PC1_2": 1e-4, "PC2_1": 1e-4, "PC2_2": 0.0},
            1.5 / 0.36,
        ),
        (
            {"SEEING": 1.5, "CTYPE1": "RA---TAN", "CDELT1": 1, "CDELT2": 1, "PC1_1": 0, "SECPIX": 0.5},
            3.0,
        ),
        ({"SEEING": 1.5}, None),
        ({"FWHM": "n/a"}, None),
        ({"FWHM": 0.0}, None),
        ({"FWHM": 900.0}, None),
        ({}, None),
    ],
)
def test_cards_of_pipelines(cards, wanted):
    header = fits.Header()
    header.update(cards)
    found = header_fwhm(header)
    assert found is None if wanted is None else found[0] == pytest.approx(wanted)


def test_the_verdict_does_not_hang_on_the_columns_of_a_catalogue():
    image, x, y = stars(hits=40)
    classifier = Classifier(device="cpu")
    plain = classifier.classify({"x": x, "y": y}, image)
    full = classifier.classify({"x": x, "y": y, "fwhm": x * 0 + 1.1, "a": x * 0 + 0.5, "flux": x}, image)
    some = classifier.classify({"x": x[:9], "y": y[:9]}, image)
    assert plain.meta["rb_fwhm"] == full.meta["rb_fwhm"] == some.meta["rb_fwhm"]
    assert plain.meta["rb_npsf"] >= 20
    np.testing.assert_array_equal(plain["rb_score"], full["rb_score"])
    np.testing.assert_array_equal(plain["rb_score"][:9], some["rb_score"])


def test_the_fwhm_of_a_catalogue_as_the_reference_takes_it(caplog):
    table = Table({"fwhm": [3.0, 4.0, 5.0], "a": [1.0, 2.0, 3.0]})
    assert catalogue_fwhm(table) == 4.0
    del table["fwhm"]
    assert catalogue_fwhm(table) == pytest.approx(2.35 * 2.0)
    table["fwhm"] = [3.0, 4.0, 5.0] * u.arcsec
    assert catalogue_fwhm(QTable({"a": [1.0, 2.0, 6.0] * u.pix})) == pytest.approx(2.35 * 2.0)
    assert catalogue_fwhm(table) == pytest.approx(2.35 * 2.0)
    assert "not used for the FWHM" in caplog.text
    assert catalogue_fwhm(Table({"x": [1.0]})) is None


def test_a_borrowed_width_comes_with_the_population_of_the_frame_itself():
    own = measure_width(as_exposure(DARK)).population
    lent = Width(2.5, "borrowed", stamp=np.eye(31, dtype=np.float32), n_frames=3)
    width = measure_width(as_exposure(DARK), borrow=lambda _: lent)
    assert (width.fwhm, width.source, width.n_frames) == (2.5, "borrowed", 3)
    np.testing.assert_array_equal(width.population, own)


FEW = stars(6.0, n=6, seed=2, hits=150)[0]


def test_few_stars_among_hits_are_likely_but_not_sure(caplog):
    width = measure_width(as_exposure(FEW))
    assert (width.fwhm, width.source) == (3.0, "assumed")
    assert width.likely_fwhm == pytest.approx(6.0, rel=0.05)
    said = f"what is most like stars is {width.likely_fwhm:.2f} px wide, but that is too little"
    assert said in caplog.text
    assert measure_width(as_exposure(DARK)).likely_fwhm is None


@pytest.mark.parametrize(("weighs", "wanted"), [(False, 3.0), (True, 6.0)])
def test_models_that_weigh_it_are_shown_cutouts_for_what_is_likely(weighs, wanted):
    spec = replace(PreprocessSpec.default(), likely_width=weighs)
    prepared = prepare(as_exposure(FEW), spec, [50.0], [50.0])
    assert prepared.width.fwhm == pytest.approx(wanted, rel=0.05)
    assert prepared.exposure.fwhm == prepared.width.fwhm
    assert not prepared.width.is_trusted
    assert prepared.psf is None


def test_what_is_given_noted_or_borrowed_comes_before_what_is_likely():
    spec = replace(PreprocessSpec.default(), likely_width=True)
    assert prepare(as_exposure(FEW), spec, [50.0], [50.0], fwhm=4.0).width.fwhm == 4.0
    noted = Exposure(FEW, header=fits.Header({"PSF_FWHM": 5.0}))
    assert prepare(noted, spec, [50.0], [50.0]).width.fwhm == 5.0
    lent = Width(2.5, "borrowed", n_frames=3)
    assert measure_width(as_exposure(FEW), borrow=lambda _: lent).likely_fwhm is None
