"""What a file holds, whatever its name says: its first bytes and the whole of it, decompressed."""

import bz2
import gzip
import lzma
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InputError

#: How compressed files begin, and what opens them.
_COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_HEAD = 65536  # bytes that are looked at to tell the format


@dataclass(frozen=True)
class Content:
    """The content of a file.

    Attributes
    ----------
    path : Path
        The file.
    """

    path: Path

    @cached_property
    def head(self) -> bytes:
        """The first bytes."""
        return self._read(_HEAD)

    def read(self) -> bytes:
        """Return all bytes; raises `InputError` where they cannot be decompressed."""
        return self._read(-1)

    def _read(self, most: int) -> bytes:
        with self.path.open("rb") as file:
            start = file.read(6)
        opens = next((how for magic, how in _COMPRESSED.items() if start.startswith(magic)), open)
        try:
            with opens(self.path, "rb") as file:
                found: bytes = file.read(most)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{self.path} cannot be decompressed: {error}") from error
        return found
