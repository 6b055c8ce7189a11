"""Files that are replaced whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def part_of(path: Path) -> Path:
    """Return the name beside a file that `replaced` gives, with the same suffix."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to, and rename it to `path` if nothing fails.

    The name is always the same, so that what a killed process leaves is overwritten the next time.

    Parameters
    ----------
    path : Path
        Where the file is to be in the end; in a folder that exists.

    Yields
    ------
    Path
        See `part_of`.
    """
    part = part_of(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let no other process do the same meanwhile; the system unlocks for a process that ends.

    Parameters
    ----------
    lock : Path
        An empty file that stays.
    """
    with lock.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
