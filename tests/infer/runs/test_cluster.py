"""A batch on a Dask cluster."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest

from rbinfer.errors import InputError, RbinferError
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.runs.batch import run_batch
from rbinfer.runs.outcome import Kind
from rbinfer.runs.plan import Work
from rbinfer.runs.task import Recipe, Task, fingerprint, run_task

from . import folders as runs

ODD_NAMES = ["a b.fits", "with[1].fits", "with1.fits", "größe.fit", "星.fts", "x*.fits", "-dash.fits"]
JOURNAL = "batch.jsonl"


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
