"""Catalogues as CSV: read, and written back with scores, against Astropy's fast reader and writer.

``python benchmarks/tables.py [--rows N] [--repeats R] [--json FILE]``. Seconds of CPU time, the best of
several in turns. Astropy writes the same columns, but as numbers: cells do not come back as they stood.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import add_json, processor, write_json
from astropy.table import Table

from rbinfer.io.content import Content
from rbinfer.io.original import Original
from rbinfer.io.tables import read_catalog, write_catalog

SEED = 1


def catalogue(n: int) -> Table:
    """Return a table as detection programs write it: two whole numbers, three others, and a name."""
    rng = np.random.default_rng(SEED)
    return Table(
        {
            "id": np.arange(n),
            "x": rng.uniform(0, 4000, n).round(3),
            "y": rng.uniform(0, 4000, n).round(3),
            "flux": rng.lognormal(5, 2, n),
            "name": [f"src{k:07d}" for k in range(n)],
            "flags": rng.integers(0, 9, n),
        }
    )


def with_scores(table: Table) -> Table:
    """Return a table with columns as `rbinfer classify` adds them."""
    rng = np.random.default_rng(SEED)
    scored = table.copy()
    scored["rb_score"] = rng.random(len(table)).astype(np.float32)
    scored["rb_status"] = rng.integers(0, 2, len(table)).astype(np.int32) * 256
    scored["rb_class"] = rng.choice(["star", "cosmic_ray"], len(table))
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


def main() -> None:
    """Print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    add_json(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "detections.csv"), Path(folder, "scored.csv")
        table = catalogue(options.rows)
        table.write(path, format="ascii.fast_csv")
        scored = with_scores(table)
        original = Original(Content(path), "CSV", 0, np.arange(options.rows))
        found = best(
            {
                "read, Astropy": lambda: Table.read(path, format="ascii.fast_csv"),
                "read, rbinfer": lambda: read_catalog(path),
                "write, Astropy": lambda: scored.write(out, format="ascii.fast_csv", overwrite=True),
                "write anew, rbinfer": lambda: write_catalog(scored, out, True),
                "write back, rbinfer": lambda: write_catalog(scored, out, True, original),
            },
            options.repeats,
        )
    for name, seconds in found.items():
        print(f"{name:20} {seconds:7.2f} s")
    both = {kind: found[f"read, {kind}"] for kind in ("Astropy", "rbinfer")}
    both["Astropy"] += found["write, Astropy"]
    both["rbinfer"] += found["write back, rbinfer"]
    ratio = both["Astropy"] / both["rbinfer"]
    print(f"read and written back: {ratio:.2f} times the speed of Astropy's")
    report = {"cpu": processor(), "rows": options.rows, "seconds": found, "ratio": ratio}
    write_json(options.json, report)


if __name__ == "__main__":
    main()
