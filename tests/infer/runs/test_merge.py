"""One table of a run, and its totals, whatever was done when."""

import json
import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.io.tables import read_catalog
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.runs.batch import run_batch
from rbinfer.runs.journal import Journal
from rbinfer.runs.merge import merge_results


@pytest.fixture
def done(night, tmp_path):
    """A directory of results in which half of the night is done."""
    for name in ("f0", "f1", "f2", "f3"):
        shutil.copy(night / "expected" / f"{name}.ecsv", tmp_path)
    journal = (night / "expected" / "batch.jsonl").read_text().splitlines(keepends=True)
    first = [line for line in journal if json.loads(line)["output"] < "f4"]
    (tmp_path / "batch.jsonl").write_text("".join(first))
    return tmp_path


def test_resumed_images_are_counted_and_merged(night, expected, done, capsys):
    target = done / "all.fits"
    argv = ["batch", str(night), "-o", str(done), "--workers", "1", "--json", "--merge", str(target)]
    assert main(argv) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["scored"], found["skipped"]) == (4, 4)
    whole = [read_catalog(night / "expected" / name) for name in sorted(expected)]
    n = sum(map(len, whole))
    n_real = sum(int((table["rb_score"] > table.meta["rb_threshold"]).sum()) for table in whole)
    assert found["totals"] == {
        "detections": n, "real": n_real, "bogus": n - n_real, "unscored": 0,
    }  # fmt: skip
    # As before: of what was scored now.
    assert 0 < found["detections"] < n
    assert f"in all {n} detections: {n_real} real, {n - n_real} bogus, 0 unscored" in captured.err
    assert f"merged: {target}, {n} rows" in captured.err

    merged = read_catalog(target)
    assert len(merged) == found["rows"] == n
    scores = np.concatenate([np.asarray(table["rb_score"]) for table in whole])
    np.testing.assert_array_equal(merged["rb_score"], scores)
    images = [str(night / f"f{k}.fits") for k, table in enumerate(whole) for _ in range(len(table))]
    assert list(map(str, merged["rb_image"])) == images

    # Again, with nothing to do: the same bytes, in the place of what is known to be ours.
    before = target.read_bytes()
    assert main(argv) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["scored"], again["totals"]) == (0, found["totals"])
    assert target.read_bytes() == before
    assert main(["report", str(done), "-o", str(done / "r.html")]) == 0
    assert f"{n:,}</b>detections" in (done / "r.html").read_text()


def test_files_that_are_not_ours_are_kept(night, done, tmp_path):
    target = tmp_path / "all.csv"
    target.write_text("precious")
    with pytest.raises(InputError, match="exists and is kept"):
        run_batch(night, done, workers=1, merge=target)
    assert target.read_text() == "precious"
    assert run_batch(night, done, workers=1, merge=target, overwrite=True).merged[0] == target
    run_batch(night, done, workers=1, merge=target)
    with target.open("a") as file:
        file.write("edited\n")
    with pytest.raises(InputError, match="exists and is kept"):
        run_batch(night, done, workers=1, merge=target)


def test_places_where_it_would_do_harm_are_refused(night, done, tmp_path):
    shutil.copy(night / "f0.fits", images := tmp_path / "images.fits")
    for target, words in (
        (images, "would be taken for images|is what is read"),
        (done / "f0.ecsv", "is named twice"),
        (done / "batch.jsonl", "names no catalogue format"),
        (night / "all.fits", "would be taken for images"),
        (tmp_path / "none" / "all.csv", "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            run_batch(night if target != images else images, done, workers=1, merge=target)
    assert not (night / "all.fits").exists()


def test_maps_that_are_read_are_not_replaced(night, done, tmp_path):
    shutil.copy(night / "f0.fits", tmp_path / "f0.mask.fits")
    options = ScoreOptions(mask=str(tmp_path / "f0.mask.fits"))
    image = night / "f0.fits"
    with pytest.raises(InputError, match=r"f0\.mask\.fits is named twice, or is what is read"):
        run_batch(image, done, options=options, merge=tmp_path / "f0.mask.fits", overwrite=True)
    with pytest.raises(InputError, match=r"f0\.mask\.fits is named twice, or is what is read"):
        run_batch(image, tmp_path, options=options, beside=["mask"], overwrite=True)


def test_into_a_folder_that_is_made(night, tmp_path):
    report = run_batch(
        night / "f0.fits", tmp_path / "new", workers=1, merge=tmp_path / "new" / "all.csv"
    )
    assert report.merged[1] == report.totals["detections"] == len(read_catalog(report.merged[0]))


def test_failed_images_have_no_rows(night, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(night / "f0.fits", tmp_path / "in")
    (tmp_path / "in" / "bad.fits").write_text("no image")
    options = ScoreOptions(show=("x", "y", "rb_score"))
    target = tmp_path / "all.ecsv"
    report = run_batch(tmp_path / "in", tmp_path / "out", workers=1, merge=target, options=options)
    merged = read_catalog(target)
    assert set(merged["rb_image"]) == {str(tmp_path / "in" / "f0.fits")}
    assert merged.colnames == ["rb_image", "x", "y", "rb_score"]
    assert report.totals["detections"] == len(merged)


def test_a_table_that_cannot_be_written_costs_itself_alone(night, tmp_path, capsys):
    """FITS holds no such name; what came of the images is told all the same."""
    (tmp_path / "in").mkdir()
    shutil.copy(night / "f0.fits", tmp_path / "in" / "sp ace ü☆.fits")
    (tmp_path / "in" / "bad.fits").write_text("no image")
    argv = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--workers", "1", "--json"]
    assert main([*argv, "--merge", str(tmp_path / "all.fits")]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["images"], found["scored"], found["failed"]) == (2, 1, 1)
    assert found["failures"][0]["image"].endswith("bad.fits")
    assert found["totals"]["detections"] == len(read_catalog(tmp_path / "out" / "sp ace ü☆.ecsv"))
    assert "merged" not in found
    assert "2 images: 1 scored" in captured.err
    assert "rb_image" in captured.err.splitlines()[-1]
    assert not (tmp_path / "all.fits").exists()
    assert main([*argv, "--merge", str(tmp_path / "all.ecsv")]) == 1
    assert json.loads(capsys.readouterr().out)["rows"] == found["totals"]["detections"]


def test_the_bar_knows_the_total_before_the_first_image(night, done):
    seen = []
    run_batch(
        night, done, workers=1,
        begin=lambda total: seen.append(("begin", total)),
        progress=lambda result, total: seen.append(("image", total)),
    )  # fmt: skip
    assert seen == [("begin", 8)] + [("image", 8)] * 8


def test_a_file_beside_a_result_is_no_place_for_the_table(night, tmp_path):
    with pytest.raises(InputError, match="is named twice"):
        run_batch(night / "f0.fits", tmp_path, workers=1, merge=tmp_path / "f0.mask.fits")


def test_of_several_tables_of_a_result_the_scored_one_is_merged(tmp_path):
    def write(name, *scores):
        hdus = [fits.PrimaryHDU()]
        for k, score in enumerate(scores):
            table = Table({"NUMBER": [10 * k + 1, 10 * k + 2]})
            if score is not None:
                table["rb_score"] = [score, score]
            hdus.append(fits.BinTableHDU(table, name="LDAC_OBJECTS"))
        fits.HDUList(hdus).writeto(tmp_path / name)

    write("a.fits", None, 0.25)
    write("b.fits", 0.75)
    target = tmp_path / "all.csv"
    with Journal(tmp_path / "batch.jsonl") as journal:
        named = [("a", "a.fits"), ("b", "b.fits")]
        assert merge_results(target, journal, tmp_path, named) == 4
        merged = read_catalog(target)
        assert merged["NUMBER"].tolist() == [11, 12, 1, 2]
        assert merged["rb_score"].tolist() == [0.25, 0.25, 0.75, 0.75]
        write("none.fits", None, None)
        write("both.fits", 0.25, 0.75)
        for name, n in (("none.fits", 0), ("both.fits", 2)):
            with pytest.raises(InputError, match=f"{name} has 2 tables, of which {n} have rb_score"):
                merge_results(tmp_path / "no.csv", journal, tmp_path, [("c", name)])
    assert not (tmp_path / "no.csv").exists()
