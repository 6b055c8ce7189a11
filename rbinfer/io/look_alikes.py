"""Columns that may be meant as positions, for messages about a catalogue without known ones."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import Table

#: Letters that tell the y of an x by its name.
_TWINS = {"x": "y", "X": "Y"}
_TOLD = 8  # columns that a message shows


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
        return f"what may be meant is {' or '.join(f'{x}, {y}' for x, y in pairs[:6])}: {_so(*pairs[0])}"
    if not have:
        return f"it has no columns; {_so()}"
    shown = [f"{name}{_first_value(table, name)}" for name in have[:_TOLD]]
    more = ", ..." if len(have) > _TOLD else ""
    # A number without a fraction is rather that of the row.
    broken = [name for name in have if table[name].dtype.kind == "f" and not table[name].shape[1:]]
    return f"it has {', '.join(shown)}{more}; {_so(*broken) if len(broken) == 2 else _so()}"


def _first_value(table: "Table", name: str) -> str:
    if not len(table):
        return ""
    value = str(table[name][0])
    return f" ({value})" if value and len(value) <= 20 and "\n" not in value else ""


def _so(*names: str) -> str:
    """Say how columns are named; without their names if it is not known which they are."""
    if not names:
        return "name them by `x_col` and `y_col`, with `origin=1` if the first pixel is called 1"
    x, y = names
    return f"name them by `x_col={x!r}, y_col={y!r}`, with `origin=1` if the first pixel is called 1"
