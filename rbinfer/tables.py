"""Old place of `rbinfer.io.tables` and `rbinfer.io.positions`, for one release."""

import warnings

from .io.positions import PEAK_COLUMNS, POSITION_COLUMNS, has_positions, peaks, positions
from .io.tables import as_table, check_output, read_catalog, read_catalogs, write_catalog

__all__ = [
    "PEAK_COLUMNS",
    "POSITION_COLUMNS",
    "as_table",
    "check_output",
    "has_positions",
    "peaks",
    "positions",
    "read_catalog",
    "read_catalogs",
    "write_catalog",
]

warnings.warn(
    "rbinfer.tables has moved to rbinfer.io.tables and rbinfer.io.positions; the old name goes with the "
    "next release",
    DeprecationWarning,
    stacklevel=2,
)
