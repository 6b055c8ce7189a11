"""From nothing to a scored catalogue: a new process of ``rbinfer classify``, and of Keras.

    python benchmarks/coldstart.py [--runs N] [--json FILE]

A 2048 x 2048 FITS image and a FITS catalogue of 2,000 positions, made here. ``rbinfer`` also measures
the FWHM, which the script with Keras (``reference_pipeline.py``) is given. With the reference network
both must give the same scores before anything is timed. The first run of all, with empty caches,
is timed apart, and the import alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _common import (
    ROOT,
    add_json,
    alternate,
    check,
    children_import_this_checkout,
    import_time,
    medians,
    processor,
    reference_network,
    verdict,
    write_json,
)
from astropy.table import Table

from rbinfer._util.machine import usable_cpus
from rbinfer.diagnostics.bench import FRAME, FWHM, make_scene, write_files

WALL, RATIO, IMPORT = 1.5, 5.0, 0.15


def run(command, **environment):
    """Run a command and stop if it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")


def classify(image, catalog, *extra):
    """Return the command of rbinfer."""
    out = catalog.with_name("ours.fits")
    return [
        sys.executable,
        "-m",
        "rbinfer",
        "classify",
        image,
        "--catalog",
        catalog,
        "-o",
        out,
        "--overwrite",
        "-q",
        *extra,
    ]


def keras_script(image, catalog, model):
    """Return the command of the script with Keras."""
    out = catalog.with_name("theirs.fits")
    script = ROOT / "benchmarks" / "reference_pipeline.py"
    return [sys.executable, script, image, catalog, model, "-o", out, "--fwhm", str(FWHM)]


def check_jobs(image, catalog, keras_file, onnx_file):
    """Stop unless both give the same scores with the same network."""
    run(classify(image, catalog, "--model", onnx_file, "--fwhm", str(FWHM)))
    run(keras_script(image, catalog, keras_file))
    ours, theirs = (
        np.asarray(Table.read(catalog.with_name(name))["rb_score"])
        for name in ("ours.fits", "theirs.fits")
    )
    if len(ours) != len(theirs) or not np.isfinite(ours).all():
        sys.exit("the catalogues have other rows, or rows without a score; nothing was timed")
    check("scores of both processes", float(np.abs(ours - theirs).max()), 1e-4)


def first_run(image, catalog):
    """Seconds of a first run, with no compiled kernel."""
    with TemporaryDirectory() as empty:
        start = time.perf_counter()
        run(classify(image, catalog), NUMBA_CACHE_DIR=empty, XDG_CACHE_HOME=empty)
        return time.perf_counter() - start


def main():
    """Check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    add_json(parser)
    options = parser.parse_args()
    children_import_this_checkout()
    side, n = FRAME
    print(f"{processor()}, {usable_cpus()} CPUs; {side} x {side}, {n:,} positions")
    with TemporaryDirectory() as name:
        folder = Path(name)
        image, catalog = write_files(make_scene(side, n), folder)
        _, keras_file, onnx_file = reference_network(folder)
        check_jobs(image, catalog, keras_file, onnx_file)
        taken = alternate(
            {
                "rbinfer classify, default model": lambda: run(classify(image, catalog)),
                "rbinfer classify, reference network": lambda: run(
                    classify(image, catalog, "--model", onnx_file)
                ),
                "script with Keras, reference network": lambda: run(
                    keras_script(image, catalog, keras_file)
                ),
            },
            options.runs,
        )
        first = first_run(image, catalog)
    seconds = medians(taken)
    ours, ours_reference, theirs = seconds.values()
    imports = import_time(sys.executable, "rbinfer")
    print(f"medians of {options.runs} runs in turns")
    for what, value in seconds.items():
        print(f"  {what:40s} {value:7.2f} s ({min(taken[what]):.2f} to {max(taken[what]):.2f})")
    print(f"  {'first run ever, empty caches':40s} {first:7.2f} s")
    print(f"  {'import rbinfer':40s} {imports * 1e3:7.1f} ms")
    print("\ntargets")
    verdict("rbinfer classify, warm", ours, WALL, " s", below=True)
    verdict("script with Keras / rbinfer classify", theirs / ours, RATIO)
    verdict("the same with the reference network in both", theirs / ours_reference, RATIO)
    verdict("import rbinfer", imports, IMPORT, " s", below=True)
    report = {
        "cpu": processor(),
        "cpus": usable_cpus(),
        "runs": options.runs,
        "side": side,
        "positions": n,
        "seconds": taken,
        "median_s": seconds,
        "first_run_s": first,
        "import_s": imports,
        "ratio": theirs / ours,
        "ratio_reference": theirs / ours_reference,
        "spread_s": {k: statistics.pstdev(v) for k, v in taken.items()},
    }
    write_json(options.json, report)


if __name__ == "__main__":
    main()
