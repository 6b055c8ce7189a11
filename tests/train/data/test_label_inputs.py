"""Labels as a network sees them: cut as they were scored, and what is broken costs no other label."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer import Classifier
from rbinfer._util.hashing import digest
from rbinfer.io.images import load_image
from rbinfer.io.labels import Label
from rbinfer.measure.ninths import ninth_of
from rbinfer.model.registry import shipped_model
from rbinfer.model.session import Session
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbtrain.config import CLASSES
from rbtrain.data.label_inputs import label_inputs

from ...infer.measure.test_regions import banded
from ...infer.night.skies import add_star

PLACES = np.array([(x, y) for x in range(20, 120, 30) for y in range(20, 120, 30)], float)


@pytest.fixture(scope="module")
def shipped():
    return Classifier(shipped_model(), device="cpu")


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).normal(300, 8, (130, 130))
    for x, y in PLACES:
        add_star(pixels, x, y, 4000)
    fits.writeto(tmp_path / "image.fits", np.rint(pixels).astype(np.int16))
    return tmp_path / "image.fits"


def labels_of(image, catalog=""):
    return [
        Label(str(image), digest(image), x, y, "real", catalog=str(catalog), row=k)
        for k, (x, y) in enumerate(PLACES)
    ]


def classes(labels):
    """Return what the shipped network makes of labels as they are cut."""
    session = Session(shipped_model(), "cpu")
    seen = label_inputs(labels, session.spec.preprocess).seen
    return session.run(*seen.inputs(slice(None))).classes


def test_labels_are_cut_with_the_width_that_they_were_scored_with(image, shipped, tmp_path):
    catalog = tmp_path / "scored.fits"
    Table({"x": PLACES[:, 0], "y": PLACES[:, 1]}, meta={"rb_fwhm": 4.5}).write(catalog)
    x, y = PLACES.T
    found = classes(labels_of(image, catalog))
    wanted = shipped.score(load_image(image), x, y, fwhm=4.5, peaks=(x, y)).classes
    assert found == pytest.approx(wanted, abs=1e-5)
    assert not np.allclose(classes(labels_of(image)), wanted, atol=1e-3)


def test_labels_are_told_the_star_that_was_measured_when_they_were_scored(image, shipped, tmp_path):
    catalog = tmp_path / "scored.ecsv"
    x, y = PLACES.T
    scored = shipped.classify(Table({"x": x, "y": y}), load_image(image))
    assert scored.meta["rb_fwhm_source"] == "measured"
    scored.write(catalog)
    seen = label_inputs(labels_of(image, catalog), shipped.spec.preprocess).seen
    assert seen.stamps.known[seen.stamps.index].all()
    assert seen.stamps.population[seen.stamps.index].any(axis=1).all()
    wanted = shipped.score(load_image(image), x, y, peaks=(x, y)).classes
    assert classes(labels_of(image, catalog)) == pytest.approx(wanted, abs=1e-5)
    given = Table(scored, meta=scored.meta | {"rb_fwhm_source": "given"})
    given.write(catalog, overwrite=True)
    seen = label_inputs(labels_of(image, catalog), shipped.spec.preprocess).seen
    assert not seen.stamps.known.any()
    assert not seen.stamps.population.any()
    # A frame that showed no stars was looked at all the same.
    assumed = Table(scored, meta=scored.meta | {"rb_fwhm_source": "assumed"})
    assumed.write(catalog, overwrite=True)
    seen = label_inputs(labels_of(image, catalog), shipped.spec.preprocess).seen
    assert not seen.stamps.known.any()
    assert seen.stamps.population[seen.stamps.index].any(axis=1).all()


def test_the_brightest_pixel_of_another_row_is_not_taken(image, tmp_path):
    catalog = tmp_path / "scored.fits"
    x, y = PLACES.T
    # The rows were sorted anew since: each would be centred on another detection.
    peaks = {"XPEAK_IMAGE": (x[::-1] + 1).astype(int), "YPEAK_IMAGE": (y[::-1] + 1).astype(int)}
    Table({"X_IMAGE": x[::-1] + 1, "Y_IMAGE": y[::-1] + 1, **peaks}).write(catalog)
    assert classes(labels_of(image, catalog)) == pytest.approx(classes(labels_of(image)))


@pytest.mark.parametrize("content", [b"", b"no table\x00at all"])
def test_a_broken_catalogue_costs_no_label(content, image, shipped, tmp_path, caplog):
    catalog = tmp_path / "scored.fits"
    catalog.write_bytes(content)
    found = label_inputs(labels_of(image, catalog), shipped.spec.preprocess)
    assert len(found.labels) == len(PLACES)
    assert found.left_out == []
    assert f"{catalog} tells nothing of its labels" in caplog.text


@pytest.mark.parametrize(
    ("evidence", "kind", "n_warnings"),
    [("person", "", 1), ("dark", "", 0), ("dark+mask", "", 0), ("person", "Dark", 0)],
)
def test_a_dark_without_stars_is_not_warned_of(evidence, kind, n_warnings, shipped, tmp_path, caplog):
    path = tmp_path / "frame.fits"
    pixels = np.random.default_rng(0).normal(300, 8, (130, 130)).astype(np.float32)
    pixels[65, 65] = 4000.0
    fits.writeto(path, pixels, fits.Header({"IMAGETYP": kind} if kind else {}))
    label = Label(str(path), digest(path), 65.0, 65.0, "bogus", evidence=evidence)
    found = label_inputs([label], shipped.spec.preprocess)
    assert found.labels == [label]
    told = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(told) == n_warnings, told
    assert all("no stars found" in text for text in told)


def test_an_image_that_cannot_be_read_costs_its_own_labels_alone(image, shipped, tmp_path):
    broken = tmp_path / "broken.fits"
    broken.write_bytes(image.read_bytes()[:3000])
    locked = tmp_path / "locked.fits"
    locked.write_bytes(image.read_bytes())
    bad = labels_of(broken)[:3] + labels_of(locked)[:2]
    locked.unlink()
    found = label_inputs([*bad, *labels_of(image)], shipped.spec.preprocess)
    assert [one.image for one in found.labels] == [str(image)] * len(PLACES)
    assert [text.split(":")[0] for text in found.left_out] == [
        f"3 labels of {broken}",
        f"2 labels of {locked}",
    ]


@pytest.fixture
def beside(image, tmp_path):
    """Return options about pixels by name, with the maps that they name."""
    pixels = fits.getdata(image)
    flags = np.zeros(pixels.shape, np.int16)
    flags[:, 47::3] = 2
    fits.writeto(tmp_path / "flags.fits", flags)
    fits.writeto(tmp_path / "err.fits", np.full(pixels.shape, 90.0, np.float32))
    rows, columns = np.mgrid[-20:21, -20:21]
    star = np.exp(-(rows**2 + (columns / 1.5) ** 2) / 8.0).astype(np.float32)
    fits.writeto(tmp_path / "psf.fits", star)
    mask, err, psf = (str(tmp_path / f"{name}.fits") for name in ("flags", "err", "psf"))
    return {
        "bayer": {"bayer": True},
        "saturation": {"saturation": 900.0},
        "mask": {"mask": mask},
        "bits": {"mask": mask, "bad_bits": 2},
        "err": {"err": err},
        "psf": {"psf": psf},
        "psf and fwhm": {"psf": psf, "fwhm": 5.0},
    }


@pytest.mark.parametrize("name", ["bayer", "saturation", "mask", "bits", "err", "psf", "psf and fwhm"])
def test_labels_are_cut_with_what_was_known_of_the_pixels(name, beside, image, shipped, tmp_path):
    catalog = tmp_path / "scored.ecsv"
    x, y = PLACES.T
    Table({"x": x, "y": y, "xpeak": x.astype(int), "ypeak": y.astype(int)}).write(catalog)
    scored = score_file(str(image), str(catalog), ScoreOptions(**beside[name]), shipped).table
    scored.write(catalog, overwrite=True)
    good = np.isfinite(scored["rb_score"])
    labels = [label for label, is_good in zip(labels_of(image, catalog), good, strict=True) if is_good]
    wanted = np.asarray(scored["rb_score"])[good]
    real = np.isin(CLASSES, shipped.spec.real)
    assert len(wanted) >= 8
    assert classes(labels)[:, real].sum(axis=1) == pytest.approx(wanted, abs=1e-5)
    seen = label_inputs(labels, shipped.spec.preprocess).seen
    # Without what is noted they are cut in another way.
    del scored.meta["rb_opts"]
    scored.write(catalog, overwrite=True)
    without = label_inputs(labels, shipped.spec.preprocess).seen
    same = len(seen) == len(without) and all(
        np.array_equal(one, other)
        for one, other in zip(
            (seen.cutouts, seen.around, seen.stamps.known[seen.stamps.index]),
            (without.cutouts, without.around, without.stamps.known[without.stamps.index]),
            strict=True,
        )
    )
    assert not same or name == "saturation"  # which flags rows; these cutouts show no difference


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mask": "/gone/mask.fits"}, "/gone/mask.fits"),
        ({"mask": 5}, "its catalogue notes mask = 5, which can't be; score it again"),
    ],
)
def test_labels_whose_maps_are_gone_are_left_out(options, why, image, shipped, tmp_path):
    catalog = tmp_path / "scored.ecsv"
    Table({"x": PLACES[:, 0]}, meta={"rb_opts": json.dumps(options)}).write(catalog)
    found = label_inputs([*labels_of(image, catalog)[:4], *labels_of(image)], shipped.spec.preprocess)
    assert len(found.labels) == len(PLACES)
    [reason] = found.left_out
    assert reason.startswith(f"4 labels of {image}: ")
    assert why in reason


def test_labels_of_a_wide_field_are_cut_with_the_stars_around_each(shipped, tmp_path):
    path, catalog = tmp_path / "wide.fits", tmp_path / "scored.ecsv"
    fits.writeto(path, banded(np.random.default_rng(31)))
    rng = np.random.default_rng(32)
    x, y = rng.uniform(20, 880, 60), rng.uniform(20, 280, 60)
    table = Table({"x": x, "y": y, "xpeak": np.rint(x), "ypeak": np.rint(y)})
    scored = shipped.classify(table, load_image(path))
    scored.write(catalog)
    labels = [
        Label(str(path), digest(path), *at, "real", catalog=str(catalog), row=k)
        for k, at in enumerate(zip(x, y, strict=True))
    ]
    good = np.isfinite(scored["rb_score"])
    real = np.isin(CLASSES, shipped.spec.real)
    assert np.ptp(ninth_of(x, y, (300, 900))) == 8
    seen = label_inputs(labels, shipped.spec.preprocess)
    assert [label.row for label in seen.labels] == np.flatnonzero(good).tolist()
    wanted = np.asarray(scored["rb_score"])[good]
    assert classes(labels)[:, real].sum(axis=1) == pytest.approx(wanted, abs=1e-5)
