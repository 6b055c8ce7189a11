"""A batch: what comes of it, what is skipped, what fails."""

import errno
import gzip
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer._util.hashing import digest
from rbinfer._util.wording import in_options
from rbinfer.cli import main
from rbinfer.errors import InputError, RbinferError
from rbinfer.io.tables import read_catalog, write_catalog
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.runs.batch import run_batch
from rbinfer.runs.journal import Journal
from rbinfer.runs.plan import stem_of
from rbinfer.runs.task import fingerprint
from rbinfer.scoring.classifier import Classifier

from . import folders as runs

ODD_NAMES = ["a b.fits", "with[1].fits", "with1.fits", "größe.fit", "星.fts", "x*.fits", "-dash.fits"]
JOURNAL = "batch.jsonl"


def test_scores_are_those_of_classify(night, expected):
    classifier = Classifier(device="cpu", threads=2)
    for name in ("f0", "f7"):
        table = score_file(str(night / f"{name}.fits"), None, ScoreOptions(), classifier).table
        got = read_catalog(night / "expected" / f"{name}.ecsv")
        assert len(got) >= 10
        np.testing.assert_array_equal(got["rb_score"], table["rb_score"])
        assert got.meta["rb_image"] == str(night / f"{name}.fits")


def test_the_journal_says_what_was_done(night):
    for line in runs.lines(night / "expected" / JOURNAL):
        image, result = night / line["image"], night / "expected" / line["output"]
        assert line["content"] == digest(image)
        assert line["output_sha256"] == digest(result)
        assert line["how"] == fingerprint(ScoreOptions())
        assert line["summary"]["detections"] == len(read_catalog(result))
        assert (line["ok"], line["error"], line["attempts"]) == (True, None, 1)
        assert 0 < line["seconds"] < 60
        assert line["finished"].endswith("+00:00")


def test_done_is_told_by_content_not_by_date(night, expected, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for k in range(3):
        shutil.copy(night / f"f{k}.fits", folder)

    def again(*extra):
        assert main([*map(str, ("batch", folder, "-o", out, "--json", "--workers", 1)), *extra]) == 0
        found = json.loads(capsys.readouterr().out)
        return found["scored"], found["skipped"]

    assert again() == (3, 0)
    os.utime(folder / "f0.fits")
    before = os.stat(folder / "f1.fits")
    runs.write_images(folder, ["f1.fits"], seed=5)
    os.utime(folder / "f1.fits", ns=(before.st_atime_ns, before.st_mtime_ns))
    (out / "f2.ecsv").unlink()
    assert again() == (2, 1)
    assert again("--fwhm", "3.5") == (3, 0)
    assert again("--fwhm", "3.5", "--threads", "2") == (0, 3)
    assert len(runs.lines(out / JOURNAL)) == 3 + 2 + 3


@pytest.mark.parametrize("option", ["mask", "err", "psf"])
@pytest.mark.parametrize("where", ["{}", "{}[DQ]", "{}[1]"])
def test_a_map_that_changed_is_another_way_to_score(tmp_path, option, where):
    path = tmp_path / "map.fits"
    values = np.ones((160, 160), np.float32)
    found = []
    for factor in (1, 1, 3):
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(values * factor, name="DQ")]
        fits.HDUList(hdus).writeto(path, overwrite=True)
        found.append(fingerprint(ScoreOptions(**{option: where.format(path)})))
    assert found[0] == found[1] != found[2]


def test_done_again_where_a_map_in_a_file_of_its_own_changed(night, tmp_path):
    path = tmp_path / "map.fits"
    counts = []
    for bad in (0, 0, 1):
        mask = np.zeros((160, 160), np.uint8)
        mask[:, :80] = bad
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(mask, name="DQ")]).writeto(path, overwrite=True)
        options = ScoreOptions(mask=f"{path}[DQ]")
        report = run_batch(night / "f0.fits", tmp_path / "out", options=options, workers=1)
        counts.append((report.n_scored, report.n_skipped))
    assert counts == [(1, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": "none.fits"}, r"mask none\.fits does not exist"),
        ({"err": "none.fits[1]"}, r"noise map none\.fits does not exist"),
        ({"psf": "none.fits"}, r"PSF none\.fits does not exist"),
        ({"x_col": "X", "y_col": "Y"}, "`catalog` too"),
        ({"real": ("galaxy",), "max_missed": 0.01}, r"with `real=\('galaxy',\)` give `threshold`"),
    ],
)
def test_what_is_wrong_for_all_images_is_told_once(night, tmp_path, options, words):
    told = []
    with pytest.raises(RbinferError, match=words):
        run_batch(
            night,
            tmp_path / "out",
            options=ScoreOptions(**options),
            workers=1,
            progress=lambda result, total: told.append(result),
        )
    assert told == []
    assert runs.lines(tmp_path / "out" / JOURNAL) == []


def test_results_that_are_not_ours_are_kept(night, expected, tmp_path, caplog):
    out = tmp_path / "out"
    out.mkdir()
    (out / "f0.ecsv").write_text("precious")
    report = run_batch([night / "f0.fits", night / "f1.fits"], out, workers=1)
    assert (out / "f0.ecsv").read_text() == "precious"
    assert [one.error for one in report.failed] == [
        "the result f0.ecsv exists, is not as rbinfer wrote it, and is kept; use "
        "`overwrite=True`, or move it away"
    ]
    report = run_batch([night / "f0.fits", night / "f1.fits"], out, workers=1, overwrite=True)
    assert (report.n_scored, report.n_skipped) == (1, 1)
    assert runs.results(out).keys() == {"f0.ecsv", "f1.ecsv"}
    # And what was ours but was edited since.
    (out / "f1.ecsv").write_text("edited")
    assert len(run_batch(night / "f1.fits", out, workers=1).failed) == 1
    assert (out / "f1.ecsv").read_text() == "edited"


def test_what_fails_is_told_and_the_rest_go_on(night, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    names = ["good.fits", "short.fits", "text.fits", "empty.fits", "lonely.fits", "zipped.fits.gz"]
    runs.write_images(folder, names)
    for name in names:
        stem = stem_of(name)
        Table({"x": [40.0, 60.0], "y": [40.0, 60.0]}).write(folder / f"{stem}.csv")
    (folder / "lonely.csv").unlink()
    whole = (folder / "short.fits").read_bytes()
    (folder / "short.fits").write_bytes(whole[:20_000])
    (folder / "text.fits").write_text("not FITS")
    (folder / "empty.fits").write_bytes(b"")
    (folder / "zipped.fits.gz").write_bytes(gzip.compress(whole)[:-5000])
    argv = ["batch", str(folder), "-o", str(out), "--catalog", "{dir}/{stem}.csv", "--workers", "1"]
    assert main([*argv, "--json"]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["scored"], found["failed"], found["detections"]) == (1, 5, 2)
    reasons = {os.path.basename(one["image"]): one["error"] for one in found["failures"]}
    assert "lonely.csv does not exist" in reasons["lonely.fits"]
    assert "is empty (0 bytes)" in reasons["empty.fits"]
    for name in ("short.fits", "text.fits"):
        assert "cannot be read as FITS" in reasons[name]
    assert "cannot be decompressed" in reasons["zipped.fits.gz"]
    told = [line for line in captured.err.splitlines() if line.startswith("rbinfer: ")]
    named = [one["error"].startswith(one["image"]) for one in found["failures"]]
    assert set(named) == {False, True}
    assert sorted(told) == sorted(
        f"rbinfer: {'' if is_named else one['image'] + ': '}{one['error']}"
        for is_named, one in zip(named, found["failures"], strict=True)
    )
    assert "6 images: 1 scored, 0 skipped (done before), 5 failed" in captured.err
    noted = {os.path.basename(line["image"]): line for line in runs.lines(out / JOURNAL)}
    errors = {name: line["error"] for name, line in noted.items() if not line["ok"]}
    assert "its catalogue as `catalog`" in errors["text.fits"]
    assert {name: in_options(text) for name, text in errors.items()} == reasons
    # What failed is tried again, and done when it can be.
    (folder / "short.fits").write_bytes(whole)
    assert main(argv) == 1
    assert "1 scored, 1 skipped (done before), 4 failed" in capsys.readouterr().err


def test_one_image_is_singular(night, tmp_path, capsys):
    assert main(["batch", str(night / "f0.fits"), "-o", str(tmp_path), "--workers", "1"]) == 0
    assert "1 image: 1 scored" in capsys.readouterr().err
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "n.html")]) == 0
    assert "n.html: 1 image; " in capsys.readouterr().err
    assert "<b>1</b>image<" in (tmp_path / "n.html").read_text()


def test_odd_names_and_every_format(tmp_path):
    runs.write_images(tmp_path / "in put", ODD_NAMES)
    for kind in ("fits", "csv", "vot", "parquet"):
        report = run_batch(tmp_path / "in put", tmp_path / kind, format=kind, workers=1)
        assert report.n_scored == len(ODD_NAMES)
        for result in report.results:
            assert result.output.name == f"{stem_of(result.image)}.{kind}"
            assert len(read_catalog(result.output)) == result.summary["detections"]


def test_places_that_cannot_be_written_are_a_clear_error(night, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RbinferError, match=r"file/out cannot be made: Not a directory"):
        run_batch(night, tmp_path / "file" / "out")
    with pytest.raises(RbinferError, match="cannot be"):
        run_batch(night, "/proc/rbinfer")
    with pytest.raises(InputError, match="'doc' is none of ecsv, fits"):
        run_batch(night, tmp_path / "out", format="doc")
    with pytest.raises(RbinferError, match="'no-such'"):
        run_batch(night, tmp_path / "out", options=ScoreOptions(model="no-such"))


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a file system of its own")
def test_a_full_disk_stops_the_batch_with_a_clear_error(night, expected, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    size = 3 * max(map(len, expected.values())) // 4096 * 4096
    script = f'mount -t tmpfs -o size={size} none "$0" && "$@"; code=$?; ls -A "$0" >&2; exit $code'
    argv = runs.command("batch", night, "-o", small / "out", "--workers", "1")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, small, *argv], capture_output=True, text=True
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 1
    assert os.strerror(errno.ENOSPC) in done.stderr
    assert done.stderr.count("rbinfer: error") == 1
    assert ".rbinfer" not in done.stderr


def test_one_batch_at_a_time_in_a_directory(night, tmp_path):
    (tmp_path / "out").mkdir()
    with (
        Journal(tmp_path / "out" / JOURNAL),
        pytest.raises(InputError, match="another rbinfer process is at work"),
    ):
        run_batch(night, tmp_path / "out", workers=1)


def test_names_that_are_not_there_fail_and_the_rest_go_on(night, tmp_path, capsys, caplog):
    names = [night / "f0.fits", night / "gone.fits", night / "none*.fit"]
    report = run_batch(names, tmp_path / "python", workers=1)
    assert [(one.image, one.ok) for one in report.results] == [
        (str(night / "f0.fits"), True),
        (str(night / "gone.fits"), False),
        (str(night / "none*.fit"), False),
    ]
    code = main(["batch", *map(str, names), "-o", str(tmp_path / "cli"), "--workers", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["images"], found["scored"], found["failed"]) == (1, 3, 1, 2)
    error = found["failures"][0]["error"]
    assert error.startswith(f"no images are found for {night}/gone.fits (it does not exist); name")
    assert f"{night}/none*.fit: no images are found for" in caplog.text
    with pytest.raises(InputError, match=r"for .*gone\.fits \(it does not exist\), .*none"):
        run_batch(names[1:], tmp_path / "nothing", workers=1)
    assert not (tmp_path / "nothing").exists()


def test_compiling_is_told_and_never_claimed(night, tmp_path):
    for name in ("f0", "f1"):
        shutil.copy(night / f"{name}.fits", tmp_path)
        write_catalog(
            read_catalog(night / "expected" / f"{name}.ecsv")["x", "y"], tmp_path / f"{name}.csv"
        )
    cached = tmp_path / "cached"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cached), "XDG_CACHE_HOME": str(tmp_path / "none")}
    argv = [str(tmp_path), "--catalog", "{dir}/{stem}.csv", "--workers", "1"]
    for told in (1, 0):
        code, _, said = runs.run("batch", *argv, "-o", tmp_path / f"out{told}", env=environment)
        assert code == 0
        assert said.count("the kernels are compiled now") == told
    # With a catalogue nothing is detected.
    assert not list(cached.rglob("islands.measure_islands*"))
    assert list(cached.rglob("default.cut_default*"))
