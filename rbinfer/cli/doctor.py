"""``rbinfer doctor``: what is wrong here, and what to do about it."""

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from .._util.wording import in_options
from .options import add_common_options
from .parser import add_verb

if TYPE_CHECKING:
    from ..diagnostics.doctor import Finding

#: Plain letters, which every terminal and log can show.
_MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "doctor",
        summary="look for what is wrong with the installation or the machine",
        description=(
            "Check Python, packages, models, device, CPUs, compiled kernels, memory and speed. Says "
            "what to do about each problem, and exits with 1 if there is one; warnings are none."
        ),
        example="rbinfer doctor",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from ..diagnostics.doctor import examine

    findings = examine()
    ok = all(finding.level != "problem" for finding in findings)
    if options.json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        text = json.dumps({"ok": ok, "findings": rows}, indent=1)
    else:
        text = as_text(findings)
    text = in_options(text)
    # A path may hold what the terminal cannot show.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    return 0 if ok else 1


def as_text(findings: "list[Finding]") -> str:
    """Format findings as a table, each remedy beneath what it is for."""
    marks = max(map(len, _MARKS.values()))
    names = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.level]:{marks}}  {finding.name:{names}}  {finding.found}")
        if finding.remedy:
            lines.append(f"{'':{marks}}  {'':{names}}  do: {finding.remedy}")
    counts = {
        level: sum(finding.level == level for finding in findings) for level in ("problem", "warning")
    }
    lines.append(", ".join(f"{n} {level}{'s' * (n != 1)}" for level, n in counts.items()))
    return "\n".join(lines)
