"""SHA-256 of files and of bytes, as hexadecimal text."""

import hashlib
from pathlib import Path

_BUFFER = 1 << 20  # bytes


def digest(*paths: str | Path) -> str:
    """Hash the bytes of files, one file after another.

    Parameters
    ----------
    *paths : str or Path
        Read in blocks of 1 MiB, so that large files do not fill the memory.

    Returns
    -------
    str
        64 lower-case hexadecimal digits. Where one file ends and the next begins does not count.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    total = hashlib.sha256()
    buffer = bytearray(_BUFFER)
    view = memoryview(buffer)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while n := file.readinto(buffer):
                total.update(view[:n])
    return total.hexdigest()


def digest_of(data: bytes) -> str:
    """Hash bytes.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    str
        64 lower-case hexadecimal digits.
    """
    return hashlib.sha256(data).hexdigest()
