"""Where the log goes: to stderr as much as ``-v`` and ``-q`` say, and to a file if one is named."""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .._util.wording import in_options
from ..errors import InputError

_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
_FILE_FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


@contextmanager
def log_on_terminal(options: argparse.Namespace) -> Iterator[None]:
    """Send the log to stderr while it lasts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_InOptions("rbinfer: %(message)s"))
    louder = 1 + options.verbose - options.quiet
    with _attached(handler, _LEVELS[min(max(louder, 0), len(_LEVELS) - 1)]):
        yield


@contextmanager
def log_in_file(options: argparse.Namespace) -> Iterator[None]:
    """Append the log to the file that the options name, if any, while it lasts.

    Raises
    ------
    InputError
        The file cannot be written, or is named for something else too.
    """
    if options.log_file is None:
        yield
        return
    path = Path(options.log_file)
    for name, value in vars(options).items():
        if name not in ("log_file", "verb") and any(_is_same(path, each) for each in _texts(value)):
            raise InputError(f"the log {path} is also what is given as {name}; name another file")
    try:
        handler = _File(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(
            f"the log {path} cannot be written ({error.strerror}); name another file for --log-file"
        ) from error
    handler.setFormatter(_InOptions(_FILE_FORMAT, _TIME_FORMAT))
    with _attached(handler, logging.DEBUG if options.verbose > 1 else logging.INFO):
        yield


class _InOptions(logging.Formatter):
    """Says what the library says in the words of the command line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return in_options(super().format(record))


class _File(logging.FileHandler):
    """A log file that says once, in a sentence, when it can take no more."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        error = sys.exc_info()[1]
        logging.getLogger().removeHandler(self)
        reason = getattr(error, "strerror", None) or error
        logging.getLogger(__name__).error("the log %s ends here: %s", self.baseFilename, reason)


@contextmanager
def _attached(handler: logging.Handler, level: int) -> Iterator[None]:
    root = logging.getLogger()
    before = root.level
    handler.setLevel(level)
    root.addHandler(handler)
    root.setLevel(min(level, before))
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        with suppress(OSError):  # what a full disk did not take, told before
            handler.close()


def _texts(value: Any) -> list[str]:
    """Return what may be the names of files among an option's values."""
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each) for each in values if isinstance(each, str | Path)]


def _is_same(path: Path, text: str) -> bool:
    try:
        return path.resolve() == Path(text).resolve()
    except OSError:
        return False
