"""A batch that ends early, in any way, goes on as if it had not."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from rbinfer._util.interrupts import exit_on_sigterm
from rbinfer.errors import InputError, RbinferError
from rbinfer.kernels import library
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.runs.batch import run_batch
from rbinfer.runs.journal import Journal, Line
from rbinfer.runs.outcome import Kind
from rbinfer.runs.plan import Work
from rbinfer.runs.processes import Workers
from rbinfer.runs.store import Store
from rbinfer.runs.task import Recipe, Task

from . import folders as runs

#: A script with a handler of its own, which its workers import too; one of them is told to end.
SCRIPT = """
import os, signal, sys

def leave(*_):
    raise ImportError("amid an import, an exit becomes whatever")

signal.signal(signal.SIGTERM, leave)

def tell(result, total):
    if not told:
        told.append(result)
        for worker in processes:
            os.kill(worker.pid, signal.SIGTERM)

if __name__ == "__main__":
    import multiprocessing
    from rbinfer.runs import starting
    from rbinfer.runs.batch import run_batch

    if {is_forked}:
        starting.begin()
    told, start = [], multiprocessing.process.BaseProcess.start
    processes = []

    def noted(process):
        start(process)
        processes.append(process)

    multiprocessing.process.BaseProcess.start = noted
    report = run_batch({night!r}, {out!r}, workers=1, progress=tell)
    sys.exit(len(report.failed))
"""

ODD_NAMES = ["a b.fits", "with[1].fits", "with1.fits", "größe.fit", "星.fts", "x*.fits", "-dash.fits"]
JOURNAL = "batch.jsonl"


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


class Dead:
    """What is left of a worker that a signal ended, at the second try of an image."""

    def __init__(self, number):
        self.process, self.pipe, self.exitcode = self, self, number
        self.task, self.attempt = Task(Work("a.fits", None, "a.ecsv")), 2

    def join(self):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("number", [-signal.SIGTERM, 255, -signal.SIGKILL])
def test_an_image_has_not_failed_where_a_worker_is_told_to_end_before_the_run(number):
    # As by who ends all processes of a group, one after the other.
    workers = Workers.__new__(Workers)
    workers._workers = [dead := Dead(number)]
    with exit_on_sigterm(143):
        ours = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
        ours.start()
        try:
            if number != -signal.SIGKILL:
                with pytest.raises(SystemExit):
                    workers._after_death(dead)
            else:
                assert workers._after_death(dead).kind is Kind.FAILED
        finally:
            ours.cancel()
    assert not workers._workers


def test_a_worker_that_alone_is_told_to_end_twice_has_failed(monkeypatch):
    monkeypatch.setattr("rbinfer.runs.processes._OURS_TOO", 0.01)
    workers = Workers.__new__(Workers)
    workers._workers = [dead := Dead(-signal.SIGTERM)]
    outcome = workers._after_death(dead)
    assert (outcome.kind, outcome.error) == (Kind.FAILED, "its worker process died, twice (SIGTERM)")


@pytest.mark.parametrize("is_forked", [True, False])
def test_what_a_script_does_of_sigterm_its_workers_do_not(night, tmp_path, is_forked):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(night=str(night), out=str(tmp_path / "out"), is_forked=is_forked))
    done = subprocess.run(
        [sys.executable, script], check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "(SIGTERM)" in done.stderr
    assert all(line["ok"] for line in runs.lines(tmp_path / "out" / JOURNAL))


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


def test_workers_that_cannot_be_started_are_told(monkeypatch):
    def full(*_):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", full)
    with pytest.raises(RbinferError, match="no worker process can be started: Resource temporarily"):
        Workers(Recipe(ScoreOptions(), "", "", "", "", False), 1)


@pytest.mark.parametrize(
    ("has_library", "n_tasks", "n_started"), [(True, 5, 2), (True, 1, 1), (False, 5, 1)]
)
def test_workers_start_together_where_none_has_to_compile(
    tmp_path, monkeypatch, kernels_as_library, has_library, n_tasks, n_started
):
    if not has_library:
        monkeypatch.setattr(library, "find", lambda: library.Found(None))
    with Store(tmp_path, "batch", ScoreOptions(), ".ecsv", overwrite=False) as store:
        workers = Workers(store.recipe, 2, detects=False, n_tasks=n_tasks)
        try:
            assert len(workers._workers) == n_started
            assert (workers.count, workers.n_free, workers.pending) == (2, 2, 0)
        finally:
            workers.close()


def test_a_batch_without_what_its_format_needs_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    store = Store(tmp_path, "batch", ScoreOptions(), ".parquet", overwrite=False)
    with pytest.raises(InputError, match=r"Parquet needs a package that is not installed"), store:
        pass
    assert not (tmp_path / ".rbinfer-batch").exists()
