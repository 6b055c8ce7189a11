"""The journal of a directory of results: what was scored, from what, and how; one JSON line an image."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from ..errors import InputError, RbinferError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


_KEPT = 16  # bytes of a hash that are kept in memory: a watch has very many images


class Entry(NamedTuple):
    """The hashes of what was read, of how it was scored, and of the result, as `brief` gives them.

    `error` is the reason where there is no result.
    """

    content: bytes
    how: bytes
    output: bytes
    error: str = ""


def brief(sha256: str | None) -> bytes:
    """Return what is kept of a hash; nothing but zeros of none."""
    return bytes.fromhex(sha256 or "")[:_KEPT].ljust(_KEPT, b"\0")


class Notes:
    """What the lines of a journal say, the newest of each result."""

    def __init__(self) -> None:
        # By the hash of the name, which takes less room than the name.
        self._done: dict[int, bytes] = {}
        self._failed: dict[int, tuple[bytes, str]] = {}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a journal that another process may write; empty unless it is there and can be read."""
        notes = cls()
        with suppress(FileNotFoundError):
            try:
                with path.open("rb") as file:
                    for record in filter(None, map(_parsed, file)):
                        notes._note(record)
            except PermissionError as error:
                log.warning("%s cannot be read (%s); what it notes is not known", path, error.strerror)
        return notes

    def done(self, output: str) -> Entry | None:
        """Return the newest entry that says that a result is there, if there is one."""
        packed = self._done.get(hash(output))
        return None if packed is None else _unpacked(packed)

    def failed(self, output: str) -> Entry | None:
        """Return the newest entry of a result, if that says that the content allows of none."""
        packed, error = self._failed.get(hash(output), (None, ""))
        return None if packed is None else _unpacked(packed, error)

    def _note(self, record: Mapping[str, Any]) -> None:
        name, ok = hash(record["output"]), record["ok"]
        hashes = (record["content"], record["how"], record["output_sha256"] if ok else None)
        packed = b"".join(brief(sha256) for sha256 in hashes)
        self._failed.pop(name, None)
        if ok:
            self._done[name] = packed
        elif record.get("final"):
            self._failed[name] = (packed, str(record.get("error")))


class Journal(Notes):
    """A journal that this process alone may write.

    Parameters
    ----------
    path : Path
        The file; made unless it exists.

    Attributes
    ----------
    last : str or None
        Name of the result of the last line, if there is one.

    Raises
    ------
    InputError
        Another process writes it.
    RbinferError
        The file system refused.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.last: str | None = None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._lock()
            for line in self._lines():
                self._note(line)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a line; it is on the disk when this returns, or not at all.

        Parameters
        ----------
        record : mapping
            With ``output``, ``ok``, ``content``, ``how`` and, if ok, ``output_sha256``. If not, with
            ``error`` and ``final``: whether the same content would fail again.

        Raises
        ------
        RbinferError
            The file system refused.
        """
        # ASCII: a name may hold bytes that are no text.
        line = json.dumps(record).encode() + b"\n"
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written < len(line):
                os.write(self._file, line[written:])  # says why
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, size)
            raise self._refused(error) from error
        self._note(record)

    def _note(self, record: Mapping[str, Any]) -> None:
        super()._note(record)
        self.last = record["output"] if record["ok"] else None

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines, and mend the end of a file whose writer was killed."""
        good = 0
        with open(self._file, "rb", closefd=False) as file:
            for line in file:
                record = _parsed(line)
                whole = line.endswith(b"\n")
                if record is None and not whole:
                    log.info("%s: the last line is torn and taken off", self.path)
                    os.ftruncate(self._file, good)
                    return
                good += len(line)
                if record is None:
                    log.warning("%s: a line is no entry of rbinfer's and is passed over", self.path)
                    continue
                if not whole:
                    os.write(self._file, b"\n")
                yield record

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            # The system takes the lock away when the process ends, however that is.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another rbinfer process is at work on {self.path}; wait until it is done, or give "
                "another output directory"
            ) from error
        except OSError as error:
            log.warning("%s cannot be locked (%s): run one rbinfer at a time there", self.path, error)

    def _refused(self, error: OSError) -> RbinferError:
        return RbinferError(f"the journal {self.path} cannot be written: {error.strerror or error}")


def _unpacked(packed: bytes, error: str = "") -> Entry:
    return Entry(packed[:_KEPT], packed[_KEPT : 2 * _KEPT], packed[2 * _KEPT :], error)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line, or None if it is none."""
    try:
        record = json.loads(line)
        wanted = ("output", "ok", "content", "how", *(["output_sha256"] if record["ok"] else []))
        for key in wanted[2:]:
            bytes.fromhex(record[key] or "")
        return record if isinstance(record["output"], str) else None
    except (ValueError, TypeError, KeyError):
        return None
