"""What a run on a cluster is made of, measured a part at a time on this machine."""

import contextlib
import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from _scored_frames import ScoredFrames
from pyarrow import parquet

from rbinfer._util.machine import peak_bytes, resident_bytes
from rbinfer.night.reckoning import Reckoning
from rbinfer.night.result import NightResult
from rbinfer.night.tables import DETECTIONS
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.runs.batch import BatchReport, ImageResult
from rbinfer.runs.dask import Cluster
from rbinfer.runs.plan import Work, plan
from rbinfer.runs.search import search_images, select
from rbinfer.runs.store import Store

WORKERS = 2
OPTIONS = ScoreOptions(device="cpu", show=("snr",))


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
    """Run a scheduler and workers as processes of their own; yields address and scheduler process."""
    noted = folder / "scheduler.json"
    common = ["--no-dashboard", "--scheduler-file", str(noted)]
    name = [sys.executable, "-m", "distributed.cli.dask_"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.ExitStack() as stack:

        def started(what, *arguments):
            command = [*name[:-1], name[-1] + what, *common, *arguments]
            process = stack.enter_context(subprocess.Popen(command, **quiet))
            stack.callback(process.terminate)
            return process

        scheduler = started("scheduler", "--host", "127.0.0.1", "--port", "0")
        while not noted.exists():
            if scheduler.poll() is not None:
                sys.exit("the scheduler of Dask did not start")
            time.sleep(0.1)
        for _ in range(WORKERS):
            started("worker", "--nthreads", "1", "--no-nanny")
        yield json.loads(noted.read_text())["address"], psutil.Process(scheduler.pid)


def scheduling(n):
    """Seconds of CPU time a task, of the process that starts the tasks and of the scheduler.

    The tasks are those of images that are not there, so that they end as soon as they begin.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        cluster(Path(name)) as (address, scheduler),
        Store(Path(name) / "out", "batch", OPTIONS, ".fits", False) as store,
    ):
        executor = Cluster(store.recipe, address)
        try:
            _through(executor, store, 10 * WORKERS)  # they load the model at first
            before = sum(scheduler.cpu_times()[:2])
            start = time.process_time()
            _through(executor, store, n)
            client = time.process_time() - start
            return client / n, (sum(scheduler.cpu_times()[:2]) - before) / n
        finally:
            executor.close()


def _through(executor, store, n):
    left, done = n, 0
    while done < n:
        while left and executor.n_free > 0:
            left -= 1
            executor.submit(store.task(Work(f"none{left}.fits", None, f"none{left}.fits")))
        for _, outcome in executor.wait():
            if "does not exist" not in (outcome.error or ""):
                sys.exit(f"a task ended otherwise than it should: {outcome.error}")
            done += 1


def merge_here(plan, n):
    """Merge a night of so many frames; print detections, seconds of CPU time and bytes at most."""
    with tempfile.TemporaryDirectory() as name:
        maker = ScoredFrames(plan, Path(name))
        frames = [maker.frame(k) for k in range(n)]
        out = Path(name) / "out"
        out.mkdir()
        night = NightResult(out, BatchReport((), out, 0.0), frames)
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
