import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import ascii as ascii_io
from astropy.io import fits
from astropy.table import Table

from rbinfer import __version__
from rbinfer._util.plain import plain
from rbinfer.cli import main
from rbinfer.errors import RbinferError
from rbinfer.io.regions import as_regions
from rbinfer.io.tables import read_catalog
from rbinfer.model.registry import DEFAULT_MODEL, resolve
from rbinfer.model.session import Session
from rbinfer.status import Status

FWHM = 3.0


@pytest.fixture(scope="session")
def scene():
    """Return an image of 40 Gaussian stars, with 10 hot pixels, and its catalogue."""
    rng = np.random.default_rng(7)
    image = rng.normal(500, 8, (256, 256))
    gx, gy = np.meshgrid(np.arange(20, 240, 32), np.arange(20, 240, 32))
    x = gx.ravel() + rng.uniform(-3, 3, gx.size)
    y = gy.ravel() + rng.uniform(-3, 3, gx.size)
    yy, xx = np.mgrid[:256, :256]
    for k in range(gx.size):
        if k < 10:
            x[k], y[k] = round(x[k]), round(y[k])
            image[int(y[k]), int(x[k])] += 3000
        else:
            image += 3000 * np.exp(-4 * np.log(2) * ((xx - x[k]) ** 2 + (yy - y[k]) ** 2) / FWHM**2)
    table = Table({"id": np.arange(gx.size), "x": x, "y": y})
    return image.astype(np.float32), table


@pytest.fixture
def inputs(scene, tmp_path):
    image, table = scene
    fits.writeto(tmp_path / "im age.fits", image)
    table.write(tmp_path / "cat.ecsv")
    return str(tmp_path / "im age.fits"), str(tmp_path / "cat.ecsv")


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_classify_to_stdout_keeps_rows_and_order(inputs, scene, capsys):
    image, catalog = inputs
    code, out, err = run(capsys, "classify", image, "--catalog", catalog)
    assert code == 0
    got = ascii_io.read(out, format="ecsv")
    np.testing.assert_array_equal(got["id"], scene[1]["id"])
    np.testing.assert_array_equal(got["x"], scene[1]["x"])
    assert got["rb_score"].dtype == np.float32
    assert got["rb_status"].dtype == np.int32
    assert np.all((got["rb_score"] >= 0) & (got["rb_score"] <= 1))
    assert got.meta["rb_model"] == DEFAULT_MODEL
    # The scene is sampled, not integrated over pixels, which the estimate takes off.
    assert got.meta["rb_fwhm"] == pytest.approx(np.sqrt(FWHM**2 - 8 * np.log(2) / 12), rel=0.02)
    assert "49 detections from" in err
    assert "FWHM 2.92 px (measured" in err
    assert f"model {DEFAULT_MODEL}" in err


def test_classify_without_catalogue_detects_stars(inputs, scene, capsys):
    code, out, err = run(capsys, "classify", inputs[0], "--json")
    assert code == 0
    result = json.loads(out)
    assert result["summary"]["catalog"] is None
    assert result["summary"]["detections"] == len(result["rows"])
    found = np.array([(row["x"], row["y"]) for row in result["rows"]])
    for x, y in zip(scene[1]["x"][10:], scene[1]["y"][10:], strict=True):
        assert np.min(np.hypot(found[:, 0] - x, found[:, 1] - y)) < 0.3
    assert "detections by rbinfer" in err


def test_classify_detects_by_sep_when_told_to(inputs, capsys):
    assert "detections by SEP" in run(capsys, "classify", inputs[0], "--detector", "sep", "--json")[2]


def test_classify_json_says_why_there_is_no_score(inputs, scene, capsys, tmp_path):
    table = scene[1].copy()
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
def test_classify_to_a_file(inputs, scene, capsys, tmp_path, suffix):
    out_file = tmp_path / f"out{suffix}"
    code, out, _ = run(capsys, "classify", inputs[0], "--catalog", inputs[1], "-o", out_file)
    assert code == 0
    assert out == ""
    got = read_catalog(out_file)
    np.testing.assert_allclose(got["x"], scene[1]["x"])
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


def test_position_columns_and_origin_by_name(inputs, scene, capsys, tmp_path):
    """The same scores from columns of any name, with the first pixel called 1."""
    image, catalog = inputs
    _, table = scene
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


def test_regions(inputs, scene, capsys, tmp_path):
    """One circle a row, counted from 1, coloured by verdict; kept unless told otherwise."""
    image, catalog = inputs
    _, table = scene
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


def test_mask_bits_noise_and_saturation(inputs, scene, capsys, tmp_path):
    """Extensions of the image's own file, or files; each says so in the status or the score."""
    image, table = scene
    x, y = round(float(table["x"][20])), round(float(table["y"][20]))
    flags = np.zeros(image.shape, np.int16)
    flags[y - 20 : y + 21, x - 20 : x + 21] = 4
    path = tmp_path / "mef.fits"
    hdus = [
        fits.PrimaryHDU(image),
        fits.ImageHDU(flags, name="DQ"),
        fits.ImageHDU(image * 0 + 8, name="ERR"),
    ]
    fits.HDUList(hdus).writeto(path)

    def status(*more):
        options = ("--catalog", inputs[1], "--fwhm", FWHM, *more)
        code, out, err = run(capsys, "classify", path, *options)
        assert code == 0, err
        return ascii_io.read(out, format="ecsv")

    plain_run, masked, bits = status(), status("--mask", "DQ"), status("--mask", "DQ", "--bad-bits", "3")
    assert plain_run["rb_status"][20] == 0
    assert masked["rb_status"][20] & Status.TOO_FEW_GOOD_PIXELS
    np.testing.assert_array_equal(bits["rb_score"], plain_run["rb_score"])
    noise = status("--err", f"{path}[ERR]")
    assert not np.array_equal(noise["rb_score"], plain_run["rb_score"])
    np.testing.assert_allclose(noise["rb_score"], plain_run["rb_score"], atol=0.2)
    saturated = status("--saturation", "2000")["rb_status"] & Status.SATURATED
    assert saturated[20]
    code, _, err = run(capsys, "classify", path, "--catalog", inputs[1], "--bad-bits", "3")
    assert (code, "--mask" in err) == (1, True)


def test_psf_is_a_file_or_an_hdu(inputs, scene, capsys, tmp_path):
    image, _ = scene
    y, x = np.indices((25, 25)) - 12
    star = np.exp(-4 * np.log(2) * (x**2 + y**2) / 4.0**2).astype(np.float32)
    path, alone = tmp_path / "mef.fits", tmp_path / "psf.fits"
    fits.HDUList([fits.PrimaryHDU(image), fits.ImageHDU(star, name="PSF")]).writeto(path)
    fits.writeto(alone, star)
    found = []
    for where in ("PSF", alone, f"{path}[PSF]"):
        code, out, _ = run(
            capsys, "classify", path, "--catalog", inputs[1], "--psf", where, "--json", "--quiet"
        )
        assert code == 0
        found.append(json.loads(out))
    assert found[0]["summary"]["fwhm"] == pytest.approx(4.0, rel=0.02)
    assert found[0]["summary"]["fwhm_source"] == "psf"
    assert found[0]["rows"] == found[1]["rows"] == found[2]["rows"]
    code, _, err = run(capsys, "classify", path, "--psf", "none.fits")
    assert (code, err.strip()) == (1, "rbinfer: error: the PSF none.fits does not exist")
    before = alone.read_bytes()
    code, _, err = run(capsys, "classify", path, "--psf", alone, "-o", alone, "--overwrite")
    assert (code, alone.read_bytes()) == (1, before), err


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
