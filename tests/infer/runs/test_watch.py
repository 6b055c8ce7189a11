import contextlib
import errno
import gzip
import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.cli.watch import _as_json, _for_people
from rbinfer.errors import InputError
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.runs import starting
from rbinfer.runs.batch import run_batch
from rbinfer.runs.outcome import Kind
from rbinfer.runs.plan import Work
from rbinfer.runs.store import Store
from rbinfer.runs.task import Task, run_task
from rbinfer.runs.watch import run_watch

from . import folders as runs

JOURNAL = "watch.jsonl"


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    runs.write_images(folder, [f"f{k}.fits" for k in range(6)])
    return folder


class Watch:
    """A watch in a process of its own, whose lines are read as they come."""

    def __init__(self, *argv):
        self.process = runs.start("watch", *argv)
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def next(self):
        line = self._lines.get(timeout=runs.PATIENCE)
        return os.path.basename(line["image"]), line

    def silent_for(self, seconds):
        with contextlib.suppress(queue.Empty):
            pytest.fail(f"an unexpected line: {self._lines.get(timeout=seconds)}")
        return True

    def end(self, number):
        self.process.send_signal(number)
        code = self.process.wait(timeout=runs.PATIENCE)
        self._reader.join()
        return code, self.process.stderr.read()


def test_a_night(night, tmp_path):
    inbox, out = tmp_path / "in box", tmp_path / "out"
    inbox.mkdir()
    shutil.copy(night / "f0.fits", inbox / "before [0] ä.fits")
    whole = (night / "f1.fits").read_bytes()
    watch = Watch(inbox, "-o", out, "--settle", "0.6")
    name, line = watch.next()
    assert (name, line["ok"], line["output"]) == ("before [0] ä.fits", True, "before [0] ä.ecsv")
    assert line["summary"]["detections"] >= 10

    # Grows: looked at when it stops. Others are no images, or not yet.
    (inbox / ".f9.fits").write_bytes(whole)
    (inbox / "f9.fits.part").write_bytes(whole)
    (inbox / "folder.fits").mkdir()
    with (inbox / "grows.fits").open("wb") as file:
        for start in range(0, len(whole), 30_000):
            file.write(whole[start : start + 30_000])
            file.flush()
            time.sleep(0.3)
    name, line = watch.next()
    assert (name, line["ok"]) == ("grows.fits", True)

    # Broken: told once, until it changes.
    (inbox / "broken.fits").write_bytes(whole[:30_000])
    name, line = watch.next()
    assert (name, line["ok"]) == ("broken.fits", False)
    assert "cannot be read as FITS" in line["error"]
    os.utime(inbox / "broken.fits")
    assert watch.silent_for(1.2)
    (inbox / "broken.fits").write_bytes(whole)
    name, line = watch.next()
    assert (name, line["ok"]) == ("broken.fits", True)

    # Gone before it is whole, or after it was scored.
    shutil.copy(night / "f3.fits", inbox / "brief.fits")
    time.sleep(0.3)
    os.remove(inbox / "brief.fits")
    os.remove(inbox / "grows.fits")
    assert watch.silent_for(1.2)
    assert watch.end(signal.SIGTERM)[0] == 0
    assert runs.hidden(out) == []

    # What came meanwhile is scored at the next start, and nothing else.
    shutil.copy(night / "f4.fits", inbox / "later.fits")
    watch = Watch(inbox, "-o", out, "--settle", "0.5")
    assert watch.next()[0] == "later.fits"
    assert watch.silent_for(1.2)
    code, err = watch.end(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in err
    assert runs.hidden(out) == []
    noted = [(line["output"], line["ok"]) for line in runs.lines(out / JOURNAL)]
    assert [output for output, ok in noted if not ok] == ["broken.ecsv"]
    done = ["before [0] ä.ecsv", "broken.ecsv", "grows.ecsv", "later.ecsv"]
    assert sorted(output for output, ok in noted if ok) == done
    assert sorted(runs.results(out)) == done


def test_a_file_that_is_still_being_written_is_never_told_as_failed(night, tmp_path):
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    whole = (night / "f1.fits").read_bytes()
    watch = Watch(inbox, "-o", out, "--settle", "0.4")
    for k, (name, content) in enumerate({"a.fits": whole, "b.fits.gz": gzip.compress(whole)}.items()):
        # Longer breaks than --settle: within the header, within the pixels.
        with (inbox / name).open("wb") as file:
            for start, end in ((0, 0), (0, 1500), (1500, 40_000), (40_000, None)):
                file.write(content[start:end])
                file.flush()
                time.sleep(1.5)
        told, line = watch.next()
        assert (told, line["ok"]) == (name, True)
        assert [entry["ok"] for entry in runs.lines(out / JOURNAL)] == [True] * (k + 1)
    # One that stays cut short is told after a while, and not for good.
    (inbox / "cut.fits").write_bytes(whole[:-5000])
    assert watch.silent_for(1.5)
    name, line = watch.next()
    assert (name, line["ok"], line["final"]) == ("cut.fits", False, False)
    code, err = watch.end(signal.SIGTERM)
    assert code == 0
    assert "cut.fits ends early: the rest of it is waited for" in err
    assert err.count(f"rbinfer: {inbox}/cut.fits cannot be read") == 1


def test_lines_commands_page_regions_and_log(night, tmp_path):
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    for name in ("f0.fits", "f1.fits"):
        shutil.copy(night / name, inbox)
    (inbox / "bad.fits").write_text("no image")
    page, log = tmp_path / "live.html", tmp_path / "watch.log"
    code = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + chr(10))"
    command = f'{sys.executable} -c "{code}" {tmp_path}/called {{image}} {{result}}'
    argv = ["watch", inbox, "-o", out, "--once", "--settle", "0.1", "--regions", "--log-file", log]
    done = runs.run(*argv, "--exec", command, "--report", page)
    assert done[0] == 1
    lines = {os.path.basename(found["image"]): found for found in map(json.loads, done[1].splitlines())}
    assert max(map(len, done[1].splitlines())) < 300
    assert [lines[name]["ok"] for name in ("f0.fits", "f1.fits", "bad.fits")] == [True, True, False]
    assert lines["f0.fits"].keys() == {"image", "output", "ok", "seconds", "summary"}
    assert f"rbinfer: {inbox}/bad.fits cannot be read" in done[2]

    called = sorted((tmp_path / "called").read_text().splitlines())
    assert called == [f"{inbox}/{name}.fits {out}/{name}.ecsv" for name in ("f0", "f1")]
    for name in ("f0", "f1"):
        n = lines[f"{name}.fits"]["summary"]["detections"]
        assert (out / f"{name}.reg").read_text().count("circle(") == n
    assert "<b>2</b>images" in page.read_text()
    assert "bad.fits" in page.read_text()
    logged = log.read_text()
    for words in ("f0.fits: scored in", "bad.fits cannot be read", "the command is done: "):
        assert words in logged

    # Regions are ours as long as they are as they were noted, and made again where they are gone.
    (out / "f0.reg").unlink()
    (out / "f1.reg").write_text("edited")
    done = runs.run(*argv, "-v")
    lines = {found["output"]: found for found in map(json.loads, done[1].splitlines())}
    assert lines["f0.ecsv"]["ok"]
    assert lines["f0.ecsv"]["beside"].keys() == {"regions"}
    assert (out / "f0.reg").exists()
    assert "f1.reg exists, is not as rbinfer wrote it, and is kept" in lines["f1.ecsv"]["error"]
    assert (out / "f1.reg").read_text() == "edited"


def test_lines_for_people_on_a_terminal():
    record = {"image": "in/a.fits", "output": "a.ecsv", "ok": True, "error": None, "seconds": 0.5}
    record["summary"] = {"detections": 9, "real": 5, "bogus": 3, "unscored": 1, "fwhm": 2.5}
    record["summary"]["fwhm_source"] = "measured"
    line = _for_people(record)
    assert line.endswith(
        " a.fits: 9 detections, 5 real, 3 bogus, 1 unscored; FWHM 2.50 px (measured); 0.5 s"
    )
    assert _for_people(record | {"ok": False, "summary": None}).endswith(" a.fits: failed")
    failed = record | {"ok": False, "summary": None, "final": True, "error": 'ä"' * 500}
    short = _as_json(failed)
    assert len(short) < 300
    assert failed["error"].startswith(json.loads(short)["error"])


def test_killed_between_the_note_and_the_files(night, tmp_path, monkeypatch):
    """What was noted is put in place at the next start, regions too."""
    options, work = ScoreOptions(), Work(str(night / "f0.fits"), None, "f0.ecsv")
    with Store(tmp_path, "watch", options, ".ecsv", False, ["regions"]) as store:
        outcome = run_task(store.task(work), store.recipe)
        monkeypatch.setattr(store, "_place", lambda staged, output: None)
        store.keep(store.task(work), outcome)
        monkeypatch.setattr(store, "_sweep", lambda: None)
    assert not (tmp_path / "f0.reg").exists()
    with Store(tmp_path, "watch", options, ".ecsv", False, ["regions"]) as store:
        assert (tmp_path / "f0.reg").read_text().startswith("# Region file")
        assert run_task(store.task(work), store.recipe).kind is Kind.UNCHANGED
        (tmp_path / "f0.reg").unlink()
        assert run_task(store.task(work), store.recipe).kind is Kind.SCORED


def test_regions_of_an_earlier_run_are_still_ours(night, tmp_path):
    """They are made again after a run that made none, for they may be of other scores."""
    for fwhm, kinds in ((None, ["regions"]), (4.0, []), (4.0, ["regions"])):
        options = ScoreOptions(fwhm=fwhm)
        report = run_batch(night / "f0.fits", tmp_path, options=options, workers=1, beside=kinds)
        assert (report.n_scored, report.failed) == (1, ())
    (tmp_path / "f0.reg").write_text("edited")
    report = run_batch(night / "f0.fits", tmp_path, workers=1, beside=["regions"])
    assert "f0.reg exists, is not as rbinfer wrote it, and is kept" in report.failed[0].error


def test_what_an_earlier_scoring_left_beside_a_new_result_is_removed(night, tmp_path, caplog):
    def batch(fwhm, kinds, **given):
        images = [night / "f0.fits", night / "f1.fits"]
        options = ScoreOptions(fwhm=fwhm)
        report = run_batch(images, tmp_path, options=options, workers=1, beside=kinds, **given)
        assert report.failed == ()
        told = [text for text in caplog.messages if "removed from beside" in text]
        caplog.clear()
        return told, sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".jsonl")

    both, results = ["regions", "mask"], ["f0.ecsv", "f1.ecsv"]
    extras = [f"f{k}{end}" for k in (0, 1) for end in (".mask.fits", ".reg")]
    assert batch(None, both) == ([], sorted([*results, *extras]))
    # Nothing is scored anew, so that they fit still.
    assert batch(None, []) == ([], sorted([*results, *extras]))
    (tmp_path / "f1.reg").write_text("edited")
    told, there = batch(4.0, [])
    assert there == [*results, "f1.reg"]
    assert told == [
        "3 files removed from beside new results: of an earlier scoring, and not asked for now"
    ]
    (tmp_path / "f1.reg").unlink()
    # In another format, too.
    batch(5.0, both)
    told, there = batch(5.0, ["regions"], format="csv")
    assert there == ["f0.csv", "f0.ecsv", "f0.reg", "f1.csv", "f1.ecsv", "f1.reg"]
    assert told[0].startswith("2 files removed")


def test_killed_before_what_is_old_was_removed(night, tmp_path, monkeypatch):
    work = Work(str(night / "f0.fits"), None, "f0.ecsv")
    for fwhm, kinds in ((3.0, ["regions"]), (4.0, [])):
        with Store(tmp_path, "watch", ScoreOptions(fwhm=fwhm), ".ecsv", False, kinds) as store:
            if not kinds:
                monkeypatch.setattr(store, "_clear", lambda *args: None)
                monkeypatch.setattr(store, "_sweep", lambda: None)
            store.keep(store.task(work), run_task(store.task(work), store.recipe))
        assert (tmp_path / "f0.reg").exists()
    with Store(tmp_path, "watch", ScoreOptions(fwhm=4.0), ".ecsv", False):
        assert not (tmp_path / "f0.reg").exists()


def test_nothing_stays_staged_where_a_file_beside_the_result_fails(night, tmp_path, monkeypatch):
    work = Work(str(night / "f0.fits"), None, "f0.ecsv")
    with Store(tmp_path, "watch", ScoreOptions(), ".ecsv", False, ["regions"]) as store:
        monkeypatch.setattr("secrets.token_hex", lambda n: "taken")
        taken = Path(store.recipe.staging, "taken.reg")
        taken.mkdir()
        outcome = run_task(store.task(work), store.recipe)
        assert not outcome.kind.ok
        assert os.listdir(store.recipe.staging) == ["taken.reg"]


def test_once_gives_what_a_batch_gives(night, tmp_path):
    report = run_batch(night, tmp_path / "batch", workers=1)
    lines = []
    for n in (6, 0):
        del lines[:]
        found = run_watch(night, tmp_path / "watch", settle=0.1, once=True, report=lines.append)
        assert (found.n_scored, found.n_failed, len(lines)) == (n, 0, n)
    assert report.n_scored == 6
    runs.assert_complete(tmp_path / "watch", runs.results(tmp_path / "batch"), JOURNAL)


def test_kill_at_random_moments_and_go_on(night, tmp_path):
    run_batch(night, tmp_path / "batch", workers=1)
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    argv = ["watch", night, "-o", tmp_path / "watch", "--settle", "0.1", "--workers", "2"]
    delays = [runs.kill_at_random(argv, rng, 2.5) for _ in range(2)]
    code, _, err = runs.run(*argv, "--once")
    assert code == 0, (delays, err)
    runs.assert_complete(tmp_path / "watch", runs.results(tmp_path / "batch"), JOURNAL)


def test_sigterm_in_the_middle_of_an_image(tmp_path):
    inbox, out = tmp_path / "in", tmp_path / "out"
    runs.write_images(inbox, ["a.fits", "b.fits"])
    Table({"x": [40.0], "y": [40.0]}).write(inbox / "a.csv")
    os.utime(inbox / "a.csv", (1, 1))
    # Nobody writes to this catalogue: who reads it waits forever.
    os.mkfifo(inbox / "b.csv")
    watch = Watch(inbox, "-o", out, "--catalog", "{dir}/{stem}.csv", "--settle", "0.1")
    assert watch.next()[0] == "a.fits"
    time.sleep(0.5)
    assert runs.hidden(out) == [".rbinfer-watch"]
    [worker] = runs.worker_ids(watch.process)
    # Forked from a process that has imported what it needs, which began before the command did.
    assert (psutil.Process(worker).ppid() == watch.process.pid) != starting.CAN_FORK
    assert watch.end(signal.SIGTERM)[0] == 0  # which is not waited for without end
    assert not os.path.exists(f"/proc/{worker}")
    assert sorted(path.name for path in out.iterdir()) == ["a.ecsv", JOURNAL]


def test_what_is_moved_in_and_old_enough_is_not_waited_for(night, tmp_path):
    (inbox := tmp_path / "in").mkdir()
    watch = Watch(inbox, "-o", tmp_path / "out", "--settle", "3600")
    shutil.copy(night / "f2.fits", tmp_path / "moved.fits")
    os.utime(tmp_path / "moved.fits", (time.time() - 7200,) * 2)
    os.rename(tmp_path / "moved.fits", inbox / "moved.fits")
    assert watch.next()[0] == "moved.fits"  # within a minute, not an hour
    assert watch.end(signal.SIGTERM)[0] == 0


def test_a_reader_that_goes_away_ends_the_watch(night, tmp_path):
    process = runs.start("watch", night, "-o", tmp_path, "--settle", "0.1")
    process.stdout.close()
    assert process.wait(timeout=runs.PATIENCE) == 141
    assert runs.hidden(tmp_path) == []


def test_results_are_not_taken_for_images(night, tmp_path):
    shutil.copy(night / "f0.fits", tmp_path)
    with pytest.raises(InputError, match="would be taken for images"):
        run_watch(tmp_path, tmp_path, format="fits", once=True)
    assert run_watch(tmp_path, tmp_path, settle=0.1, once=True).n_scored == 1
    with pytest.raises(InputError, match="is not a directory"):
        run_watch(tmp_path / "f0.fits", tmp_path, once=True)


def test_a_mask_that_a_result_could_replace_is_refused(night, tmp_path):
    shutil.copy(night / "f0.fits", tmp_path / "bad.mask.fits")
    options = ScoreOptions(mask=str(tmp_path / "bad.mask.fits"))
    with pytest.raises(InputError, match=r"could replace .*bad\.mask\.fits, which is read; copy it"):
        run_watch(night, tmp_path, options=options, beside=["mask"], once=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.mask.fits"]


def test_a_failure_that_the_content_does_not_explain_is_tried_again(night, tmp_path):
    out, lines = tmp_path / "out", []
    out.mkdir()
    (out / "f0.ecsv").write_text("precious")
    inbox = tmp_path / "in"
    inbox.mkdir()
    shutil.copy(night / "f0.fits", inbox)

    def again(**given):
        found = run_watch(inbox, out, settle=0.1, once=True, report=lines.append, **given)
        return found.n_scored, found.n_failed

    assert again() == again() == (0, 1)
    assert [(line["ok"], line["final"]) for line in lines] == [(False, False)] * 2
    (out / "f0.ecsv").unlink()  # as the message says
    assert again() == (1, 0)
    (out / "f0.ecsv").write_text("edited")
    assert again() == (0, 1)
    assert again(overwrite=True) == (1, 0)
    # As a watch noted it that knew no difference.
    last = dict(lines[-1], ok=False, error="its worker process died, twice", output_sha256=None)
    del last["final"]
    (out / JOURNAL).write_text(json.dumps(last) + "\n")
    (out / "f0.ecsv").unlink()
    assert again() == (1, 0)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
def test_memory_and_file_system_are_not_of_the_content(night, tmp_path, monkeypatch, error):
    def fail(*args):
        try:
            raise error
        except Exception as cause:
            raise InputError("it cannot be read") from cause

    monkeypatch.setattr("rbinfer.runs.task.score_file", fail)
    task = Task(Work(str(night / "f0.fits"), None, "f0.ecsv"))
    with Store(tmp_path / "out", "watch", ScoreOptions(), ".ecsv", False) as store:
        outcome = run_task(task, store.recipe)
    assert (outcome.error, outcome.kind) == ("it cannot be read", Kind.FAILED)


def test_what_failed_before_is_counted_and_told(tmp_path, capsys):
    (tmp_path / "broken.fits").write_text("not FITS")
    argv = ["watch", str(tmp_path), "-o", str(tmp_path / "out"), "--once", "--settle", "0.1"]
    assert main(argv) == 1
    assert json.loads(capsys.readouterr().out)["final"]
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "broken.fits: failed before: " in captured.err
    assert "cannot be read as FITS" in captured.err
    assert len(runs.lines(tmp_path / "out" / JOURNAL)) == 1


def test_a_batch_and_a_watch_know_each_others_results(night, tmp_path):
    def batch(out, **given):
        report = run_batch(night, out, workers=1, **given)
        return report.n_scored, report.n_skipped, len(report.failed)

    def watch(out, **given):
        found = run_watch(night, out, settle=0.1, once=True, **given)
        return found.n_scored, found.n_failed

    one, other = tmp_path / "one", tmp_path / "other"
    assert watch(one) == (6, 0)
    journal = (one / JOURNAL).read_bytes()
    assert batch(one) == (0, 6, 0)
    assert (one / JOURNAL).read_bytes() == journal
    assert batch(other) == (6, 0, 0)
    assert watch(other) == (0, 0)
    # Scored another way they are replaced, and the first knows them again.
    options = ScoreOptions(fwhm=3.5)
    assert batch(one, options=options) == (6, 0, 0)
    assert watch(one, options=options) == (0, 0)
    assert watch(one) == (6, 0)
    (one / "f0.ecsv").write_text("edited")
    assert batch(one) == (0, 5, 1)


def test_options_that_no_image_can_have_are_refused(night, tmp_path):
    for options in (ScoreOptions(mask="none.fits"), ScoreOptions(x_col="X", y_col="Y")):
        with pytest.raises(InputError, match=r"does not exist|`catalog` too"):
            run_watch(night, tmp_path / "out", options=options, once=True)
    assert not (tmp_path / "out").exists()
