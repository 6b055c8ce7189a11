"""A digest of the files that the kernels' machine code depends on: kept code goes by it."""

import hashlib
from pathlib import Path

_FOLDER = Path(__file__).parent


def digest_of_sources() -> str | None:
    """Hash the files of this folder, as they are now.

    Returns
    -------
    str or None
        None without such files: in an archive, or a program made of Python's compiled files.
    """
    try:
        files = sorted(_FOLDER.glob("*.py"))
        texts = [file.read_bytes() for file in files]
    except OSError:
        return None
    if not files:
        return None
    digest = hashlib.sha256()
    for file, text in zip(files, texts, strict=True):
        digest.update(f"{file.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()
