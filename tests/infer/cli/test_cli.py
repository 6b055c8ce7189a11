"""The verbs that score one image, and those that tell of models and of the program."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import ascii as ascii_io
from astropy.table import Table

from rbinfer import __version__
from rbinfer._util.plain import plain
from rbinfer.cli import main
from rbinfer.io.tables import read_catalog
from rbinfer.model.registry import DEFAULT_MODEL, resolve
from rbinfer.model.session import Session
from rbinfer.status import Status

from .conftest import FWHM, run


def test_classify_to_stdout_keeps_rows_and_order(inputs, field, capsys):
    image, catalog = inputs
    code, out, err = run(capsys, "classify", image, "--catalog", catalog)
    assert code == 0
    got = ascii_io.read(out, format="ecsv")
    np.testing.assert_array_equal(got["id"], field[1]["id"])
    np.testing.assert_array_equal(got["x"], field[1]["x"])
    assert got["rb_score"].dtype == np.float32
    assert got["rb_status"].dtype == np.int32
    assert np.all((got["rb_score"] >= 0) & (got["rb_score"] <= 1))
    assert got.meta["rb_model"] == DEFAULT_MODEL
    # The field is sampled, not integrated over pixels, which the estimate takes off.
    assert got.meta["rb_fwhm"] == pytest.approx(np.sqrt(FWHM**2 - 8 * np.log(2) / 12), rel=0.02)
    assert "49 detections from" in err
    assert "FWHM 2.92 px (measured" in err
    assert f"model {DEFAULT_MODEL}" in err


def test_classify_without_catalogue_detects_stars(inputs, field, capsys):
    code, out, err = run(capsys, "classify", inputs[0], "--json")
    assert code == 0
    result = json.loads(out)
    assert result["summary"]["catalog"] is None
    assert result["summary"]["detections"] == len(result["rows"])
    found = np.array([(row["x"], row["y"]) for row in result["rows"]])
    for x, y in zip(field[1]["x"][10:], field[1]["y"][10:], strict=True):
        assert np.min(np.hypot(found[:, 0] - x, found[:, 1] - y)) < 0.3
    assert "detections by rbinfer" in err


def test_classify_detects_by_sep_when_told_to(inputs, capsys):
    assert "detections by SEP" in run(capsys, "classify", inputs[0], "--detector", "sep", "--json")[2]


def test_classify_json_says_why_there_is_no_score(inputs, field, capsys, tmp_path):
    table = field[1].copy()
    table["x"][[0, 1, 2]] = [np.nan, -40.0, 1e300]
    table["flux"] = np.ma.array(np.ones(len(table)), mask=np.arange(len(table)) == 3)
    table.write(tmp_path / "odd.fits")
    code, out, err = run(
        capsys, "classify", inputs[0], "--catalog", tmp_path / "odd.fits", "--fwhm", 3, "--json"
    )
    assert code == 0
    result = json.loads(out)
    summary, rows = result["summary"], result["rows"]
    assert summary["detections"] == len(rows) == 49
    assert summary["real"] + summary["bogus"] + summary["unscored"] == 49
    assert summary["fwhm"] == 3.0
    assert summary["fwhm_source"] == "given"
    assert summary["status"]["POSITION_NOT_FINITE"] == 1
    assert summary["status"]["OFF_IMAGE"] == 2
    assert rows[0]["x"] is None
    assert rows[0]["rb_score"] is None
    assert rows[0]["rb_status"] & Status.POSITION_NOT_FINITE
    assert rows[1]["rb_status"] & Status.OFF_IMAGE
    assert rows[3]["flux"] is None
    assert "1 POSITION_NOT_FINITE, 2 OFF_IMAGE" in err


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv", ".vot", ".xml"])
def test_classify_to_a_file(inputs, field, capsys, tmp_path, suffix):
    out_file = tmp_path / f"out{suffix}"
    code, out, _ = run(capsys, "classify", inputs[0], "--catalog", inputs[1], "-o", out_file)
    assert code == 0
    assert out == ""
    got = read_catalog(out_file)
    np.testing.assert_allclose(got["x"], field[1]["x"])
    assert got.colnames[:5] == ["id", "x", "y", "rb_score", "rb_status"]


def test_classify_json_beside_a_file_is_the_summary(inputs, capsys, tmp_path):
    code, out, _ = run(capsys, "classify", inputs[0], "--json", "-o", tmp_path / "o.fits")
    assert code == 0
    result = json.loads(out)
    assert list(result) == ["summary"]
    assert len(read_catalog(tmp_path / "o.fits")) == result["summary"]["detections"]


def test_classify_threshold_and_filter(inputs, capsys):
    base = ["classify", inputs[0], "--catalog", inputs[1], "--json"]
    everything = json.loads(run(capsys, *base)[1])["rows"]
    cut = float(np.median([row["rb_score"] for row in everything]))
    result = json.loads(run(capsys, *base, "--filter", "--threshold", repr(cut))[1])
    expected = [row["id"] for row in everything if row["rb_score"] > cut]
    assert [row["id"] for row in result["rows"]] == expected
    assert result["summary"]["threshold"] == cut
    assert result["summary"]["real"] == len(expected)
    assert result["summary"]["bogus"] == len(everything) - len(expected)
    # A score equal to the threshold is not real, so that none is above 1.
    assert json.loads(run(capsys, *base, "--filter", "--threshold", "1")[1])["rows"] == []


@pytest.mark.parametrize("suffix", [".ecsv", ".csv", ".fits"])
def test_classify_empty_catalogue(inputs, capsys, tmp_path, suffix):
    empty = tmp_path / f"empty{suffix}"
    Table({"x": np.zeros(0), "y": np.zeros(0)}).write(empty)
    code, out, err = run(capsys, "classify", inputs[0], "--catalog", empty)
    assert code == 0
    got = ascii_io.read(out, format="ecsv")
    assert len(got) == 0
    assert {"x", "y", "rb_score", "rb_status"} <= set(got.colnames)
    assert "0 detections" in err


def test_classify_scores_do_not_depend_on_threads_or_named_model(inputs, capsys):
    base = ["classify", inputs[0], "--catalog", inputs[1], "--fwhm", "3", "-q"]
    first = run(capsys, *base)
    assert first[2] == ""
    for extra in (["--threads", "1"], ["--threads", "3"], ["--model", str(resolve(None))]):
        assert run(capsys, *base, *extra)[1] == first[1]
    assert run(capsys, *base, "--hdu", "PRIMARY", "--device", "cpu")[1] == first[1]


def error_of(capsys, *argv):
    code, out, err = run(capsys, *argv)
    assert code == 1
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("rbinfer: error: ")
    return lines[0]


def test_errors_are_one_sentence_and_exit_1(inputs, capsys, tmp_path):
    image, catalog = inputs
    assert "none.fits does not exist" in error_of(capsys, "classify", tmp_path / "none.fits")
    assert "no HDU 3" in error_of(capsys, "classify", image, "--hdu", "3")
    assert "cannot be read as FITS" in error_of(capsys, "classify", catalog)
    assert "no table extension" in error_of(capsys, "classify", image, "--catalog", image)
    assert "'no-such'" in error_of(capsys, "classify", image, "--model", "no-such")
    assert "galaxy" in error_of(capsys, "classify", image, "--real", "galaxy,blob")
    Table({"ra": [1.0], "dec": [2.0]}).write(tmp_path / "sky.ecsv")
    text = error_of(capsys, "classify", image, "--catalog", tmp_path / "sky.ecsv")
    assert "ra and dec, but the image has no WCS" in text
    assert "out.txt" in error_of(capsys, "classify", image, "-o", tmp_path / "out.txt")
    (tmp_path / "out.ecsv").write_text("precious")
    argv = ["classify", image, "-o", tmp_path / "out.ecsv"]
    assert "--overwrite" in error_of(capsys, *argv)
    assert (tmp_path / "out.ecsv").read_text() == "precious"
    assert run(capsys, *argv, "--overwrite")[0] == 0
    assert len(read_catalog(tmp_path / "out.ecsv")) > 0


def test_debug_shows_the_traceback(capsys, tmp_path):
    with pytest.raises(FileNotFoundError):
        main(["classify", str(tmp_path / "none.fits"), "--model", "no-such", "--debug"])


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["classify"],
        ["score", "x.fits"],
        ["classify", "x.fits", "--threshold", "1.5"],
        ["classify", "x.fits", "--threshold", "nan"],
        ["classify", "x.fits", "--fwhm", "0"],
        ["classify", "x.fits", "--fwhm", "wide"],
        ["classify", "x.fits", "--threads", "0"],
        ["classify", "x.fits", "--device", "tpu"],
        ["classify", "x.fits", "--real", ","],
        ["models", "lst"],
    ],
)
def test_wrong_usage_exits_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("rbinfer: error: ")
    assert err.count("\n") == 1


def test_models_list_info_verify(capsys, tmp_path):
    listed = run(capsys, "models", "list")
    assert listed[0] == 0
    assert any(line.startswith(f"* {DEFAULT_MODEL} ") for line in listed[1].splitlines())
    assert run(capsys, "models") == listed
    code, out, _ = run(capsys, "models", "info", DEFAULT_MODEL)
    assert code == 0
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    assert facts["model"].strip().startswith(DEFAULT_MODEL)
    assert "threshold" in facts
    code, out, _ = run(capsys, "models", "verify", resolve(None))
    assert code == 0
    assert ": ok, " in out
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for action in ("info", "verify"):
        assert "broken.onnx" in error_of(capsys, "models", action, tmp_path / "broken.onnx")


def test_models_list_names_what_is_unusable(capsys, tmp_path, monkeypatch):
    (tmp_path / "mine.onnx").write_bytes(b"no model")
    monkeypatch.setenv("RBINFER_MODELS", str(tmp_path))
    code, out, _ = run(capsys, "models", "list")
    assert code == 0
    line = next(line for line in out.splitlines() if "mine" in line)
    assert line.startswith("  mine ")
    assert "unusable: " in line


def test_warmup_says_how_long_it_took(capsys):
    code, out, err = run(capsys, "warmup")
    assert (code, out) == (0, "")
    assert err.startswith("kernels ready after ")
    assert run(capsys, "warmup", "-q") == (0, "", "")


def command(*argv, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "rbinfer", *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **kwargs,
    )


def test_module_runs_and_help_imports_little():
    assert command("--version").stdout == f"rbinfer {__version__}\n"
    code = (
        "import sys; from rbinfer.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'astropy', 'onnxruntime', 'sep'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "classify" in result.stdout


def test_reader_of_stdout_may_go_away(inputs):
    read, write = os.pipe()
    os.close(read)
    try:
        process = subprocess.run(
            [sys.executable, "-m", "rbinfer", "classify", inputs[0], "-q"],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(write)
    assert process.returncode == 141
    assert process.stderr == ""


def test_plain_makes_json_of_cells():
    assert plain(np.float32("nan")) is None
    assert plain(np.ma.masked) is None
    assert plain(np.array([[1.0, np.inf], [2.0, 3.0]])) == [[1.0, None], [2.0, 3.0]]
    assert plain(np.int16(4)) == 4
    assert plain(np.bool_(True)) is True
    assert plain(b"abc ") == "abc "
    assert plain({"a": (np.float64(1.5), "b")}) == {"a": [1.5, "b"]}


def test_json_of_columns_that_are_no_arrays(inputs, tmp_path, capsys):
    image, catalog = inputs
    table = Table.read(catalog)
    table["sky"] = SkyCoord(np.arange(len(table)), 0.0, unit="deg")
    table.write(tmp_path / "sky.ecsv")
    code, out, _ = run(capsys, "classify", image, "--catalog", tmp_path / "sky.ecsv", "--json")
    assert code == 0
    rows = json.loads(out)["rows"]
    assert len(rows) == len(table)
    assert "deg" in rows[1]["sky"]


@pytest.mark.parametrize("real", [(), ("--real", "star"), ("--real", "galaxy,star")])
@pytest.mark.parametrize(
    ("option", "value", "rate"), [("--max-missed", "1%", "missed"), ("--max-false", "0.01", "false")]
)
def test_operating_point_by_its_rate(inputs, capsys, option, value, rate, real):
    image, catalog = inputs
    code, out, err = run(capsys, "classify", image, "--catalog", catalog, option, value, "--json", *real)
    assert code == 0
    summary = json.loads(out)["summary"]
    reading = Session(resolve(None)).spec.readings[real == ("--real", "star")]
    points = {p.threshold: p for p in reading.operating_points}
    point = points[summary["threshold"]]
    assert getattr(point, rate) <= 0.01
    assert summary["expected"] == {"missed": point.missed, "false": point.false}
    assert f"{point.false:.1%} of the bogus let in" in err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--max-false", "1e-9"], "no operating point with at most 1e-07 % false"),
        (
            ["--max-missed", "1%", "--real", "galaxy"],
            "with star,galaxy or with star as real; with --real galaxy",
        ),
    ],
)
def test_operating_point_that_is_not_had(inputs, capsys, more, words):
    image, catalog = inputs
    code, out, err = run(capsys, "classify", image, "--catalog", catalog, *more)
    assert (code, out) == (1, "")
    assert words in err


@pytest.mark.parametrize("value", ["101%", "1", "2", "-0.5", "many"])
def test_a_share_lies_between_none_and_all(inputs, capsys, value):
    with pytest.raises(SystemExit) as stop:
        main(["classify", inputs[0], f"--max-missed={value}"])
    assert stop.value.code == 2
    assert value in capsys.readouterr().err


def test_position_columns_and_origin_by_name(inputs, field, capsys, tmp_path):
    """The same scores from columns of any name, with the first pixel called 1."""
    image, catalog = inputs
    _, table = field
    renamed = Table({"x": table["y"] * 0, "col": table["x"] + 1, "row": table["y"] + 1, "y": table["y"]})
    renamed.write(tmp_path / "other.ecsv")
    options = ("--x-col", "col", "--y-col", "row", "--origin", "1", "--fwhm", FWHM)
    code, out, _ = run(capsys, "classify", image, "--catalog", tmp_path / "other.ecsv", *options)
    assert code == 0
    expected = run(capsys, "classify", image, "--catalog", catalog, "--fwhm", FWHM)[1]
    got, wanted = (ascii_io.read(text, format="ecsv")["rb_score"] for text in (out, expected))
    np.testing.assert_array_equal(got, wanted)
    code, _, err = run(capsys, "classify", image, "--catalog", catalog, "--x-col", "no", "--y-col", "y")
    assert code == 1
    assert "no column no; it has id, x, y" in err


def test_position_options_need_a_catalogue(inputs, capsys):
    code, _, err = run(capsys, "classify", inputs[0], "--origin", "1")
    assert code == 1
    assert "--catalog" in err


def test_status_in_words(capsys):
    code, out, _ = run(capsys, "status", "4352")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == ["NEAR_EDGE", "LOW_SNR"]
    assert run(capsys, "status", "0")[1] == "nothing to remark; the row has a score\n"
    assert run(capsys, "status", "0x100000")[1] == "1048576: not a bit of this version\n"
    listed = run(capsys, "status")[1].splitlines()
    assert run(capsys, "status", "EXPLAIN")[1].splitlines() == listed
    assert [int(line.split()[0]) for line in listed[:-1]] == [int(bit) for bit in Status]
    with pytest.raises(SystemExit):
        main(["status", "-3"])
    assert run(capsys, "status", "near_edge")[1].startswith("NEAR_EDGE: part of the cutout")
