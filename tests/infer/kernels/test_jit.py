"""Numba's cache of the kernels goes by all their sources, and keeps nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rbinfer
from rbinfer.kernels import jit, sources

# A kernel of one file with functions and constants of others.
CODE = """
import json
import numpy as np
from rbinfer.kernels import library, reference
window = np.arange(9, dtype=np.float32)
level = reference._edge_median(window, 3, 3, np.empty(128, np.float32))
stats = reference._edge_median.stats
print(json.dumps({
    "level": float(level), "is_compiled": bool(stats.cache_misses), "path": stats.cache_path,
    "library": library.file_name(),
}))
"""


def run(package):
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | {"PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": ""},
        cwd=package.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["path"] == str(package / "kernels" / "__pycache__")
    return found


@pytest.fixture
def package(tmp_path):
    """A copy of the package, whose sources may be changed."""
    here = Path(rbinfer.__file__).parent
    leave = shutil.ignore_patterns("__pycache__", "models")
    return Path(shutil.copytree(here, tmp_path / "rbinfer", ignore=leave))


def replaced(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_cached_code_is_renewed_when_a_file_it_comes_from_changes(package):
    first = run(package)
    assert first["is_compiled"]
    assert first["level"] == np.median([0, 1, 2, 6, 7, 8, 0, 3, 6, 2, 5, 8])
    again = run(package)
    assert again == first | {"is_compiled": False}
    # What it calls lies in numerics.py, and the cached kernel in reference.py.
    replaced(package / "kernels/numerics.py", "a[0] = 0.5 * (", "a[0] = 0.25 * (")
    changed = run(package)
    assert changed["is_compiled"]
    assert changed["level"] == first["level"] / 2
    assert changed["library"] != first["library"]
    assert not run(package)["is_compiled"]


@pytest.mark.parametrize("name", ["constants.py", "a_new_file.py", "support.c", "../status.py"])
def test_digest_is_of_all_files(package, monkeypatch, name):
    monkeypatch.setattr(sources, "_FOLDER", package / "kernels")
    before = sources.digest_of_sources()
    assert before == sources.digest_of_sources() == jit.DIGEST
    with (package / "kernels" / name).open("a") as file:
        file.write("# changed\n")
    assert sources.digest_of_sources() not in (before, None)


def test_digest_needs_all_files(package, monkeypatch):
    monkeypatch.setattr(sources, "_FOLDER", package / "kernels")
    (package / "status.py").unlink()
    assert sources.digest_of_sources() is None


def doubled(value):
    return 2 * value


@pytest.fixture
def warned(caplog):
    jit._tell_uncached.cache_clear()
    yield lambda: [record.getMessage() for record in caplog.records]
    jit._tell_uncached.cache_clear()


def compiled_uncached():
    before = len(jit.FUNCTIONS)
    function = jit.jit(doubled)
    assert function(21) == 42
    assert function.stats.cache_path is None
    assert jit.FUNCTIONS.pop() is function
    assert len(jit.FUNCTIONS) == before


def test_nothing_is_cached_where_that_is_not_possible(monkeypatch, warned):
    def nowhere(function):
        raise RuntimeError("no locator available")

    monkeypatch.setattr(jit, "_numbas_cache", nowhere)
    compiled_uncached()
    compiled_uncached()
    (message,) = warned()
    assert message.startswith("each start compiles the kernels anew: neither ")
    assert "set NUMBA_CACHE_DIR" in message


def test_nothing_is_cached_by_a_numba_of_another_kind(monkeypatch, warned):
    monkeypatch.setattr(jit, "_numbas_cache", lambda function: object())
    compiled_uncached()
    assert "caches in another way than is known here ('object' object has no attribute" in warned()[0]


def test_nothing_is_cached_where_changes_would_not_be_seen(monkeypatch, warned):
    monkeypatch.setattr(jit, "DIGEST", None)
    compiled_uncached()
    assert "there are no source files to tell whether cached code is current" in warned()[0]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    function = jit.jit(doubled)
    jit.FUNCTIONS.remove(function)
    assert function.stats.cache_path is not None


def test_without_compilation_functions_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(jit.numba.config, "DISABLE_JIT", 1)
    assert jit.jit(doubled) is doubled
