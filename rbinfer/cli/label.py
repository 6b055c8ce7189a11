"""``rbinfer label``: a page on which a person says what is real."""

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, RbinferError
from .options import add_common_options
from .parser import add_verb
from .values import count, port

if TYPE_CHECKING:
    from ..label.pool import Pool

log = logging.getLogger(__name__)


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "label",
        summary="say in a browser which detections are real",
        description=(
            "Open a page with cutouts of scored detections, those first that teach most, and a random "
            "part for honest rates. Every answer is appended to a table at once. The page is for this "
            "machine alone and for who has its address; over SSH forward the port (ssh -L "
            "8800:127.0.0.1:8800 HOST, with --port 8800) and open the address that is printed. Ctrl-C "
            "ends it; the next time it goes on where it stopped."
        ),
        example="rbinfer label results/\nrbinfer label image.fits scored.ecsv --goal 100",
    )
    parser.add_argument(
        "results", metavar="RESULTS", help="folder that batch, watch or night wrote; or an image"
    )
    parser.add_argument("catalog", metavar="SCORED", nargs="?", help="scored catalogue of that image")
    parser.add_argument(
        "-o",
        "--output",
        metavar="TABLE",
        help="table of labels, .ecsv, which grows (labels.ecsv in RESULTS, or beside SCORED)",
    )
    parser.add_argument("--images", metavar="DIR", help="where else the images may be")
    parser.add_argument(
        "--goal", type=count, default=200, metavar="N", help="labels that you mean to give (200)"
    )
    parser.add_argument("--who", metavar="NAME", help="noted with each label (your user name)")
    parser.add_argument(
        "--port", type=port, default=0, metavar="P", help="port; any that is free by default"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address and open no browser"
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from .._util.extras import needed

    for module in ("starlette", "uvicorn"):
        needed(module, "the page needs", "label")
    from .._util.interrupts import exit_on_sigterm
    from ..label.app import make_app, new_token
    from ..label.session import make_session
    from ..serve.server import Place, run_server

    table = _table_of(options)
    if options.output is not None or table.parent.is_dir():
        _check_table(table)
    session = make_session(_pool_of(options), table, _user(options.who), options.goal)
    for note in session.pool.notes:
        log.warning("%s", note)
    token = new_token()
    with exit_on_sigterm(0), _private_folder() as folder:

        def tell(address: str) -> None:
            page = f"{address}/{token}/"
            # Not of the log, which others may read.
            print(f"rbinfer: label at {page}", file=sys.stderr, flush=True)
            print("rbinfer: Ctrl-C ends it", file=sys.stderr, flush=True)
            if not options.no_browser and _open(page, folder):
                # Some browsers, those of Snap and Flatpak, may not read the file that leads there.
                print(
                    "rbinfer: if the browser shows no page, open the address above",
                    file=sys.stderr,
                    flush=True,
                )

        try:
            run_server(make_app(session, token), Place(port=options.port), tell, "label")
        except KeyboardInterrupt:
            log.info("ended by Ctrl-C")
        finally:
            n = session.progress()["labelled"]
            print(f"rbinfer: {n} labels in {table}", file=sys.stderr, flush=True)
    return 0


def _table_of(options: argparse.Namespace) -> Path:
    from ..io.labels import LABELS_FILE

    if options.output is None:
        place = Path(options.results if options.catalog is None else options.catalog)
        return (place if options.catalog is None else place.parent) / LABELS_FILE
    table = Path(options.output)
    if table.suffix != ".ecsv":
        raise InputError(f"labels are written as ECSV; name {table} with the suffix .ecsv")
    return table


def _check_table(table: Path) -> None:
    """See that answers can be written before anything is read, which may last."""
    from ..io.labels import LabelFile

    try:
        LabelFile(table).check()
    except InputError:
        raise
    except RbinferError as error:
        raise RbinferError(f"{error}; name a table in another folder with -o TABLE") from error


def _pool_of(options: argparse.Namespace) -> "Pool":
    from ..label.pool import read_pool, read_single

    place = Path(options.results)
    if options.catalog is not None:
        if options.images is not None:
            raise InputError("--images is for folders of results; leave it out with IMAGE and SCORED")
        if not place.is_file():
            raise InputError(f"the image {place} does not exist")
        return read_single(place, Path(options.catalog))
    if place.is_file():
        raise InputError(f"name the scored catalogue of {place} too: rbinfer label {place} SCORED")
    images = None if options.images is None else Path(options.images)
    if images is not None and not images.is_dir():
        raise InputError(f"--images: {images} is not a directory")
    return read_pool(place, images)


def _user(name: str | None) -> str:
    import getpass

    if name is not None:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


@contextmanager
def _private_folder() -> Iterator[Path]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="rbinfer-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _open(page: str, folder: Path) -> bool:
    """Open a page in a browser with a screen, by a file that leads there; returns whether one was asked.

    Other users see the arguments of every process, so the address must not be one.
    """
    import webbrowser

    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        return False
    way = folder / "label.html"
    way.touch(0o600)
    way.write_text(f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={page}">')
    if not webbrowser.open(way.as_uri()):
        log.warning("no browser could be opened; open the address yourself")
        return False
    return True
