"""What happens beside the scores: stamps, nights of frames, ends of programs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.cli import main

from .fields import SIZE


@pytest.mark.parametrize(
    "card",
    [
        b"CCD-TEMP=                  NaN /",
        b"OBSERVER= A person, at night",
        b"gain    =                  1.5",
        b"NOTE    = 'tab\there'",
    ],
)
def test_stamps_beside_strange_cards(field, classify, tmp_path, card):
    path = tmp_path / "s.fits"
    whole = (field.folder / "plain.fits").read_bytes()
    end = whole.index(b"END" + b" " * 77)
    path.write_bytes(whole[:end] + card.ljust(80) + whole[end : end + 80] + whole[end + 160 :])
    table, _ = classify(path, "--stamp")
    assert "ra" in table.colnames
    stamped = path.read_bytes()
    assert card.ljust(80) in stamped
    assert stamped.endswith(whole[-4 * SIZE * SIZE :])
    assert b"RBNREAL =" in stamped


def test_frames_of_a_night(field, tmp_path, capsys):
    for kind, value in (
        ("LIGHT", "Light Frame"),
        ("DARK", "Dark Frame"),
        ("FLAT", "Flat Field"),
        ("BIAS", "Bias"),
    ):
        for k, minute in enumerate((41, 3)):
            folder = tmp_path / "night" / "M 67" / kind
            folder.mkdir(parents=True, exist_ok=True)
            cards = {"IMAGETYP": value, "DATE-OBS": f"2026-11-28T22:{minute:02d}:00"}
            fits.PrimaryHDU(field.pixels.astype(np.float32), fits.Header(cards)).writeto(
                folder / f"{kind}_{k}.fits"
            )
    argv = [
        "batch",
        str(tmp_path / "night"),
        "--recursive",
        "-o",
        str(tmp_path / "out"),
        "--workers",
        "1",
        "--json",
    ]
    assert main(argv) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["images"] == 2
    assert "dark" in told.err
    images = [
        json.loads(line)["image"] for line in (tmp_path / "out" / "batch.jsonl").read_text().splitlines()
    ]
    assert [os.path.basename(image) for image in images] == ["LIGHT_1.fits", "LIGHT_0.fits"]
    found = sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.ecsv")
    )
    assert found == ["M 67/LIGHT/LIGHT_0.ecsv", "M 67/LIGHT/LIGHT_1.ecsv"]


@pytest.mark.parametrize("what", ["closed", "no jit"])
def test_a_closed_stdout_and_pure_python_end_in_a_sentence(field, tmp_path, what):
    command = [sys.executable, "-m", "rbinfer", "classify", field.path("plain.fits")]
    env = dict(os.environ)
    if what == "no jit":
        env["NUMBA_DISABLE_JIT"] = "1"
        command += [
            "-o",
            str(tmp_path / "o.ecsv"),
            "--catalog",
            field.catalogue("few.csv", field.x[:3], field.y[:3]),
        ]
    line = " ".join(f"'{word}'" for word in command) + (" >&-" if what == "closed" else "")
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, timeout=300)
    if what == "closed":
        assert done.returncode == 1
        assert done.stderr.startswith("rbinfer: error: the standard output is closed")
    else:
        assert done.returncode in (0, 1)
        assert "Error:" not in done.stderr.replace("rbinfer: error:", "")
    assert "Traceback" not in done.stderr
    assert "Type" not in done.stderr
