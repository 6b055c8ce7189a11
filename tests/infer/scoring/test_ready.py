"""Ready-made stamps: arrays, cubes, folders and alert packets, with the width known or not."""

import gzip
import io
from dataclasses import replace

import numpy as np
import onnx
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer import Classifier, PreprocessSpec, Status
from rbinfer.cli import main
from rbinfer.cutouts.star import star_on_grid
from rbinfer.errors import InputError
from rbinfer.io.exposure import as_exposure
from rbinfer.io.ready import read_stamps
from rbinfer.measure.pooled import pooled_widths
from rbinfer.model.session import read_spec
from rbinfer.model.spec import METADATA_KEY
from rbinfer.scoring.prepare import prepare
from rbinfer.status import UNSCORED

from ..measure.test_estimate import FEW

SIDE = 41


@pytest.fixture(scope="module")
def cube(scene):
    """Return stamps (n, 41, 41) around each object of the scene, and which are stars."""
    return stamps_of(scene, SIDE), np.asarray(scene[1]["real"])


def stamps_of(scene, side):
    image, table, _ = scene
    whole = np.pad(image, side // 2, mode="reflect")
    at = [(round(y), round(x)) for x, y in table["x", "y"]]
    return np.stack([whole[r : r + side, c : c + side] for r, c in at])


def test_stamps_of_one_image_tell_their_width_and_are_judged(classifier, cube, scene):
    stamps, real = cube
    found = classifier.score_stamps(stamps, images=np.zeros(len(stamps), int).tolist())
    assert set(found.fwhm_source) == {"measured"}
    # The scene is sampled, not integrated over pixels, which the fit takes off.
    np.testing.assert_allclose(found.fwhm, np.sqrt(scene[2] ** 2 - 8 * np.log(2) / 12), rtol=0.03)
    assert (found.score[real] > classifier.threshold).mean() > 0.95
    assert (found.score[~real] > classifier.threshold).mean() < 0.05
    assert not (found.status & Status.FWHM_ASSUMED).any()


def test_scores_are_those_of_the_image_where_the_stamp_holds_all_that_is_seen(classifier, scene):
    image, table, fwhm = scene
    # The wide view of 26 FWHM turns with its lattice: it is within 91 pixels.
    side = 91
    inner = np.flatnonzero(
        (table["x"] > 50) & (table["x"] < 345) & (table["y"] > 50) & (table["y"] < 345)
    )
    x, y = np.rint(table["x"][inner]), np.rint(table["y"][inner])
    whole = classifier.score(image, x, y, fwhm=fwhm)
    found = classifier.score_stamps(stamps_of(scene, side)[inner], fwhm)
    np.testing.assert_allclose(found.score, whole.score, atol=1e-5)
    np.testing.assert_array_equal(found.status, whole.status)
    assert set(found.fwhm_source) == {"given"}


def test_a_stamp_on_its_own_has_an_assumed_width_and_says_so(classifier, cube):
    found = classifier.score_stamps(cube[0][:3])
    assert found.fwhm_source.tolist() == ["assumed"] * 3
    assert (found.status & Status.FWHM_ASSUMED != 0).all()
    assert np.isfinite(found.score).all()


def test_few_stamps_borrow_the_width_of_other_images(classifier, cube):
    images = ["many"] * (len(cube[0]) - 2) + ["one", "another"]
    found = classifier.score_stamps(cube[0], images=images)
    assert found.fwhm_source[-2:].tolist() == ["borrowed"] * 2
    assert found.fwhm[-1] == pytest.approx(found.fwhm[0])
    assert (found.status & Status.FWHM_ASSUMED != 0).tolist() == [False] * (len(images) - 2) + [True] * 2


def test_the_star_is_measured_where_a_width_is_given_too(cube, scene):
    stamps = [as_exposure(stamp) for stamp in cube[0]]
    n = len(stamps)
    own = pooled_widths(stamps, ["one"] * n)[0]
    for fwhm in (own.fwhm, 1.3 * own.fwhm):
        width = pooled_widths(stamps, ["one"] * n, [fwhm] * n)[0]
        assert (width.fwhm, width.source) == (fwhm, "given")
        np.testing.assert_array_equal(width.population, own.population)
        # On the grid of the cutouts it is as wide as the stars are there.
        spec = PreprocessSpec.default()
        given = prepare(replace(stamps[0], width=width), spec, [20.0], [20.0])
        expected = star_on_grid(own.stamp, own.fwhm / 3.0, spec, fwhm)
        np.testing.assert_array_equal(given.psf, expected)
    alone = pooled_widths(stamps[:2], ["one", "another"], [own.fwhm] * 2)
    assert [width.stamp for width in alone] == [None, None]


def test_a_width_that_is_too_large_does_less_harm_where_the_star_is_known(classifier, cube, scene):
    stamps, real = cube
    n, wide = len(stamps), 1.35 * scene[2]
    wrong = [
        ((found.score > classifier.threshold) != real).sum()
        for found in (
            classifier.score_stamps(stamps, wide),
            classifier.score_stamps(stamps, wide, images=["one"] * n),
        )
    ]
    assert wrong[1] <= wrong[0]
    assert wrong[1] <= 0.05 * n


def test_of_many_stamps_some_are_measured(cube, monkeypatch):
    stamps = [as_exposure(stamp) for stamp in cube[0]]
    monkeypatch.setattr("rbinfer.measure.pooled._MOST", len(stamps) // 2)
    some = pooled_widths(stamps, ["one"] * len(stamps))
    half = pooled_widths(stamps[::2], ["one"] * len(stamps[::2]))
    assert [width.fwhm for width in some] == [half[0].fwhm] * len(stamps)


def test_stamps_that_may_show_stars_are_scored_with_what_is_likely(model_path, tmp_path):
    proto = onnx.load(model_path)
    spec = read_spec(model_path)
    weighing = replace(spec, preprocess=replace(spec.preprocess, likely_width=True), golden=None)
    del proto.metadata_props[:]
    proto.metadata_props.add(key=METADATA_KEY, value=weighing.to_json())
    onnx.save(proto, tmp_path / "weighing.onnx")
    found = Classifier(tmp_path / "weighing.onnx", device="cpu").score_stamps([FEW])
    assert found.fwhm[0] == pytest.approx(6.0, rel=0.05)
    assert found.fwhm_source[0] == "assumed"


def test_each_may_have_its_own_width_size_and_place(classifier, cube):
    star = cube[0][0]
    found = classifier.score_stamps(
        [star, star[5:, 3:], np.full((30, 30), np.nan)],
        [3.2, np.nan, 3.2],
        x=[20, 17, 15],
        y=[20, 15, 15],
    )
    assert found.fwhm_source.tolist() == ["given", "assumed", "given"]
    assert found.score[0] > 0.5
    assert np.isnan(found.score[2])
    assert found.status[2] & UNSCORED
    empty = classifier.score_stamps([])
    assert len(empty.score) == len(empty.fwhm_source) == 0


@pytest.mark.parametrize(
    ("known", "word"),
    [
        ({"fwhm": [1.0, 2.0]}, "fwhm"),
        ({"fwhm": -1.0}, "above 0.* not -1$"),
        ({"fwhm": [-1.0, -2.0, 3.0]}, "not -1, -2$"),
        ({"fwhm": np.nan}, "not nan$"),
        ({"x": [1.0]}, "`x` has shape"),
        ({"images": [1]}, "images"),
    ],
)
def test_values_that_do_not_fit_the_stamps_are_refused(classifier, cube, known, word):
    with pytest.raises(InputError, match=word):
        classifier.score_stamps(cube[0][:3], **known)


def packed(stamp, compress=True):
    buffer = io.BytesIO()
    fits.writeto(buffer, stamp)
    return gzip.compress(buffer.getvalue()) if compress else buffer.getvalue()


ZTF = {
    "type": "record", "name": "alert", "fields": [
        {"name": "candid", "type": "long"},
        {"name": "candidate", "type": {"type": "record", "name": "candidate", "fields": [
            {"name": "pid", "type": "long"}, {"name": "jd", "type": "double"}]}},
        {"name": "cutoutScience", "type": ["null", {"type": "record", "name": "cutout", "fields": [
            {"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}]}]},
    ],
}  # fmt: skip
LSST = {
    "type": "record", "name": "alert", "fields": [
        {"name": "diaSourceId", "type": "long"},
        {"name": "diaSource", "type": {"type": "record", "name": "diaSource", "fields": [
            {"name": "visit", "type": "long"}, {"name": "detector", "type": "int"}]}},
        {"name": "cutoutScience", "type": ["null", "bytes"]},
    ],
}  # fmt: skip


def write_alerts(path, stamps, survey):
    fastavro = pytest.importorskip("fastavro")
    if survey == "ztf":
        records = [
            {"candid": k, "candidate": {"pid": 7, "jd": 2460000.5},
             "cutoutScience": {"fileName": "s.fits.gz", "stampData": packed(stamp)}}
            for k, stamp in enumerate(stamps)
        ]  # fmt: skip
    else:
        records = [
            {
                "diaSourceId": k,
                "diaSource": {"visit": 7, "detector": 3},
                "cutoutScience": packed(stamp, False),
            }
            for k, stamp in enumerate(stamps)
        ]  # fmt: skip
    with path.open("wb") as file:
        fastavro.writer(file, ZTF if survey == "ztf" else LSST, records)


@pytest.mark.parametrize("survey", ["ztf", "lsst"])
def test_alert_packets_score_as_their_stamps(classifier, cube, tmp_path, survey):
    write_alerts(tmp_path / "night.avro", cube[0], survey)
    stamps = read_stamps([tmp_path])
    assert [stamp.name for stamp in stamps] == [str(k) for k in range(len(cube[0]))]
    assert len({stamp.image for stamp in stamps}) == 1
    found = classifier.score_stamps([s.exposure for s in stamps], images=[s.image for s in stamps])
    expected = classifier.score_stamps(cube[0], images=[0] * len(cube[0]))
    np.testing.assert_array_equal(found.score, expected.score)


def test_alerts_that_cannot_be_read_are_named(cube, tmp_path):
    fastavro = pytest.importorskip("fastavro")
    with (tmp_path / "bare.avro").open("wb") as file:
        fastavro.writer(file, LSST, [{"diaSourceId": 5, "diaSource": {"visit": 1, "detector": 2},
                                      "cutoutScience": None}])  # fmt: skip
    with pytest.raises(InputError, match=r"packet 0 of .*no science stamp"):
        read_stamps([tmp_path / "bare.avro"])
    write_alerts(tmp_path / "good.avro", cube[0][:2], "ztf")
    content = (tmp_path / "good.avro").read_bytes()
    (tmp_path / "cut.avro").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.avro cannot be read as Avro"):
        read_stamps([tmp_path / "cut.avro"])
    write_alerts(tmp_path / "none.avro", [], "ztf")
    with pytest.raises(InputError, match=r"none\.avro has no alert packets"):
        read_stamps([tmp_path / "none.avro"])


def test_command_line_scores_a_cube_and_a_folder(cube, tmp_path, capsys):
    stamps, real = cube
    fits.writeto(tmp_path / "cube.fits", stamps.astype(np.float32))
    assert main(["stamps", str(tmp_path / "cube.fits"), "-o", str(tmp_path / "out.ecsv")]) == 0
    table = Table.read(tmp_path / "out.ecsv")
    assert table["name"].tolist() == [str(k) for k in range(len(stamps))]
    assert ((table["rb_score"] > table.meta["rb_threshold"]) == real).mean() > 0.95
    assert table.meta["rb_fwhm_source"] == "measured"
    assert f"{len(stamps)} stamps; FWHM 3.1" in capsys.readouterr().err
    (tmp_path / "single").mkdir()
    for k in range(4):
        fits.writeto(tmp_path / "single" / f"s{k}.fits", stamps[k].astype(np.float32))
    assert main(["stamps", str(tmp_path / "single"), "--fwhm", "3.2", "-q"]) == 0
    rows = Table.read(capsys.readouterr().out, format="ascii.ecsv")
    assert rows["rb_fwhm_source"].tolist() == ["given"] * 4
    np.testing.assert_allclose(rows["rb_score"], table["rb_score"][:4], atol=0.2)


def test_a_stamp_of_the_folder_is_not_written_over(cube, tmp_path, capsys):
    path = tmp_path / "one.fits"
    fits.writeto(path, cube[0][0].astype(np.float32))
    before = path.read_bytes()
    assert main(["stamps", str(tmp_path), "-o", str(path), "--overwrite", "--fwhm", "3"]) == 1
    assert "one.fits" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_folder_without_stamps_is_told(tmp_path, capsys):
    assert main(["stamps", str(tmp_path)]) == 1
    assert "has no stamps" in capsys.readouterr().err


@pytest.mark.parametrize(("side", "is_told"), [(300, True), (63, False)])
def test_a_whole_image_is_hardly_a_stamp(tmp_path, caplog, side, is_told):
    fits.writeto(tmp_path / "s.fits", np.zeros((side, side), np.float32))
    assert len(read_stamps([tmp_path / "s.fits"])) == 1
    assert ("300 x 300 pixels and is taken for one stamp" in caplog.text) == is_told
