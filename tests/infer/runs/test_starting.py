"""Workers are forked from one process that has imported what they need, or each started anew."""

import os
import subprocess
import sys
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from rbinfer.runs import starting
from rbinfer.runs.batch import run_batch

from . import folders as runs

forks = pytest.mark.skipif(not starting.CAN_FORK, reason="workers are not forked here")


@pytest.mark.parametrize("can_fork", [pytest.param(True, marks=forks), False])
def test_results_are_the_same_however_workers_start(night, expected, tmp_path, monkeypatch, can_fork):
    monkeypatch.setattr(starting, "CAN_FORK", can_fork)
    report = run_batch(night, tmp_path, workers=2)
    assert (report.n_scored, report.failed) == (8, ())
    runs.assert_complete(tmp_path, expected, "batch.jsonl")
    assert len({line["worker"] for line in runs.lines(tmp_path / "batch.jsonl")}) == 2
    assert not runs.worker_ids(psutil.Process())


@forks
def test_workers_are_forked_where_all_is_imported():
    starting.begin()
    [server] = [each for each in psutil.Process().children() if "forkserver" in " ".join(each.cmdline())]
    assert "rbinfer.runs.worker" in " ".join(server.cmdline())


_PROGRAM = """
import sys

def tell():
    print("forked", sys.modules["rbinfer.runs.worker"].__file__, flush=True)

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from rbinfer.runs import starting

    process = starting.context().Process(target=tell)
    process.start()
    process.join()
"""


@forks
def test_the_server_imports_what_its_program_does(tmp_path):
    # No file of the working directory stands in for a module, and the path of the program is kept.
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong one')")
    root = Path(starting.__file__).parents[2]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "program.py").write_text(_PROGRAM)
    done = subprocess.run(
        [sys.executable, tmp_path / "sub" / "program.py", root],
        cwd=tmp_path, capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stdout.split() == ["forked", str(root / "rbinfer" / "runs" / "worker.py")]


@forks
def test_a_fork_server_that_is_killed_is_replaced(night, expected, tmp_path):
    starting.begin()
    server = psutil.Process(forkserver._forkserver._forkserver_pid)
    server.kill()
    # It is our child: to wait for it is the business of multiprocessing.
    while server.status() != psutil.STATUS_ZOMBIE:
        pass
    report = run_batch(night, tmp_path, workers=2)
    assert (report.n_scored, report.failed) == (8, ())
    runs.assert_complete(tmp_path, expected, "batch.jsonl")
    assert forkserver._forkserver._forkserver_pid != server.pid


def test_nothing_heavy_is_imported_before_workers_begin():
    text = "import sys, rbinfer.cli.batch, rbinfer.runs.starting; print('numpy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "False\n"
