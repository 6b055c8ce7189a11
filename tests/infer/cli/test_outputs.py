"""Files that classify writes: regions, and what is not replaced."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import ascii as ascii_io

from rbinfer.errors import RbinferError
from rbinfer.io.regions import as_regions
from rbinfer.io.tables import read_catalog

from .conftest import run


def test_regions(inputs, field, capsys, tmp_path):
    """One circle a row, counted from 1, coloured by verdict; kept unless told otherwise."""
    image, catalog = inputs
    _, table = field
    path = tmp_path / "verdicts.reg"
    code, out, _ = run(capsys, "classify", image, "--catalog", catalog, "--regions", path)
    assert code == 0
    score = ascii_io.read(out, format="ecsv")["rb_score"]
    circles = [line for line in path.read_text().splitlines() if line.startswith("circle(")]
    assert len(circles) == len(table)
    for line, row, s in zip(circles, table, score, strict=True):
        x, y, _ = (float(v) for v in line[7 : line.index(")")].split(","))
        assert (x, y) == pytest.approx((row["x"] + 1, row["y"] + 1), abs=1e-3)
        assert f"color={'deepskyblue' if s > 0.5 else 'orangered'} " in line
    assert any("text={hot_pixel" in line or "text={cosmic_ray" in line for line in circles)
    before = path.read_text()
    code, _, err = run(capsys, "classify", image, "--catalog", catalog, "--regions", path)
    assert code == 1
    assert "--overwrite" in err
    assert path.read_text() == before


def test_regions_of_what_has_no_score_or_position():
    text = as_regions([1.0, np.nan, 3.0], [1.0, 2.0, 3.0], [np.nan, 0.9, 0.9], 0.5)
    assert [line.split("#")[1] for line in text.splitlines() if line.startswith("circle")] == [
        " color=gold text={} tag={unscored}",
        " color=deepskyblue text={0.90} tag={real}",
    ]


def test_outputs_are_distinct_from_each_other_and_the_inputs(inputs, capsys, tmp_path):
    image, catalog = inputs
    before = Path(image).read_bytes()
    same = tmp_path / "same.ecsv"
    for options in (("-o", same, "--regions", same), ("--regions", image, "--overwrite")):
        code, _, err = run(capsys, "classify", image, "--catalog", catalog, *options)
        assert (code, "named twice, or is what is read" in err) == (1, True)
    assert not same.exists()
    assert Path(image).read_bytes() == before


def test_what_is_no_file_is_not_replaced(inputs, capsys, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code, _, err = run(capsys, "classify", inputs[0], "--regions", pipe, "--overwrite")
    assert (code, "device or a pipe" in err, pipe.is_fifo()) == (1, True, True)


def test_rows_are_there_when_the_regions_cannot_be_written(inputs, capsys, tmp_path, monkeypatch):
    def refuse(*args):
        raise RbinferError("no room")

    monkeypatch.setattr("rbinfer.io.regions.write_regions", refuse)
    rows, marks = tmp_path / "rows.ecsv", tmp_path / "marks.reg"
    code, _, err = run(capsys, "classify", inputs[0], "-o", rows, "--regions", marks)
    assert (code, "no room" in err) == (1, True)
    assert len(read_catalog(rows)) > 0


def test_labels_cannot_end_a_region():
    text = as_regions([1.0], [1.0], [0.1], 0.5, classes=["a}\ncircle(9,9,9) # text={b"])
    assert sum(line.startswith("circle") for line in text.splitlines()) == 1
    assert text.count("{") == 2
