"""``rbinfer bench``: what scoring costs on this machine."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .options import add_common_options, add_model_options
from .parser import add_verb


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "bench",
        summary="measure the speed and the memory on this machine",
        description=(
            "Measure objects a second by threads and batch, the latency of an object and of a typical "
            "frame, the start of a new process and the peak memory, on simulated images. Takes less "
            "than a minute once the kernels are compiled."
        ),
        example="rbinfer bench --quick",
    )
    add_model_options(parser)
    parser.add_argument("--quick", action="store_true", help="some seconds only; rough figures")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here too")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from ..diagnostics.bench import as_text, run_bench
    from ..errors import InputError

    if options.json and options.json.is_dir():
        raise InputError(f"{options.json} is a directory; name a file for --json")
    if options.json and not options.json.absolute().parent.is_dir():
        raise InputError(f"there is no directory {options.json.absolute().parent} for {options.json}")

    def say(text: str) -> None:
        if not options.quiet:
            print(f"rbinfer: {text} ...", file=sys.stderr)

    found = run_bench(options.model, options.device, options.quick, say)
    sys.stdout.write(as_text(found) + "\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0
