import contextlib
import errno
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer._util.hashing import digest
from rbinfer.cli import main
from rbinfer.errors import InputError, RbinferError
from rbinfer.io.tables import read_catalog
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.runs.batch import run_batch
from rbinfer.runs.journal import Journal, Line
from rbinfer.runs.outcome import Kind
from rbinfer.runs.plan import Work, catalog_of, check_apart, plan, stem_of
from rbinfer.runs.processes import Workers
from rbinfer.runs.search import find_images
from rbinfer.runs.task import Recipe, Task, fingerprint, run_task
from rbinfer.scoring.classifier import Classifier

from . import folders as runs

ODD_NAMES = ["a b.fits", "with[1].fits", "with1.fits", "größe.fit", "星.fts", "x*.fits", "-dash.fits"]
JOURNAL = "batch.jsonl"


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Eight images, and what an undisturbed run makes of them."""
    folder = tmp_path_factory.mktemp("night")
    runs.write_images(folder, [f"f{k}.fits" for k in range(8)])
    report = run_batch(folder, folder / "expected", workers=1)
    assert (report.n_scored, report.n_skipped, report.failed) == (8, 0, ())
    runs.assert_complete(folder / "expected", runs.results(folder / "expected"), JOURNAL)
    return folder


@pytest.fixture(scope="module")
def expected(night):
    return runs.results(night / "expected")


# ------------------------------------------------------------------------------- what is meant


def test_a_name_that_exists_is_meant_before_a_pattern(tmp_path):
    runs.write_images(tmp_path, ODD_NAMES, side=64)
    for name in ODD_NAMES:
        assert [each.path for each in find_images([tmp_path / name])] == [str(tmp_path / name)]
    os.remove(tmp_path / "with[1].fits")
    [found] = find_images([tmp_path / "with[1].fits"])
    assert (found.path, found.is_named) == (str(tmp_path / "with1.fits"), False)


def test_directories_patterns_and_the_same_file_again(tmp_path):
    for name in (
        "b.fits",
        "a.FIT",
        "c.fits.gz",
        "d.fts.fz",
        ".hidden.fits",
        "cat.csv",
        "deep/er/e.fits",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.symlink(tmp_path / "b.fits", tmp_path / "z.fits")

    def names(*patterns):
        found = find_images([tmp_path / pattern for pattern in patterns])
        return [os.path.relpath(each.path, tmp_path) for each in found]

    assert names("") == ["a.FIT", "b.fits", "c.fits.gz", "d.fts.fz"]
    assert names("c.*", "b.fits", "*.fits") == ["c.fits.gz", "b.fits"]
    assert names("**/*.fits") == ["b.fits", "deep/er/e.fits"]
    with pytest.raises(InputError, match=r"no images are found for .*none\*\.fits"):
        names("b.fits", "none*.fits")
    with pytest.raises(InputError, match="no images are named"):
        find_images([])


def test_names_of_results_and_catalogues(tmp_path):
    stems = {"d/a.fits.fz": "a", "a.b.FITS": "a.b", "a.fit.gz": "a", "a.fz": "a", "a.img": "a.img"}
    assert {name: stem_of(name) for name in stems} == stems
    assert catalog_of("n 1/a.fits.fz", "{dir}/cat/{stem}.cat") == "n 1/cat/a.cat"
    assert catalog_of("a.fits", "{dir}/{name}.ecsv") == "./a.fits.ecsv"
    assert catalog_of("a.fits", None) is None
    for template in ("{stam}.cat", "{}.cat", "{stem.cat", "{stem.x}"):
        with pytest.raises(InputError, match="may hold"):
            catalog_of("a.fits", template)


def test_two_images_with_one_result_are_refused_before_any_work(tmp_path, night):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(night / "f1.fits", other)
    with pytest.raises(InputError, match=r"f1\.fits and .*other/f1\.fits would both"):
        run_batch([night, other], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="is what is read"):
        run_batch(night, night, format="fits")


def test_catalogues_among_the_images_are_no_images(tmp_path):
    images = runs.write_images(tmp_path, ["a.fits", "b.fits"], side=64)
    for image in images:
        shutil.copy(image, image.with_name(f"{image.stem}_cat.fits"))
    works = plan(find_images([tmp_path]), tmp_path / "out", ".ecsv", "{dir}/{stem}_cat.fits")
    assert [os.path.basename(work.image) for work in works] == ["a.fits", "b.fits"]


# -------------------------------------------------------------------------------- what comes out


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
        ({"x_col": "X", "y_col": "Y"}, "--catalog too"),
        ({"real": ("galaxy",), "max_missed": 0.01}, "with --real galaxy give --threshold"),
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


def test_results_that_would_be_found_as_images_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "n"
    runs.write_images(folder, ["a.fit"], side=64)
    runs.write_images(folder / "deep", ["b.fit"], side=64)
    monkeypatch.chdir(tmp_path)
    for patterns, out, kind in (
        (["n"], "n", "fits"),
        (["n/"], folder, "fits"),
        (["n/*"], "n", "ecsv"),
        (["n/a.*"], "n", "fits"),
        (["n/**/*.fi*"], "n/out", "fits"),
        (["n/*/*.fi*"], "n/out", "fits"),
    ):
        works = plan(find_images(patterns), Path(out), f".{kind}", None)
        with pytest.raises(InputError, match="would be taken for images by"):
            check_apart(patterns, works, Path(out))
    for patterns, out, kind in (
        (["n"], "n", "ecsv"),
        (["n/a.fit"], "n", "fits"),
        (["n/*.fit"], "n", "fits"),
        (["n/*"], "n/out", "fits"),
        (["n/**/*.fit"], "n/out", "fits"),
        (["n"], "n/out", "fits"),
    ):
        check_apart(patterns, plan(find_images(patterns), Path(out), f".{kind}", None), Path(out))
    with pytest.raises(InputError, match="would be taken for images by n;"):
        run_batch("n", "n", format="fits", workers=1)
    assert sorted(path.name for path in folder.iterdir()) == ["a.fit", "deep"]


def test_results_that_are_not_ours_are_kept(night, expected, tmp_path, caplog):
    out = tmp_path / "out"
    out.mkdir()
    (out / "f0.ecsv").write_text("precious")
    report = run_batch([night / "f0.fits", night / "f1.fits"], out, workers=1)
    assert (out / "f0.ecsv").read_text() == "precious"
    assert [one.error for one in report.failed] == [
        "the result f0.ecsv exists, is not as rbinfer wrote it, and is kept; use --overwrite "
        "(overwrite=True), or move it away"
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
    for name in ("short.fits", "text.fits", "zipped.fits.gz"):
        assert "cannot be read as FITS" in reasons[name]
    told = [line for line in captured.err.splitlines() if line.startswith("rbinfer: ")]
    assert sorted(told) == sorted(
        f"rbinfer: {one['image']}: {one['error']}" for one in found["failures"]
    )
    assert "6 images: 1 scored, 0 skipped (done before), 5 failed" in captured.err
    noted = {os.path.basename(line["image"]): line for line in runs.lines(out / JOURNAL)}
    assert {name: line["error"] for name, line in noted.items() if not line["ok"]} == reasons
    # What failed is tried again, and done when it can be.
    (folder / "short.fits").write_bytes(whole)
    assert main(argv) == 1
    assert "1 scored, 1 skipped (done before), 4 failed" in capsys.readouterr().err


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


# ---------------------------------------------------------------------------- ends and deaths


@pytest.fixture
def stuck(tmp_path):
    """Images with catalogues, of which one is a pipe that nobody writes: its worker waits forever."""
    folder = tmp_path / "in"
    runs.write_images(folder, ["a.fits", "b.fits", "stuck.fits", "z.fits"])
    for stem in "abz":
        Table({"x": [40.0, 60.0], "y": [40.0, 60.0]}).write(folder / f"{stem}.csv")
    os.mkfifo(folder / "stuck.csv")
    return ["batch", folder, "-o", tmp_path / "out", "--catalog", "{dir}/{stem}.csv"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_leave_whole_results_and_nothing_else(stuck, tmp_path, number, code):
    process = runs.start(*stuck, "--workers", 2)
    out = tmp_path / "out"
    runs.until(lambda: len(runs.lines(out / JOURNAL)) == 3)
    assert runs.hidden(out) == [".rbinfer-batch"]
    workers = runs.worker_ids(process)
    got, _, err = runs.ended(process, number)
    assert got == code
    assert "Traceback" not in err
    assert {path.name for path in out.iterdir()} == {JOURNAL, "a.ecsv", "b.ecsv", "z.ecsv"}
    assert not any(os.path.exists(f"/proc/{worker}") for worker in workers)


def test_an_image_whose_worker_dies_is_tried_once_more(stuck, tmp_path):
    process = runs.start(*stuck, "--workers", 1)
    out = tmp_path / "out"
    [first] = runs.until(lambda: len(runs.lines(out / JOURNAL)) == 2 and runs.worker_ids(process))
    os.kill(first, signal.SIGKILL)
    # The others first: it may be what kills workers.
    runs.until(lambda: len(runs.lines(out / JOURNAL)) == 3)

    def another():
        found = [worker for worker in runs.worker_ids(process) if worker != first]
        return found and all(os.path.exists(f"/proc/{worker}/fd") for worker in found) and found

    second = runs.until(another)
    for worker in second:
        os.kill(worker, signal.SIGKILL)
    third = runs.until(
        lambda: process.poll() is not None or set(runs.worker_ids(process)) - {first, *second}
    )
    if third is not True:  # it was killed between two tasks
        for worker in third:
            os.kill(worker, signal.SIGKILL)
    code, _, err = runs.ended(process)
    assert code == 1
    assert "a worker process died (SIGKILL: short of memory?) at" in err
    assert "stuck.fits: its worker process died, twice" in err
    noted = runs.lines(out / JOURNAL)
    assert [(line["ok"], line["attempts"]) for line in noted] == [(True, 1)] * 3 + [(False, 2)]
    assert sorted(line["output"] for line in noted) == ["a.ecsv", "b.ecsv", "stuck.ecsv", "z.ecsv"]
    assert runs.hidden(out) == []


def test_a_worker_that_is_killed_costs_nothing(night, expected, tmp_path):
    out = tmp_path / "out"
    process = runs.start("batch", night, "-o", out, "--workers", 2)
    runs.until(lambda: len(runs.lines(out / JOURNAL)) >= 2)
    os.kill(runs.worker_ids(process)[0], signal.SIGKILL)
    assert runs.ended(process)[0] == 0
    runs.assert_complete(out, expected, JOURNAL)


def test_workers_are_replaced_before_what_they_keep_adds_up(night, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("rbinfer.runs.processes._MOST_IMAGES", 3)
    report = run_batch(night, tmp_path, workers=1)
    assert (report.n_scored, report.failed) == (8, ())
    served = [line["worker"] for line in runs.lines(tmp_path / JOURNAL)]
    assert sorted(served.count(worker) for worker in set(served)) == [2, 3, 3]
    runs.assert_complete(tmp_path, expected, JOURNAL)


def test_kill_at_random_moments_and_go_on(night, expected, tmp_path):
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    argv = ["batch", night, "-o", tmp_path, "--workers", 2]
    delays = [runs.kill_at_random(argv, rng, 2.5) for _ in range(2)]
    code, _, err = runs.run(*argv)
    assert code == 0, (delays, err)
    runs.assert_complete(tmp_path, expected, JOURNAL)


def test_a_result_that_was_noted_but_not_put_in_place(night, expected, tmp_path):
    run_batch(night, tmp_path, workers=1)
    journal = (tmp_path / JOURNAL).read_text()
    last = runs.lines(tmp_path / JOURNAL)[-1]["output"]
    # As after a kill between the two steps, with what other kills leave.
    (tmp_path / ".rbinfer-batch").mkdir()
    os.rename(tmp_path / last, tmp_path / ".rbinfer-batch" / "0123.ecsv")
    (tmp_path / ".rbinfer-batch" / ".rbinfer-torn.ecsv").write_text("half")
    (tmp_path / ".rbinfer-0a.ecsv").write_text("of another process")
    assert run_batch(night, tmp_path, workers=1).n_skipped == 8
    assert runs.hidden(tmp_path) == [".rbinfer-0a.ecsv"]
    os.remove(tmp_path / ".rbinfer-0a.ecsv")
    assert (tmp_path / JOURNAL).read_text() == journal
    runs.assert_complete(tmp_path, expected, JOURNAL)


@pytest.mark.parametrize("tail", ["", "torn", "line"])
def test_a_journal_with_a_torn_end_goes_on(tmp_path, tail):
    path = tmp_path / JOURNAL
    one = Line(output="a.ecsv", ok=True, content="00", how="01", output_sha256="02")
    failed = Line(output="c.ecsv", ok=False, error="why", final=True, content="00", how="01")
    with Journal(path) as journal:
        journal.append(one)
    whole = path.read_text()
    more = json.dumps({**one.as_dict(), "output": "b.ecsv"})
    path.write_text(whole + {"": "", "torn": more[:-9], "line": more}[tail])
    with Journal(path) as journal:
        assert journal.done("a.ecsv").output == b"\2" + bytes(15)
        assert (journal.done("b.ecsv") is not None) == (tail == "line")
        journal.append(failed)
        assert journal.done("c.ecsv") is None
        assert journal.failed("c.ecsv").content == bytes(16)
        assert journal.failed("c.ecsv").error == "why"
        journal.append(replace(failed, final=False))
        assert journal.failed("c.ecsv") is None
    assert [line["output"][0] for line in runs.lines(path)] == list("abcc" if tail == "line" else "acc")


# ------------------------------------------------------------------------------------ a cluster


@contextlib.contextmanager
def cluster(workers):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as running,
        distributed.Client(running) as client,
    ):
        yield running, client


def test_a_cluster_with_a_worker_killed_in_the_middle(night, expected, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(24):
        shutil.copy(night / f"f{k % 8}.fits", folder / f"g{k:02d}.fits")
    local = run_batch(folder, tmp_path / "local", workers=2)
    assert local.n_scored == 24
    killed = []
    with cluster(2) as (running, client):
        process = runs.start(
            "batch", folder, "-o", tmp_path / "far", "--scheduler", running.scheduler_address
        )
        pids = client.run(os.getpid)
        runs.until(lambda: len(runs.lines(tmp_path / "far" / JOURNAL)) >= 2)
        killed.append(next(iter(pids.values())))
        os.kill(killed[0], signal.SIGKILL)
        n_at_kill = len(runs.lines(tmp_path / "far" / JOURNAL))
        code, _, err = runs.ended(process)
        assert code == 0, err
        assert n_at_kill < 24
        runs.assert_complete(tmp_path / "far", runs.results(tmp_path / "local"), JOURNAL)
        workers = {int(line["worker"].split(":")[1]) for line in runs.lines(tmp_path / "far" / JOURNAL)}
        assert len(workers) >= 2
        # From Python, with a client that is there: all is done.
        report = run_batch(folder, tmp_path / "far", scheduler=client)
        assert (report.n_scored, report.n_skipped) == (0, 24)
        assert client.status == "running"


UNFETCHED = """
import sys
from distributed import Client, LocalCluster
from distributed.comm.core import CommClosedError
from rbinfer.runs.batch import run_batch
from rbinfer.errors import RbinferError

if __name__ == "__main__":
    given = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**given) as cluster, Client(cluster) as client:
        async def gather(*args, **kwargs):
            raise CommClosedError("reset by peer")
        client._gather = gather
        try:
            run_batch(sys.argv[1], sys.argv[2], scheduler=client)
        except RbinferError as error:
            print(error)
"""


def test_a_result_that_cannot_be_fetched_is_a_clear_error(night, tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "script.py").write_text(UNFETCHED)
    argv = [sys.executable, tmp_path / "script.py", night / "f0.fits", tmp_path / "out"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=runs.PATIENCE)
    assert "does not hand over results (reset by peer); give the same command again" in done.stdout
    assert "Traceback" not in done.stderr
    assert runs.hidden(tmp_path / "out") == []


def test_a_scheduler_that_does_not_answer(night, tmp_path):
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.3s"}),
        pytest.raises(RbinferError, match=r"127\.0\.0\.1:9 does not answer"),
    ):
        run_batch(night, tmp_path, scheduler="tcp://127.0.0.1:9")
    assert distributed
    with pytest.raises(InputError, match="give one of them"):
        run_batch(night, tmp_path, scheduler="tcp://127.0.0.1:9", workers=2)


def test_a_worker_with_another_model_or_directory_says_so(night, tmp_path):
    options = ScoreOptions(device="cpu")
    work = Work(str(night / "f0.fits"), None, "f0.ecsv")
    for how, staging, reason in (
        ("00", tmp_path, "has another model, mask, noise map, PSF or version of rbinfer"),
        (fingerprint(options), tmp_path / "none", "does not see the directory"),
    ):
        recipe = Recipe(options, how, str(tmp_path), str(staging), os.getcwd(), False)
        outcome = run_task(Task(work), recipe)
        assert outcome.kind is Kind.FATAL
        assert reason in outcome.error


def test_without_dask_the_message_says_what_to_install(night, tmp_path):
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from rbinfer.runs.batch import run_batch\n"
        f"run_batch({str(night)!r}, {str(tmp_path)!r}, scheduler='tcp://127.0.0.1:9')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "rbinfer[cluster]"' in done.stderr


def test_workers_that_cannot_be_started_are_told(monkeypatch):
    def full(*_):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", full)
    with pytest.raises(RbinferError, match="no worker process can be started: Resource temporarily"):
        Workers(Recipe(ScoreOptions(), "", "", "", "", False), 1)
