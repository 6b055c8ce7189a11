"""Tables of text in the dialects of programs and spreadsheets: taken apart, and put together again.

What is not understood is kept: the lines above the names, the rows as they stand, the encoding.
"""

import csv
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .cells import MISSING, SPREADSHEET_ERRORS, lenient_numbers

_MARKS = {BOM_UTF8: "utf-8", BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
#: What may stand between cells, in the order of preference where several would do; a blank stands for
#: any white space.
_SEPARATORS = ("\t", ";", "|", ",", " ")
_SAMPLE = 100  # lines that are looked at
_MOST_ABOVE = 20  # lines of free text above the names
_COMMENT = "#"
#: How lines above the names begin; a row may begin with one of the others.
_COMMENTS = (_COMMENT, "%", "!", "//")
#: The last comment above the rows can name the columns, but for one that begins so.
_NO_NAMES = "!"
#: How Excel's files may say what separates their cells, in the first line.
_DECLARED = re.compile('("?)sep=(.)\\1')
#: What the first column is usually called, such as id or source_id.
_WORD_OF_NAMES = (
    "ids?|ident|identifier|names?|label|designation|key|number|num|no|nr|index|main|stars?|object|obj"
    "|source|src|target|band|filter"
)
_USUAL_NAME = re.compile(f"({_WORD_OF_NAMES})([ _.]+({_WORD_OF_NAMES}))*[.]?", re.IGNORECASE)
_BESIDE = re.compile(rf"\n[ \t]*(?:\n|{_COMMENT})")
_QUOTED = re.compile('"(?:[^"]|"")*"')


@dataclass(frozen=True)
class Dialect:
    """How a table is written as text.

    Attributes
    ----------
    separator : str
        Between cells; a blank stands for any white space.
    newline : str
    encoding : str
        By Python's name.
    mark : bytes
        The byte order mark before the text, or nothing.
    padded : bool
        Whether blanks around the cells are no part of them.
    """

    separator: str = ","
    newline: str = "\n"
    encoding: str = "utf-8"
    mark: bytes = b""
    padded: bool = False

    def quoted(self, cell: str) -> str:
        """Return a cell as it is written, in quotes where it needs them."""
        blank = self.separator == " "
        needs = any(c in cell for c in (self.separator, '"', "\n", "\r", *("\t" if blank else "")))
        if needs or (blank and (not cell or cell.startswith(_COMMENT))):
            return '"' + cell.replace('"', '""') + '"'
        return cell

    def encoded(self, lines: Sequence[str]) -> bytes:
        """Return lines as bytes; raises `UnicodeEncodeError` where the encoding lacks a character."""
        text = "\n".join(lines) + "\n"
        if self.newline != "\n":
            text = text.replace("\n", self.newline)
        return self.mark + text.encode(self.encoding)

    def recoded(self, lines: bytes) -> bytes:
        """Return lines of UTF-8, each with a line feed, as this dialect has them further below."""
        if self.newline == "\n" and self.encoding == "utf-8":
            return lines
        return lines.decode().replace("\n", self.newline).encode(self.encoding)


@dataclass(frozen=True)
class Delimited:
    """A table of text as it stands.

    Attributes
    ----------
    dialect : Dialect
    head : list of str
        The lines above the names.
    header : str
        The line with the names; empty where there is none.
    names : list of str
        Of the columns; col1, col2, ... where the text has none.
    records : list of str
        A row each, as it stands; more than one line where a cell in quotes has several.
    rows : list of list of str
        Their cells without quotes, where quotes or white space made it necessary to look at each
        character; otherwise empty.
    left_out : int
        How many comments between the rows look as if they were rows.
    passed_over : list of str
        Lines of free text above the names.
    """

    dialect: Dialect
    head: list[str]
    header: str
    names: list[str]
    records: list[str]
    rows: list[list[str]] = field(default_factory=list)
    left_out: int = 0
    passed_over: list[str] = field(default_factory=list)

    @cached_property
    def columns(self) -> list[list[str]]:
        """The cells of each column, without quotes; raises `ValueError` at rows that are too long."""
        n, separator = len(self.names), self.dialect.separator
        if not self.records:
            return [[] for _ in self.names]
        if not self.rows:
            # All cells in one go, and the ends of rows among them, where they are if all rows are whole.
            flat = f"{separator}\n{separator}".join(self.records).split(separator)
            if len(flat) == (n + 1) * len(self.records) - 1 and {"\n", *flat[n :: n + 1]} == {"\n"}:
                columns = [flat[k :: n + 1] for k in range(n)]
                if self.dialect.padded:
                    columns = [[cell.strip() for cell in column] for column in columns]
                return columns
        rows = self.rows or [record.split(separator) for record in self.records]
        if self.dialect.padded:
            rows = [[cell.strip() for cell in row] for row in rows]
        for number, row in enumerate(rows, 1):
            if any(row[n:]) or (len(row) < n and separator == " "):
                raise ValueError(
                    f"row {number} has {len(row)} cells, but there are {n} columns "
                    f"({', '.join(self.names)}): {self.records[number - 1][:60]!r}"
                )
        return [list(column) for column in zip(*((row + [""] * n)[:n] for row in rows), strict=True)]

    def whole_records(self) -> list[str]:
        """Return the rows as they stand, each with as many cells as there are columns."""
        n, separator = len(self.names), self.dialect.separator
        if self.rows:
            is_whole = all(len(row) == n for row in self.rows)
        else:
            is_whole = {record.count(separator) for record in self.records} <= {n - 1}
        return self.records if is_whole else [separator.join(row) for row in self.as_written()]

    def as_written(self) -> Iterator[list[str]]:
        """Yield the cells of each row as they stand, quotes and all."""
        n, separator = len(self.names), self.dialect.separator
        if not self.rows:
            for record in self.records:
                yield (record.split(separator) + [""] * n)[:n]
            return
        between = r"[ \t]+" if separator == " " else re.escape(separator)
        inside = r"[^\s]*" if separator == " " else f"[^{re.escape(separator)}]*"
        cell = re.compile(f'("(?:[^"]|"")*"(?={between}|$)|{inside})(?:{between}|$)', re.DOTALL)
        for record in self.records:
            found = cell.findall(record.strip(" \t") if separator == " " else record)
            yield (found + [""] * n)[:n]


def parse(data: bytes) -> Delimited:
    """Take a table of text apart.

    Parameters
    ----------
    data : bytes
        The text: UTF-8, UTF-16 with a byte order mark, or else Windows-1252 or Latin-1.

    Returns
    -------
    Delimited

    Raises
    ------
    ValueError
        It has no line with names or numbers.
    """
    text, encoding, mark = _decoded(data)
    if "\0" in text:
        raise ValueError("it is not text")
    newline = "\n"
    if "\r" in text:
        newline = "\r\n" if "\r\n" in text else "\r"
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.rstrip("\n").split("\n")
    first = next((k for k, line in enumerate(lines) if not _is_above(line)), None)
    if first is None:
        raise ValueError("it has no line with the names of columns")
    if _is_title(lines[first], lines[first + 1 : first + 1 + _SAMPLE]):
        first = next(k for k in range(first + 1, len(lines)) if not _is_above(lines[k]))
    free = 0 if _DECLARED.fullmatch(lines[first]) else _lines_above(lines[first : first + _SAMPLE])
    passed_over = [line for line in lines[first : first + free] if not _is_beside(line)]
    first += free
    declared = _DECLARED.fullmatch(lines[first])
    if declared is not None and first + 1 < len(lines):
        first += 1
    body = lines[first + 1 :]
    # Where every row begins as a comment does, they are rows: #1, #2, ...
    skip = _is_beside if any(not _is_beside(line) for line in body) else _is_empty
    sample = [line for line in body[:_SAMPLE] if not skip(line)]
    separator = declared[2] if declared else _separator(lines[first], sample)
    beside = (f" {separator}", f"{separator} ")
    padded = separator != " " and any(pair in lines[first] for pair in beside)
    dialect = Dialect(separator, newline, encoding, mark, padded)
    head, header, names = _header(lines[:first], lines[first], sample, separator)
    if header != lines[first]:
        body = lines[first:]
    n = len(names)
    names = _named(names, sample, separator)
    if len(names) < n:
        header = header[: header.rindex(separator)]
    if separator == " " or '"' in text:
        rows = _records(body, separator, skip)
        return Delimited(dialect, head, header, names, *rows, passed_over=passed_over)
    if not _BESIDE.search(text, len(lines[0])):
        return Delimited(dialect, head, header, names, body, passed_over=passed_over)
    records = [line for line in body if not skip(line)]
    n = lines[first].count(separator)
    left_out = sum(line.count(separator) == n for line in body if skip(line) and not _is_empty(line))
    return Delimited(dialect, head, header, names, records, left_out=left_out, passed_over=passed_over)


def _decoded(data: bytes) -> tuple[str, str, bytes]:
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.removeprefix(mark).decode(encoding), encoding, mark
    # The second byte of a Latin letter in UTF-16 is zero, or the first.
    if b"\0" in data[:2]:
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
        return data.decode(encoding), encoding, b""
    # Windows-1252 is Latin-1 with letters in place of control characters, but for five bytes.
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding), encoding, b""
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1"), "latin-1", b""


def _is_empty(line: str) -> bool:
    return not line.strip()


def _is_beside(line: str) -> bool:
    """Whether a line is no row: empty, or a comment."""
    start = line.lstrip()
    return not start or (start.startswith(_COMMENT) and not start.startswith(SPREADSHEET_ERRORS))


def _is_above(line: str) -> bool:
    """Whether a line has no names: a comment, or an empty row of a spreadsheet, separators alone."""
    has_cells = line.strip("".join(_SEPARATORS)) != ""
    return _is_beside(line) or line.lstrip().startswith(_COMMENTS) or not has_cells


def _is_title(line: str, following: Sequence[str]) -> bool:
    """Whether a line has one cell, and all that follow have as many as each other and more."""
    sample = [each for each in following if not _is_above(each)]
    for separator in _SEPARATORS[:-1]:
        counts = {each.count(separator) for each in sample}
        if len(sample) > 1 and len(counts) == 1 and counts != {0}:
            return sum(bool(cell.strip()) for cell in line.split(separator)) == 1
    return False


def _separator(header: str, sample: Sequence[str]) -> str:
    """Return what separates the cells: what every line has as often, or else what the header has."""
    lines = [_QUOTED.sub("", line) for line in (header, *sample)]

    def count(line: str, separator: str) -> int:
        return len(line.split()) - 1 if separator == " " else line.count(separator)

    for separator in _SEPARATORS:
        counts = {count(line, separator) for line in lines}
        if len(counts) == 1 and counts != {0}:
            return separator
    counts_of = {separator: count(lines[0], separator) for separator in _SEPARATORS[:-1]}
    best = max(counts_of, key=lambda separator: counts_of[separator])
    if counts_of[best]:
        return best
    return " " if count(lines[0], " ") else ","


def _cells(line: str, separator: str) -> list[str]:
    """Return the cells of a line without quotes."""
    if separator == " ":
        line = line.strip().replace("\t", " ")
    cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def _lines_above(lines: Sequence[str]) -> int:
    """Return how many lines of free text stand above the names.

    The names are words, all different. Each row below has as many cells, some of them numbers; no line
    above has as many. A first line that could be the names of longer rows is: rows may leave out cells.
    """
    for separator in _SEPARATORS:
        try:
            cells = [[] if _is_beside(line) else _cells(line, separator) for line in lines]
        except csv.Error:  # a cell is longer than free text would be
            return 0
        full = [k for k, row in enumerate(cells) if row]
        n = len(cells[full[-1]])
        free = [k for k in full if len(cells[k]) != n]
        # Between blanks, free text has many words.
        could_be_names = separator != " " and len(cells[full[0]]) > n and _are_names(cells[full[0]])
        if n > 1 and (not free or could_be_names):
            return 0
        at, *rows = [k for k in full if not free or k > free[-1]]
        have_numbers = all(any(map(_is_number, cells[k])) for k in rows)
        if rows and n > 1 and _are_names(cells[at]) and have_numbers:
            return at if at <= _MOST_ABOVE else 0
    return 0


def _are_names(cells: Sequence[str]) -> bool:
    """Whether cells are words, all different."""
    return len(set(cells)) == len(cells) and all(cells) and not any(map(_is_number, cells))


def _header(
    head: list[str], line: str, sample: Sequence[str], separator: str
) -> tuple[list[str], str, list[str]]:
    """Return the lines above the names, the line with the names, and these.

    The line is that of a comment, or empty, where the first line that is none is a row.
    """
    cells = _cells(line, separator)
    above = head[-1].strip() if head else ""
    above = "" if above.startswith(_NO_NAMES) else above.lstrip("".join(_COMMENTS)).strip()
    in_comment = _cells(above, separator)
    can_be_names = len(in_comment) == len(cells) and not any(map(_is_number, in_comment))
    if can_be_names and any(map(_is_number, cells)):
        return head[:-1], head[-1], in_comment
    if _is_row(cells, sample, separator):
        return head, "", [f"col{k}" for k in range(1, len(cells) + 1)]
    return head, line, cells


def _is_row(cells: Sequence[str], sample: Sequence[str], separator: str) -> bool:
    """Whether cells are a row, as those below, and no names.

    They are if all are numbers. With text among them, such as the name of a star, they are if at least
    two are numbers, no number stands below text, and the first is no usual name of a column.
    """
    n_numbers = sum(map(_is_number, cells))
    texts = [k for k, cell in enumerate(cells) if cell not in MISSING and not _is_number(cell)]
    if not texts or n_numbers < 2:
        return n_numbers > 0 and not texts
    try:
        rows = [row for row in (_cells(line, separator) for line in sample) if len(row) == len(cells)]
    except csv.Error:
        return False
    if sample and not rows:
        return False
    is_named = bool(_USUAL_NAME.fullmatch(cells[0])) and all(row[0] != cells[0] for row in rows)
    # A cell without a value speaks neither for a number nor against it.
    return not is_named and not any(_is_number(row[k]) for row in rows for k in texts)


def _is_number(cell: str) -> bool:
    """Whether a cell can be a number, which no name of a column is."""
    return lenient_numbers(np.array([cell])) is not None and cell not in MISSING


def _named(names: list[str], body: Sequence[str], separator: str) -> list[str]:
    """Return a name for each column; raises `ValueError` where two have the same."""
    if len(names) > 1 and not names[-1] and all(line.endswith(separator) for line in body):
        names = names[:-1]  # each line ends with a separator
    names = [name or f"col{number}" for number, name in enumerate(names, 1)]
    double = {name for name in names if names.count(name) > 1}
    if double:
        raise ValueError(f"two columns are called {sorted(double)[0]}")
    return names


def _records(
    lines: list[str], separator: str, skip: Callable[[str], bool]
) -> tuple[list[str], list[list[str]]]:
    """Join lines that quotes hold together; return the rows as they stand, and their cells."""
    for is_quoted in (True, False):
        try:
            rows = list(_rows(lines, separator, skip, is_quoted))
        except csv.Error:
            continue  # quotes that are no quotes, such as seconds of arc
        return [record for record, _ in rows], [cells for _, cells in rows]
    raise ValueError("its cells cannot be told apart")


def _rows(
    lines: list[str], separator: str, skip: Callable[[str], bool], is_quoted: bool
) -> Iterator[tuple[str, list[str]]]:
    """Yield each row as it stands, and its cells."""
    is_blank = separator == " "
    taken: list[str] = []

    def feed() -> Iterator[str]:
        for line in lines:
            # Within quotes nothing is a comment.
            if taken or not skip(line):
                taken.append(line)
                yield (line.strip().replace("\t", " ") if is_blank else line) + "\n"

    reader = csv.reader(
        feed(),
        delimiter=separator,
        skipinitialspace=is_blank,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
    )
    for cells in reader:
        yield "\n".join(taken), cells
        taken.clear()
