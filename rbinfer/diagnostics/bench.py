"""What scoring costs on this machine: objects a second, latency, cold start, memory."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from .._util.machine import file_bytes, peak_bytes, processor, reset_peak, resident_bytes, usable_cpus
from ..errors import RbinferError
from ..measure.warmup import warmup
from ..model.registry import resolve
from ..model.session import Session
from ..scoring.classifier import Classifier
from ..scoring.verdicts import Scores

#: FWHM of the stars of the scenes, in pixels.
FWHM = 3.0
#: A typical frame: side in pixels, and positions.
FRAME = (2048, 2000)
_SIGMA = FWHM / np.sqrt(8 * np.log(2))
_MOST_STARS = 20_000  # more positions than these are on empty sky
_STAMP = 7  # pixels that a star reaches
_MARGIN = 70  # pixels from the edge of the image, so that whole windows are cut


class Scene(NamedTuple):
    """A simulated image (side, side) of float32, and positions in no order."""

    image: NDArray[np.float32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]


class Effort(NamedTuple):
    """How long to measure."""

    cell_s: float  # for each number of threads and batch
    latency_runs: int
    frame_runs: int
    cold_runs: int
    memory_s: float  # of scoring, for the memory
    memory_positions: int  # at most
    memory_side: int


FULL = Effort(0.7, 300, 100, 5, 8.0, 1_000_000, 4096)
QUICK = Effort(0.1, 20, 5, 1, 0.5, 20_000, 1024)


def make_scene(side: int, n: int, seed: int = 0) -> Scene:
    """Make a noisy image of Gaussian stars.

    Parameters
    ----------
    side : int
        Side of the image in pixels.
    n : int
        Positions, at random; the first 20,000 have a star.
    seed : int

    Returns
    -------
    Scene
    """
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((side, side), dtype=np.float32)
    image *= 7
    image += 500
    margin = min(_MARGIN, side // 4)
    x, y = rng.uniform(margin, side - margin, n), rng.uniform(margin, side - margin, n)
    stars = min(n, _MOST_STARS)
    flux = 10 ** rng.uniform(1.5, 4, stars)
    dy, dx = np.mgrid[-_STAMP : _STAMP + 1, -_STAMP : _STAMP + 1].reshape(2, 1, -1)
    for start in range(0, stars, 200):
        part = slice(start, min(start + 200, stars))
        cx, cy = x[part, np.newaxis], y[part, np.newaxis]
        j, i = np.rint(cx).astype(int) + dx, np.rint(cy).astype(int) + dy
        inside = (i >= 0) & (i < side) & (j >= 0) & (j < side)
        light = flux[part, np.newaxis] * np.exp(-((j - cx) ** 2 + (i - cy) ** 2) / (2 * _SIGMA**2))
        np.add.at(image, (i[inside], j[inside]), light[inside].astype(np.float32))
    return Scene(image, x, y)


def write_files(scene: Scene, folder: Path) -> tuple[Path, Path]:
    """Write a scene as FITS files: the image, and a catalogue of ``x`` and ``y``."""
    from astropy.io import fits
    from astropy.table import Table

    image, catalog = folder / "image.fits", folder / "catalog.fits"
    fits.writeto(image, scene.image, overwrite=True)
    Table({"x": scene.x, "y": scene.y}).write(catalog, overwrite=True)
    return image, catalog


def run_bench(
    model: str | None = None,
    device: str = "auto",
    quick: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure everything.

    Parameters
    ----------
    model : str, optional
        Name or path; the model that came with rbinfer by default.
    device : {"auto", "cpu", "cuda"}
    quick : bool
        Some seconds instead of most of a minute; the figures are rough.
    say : callable
        Called with a word on what is measured now.

    Returns
    -------
    dict
        What ``rbinfer bench --json`` writes.
    """
    effort = QUICK if quick else FULL
    say("compiling the kernels, unless that was done before")
    compiled = warmup()
    classifier = Classifier(model, device=device)
    path = str(resolve(model).resolve())
    say("objects a second")
    throughput = measure_throughput(path, device, effort)
    best = max(row["objects_per_s"] for row in throughput)
    say("latency")
    latency = measure_latency(classifier, effort)
    say("cold start")
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(make_scene(*FRAME), Path(folder))
        cold = measure_cold_start(*files, path, device, effort.cold_runs)
    say("memory")
    positions = min(max(int(effort.memory_s * best), 2000), effort.memory_positions)
    memory = measure_memory(positions, effort.memory_side, path, device)
    return {
        **machine(),
        "quick": quick,
        "model": {"name": classifier.spec.name, "version": classifier.spec.version},
        "device": classifier.running_on,
        "batch": classifier.batch,
        "kernels_ready_s": compiled,
        "throughput": throughput,
        "latency": latency,
        "cold_start": cold,
        "memory": memory,
    }


def machine() -> dict[str, Any]:
    """Return the CPU's name, the CPUs that this process may use, and the versions that matter."""
    return {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "python": platform.python_version(),
        "rbinfer": __version__,
        "numpy": np.__version__,
        "kernels": _kernels(),
        "onnxruntime": _version("onnxruntime", "onnxruntime-gpu"),
    }


def measure_throughput(path: str, device: str, effort: Effort) -> list[dict[str, Any]]:
    """Objects a second of `Classifier.score`, FWHM given, by threads and by rows of each batch.

    The batch of the session is fixed for users, since a score may differ in its last digits from that
    of another batch; here it is varied to show what it is worth.
    """
    session = Session(path, device)
    fixed = session.batch
    scene = _sized_scene(Classifier(path, device=device), effort.cell_s)
    rows = []
    for threads in thread_counts():
        for batch in (fixed // 4, fixed, 4 * fixed):
            session.batch = batch
            classifier = Classifier(session, threads=threads)
            taken = list(_timed(partial(_score, classifier, scene), effort.cell_s, least=3))
            rows.append(
                {
                    "threads": threads,
                    "batch": batch,
                    "objects": len(scene.x),
                    "runs": len(taken),
                    "objects_per_s": len(scene.x) / float(np.median(taken)),
                }
            )
    return rows


def thread_counts() -> list[int]:
    """Return 1, 2, 4 and so on, and the number of CPUs that this process may use."""
    most = usable_cpus()
    return sorted({1, most, *(2**k for k in range(1, most.bit_length()) if 2**k < most)})


def measure_latency(classifier: Classifier, effort: Effort) -> list[dict[str, Any]]:
    """Seconds of one call: an object, and a typical frame with the FWHM given or measured."""
    side, n = FRAME
    scene = make_scene(side, n)
    one = Scene(scene.image, scene.x[:1], scene.y[:1])
    cases: tuple[tuple[str, Scene, float | None, int], ...] = (
        ("one object", one, FWHM, effort.latency_runs),
        ("frame, FWHM given", scene, FWHM, effort.frame_runs),
        ("frame, FWHM measured", scene, None, effort.frame_runs),
    )
    rows = []
    for what, part, fwhm, runs in cases:
        taken = list(_timed(partial(_score, classifier, part, fwhm), 8.0, 1, runs))
        p50, p99 = np.percentile(taken, [50, 99])
        rows.append(
            {
                "what": what,
                "side": side,
                "positions": len(part.x),
                "runs": len(taken),
                "p50_s": float(p50),
                "p99_s": float(p99),
            }
        )
    return rows


def measure_cold_start(
    image: Path, catalog: Path, model: str | None = None, device: str = "auto", runs: int = 5
) -> dict[str, Any]:
    """Wall time of ``rbinfer classify`` in processes of their own, files and kernels in the cache.

    Parameters
    ----------
    image, catalog : path
        Files for it to read.
    model : str, optional
    device : str
    runs : int
        Counted, after one that is not.
    """
    command = [sys.executable, "-m", "rbinfer", "classify", str(image), "--catalog", str(catalog)]
    command += ["--device", device, "-q", "--overwrite", "-o", str(catalog.with_name("scored.fits"))]
    command += ["--model", model] if model else []
    taken = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        _child(command)
        taken.append(time.perf_counter() - start)
    return {"runs": runs, "median_s": float(np.median(taken[1:])), "best_s": min(taken[1:])}


def measure_memory(
    n: int, side: int, model: str | None = None, device: str = "auto", threads: int | None = None
) -> dict[str, Any]:
    """Peak memory of scoring `n` positions, in a process of its own.

    Returns
    -------
    dict
        In bytes: ``image``, ``input`` (the positions), ``output`` (scores, status, classes);
        ``baseline``, when the model is loaded and has scored a few; ``before``, when the scoring
        begins (the peak until then, where the system cannot start anew); ``peak``; and what is
        beyond the image and the output, with the baseline (``beyond``) and without it
        (``beyond_baseline``); ``files``, how much of the peak are pages of libraries, and what is
        beyond image and output without these (``beyond_own``).
    """
    code = (
        f"from rbinfer.diagnostics.bench import _memory; _memory({(n, side, model, device, threads)!r})"
    )
    found: dict[str, Any] = json.loads(_child([sys.executable, "-c", code]).splitlines()[-1])
    return found


def _memory(task: tuple[int, int, str | None, str, int | None]) -> None:
    """In the child of `measure_memory`: score, and print what it took."""
    n, side, model, device, threads = task
    classifier = Classifier(model, device=device, threads=threads)
    _score(classifier, make_scene(512, 2000))
    baseline = resident_bytes()
    scene = make_scene(side, n)
    reset_peak()
    before = peak_bytes()
    found = _score(classifier, scene)
    peak = peak_bytes()
    files = file_bytes()
    output = sum(part.nbytes for part in found if part is not None)
    beyond = peak - scene.image.nbytes - output
    report = {
        "positions": n,
        "side": side,
        "image": scene.image.nbytes,
        "input": scene.x.nbytes + scene.y.nbytes,
        "output": output,
        "baseline": baseline,
        "before": before,
        "peak": peak,
        "beyond": beyond,
        "beyond_baseline": beyond - baseline,
        "files": files,
        "beyond_own": beyond - files,
    }
    print(json.dumps(report))


def as_text(found: dict[str, Any]) -> str:
    """Format what `run_bench` found as tables."""
    model, memory, cold = found["model"], found["memory"], found["cold_start"]
    batches = sorted({row["batch"] for row in found["throughput"]})
    heads = "".join(f"{f'batch {b}' + '*' * (b == found['batch']):>14s}" for b in batches)
    lines = [
        f"{found['cpu']}, {found['cpus']} CPUs to use",
        f"rbinfer {found['rbinfer']}, Python {found['python']}, NumPy {found['numpy']}, "
        f"kernels by {found['kernels']}, ONNX Runtime {found['onnxruntime']}",
        f"model {model['name']} {model['version']} on {found['device']}",
        "",
        f"{'objects/s':22s}{heads}",
    ]
    for threads in sorted({row["threads"] for row in found["throughput"]}):
        rates = {r["batch"]: r["objects_per_s"] for r in found["throughput"] if r["threads"] == threads}
        name = f"{threads} thread{'s' * (threads > 1)}"
        lines.append(f"  {name:20s}" + "".join(f"{rates[b]:14,.0f}" for b in batches))
    lines += ["  * what Classifier uses", "", f"{'latency':40s}{'p50':>10s}{'p99':>10s}"]
    for row in found["latency"]:
        name = row["what"] if row["positions"] == 1 else f"{row['what']}, {row['positions']:,} objects"
        lines.append(f"  {name:38s}{row['p50_s'] * 1e3:7.1f} ms{row['p99_s'] * 1e3:7.1f} ms")
    side, n = FRAME
    lines += [
        "",
        f"cold start   {cold['median_s']:.2f} s: rbinfer classify, {side} x {side}, {n:,} objects, "
        f"median of {cold['runs']}",
        f"kernels      ready after {found['kernels_ready_s']:.1f} s",
        f"peak memory  {memory['peak'] / 1e6:.0f} MB for {memory['positions']:,} positions on "
        f"{memory['side']} x {memory['side']}: {memory['baseline'] / 1e6:.0f} MB with the model loaded, "
        f"{memory['image'] / 1e6:.0f} MB image, {memory['output'] / 1e6:.0f} MB output, "
        f"{memory['beyond_baseline'] / 1e6:.0f} MB more",
    ]
    return "\n".join(lines)


def _score(classifier: Classifier, scene: Scene, fwhm: float | None = FWHM) -> Scores:
    return classifier.score(scene.image, scene.x, scene.y, fwhm=fwhm)


def _sized_scene(classifier: Classifier, cell_s: float) -> Scene:
    """Return a scene that takes about a third of `cell_s`, and keeps all threads at work."""
    scene = make_scene(FRAME[0], 100_000)
    few = Scene(scene.image, scene.x[:4096], scene.y[:4096])
    _score(classifier, few)
    rate = len(few.x) / next(_timed(partial(_score, classifier, few), 0.0, least=1))
    n = int(np.clip(rate * cell_s / 3, 2048 * min(classifier.threads, 16), len(scene.x)))
    return Scene(scene.image, scene.x[:n], scene.y[:n])


def _timed(
    action: Callable[[], object], seconds: float, least: int, most: int | None = None
) -> Iterator[float]:
    """Yield seconds of each of several calls, after one that is not counted.

    They end after `seconds` in all, but not before `least` of them, or after `most`.
    """
    action()
    end = time.perf_counter() + seconds
    done = 0
    while done < least or (time.perf_counter() < end and (most is None or done < most)):
        start = time.perf_counter()
        action()
        yield time.perf_counter() - start
        done += 1


def _kernels() -> str:
    """What runs the kernels."""
    from ..kernels.dispatch import cut_default
    from ..kernels.library import find

    library = find().library
    if library is None or not cut_default.is_native:
        return f"Numba {_version('numba')}"
    return f"machine code for level {library.level} of x86-64"


def _version(*names: str) -> str:
    """Version of the first of several distributions that is there."""
    from importlib.metadata import PackageNotFoundError, version

    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def _child(command: list[str]) -> str:
    """Run a command; returns what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no word why"])[-1]
        raise RbinferError(f"a process of the benchmark ended with {done.returncode}: {why}")
    return done.stdout
