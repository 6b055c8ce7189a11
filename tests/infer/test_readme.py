"""The README's commands do what it shows, and what it calls stable is so."""

import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.io.labels import Label, LabelFile
from rbinfer.io.masks_out import BITS
from rbinfer.io.tables import read_catalog
from rbinfer.model.registry import shipped_directory
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.status import MEANING, UNSCORED

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FIELD = ROOT / "benchmarks" / "example" / "field.fits"

#: How lines begin that are not run, and why.
NOT_RUN = {
    'python3 -m venv .venv && .venv/bin/pip install -q -e ".[train,test]"': "these tests, from within",
    'pip install "rbinfer[serve]"': "from an index; these tests have it",
    "rbinfer serve": "until it is ended; tests/infer/serve runs it",
    'pip install "rbinfer[label]"': "from an index; these tests have it",
    "rbinfer label": "until it is ended; tests/infer/label runs it",
    "curl -s localhost": "asks that service; tests/infer/serve does",
    "rbtrain": "trains for hours, on files that are not here; tests/train runs every verb",
}
#: How a line begins that a clone's user gives before rbinfer itself.
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/"
#: Printed by commands that are not run here; `benchmarks/results` has what they printed.
NOT_PRINTED = ("group                   real", "  reference pipeline")
#: What differs from run to run, or from machine to machine, and what stands for it.
CHANGING = (
    (r"\d+\.\d+ s\b", "# s"),
    (r"\d+\.\d+ images/s", "# images/s"),
    (r"(?<=golden pairs, largest difference )\S+(?=;)", "#"),
    (r"[\d,]+ objects/s on \d+ threads?", "# objects/s"),
    (r"\d+ of \d+ usable, .*; \d+ threads?", "# usable; # threads"),
    (r"\d+(\.\d+)? [MG]B( allowed by the control group)?", "# GB"),
    (r"^(ok       )(python|onnxruntime)( +)[\d.]+", r"\1\2\3#"),
    # What is slow or scarce here is no matter of the README's.
    (r"^rbinfer: still at work.*\n", ""),
    (r"^(ok     |warning)(?=  (cpus|memory) )", "ok     "),
    (r"^ +do: .*\n", ""),
    (r"\d+ warnings?", "# warnings"),
    (r"(rbinfer +|rbinfer\.cli: )\d+\.\d+\.\d+", r"\1#"),
)


class Step(NamedTuple):
    """A fenced block of commands, and what is shown to be printed by the last of them."""

    commands: list[str]
    shown: str | None


def fences():
    """Return language and text of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def steps():
    blocks = fences()
    found = []
    for k, (language, text) in enumerate(blocks):
        if language == "sh":
            follows = k + 1 < len(blocks) and blocks[k + 1][0] in ("text", "")
            shown = blocks[k + 1][1] if follows else None
            if shown is not None and shown.startswith(NOT_PRINTED):
                shown = None
            found.append(Step(text.splitlines(), shown))
    return found


def is_run(command):
    return not command.startswith(tuple(NOT_RUN))


def as_pattern(shown):
    """Make a pattern of what is shown: `...` is any text in a line, and on its own any lines."""
    parts = []
    for line in settled(shown).splitlines():
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r"[^\n]*".join(map(re.escape, line.split("..."))) + "\n")
    return "".join(parts)


def settled(text):
    for pattern, sign in CHANGING:
        text = re.sub(pattern, sign, text, flags=re.MULTILINE)
    return text


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder as the README takes it for granted: the clone's, and files of one's own."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    pixels = fits.getdata(FIELD)
    found = score_file(str(FIELD), None, ScoreOptions(), ScoreOptions().classifier()).table
    Table(found["x", "y", "flux"], meta={}).write(folder / "detections.fits")
    Table({"X": found["x"] + 1, "Y": found["y"] + 1}).write(folder / "cat.csv")
    flags = np.zeros(pixels.shape, np.int16)
    flags[100:104], flags[200:204] = 4, 64
    fits.writeto(folder / "flags.fits", flags)
    fits.writeto(folder / "sigma.fits", np.sqrt(pixels / 1.5 + 36).astype(np.float32))
    sky = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0}
    sky |= {"CRPIX1": 256.0, "CRPIX2": 256.0, "CDELT1": -3e-4, "CDELT2": 3e-4}
    cube = np.lib.stride_tricks.sliding_window_view(pixels, (41, 41))[::100, ::100]
    fits.writeto(folder / "cube.fits", cube.reshape(-1, 41, 41))
    chips = [fits.ImageHDU(pixels, fits.Header(sky), name) for name in ("CHIP1", "CHIP2")]
    fits.HDUList([fits.PrimaryHDU(), *chips]).writeto(folder / "mosaic.fits")
    (folder / "night").mkdir()
    for number in range(3):
        shutil.copy(FIELD, folder / "night" / f"n{number}.fits")
        shutil.copy(folder / "cat.csv", folder / "night" / f"n{number}.csv")
    (folder / "archive" / "2026-11-28").mkdir(parents=True)
    for number, kind in enumerate(("Light Frame", "Dark Frame")):
        shutil.copy(FIELD, archived := folder / "archive" / "2026-11-28" / f"a{number}.fits")
        fits.setval(archived, "IMAGETYP", value=kind)
    Table({"x": [np.nan], "y": [np.nan]}).write(folder / "nothing.csv")
    return folder


def test_readmes_commands(place):
    """In the order of the README, in one folder, with a real shell."""
    if not importlib.util.find_spec("shtab") or not importlib.util.find_spec("matplotlib"):
        pytest.skip('needs the extras that the README names: pip install ".[test,plots]"')
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RBINFER_MODELS": str(place / "none"),
    }
    n_run = n_compared = 0
    for step in steps():
        printed = None
        for command in filter(is_run, step.commands):
            done = subprocess.run(
                ["bash", "-c", command.removeprefix(INSTALL)], cwd=place, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            printed = done.stdout
            assert done.returncode == 0, f"{command}\n{printed}"
            n_run += 1
        if printed is not None and step.shown is not None:
            assert re.fullmatch(as_pattern(step.shown), settled(printed)), (
                f"the README shows for {step.commands[-1]}\n{step.shown}\nbut it printed\n{printed}"
            )
            n_compared += 1
    assert n_run > 20
    assert n_compared > 8


def test_every_block_of_output_is_compared_or_named():
    blocks = fences()
    assert {language for language, _ in blocks} == {"sh", "python", "text", "toml", ""}
    for (before, commands), (language, text) in itertools.pairwise(blocks):
        if language in ("text", "") and not text.startswith(NOT_PRINTED):
            assert before == "sh", text
            assert is_run(commands.splitlines()[-1]), text


def test_what_is_not_run_is_there():
    commands = [command for step in steps() for command in step.commands]
    for start in NOT_RUN:
        assert any(command.startswith(start) for command in commands), start
    assert sum(command.startswith(INSTALL) for command in commands) == 1


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


def test_bits_are_as_documented():
    bits = {int(bit): (name.strip("`"), text) for bit, name, text in table("bit of `rb_status`")}
    assert bits == {int(bit): (bit.name, text) for bit, text in MEANING.items()}
    assert UNSCORED == 255


def test_columns_of_labels_are_as_documented(tmp_path):
    LabelFile(tmp_path / "labels.ecsv").append([Label("/a.fits", "ab", 1.0, 2.0, "real")])
    labels = Table.read(tmp_path / "labels.ecsv")
    named = {}
    for names, kinds, _ in table("column of `labels.ecsv`"):
        columns, dtypes = re.findall(r"`(\w+)`", names), kinds.split(", ")
        named |= dict(zip(columns, dtypes * (len(columns) // len(dtypes)), strict=True))
    assert sorted(named) == sorted(labels.colnames)
    for name, dtype in named.items():
        kind = labels[name].dtype
        assert ("text" if kind.kind == "U" else str(kind)) == dtype, name


def test_bits_of_masks_are_as_documented():
    assert {name: int(bit) for bit, text in table("bit of a mask") for name in names_in(text)} == BITS


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
    # The format of this catalogue does not say what the first pixel is called, and nothing is borrowed.
    noted = {key.lower() for key in single.meta if key.lower().startswith("rb_")}
    assert noted == keys - {"rb_first_pixel", "rb_frames"}
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


def test_json_summary_is_as_documented(place):
    text = re.search(r"The summary has (.*?) and, with `--hdu all`, `(\w+)`", TEXT, re.DOTALL)
    done = run(place, "classify", "mosaic.fits", "--hdu", "all", "--json", "-q")
    result = json.loads(done.stdout)
    assert result.keys() == {"summary", "rows"}
    assert result["summary"].keys() == {*names_in(text[1]), text[2]}


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
    [text] = [text for language, text in fences() if language == "toml"]
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
