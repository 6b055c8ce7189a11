"""Tables of text in the dialects of programs and spreadsheets: taken apart, and put together again.

What is not understood is kept: the lines above the names, the rows as they stand, the encoding.
"""

import csv
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .cells import numbers

_MARKS = {BOM_UTF8: "utf-8", BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
#: What may stand between cells, in the order of preference where several would do; a blank stands for
#: any white space.
_SEPARATORS = ("\t", ";", "|", ",", " ")
_SAMPLE = 100  # lines that are looked at
_COMMENT = "#"
#: How Excel's files may say what separates their cells, in the first line.
_DECLARED = re.compile("sep=(.)")
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
    """

    dialect: Dialect
    head: list[str]
    header: str
    names: list[str]
    records: list[str]
    rows: list[list[str]] = field(default_factory=list)

    @cached_property
    def columns(self) -> list[list[str]]:
        """The cells of each column, without quotes; raises `ValueError` at rows that are too long."""
        n, separator = len(self.names), self.dialect.separator
        if not self.records:
            return [[] for _ in self.names]
        if not self.rows and {record.count(separator) for record in self.records} == {n - 1}:
            flat = separator.join(self.records).split(separator)
            if self.dialect.padded:
                flat = [cell.strip() for cell in flat]
            return [flat[k::n] for k in range(n)]
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
    first = next((k for k, line in enumerate(lines) if not _is_beside(line)), None)
    if first is None:
        raise ValueError("it has no line with the names of columns")
    declared = _DECLARED.fullmatch(lines[first])
    if declared is not None and first + 1 < len(lines):
        first += 1
    body = lines[first + 1 :]
    if _BESIDE.search(text, len(lines[0])):
        body = _without_comments(body)
    separator = declared[1] if declared else _separator(lines[first], body[:_SAMPLE])
    beside = (f" {separator}", f"{separator} ")
    padded = separator != " " and any(pair in lines[first] for pair in beside)
    dialect = Dialect(separator, newline, encoding, mark, padded)
    names = _cells(lines[first], separator)
    head, header = lines[:first], lines[first]
    if _are_numbers(names):
        # No names: they may stand in the comment above, or nowhere.
        body = [header, *body]
        above = head[-1].strip().lstrip(_COMMENT).strip() if head else ""
        in_comment = _cells(above, separator)
        if len(in_comment) == len(names) and not _are_numbers(in_comment):
            head, header, names = head[:-1], head[-1], in_comment
        else:
            header, names = "", [f"col{k}" for k in range(1, len(names) + 1)]
    names = _named(names, body, separator)
    if separator == " " or '"' in text:
        return Delimited(dialect, head, header, names, *_records(body, separator))
    return Delimited(dialect, head, header, names, body)


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


def _is_beside(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith(_COMMENT)


def _without_comments(lines: list[str]) -> list[str]:
    rows = [line for line in lines if not _is_beside(line)]
    # Where every row begins like a comment, they are rows: #1, #2, ...
    return rows or [line for line in lines if line.strip()]


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


def _are_numbers(cells: Sequence[str]) -> bool:
    return any(cells) and all(not cell or numbers([cell]) is not None for cell in cells)


def _named(names: list[str], body: Sequence[str], separator: str) -> list[str]:
    """Return a name for each column; raises `ValueError` where two have the same."""
    if len(names) > 1 and not names[-1] and all(line.endswith(separator) for line in body):
        names = names[:-1]  # each line ends with a separator
    names = [name or f"col{number}" for number, name in enumerate(names, 1)]
    double = {name for name in names if names.count(name) > 1}
    if double:
        raise ValueError(f"two columns are called {sorted(double)[0]}")
    return names


def _records(lines: list[str], separator: str) -> tuple[list[str], list[list[str]]]:
    """Join lines that quotes hold together; return the rows as they stand, and their cells."""
    blank = separator == " "
    plain = [line.strip().replace("\t", " ") for line in lines] if blank else lines
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        reader = csv.reader(
            (line + "\n" for line in plain),
            delimiter=separator,
            skipinitialspace=blank,
            strict=True,
            quoting=quoting,
        )
        records, rows, start = [], [], 0
        try:
            for row in reader:
                records.append("\n".join(lines[start : reader.line_num]))
                rows.append(row)
                start = reader.line_num
        except csv.Error:
            continue  # quotes that are no quotes, such as seconds of arc
        return records, rows
    raise ValueError("its cells cannot be told apart")
