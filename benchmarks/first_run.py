"""What the first run of ``rbinfer classify`` costs, and later ones: CPU seconds and memory.

    python benchmarks/first_run.py [NAME=FOLDER ...] [--runs N] [--json FILE]

A 2048 x 2048 FITS image without a catalogue, made here. A folder is a checkout (this one by default)
or an installation's site-packages. Each runs once with empty caches, so that what does not come
compiled is compiled; then all run in turns. CPU seconds, user and system, are told and not wall seconds,
because other work on the machine changes them less. All must give the same positions and scores, bit for
bit.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _common import ROOT, add_json, processor, write_json
from astropy.table import Table

from rbinfer.diagnostics.bench import make_scene, write_files

SIDE, STARS = 2048, 2000
COLUMNS = ("x", "y", "rb_score")
#: The command, and after it what its process took.
CODE = """
import sys, time
from rbinfer._util.machine import peak_bytes
from rbinfer.cli import program
code = program()
print(time.process_time(), peak_bytes() / 1e6)
sys.exit(code)
"""


def run(folder, image, out, caches):
    """Run once; returns CPU seconds and the most memory in MB."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE, "classify", image, "-o", out, "--overwrite", "-q"],
        env=os.environ
        | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(caches), "XDG_CACHE_HOME": str(caches)},
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{folder}: classify failed:\n{done.stderr}")
    cpu, memory = done.stdout.split()[-2:]
    return float(cpu), float(memory)


def found_in(out):
    """Return what a run found, as bytes."""
    table = Table.read(out)
    return b"".join(np.ascontiguousarray(table[name]).tobytes() for name in COLUMNS)


def main():
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--runs", type=int, default=7)
    add_json(parser)
    options = parser.parse_args()
    folders = dict(each.split("=", 1) for each in options.folders) or {"this checkout": str(ROOT)}
    report, results = {}, set()
    with TemporaryDirectory() as name:
        scratch = Path(name)
        image, _ = write_files(make_scene(SIDE, STARS), scratch)
        out = scratch / "out.fits"
        for what, folder in folders.items():
            report[what] = {"first": run(folder, image, out, scratch / what), "later": []}
            results.add(found_in(out))
        if len(results) > 1:
            sys.exit("they find, or score, differently; nothing was timed")
        for _ in range(options.runs):
            for what, folder in folders.items():
                report[what]["later"].append(run(folder, image, out, scratch / what))
    print(f"{processor()}; {SIDE} x {SIDE}; later: the least of {options.runs} runs in turns")
    for what, each in report.items():
        cpu, memory = (min(values) for values in zip(*each["later"], strict=True))
        first = "first {:6.2f} s {:4.0f} MB".format(*each["first"])
        print(f"  {what:24s} {first}, later {cpu:5.2f} s {memory:4.0f} MB")
    write_json(options.json, report)


if __name__ == "__main__":
    main()
