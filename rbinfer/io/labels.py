"""Labels of detections, by a person or harvested: a table that only grows, as ECSV.

A row is an answer about one detection. Nothing is ever changed in the file: a later answer about the
same detection counts in place of an earlier one, and ``undo`` takes it back. `current` says which count.
"""

import errno
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from ..errors import InputError, RbinferError
from .files import check_file
from .label_rows import (
    COLUMNS,
    FIRST_HDU,
    LABELS,
    PERSON,
    Key,
    Label,
    as_rows,
    header,
    header_in,
    key_of,
    names_in,
    parsed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "FIRST_HDU",
    "LABELS",
    "LABELS_FILE",
    "PERSON",
    "Key",
    "Label",
    "LabelFile",
    "current",
    "key_of",
    "read_labels",
]

log = logging.getLogger(__name__)

#: Name of the table in a folder of results, which is no result.
LABELS_FILE = "labels.ecsv"


def read_labels(path: Path) -> list[Label]:
    """Read all rows of a table of labels, in the order in which they were written.

    Parameters
    ----------
    path : Path
        Another process may write it; a last line that is not whole yet is left out. It holds no label
        where a writer has but begun it, or was killed as it did.

    Returns
    -------
    list of Label

    Raises
    ------
    InputError
        The file cannot be read, is no table of labels, or holds a label that is none of `LABELS`.
    """
    with _told(path, "read"):
        is_begun = path.is_file() and path.stat().st_size < len(header())
        if is_begun and header().startswith(path.read_bytes()):
            return []
    check_file(path)
    with _told(path, "read"):
        text = path.read_bytes()
    return parsed(_whole_lines(text), path)


def current(labels: Iterable[Label]) -> list[Label]:
    """Return the labels that count: one for each detection, without what was taken back.

    Parameters
    ----------
    labels : iterable of Label
        In the order in which they were written.

    Returns
    -------
    list of Label
        The last of each detection that was not taken back, a person's before harvested ones, in the
        order in which the detections came first. ``skip`` is among them: the detection was seen.
    """
    found: dict[Key, list[Label]] = {}
    harvested: dict[Key, list[Label]] = {}
    order: dict[Key, None] = {}
    for label in labels:
        answers = (found if label.evidence == PERSON else harvested).setdefault(label.key, [])
        order.setdefault(label.key)
        if label.label != "undo":
            answers.append(label)
        elif answers:
            answers.pop()
    both = (found.get(key) or harvested.get(key) for key in order)
    return [answers[-1] for answers in both if answers]


class LabelFile:
    """A table of labels that grows; several processes may append to it at a time.

    Parameters
    ----------
    path : Path
        Made with the first label.

    Raises
    ------
    InputError
        The folder does not exist, or the file is no table of labels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: How often `new` began anew, since the file had been replaced by another.
        self.restarts = 0
        self._read, self._head = 0, b""  # bytes that `new` has seen, and the header among them
        self._inode: tuple[int, int] | None = None
        if not path.parent.is_dir():
            raise InputError(f"the folder {path.parent} for {path.name} does not exist; make it first")

    def new(self, file: int | None = None) -> list[Label]:
        """Return what was appended, by any process, since this was last called.

        Where the file has become another, this is all that it holds, and `restarts` grows by 1.

        Parameters
        ----------
        file : int, optional
            As from `alone`.

        Raises
        ------
        RbinferError
            It cannot be read.
        """
        try:
            # A file that is closed loses the locks of some systems, so the one that is open is read.
            with open(self.path if file is None else file, "rb", closefd=file is None) as readable:
                self._note(os.fstat(readable.fileno()))
                readable.seek(self._read)
                text = _whole_lines(readable.read())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _refused(self.path, "read", error) from error
        if self._read == 0:
            self._head = header_in(text)
            found = parsed(text, self.path) if self._head else []
        else:
            found = parsed(self._head + text, self.path) if text else []
        self._read += len(text) if self._head else 0
        return found

    def append(self, labels: Sequence[Label], file: int | None = None) -> None:
        """Append labels; they are on the disk when this returns, or none of them is.

        Parameters
        ----------
        labels : sequence of Label
        file : int, optional
            As from `alone`.

        Raises
        ------
        InputError
            A label is none of `LABELS`, a text has a line break, or the file has other columns.
        RbinferError
            The file system refused.
        """
        if not labels:
            return
        rows = as_rows(labels)
        if file is not None:
            self._write(file, rows)
            return
        with self.alone() as own:
            self._write(own, rows)

    @contextmanager
    def alone(self) -> "Iterator[int]":
        """Keep other processes from appending while it lasts.

        Yields
        ------
        int
            The open file, for `new` and `append`.

        Raises
        ------
        RbinferError
            The file system refused.
        """
        with _told(self.path, "written"):
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            with _told(self.path, "locked"):
                _lock(file)
            yield file
        finally:
            os.close(file)

    def check(self) -> None:
        """See that labels can be appended; nothing is written.

        Raises
        ------
        InputError
            The file has other columns.
        RbinferError
            The file system refused.
        """
        if self.path.exists():
            with self.alone() as file, _told(self.path, "written"):
                self._mended(file)
            return
        with _told(self.path, "written"), TemporaryFile(dir=self.path.parent) as trial:
            _lock(trial.fileno())

    def _note(self, status: os.stat_result) -> None:
        """Begin anew where the file is not the one that was read."""
        inode = status.st_dev, status.st_ino
        if self._inode not in (None, inode) or status.st_size < self._read:
            self._read = 0
            self.restarts += 1
        self._inode = inode

    def _write(self, file: int, rows: bytes) -> None:
        with _told(self.path, "written"):
            size = self._mended(file)
            try:
                _write_all(file, rows if size else header() + rows)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file, size)
                raise

    def _mended(self, file: int) -> int:
        """Take off what a killed writer left of a line or of the header; return the size in bytes."""
        size = os.fstat(file).st_size
        head = header()
        with open(file, "rb", closefd=False) as readable:
            readable.seek(0)  # `new` may have read on
            start = readable.read(len(head))
            if start != head and head.startswith(start):
                os.ftruncate(file, 0)
                return 0
            if start != head and names_in(start + readable.readline()) != list(COLUMNS):
                raise InputError(
                    f"{self.path} has other columns than a table of labels of this version; name "
                    "another file"
                )
            good = _end_of_lines(readable, size)
        if good < size:
            log.warning("%s: a line that was not whole is taken off", self.path)
            os.ftruncate(file, good)
        return good


def _lock(file: int) -> None:
    """Lock a file until it is closed; the system does that when the process ends, however that is."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        fcntl.lockf(file, fcntl.LOCK_EX)  # some network file systems know this kind alone


def _end_of_lines(readable: Any, size: int) -> int:
    """Return where the last line ends that has an end."""
    end = size
    while end:
        start = max(end - 4096, 0)
        readable.seek(start)
        found = readable.read(end - start).rfind(b"\n")
        if found >= 0:
            return int(start + found + 1)
        end = start
    return 0


def _write_all(file: int, text: bytes) -> None:
    while text:
        text = text[os.write(file, text) :]
    os.fsync(file)


def _whole_lines(text: bytes) -> bytes:
    return text[: text.rfind(b"\n") + 1]


@contextmanager
def _told(path: Path, verb: str) -> "Iterator[None]":
    try:
        yield
    except OSError as error:
        raise _refused(path, verb, error) from error


def _refused(path: Path, verb: str, error: OSError) -> RbinferError:
    return RbinferError(f"{path} cannot be {verb}: {error.strerror or error}")
