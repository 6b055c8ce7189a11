"""Labels of detections, by a person or harvested: a table that only grows, as ECSV.

A row is an answer about one detection. Nothing is ever changed in the file: a later answer about the
same detection counts in place of an earlier one, and ``undo`` takes it back. `current` says which count.
"""

import csv
import errno
import logging
import math
import os
from collections.abc import Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError, RbinferError
from .files import check_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.table import Table

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

#: Name of the table in a folder of results, which is no result.
LABELS_FILE = "labels.ecsv"
#: Answers. ``skip`` says that a person looked and could not tell; ``undo`` takes the last answer back.
LABELS = ("real", "bogus", "skip", "undo")
#: What `Label.evidence` holds where a person answered; that outranks anything harvested.
PERSON = "person"
#: What `Label.hdu` holds where the first image of the file was scored.
FIRST_HDU = -1

_TYPES: dict[Any, Any] = {str: np.str_, int: np.int64, float: np.float64}
_MISSING: dict[Any, Any] = {str: "", int: -1, float: math.nan}
_NEEDED = ("image", "hash", "x", "y", "label")
_DECIMALS = 3  # of pixels, which tell detections apart
_UNITS = {"x": "pix", "y": "pix", "ra": "deg", "dec": "deg"}
_MEANING = {
    "image": "path of the image",
    "hash": "SHA-256 of the image file",
    "hdu": "number of the HDU, from 0; -1: the first image",
    "plane": "of a cube, as --plane names it; empty for none",
    "catalog": "path of the scored catalogue",
    "row": "in that catalogue, from 0; -1: in none",
    "x": "0-based pixel",
    "y": "0-based pixel",
    "ra": "ICRS",
    "dec": "ICRS",
    "label": "real, bogus, skip or undo",
    "class": "empty where none was named",
    "score": "of the model at that time",
    "verdict": "of the model at that time: real, bogus or unscored",
    "part": "why it was shown: threshold, repeats, class, random; only random gives honest rates",
    "who": "",
    "when": "UTC",
    "evidence": "person, or what the label was harvested from",
    "purity": "estimated share of right labels among those of this evidence",
}


class Key(NamedTuple):
    """What tells detections apart: image by content, HDU, plane, and pixel to 0.001."""

    hash: str
    hdu: int
    plane: str
    x: float
    y: float


@dataclass(frozen=True)
class Label:
    """An answer about one detection.

    Attributes
    ----------
    image : str
        Absolute path of the image.
    hash : str
        SHA-256 of its file, as `rbinfer._util.hashing.digest` gives it.
    x, y : float
        0-based pixels; kept to 0.001.
    label : str
        One of `LABELS`.
    hdu : int
        Number of the HDU; `FIRST_HDU` for the first image of the file.
    plane : str
        Plane of a cube, as for `rbinfer.io.planes.plane_of`; empty where none was named.
    catalog : str
        Absolute path of the scored catalogue; empty if there is none.
    row : int
        Of that catalogue, from 0; -1 if there is none.
    ra, dec : float
        Degrees, ICRS; NaN where they are not known.
    kind : str
        Class that was named; empty if none was. The column is ``class``.
    score : float
        Of the model at that time; NaN without one.
    verdict : str
        ``real``, ``bogus`` or ``unscored``; empty if not known.
    part : str
        Why it was shown. ``random``: a random draw from all scored detections, for honest rates. Empty
        for what was harvested.
    who : str
    when : str
        ISO 8601, UTC.
    evidence : str
        `PERSON`, or what it was harvested from, in a word such as ``dark`` or ``repeats``.
    purity : float
        Estimated share of right labels, from 0 to 1; NaN where there is no estimate.
    """

    image: str
    hash: str
    x: float
    y: float
    label: str
    hdu: int = FIRST_HDU
    plane: str = ""
    catalog: str = ""
    row: int = -1
    ra: float = math.nan
    dec: float = math.nan
    kind: str = ""
    score: float = math.nan
    verdict: str = ""
    part: str = ""
    who: str = ""
    when: str = ""
    evidence: str = PERSON
    purity: float = math.nan

    @property
    def key(self) -> Key:
        """The detection that it is about."""
        return key_of(self.hash, self.hdu, self.plane, self.x, self.y)


def key_of(hash: str, hdu: int, plane: str, x: float, y: float) -> Key:
    """Return what tells a detection apart from others; see `Key`. Planes are named in either case."""
    return Key(hash, int(hdu), plane.lower(), round(float(x), _DECIMALS), round(float(y), _DECIMALS))


def read_labels(path: Path) -> list[Label]:
    """Read all rows of a table of labels, in the order in which they were written.

    Parameters
    ----------
    path : Path
        Another process may write it; a last line that is not whole yet is left out.

    Returns
    -------
    list of Label

    Raises
    ------
    InputError
        The file cannot be read, is no table of labels, or holds a label that is none of `LABELS`.
    """
    check_file(path)
    with _told(path, "read"):
        text = path.read_bytes()
    return _parsed(_whole_lines(text), path)


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
            self._head = _header_in(text)
            found = _parsed(text, self.path) if self._head else []
        else:
            found = _parsed(self._head + text, self.path) if text else []
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
        rows = _as_rows(labels)
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
                _write_all(file, rows if size else _header() + rows)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file, size)
                raise

    def _mended(self, file: int) -> int:
        """Take off what a killed writer left of a line or of the header; return the size in bytes."""
        size = os.fstat(file).st_size
        header = _header()
        with open(file, "rb", closefd=False) as readable:
            readable.seek(0)  # `new` may have read on
            start = readable.read(len(header))
            if start != header and header.startswith(start):
                os.ftruncate(file, 0)
                return 0
            if start != header and _names_in(start + readable.readline()) != list(_MEANING):
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


def _header_in(text: bytes) -> bytes:
    """Return the header that a file begins with, up to the names of the columns; empty if torn."""
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        if not line.startswith(b"#"):
            return text[:end]
    return b""


def _names_in(text: bytes) -> list[str]:
    """Return the columns of a header, where they are written as ours are."""
    lines = _header_in(text).decode("utf-8", "replace").splitlines()
    return lines[-1].split(" ") if lines else []


def _table(labels: Sequence[Label]) -> "Table":
    from astropy.table import Column, Table

    table = Table()
    for field, name in zip(fields(Label), _names(), strict=True):
        values = np.array([getattr(label, field.name) for label in labels], _TYPES[field.type])
        table[name] = Column(values, unit=_UNITS.get(name), description=_MEANING[name] or None)
    return table[list(_MEANING)]


def _names() -> list[str]:
    """Return the columns in the order of the fields of `Label`."""
    return ["class" if field.name == "kind" else field.name for field in fields(Label)]


def _as_text(table: "Table") -> bytes:
    text = StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode("utf-8", "replace")


@cache
def _header() -> bytes:
    return _as_text(_table([]))


def _as_rows(labels: Sequence[Label]) -> bytes:
    for label in labels:
        _check(label, str(label.image))
        for name in ("image", "plane", "catalog", "kind", "who", "evidence"):
            if any(end in getattr(label, name) for end in "\r\n"):
                raise InputError(f"a label's {name} has a line break: {getattr(label, name)!r}")
    rounded = [
        replace(label, x=round(float(label.x), _DECIMALS), y=round(float(label.y), _DECIMALS))
        for label in labels
    ]
    return _as_text(_table(rounded)).removeprefix(_header())


def _check(label: Label, where: str) -> None:
    if label.label not in LABELS:
        raise InputError(f"{where}: the label {label.label!r} is none of {', '.join(LABELS)}")


def _parsed(text: bytes, path: Path) -> list[Label]:
    from astropy.table import Table

    try:
        table = Table.read(text.decode("utf-8"), format="ascii.ecsv")
        columns = [
            _plain(table, field, name) for field, name in zip(fields(Label), _names(), strict=True)
        ]
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table of labels: {error}") from error
    if missing := [name for name in _NEEDED if name not in table.colnames]:
        raise InputError(f"{path} is no table of labels: it has no column {', '.join(missing)}")
    labels = [Label(*values) for values in zip(*columns, strict=True)]
    for number, label in enumerate(labels):
        _check(label, f"{path}, row {number}")
    return labels


def _plain(table: "Table", field: Any, name: str) -> list[Any]:
    """Return a column as plain values; what is not there, or masked, has the default."""
    missing = _MISSING[field.type]
    if name not in table.colnames:
        return [PERSON if name == "evidence" else missing] * len(table)
    values = np.ma.asarray(table[name])
    plain = np.ma.getdata(values).astype(_TYPES[field.type]).tolist()
    masked = np.ma.getmaskarray(values)
    return [missing if is_masked else value for value, is_masked in zip(plain, masked, strict=True)]


@contextmanager
def _told(path: Path, verb: str) -> "Iterator[None]":
    try:
        yield
    except OSError as error:
        raise _refused(path, verb, error) from error


def _refused(path: Path, verb: str, error: OSError) -> RbinferError:
    return RbinferError(f"{path} cannot be {verb}: {error.strerror or error}")
