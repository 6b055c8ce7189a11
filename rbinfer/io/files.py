"""Files: read with what is wrong told, written whole or not at all."""

import logging
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InputError, RbinferError

log = logging.getLogger(__name__)


def check_file(path: Path) -> None:
    """Refuse a path that is no readable, non-empty file.

    Raises
    ------
    InputError
        With the reason.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory, not a file")
        if path.exists() and not path.is_file():
            # It might never end, or never begin.
            raise InputError(f"{path} is a device or a pipe, not a file")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty (0 bytes)")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror or error}") from error


class _Shared:
    """Warnings of threads that collect them at once, each its own; `warnings` has one state for all."""

    def __init__(self) -> None:
        self._lock, self._thread = threading.Lock(), threading.local()
        self._n, self._state = 0, ExitStack()
        self._show_others = warnings.showwarning

    def start(self, texts: list[str]) -> None:
        """Collect what this thread warns of, until `end`; such pairs may be nested."""
        with self._lock:
            if self._n == 0:
                self._state.enter_context(warnings.catch_warnings())
                self._show_others = warnings.showwarning
                warnings.simplefilter("always")
                warnings.showwarning = self._show
            self._n += 1
        self._lists().append(texts)

    def end(self) -> None:
        """Leave the innermost pair of this thread."""
        self._lists().pop()
        with self._lock:
            self._n -= 1
            if self._n == 0:
                self._state.close()

    def _lists(self) -> list[list[str]]:
        found: list[list[str]] = self._thread.__dict__.setdefault("lists", [])
        return found

    def _show(self, message: Warning | str, *args: Any, **kwargs: Any) -> None:
        if lists := self._lists():
            lists[-1].append(" ".join(str(message).split()))
        else:
            self._show_others(message, *args, **kwargs)


_SHARED = _Shared()


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Keep Astropy's warnings off the terminal; they are logged and given back as texts.

    Yields
    ------
    list of str
        Filled when the block ends.
    """
    texts: list[str] = []
    found: list[str] = []
    _SHARED.start(found)
    try:
        yield texts
    finally:
        _SHARED.end()
        texts.extend(found)
    for text in texts:
        log.debug("astropy: %s", text)


def check_place(path: Path, overwrite: bool = False) -> None:
    """Refuse an output path before any work is done.

    Parameters
    ----------
    path : Path
        Where a file is to be written.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        The folder does not exist, the file does and must be kept, or what is there is no file.
    """
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} for the output does not exist")
    try:
        path.stat()
    except FileNotFoundError:
        return
    except OSError as error:  # a loop of links, a name too long
        raise InputError(f"the output {path} cannot be written: {error.strerror}") from error
    if path.is_dir():
        raise InputError(f"the output {path} is a directory")
    if not path.is_file():
        raise InputError(
            f"the output {path} is a device or a pipe, which cannot be replaced; name a file"
        )
    if not overwrite:
        raise InputError(f"the output {path} exists and is kept; use `overwrite=True`")


def check_distinct(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs that would replace each other, or what is read.

    Parameters
    ----------
    outputs, inputs : iterables of Path

    Raises
    ------
    InputError
        Two of them are one file, and not both are inputs.
    """
    # Not Path.resolve, which raises at a loop of links.
    taken = {os.path.realpath(path) for path in inputs}
    for path in outputs:
        if os.path.realpath(path) in taken:
            raise InputError(f"the output {path} is named twice, or is what is read; name another file")
        taken.add(os.path.realpath(path))


@contextmanager
def written_whole(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give a path beside `path` to write to, which is renamed when all went well.

    Parameters
    ----------
    path : Path
        Where the file is to be in the end.
    suffix : str
        How the name of the path that is given ends.

    Raises
    ------
    RbinferError
        The file system refused.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    beside = path.with_name(f".rbinfer-{os.urandom(8).hex()}{suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise RbinferError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        # Gone after the renaming; here after anything else, an interrupt included.
        with suppress(OSError):
            beside.unlink(missing_ok=True)
