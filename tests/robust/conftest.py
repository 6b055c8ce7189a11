"""Promises: what each test here shows, and how many cases it tried.

A test is marked ``@pytest.mark.promise(group, text)`` and counts its cases with the fixture `tried`.
With ``ROBUST=full`` the tests try as many cases as was promised; without, in CI, a few of each.
``python -m tests.robust`` runs them in full and writes PROMISES.md beside this file.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.infer.conftest import classifier, model_path, scene  # noqa: F401

LOG = "ROBUST_LOG"


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Iterator[Callable[[int], None]]:
    """Count cases; what was counted goes to the log, if one is asked for, when the test ends."""
    counted: list[int] = []
    yield lambda n=1: counted.append(n)
    report = getattr(request.node, "report", None)
    if report is None:
        note(request.node, sum(counted), found="it was cut off")
    elif report.skipped:
        note(request.node, sum(counted), found=report.longrepr[2], skipped=True)
    else:
        note(request.node, sum(counted), report.passed, getattr(request.node, "found", ""))


def note(
    item: pytest.Item, cases: int, passed: bool = False, found: str = "", skipped: bool = False
) -> None:
    """Write what came of a test to the log, if one is asked for."""
    marker = item.get_closest_marker("promise")
    where = os.environ.get(LOG)
    if where is None or marker is None:
        return
    line = {
        "group": marker.args[0],
        "promise": marker.args[1],
        "test": item.nodeid.split("[")[0],
        "cases": cases,
        "passed": passed,
        "found": found,
        "skipped": skipped,
    }
    with Path(where).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.report = report
    elif report.when == "setup" and report.failed:
        # Otherwise what an earlier run found would stay in the table.
        note(item, 0, found="it could not be set up")
