"""Files that are needed soon: read by the system while something else is done."""

import os
import stat
from contextlib import suppress


def read_ahead(path: str | os.PathLike[str]) -> None:
    """Ask the system to read a file into its cache, without waiting for it; nothing where it cannot.

    Parameters
    ----------
    path : str or path
        A file that may be absent.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError, ValueError):
        if not stat.S_ISREG(os.stat(path).st_mode):
            return  # to open a pipe and close it ends its writer
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(file)
