"""Harvests, adaptations and label pages that are killed lose no label and leave no half-written model.

Real processes, killed at random and at the rename that puts a model in its place.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rbinfer._util.hashing import digest
from rbinfer.io.labels import Key, Label, LabelFile, read_labels
from rbinfer.model.session import verify
from rbtrain.data.harvest import WHO

from ..infer.label.conftest import running, write_results
from ..infer.night.skies import add_star
from .scale import times

SEED = 20_262
_LONGEST = 300  # seconds that a process may take on a loaded machine
SIDE, PITCH = 200, 20

# Small kept sets, drawn once for all tries; and a kill at the rename to the model, before or after it.
_ADAPT = """
import os, signal, sys
at, rename = sys.argv.pop(1), os.replace
def replace(source, target):
    is_model = str(target).endswith(".onnx") and "mine" in str(target)
    if is_model and at == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if is_model and at == "after":
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
from rbtrain.adapting import material
from rbtrain.cli import main
from rbtrain.data.kept import Kept
material.REHEARSED, material.JUDGED = Kept("rehearsed", 5, 10), Kept("judged", 6, 14)
sys.exit(main())
"""
_HARVEST = "import sys\nfrom rbtrain.cli import main\nsys.exit(main())"


def started(code, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def darks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("darks")
    rng = np.random.default_rng(1)
    paths = []
    for k in range(4):
        image = rng.normal(100, 8, (SIDE, SIDE))
        for x, y in rng.integers(10, SIDE - 10, (40, 2)):
            add_star(image, x, y, 9000)
        paths.append(folder / f"dark_{k}.fits")
        fits.writeto(paths[-1], image.astype(np.int16), fits.Header({"IMAGETYP": "DARK"}))
    return paths


@pytest.mark.promise(
    "Faults", "A harvest killed at random moments loses no label, and repeated has each once"
)
def test_a_killed_harvest_loses_no_label_and_goes_on(darks, tmp_path, tried):
    table = tmp_path / "labels.ecsv"
    own = Label(str(darks[0]), digest(darks[0]), 1.0, 2.0, "real", who="somebody")
    LabelFile(table).append([own])
    start = time.monotonic()
    assert (
        started(_HARVEST, "harvest", "--darks", *darks, "-o", tmp_path / "all.ecsv").wait(_LONGEST) == 0
    )
    whole, lasts = read_labels(tmp_path / "all.ecsv"), time.monotonic() - start
    rng = np.random.default_rng(SEED)
    seen = {own.key}
    for _ in range(times(4, 34)):
        process = started(_HARVEST, "harvest", "--darks", *darks, "-o", table)
        time.sleep(rng.uniform(0, 1.1 * lasts))
        process.send_signal(signal.SIGKILL)
        process.wait(_LONGEST)
        now = {label.key for label in read_labels(table)}
        assert seen <= now
        seen = now
        tried()
    assert started(_HARVEST, "harvest", "--darks", *darks, "-o", table).wait(_LONGEST) == 0
    labels = read_labels(table)
    assert (labels[0].key, labels[0].who) == (own.key, own.who)
    assert {label.key for label in labels if label.who == WHO} == {label.key for label in whole}
    assert len(labels) == 1 + len(whole)  # none twice


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(2)
    image = rng.normal(300, 8, (SIDE, SIDE))
    given = []
    for y in range(14, SIDE - 10, PITCH):
        for x in range(14, SIDE - 10, PITCH):
            real = (x + y) // PITCH % 2 == 0
            if real:
                add_star(image, x, y, rng.uniform(1000, 6000))
            else:
                image[y, x] += rng.uniform(200, 900)
            given.append((float(x), float(y), "real" if real else "bogus"))
    fits.writeto(folder / "image.fits", np.rint(image).astype(np.int16))
    sha256 = digest(folder / "image.fits")
    LabelFile(folder / "labels.ecsv").append(
        [Label(str(folder / "image.fits"), sha256, x, y, label, who="test") for x, y, label in given]
    )
    return folder / "labels.ecsv"


def made(models):
    """Return the models that were made, whether they proved to be better or not."""
    return [path for path in models.rglob("*.onnx") if not path.name.endswith(".part.onnx")]


@pytest.mark.promise(
    "Faults",
    "An adaptation killed at random moments, and before or after its rename: whole models, the same "
    "labels",
)
def test_a_killed_adaptation_leaves_no_half_written_model(labels, tmp_path, monkeypatch, tried):
    models = tmp_path / "models"
    monkeypatch.setenv("RBINFER_MODELS", str(models))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = labels.read_bytes()
    arguments = ("adapt", "--labels", labels, "-q")
    assert started(_ADAPT, "never", *arguments).wait(_LONGEST) == 0  # draws the sets, too
    start = time.monotonic()
    assert started(_ADAPT, "never", *arguments).wait(_LONGEST) == 0
    lasts = time.monotonic() - start
    rng = np.random.default_rng(SEED)
    own = 2
    for number in range(times(4, 33)):
        at = ("before", "after", "never", "never")[number % 4]
        process = started(_ADAPT, at, *arguments)
        if at == "never":
            time.sleep(rng.uniform(0.3, 1.0) * lasts)
            process.send_signal(signal.SIGKILL)
        process.wait(_LONGEST)
        found = made(models)
        own += at == "after"
        assert len(found) in ((own, own + 1) if at == "never" else (own,))
        own = len(found)
        assert all(verify(path).ok for path in found)
        assert labels.read_bytes() == before
        tried()
    assert started(_ADAPT, "never", *arguments).wait(_LONGEST) == 0
    assert not list(models.rglob("*.part.onnx"))
    assert len(made(models)) == own + 1


@pytest.mark.promise(
    "Faults", "The label page killed at random moments amid answers: each that was taken is on disk"
)
def test_a_killed_page_loses_no_answer(tmp_path, tried):
    results = write_results(tmp_path, times(4, 30), 100)
    rng = np.random.default_rng(SEED)
    taken = 0
    seen: set[Key] = set()
    for kills in range(1, 1 + times(3, 33)):
        with running(results) as page:
            assert page.get("state")[1]["progress"]["labelled"] == len(seen)
            killer = threading.Timer(rng.uniform(0.0, 0.4), page.process.kill)
            killer.start()
            with contextlib.suppress(OSError, http.client.HTTPException):
                while items := page.get("items?window=w&count=1")[1]["items"]:
                    answer = json.dumps({"item": items[0]["item"], "label": "real"}).encode()
                    taken += page.ask("POST", "answer", answer)[0] == 200
            killer.join()
        table = results / "labels.ecsv"
        now = {label.key for label in read_labels(table)} if table.exists() else set()
        assert seen <= now
        # One a life may be written and not have been told.
        assert 0 <= len(now) - taken <= kills
        seen = now
        tried()
    assert taken > 0
