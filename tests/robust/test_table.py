"""The table of promises: what was kept, broken, cut off or not tried is told apart."""

import json
import os
import re
import subprocess
import sys

from .__main__ import GROUPS, HERE, as_table, merged
from .environments import ROOT

_TESTS = """
import os
import pytest

@pytest.fixture
def broken():
    raise OSError

def promise(text):
    return pytest.mark.promise("Files", text)

@promise("kept")
@pytest.mark.parametrize("n", [1, 2])
def test_kept(tried, n):
    tried(n)

@promise("fails once")
@pytest.mark.parametrize("n", [1, 2])
def test_fails(tried, n):
    tried(n)
    assert n == 1

@promise("skipped")
def test_skipped(tried):
    pytest.skip("no such thing here")

@promise("not set up")
def test_not_set_up(broken, tried):
    pass

@promise("cut off")
def test_cut_off(tried):
    tried(5)
    raise KeyboardInterrupt
"""


def test_rows(tmp_path):
    (tmp_path / "test_some.py").write_text(_TESTS)
    (tmp_path / "conftest.py").write_text("from tests.robust.conftest import *\n")
    log = tmp_path / "log.jsonl"
    env = os.environ | {"ROBUST_LOG": str(log), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_some.py"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        check=False,
    )
    rows = merged([json.loads(line) for line in log.read_text().splitlines()])
    table = as_table(rows)
    for row in (
        "| kept | `test_some.py::test_kept` | 3 | kept |",
        "| fails once | `test_some.py::test_fails` | 3 | **BROKEN** |",
        "| skipped | `test_some.py::test_skipped` | 0 | not tried; Skipped: no such thing here |",
        "| not set up | `test_some.py::test_not_set_up` | 0 | **BROKEN**; it could not be set up |",
        "| cut off | `test_some.py::test_cut_off` | 5 | **BROKEN**; it was cut off |",
    ):
        assert row in table, table


def test_every_promise_is_of_a_group_of_the_table():
    texts = [path.read_text() for path in HERE.glob("test_*.py") if path.name != "test_table.py"]
    used = {name for text in texts for name in re.findall(r'mark\.promise\(\s*"([^"]+)"', text)}
    assert used == set(GROUPS)
