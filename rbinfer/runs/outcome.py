"""What can come of an image, in a word and in full."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """What can come of an image; the journal's words ``ok`` and ``final`` are derived from it."""

    SCORED = "scored"
    #: Scored before, from the same bytes and in the same way.
    UNCHANGED = "unchanged"
    #: Ends before its own headers say: perhaps it is still being written.
    CUT = "cut short"
    #: May go well when it is tried again.
    FAILED = "failed"
    #: The same bytes would fail again, however often they are tried.
    UNUSABLE = "unusable"
    #: Found unusable before; its bytes have not changed since.
    STILL_UNUSABLE = "still unusable"
    #: Shows no stars: it is scored once it is known what other frames lend it.
    DEFERRED = "deferred"
    #: Gone, or changed while it was read.
    UNSETTLED = "unsettled"
    #: Whatever the reason is, the other images would meet it too: no room, another model.
    FATAL = "fatal"

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self in (Kind.SCORED, Kind.UNCHANGED)

    @property
    def skipped(self) -> bool:
        """Whether nothing was to be done, since the journal has the same."""
        return self in (Kind.UNCHANGED, Kind.STILL_UNUSABLE)


def of_image(image: str, text: str) -> str:
    """Return what is said of an image with its name in front, unless it is named there already."""
    return text if text.startswith(image) else f"{image}: {text}"


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes
    ----------
    kind : Kind
    error : str or None
        The reason, unless there is a result.
    content : str
        Hash of what was read: the bytes of the image and, if it has one, of the catalogue after them.
    staged : str or None
        The result, still to be put in place.
    output_sha256 : str or None
        Hash of the result.
    summary : dict or None
        As of `rbinfer.pipeline.score_file.score_file`.
    warnings : tuple of str
    seconds : float
    worker : str
        Machine and process.
    attempts : int
        2 after the death of a worker.
    camera : str
        Camera and filter of the image, where it was read.
    beside : tuple of (str, str, str)
        Files beside the result, still to be put in place: their kind, where each is, and its hash.
    """

    kind: Kind
    error: str | None = None
    content: str = ""
    staged: str | None = None
    output_sha256: str | None = None
    summary: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    worker: str = ""
    attempts: int = 1
    camera: str = ""
    beside: tuple[tuple[str, str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.kind.ok

    @property
    def skipped(self) -> bool:
        """Whether nothing was to be done, since the journal has the same."""
        return self.kind.skipped
