"""``rbinfer serve``: a warm process that scores what it is sent."""

import argparse
import sys
from pathlib import Path
from typing import Any

from .options import add_common_options, add_scoring_options, score_arguments
from .parser import add_verb
from .values import count, port, positive

_MB = 1_000_000


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "serve",
        summary="score images that are sent to a warm process over HTTP",
        description=(
            "Answer POST /classify until SIGTERM (exit code 0) or Ctrl-C: JSON with the path of an "
            "image in a folder that --allow names, or a form with its bytes (FITS or npy) as the part "
            "'image'; beside it a catalogue, or JSON with positions as the part 'request'. The answer "
            "is that of 'rbinfer classify --json', or a stream of Arrow with the header 'Accept: "
            "application/vnd.apache.arrow.stream': curl -s localhost:8787/classify -F "
            "image=@image.fits. GET /health and /metrics say how it goes. It listens on this machine "
            "alone unless there is a token."
        ),
        example=(
            "rbinfer serve --allow /data/night\n"
            "rbinfer serve --socket /run/user/1000/rbinfer.sock --allow /data --threshold 0.3"
        ),
    )
    _add_place(parser)
    _add_limits(parser)
    add_scoring_options(parser)
    add_common_options(parser)
    parser.set_defaults(run=run)


def _add_place(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where")
    group.add_argument("--host", default="127.0.0.1", metavar="H", help="address (127.0.0.1)")
    group.add_argument(
        "--port", type=port, default=8787, metavar="P", help="port (8787); 0 for any that is free"
    )
    group.add_argument(
        "--socket", metavar="PATH", help="a Unix socket instead, which this user alone may use"
    )
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help="file whose first line requests must send as 'Authorization: Bearer'; needed for any "
        "address but that of this machine",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is allowed")
    group.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="DIR",
        help="folder from which requests may name files, with all below it; may be given again; none "
        "by default",
    )
    group.add_argument(
        "--max-body", type=positive, default=512.0, metavar="MB", help="largest request, in MB (512)"
    )
    group.add_argument(
        "--max-requests",
        type=count,
        default=64,
        metavar="N",
        help="requests at a time, those that wait included; more are answered with 429 (64)",
    )
    group.add_argument(
        "--patience",
        type=positive,
        default=60.0,
        metavar="S",
        help="seconds in which a request must have come whole (60)",
    )
    group.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="images that are scored at a time, a thread each; one for each CPU by default",
    )


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from .._util.interrupts import exit_on_sigterm
    from .._util.machine import usable_cpus
    from ..errors import InputError
    from ..pipeline.options import ScoreOptions
    from ..serve.app import make_app, make_service
    from ..serve.limits import Limits
    from ..serve.server import Place, run_server

    place = Place(options.host, options.port, options.socket)
    token = None if options.token_file is None else _token_of(options.token_file)
    if not place.is_local and token is None:
        raise InputError(
            f"{options.host} can be reached from other machines; give --token-file, or listen on "
            "127.0.0.1"
        )
    hosts = place.hosts if token is None else ()
    limits = Limits(options.max_requests, round(options.max_body * _MB), options.patience, token, hosts)
    with exit_on_sigterm(0):
        service = make_service(ScoreOptions(**score_arguments(options)), options.allow, limits)
        app = make_app(service, options.workers or usable_cpus())

        def tell(address: str) -> None:
            if not options.quiet:
                print(f"rbinfer: listening at {address}", file=sys.stderr, flush=True)

        run_server(app, place, tell, patience=options.patience)
    return 0


def _token_of(path: str) -> str:
    from ..errors import InputError

    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the token file {path} cannot be read: {error}") from error
    token = lines[0].strip() if lines else ""
    if len(token) < 16 or not token.isascii() or not token.isprintable():
        raise InputError(f"the first line of {path} must be a token of 16 printable characters at least")
    return token
