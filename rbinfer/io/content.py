"""What a file holds, whatever its name says: its first bytes and the whole of it, decompressed."""

import shutil
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError

#: How compressed files begin, and the modules that open them.
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "lzma"}
#: Their suffixes, after that of the format.
_MODULES = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
#: Bytes that are looked at to tell the format.
HEAD_SIZE = 65536
#: Bytes that are compressed or decompressed at a time: whole blocks of FITS.
PIECE = 360 * 2880


def format_suffix(path: Path) -> str:
    """Return the suffix that tells the format, in lower case, without that of a compression."""
    is_compressed = path.suffix.lower() in _MODULES
    return (path.with_suffix("") if is_compressed else path).suffix.lower()


def compress(path: Path, named: Path) -> None:
    """Compress a file in its place if the name that it is to have says so."""
    module = _MODULES.get(named.suffix.lower())
    if module is None:
        return
    packed = path.with_name(f"{path.name}.packed")
    try:
        with path.open("rb") as plain, packed.open("wb") as raw:
            if module == "gzip":
                # Without name and time, so that equal catalogues are equal files.
                file: Any = import_module(module).GzipFile("", "wb", fileobj=raw, mtime=0)
            else:
                file = import_module(module).open(raw, "wb")
            with file:
                shutil.copyfileobj(plain, file, PIECE)
        packed.replace(path)
    finally:
        packed.unlink(missing_ok=True)


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
        """The first bytes, without a byte order mark of UTF-8."""
        return self._read(HEAD_SIZE).removeprefix(BOM_UTF8)

    @property
    def is_compressed(self) -> bool:
        """Whether it is compressed in one of the ways that are read."""
        with self.path.open("rb") as file:
            return _module_of(file.read(6)) is not None

    def read(self) -> bytes:
        """Return all bytes; raises `InputError` where they cannot be decompressed."""
        return self._read(-1)

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes a piece at a time, each but the last of as many; raises as `read` does."""
        with self._open() as file:
            while piece := file.read(PIECE):
                yield piece

    def _read(self, most: int) -> bytes:
        with self._open() as file:
            found: bytes = file.read(most)
        return found

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self.path.open("rb") as file:
            module = _module_of(file.read(6))
            if module is None:
                file.seek(0)
                yield file
                return
        try:
            # Not every Python has each of them.
            with import_module(module).open(self.path, "rb") as opened:
                yield opened
        except Exception as error:  # each module has its own
            raise InputError(f"{self.path} cannot be decompressed: {error}") from error


def _module_of(start: bytes) -> str | None:
    """Return what opens a file that begins so; None where it is not compressed."""
    return next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)
