"""The nearest labelled detections: found whatever their turn, with what is left out said."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer._util.hashing import digest
from rbinfer.cli import main
from rbinfer.diagnostics.examples import NEAREST, nearest_labelled
from rbinfer.diagnostics.explain import explain
from rbinfer.io.labels import Label, LabelFile
from rbinfer.pipeline.one import open_frame
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.scoring.prepare import cut, prepare

from .test_explain import FIELD, HIT, HOT, STAR

#: By eye, of the example image: a star, two hot pixels, a hit, and a galaxy.
PLACES = {STAR: "real", HOT: "bogus", HIT: "bogus", (78.7, 68.2): "real"}


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """The example image turned by 90 degrees, and where its pixels are then."""
    with fits.open(FIELD) as hdus:
        pixels, header = hdus[0].data, hdus[0].header
    path = tmp_path_factory.mktemp("turned") / "turned.fits"
    fits.writeto(path, np.rot90(pixels), fits.Header({"GAIN": header.get("GAIN", 1.0)}))
    wide = pixels.shape[1]

    def place(x, y):
        return y, wide - 1 - x

    return path, place


def labels_of(path, place=lambda x, y: (x, y), **known):
    return [
        Label(str(path), digest(path), *place(*where), label, **known) for where, label in PLACES.items()
    ]


def seen_at(classifier, at):
    return explain(classifier, open_frame(FIELD, ScoreOptions()), *at).seen


@pytest.mark.parametrize("at", [STAR, HOT, HIT])
def test_the_same_object_is_the_nearest_also_in_a_turned_image(classifier, turned, at):
    path, place = turned
    spec = classifier.spec.preprocess
    found = nearest_labelled(seen_at(classifier, at), labels_of(path, place), spec)
    assert len(found) == NEAREST == len(PLACES)
    assert [each.distance for each in found] == sorted(each.distance for each in found)
    assert (found[0].label.x, found[0].label.y) == place(*at)
    assert found[0].distance < 0.02 < 2 * found[0].distance + 0.02 < found[1].distance
    np.testing.assert_allclose(found[0].seen, seen_at(classifier, at), atol=0.1)


def test_only_labels_that_count_and_whose_image_is_as_it_was(classifier, turned, caplog):
    path, place = turned
    kept = labels_of(path, place)
    skipped = replace(kept[0], label="skip")
    undone = replace(kept[1], label="undo")
    lost = [replace(kept[3], image="/nowhere.fits"), replace(kept[3], hash="0" * 64)]
    found = nearest_labelled(
        seen_at(classifier, HOT),
        [kept[0], kept[1], kept[2], skipped, undone, *lost],
        classifier.spec.preprocess,
    )
    # The skip counts in place of the star's label.
    assert [each.label for each in found] == [kept[2]]
    assert "2 labels are left out" in caplog.text


def test_labelled_images_are_read_as_they_were_scored(classifier, turned, tmp_path):
    path, place = turned
    catalog, spec = tmp_path / "scored.ecsv", classifier.spec.preprocess
    x, y = np.array([place(*where) for where in PLACES]).T
    Table({"x": x, "y": y}).write(catalog)
    for options in ({}, {"fwhm": 5.0}, {"saturation": 400.0}):
        how = ScoreOptions(**options)
        scored = score_file(str(path), str(catalog), how, classifier).table
        scored.write(tmp_path / "out.ecsv", overwrite=True)
        wanted = cut(prepare(open_frame(str(path), how), spec, x, y)).pixels
        labels = labels_of(path, place, catalog=str(tmp_path / "out.ecsv"))
        for label, own in zip(labels, wanted, strict=True):
            nearest = nearest_labelled(own, labels, spec)[0]
            assert (nearest.label, nearest.distance) == (label, 0.0)
    # A catalogue that is gone costs no label.
    labels = labels_of(path, place, catalog=str(tmp_path / "gone.ecsv"))
    assert len(nearest_labelled(wanted[0], labels, spec)) == len(PLACES)


def test_what_is_known_of_the_explained_image_says_nothing_of_others(turned, tmp_path, capsys):
    path, place = turned
    table, mask = tmp_path / "labels.ecsv", tmp_path / "mask.fits"
    LabelFile(table).append(labels_of(path, place))
    bad = np.zeros(fits.getdata(FIELD).shape, np.uint8)
    column, row = np.rint(place(*HOT)).astype(int)
    bad[row - 8 : row + 9, column - 8 : column + 9] = 1
    fits.writeto(mask, bad)
    assert main(["explain", FIELD, "--at", "182,45", "--labels", str(table)]) == 0
    told = capsys.readouterr().out
    assert told.count("like ") == NEAREST
    command = ["explain", FIELD, "--at", "182,45", "--labels", str(table), "--mask", str(mask)]
    assert main(command) == 0
    assert capsys.readouterr().out == told


def test_command_line_tells_and_draws_them(turned, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path, place = turned
    table = tmp_path / "labels.ecsv"
    LabelFile(table).append(labels_of(path, place, who="anna", kind="star"))
    command = ["explain", FIELD, "--at", "182,45"]
    assert main([*command, "-o", str(tmp_path / "plain.png")]) == 0
    plain = capsys.readouterr().out
    assert main([*command, "--labels", str(table), "-o", str(tmp_path / "why.png")]) == 0
    told = capsys.readouterr().out
    assert told.startswith(plain)
    like = told[len(plain) :].splitlines()
    assert len(like) == NEAREST
    x, y = place(*HOT)
    assert like[0].startswith(
        f"like     bogus, star by anna: turned.fits at {x:.1f}, {y:.1f} (differs by"
    )
    assert (tmp_path / "why.png").stat().st_size > (tmp_path / "plain.png").stat().st_size
    assert main([*command, "--labels", str(tmp_path / "none.ecsv")]) == 1
    assert "none.ecsv" in capsys.readouterr().err
