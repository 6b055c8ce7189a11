"""Commands and code that pages show: run as they stand, their output compared with what is shown."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table

from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file

from .infer.night.skies import write_night

ROOT = Path(__file__).parents[1]
FIELD = ROOT / "benchmarks" / "example" / "field.fits"
#: How a line begins that a clone's user gives before rbinfer itself.
INSTALL = "python3 -m venv .venv && source .venv/bin/activate && pip install -q . && "
#: What differs from run to run, or from machine to machine, and what stands for it.
CHANGING = (
    (r"\d+\.\d+ s\b", "# s"),
    (r"\d+\.\d+ images/s", "# images/s"),
    (r"(?<=golden pairs, largest difference )\S+(?=;)", "#"),
    (r"[\d,]+ objects/s on \d+ threads?", "# objects/s"),
    (r"\d+ of \d+ usable, .*; \d+ threads?", "# usable; # threads"),
    (r"\d+(\.\d+)? [MG]B( allowed by the control group)?", "# GB"),
    (r"^(ok       )(python|onnxruntime)( +)[\d.]+", r"\1\2\3#"),
    # What is slow or scarce here is no matter of the page's.
    (r"^rbinfer: the kernels are compiled now.*\n", ""),
    (r"^(ok     |warning)(?=  (cpus|memory) )", "ok     "),
    (r"^ +do: .*\n", ""),
    (r"\d+ warnings?", "# warnings"),
    (r"(rbinfer +|rbinfer\.cli: )\d+\.\d+\.\d+", r"\1#"),
)


class Block(NamedTuple):
    """A fenced block of a page, and what the page shows to be printed by it."""

    language: str
    text: str
    shown: str | None


class Count(NamedTuple):
    """How much of a page was run, and how much of that was compared."""

    run: int
    compared: int


def fences(text: str) -> list[tuple[str, str]]:
    """Return language and text of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[Block]:
    """Return the blocks that are no output, each with the output that stands right behind it."""
    found = fences(text)
    followers = [*found[1:], ("none", "")]
    return [
        Block(language, inside, shown if after in ("text", "") else None)
        for (language, inside), (after, shown) in zip(found, followers, strict=False)
        if language not in ("text", "")
    ]


def commands(text: str) -> list[str]:
    """Return every command of a page."""
    return [line for block in blocks(text) if block.language == "sh" for line in block.text.splitlines()]


def is_run(command: str, not_run: Mapping[str, str]) -> bool:
    """Whether a command is run: it begins like none of those that are not."""
    return not command.startswith(tuple(not_run))


def settled(text: str) -> str:
    """Return a text with signs in place of what changes."""
    for pattern, sign in CHANGING:
        text = re.sub(pattern, sign, text, flags=re.MULTILINE)
    return text


def as_pattern(shown: str) -> str:
    """Make a pattern of what is shown: `...` is any text in a line, and on its own any lines."""
    parts = []
    for line in settled(shown).splitlines():
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r"[^\n]*".join(map(re.escape, line.split("..."))) + "\n")
    return "".join(parts)


def run_page(
    text: str,
    place: Path,
    not_run: Mapping[str, str],
    not_printed: tuple[str, ...] = (),
    names: dict[str, Any] | None = None,
) -> Count:
    """Run the blocks of a page in their order, in one folder.

    Parameters
    ----------
    text : str
        The page.
    place : Path
        The folder, as `fill` makes it.
    not_run : mapping of str to str
        How commands begin that are not run, and why.
    not_printed : tuple of str
        How outputs begin that are not compared.
    names : dict, optional
        Where the Python code of the page keeps its names, with the folder as the current one; None
        where other tests run it.
    """
    n_run = n_compared = 0
    for block in blocks(text):
        printed = None
        if block.language == "sh":
            for command in block.text.splitlines():
                if is_run(command, not_run):
                    printed = shell(command, place)
                    n_run += 1
        elif block.language == "python" and names is not None:
            printed = python(block.text, place, names)
            n_run += 1
        elif block.language == "toml" and (name := re.match(r"# (\S+\.toml)\n", block.text)):
            (place / name[1]).write_text(block.text)
        shown = block.shown
        if printed is not None and shown is not None and not shown.startswith(not_printed or "\0"):
            assert re.fullmatch(as_pattern(shown), settled(printed)), (
                f"the page shows for\n{block.text}\n{shown}\nbut it printed\n{printed}"
            )
            n_compared += 1
    return Count(n_run, n_compared)


def shell(command: str, place: Path) -> str:
    """Run a command in a real shell; return what it printed."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RBINFER_MODELS": str(place / "none"),
    }
    done = subprocess.run(
        ["bash", "-c", command.removeprefix(INSTALL)], cwd=place, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def python(code: str, place: Path, names: dict[str, Any]) -> str:
    """Run code; return what it printed."""
    with contextlib.chdir(place), contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "the page", "exec"), names)
    return out.getvalue()


def fill(folder: Path) -> None:
    """Fill a folder with what pages take for granted: parts of the clone, and files of one's own."""
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
    fits.writeto(folder / "colour.fits", np.stack([0.8 * pixels, pixels, 0.9 * pixels]))
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
    write_night(folder / "camera", n_frames=8)
    across = np.arange(-12, 13)
    star = np.exp(-(across**2 + across[:, np.newaxis] ** 2) / (2 * 1.3**2))
    fits.writeto(folder / "star.fits", star.astype(np.float32))
    Table({"x": [np.nan], "y": [np.nan]}).write(folder / "nothing.csv")
