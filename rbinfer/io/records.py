"""Rows of a FITS table as they stand in its file, to be written as FITS; or new ones.

They have what scoring takes of an `astropy.table.Table`, and need no Astropy: the cells of the file are
copied as they are, and so are its cards.
"""

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .cards import COMMENTARY, PlainHeader, cards_of, header_bytes, keyword_of
from .layout import BLOCK
from .plain import PlainHdu

if TYPE_CHECKING:
    from astropy.table import Table

#: Formats of columns by their letters, as NumPy has them; truth values stay the letters that they are.
_TYPES = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "A": "S", "L": "S"}
_LETTERS = {"u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
_FORMAT = f"([1-9][0-9]*)?([{''.join(_TYPES)}])"
#: Cards of a column with its number, and those that say nothing against plain cells.
_OF_COLUMN = re.compile("(T[A-Z]+)([1-9][0-9]*)")
_PLAIN_CARDS = ("TTYPE", "TFORM", "TUNIT", "TDISP")
_SHAPE = ("XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS")
#: How Astropy begins what it notes of columns in comments.
_SERIALIZED = "--BEGIN-ASTROPY-SERIALIZED"


class Cells(np.ndarray[Any, Any]):
    """A column: an array that may have a unit and, if it is from a file, cards (by their stems)."""

    unit: str | None = None
    cards: Mapping[str, str] = MappingProxyType({})

    def __array_finalize__(self, obj: Any) -> None:
        """Take along what goes with the array."""
        self.unit = getattr(obj, "unit", None)
        self.cards = getattr(obj, "cards", self.cards)


class Records:
    """Rows of a FITS table with columns beside them, or columns alone; behaves as a table.

    Attributes
    ----------
    meta : dict
        Values of the cards that are of no column, and what is noted besides.
    """

    def __init__(self, header: PlainHeader, columns: Mapping[str, Cells], n: int) -> None:
        of_all = [key for key in header if key not in _SHAPE and not _OF_COLUMN.fullmatch(key)]
        self.meta: dict[str, Any] = {key: header[key] for key in of_all}
        self._header = header
        self._columns = dict(columns)
        self._n = n

    @classmethod
    def read(cls, hdu: PlainHdu) -> Self | None:
        """Read the rows of a table.

        Parameters
        ----------
        hdu : PlainHdu
            A binary table.

        Returns
        -------
        Records or None
            None where cells are more than numbers, texts and truth values: scaled, masked by a value, of
            two dimensions, bits.
        """
        header = hdu.header
        dtype = _dtype(header)
        if dtype is None or hdu.shape[1:] != (dtype.itemsize,):
            return None
        data = hdu.data
        rows = np.zeros(0, dtype) if data is None else data.view(dtype)[:, 0]
        cards: dict[str, dict[str, str]] = {}
        for card in header.cards:
            if found := _OF_COLUMN.fullmatch(keyword_of(card)):
                cards.setdefault(found[2], {}).setdefault(found[1], card)
        columns = {}
        for k, name in enumerate(dtype.names or (), 1):
            columns[name] = rows[name].view(Cells)
            columns[name].unit = str(header.get(f"TUNIT{k}") or "").strip() or None
            columns[name].cards = cards[str(k)]
        return cls(header, columns, len(rows))

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> Self:
        """Make rows of columns that are of no file, each of shape (n,)."""
        cells = {name: values.view(Cells) for name, values in columns.items()}
        return cls(PlainHeader((), {}, {}), cells, len(next(iter(columns.values()), ())))

    @property
    def are_new(self) -> bool:
        """Whether they are of no file."""
        return not any(column.cards for column in self._columns.values())

    @property
    def colnames(self) -> list[str]:
        """Names of the columns, in their order."""
        return list(self._columns)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, what: Any) -> Any:
        """Return a column by its name, some of the columns by a list of names, or some of the rows.

        Cells of the file have its byte order.
        """
        if isinstance(what, str):
            return self._columns[what]
        if isinstance(what, list) and all(isinstance(name, str) for name in what):
            return self._with({name: self._columns[name] for name in what}, self._n)
        rows = np.arange(self._n)[np.asarray(what)]
        return self._with({name: column[rows] for name, column in self._columns.items()}, len(rows))

    def __setitem__(self, name: str, values: Any) -> None:
        self._columns[name] = np.asarray(values).view(Cells)

    def remove_columns(self, names: Sequence[str]) -> None:
        """Leave columns out."""
        for name in names:
            del self._columns[name]

    def copy(self) -> Self:
        """Return the same with columns and notes of its own; the cells are shared."""
        return self._with(self._columns, self._n)

    def as_table(self) -> "Table":
        """Return new rows as a table."""
        from astropy.table import Table

        table = Table({name: np.asarray(cells) for name, cells in self._columns.items()}, meta=self.meta)
        for name, cells in self._columns.items():
            table[name].unit = cells.unit
        return table

    def _with(self, columns: Mapping[str, Cells], n: int) -> Self:
        other = type(self)(self._header, columns, n)
        other.meta = dict(self.meta)
        return other

    def hdu(self) -> list[bytes]:
        """Return the parts of a binary table: header, rows, and what fills the last block."""
        stored = {name: _stored(column) for name, column in self._columns.items()}
        dtype = np.dtype([(name, cells.dtype, cells.shape[1:]) for name, cells in stored.items()])
        rows = np.zeros(self._n, dtype)
        for name, cells in stored.items():
            rows[name] = cells
        shape = {
            "XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": dtype.itemsize, "NAXIS2": self._n,
            "PCOUNT": 0, "GCOUNT": 1, "TFIELDS": len(stored),
        }  # fmt: skip
        cards = [card for key, value in shape.items() for card in cards_of(key, value)]
        for k, (name, cells) in enumerate(stored.items(), 1):
            about = self._columns[name].cards or _about(name, cells, self._columns[name].unit)
            cards += [f"{stem}{k}".ljust(8) + card[8:] for stem, card in about.items()]
        cards += self._other_cards()
        data = rows.tobytes()
        return [header_bytes(cards), data, bytes(-len(data) % BLOCK)]

    def _other_cards(self) -> list[str]:
        """Return the cards that are of no column: as they came where their value is the same."""
        same = {key for key, value in self.meta.items() if self._header.get(key) is value}
        kept = [
            card
            for card in self._header.cards
            if card.startswith(COMMENTARY) or keyword_of(card) in same
        ]
        new = [(key, value) for key, value in self.meta.items() if key not in same]
        return kept + [card for key, value in new for card in cards_of(key, value)]


def _dtype(header: PlainHeader) -> np.dtype[Any] | None:
    """Return the type of the rows of a table; None where cells are not plain."""
    numbered = [found for key in header if (found := _OF_COLUMN.fullmatch(key))]
    if any(found[1] not in _PLAIN_CARDS for found in numbered):
        return None
    if any(_SERIALIZED in card for card in header.cards):
        return None
    n = header.get("TFIELDS")
    if type(n) is not int or any(int(found[2]) > n for found in numbered):
        return None
    names = [header.get(f"TTYPE{k}") for k in range(1, n + 1)]
    formats = [re.fullmatch(_FORMAT, str(header.get(f"TFORM{k}"))) for k in range(1, n + 1)]
    # Names that differ in case alone are one to Astropy.
    if len({str(name).strip().lower() for name in names} - {""}) < n:
        return None
    fields = []
    for name, found in zip(names, formats, strict=True):
        if not isinstance(name, str) or found is None:
            return None
        times, kind = int(found[1] or 1), _TYPES[found[2]]
        if kind == "S":
            fields.append((name, np.dtype(f"S{times}")))
        else:
            fields.append((name, np.dtype(kind) if times == 1 else np.dtype((kind, times))))
    return np.dtype(fields)


def _stored(column: Cells) -> NDArray[Any]:
    """Return a column as it is written: numbers with the highest byte first, text in bytes."""
    if column.dtype.kind == "U":
        return np.asarray(column).astype(f"S{max(column.dtype.itemsize // 4, 1)}")
    return np.asarray(column).astype(column.dtype.newbyteorder(">"), copy=False)


def _about(name: str, cells: NDArray[Any], unit: str | None) -> dict[str, str]:
    """Return the cards of a column, by their stems."""
    dtype = cells.dtype
    letter = "A" if dtype.kind == "S" else _LETTERS[dtype.str[1:]]
    times = dtype.itemsize if dtype.kind == "S" else math.prod(cells.shape[1:])
    said = {"TTYPE": name, "TFORM": f"{times if times > 1 else ''}{letter}", "TUNIT": unit}
    return {stem: cards_of(stem, text)[0] for stem, text in said.items() if text is not None}
