"""Scored rows as answers: JSON as ``rbinfer classify --json`` prints it, or a stream of Arrow's."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._util.plain import plain, plain_rows
from ..errors import InputError
from ..io.conversion import fitted
from ..io.parquet import as_arrow

if TYPE_CHECKING:
    from astropy.table import Table

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """The bytes of an answer and their type."""

    body: bytes
    kind: str


def kind_asked(accept: str) -> str:
    """Return which of the kinds a header ``Accept`` asks for."""
    return ARROW if ARROW in accept.lower() else JSON


def answer_of(table: "Table", summary: dict[str, Any], warnings: list[str], kind: str) -> Answer:
    """Return scored rows as bytes.

    Parameters
    ----------
    table : Table
    summary : dict
    warnings : list of str
        What was said of the image.
    kind : str
        `JSON`: an object with ``summary``, ``warnings`` and ``rows``. `ARROW`: the rows, with
        summary and warnings as JSON in the metadata of the schema (``rb_summary``, ``rb_warnings``).

    Returns
    -------
    Answer

    Raises
    ------
    InputError
        Arrow cannot hold a column, or is not installed.
    """
    told = {"summary": plain(summary), "warnings": warnings}
    if kind == JSON:
        return Answer(json.dumps(told | {"rows": plain_rows(table)}, allow_nan=False).encode(), JSON)
    rows = as_arrow(fitted(table, "Parquet"))
    import pyarrow

    noted = {f"rb_{key}": json.dumps(value) for key, value in told.items()}
    rows = rows.replace_schema_metadata({**(rows.schema.metadata or {}), **noted})
    sink = pyarrow.BufferOutputStream()
    try:
        with pyarrow.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
    except pyarrow.ArrowException as error:
        raise InputError(f"the rows do not fit into Arrow: {error}") from error
    return Answer(sink.getvalue().to_pybytes(), ARROW)
