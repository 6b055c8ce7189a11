"""What a night says of itself."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from rbinfer.io.tables import write_catalog
from rbinfer.night.frames import read_frame
from rbinfer.night.reckoning import Reckoning
from rbinfer.night.result import NightResult
from rbinfer.runs.batch import BatchReport, ImageResult

from .skies import SIDE, header_of, save, wcs_of


def merged(folder, scores):
    """Merge a night of one frame whose detections have these scores, far from each other."""
    header = header_of(0, "LIGHT")
    header.update(wcs_of(np.zeros(2)))
    save(folder, "light.fits", np.zeros((SIDE, SIDE)), header)
    n = len(scores)
    y, x = np.divmod(np.arange(n), 14)
    table = Table({"x": 10.0 + 13 * x, "y": 10.0 + 13 * y, "rb_score": np.asarray(scores)})
    table["rb_status"], table["rb_snr"] = np.zeros(n, np.int32), np.full(n, 30.0)
    table.meta |= {"rb_threshold": 0.5, "rb_fwhm": 3.0, "rb_x_col": "x", "rb_y_col": "y", "rb_origin": 0}
    result = folder / "result.fits"
    write_catalog(table, result)
    out = folder / "out"
    out.mkdir()
    frame = read_frame(str(folder / "light.fits"), (), result)
    night = NightResult(out, BatchReport((), out, 0.0), [frame])
    calls = []
    Reckoning(night, lambda *each: calls.append(each)).run()
    return night, calls


def test_all_that_cannot_be_told_is_counted_and_the_first_are_on_the_page(tmp_path):
    night, calls = merged(tmp_path, [0.5] * 75 + [0.999] * 10 + [0.001] * 5)
    assert night.kinds.total() == 90
    assert night.n_doubtful == 75
    assert len(night.doubtful) == 60
    assert night.in_words()[1].endswith(
        f"; 75 can't be told well: the first 60 are in {tmp_path / 'out' / 'doubtful.html'}"
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


def night_of(n_doubtful=0, groups=None, results=()):
    batch = BatchReport(tuple(results), Path("batch.jsonl"), 1.0)
    night = NightResult(Path("out"), batch, [None] * 8, groups or {("M 1", "R"): 8})
    night.n_doubtful, night.doubtful = n_doubtful, [None] * 60
    return night


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "0 moving, 0 seen once"),
        (1, "0 seen once; 1 can't be told well: judge the first in out/doubtful.html"),
        (15, "0 seen once; 15 can't be told well: judge the first 15 in out/doubtful.html"),
        (60, "0 seen once; 60 can't be told well: judge them in out/doubtful.html"),
    ],
)
def test_the_page_is_named_where_there_is_something_to_judge(n, words):
    assert night_of(n).in_words()[1].endswith(words)


def test_groups_are_named_with_their_frames():
    groups = {("M 1", "R"): 5, ("M 1", "2"): 2, ("", ""): 1}
    assert (
        night_of(groups=groups)
        .in_words()[0]
        .startswith("8 frames in 3 groups (unnamed: 1, M 1 2: 2, M 1 R: 5): ")
    )


def test_frames_that_were_done_before_or_failed_are_counted():
    def result(ok, skipped):
        return ImageResult("a", Path("a"), ok, skipped, None, None, 0.0)

    results = [result(True, True)] * 5 + [result(True, False)] * 3 + [result(False, False)] * 2
    assert night_of(results=results).in_words()[0].startswith("8 frames (5 done before, 2 failed) in ")


def test_without_hot_pixels_no_mask_is_offered():
    night = night_of()
    night.moved = True
    assert night.in_words()[2] == "no hot pixel was found that stands while the sky moves"
