import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer.cli import main
from rbinfer.cutouts.centring import brightest_near
from rbinfer.diagnostics.explain import explain
from rbinfer.diagnostics.sentences import in_words, sentence
from rbinfer.errors import InputError
from rbinfer.io.exposure import as_exposure
from rbinfer.pipeline.one import open_frame
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.status import Status

FIELD = str(Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits")
STAR, HIT, HOT, GALAXY, EDGE = (157.3, 123.0), (130.0, 44.0), (182.0, 45.0), (78.7, 68.2), (200.65, 3.1)


@pytest.fixture(scope="module")
def frame():
    return open_frame(FIELD, ScoreOptions())


@pytest.mark.parametrize("at", [STAR, HIT, HOT, GALAXY, EDGE])
def test_score_is_that_of_the_whole_image(classifier, frame, at):
    found = explain(classifier, frame, *at)
    whole = classifier.score(frame, [at[0]], [at[1]])
    assert found.score == pytest.approx(float(whole.score[0]), abs=1e-5)
    assert found.status == whole.status[0]
    best = max(found.classes, key=found.classes.get)
    assert best == classifier.spec.classes[int(whole.classes[0].argmax())]


def test_a_star_and_a_hot_pixel_are_told_apart_in_a_sentence(classifier, frame):
    star = explain(classifier, frame, *STAR)
    assert star.is_real
    assert star.shape.fwhm == pytest.approx(frame.width.fwhm, rel=0.1)
    assert star.fit.unexplained < 0.1
    assert sentence(star).startswith(
        "Real: as wide as the stars of this frame (FWHM 3.2 against 3.1 px)"
    )
    hot = explain(classifier, frame, *HOT)
    assert not hot.is_real
    assert hot.shape.fwhm < 1.0
    assert hot.neighbour < 0.1 < 0.5 < hot.star_neighbour
    text = sentence(hot)
    assert text.startswith("Bogus: narrower than the stars of this frame (FWHM ")
    assert "hot pixel (" in text
    assert "wider than the stars" in sentence(explain(classifier, frame, *GALAXY))


def test_what_speaks_against_a_star_comes_first(classifier, frame):
    hot = explain(classifier, frame, *HOT)
    smeared = replace(hot, shape=hot.shape._replace(fwhm=3.1, ratio=2.9), neighbour=0.9)
    smeared = replace(smeared, fit=smeared.fit._replace(unexplained=0.3))
    mean = 1.0 / (1.0 - frame.width.ellipticity)
    assert sentence(smeared).startswith(
        f"Bogus: elongated 2.9 : 1, where the mean star has {mean:.2f} : 1; though as wide as the stars "
        "of this frame (FWHM 3.1 against 3.1 px) and 70 % of its light is explained by the frame's "
        "star: "
    )
    round_one = replace(smeared, shape=smeared.shape._replace(fwhm=3.1, ratio=1.1))
    assert sentence(round_one).startswith(
        "Bogus, though nothing measured here speaks against a star: as wide"
    )
    narrower = replace(round_one, shape=round_one.shape._replace(fwhm=2.6))
    assert "star: a little narrower than the stars of this frame (FWHM 2.6 " in sentence(narrower)
    unlike = replace(round_one, fit=round_one.fit._replace(unexplained=0.6))
    assert "Bogus: only 40 % of its light is explained by the frame's star; though" in sentence(unlike)


@pytest.mark.parametrize("at", [STAR, HIT, HOT, GALAXY])
@given(dx=st.floats(-0.49, 0.49), dy=st.floats(-0.49, 0.49))
@settings(max_examples=8, deadline=None)
def test_a_place_beside_it_is_told_the_same(classifier, frame, at, dx, dy):
    peak = brightest_near(frame, *at, 1)
    here = in_words(explain(classifier, frame, *peak)).splitlines()
    beside = in_words(explain(classifier, frame, peak[0] + dx, peak[1] + dy)).splitlines()
    assert [line for line in beside if not line.startswith("x, y")] == [
        line for line in here if not line.startswith("x, y")
    ]


def test_its_own_shape_does_not_depend_on_the_frames_stars(classifier, frame):
    own = {explain(classifier, frame, *STAR, fwhm=fwhm).shape for fwhm in (2.0, 3.1, 4.0)}
    assert len(own) == 1


def test_what_has_no_shape_says_why(classifier, frame):
    assert re.search(
        "object   FWHM 0.* px, too narrow to measure", in_words(explain(classifier, frame, *HOT))
    )
    faint = replace(explain(classifier, frame, *STAR), shape=None)
    assert "object   too faint to measure its width" in in_words(faint)


@pytest.mark.parametrize(
    ("row", "column", "fall", "said"),
    [
        (6, 6, 0.4, "the centre speaks for real: without it the score would be 0.100"),
        (
            6, 7, 0.4,
            "the patch beside the centre at larger x speaks for real: without it the score would be "
            "0.100",
        ),
        (
            9, 2, -0.4,
            "the patch away from the centre at smaller x and larger y speaks for bogus: "
            "without it the score would be 0.900",
        ),
        (
            6, 12, 0.2,
            "the patch away from the centre at larger x speaks for real: without it the score would "
            "be 0.300",
        ),
        (6, 6, 0.004, "no patch of the cutout alone moves the score by 0.01"),
    ],
)  # fmt: skip
def test_what_counts_is_said_with_its_side(classifier, frame, row, column, fall, said):
    influence = np.zeros((13, 13))
    influence[row, column] = fall
    found = replace(explain(classifier, frame, *STAR), score=0.5, influence=influence)
    assert f"counts   {said}\n" in in_words(found) + "\n"


def test_beside_a_patch_that_counts_more_the_centre_is_told_too(classifier, frame):
    influence = np.zeros((13, 13))
    influence[6, 6], influence[6, 7] = 0.3, -0.4
    found = replace(explain(classifier, frame, *STAR), score=0.5, influence=influence)
    assert found.most_telling == (6, 7)
    assert (
        "beside the centre at larger x speaks for bogus: without it the score would be 0.900; "
        "the centre speaks for real: without it the score would be 0.200\n" in in_words(found) + "\n"
    )


def test_without_matplotlib_the_words_are_printed_all_the_same(tmp_path):
    program = (
        "import sys; sys.modules['matplotlib'] = None; from rbinfer.cli import main; sys.exit(main())"
    )
    words = ["explain", FIELD, "--at", "183,46", "--origin", "1", "-o", str(tmp_path / "why.png")]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.startswith("Bogus: narrower")
    assert "x, y     182.00, 45.00 (pixels from 0)" in done.stdout
    assert 'pip install "rbinfer[plots]"' in done.stderr


def test_what_counts_is_the_object_itself(classifier, frame):
    found = explain(classifier, frame, *STAR)
    row, column = np.unravel_index(found.influence.argmax(), found.influence.shape)
    middle = len(found.influence) // 2
    assert max(abs(row - middle), abs(column - middle)) <= 1
    assert found.influence.max() > 0.5
    # What lies in the corners of the window counts for nothing.
    assert np.abs(found.influence[[0, 0, -1, -1], [0, -1, 0, -1]]).max() < 0.05


def test_an_assumed_width_is_said(classifier):
    noise = np.random.default_rng(1).normal(100, 5, (200, 200)).astype(np.float32)
    noise[100, 100] += 500
    found = explain(classifier, as_exposure(noise), 100, 100)
    assert found.star is None
    assert found.status & Status.FWHM_ASSUMED
    assert "narrower than the width that was assumed" in sentence(found)


@pytest.mark.parametrize("at", [(-5.0, 3.0), (3.0, 1e9), (np.nan, 3.0)])
def test_places_off_the_image_are_refused(classifier, frame, at):
    with pytest.raises(InputError, match="lies off the image"):
        explain(classifier, frame, *at)


def test_text_names_every_class_and_bit(classifier, frame):
    found = explain(classifier, frame, *EDGE)
    text = in_words(found)
    assert all(name in text for name in classifier.spec.classes)
    assert "NEAR_EDGE: part of the cutout lies off the image" in text
    faint = explain(classifier, frame, 100, 100)
    assert faint.status & Status.LOW_SNR
    assert "hardly above the noise (S/N 2.3)" in sentence(faint)


def test_command_line_by_place_by_row_and_as_a_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "why.png"
    assert main(["explain", FIELD, "--at", "182,45", "-o", str(picture)]) == 0
    by_place = capsys.readouterr().out
    assert by_place.startswith("Bogus: narrower")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    Table({"x": [STAR[0], HOT[0]], "y": [STAR[1], HOT[1]]}).write(tmp_path / "cat.csv")
    catalog = ("--catalog", str(tmp_path / "cat.csv"), "--trust-positions")
    assert main(["explain", FIELD, *catalog, "--row", "1"]) == 0
    assert capsys.readouterr().out == by_place
    assert main(["explain", FIELD, "--row", "0", "-q"]) == 0
    assert "score    " in capsys.readouterr().out
    assert main(["explain", FIELD, *catalog, "--row", "2"]) == 1
    assert "there is no row 2 in" in capsys.readouterr().err
    assert main(["explain", FIELD, "--at", "182,45", "-o", str(picture)]) == 1
    assert "exists and is kept" in capsys.readouterr().err


def test_each_panel_in_colours_has_its_own_scale(classifier, frame):
    pytest.importorskip("matplotlib")
    from rbinfer.report.explanation import draw

    figure = draw(explain(classifier, frame, *GALAXY))
    figure.draw_without_rendering()
    scales = {}
    for panel in figure.axes:
        for image in panel.images:
            if image.get_cmap().name == "RdBu_r":
                place, below = panel.get_window_extent(), image.colorbar.ax.get_window_extent()
                assert below.y1 <= place.y0
                assert place.x0 <= below.x0 < below.x1 <= place.x1
                assert (image.colorbar.vmin, image.colorbar.vmax) == image.get_clim()
                scales[panel.get_title()] = image.colorbar.vmax, image.colorbar.ax.get_xlabel()
    assert scales.keys() == {"what that star leaves", "what counts"}
    counts, text = scales["what that star leaves"]
    assert counts > 100
    assert "in units of the image" in text
    share, text = scales["what counts"]
    assert share <= 1
    assert "fall of the score" in text


def test_what_was_moved_to_its_brightest_pixel_says_so(frame, tmp_path, capsys, monkeypatch):
    """A star with a hot pixel beside it, which a catalogue names as its brightest pixel."""
    pixels = frame.pixels.copy()
    x, y = STAR
    column, row = round(x) + 3, round(y) + 1
    near = pixels[row - 4 : row + 4, column - 5 : column + 1]
    pixels[row, column] += 10 * (near.max() - np.median(pixels))
    image, catalog = str(tmp_path / "i.fits"), str(tmp_path / "c.csv")
    images = [fits.ImageHDU(np.zeros_like(pixels)), fits.ImageHDU(pixels)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(image)
    # Catalogues here count from 1. The command that is printed holds all the same.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rbinfer.toml").write_text("[explain]\norigin = 1\n")
    Table({"x": [x + 1], "y": [y + 1], "xpeak": [column], "ypeak": [row]}).write(catalog)
    of_row = ["--catalog", catalog, "--row", "0", "--trust-positions", "--hdu", "2"]
    assert main(["explain", image, *of_row]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("Bogus")
    assert lines[0] == f"x, y     {column:.2f}, {row:.2f} (pixels from 0)"
    away = np.hypot(column - x, row - y)
    assert lines[1] == (
        f"moved    by {away:.1f} px to the brightest pixel of the detection; to judge its x, y instead: "
        f"--at {x:.2f},{y:.2f} --origin 0 --hdu 2"
    )
    assert main(["explain", image, *lines[1].split("instead: ")[1].split()]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Real")
    assert f"x, y     {x:.2f}, {y:.2f} (pixels from 0)" in out
    assert "moved" not in out


def test_a_mosaic_and_an_area_without_data_are_refused(tmp_path, capsys, frame):
    assert main(["explain", FIELD, "--at", "1,1", "--hdu", "all"]) == 1
    assert "instead of 'all'" in capsys.readouterr().err
    pixels = frame.pixels.copy()
    pixels[:200, :200] = 0.0
    fits.writeto(tmp_path / "blank.fits", pixels)
    assert main(["explain", str(tmp_path / "blank.fits"), "--at", "90,90"]) == 1
    assert "without data" in capsys.readouterr().err
