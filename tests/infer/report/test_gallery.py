"""Pictures of verdicts: what is drawn where, and what is refused."""

import re
import sys
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from rbinfer import Classifier, InputError
from rbinfer.cli import main
from rbinfer.io.regions import COLOURS, as_regions
from rbinfer.report.gallery import MOST_CUTOUTS, cutout_sheet, histogram, overlay, save, verdicts


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
    scores = [float(score) for _, score, _ in labels]
    assert scores == sorted(scores)
    for _, score, row in labels:
        assert float(score) == pytest.approx(table["rb_score"][int(row.removeprefix("row "))], abs=6e-4)
    assert scores[0] == pytest.approx(np.nanmin(table["rb_score"]), abs=1e-3)
    assert scores[-1] == pytest.approx(np.nanmax(table["rb_score"]), abs=1e-3)
    for axes, score in zip(figure.axes, scores, strict=True):
        colour = COLOURS["real" if score > 0.5 else "bogus"]
        assert axes.spines["left"].get_edgecolor() == to_rgba(colour)


def test_the_doubtful_first(scored):
    image, table, fwhm = scored
    figure = cutout_sheet(
        image, table["x"], table["y"], table, 0.5, fwhm, most=5, is_doubtful_first=True
    )
    rows = [int(axes.get_xlabel().split("row ")[1]) for axes in figure.axes]
    away = np.abs(np.asarray(table["rb_score"]) - 0.5)
    assert rows == np.argsort(away, kind="stable")[:5].tolist()


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
    figure = overlay(image, table["x"], table["y"], table, 0.5, fwhm)
    (axes,) = figure.axes
    verdict = verdicts(table, 0.5)
    for name, circles in zip(COLOURS, axes.collections, strict=True):
        of = verdict == name
        drawn = np.asarray(circles.get_offsets()).reshape(-1, 2)
        np.testing.assert_array_equal(drawn, np.column_stack([table["x"][of], table["y"][of]]))
    assert axes.get_ylim() == (-0.5, image.shape[0] - 0.5)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert f"real ({np.count_nonzero(verdict == 'real')})" in texts


@pytest.mark.parametrize("shape", [(60, 600), (400, 400), (600, 60)])
def test_the_legend_covers_no_pixel(scored, tmp_path, shape):
    image, table, fwhm = scored
    figure = overlay(np.resize(image, shape), table["x"], table["y"], table, 0.5, fwhm)
    save(figure, tmp_path / "o.png")
    (axes,), (legend,) = figure.axes, figure.legends
    assert legend.get_window_extent().y0 > axes.get_window_extent().y1


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


@pytest.fixture(scope="module")
def mosaic(scored, tmp_path_factory):
    """Return a file with two images, of different numbers of detections, and the scores of both."""
    image, table, _ = scored
    folder = tmp_path_factory.mktemp("mosaic")
    hdus = [fits.ImageHDU(image, name="A"), fits.ImageHDU(image[::-1], name="B")]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / "m.fits")
    both = [Table([table["x"], table["y"]])[:n] for n in (len(table), 9)]
    both[1]["y"] = image.shape[0] - 1 - both[1]["y"]
    tables = [fits.table_to_hdu(one) for one in both]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(folder / "c.fits")
    files = [str(folder / name) for name in ("m.fits", "c.fits", "s.ecsv")]
    argv = ["classify", files[0], "--catalog", files[1], "--hdu", "all", "-o", files[2], "-q"]
    assert main(argv) == 0
    return files[0], files[2], [len(one) for one in both]


@pytest.mark.parametrize(("hdu", "number"), [("1", 0), ("2", 1), ("B", 1)])
@pytest.mark.parametrize("kind", ["overlay", "cutouts"])
def test_of_a_mosaic_the_rows_of_an_hdu_are_drawn(mosaic, tmp_path, monkeypatch, kind, hdu, number):
    image, scores, sizes = mosaic
    drawn = {}

    def draw(data, x, y, table, threshold, *rest, **how):
        drawn.update(data=data, rows=table)
        return histogram(table, threshold)

    monkeypatch.setattr(
        f"rbinfer.report.gallery.{'overlay' if kind == 'overlay' else 'cutout_sheet'}", draw
    )
    argv = ["gallery", image, scores, "-o", str(tmp_path / "p.png"), "--kind", kind, "--hdu", hdu]
    assert main(argv) == 0
    assert len(drawn["rows"]) == sizes[number]
    assert set(drawn["rows"]["rb_hdu"]) == {number + 1}
    np.testing.assert_array_equal(drawn["data"], fits.getdata(image, number + 1))


def test_of_a_mosaic_rows_have_their_numbers_in_the_catalogue(mosaic, tmp_path, monkeypatch):
    image, catalog, _ = mosaic
    drawn = []
    monkeypatch.setattr("rbinfer.report.gallery.save", lambda figure, *_: drawn.append(figure))
    assert main(["gallery", str(image), str(catalog), "--hdu", "2", "-o", str(tmp_path / "a.png")]) == 0
    rows = sorted(int(axes.get_xlabel().split("row ")[1]) for axes in drawn[0].axes)
    assert rows == np.flatnonzero(Table.read(catalog)["rb_hdu"] == 2).tolist()


def test_of_a_mosaic_an_hdu_must_be_chosen(mosaic, tmp_path, capsys):
    image, scores, _ = mosaic
    argv = ["gallery", image, scores, "-o", str(tmp_path / "p.png")]
    for options, words in (
        ([], "choose one of its images by --hdu: 1, 2"),
        (["--kind", "overlay"], "choose one of its images by --hdu: 1, 2"),
        (["--hdu", "3"], "has no HDU 3"),
    ):
        assert main([*argv, *options]) == 1
        assert words in capsys.readouterr().err
    table = Table.read(scores)
    one = table[table["rb_hdu"] == 2]
    one.write(tmp_path / "one.ecsv")
    argv[2] = str(tmp_path / "one.ecsv")
    assert main([*argv, "--hdu", "1"]) == 1
    assert "no rows of HDU 1, but of 2" in capsys.readouterr().err
    assert main(argv) == 0  # there is nothing to choose
    one["rb_hdu"] = [f"CCD{k}" for k in one["rb_hdu"]]
    one.write(tmp_path / "one.ecsv", overwrite=True)
    assert main([*argv, "--overwrite"]) == 1
    assert "rb_hdu does not hold the number of an HDU" in capsys.readouterr().err


def test_a_histogram_needs_no_image(mosaic, tmp_path, monkeypatch):
    """It counts all rows of a mosaic, or those of the HDU that is asked for."""
    image, scores, sizes = mosaic
    counted = []
    monkeypatch.setattr(
        "rbinfer.report.gallery.histogram",
        lambda table, t: counted.append(len(table)) or histogram(table, t),
    )
    argv = ["-o", str(tmp_path / "p.png"), "--kind", "histogram", "--overwrite"]
    assert main(["gallery", "gone.fits", scores, *argv]) == 0
    assert main(["gallery", image, scores, *argv, "--hdu", "B"]) == 0
    assert counted == [sum(sizes), sizes[1]]


def test_the_order_is_about_cutouts(mosaic, tmp_path, capsys):
    image, catalog, _ = map(str, mosaic)
    out = str(tmp_path / "h.png")
    assert main(["gallery", image, catalog, "-o", out, "--kind", "histogram", "--sort", "doubtful"]) == 1
    assert "--sort is about cutouts" in capsys.readouterr().err


def test_most_is_about_cutouts_and_bounded(mosaic, tmp_path, capsys):
    image, scores, _ = mosaic
    argv = ["gallery", image, scores, "-o", str(tmp_path / "p.png"), "--hdu", "1", "--most"]
    for kind in ("overlay", "histogram"):
        assert main([*argv, "9", "--kind", kind]) == 1
        assert f"leave it out with --kind {kind}" in capsys.readouterr().err
    assert main([*argv, str(MOST_CUTOUTS + 1)]) == 1
    assert f"a sheet has {MOST_CUTOUTS} cutouts at most" in capsys.readouterr().err
    assert not (tmp_path / "p.png").exists()
    with pytest.raises(SystemExit):
        main(["gallery", "--help"])
    assert f"no more than {MOST_CUTOUTS}" in " ".join(capsys.readouterr().out.split())


def test_large_images_are_drawn_by_block_means(tmp_path):
    """Where they were, also of sizes that no block divides, and in little memory."""
    image = np.random.default_rng(1).normal(100.0, 5.0, (4001, 5003)).astype(np.float32)
    image[3000:3012, 4002:4014] = 5000.0
    image[:90, :90] = np.nan
    x, y = np.array([4007.5]), np.array([3005.5])
    table = Table({"x": x, "y": y, "rb_score": np.float32([0.9])})
    tracemalloc.start()
    try:
        figure = overlay(image, x, y, table, 0.5, 3.0)
        save(figure, tmp_path / "o.png")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * image.nbytes
    (axes,) = figure.axes
    (drawn,) = axes.images
    pixels, (left, right, bottom, top) = np.asarray(drawn.get_array()), drawn.get_extent()
    assert max(pixels.shape) <= 2000
    ny, nx = pixels.shape
    rows, columns = np.nonzero(pixels > 0.99)
    assert left + (columns.mean() + 0.5) * (right - left) / nx == pytest.approx(x[0], abs=1.5)
    assert bottom + (rows.mean() + 0.5) * (top - bottom) / ny == pytest.approx(y[0], abs=1.5)
    assert axes.get_xlim() == (-0.5, 5002.5)
    assert axes.get_ylim() == (-0.5, 4000.5)
    assert (pixels[:25, :25] == 0).all()


def test_regions_and_pictures_have_the_same_colours(scored):
    """And such that those who do not see red and green apart can tell them."""
    image, table, fwhm = scored
    text = as_regions(table["x"], table["y"], table["rb_score"], 0.5)
    named = set(re.findall(r"\) # color=(\w+) .*tag=\{(\w+)\}", text))
    assert named == {(COLOURS[name], name) for name in ("real", "bogus")}
    circles = overlay(image, table["x"], table["y"], table, 0.5, fwhm).axes[0].collections
    assert [tuple(one.get_edgecolor()[0]) for one in circles] == [to_rgba(c) for c in COLOURS.values()]
    real, bogus, unscored = (np.array(to_rgba(colour)[:3]) for colour in COLOURS.values())
    assert min(abs(real[2] - bogus[2]), abs(real[2] - unscored[2])) > 0.8  # told apart by blue
    grey = [0.299, 0.587, 0.114]
    assert abs(bogus @ grey - unscored @ grey) > 0.25  # by their brightness


def test_rows_off_the_image_have_no_region():
    x, y = [-0.5, -0.6, 9.49, 9.5, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0, 19.49, 19.5]
    text = as_regions(x, y, np.full(6, 0.9), 0.5, shape=(20, 10))
    found = re.findall(r"circle\(([-.0-9]+),([-.0-9]+)", text)
    assert found == [("0.500", "1.000"), ("10.490", "5.000"), ("5.000", "20.490")]
    assert as_regions(x, y, np.full(6, 0.9), 0.5).count("circle(") == 6
