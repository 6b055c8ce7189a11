"""Rows of tables as text, a block at a time, without a Python object for each number.

Numbers have the fewest digits that tell them apart in their type, as NumPy and Python write them.
The kernel `rbinfer.kernels.decimals.write_rows` writes them where there is a library of kernels; else
Python does, with the same bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RbinferError
from ..kernels import constants as c
from ..kernels import library
from ..kernels.dispatch import write_rows

#: Rows that are written at a time: their cells stay in the cache.
BLOCK = 4096
_BLANK, _DELETE = 32, 127  # around the visible characters of ASCII
_LONGEST = {c.WHOLE: 20, c.DOUBLE: 24, c.SINGLE: 24}
#: By NumPy's names of types; other numbers are written by Python.
_KINDS = {"f8": c.DOUBLE, "f4": c.SINGLE} | dict.fromkeys(
    ("i1", "i2", "i4", "i8", "u1", "u2", "u4"), c.WHOLE
)

#: What a column holds: numbers, texts that are written as they stand (see `are_plain`), or other cells
#: as they are written.
Cells = NDArray[Any] | list[str]


@dataclass(frozen=True)
class Layout:
    """How rows are laid out.

    Attributes
    ----------
    separator : str
        Between cells: one character of ASCII.
    point : str
        Before the fraction of a number.
    """

    separator: str = " "
    point: str = "."


def has_digits(values: NDArray[np.generic]) -> bool:
    """Whether numbers of a column are written as such; other values are to be texts."""
    return values.ndim == 1 and values.dtype.newbyteorder("=").str[1:] in _KINDS


def are_plain(values: NDArray[np.str_], signs: str) -> bool:
    """Whether texts are of visible ASCII, without certain signs and without an empty one among them.

    Parameters
    ----------
    values : ndarray of str, shape (n,)
    signs : str
        Those that a cell must not have, to be written as it stands.
    """
    if values.size == 0 or values.dtype.itemsize == 0:
        return False
    codes = _code_points(values)
    is_there = codes != 0
    # Each text is filled up with zeros; within it they are a sign as any other.
    is_whole = is_there[:, 0].all() and not (is_there[:, 1:] & ~is_there[:, :-1]).any()
    return bool(
        is_whole
        and ((codes > _BLANK) | ~is_there).all()
        and (codes < _DELETE).all()
        and not any((codes == ord(sign)).any() for sign in signs)
    )


def _code_points(values: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the characters of texts (n,) as numbers, a row each; zeros fill it."""
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return native.view(np.uint32).reshape(len(values), -1)


def texts_of(values: NDArray[np.generic]) -> list[str]:
    """Return values as NumPy writes them, by Python where that is the same."""
    if values.dtype.kind in "iu" or values.dtype == np.float64:
        return list(map(str, values.tolist()))
    found: list[str] = values.astype(np.str_).tolist()
    return found


def blocks(n: int) -> Iterator[slice]:
    """Yield the rows of blocks."""
    return (slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))


def joined(columns: Sequence[Cells], layout: Layout) -> bytes:
    """Return rows as lines of UTF-8.

    Parameters
    ----------
    columns : sequence of ndarray or list of str
        At least one; numbers as `has_digits` takes them, or cells as they are to be written.
    layout : Layout

    Returns
    -------
    bytes
        With a line feed after each row.
    """
    n = len(columns[0])
    if n == 0:
        return b""
    if layout.separator.isascii() and _has_kernel():
        texts = {k: _encoded(column) for k, column in enumerate(columns) if _is_text(column)}
        if all(int(text.lengths.max()) < c.TEXT_ROOM for text in texts.values()):
            return _written(columns, texts, n, layout)
    parts = [_as_texts(column, layout.point) for column in columns]
    rows = map(layout.separator.join, zip(*parts, strict=True))
    return ("\n".join(rows) + "\n").encode()


@cache
def _has_kernel() -> bool:
    """Whether the kernel is at hand as machine code; to compile it takes longer than most tables."""
    try:
        return library.find().library is not None and write_rows.is_native
    except RbinferError:  # settings of Numba ask for other code, and it is not installed
        return False


def _is_text(column: Cells) -> bool:
    return isinstance(column, list) or column.dtype.kind == "U"


def _as_texts(column: Cells, point: str) -> list[str]:
    if isinstance(column, list):
        return column
    texts = texts_of(column)
    if point == "." or column.dtype.kind != "f":
        return texts
    return [text.replace(".", point) for text in texts]


@dataclass(frozen=True)
class _Texts:
    """Cells in UTF-8: their bytes, and where each begins and how many it has."""

    data: bytes
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


def _encoded(cells: Cells) -> _Texts:
    if not isinstance(cells, list):
        codes = _code_points(cells)
        starts = np.arange(len(cells)) * codes.shape[1]
        return _Texts(codes.astype(np.uint8).tobytes(), starts, np.count_nonzero(codes, axis=1))
    text = "".join(cells)
    data = text.encode()
    parts = cells if len(data) == len(text) else [cell.encode() for cell in cells]
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    return _Texts(data, np.cumsum(lengths) - lengths, lengths)


def _written(columns: Sequence[Cells], texts: dict[int, _Texts], n: int, layout: Layout) -> bytes:
    """Write rows by the kernel; `texts` are by the numbers of their columns."""
    cells = np.empty((n, len(columns)), np.int64)
    kinds = np.empty(len(columns), np.int64)
    room, before = 0, 0
    for k, column in enumerate(columns):
        if k in texts:
            kinds[k] = c.TEXT
            cells[:, k] = (before + texts[k].starts) * c.TEXT_ROOM + texts[k].lengths
            before += len(texts[k].data)
            room += int(texts[k].lengths.sum()) + n
            continue
        values = np.asarray(column)
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        kinds[k] = kind = _KINDS[native.dtype.str[1:]]
        cells[:, k] = native if kind == c.WHOLE else native.view(f"i{native.dtype.itemsize}")
        room += n * (_LONGEST[kind] + 1)
    data = np.frombuffer(b"".join(text.data for text in texts.values()) or b" ", np.uint8)
    out, size = np.empty(room, np.uint8), np.zeros(1, np.int64)
    marks = ord(layout.separator), ord(layout.point)
    write_rows(cells, kinds, data, _powers(), *marks, _most_of_single(), out, size)
    return out[: int(size[0])].tobytes()


@cache
def _powers() -> NDArray[np.uint64]:
    """Return powers of ten as `rbinfer.kernels.decimals.write_rows` takes them."""
    powers = range(c.LOWEST_POWER, c.HIGHEST_POWER + 1)
    found = np.empty((len(powers), 2), np.uint64)
    for k, power in enumerate(powers):
        whole = 10 ** abs(power)
        if power >= 0:
            spare = c.POWER_BITS - whole.bit_length()
            bits = whole << spare if spare >= 0 else whole >> -spare
        else:
            bits = (1 << (c.POWER_BITS + whole.bit_length() - 1)) // whole
            bits >>= bits.bit_length() - c.POWER_BITS
        bits += 1
        found[k] = bits >> 63, bits & (2**63 - 1)
    return found


@cache
def _most_of_single() -> int:
    """Return how many digits NumPy writes before the point of a real of 32 bits, without an exponent."""
    sizes = range(1, c.MOST_OF_DOUBLE)
    return next((k for k in sizes if "e" in str(np.float32(10.0**k))), c.MOST_OF_DOUBLE)
