"""Workers are forked from one process that has imported what they need, or each started anew."""

import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from rbinfer._util.interrupts import without_ctrl_c
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.runs import starting
from rbinfer.runs.batch import run_batch

from . import folders as runs

forks = pytest.mark.skipif(not starting.CAN_FORK, reason="workers are not forked here")


@pytest.fixture(params=[pytest.param(True, marks=forks), False])
def is_forked(request, monkeypatch):
    monkeypatch.setattr(starting, "_is_begun", False)
    if request.param:
        starting.begin()
    return request.param


def test_results_are_the_same_however_workers_start(night, expected, tmp_path, is_forked):
    assert starting.context().get_start_method() == ("forkserver" if is_forked else "spawn")
    report = run_batch(night, tmp_path, workers=2)
    assert (report.n_scored, report.failed) == (8, ())
    runs.assert_complete(tmp_path, expected, "batch.jsonl")
    assert len({line["worker"] for line in runs.lines(tmp_path / "batch.jsonl")}) == 2
    assert not runs.worker_ids(psutil.Process())


def test_workers_have_the_environment_of_the_run(night, tmp_path, monkeypatch, model_path, is_forked):
    # After the server began.
    (tmp_path / "own").mkdir()
    shutil.copy(model_path, tmp_path / "own" / "mine.onnx")
    monkeypatch.setenv("RBINFER_MODELS", str(tmp_path / "own"))
    report = run_batch(night, tmp_path / "out", workers=1, options=ScoreOptions(model="mine"))
    assert (report.n_scored, report.failed) == (8, ())


@forks
def test_where_there_is_no_server_workers_are_started_anew(night, tmp_path):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "rbinfer", "batch", night, "-o", tmp_path / "out", "-q"],
        check=False, env={**os.environ, "TMPDIR": str(long), "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0
    assert len(runs.results(tmp_path / "out")) == 8


@forks
def test_where_the_socket_of_the_server_is_cleared_away_workers_are_started_anew(
    night, tmp_path, monkeypatch
):
    monkeypatch.setattr(starting, "_is_begun", False)
    starting.begin()
    socket = Path(forkserver._forkserver._forkserver_address)
    moved = socket.rename(socket.with_name("moved"))
    try:
        report = run_batch(night, tmp_path, workers=2)
        assert starting.context().get_start_method() == "spawn"
    finally:
        moved.rename(socket)
    assert (report.n_scored, report.failed) == (8, ())


@forks
def test_ctrl_c_does_not_reach_workers(night, tmp_path):
    starting.begin()
    process = starting.context().Process(target=time.sleep, args=(60,))
    with without_ctrl_c():
        process.start()
    server = forkserver._forkserver._forkserver_pid
    try:
        for pid in (process.pid, server):
            [blocked] = [
                int(line.split()[1], 16)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith("SigBlk")
            ]
            assert blocked >> (signal.SIGINT - 1) & 1
    finally:
        process.kill()
        process.join()


_PROGRAM = """
import sys

def tell():
    print("forked", sys.modules["rbinfer.runs.worker"].__file__, flush=True)

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from rbinfer.runs import starting

    starting.begin()
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
    runs.until(lambda: server.status() == psutil.STATUS_ZOMBIE)
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
