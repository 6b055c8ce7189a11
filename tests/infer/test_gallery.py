"""Pictures of verdicts: what is drawn where, and what is refused."""

import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from rbinfer import Classifier, InputError
from rbinfer.cli import main
from rbinfer.gallery import _COLOURS, cutout_sheet, histogram, overlay, verdicts


@pytest.fixture(scope="module")
def scored(scene):
    image, table, fwhm = scene
    return image, Classifier().classify(table["x", "y"], image, fwhm=fwhm), fwhm


def test_verdicts():
    table = Table({"rb_score": np.array([0.5, 0.51, np.nan], np.float32)})
    assert verdicts(table, 0.5).tolist() == ["bogus", "real", "unscored"]


def test_cutouts_in_the_order_of_scores(scored):
    image, table, fwhm = scored
    figure = cutout_sheet(image, table["x"], table["y"], table, 0.5, fwhm, most=20)
    assert len(figure.axes) == 20
    labels = [axes.get_xlabel().split("\n") for axes in figure.axes]
    scores = [float(score) for _, score in labels]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(np.nanmin(table["rb_score"]), abs=1e-3)
    assert scores[-1] == pytest.approx(np.nanmax(table["rb_score"]), abs=1e-3)
    for axes, score in zip(figure.axes, scores, strict=True):
        colour = _COLOURS["real" if score > 0.5 else "bogus"]
        assert axes.spines["left"].get_edgecolor() == to_rgba(colour)


def test_the_right_way_up():
    """A detection below a bright pixel at its upper left: rows count upwards."""
    image = np.zeros((101, 101), np.float32)
    image[58, 46] = 1000.0
    table = Table({"x": [50.0], "y": [50.0], "rb_score": [0.9]})
    (axes,) = cutout_sheet(image, table["x"], table["y"], table, 0.5, 3.0).axes
    (drawn,) = axes.images
    assert drawn.origin == "lower"
    half = drawn.get_array().shape[0] // 2
    assert np.unravel_index(np.argmax(drawn.get_array()), drawn.get_array().shape) == (
        half + 8,
        half - 4,
    )


def test_circles_lie_on_their_detections(scored):
    image, table, fwhm = scored
    (axes,) = overlay(image, table["x"], table["y"], table, 0.5, fwhm).axes
    verdict = verdicts(table, 0.5)
    for name, circles in zip(_COLOURS, axes.collections, strict=True):
        of = verdict == name
        drawn = np.asarray(circles.get_offsets()).reshape(-1, 2)
        np.testing.assert_array_equal(drawn, np.column_stack([table["x"][of], table["y"][of]]))
    assert axes.get_ylim() == (-0.5, image.shape[0] - 0.5)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert f"real ({np.count_nonzero(verdict == 'real')})" in texts


def test_histogram_counts_every_scored_row(scored):
    _, table, _ = scored
    (axes,) = histogram(table, 0.5).axes
    top = {}
    for patch in axes.patches:
        top[patch.get_x()] = max(top.get(patch.get_x(), 0), patch.get_y() + patch.get_height())
    assert sum(top.values()) == np.count_nonzero(np.isfinite(table["rb_score"]))


@pytest.mark.parametrize("kind", ["cutouts", "overlay", "histogram"])
@pytest.mark.parametrize("suffix", ["ecsv", "fits"])
def test_on_the_command_line(scored, tmp_path, kind, suffix):
    image, table, _ = scored
    fits.writeto(tmp_path / "i.fits", image)
    table["x", "y"].write(tmp_path / "c.ecsv")
    files = [str(tmp_path / name) for name in ("i.fits", f"s.{suffix}")]
    assert main(["classify", files[0], "--catalog", str(tmp_path / "c.ecsv"), "-o", files[1], "-q"]) == 0
    picture = tmp_path / "a b.png"
    assert main(["gallery", *files, "-o", str(picture), "--kind", kind]) == 0
    assert imread(picture).std() > 0.05
    before = picture.read_bytes()
    assert main(["gallery", *files, "-o", str(picture), "--kind", kind]) == 1
    assert picture.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["i.fits", "c.ecsv", f"s.{suffix}", "a b.png"]
    )


def test_refused(scored, tmp_path, capsys, monkeypatch):
    image, table, _ = scored
    fits.writeto(tmp_path / "i.fits", image)
    table.write(tmp_path / "s.ecsv")
    table["x", "y"].write(tmp_path / "c.ecsv")
    for catalogue, out, words in (
        ("s.ecsv", "a.docx", "docx names no format of pictures; known are"),
        ("c.ecsv", "a.png", "no column rb_score"),
    ):
        files = [str(tmp_path / name) for name in ("i.fits", catalogue)]
        assert main(["gallery", *files, "-o", str(tmp_path / out)]) == 1
        assert words in capsys.readouterr().err
    nothing = Table({"x": [1.0], "y": [1.0], "rb_score": [np.nan]})
    for draw in (
        lambda: histogram(nothing, 0.5),
        lambda: cutout_sheet(image, nothing["x"], nothing["y"], nothing, 0.5, 3.0),
    ):
        with pytest.raises(InputError, match="nothing to draw"):
            draw()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["gallery", *files, "-o", str(tmp_path / "a.png")]) == 1
    assert 'pip install "rbinfer[plots]"' in capsys.readouterr().err


def test_positions_are_found_as_classify_found_them(scored, tmp_path):
    """Columns of other names, counted from 1: the output notes it."""
    image, table, _ = scored
    hdus = [fits.PrimaryHDU(np.zeros((40, 40), np.float32)), fits.ImageHDU(image)]
    fits.HDUList(hdus).writeto(tmp_path / "i.fits")
    Table({"X": table["x"] + 1, "Y": table["y"] + 1}).write(tmp_path / "c.ecsv")
    files = [str(tmp_path / name) for name in ("i.fits", "s.fits")]
    options = ["--x-col", "X", "--y-col", "Y", "--origin", "1", "--hdu", "1", "-q"]
    catalog = str(tmp_path / "c.ecsv")
    assert main(["classify", files[0], "--catalog", catalog, "-o", files[1], *options]) == 0
    noted = {key.lower(): value for key, value in Table.read(files[1]).meta.items()}
    assert [noted[f"rb_{key}"] for key in ("x_col", "y_col", "origin", "hdu")] == ["X", "Y", 1, 1]
    assert main(["gallery", *files, "-o", str(tmp_path / "s.png"), "--kind", "overlay"]) == 0


def test_what_a_catalogue_notes_is_checked(scored, tmp_path, capsys):
    image, table, _ = scored
    fits.writeto(tmp_path / "i.fits", image)
    wrong = table.copy()
    wrong.meta["rb_threshold"] = "abc"
    wrong.write(tmp_path / "s.ecsv")
    files = [str(tmp_path / name) for name in ("i.fits", "s.ecsv")]
    assert main(["gallery", *files, "-o", str(tmp_path / "s.png")]) == 1
    assert "rb_threshold = 'abc'" in capsys.readouterr().err
