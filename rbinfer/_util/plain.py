"""Values as JSON has them."""

import math
from typing import Any


def plain(value: Any) -> Any:
    """Turn a value into what JSON knows: masked, NaN and infinite become None.

    Parameters
    ----------
    value : object
        A cell of a table, or nested lists of such.

    Returns
    -------
    None, bool, int, float, str, list or dict
    """
    if hasattr(value, "tolist"):
        # NumPy scalars and arrays, masked ones too: a masked cell gives None.
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def plain_rows(table: Any) -> list[dict[str, Any]]:
    """Return the rows of a table as `plain` values by the names of the columns."""
    # Cell by cell: a column of coordinates or times is no array.
    columns = {name: [plain(cell) for cell in table[name]] for name in table.colnames}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
