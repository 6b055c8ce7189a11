"""How much is tried: a little in CI, all that was promised with ``ROBUST=full``."""

import os

FULL = os.environ.get("ROBUST") == "full"


def times(few: int, many: int) -> int:
    """Return the number of cases for this run."""
    return many if FULL else few
