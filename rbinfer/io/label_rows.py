"""A row of the table of labels: what it holds, and how it is written as ECSV and read back."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from astropy.table import Table

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
    "plane": "plane of a cube, by its name or number; empty for none",
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

#: Columns of the table, in their order.
COLUMNS = tuple(_MEANING)


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

    @property
    def told(self) -> tuple[Key, str, str, str, str]:
        """What tells this answer from any other: about what, which, whose and when."""
        return self.key, self.label, self.kind, self.who, self.when


def key_of(hash: str, hdu: int, plane: str, x: float, y: float) -> Key:
    """Return what tells a detection apart from others; see `Key`. Planes are named in either case."""
    return Key(hash, int(hdu), plane.lower(), round(float(x), _DECIMALS), round(float(y), _DECIMALS))


def header_in(text: bytes) -> bytes:
    """Return the header that a file begins with, up to the names of the columns; empty if torn."""
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        if not line.startswith(b"#"):
            return text[:end]
    return b""


def names_in(text: bytes) -> list[str]:
    """Return the columns of a header, where they are written as ours are."""
    lines = header_in(text).decode("utf-8", "replace").splitlines()
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
def header() -> bytes:
    """Return what a table begins with."""
    return _as_text(_table([]))


def as_rows(labels: Sequence[Label]) -> bytes:
    """Return the lines of labels.

    Raises
    ------
    InputError
        A label is none of `LABELS`, or a text has a line break, or a space at an end, which ECSV does
        not keep.
    """
    for label in labels:
        _check(label, str(label.image))
        for name in ("image", "plane", "catalog", "kind", "who", "evidence"):
            text = getattr(label, name)
            if any(end in text for end in "\r\n"):
                raise InputError(f"a label's {name} has a line break: {text!r}")
            if text != text.strip(" \t"):
                raise InputError(f"a label's {name} begins or ends with a space: {text!r}; rename it")
    rounded = [
        replace(label, x=round(float(label.x), _DECIMALS), y=round(float(label.y), _DECIMALS))
        for label in labels
    ]
    return _as_text(_table(rounded)).removeprefix(header())


def _check(label: Label, where: str) -> None:
    if label.label not in LABELS:
        raise InputError(f"{where}: the label {label.label!r} is none of {', '.join(LABELS)}")


def parsed(text: bytes, path: Path) -> list[Label]:
    """Return the labels of a header with its lines; `path` is for messages.

    Raises
    ------
    InputError
        It is no table of labels, or holds a label that is none of `LABELS`.
    """
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
