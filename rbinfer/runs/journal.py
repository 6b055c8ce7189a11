"""The journal of a directory of results: what was scored, from what, and how; one JSON line an image."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from ..errors import InputError, RbinferError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

#: Verbs that write journals, each one of its own into the directory of its results.
WRITERS = ("batch", "watch")
#: Kinds of files beside a result.
KINDS_BESIDE = ("regions", "mask")
_KEPT = 16  # bytes of a hash that are kept in memory: a watch has very many images


def journal_of(folder: Path, writer: str) -> Path:
    """Return the path of the journal that a verb writes."""
    return folder / f"{writer}.jsonl"


@dataclass(frozen=True)
class Line:
    """What a line of a journal says of an image; the fields are the keys of its JSON.

    Attributes
    ----------
    image : str
        As it was named.
    output : str
        Name of its result, within the directory of the journal.
    ok : bool or None
        Whether there is a result; None where the line does not say.
    error : str or None
        The reason, unless there is a result.
    final : bool
        The same content would fail again.
    warnings : tuple of str
    summary : dict or None
        Counts and what they rest on.
    seconds : float or None
    worker : str
        Machine and process.
    attempts : int
    finished : str
        When, in ISO 8601.
    content, how, output_sha256 : str or None
        Hashes of what was read, of how it was scored, and of the result.
    camera : str
        Camera and filter, as `rbinfer.io.camera.camera_of` names them.
    lent : str
        Hash of what a frame without stars was scored with, as `rbinfer.runs.lending.Lent.key`; empty
        for others.
    beside : dict of str to str
        Hashes of the files beside the result, by their kind, as `rbinfer.runs.beside.SUFFIXES` has them.
    """

    image: str = ""
    output: str = ""
    ok: bool | None = None
    error: str | None = None
    final: bool = False
    warnings: tuple[str, ...] = ()
    summary: dict[str, Any] | None = None
    seconds: float | None = None
    worker: str = ""
    attempts: int = 1
    finished: str = ""
    content: str | None = None
    how: str | None = None
    output_sha256: str | None = None
    camera: str = ""
    lent: str = ""
    beside: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: bytes | str) -> Self | None:
        """Read a line, also of an earlier version; None if it names neither an image nor a result."""
        try:
            found = json.loads(text)
        except ValueError:
            return None
        if not isinstance(found, dict):
            return None
        known: dict[str, Any] = {
            name: found[name] for name, kinds in _KINDS.items() if isinstance(found.get(name), kinds)
        }
        known["warnings"] = tuple(known.get("warnings", ()))
        return cls(**known) if known.get("image") or known.get("output") else None

    @property
    def can_be_resumed(self) -> bool:
        """Whether the line has all that tells if an image has to be scored again."""
        hashes = [self.content, self.how, self.lent, *self.beside.values()]
        hashes += [self.output_sha256] if self.ok else []
        return bool(self.output) and self.ok is not None and all(map(_is_hash, hashes))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; keys of later versions are left out where they say nothing."""
        values = {name: getattr(self, name) for name in _KINDS} | {"warnings": list(self.warnings)}
        return {name: value for name, value in values.items() if value or name not in _LATER}


#: The keys of a line in their order, and the types that JSON gives them.
_KINDS: dict[str, tuple[type, ...]] = {
    "image": (str,),
    "output": (str,),
    "ok": (bool,),
    "error": (str,),
    "final": (bool,),
    "warnings": (list,),
    "summary": (dict,),
    "seconds": (int, float),
    "worker": (str,),
    "attempts": (int,),
    "finished": (str,),
    "content": (str,),
    "how": (str,),
    "output_sha256": (str,),
    "camera": (str,),
    "lent": (str,),
    "beside": (dict,),
}
_LATER = ("camera", "lent", "beside")


class Entry(NamedTuple):
    """The hashes of what was read, how it was scored, the result, and what was lent, as `shortened`.

    `beside` are those of the files beside the result, in the order of `KINDS_BESIDE`, and `error` is the
    reason where there is no result. `former` are those of the files beside it that earlier entries note,
    where this one notes none: they may still be there, and are ours.
    """

    content: bytes
    how: bytes
    output: bytes
    lent: bytes
    beside: tuple[bytes, ...] = ()
    error: str = ""
    former: tuple[bytes, ...] = ()


def slot_of(output: str) -> str:
    """Return what the results of an image in all formats have in common: the name without its suffix."""
    return os.path.splitext(output)[0]


def shortened(sha256: str | None) -> bytes:
    """Return what is kept of a hash; zeros where there is none."""
    return bytes.fromhex(sha256 or "")[:_KEPT].ljust(_KEPT, b"\0")


def lines_of(path: Path) -> Iterator[Line]:
    """Yield the lines of a journal, which another process may write, that tell what was done."""
    with path.open("rb") as file:
        for line in filter(None, map(Line.parse, file)):
            if line.can_be_resumed:
                yield line


class Notes:
    """What the lines of a journal say, the newest of each result."""

    def __init__(self) -> None:
        # By the hash of the name, which takes less room than the name.
        self._done: dict[int, bytes] = {}
        self._failed: dict[int, tuple[bytes, str]] = {}
        self._failing: set[int] = set()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a journal that another process may write; empty unless it is there and can be read."""
        notes = cls()
        with suppress(FileNotFoundError):
            try:
                for line in lines_of(path):
                    notes._note(line)
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

    def is_failing(self, output: str) -> bool:
        """Whether the newest entry of an image, in any format, says that it failed."""
        return hash(slot_of(output)) in self._failing

    def _note(self, line: Line) -> None:
        name, slot = hash(line.output), hash(slot_of(line.output))
        (self._failing.discard if line.ok else self._failing.add)(slot)
        hashes = [line.content, line.how, line.output_sha256 if line.ok else None, line.lent]
        beside = [shortened(line.beside.get(kind)) for kind in KINDS_BESIDE]
        packed = b"".join([*map(shortened, hashes), *beside, *self._former(name, beside)])
        self._failed.pop(name, None)
        if line.ok:
            self._done[name] = packed
        elif line.final:
            self._failed[name] = (packed, str(line.error))

    def _former(self, name: int, beside: Sequence[bytes]) -> list[bytes]:
        """Return the hashes of earlier files beside a result, for the kinds without a new one."""
        nothing = shortened(None)
        known = self._done.get(name)
        if known is None:
            return [nothing] * len(KINDS_BESIDE)
        entry = _unpacked(known)
        return [
            nothing if new != nothing else (last if last != nothing else before)
            for new, last, before in zip(beside, entry.beside, entry.former, strict=True)
        ]


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

    def __exit__(self, *raised: object) -> None:
        os.close(self._file)

    def append(self, line: Line) -> None:
        """Write a line; it is on the disk when this returns, or not at all.

        Parameters
        ----------
        line : Line
            One that can be resumed.

        Raises
        ------
        RbinferError
            The file system refused.
        """
        # ASCII: a name may hold bytes that are no text.
        text = json.dumps(line.as_dict()).encode() + b"\n"
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, text)
            if written < len(text):
                os.write(self._file, text[written:])  # says why
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, size)
            raise self._refused(error) from error
        self._note(line)

    def _note(self, line: Line) -> None:
        super()._note(line)
        self.last = line.output if line.ok else None

    def _lines(self) -> Iterator[Line]:
        """Yield the lines, and mend the end of a file whose writer was killed."""
        good = 0
        with open(self._file, "rb", closefd=False) as file:
            for text in file:
                line = Line.parse(text)
                is_whole = text.endswith(b"\n")
                if line is None and not is_whole:
                    log.info("%s: the last line is torn and taken off", self.path)
                    os.ftruncate(self._file, good)
                    return
                good += len(text)
                if not is_whole:
                    os.write(self._file, b"\n")
                if line is None or not line.can_be_resumed:
                    log.warning("%s: a line is no entry of rbinfer's and is passed over", self.path)
                    continue
                yield line

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
    content, how, output, lent, *others = (packed[k : k + _KEPT] for k in range(0, len(packed), _KEPT))
    n = len(KINDS_BESIDE)
    return Entry(content, how, output, lent, tuple(others[:n]), error, tuple(others[n:]))


def _is_hash(text: str | None) -> bool:
    try:
        bytes.fromhex(text)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return True
