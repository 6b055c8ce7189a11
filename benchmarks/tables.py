"""A catalogue of a million rows, read, scored and written back: time by part, a format at a time.

    python benchmarks/tables.py [--formats NAME ...] [--rows N] [--repeats R] [--score] [--json FILE]

Seconds of CPU time, the best of several in turns. Catalogues are read and written back as ``rbinfer
classify`` does it: rows of FITS as they stand, those of CSV as they are written, columns of Parquet as
they are; ECSV anew. Beside that stands what Astropy takes to read and write the same columns; of CSV by
its fast reader, as numbers. With ``--score`` the positions are scored too, on a frame of 16 MP, once, by
one thread.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import add_json, processor, write_json
from astropy.table import Table

from rbinfer.diagnostics.bench import FWHM, make_scene
from rbinfer.io.content import Content
from rbinfer.io.original import Original
from rbinfer.io.positions import find_positions
from rbinfer.io.records import Records
from rbinfer.io.tables import kind_of, read_catalogs, read_in_kind, write_catalog
from rbinfer.scoring.classifier import Classifier

SEED, SIDE = 1, 4096
#: Names of Astropy's readers and writers, by suffix.
FORMATS = {"csv": "ascii.fast_csv", "ecsv": "ascii.ecsv", "fits": "fits", "parquet": "parquet"}


def catalogue(n: int) -> Table:
    """Return a table as detection programs write it: two whole numbers, three others, and a name."""
    rng = np.random.default_rng(SEED)
    return Table(
        {
            "id": np.arange(n),
            "x": rng.uniform(20, SIDE - 20, n).round(3),
            "y": rng.uniform(20, SIDE - 20, n).round(3),
            "flux": rng.lognormal(5, 2, n),
            "name": [f"src{k:07d}" for k in range(n)],
            "flags": rng.integers(0, 9, n),
        }
    )


def with_scores(table: "Table | Records") -> "Table | Records":
    """Return rows with columns as `rbinfer classify` adds them."""
    rng, n = np.random.default_rng(SEED), len(table)
    scored = table.copy()
    scored["rb_score"] = rng.random(n).astype(np.float32)
    scored["rb_status"] = rng.integers(0, 2, n).astype(np.int32) * 256
    scored["rb_class"] = rng.choice(["star", "cosmic_ray"], n)
    return scored


def best(actions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the least CPU time of each action, tried in turns."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            start = time.process_time()
            action()
            taken[name].append(time.process_time() - start)
    return {name: min(times) for name, times in taken.items()}


def measure(suffix: str, table: Table, folder: Path, repeats: int) -> dict[str, float]:
    """Return the seconds of the parts of a format."""
    path, out, theirs = (folder / f"{name}.{suffix}" for name in ("detections", "scored", "astropy"))
    table.write(path, format=FORMATS[suffix])

    def read() -> "Table | Records":
        found = read_in_kind(path, None, out) or read_catalogs(path)
        return found[0][1]

    rows = read()
    scored, as_table = with_scores(rows), with_scores(table)
    original = Original(Content(path), kind_of(path).name, 0, np.arange(len(rows)))
    return best(
        {
            "read, Astropy": lambda: Table.read(path, format=FORMATS[suffix]),
            "read": read,
            "positions": lambda: find_positions(rows, None, None, None, None),
            "write, Astropy": lambda: as_table.write(theirs, format=FORMATS[suffix], overwrite=True),
            "write anew": lambda: write_catalog(as_table, out, True),
            "write back": lambda: write_catalog(scored, out, True, original),
        },
        repeats,
    )


def score(table: Table) -> float:
    """Return the CPU seconds that one thread takes to cut and score the rows."""
    scene = make_scene(SIDE, 12_800)
    classifier = Classifier(device="cpu", threads=1)
    x, y = np.asarray(table["x"]), np.asarray(table["y"])
    classifier.score(scene.image, x[:1000], y[:1000], fwhm=FWHM)
    start = time.process_time()
    classifier.score(scene.image, x, y, fwhm=FWHM)
    return time.process_time() - start


def main() -> None:
    """Print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--score", action="store_true")
    add_json(parser)
    options = parser.parse_args()
    table = catalogue(options.rows)
    report = {"cpu": processor(), "rows": options.rows, "repeats": options.repeats, "formats": {}}
    for suffix in options.formats:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(suffix, table, Path(folder), options.repeats)
        report["formats"][suffix] = found
        print(f"{suffix:8}" + "   ".join(f"{name} {seconds:.2f}" for name, seconds in found.items()))
    if options.score:
        report["score"] = score(table)
        print(f"cut and scored by one thread: {report['score']:.2f}")
    write_json(options.json, report)


if __name__ == "__main__":
    main()
