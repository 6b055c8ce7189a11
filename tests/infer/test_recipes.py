"""The recipes under docs/recipes do what they say, with the tools themselves."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rbinfer.io.tables import read_catalog
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
FIELD = ROOT / "benchmarks" / "example" / "field.fits"
NAMES = ("a b", "c'd")
BIN = Path(sys.executable).parent
PATIENCE = 240  # seconds


@pytest.fixture(scope="module")
def expected():
    return score_file(str(FIELD), None, ScoreOptions(), ScoreOptions().classifier()).table


@pytest.fixture
def night(tmp_path):
    folder = tmp_path / "the night"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(FIELD, folder / f"{name}.fits")
    return folder


def run(*command, **environment):
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        list(map(str, command)),
        env=os.environ | {"PATH": path} | environment,
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip


def assert_scored(paths, expected):
    for path in paths:
        np.testing.assert_array_equal(read_catalog(path)["rb_score"], expected["rb_score"])


def test_every_recipe_is_run_here():
    listed = set(re.findall(r"^\| \[`([\w.]+)`\]", (RECIPES / "README.md").read_text(), re.MULTILINE))
    assert listed == {path.name for path in RECIPES.iterdir()} - {"README.md"}
    text = Path(__file__).read_text()
    assert all(f'RECIPES / "{name}"' in text for name in listed)


@pytest.mark.parametrize("name", ["xargs.sh", "slurm.sh"])
def test_shellcheck_has_nothing_to_say(name):
    tool = shutil.which("shellcheck", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        pytest.skip("shellcheck is not installed")
    done = run(tool, RECIPES / name)
    assert (done.returncode, done.stdout) == (0, "")


def test_xargs(night, tmp_path, expected):
    done = run(RECIPES / "xargs.sh", night, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert_scored([tmp_path / "out" / f"{name}.ecsv" for name in NAMES], expected)
    (night / "bad.fits").write_text("no image")
    done = run(RECIPES / "xargs.sh", night, tmp_path / "again")
    assert done.returncode == 123
    assert_scored([tmp_path / "again" / f"{name}.ecsv" for name in NAMES], expected)


def test_slurm(night, tmp_path, expected):
    """Three tasks as Slurm starts them, of which the last has nothing to do; one is queued again."""
    out = tmp_path / "results"
    for task in ("0", "1", "2", "0"):
        numbers = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "3"}
        done = run(RECIPES / "slurm.sh", night, out, SLURM_CPUS_PER_TASK="1", **numbers)
        assert done.returncode == 0, done.stderr
    assert_scored([out / str(k) / f"{name}.ecsv" for k, name in enumerate(NAMES)], expected)
    assert not (out / "2").exists()
    assert len((out / "0" / "batch.jsonl").read_text().splitlines()) == 1
    options = re.findall(r"^#SBATCH (--[\w-]+)", (RECIPES / "slurm.sh").read_text(), re.MULTILINE)
    assert options == ["--job-name", "--array", "--cpus-per-task", "--mem", "--time", "--requeue"]


def test_snakemake(night, tmp_path, expected):
    pytest.importorskip("snakemake")
    done = run(
        BIN / "snakemake", "--cores", "2", "-s", RECIPES / "Snakefile", "--directory", tmp_path,
        "--config", f"night={night}", f"results={tmp_path / 'out'}",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_scored([tmp_path / "out" / f"{name}.ecsv" for name in NAMES], expected)


def test_prefect(night, tmp_path, expected):
    """A flow with a server of its own, which a busy machine is slow to start, and without telemetry.

    An image that cannot be read is told, costs the others nothing, and is not tried again.
    """
    pytest.importorskip("prefect")
    alone = {
        "PREFECT_HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": "",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    (night / "bad.fits").write_text("no image")
    done = run(sys.executable, RECIPES / "on_prefect.py", night, tmp_path / "out", **alone)
    assert done.returncode == 0, done.stderr
    assert "158 real, 108 bogus" in done.stderr
    assert "bad.fits: " in done.stderr
    lines = (tmp_path / "out" / "batch.jsonl").read_text().splitlines()
    assert sum("bad.fits" in line for line in lines) == 1
    assert_scored([tmp_path / "out" / f"{name}.ecsv" for name in NAMES], expected)


def test_dask(night, tmp_path, expected):
    pytest.importorskip("distributed")
    done = run(sys.executable, RECIPES / "on_dask.py", night, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "158 real, 108 bogus in 2 images" in done.stdout
    assert_scored([tmp_path / "out" / f"{name}.ecsv" for name in NAMES], expected)
