"""A night that was scored in one go, for comparison."""

import pytest

from rbinfer.runs.batch import run_batch

from . import folders as runs

ODD_NAMES = ["a b.fits", "with[1].fits", "with1.fits", "größe.fit", "星.fts", "x*.fits", "-dash.fits"]
JOURNAL = "batch.jsonl"


@pytest.fixture(scope="package")
def night(tmp_path_factory):
    """Eight images, and what an undisturbed run makes of them."""
    folder = tmp_path_factory.mktemp("night")
    runs.write_images(folder, [f"f{k}.fits" for k in range(8)])
    report = run_batch(folder, folder / "expected", workers=1)
    assert (report.n_scored, report.n_skipped, report.failed) == (8, 0, ())
    runs.assert_complete(folder / "expected", runs.results(folder / "expected"), JOURNAL)
    return folder


@pytest.fixture(scope="package")
def expected(night):
    return runs.results(night / "expected")
