"""What is written of a scored catalogue: columns on request, positions on the sky, order and classes."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from rbinfer import Classifier
from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.io.tables import read_catalog
from rbinfer.pipeline.columns import check_names, extra_of, of_classes, order_of, picked
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.runs.batch import run_batch
from rbinfer.status import Status


def wcs_header():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (150.0, 2.0), (200.5, 200.5), (-2.8e-4, 2.8e-4)
    return wcs.to_header()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, scene):
    """Return a folder with an image with a WCS, and a catalogue with rows that cannot be scored."""
    place = tmp_path_factory.mktemp("columns")
    image, table, _ = scene
    fits.writeto(place / "image.fits", image, wcs_header())
    catalog = Table({"id": [f"s{k:04d}" for k in table["id"]], "x": table["x"], "y": table["y"]})
    catalog["x"][:2] = np.nan, 9000.0
    catalog.write(place / "cat.csv")
    return place


@pytest.fixture
def classify(folder, tmp_path, capsys):
    def run(*argv, code=0, image=None, catalog="cat.csv"):
        given = ["classify", str(image or folder / "image.fits"), "-o", str(tmp_path / "o.ecsv")]
        given += ["--catalog", str(folder / catalog)] if catalog else []
        assert main([*given, "--overwrite", *argv]) == code
        err = capsys.readouterr().err
        return err if code == 1 else read_catalog(tmp_path / "o.ecsv")

    return run


OURS = ["rb_score", "rb_status", "rb_class"]
CLASSES = ("star", "galaxy", "cosmic_ray", "hot_pixel", "trail", "spike", "noise")


def test_probabilities_and_snr_on_request(classify, folder, classifier):
    found = classify("--columns", "classes,snr")
    probabilities = [f"rb_p_{name}" for name in classifier.spec.classes]
    assert found.colnames == ["id", "x", "y", *OURS, "rb_snr", *probabilities, "ra", "dec"]
    assert {found[name].dtype for name in (*probabilities, "rb_snr")} == {np.dtype("f4")}
    values = np.column_stack([found[name] for name in probabilities])
    scored = np.isfinite(found["rb_score"])
    assert (~scored).sum() == 2
    np.testing.assert_allclose(values[scored].sum(axis=1), 1.0, atol=1e-5)
    assert np.isnan(values[~scored]).all()
    assert np.isnan(found["rb_snr"][~scored]).all()
    best = np.array(classifier.spec.classes)[np.argmax(values[scored], axis=1)]
    np.testing.assert_array_equal(best, found["rb_class"][scored])
    # The bit of a low S/N is this S/N's.
    low = (np.asarray(found["rb_status"]) & Status.LOW_SNR) != 0
    np.testing.assert_array_equal(low[scored], found["rb_snr"][scored] < classifier.spec.snr_range[0])


def test_snr_grows_with_the_flux(classifier):
    y, x = np.indices((200, 200))
    image = np.random.default_rng(3).normal(300, 8, (200, 200))
    fluxes = np.array([200.0, 800.0, 3200.0])
    for k, peak in enumerate(fluxes):
        image += peak * np.exp(-((x - 50 * k - 45) ** 2 + (y - 100) ** 2) / (2 * 1.36**2))
    table = {"x": 50.0 * np.arange(3) + 45, "y": np.full(3, 100.0)}
    found = classifier.classify(table, image, fwhm=3.2, extra=["snr"])["rb_snr"]
    np.testing.assert_allclose(found / found[0], fluxes / fluxes[0], rtol=0.15)


def test_picked_columns_in_their_order(classify):
    assert classify("--columns", "rb_score,id").colnames == ["rb_score", "id"]
    assert classify("--columns", "id,snr,dec").colnames == ["id", "rb_snr", "dec"]
    names = classify("--columns", "rb_p_star,id").colnames
    assert names == ["rb_p_star", "id"]
    assert classify("--columns", "ra").colnames == ["id", "x", "y", *OURS, "ra", "dec"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--columns", "rb_scores"), "--columns: there is no column rb_scores; did you mean rb_score?"),
        (("--columns", "Id"), "did you mean id?"),
        (("--columns", "rb_p_stra"), "did you mean rb_p_star?"),
        (("--columns", "classes", "--model", "reference"), "the model reference has no classes"),
        (("--class", "cosmicray"), "has no class cosmicray; did you mean cosmic_ray?"),
        (("--class", "zzz"), "has no class zzz; it has "),
        (("--class", "star", "--model", "reference"), "--class: the model reference has no classes"),
        (("--regions-system", "fk5"), "give --regions too"),
    ],
)
def test_what_there_is_not(classify, argv, words):
    assert words in classify(*argv, code=1)


def test_an_earlier_scorings_columns_are_replaced(classify, folder, tmp_path):
    classify("--columns", "classes,snr")
    again = tmp_path / "again.ecsv"
    (tmp_path / "o.ecsv").rename(again)
    found = classify(catalog=again)
    assert found.colnames == ["id", "x", "y", "ra", "dec", *OURS]


def test_positions_on_the_sky(classify, folder):
    found = classify()
    placed = np.isfinite(found["x"])
    world = WCS(wcs_header()).all_pix2world(found["x"][placed], found["y"][placed], 0)
    np.testing.assert_array_equal([found["ra"][placed], found["dec"][placed]], world)
    assert np.isnan(found["ra"][~placed]).all()
    assert (found["ra"].unit, found["dec"].dtype) == ("deg", np.float64)
    detected = classify(catalog=None)
    assert detected.colnames[-2:] == ["ra", "dec"]


@pytest.mark.parametrize("name", ["ra", "DEC", "RA"])
def test_columns_of_these_names_stay_as_they_came(classify, folder, name):
    table = read_catalog(folder / "cat.csv")
    table[name] = "mine"
    table.write(folder / "own.csv", overwrite=True)
    found = classify(catalog="own.csv")
    assert list(found[name]) == ["mine"] * len(found)
    assert found.colnames == ["id", "x", "y", name, *OURS]


def test_a_wcs_that_cannot_be_used_costs_the_columns_alone(classify, folder, scene, caplog):
    header = wcs_header()
    header["CDELT1"] = 0.0
    fits.writeto(folder / "bad.fits", scene[0], header, overwrite=True)
    assert classify(image=folder / "bad.fits").colnames == ["id", "x", "y", *OURS]
    assert "the WCS is not used, so there is no ra and dec" in caplog.text


def test_orders(classify):
    rows = classify()
    threshold = rows.meta["rb_threshold"]
    doubtful, score = classify("--sort", "doubtful"), classify("--sort", "score")
    for found in (doubtful, score):
        assert sorted(found["id"]) == sorted(rows["id"])
        assert np.isnan(found["rb_score"][-2:]).all()
        assert list(found["id"][-2:]) == ["s0000", "s0001"]
    away = np.abs(np.asarray(doubtful["rb_score"][:-2], float) - threshold)
    assert np.all(np.diff(away) >= 0)
    assert np.all(np.diff(score["rb_score"][:-2]) <= 0)
    assert list(classify("--sort", "row")["id"]) == list(rows["id"])


def test_equals_stay_in_their_order_and_empty_stays_empty():
    table = Table({"rb_score": np.float32([0.6, 0.4, np.nan, 0.6]), "k": [0, 1, 2, 3]})
    table.meta["rb_threshold"] = 0.5
    assert list(table["k"][order_of(table, "score")]) == [0, 3, 1, 2]
    assert list(table["k"][order_of(table, "doubtful")]) == [1, 0, 3, 2]
    assert len(order_of(table[:0], "score")) == 0


def test_rows_of_some_classes(classify):
    rows = classify()
    kinds = np.asarray(np.ma.filled(rows["rb_class"], ""))
    other = next(name for name in kinds if name not in ("", "star"))
    found = classify("--class", f"{other},trail")
    assert list(found["id"]) == list(rows["id"][np.isin(kinds, [other, "trail"])])
    assert 0 < len(found) < len(rows)
    both = classify("--class", "star", "--filter", "--sort", "score", "--columns", "rb_score,rb_class")
    assert set(both["rb_class"]) == {"star"}
    assert both["rb_score"].min() > both.meta["rb_threshold"]


def test_regions_on_the_sky_or_in_pixels(classify, folder, tmp_path, scene):
    reg = tmp_path / "v.reg"
    for options, system in (((), "fk5"), (("--regions-system", "image"), "image")):
        classify("--regions", str(reg), *options)
        assert reg.read_text().splitlines()[2] == system
    fits.writeto(folder / "no_wcs.fits", scene[0], overwrite=True)
    classify("--regions", str(reg), image=folder / "no_wcs.fits")
    assert reg.read_text().splitlines()[2] == "image"
    options = ("--regions", str(reg), "--regions-system", "fk5")
    assert "use --regions-system image" in classify(*options, image=folder / "no_wcs.fits", code=1)


def test_a_batch_writes_the_same_columns(folder, tmp_path):
    options = ScoreOptions(show=("rb_score", "classes", "x"))
    report = run_batch(folder / "image.fits", tmp_path, options=options, workers=1)
    found = read_catalog(report.results[0].output)
    assert found.colnames[0] == "rb_score"
    assert found.colnames[-1] == "x"
    assert all(name.startswith("rb_p_") for name in found.colnames[1:-1])
    report = run_batch(folder / "image.fits", tmp_path, workers=1)
    assert report.n_scored == 1


def test_names_and_extras():
    assert extra_of(["id", "rb_snr", "rb_p_star"]) == ("classes", "snr")
    assert extra_of(["id"]) == ()
    table = Table({"a": [1], "rb_p_star": [0.5], "ra": [3.0]})
    assert picked(table, []) is table
    assert picked(table, ["classes", "ra"]) is table
    assert picked(table, ["ra", "a", "ra"]).colnames == ["ra", "a"]
    assert of_classes(Table({"rb_class": ["", "star"]}), ["star"]).tolist() == [False, True]


def test_extras_of_the_library(classifier, scene):
    image, table, fwhm = scene
    found = classifier.classify(table, image, fwhm=fwhm, extra=["snr"])
    assert found.colnames[-1] == "rb_snr"
    with pytest.raises(InputError, match="no extra columns sky, but classes, snr"):
        classifier.classify(table, image, fwhm=fwhm, extra=["sky"])
    with pytest.raises(InputError, match="reference has no classes"):
        Classifier("reference").classify(table, image, fwhm=fwhm, extra=["classes"])
    check_names(["rb_p_star", "id"], ["id"], classifier.spec)


# -------------------------------------------------------------------------- nothing to score


def nothing(folder):
    """Half of the positions are no numbers, the others lie off the image."""
    k = np.arange(20)
    table = Table({"x": np.where(k % 2, np.nan, 9000.0), "y": np.full(20, 50.0)})
    table.write(folder / "nothing.csv", overwrite=True)


def test_nothing_that_could_be_scored_has_a_code_of_its_own(classify, folder, capsys, caplog):
    nothing(folder)
    found = classify(catalog="nothing.csv", code=3)
    assert len(found) == 20
    assert np.isnan(found["rb_score"]).all()
    assert (
        "image.fits: nothing could be scored: 10 POSITION_NOT_FINITE (the position is masked, NaN or "
        "infinite), 10 OFF_IMAGE (the position lies off the image)"
    ) in caplog.text
    # --json and -q say the same by the code.
    catalog = str(folder / "nothing.csv")
    code = main(["classify", str(folder / "image.fits"), "--catalog", catalog, "--json", "-q"])
    result = json.loads(capsys.readouterr().out)
    assert (code, result["summary"]["unscored"], len(result["rows"])) == (3, 20, 20)


def test_a_batch_in_which_nothing_could_be_scored(folder, tmp_path, capsys):
    nothing(folder)
    argv = ["batch", str(folder / "image.fits"), "-o", str(tmp_path), "--workers", "1"]
    assert main([*argv, "--catalog", "{dir}/nothing.csv"]) == 3
    assert "nothing could be scored: 10 POSITION_NOT_FINITE" in capsys.readouterr().err
    assert main([*argv, "--catalog", "{dir}/cat.csv", "--overwrite"]) == 0


def test_nothing_detected_and_no_rows_are_no_errors(classify, folder, tmp_path, caplog):
    fits.writeto(tmp_path / "flat.fits", np.random.default_rng(0).normal(300, 8, (90, 90)))
    assert len(classify(image=tmp_path / "flat.fits", catalog=None)) == 0
    assert "nothing was detected" in caplog.text
    Table({"x": np.zeros(0), "y": np.zeros(0)}).write(folder / "empty.csv", overwrite=True)
    assert len(classify(catalog="empty.csv")) == 0
    assert "empty.csv has no rows for it, so nothing was scored" in caplog.text


def test_some_scored_is_fine(folder):
    found = score_file(
        str(folder / "image.fits"), str(folder / "cat.csv"), ScoreOptions(), ScoreOptions().classifier()
    )
    assert found.summary["unscored"] == 2
