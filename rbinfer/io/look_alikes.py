"""Columns that may be meant as positions, for messages about a catalogue without known ones."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import Table

#: Letters that tell the y of an x by its name.
_TWINS = {"x": "y", "X": "Y"}
_TOLD = 8  # columns that a message shows
_LONGEST = 20  # characters of a value that a message shows
#: What columns are called whose file has no names for them.
_NAMELESS = re.compile(r"col\d+")


def look_alikes(table: "Table") -> str:
    """Say what a catalogue has instead of positions, and how to name its columns.

    Parameters
    ----------
    table : Table

    Returns
    -------
    str
        The pairs that may be meant by their names, or else the columns with their first values.
    """
    have = list(table.colnames)
    pairs = []
    for x in have:
        # The y of an x: the same name with one letter exchanged.
        twins = {x[:k] + y + x[k + 1 :] for k, c in enumerate(x) for y in _TWINS.get(c, "")}
        pairs += [(x, y) for y in have if y in twins and table[x].dtype.kind in "fiu"]
    if pairs:
        meant = " or ".join(f"{printable(x)}, {printable(y)}" for x, y in pairs[:6])
        return f"what may be meant is {meant}: {_how_to_name(*pairs[0])}"
    if not have:
        return f"it has no columns; {_how_to_name()}"
    return f"it has {with_first_values(table)}; {_how_to_name(*likely_positions(table))}"


def with_first_values(table: "Table") -> str:
    """Return the names of the first columns, each with its first value."""
    shown = [f"{printable(name)}{_first_value(table, name)}" for name in table.colnames[:_TOLD]]
    return ", ".join(shown) + (", ..." if len(table.colnames) > _TOLD else "")


def likely_positions(table: "Table") -> tuple[str, ...]:
    """Return the first two columns of numbers with fractions, of a catalogue without names.

    Returns
    -------
    tuple of str
        Empty where there are no two, and where the columns have names, which tell more than values do.
    """
    if not all(map(_NAMELESS.fullmatch, table.colnames)):
        return ()
    # A number without a fraction is rather that of the row.
    broken = [n for n in table.colnames if table[n].dtype.kind == "f" and not table[n].shape[1:]]
    return tuple(broken[:2]) if len(broken) > 1 else ()


def printable(text: str) -> str:
    """Return a text of a file as a terminal may show it: in quotes with escapes, if it must be."""
    return text if text.isprintable() else repr(text)


def _first_value(table: "Table", name: str) -> str:
    if not len(table):
        return ""
    value = str(table[name][0])
    return f" ({printable(value)})" if value and len(value) <= _LONGEST else ""


def _how_to_name(*names: str) -> str:
    """Say how columns are named; without their names if it is not known which they are."""
    if not names:
        return "name them by `x_col` and `y_col`, with `origin=1` if the first pixel is called 1"
    x, y = names
    return f"name them by `x_col={x!r}, y_col={y!r}`, with `origin=1` if the first pixel is called 1"
