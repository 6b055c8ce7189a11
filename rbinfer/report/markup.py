"""Pieces of HTML that the sections of the page share."""

import html
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import NamedTuple


class Cell(NamedTuple):
    """What a cell shows, HTML, and the number that it sorts by; text sorts by itself."""

    shown: str
    value: float | None = None
    kind: str = ""


def escaped(text: str) -> str:
    """Return text as HTML, also inside an attribute."""
    return html.escape(text)


def percent(share: float) -> str:
    """Return a share in per cent."""
    return f"{100 * share:.1f} %"


def score(value: float) -> str:
    """Return a score; a small one keeps its size."""
    return f"{value:.4f}" if value >= 0.001 else f"{value:.1e}"


def words(text: str, kind: str = "") -> Cell:
    """Return a cell of text."""
    return Cell(escaped(text), kind=f"text {kind}".strip())


def whole(n: int) -> Cell:
    """Return a cell of an integer."""
    return Cell(f"{n:,}", n)


def maybe(value: float | None, how: Callable[[float], str]) -> Cell:
    """Return a cell of a number, or an empty one."""
    return Cell("") if value is None else Cell(how(value), float(value))


def sortable(name: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table that sorts by a click; what the first row has as text stands left.

    Parameters
    ----------
    name : str
        Its ``id``.
    heads : sequence of str
    rows : sequence of sequence of Cell
        At least one.

    Returns
    -------
    str
    """
    kinds = ["text" if "text" in cell.kind else "" for cell in rows[0]]
    head = "".join(
        f'<th scope="col" class="{kind}"><button type="button">{escaped(text)}</button></th>'
        for text, kind in zip(heads, kinds, strict=True)
    )
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table id="{name}" class="sortable">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def legend(keys: Iterable[tuple[str, str]]) -> str:
    """Return a line that explains colours: the class of each key and its text."""
    spans = "".join(f'<span><i class="key {kind}"></i>{escaped(text)}</span>' for kind, text in keys)
    return f'<p class="legend">{spans}</p>'


def part(name: str) -> str:
    """Return a file of this folder that is a part of the pages: their frame, style and script."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def _cell(cell: Cell) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value!r}"'
    return f'<td class="{cell.kind}"{value}>{cell.shown}</td>'
