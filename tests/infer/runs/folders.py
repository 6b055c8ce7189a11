"""Real runs of the command in processes of their own, to be stopped and killed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from astropy.io import fits

PATIENCE = 60.0


def write_images(folder, names, side=160, seed=0):
    """Write images of some stars, each with its own noise; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.indices((side, side))
    paths = []
    for k, name in enumerate(names):
        rng = np.random.default_rng((seed, k))
        image = rng.normal(300, 8, (side, side))
        for x0, y0 in rng.uniform(20, side - 20, (12, 2)):
            near = (slice(int(y0) - 9, int(y0) + 10), slice(int(x0) - 9, int(x0) + 10))
            r2 = (x[near] - x0) ** 2 + (y[near] - y0) ** 2
            image[near] += rng.uniform(500, 5000) * np.exp(-r2 / (2 * 1.3**2))
        fits.writeto(folder / name, image.astype(np.float32), overwrite=True)
        paths.append(folder / name)
    return paths


def command(*argv):
    return [sys.executable, "-m", "rbinfer", *map(str, argv)]


def start(*argv, **given):
    return subprocess.Popen(
        command(*argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **given
    )


def ended(process, number=None, patience=PATIENCE):
    """Send a signal, if any, and wait for the end; returns exit code, stdout and stderr."""
    if number is not None:
        process.send_signal(number)
    out, err = process.communicate(timeout=patience)
    return process.returncode, out, err


def run(*argv, patience=PATIENCE, **given):
    return ended(start(*argv, **given), patience=patience)


def until(condition):
    """Wait until something holds; returns what it gave."""
    give_up = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)
    return found


def lines(journal):
    """Return the whole lines of a journal."""
    if not Path(journal).exists():
        return []
    texts = Path(journal).read_text().split("\n")[:-1]
    return [json.loads(text) for text in texts]


def worker_ids(process):
    """Return the worker processes of a run: its children, or those of its fork server."""
    found = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):
            words = " ".join(child.cmdline())
            if "spawn_main" in words:
                found.append(child.pid)
            elif "forkserver" in words:
                found += [worker.pid for worker in child.children()]
    return found


def hidden(folder):
    return [path.name for path in Path(folder).rglob(".*")]


def results(folder, suffix=".ecsv"):
    return {path.name: path.read_bytes() for path in Path(folder).glob(f"*{suffix}")}


def assert_complete(folder, expected, journal):
    """Each result is there with the bytes expected, noted once as done, and nothing else is left."""
    assert results(folder) == expected
    noted = [line["output"] for line in lines(Path(folder, journal)) if line["ok"]]
    assert sorted(noted) == sorted(expected)
    assert hidden(folder) == []


def kill_at_random(argv, rng, longest):
    """Start a run and kill it and nothing else, without a word, after some time; returns that."""
    delay = float(rng.uniform(0.2, longest))
    process = start(*argv)
    time.sleep(delay)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    ended(process)
    # Workers end by themselves.
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive
    return delay
