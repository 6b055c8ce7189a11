"""A scored catalogue is looked at again as it was scored, and on its own image alone."""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table, vstack
from matplotlib.image import imread

from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.pipeline.as_scored import as_scored, rows_of_image
from rbinfer.pipeline.options import ScoreOptions

FIELD = str(Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits")


def test_what_is_noted_holds_unless_something_else_is_said():
    meta = {
        "RB_OPTS": '{"fwhm": 2.5, "plane": "1", "max_missed": 0.01, "show": ["snr"], "swap_xy": true}',
        "RB_THRESHOLD": 0.9995,
    }
    assert as_scored(ScoreOptions(), meta) == ScoreOptions(fwhm=2.5, plane="1", threshold=0.9995)
    given = ScoreOptions(fwhm=4.0, max_false=0.1)
    assert as_scored(given, meta) == ScoreOptions(fwhm=4.0, plane="1", max_false=0.1)


@pytest.mark.parametrize(
    "meta", [{}, {"rb_opts": "no JSON", "rb_threshold": "high"}, {"rb_opts": '{"bad_bits": 3}'}]
)
def test_without_notes_or_with_damaged_ones_nothing_changes(meta):
    assert as_scored(ScoreOptions(fwhm=3.0), meta) == ScoreOptions(fwhm=3.0)


def test_explain_says_what_the_catalogue_says(tmp_path, capsys):
    path = str(tmp_path / "s.ecsv")
    assert main(["classify", FIELD, "--fwhm", "2.2", "--threshold", "0.9995", "-o", path]) == 0
    table = Table.read(path)
    row = int(np.flatnonzero((table["rb_score"] > 0.6) & (table["rb_score"] < 0.999))[0])
    capsys.readouterr()
    assert main(["explain", FIELD, "--catalog", path, "--row", str(row)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert words.startswith("Bogus")
    assert f"score {table['rb_score'][row]:.3f}" in words
    assert "threshold 0.9995" in words


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The example and its mirror image, both scored, and the rows of both in one table."""
    folder = tmp_path_factory.mktemp("two")
    pixels = fits.getdata(FIELD)
    parts = []
    for name, image in (("a", pixels), ("b", pixels[:, ::-1])):
        fits.writeto(folder / f"{name}.fits", image)
        out = folder / f"{name}.ecsv"
        assert main(["classify", str(folder / f"{name}.fits"), "-o", str(out), "-q"]) == 0
        parts.append(Table.read(out))
        parts[-1]["rb_image"] = f"raw/{name}.fits"
    vstack(parts, metadata_conflicts="silent").write(folder / "both.ecsv")
    return folder, parts


def test_rows_of_many_images_are_of_their_own(two, capsys):
    folder, (first, second) = two
    both = Table.read(folder / "both.ecsv")
    np.testing.assert_array_equal(rows_of_image(both, "b.fits"), len(first) + np.arange(len(second)))
    with pytest.raises(InputError, match=r"no row of the catalogue is of c.fits; they are of a.fits, b"):
        rows_of_image(both, "c.fits")
    doubtful = int(np.argmin(np.abs(second["rb_score"] - 0.5)))
    row = len(first) + doubtful
    explain = ["explain", "--catalog", str(folder / "both.ecsv"), "--row", str(row)]
    assert main([*explain, str(folder / "b.fits")]) == 0
    said = re.search(r"score +([0-9.]+);", capsys.readouterr().out)
    assert float(said[1]) == pytest.approx(second["rb_score"][doubtful], abs=1e-3)
    assert main([*explain, str(folder / "a.fits")]) == 1
    assert f"row {row} of {folder}/both.ecsv is of raw/b.fits, not of" in capsys.readouterr().err


def test_pictures_show_the_rows_of_the_image_alone(two):
    folder, _ = two
    for name in ("both", "b"):
        files = [str(folder / each) for each in ("b.fits", f"{name}.ecsv", f"{name}.png")]
        assert main(["gallery", *files[:2], "-o", files[2], "--kind", "overlay"]) == 0
    np.testing.assert_array_equal(imread(folder / "both.png"), imread(folder / "b.png"))


def test_another_image_than_the_noted_one_is_told(two, capsys):
    folder, _ = two
    picture = ["-o", str(folder / "wrong.png"), "--kind", "overlay"]
    assert main(["gallery", str(folder / "a.fits"), str(folder / "b.ecsv"), *picture]) == 0
    assert (
        f"the catalogue is of {folder}/b.fits, but the image is {folder}/a.fits"
        in capsys.readouterr().err
    )


def test_of_a_cube_the_plane_that_was_scored_is_drawn(tmp_path, two):
    pixels = fits.getdata(FIELD)
    fits.writeto(tmp_path / "a.fits", np.stack([pixels[::-1], pixels]))
    files = [str(tmp_path / "a.fits"), str(tmp_path / "s.ecsv")]
    assert main(["classify", files[0], "--plane", "1", "-o", files[1], "-q"]) == 0
    assert main(["gallery", *files, "-o", str(tmp_path / "s.png"), "--kind", "overlay"]) == 0
    folder, _ = two
    plain = ["gallery", str(folder / "a.fits"), str(folder / "a.ecsv"), "--kind", "overlay"]
    assert main([*plain, "-o", str(folder / "a.png")]) == 0
    np.testing.assert_array_equal(imread(tmp_path / "s.png"), imread(folder / "a.png"))
