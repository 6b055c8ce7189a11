"""Measure the size of the base install, by distribution.

``python benchmarks/install.py`` makes a fresh virtual environment, installs this checkout into it
without extras, prints a table and, with ``--json FILE``, writes it.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from _common import ROOT, add_json, write_json

_SIZES = """
import importlib.metadata as m, json
sizes = {}
for d in m.distributions():
    files = [d.locate_file(f) for f in d.files or []]
    sizes[d.metadata["Name"]] = sum(f.stat().st_size for f in files if f.is_file())
print(json.dumps(sizes))
"""
_VERSION = "from importlib.metadata import version; print(version('rbinfer'))"


def measure() -> dict[str, object]:
    """Install and measure."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([str(python), "-m", "pip", "install", "-q", str(ROOT)], check=True)
        sizes = json.loads(subprocess.check_output([str(python), "-c", _SIZES], text=True))
        sizes = {k: v for k, v in sizes.items() if k.lower() not in ("pip", "setuptools")}
        return {
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "version": subprocess.check_output([str(python), "-c", _VERSION], text=True).strip(),
            "bytes": dict(sorted(sizes.items(), key=lambda item: -item[1])),
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_json(parser)
    options = parser.parse_args()
    found = measure()
    sizes = found["bytes"]
    assert isinstance(sizes, dict)
    print(f"{found['system']}, Python {found['python']}, rbinfer {found['version']}")
    for name, size in sizes.items():
        print(f"  {name:20s} {size / 1e6:8.1f} MB")
    print(f"  {'together':20s} {sum(sizes.values()) / 1e6:8.1f} MB")
    write_json(options.json, found)


if __name__ == "__main__":
    sys.exit(main())
