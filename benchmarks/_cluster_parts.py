"""What a run on a cluster is made of, measured a part at a time on this machine."""

import contextlib
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
from _common import ROOT
from _scored_frames import ScoredFrames
from pyarrow import parquet

from rbinfer._util.machine import peak_bytes, reset_peak, resident_bytes
from rbinfer.night.parts import DETECTIONS
from rbinfer.night.reckoning import Reckoning
from rbinfer.night.result import NightResult
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.runs.batch import BatchReport, ImageResult
from rbinfer.runs.dask import Cluster
from rbinfer.runs.outcome import Kind
from rbinfer.runs.plan import Work, plan
from rbinfer.runs.search import search_images, select
from rbinfer.runs.store import Store

WORKERS = 2
OPTIONS = ScoreOptions(device="cpu", show=("snr",))
SMALL = ROOT / "benchmarks" / "example" / "field.fits"
PATIENCE = 120  # seconds that a cluster has for its start
LONGEST = 2.0  # seconds a task, on a busy machine


def searching(folder, clock):
    """Seconds an image that finding, telling from calibration frames and planning take."""
    start = clock()
    found, _ = search_images([str(folder)], True)
    works = plan(select(found, False)[0], folder / "out", ".fits", None, ())
    return (clock() - start) / len(works)


def kept_of_images(image, n):
    """Bytes that the process which starts the tasks keeps of each image that is done."""
    scored = score_file(str(image), None, OPTIONS, OPTIONS.classifier())
    text = pickle.dumps(ImageResult(str(image), image, True, False, None, scored.summary, 1.0))
    before = resident_bytes()
    kept = [pickle.loads(text) for _ in range(n)]
    return (resident_bytes() - before) / len(kept)


@contextlib.contextmanager
def cluster(folder):
    """Run a scheduler and workers as processes of their own; yields the address and all of them."""
    noted = folder / "scheduler.json"
    common = ["--no-dashboard", "--scheduler-file", str(noted)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.ExitStack() as stack:

        def started(what, *arguments):
            name = f"distributed.cli.dask_{what}"
            command = [sys.executable, "-m", name, *common, *arguments]
            process = stack.enter_context(subprocess.Popen(command, **quiet))
            stack.callback(process.terminate)
            return process

        scheduler = started("scheduler", "--host", "127.0.0.1", "--port", "0")
        address = _address(scheduler, noted)
        alone = ["--nthreads", "1", "--no-nanny", "--death-timeout", str(PATIENCE)]
        yield address, [scheduler, *(started("worker", *alone) for _ in range(WORKERS))]


def _address(scheduler, noted):
    """Wait for the file that tells where a scheduler is; it may be there before all of it is written."""
    end = time.monotonic() + PATIENCE
    while scheduler.poll() is None and time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads(noted.read_text())["address"]
        time.sleep(0.1)
    sys.exit("the scheduler of Dask did not start")


@contextlib.contextmanager
def guarded(processes, seconds):
    """Leave what is waited for within where a process ends or it takes longer than so many seconds."""
    end = time.monotonic() + seconds

    def check(*_):
        if any(process.poll() is not None for process in processes):
            sys.exit("the scheduler of Dask or a worker ended")
        if time.monotonic() > end:
            sys.exit(f"the cluster was not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def scheduling(n):
    """Seconds of CPU time a task, of the process that starts the tasks and of the scheduler.

    The tasks score one small image again and again, so that an outcome is as large as that of any image.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        cluster(Path(name)) as (address, processes),
        Store(Path(name) / "out", "batch", OPTIONS, ".fits", False) as store,
    ):
        scheduler = psutil.Process(processes[0].pid)
        with guarded(processes, PATIENCE + n * LONGEST):
            executor = Cluster(store.recipe, address)
            _through(executor, store, 10 * WORKERS)  # they load the model at first
            before = sum(scheduler.cpu_times()[:2])
            start = time.process_time()
            _through(executor, store, n)
            client = time.process_time() - start
            spent = sum(scheduler.cpu_times()[:2]) - before
        executor.close()
    return client / n, spent / n


def _through(executor, store, n):
    left, done = n, 0
    while done < n:
        while left and executor.n_free > 0:
            left -= 1
            executor.submit(store.task(Work(str(SMALL), None, f"small{left}.fits")))
        for _, outcome in executor.wait():
            if outcome.kind is not Kind.SCORED:
                sys.exit(f"a task ended otherwise than it should: {outcome.error}")
            os.unlink(outcome.staged)
            done += 1


def scored_frames(plan, n, folder):
    """Write so many frames as scoring leaves them; returns what a night keeps of each."""
    maker = ScoredFrames(plan, folder)
    return [maker.frame(k) for k in range(n)]


def merge_here(plan, n):
    """Merge a night of so many frames; print detections, seconds of CPU time and bytes at most.

    Another process makes the frames, so that the memory is that of merging alone.
    """
    with tempfile.TemporaryDirectory() as name:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
            frames = other.submit(scored_frames, plan, n, Path(name)).result()
        out = Path(name) / "out"
        out.mkdir()
        night = NightResult(out, BatchReport((), out, 0.0), frames)
        reset_peak()
        start = time.process_time()
        Reckoning(night).run()
        seconds = time.process_time() - start
        rows = parquet.read_metadata(out / DETECTIONS).num_rows
    found = {"frames": n, "detections": rows, "sources": night.kinds.total()}
    print(json.dumps(found | {"seconds": seconds, "bytes": peak_bytes()}))


def merging(script, side, n):
    """Return what `merge_here` prints, from a process of its own."""
    command = [sys.executable, script, "--merge", str(n), "--side", str(side)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
