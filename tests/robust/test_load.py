"""Much of everything: positions, images, files that arrive, threads, children."""

import json
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from rbinfer import Classifier
from tests.infer.runs import folders as runs

from .scale import FULL, times

FWHM = 3.2


def stars(side, n, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(300, 8, (side, side)).astype(np.float32)
    y, x = np.indices((19, 19)) - 9
    for row, column in rng.integers(10, side - 10, (n, 2)):
        spot = rng.uniform(500, 5000) * np.exp(-(x**2 + y**2) / (2 * 1.4**2))
        image[row - 9 : row + 10, column - 9 : column + 10] += spot.astype(np.float32)
    return image


@pytest.mark.promise("Load", "a million positions on one image: the same scores as in small parts")
def test_many_positions(classifier, tried):
    image = stars(1000, 2000)
    n = times(20_000, 1_000_000)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-5, 1004, n), rng.uniform(-5, 1004, n)
    found = classifier.score(image, x, y, fwhm=FWHM)
    assert (np.isfinite(found.score) == ((found.status & 255) == 0)).all()
    for part in rng.integers(0, n - 1000, 20):
        rows = slice(part, part + 1000)
        again = classifier.score(image, x[rows], y[rows], fwhm=FWHM)
        assert again.score.tobytes() == found.score[rows].tobytes()
    tried(n)


@pytest.mark.promise("Load", "16 threads on one classifier: bit-identical scores")
def test_threads(classifier, tried):
    image = stars(400, 300)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, 399, 700), rng.uniform(0, 399, 700)
    want = classifier.score(image, x, y, fwhm=FWHM).score.tobytes()
    together = threading.Barrier(16)
    rounds = times(3, 60)

    def work(_):
        together.wait()
        return [classifier.score(image, x, y, fwhm=FWHM).score.tobytes() for _ in range(rounds)]

    with ThreadPoolExecutor(16) as pool:
        for scores in pool.map(work, range(16)):
            assert set(scores) == {want}
    tried(16 * rounds)


def score_in_child(classifier, image, x, y, pipe):
    pipe.send_bytes(classifier.score(image, x, y, fwhm=FWHM).score.tobytes())


@pytest.mark.promise("Load", "children, forked and spawned, of a process that has scored in threads")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children(model_path, method, tried):
    classifier = Classifier(model_path, device="cpu", threads=4)
    image = stars(200, 60)
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 199, 500), rng.uniform(0, 199, 500)
    want = classifier.score(image, x, y, fwhm=FWHM).score.tobytes()
    context = multiprocessing.get_context(method)
    for _ in range(times(1, 10)):
        ours, theirs = context.Pipe()
        child = context.Process(target=score_in_child, args=(classifier, image, x, y, theirs))
        child.start()
        assert ours.poll(60), "the child does not answer"
        assert ours.recv_bytes() == want
        child.join(60)
        assert child.exitcode == 0
        assert classifier.score(image, x, y, fwhm=FWHM).score.tobytes() == want
        tried(1)


@pytest.mark.promise("Load", "2,000 images in one batch, and again with nothing left to do")
def test_many_images(tmp_path, tried):
    n = times(30, 2000)
    few = runs.write_images(tmp_path / "few", [f"{k}.fits" for k in range(10)], side=96)
    images = tmp_path / "images"
    images.mkdir()
    for k in range(n):
        # Different contents, of the same pixels.
        data = few[k % 10].read_bytes()
        (images / f"im{k:04d}.fits").write_bytes(data[:2800] + f"{k:80d}".encode() + data[2880:])
    code, out, err = runs.run("batch", images, "-o", tmp_path / "out", "--json", patience=900)
    assert code == 0, err
    assert json.loads(out)["scored"] == n
    assert len(runs.results(tmp_path / "out")) == n
    code, out, err = runs.run("batch", images, "-o", tmp_path / "out", "--json", patience=900)
    assert json.loads(out)["skipped"] == n
    assert runs.hidden(tmp_path / "out") == []
    tried(n)


def memory(process):
    """Bytes that a run and its workers have for themselves, and how many processes these are."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    total = 0
    for one in family:
        try:
            total += one.memory_full_info().uss
        except psutil.NoSuchProcess:
            return 0
    return total


@pytest.mark.promise(
    "Load", "10,000 files through watch over ten minutes: each scored, memory flat within 5 %"
)
@pytest.mark.skipif(not FULL, reason="takes ten minutes; ROBUST=full runs it")
def test_many_arrivals(tmp_path, tried, request):
    n, minutes = 10_000, 10.0
    few = [
        path.read_bytes()
        for path in runs.write_images(tmp_path / "few", [f"{k}.fits" for k in range(20)], side=96)
    ]
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    process = runs.start("watch", inbox, "-o", out, "--settle", "0.2", "-q")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    begun, used = time.monotonic(), []
    for k in range(n):
        data = few[k % 20]
        (inbox / ".part").write_bytes(data[:2800] + f"{k:80d}".encode() + data[2880:])
        os.rename(inbox / ".part", inbox / f"im{k:05d}.fits")
        if k >= 1000 and k % 25 == 0:
            used.append(memory(process))
        time.sleep(max(0.0, begun + (k + 1) * 60 * minutes / n - time.monotonic()))
    runs.until(lambda: len(lines) >= n)
    assert runs.ended(process, signal.SIGTERM)[0] == 0
    records = [json.loads(line) for line in lines]
    assert len(records) == n
    assert all(record["ok"] for record in records)
    assert len({record["output"] for record in records}) == n
    # Peaks within an image come and go; what stays is the median of many looks.
    groups = [float(np.median(part)) for part in np.array_split(np.array(used)[np.array(used) > 0], 9)]
    spread = max(groups) / min(groups) - 1
    request.node.found = (
        f"{time.monotonic() - begun:.0f} s; {groups[0] / 2**20:.1f} MiB after 1,000 files, "
        f"{groups[-1] / 2**20:.1f} MiB at the end, spread {100 * spread:.1f} %"
    )
    assert spread <= 0.05, request.node.found
    tried(n)
