"""What the reference calls stable is so."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.io.labels import Label, LabelFile
from rbinfer.io.tables import read_catalog
from rbinfer.measure.detect import detect
from rbinfer.model.registry import shipped_directory
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.status import MEANING, UNSCORED

from ..snippets import FIELD, ROOT, fences, fill

TEXT = (ROOT / "docs" / "reference" / "stable.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder as pages take it for granted: the clone's, and files of one's own."""
    folder = tmp_path_factory.mktemp("stable")
    fill(folder)
    return folder


def table(heading):
    """Return the rows of the table with this heading, as lists of cells."""
    lines = TEXT.splitlines()
    (start,) = [k for k, line in enumerate(lines) if line.startswith(f"| {heading} |")]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names_in(text):
    return re.findall(r"`(\w+)`", text)


def test_bits_of_unscored_rows_are_below_256():
    assert "Any bit below 256 means that the row has no score." in TEXT
    assert UNSCORED == 255
    assert all((bit < 256) == text.startswith("not scored: ") for bit, text in MEANING.items())


def run(place, *args, **kwargs):
    command = [sys.executable, "-m", "rbinfer", *map(str, args)]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, **kwargs)


@pytest.mark.parametrize("suffix", ["ecsv", "fits", "parquet"])
def test_columns_and_keys_are_as_documented(place, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    options = ("--x-col", "X", "--y-col", "Y", "--origin", 1, "--overwrite")
    extra = ("--columns", "classes,snr", "--overwrite")
    assert (
        run(place, "classify", FIELD, "--catalog", "cat.csv", *options, "-o", f"s.{suffix}").returncode
        == 0
    )
    single = read_catalog(place / f"s.{suffix}")
    keys = {name for cell, _ in table("key of the table's `meta`") for name in names_in(cell)}
    # The format of this catalogue does not say what the first pixel is called, nothing is borrowed, and
    # one width stands for the frame.
    noted = {key.lower() for key in single.meta if key.lower().startswith("rb_")}
    assert noted == keys - {"rb_first_pixel", "rb_frames", "rb_fwhm_min", "rb_fwhm_max"}
    done = run(place, "classify", "mosaic.fits", "--hdu", "all", *extra, "-o", f"m.{suffix}")
    assert done.returncode == 0
    mosaic = read_catalog(place / f"m.{suffix}")
    documented = {name: dtype for cell, dtype, _ in table("column") for name in names_in(cell)}
    probabilities = [f"rb_p_{name}" for name in ScoreOptions().classifier().spec.classes]
    documented |= dict.fromkeys(probabilities, documented["rb_p_star"])
    turned = ("--catalog", "cat.csv", *options, "--flip-y", "--trust-positions")
    assert run(place, "classify", FIELD, *turned, "-o", f"t.{suffix}").returncode == 0
    placed = read_catalog(place / f"t.{suffix}")
    options = ("--workers", 1, "-q", "--overwrite", "--merge", f"all.{suffix}")
    assert run(place, "batch", FIELD, "-o", "alone", *options).returncode == 0
    merged = read_catalog(place / f"all.{suffix}")
    assert set(map(str, merged["rb_image"])) == {str(FIELD)}
    ours = {n: t[n] for t in (placed, mosaic, merged) for n in t.colnames if n.startswith("rb_")}
    assert run(place, "stamps", "cube.fits", "-o", f"c.{suffix}", "--overwrite").returncode == 0
    stamps = read_catalog(place / f"c.{suffix}")
    ours |= {n: stamps[n] for n in stamps.colnames if n.startswith("rb_fwhm")}
    ours |= {name: mosaic[name] for name in ("ra", "dec")}
    assert ours.keys() == documented.keys()
    for name, dtype in documented.items():
        found = ours[name].dtype
        assert found.kind in "UOS" if dtype == "text" else found.newbyteorder("=") == dtype, name
    assert set(mosaic["rb_hdu"]) == {1, 2}


def test_columns_of_own_detections_are_as_documented():
    named = [name for cell, _ in table("column of a detection") for name in names_in(cell)]
    assert named == detect(np.zeros((70, 70), np.float32)).colnames
    # A blend, an object at the edge, and one of pixels in one line.
    pixels = np.random.default_rng(1).normal(0, 1, (128, 128)).astype(np.float32)
    y, x = np.mgrid[:128, :128]
    for at, row in ((40, 40), (46, 40), (100, 0)):
        pixels += 500 * np.exp(-((x - at) ** 2 + (y - row) ** 2) / 4).astype(np.float32)
    pixels[90, 60:64] += 500
    flags = {
        (round(float(each["x"])), round(float(each["y"]))): int(each["flags"])
        for each in detect(pixels, minarea=3, matched_filter=False)
    }
    assert flags[40, 40] == flags[46, 40] == 1
    assert flags[100, 1] == 2
    assert flags[62, 90] == 8


@pytest.mark.parametrize("amplitude", [40000, 100])
def test_a_star_is_measured_as_documented(amplitude):
    sigma, noise = 1.5, 10.0
    y, x = np.mgrid[:128, :128]
    squares = (x - 64) ** 2 + (y - 64) ** 2
    star = amplitude * np.exp(-squares / (2 * sigma**2))
    pixels = np.random.default_rng(1).normal(0, noise, star.shape) + star
    [found] = detect(pixels.astype(np.float32))
    # (1 2 1) / 4 along each axis adds 1/2 to the variance and takes the noise to 3/8.
    widened = sigma**2 + 0.5
    smoothed = amplitude * sigma**2 / widened * np.exp(-squares / (2 * widened))
    above = smoothed > 5 * 0.375 * noise
    assert found["npix"] == pytest.approx(above.sum(), rel=0.1)
    assert found["flux"] == pytest.approx(star[above].sum(), abs=5 * noise * above.sum() ** 0.5)
    assert found["peak"] == pytest.approx(amplitude, abs=3 * noise)
    fwhm = np.sqrt(8 * np.log(2)) * sigma
    if amplitude == 40000:
        assert found["fwhm"] == pytest.approx(1.1 * fwhm, rel=0.01)
        np.testing.assert_allclose([found["a"], found["b"]], np.sqrt(widened), rtol=0.01)
    else:
        assert found["fwhm"] < 0.9 * fwhm


def test_json_summary_is_as_documented(place):
    done = run(place, "classify", "mosaic.fits", "--hdu", "all", "--json", "-q")
    result = json.loads(done.stdout)
    assert result.keys() == {"summary", "rows"}
    assert result["summary"].keys() == {
        name for cell, _ in table("key of the summary") for name in names_in(cell)
    }


def test_files_of_a_night_are_as_documented(place):
    pytest.importorskip("astroalign")
    assert run(place, "night", "camera", "-o", "whole", "-q").returncode == 0

    def documented(heading):
        return [name for cell, _ in table(heading) for name in names_in(cell)]

    sources = documented("column of `sources.ecsv`")
    further = documented("further column of `candidates.ecsv`")
    found = {name: Table.read(place / "whole" / name) for name in ("sources.ecsv", "candidates.ecsv")}
    assert found["sources.ecsv"].colnames == sources
    assert found["candidates.ecsv"].colnames == sources + further
    assert set(found["sources.ecsv"]["kind"]) == {"sky", "moving", "detector"}
    for name in ("detections.parquet", "frames.ecsv"):
        assert Table.read(place / "whole" / name).colnames == documented(f"column of `{name}`")


def test_stamp_and_tags_are_as_documented(place):
    shutil.copy(FIELD, place / "stamped.fits")
    done = run(
        place, "classify", "stamped.fits", "--stamp", "--regions", "t.reg", "--overwrite", "-o", "t.ecsv"
    )
    assert done.returncode == 0
    header = fits.getheader(place / "stamped.fits")
    sentence = re.search(r"`--stamp` writes the keywords (.*?)\.", TEXT, re.DOTALL)[1]
    assert set(names_in(sentence)) == {key for key in header if key.startswith("RB")}
    tags = set(re.findall(r"tag=\{(\w+)\}", (place / "t.reg").read_text()))
    sentence = re.search(r"`--regions` tags each circle as (.*?)\.", TEXT, re.DOTALL)[1]
    assert tags < set(names_in(sentence)) == {"real", "bogus", "unscored"}


def ended_by(number):
    """Exit code, as a shell gives it, of a command that a signal ends while it works."""
    command = [sys.executable, "-m", "rbinfer", "bench"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        while "objects a second" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        process.communicate(timeout=60)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def test_exit_codes_are_as_documented(place):
    codes = {int(code): meaning for code, meaning in table("exit code")}
    (place / "broken.onnx").write_bytes(
        (shipped_directory() / "default" / "model.onnx").read_bytes()[:999]
    )
    got = {
        run(place, "status", 0).returncode: "done",
        run(place, "classify", "none.fits").returncode: "an error",
        run(place, "classify").returncode: "the command line is wrong",
        run(place, "classify", FIELD, "--catalog", "nothing.csv").returncode: "nothing could be scored",
        ended_by(signal.SIGINT): "interrupted",
        ended_by(signal.SIGTERM): "ended (SIGTERM)",
    }
    piped = subprocess.run(
        [
            "bash",
            "-c",
            '"$0" -m rbinfer classify "$1" -q | true; exit ${PIPESTATUS[0]}',
            sys.executable,
            FIELD,
        ],
        check=False,
    )
    got[piped.returncode] = "whoever read stdout went away"
    assert got.keys() == codes.keys()
    assert all(codes[code].startswith(meaning) for code, meaning in got.items())
    assert run(place, "models", "verify", "broken.onnx").returncode == 1
    assert run(place, "doctor", env=os.environ | {"RBINFER_MODELS": str(place)}).returncode == 1
    (place / "mixed").mkdir()
    shutil.copy(FIELD, place / "mixed" / "good.fits")
    (place / "mixed" / "bad.fits").write_text("no image")
    assert run(place, "batch", "mixed", "-o", "mixed_results").returncode == 1
    assert len(read_catalog(place / "mixed_results" / "good.ecsv")) > 100


def test_defaults_of_a_site_are_as_shown(place, tmp_path):
    page = (ROOT / "docs" / "how-to" / "command_line.md").read_text(encoding="utf-8")
    [text] = [text for language, text in fences(page) if language == "toml"]
    (tmp_path / "rbinfer.toml").write_text(text)
    done = run(tmp_path, "config", env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)})
    assert done.returncode == 0
    tables = {part.splitlines()[0]: part.splitlines()[1:] for part in done.stdout.split("\n\n")[1:]}
    rows = {tuple(row.split()) for row in tables["[batch]"]}
    for expected in (
        ("saturation", "60000"),
        ("max-missed", "1%"),
        ("workers", "4"),
        ("format", "fits"),
    ):
        assert (*expected, "rbinfer.toml") in rows


def test_columns_of_labels_are_as_documented(tmp_path):
    LabelFile(tmp_path / "labels.ecsv").append([Label("/a.fits", "ab", 1.0, 2.0, "real")])
    labels = Table.read(tmp_path / "labels.ecsv")
    named = {}
    for names, kinds, _ in table("column of `labels.ecsv`"):
        columns, dtypes = names_in(names), kinds.split(", ")
        named |= dict(zip(columns, dtypes * (len(columns) // len(dtypes)), strict=True))
    assert sorted(named) == sorted(labels.colnames)
    for name, dtype in named.items():
        kind = labels[name].dtype
        assert ("text" if kind.kind == "U" else str(kind)) == dtype, name
