"""Measure the base install: size by distribution, and the time that ``import rbinfer`` takes.

``python benchmarks/install.py`` makes a fresh virtual environment, installs this checkout into it
without extras, prints a table and, with ``--json FILE``, writes it.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Runs of each import; the median is told.
RUNS = 15

_SIZES = """
import importlib.metadata as m, json
sizes = {}
for d in m.distributions():
    files = [d.locate_file(f) for f in d.files or []]
    sizes[d.metadata["Name"]] = sum(f.stat().st_size for f in files if f.is_file())
print(json.dumps(sizes))
"""
_VERSION = "from importlib.metadata import version; print(version('rbinfer'))"
_TIME = "import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"


def processor() -> str:
    """Name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "unknown")


def import_time(python: Path, name: str) -> float:
    """Median seconds of ``import name`` in a fresh process, files in the page cache."""
    command = [str(python), "-c", _TIME.format(name=name)]
    times = [float(subprocess.check_output(command, text=True)) for _ in range(RUNS + 1)]
    return statistics.median(times[1:])


def measure() -> dict[str, object]:
    """Install and measure."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([str(python), "-m", "pip", "install", "-q", str(ROOT)], check=True)
        sizes = json.loads(subprocess.check_output([str(python), "-c", _SIZES], text=True))
        sizes = {k: v for k, v in sizes.items() if k.lower() not in ("pip", "setuptools")}
        return {
            "cpu": processor(),
            "python": platform.python_version(),
            "version": subprocess.check_output([str(python), "-c", _VERSION], text=True).strip(),
            "bytes": dict(sorted(sizes.items(), key=lambda item: -item[1])),
            "import_rbinfer_s": import_time(python, "rbinfer"),
            "import_numpy_s": import_time(python, "numpy"),
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found = measure()
    sizes = found["bytes"]
    assert isinstance(sizes, dict)
    print(f"{found['cpu']}, Python {found['python']}, rbinfer {found['version']}")
    for name, size in sizes.items():
        print(f"  {name:20s} {size / 1e6:8.1f} MB")
    print(f"  {'together':20s} {sum(sizes.values()) / 1e6:8.1f} MB")
    print(f"import rbinfer: {found['import_rbinfer_s'] * 1e3:.0f} ms")
    print(f"import numpy:   {found['import_numpy_s'] * 1e3:.0f} ms")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
