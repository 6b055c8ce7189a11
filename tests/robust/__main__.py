"""Try every promise in full and write the table: ``python -m tests.robust [PYTEST ARGUMENTS]``.

With arguments, such as a file, the rows of the tests that ran replace theirs in the table and the others
stay. Takes an hour or so in all.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RESULTS, TABLE = HERE / "promises.json", HERE / "PROMISES.md"
GROUPS = (
    "Positions",
    "Pixels",
    "Inputs",
    "Catalogues",
    "Files",
    "Models",
    "Learning",
    "Fuzzing",
    "Faults",
    "Load",
    "Service",
    "Environments",
    "Numbers",
)


def merged(lines: list[dict]) -> list[dict]:
    """Join the lines of one test: cases add up, one failure is a failure, what is skipped is none."""
    rows: dict[tuple[str, str, str], dict] = {}
    for line in lines:
        key = (line["group"], line["promise"], line["test"])
        row = rows.setdefault(key, {**line, "cases": 0, "passed": True, "found": "", "skipped": True})
        row["cases"] += line["cases"]
        row["passed"] = row["passed"] and (line["passed"] or line["skipped"])
        row["skipped"] = row["skipped"] and line["skipped"]
        if line["found"] not in row["found"]:
            row["found"] += ", " * bool(row["found"]) + line["found"]
    return list(rows.values())


def as_table(rows: list[dict]) -> str:
    """Format rows as the page PROMISES.md."""
    from rbinfer._util.machine import processor

    order = {name: k for k, name in enumerate(GROUPS)}
    text = [
        "# What was promised, and what showed it",
        "",
        "Written by `python -m tests.robust`, not by hand. On "
        f"{processor()}, {os.cpu_count()} CPUs, Python {platform.python_version()}.",
        "",
        "| | promise | test | cases | result |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda r: (order[r["group"]], r["test"], r["promise"])):
        # Rows of earlier runs do not say whether they were skipped.
        word = "not tried" if row.get("skipped") else "kept" if row["passed"] else "**BROKEN**"
        result = word + (f"; {row['found']}" * bool(row["found"]))
        test = row["test"].removeprefix("tests/robust/")
        text.append(f"| {row['group']} | {row['promise']} | `{test}` | {row['cases']:,} | {result} |")
    return "\n".join(text) + "\n"


def main(arguments: list[str]) -> int:
    """Run, merge with what there is, write."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        log.touch()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rs", *(arguments or [str(HERE)])],
            env=os.environ | {"ROBUST": "full", "ROBUST_LOG": str(log)},
            check=False,
        )
        new = merged([json.loads(line) for line in log.read_text().splitlines()])
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() and arguments else []
    fresh = {row["test"] for row in new}
    rows = [row for row in old if row["test"] not in fresh] + new
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(as_table(rows), encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
