"""``batch`` and ``watch`` killed at random moments: what comes after is as if nothing had happened."""

import os
import signal
import time

import numpy as np
import psutil
import pytest

from rbinfer.runs.batch import run_batch
from tests.infer.runs import folders as runs

from .scale import times

IMAGES = times(6, 40)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Return images and what an undisturbed batch makes of them."""
    folder = tmp_path_factory.mktemp("night")
    runs.write_images(folder, [f"f{k:02d}.fits" for k in range(IMAGES)])
    run_batch(folder, folder / "expected", workers=2)
    return folder, runs.results(folder / "expected")


def kill(argv, journal, rng):
    """Start a run and kill it and nothing else, without a word.

    One in four as it starts; the others within half a second of its first image, for how long the
    start takes depends on how busy the machine is. Returns whether the run was still going on, and
    whether it had noted an image by then.
    """
    before = len(runs.lines(journal))
    process = runs.start(*argv)
    if rng.random() < 0.25:
        time.sleep(rng.uniform(0.0, 2.0))
    else:
        runs.until(lambda: len(runs.lines(journal)) > before or process.poll() is not None)
        time.sleep(rng.uniform(0.0, 0.5))
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    code = runs.ended(process)[0]
    # Workers end by themselves.
    _, alive = psutil.wait_procs(children, timeout=runs.PATIENCE)
    assert not alive
    return code == -signal.SIGKILL, len(runs.lines(journal)) > before


@pytest.mark.promise(
    "Faults", "kill -9 at random moments: the restart ends with the same bytes, each once"
)
@pytest.mark.parametrize(
    ("verb", "options", "last"),
    [("batch", ["--workers", 2], []), ("watch", ["--settle", "0.1", "--workers", 2], ["--once"])],
)
def test_kills(night, tmp_path, verb, options, last, tried, request):
    images, expected = night
    rng = np.random.default_rng(20)
    kills = amid = night_number = 0
    while kills < times(2, 55):
        out = tmp_path / f"{verb}{night_number}"
        night_number += 1
        argv = [verb, images, "-o", out, *options]
        # Until there is nothing left to interrupt, which takes several lives.
        while kills < times(2, 55) and len(runs.results(out)) < IMAGES:
            was_killed, had_begun = kill(argv, out / f"{verb}.jsonl", rng)
            kills += was_killed
            amid += was_killed and had_begun
        code, _, err = runs.run(*argv, *last)
        assert code == 0, err
        runs.assert_complete(out, expected, f"{verb}.jsonl")
    request.node.found = f"{amid} of {kills} of {verb} after the first image of their run"
    assert amid >= kills // 2
    tried(kills)


@pytest.mark.promise(
    "Faults", "SIGINT and SIGTERM end batch and watch, with whole results and no temporary files"
)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("verb", "options", "last", "codes"),
    [
        ("batch", [], [], {"SIGINT": 130, "SIGTERM": 143}),
        ("watch", ["--settle", "0.1"], ["--once"], {"SIGINT": 130, "SIGTERM": 0}),
    ],
)
def test_stops(night, tmp_path, verb, options, last, codes, name, tried):
    images, expected = night
    rng = np.random.default_rng([21, codes[name]])
    for n in range(times(1, 12)):
        out, scratch = tmp_path / f"out{n}", tmp_path / f"tmp{n}"
        scratch.mkdir()
        argv = [verb, images, "-o", out, "--workers", 2, *options]
        env = os.environ | {"TMPDIR": str(scratch)}
        process = runs.start(*argv, env=env)
        runs.until(lambda journal=out / f"{verb}.jsonl": runs.lines(journal))
        time.sleep(rng.uniform(0.0, 0.3))
        code, _, err = runs.ended(process, getattr(signal, name))
        # A batch may be done by then, and its process about to end, which the signal does for it.
        is_done = verb == "batch" and runs.results(out).keys() == expected.keys()
        late = {0, -getattr(signal, name)} if is_done else set()
        assert code in {codes[name], *late}, err
        assert "Traceback" not in err
        assert runs.hidden(out) == []
        assert list(scratch.iterdir()) == []
        there = runs.results(out)
        assert there == {key: expected[key] for key in there}
        code, _, err = runs.run(*argv, *last)
        assert code == 0, err
        runs.assert_complete(out, expected, f"{verb}.jsonl")
        tried()


@pytest.mark.promise("Faults", "a worker that dies is reported, its image tried once more, alone")
def test_workers_that_die(night, tmp_path, tried):
    images, expected = night
    for n in range(times(1, 10)):
        out = tmp_path / f"out{n}"
        process = runs.start("batch", images, "-o", out, "--workers", 2)
        runs.until(lambda journal=out / "batch.jsonl": runs.lines(journal))
        worker = runs.worker_ids(process)[0]
        # Stopped first, so that it dies at an image and not between two.
        os.kill(worker, signal.SIGSTOP)
        runs.until(lambda journal=out / "batch.jsonl": len(runs.lines(journal)) >= IMAGES - 1)
        os.kill(worker, signal.SIGKILL)
        code, _, err = runs.ended(process)
        assert code == 0, err
        assert err.count("a worker process died (SIGKILL: short of memory?) at") == 1, err
        assert "which is tried once more, alone" in err
        attempts = [line["attempts"] for line in runs.lines(out / "batch.jsonl")]
        assert sorted(attempts) == [1] * (IMAGES - 1) + [2]
        runs.assert_complete(out, expected, "batch.jsonl")
        tried()
