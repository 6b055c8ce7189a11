"""Files that are replaced whole or not at all, and processes that do not come in each other's way."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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


@contextmanager
def first(lock: Path) -> Iterator[bool]:
    """Tell whether no other process does the same now, and let none begin meanwhile.

    Parameters
    ----------
    lock : Path
        An empty file, which is removed at the end.

    Yields
    ------
    bool
        False where another process is at it.
    """
    if fcntl is None:
        yield True
        return
    with lock.open("w") as file:
        # The file may have been removed, by one that was done, between opening and locking it.
        is_free = _is_locked(file) and _is_at(file, lock)
        try:
            yield is_free
        finally:
            if is_free:
                lock.unlink(missing_ok=True)


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True
