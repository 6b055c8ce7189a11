"""A digest of the files that the kernels' machine code depends on: what was compiled goes by it."""

import hashlib
from pathlib import Path

_FOLDER = Path(__file__).parent
#: Beside this folder: the status bits that kernels set.
_STATUS = "status.py"


def digest_of_sources() -> str | None:
    """Hash the files of this folder and the table of status bits, as they are now.

    Returns
    -------
    str or None
        None without such files: in an archive, or a program made of Python's compiled files.
    """
    try:
        files = [*sorted((*_FOLDER.glob("*.py"), *_FOLDER.glob("*.c"))), _FOLDER.parent / _STATUS]
        texts = [file.read_bytes() for file in files]
    except OSError:
        return None
    digest = hashlib.sha256()
    for file, text in zip(files, texts, strict=True):
        digest.update(f"{file.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()
