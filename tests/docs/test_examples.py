"""The examples with other packages, run with these packages and held against the truth."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from rbinfer.io.positions import positions

ROOT = Path(__file__).parents[2]
REACH = 2.5  # pixels between a detection and the true object that it is


def examples():
    """Return the Python blocks of the page, by the name of the package above each."""
    text = (ROOT / "docs" / "how-to" / "detection_programs.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\[(\w+)\].*?^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


NEEDS = {
    "SEP": lambda: importlib.util.find_spec("sep"),
    "photutils": lambda: importlib.util.find_spec("photutils"),
    "SExtractor": lambda: shutil.which("source-extractor"),
    "stdpipe": lambda: importlib.util.find_spec("stdpipe"),
}


def test_every_example_is_run_and_short():
    assert examples().keys() == NEEDS.keys()
    assert all(len(code.split("\n")) <= 14 for code in examples().values())


@pytest.mark.parametrize("package", NEEDS)
def test_example(package, tmp_path):
    if not NEEDS[package]():
        pytest.skip(f"{package} is not installed here")
    shutil.copy(ROOT / "benchmarks" / "example" / "field.fits", tmp_path / "image.fits")
    code = examples()[package]
    name = re.findall(r"^(\w+) = classify_realbogus", code, re.MULTILINE)[-1]
    code += f'{name}.write("scored.ecsv")\n'
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rb_score" in done.stdout

    scored = Table.read(tmp_path / "scored.ecsv")
    truth = Table.read(ROOT / "benchmarks" / "example" / "truth.ecsv")
    real = np.asarray(scored["rb_score"]) > scored.meta["rb_threshold"]
    star = near(scored, truth[truth["type"] == "star"])
    galaxy = near(scored, truth[truth["type"] == "galaxy"])
    artefact = near(scored, truth[np.isin(truth["type"], ["cosmic_ray", "hot_pixel"])])
    artefact &= ~star & ~galaxy
    assert star.sum() >= 60
    assert real[star].mean() > 0.95
    assert artefact.sum() >= 15
    # stdpipe and photutils give no brightest pixel, and hits lie on the flank of bright stars.
    assert real[artefact].mean() < 0.07


def near(table, there):
    """Tell which rows lie close to one of the true objects."""
    x, y = positions(table)
    apart = np.hypot(
        x[:, np.newaxis] - np.asarray(there["x"]), y[:, np.newaxis] - np.asarray(there["y"])
    )
    return apart.min(axis=1) < REACH
