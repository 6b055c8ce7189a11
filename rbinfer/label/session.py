"""The work at hand: what is shown next, what was answered, and that it is on disk."""

import itertools
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, RbinferError
from ..io.labels import PERSON, Key, Label, LabelFile, key_of
from ..report.one import ImageResult
from .frames import Frame, Frames, plane_of
from .order import PARTS, Order, draws, in_order
from .pool import Pool
from .progress import Tally

log = logging.getLogger(__name__)

#: What a person can answer.
ANSWERS = ("real", "bogus", "skip")
_LEASE = 120.0  # seconds in which no other window gets what a window took
_RECENT = 50  # answers that a page learns of when it is opened, to take back
_AGAIN = 60.0  # seconds after which an image that could not be read is tried again
_EARLIER, _ELSEWHERE = "(earlier)", "(elsewhere)"  # windows of answers that no window here gave


class AnsweredElsewhereError(RbinferError):
    """Another window, or another process, has given or changed an answer meanwhile."""


class _Answer(NamedTuple):
    """A label, and the window that it is from."""

    label: Label
    window: str


class Session:
    """Detections in order with their answers. Every method may be called by several threads.

    An *item* is the place of a detection in the order, from 0.

    Parameters
    ----------
    pool : Pool
    order : Order
    labels : LabelFile
        Its labels of these detections count as answers, also those that other processes append.
    who : str
        Noted with each answer.
    goal : int
        Labels that are aimed at.

    Raises
    ------
    RbinferError
        The file, or an image that has labels, cannot be read.
    """

    def __init__(self, pool: Pool, order: Order, labels: LabelFile, who: str, goal: int) -> None:
        self.pool, self.order, self.frames = pool, order, Frames()
        self._labels, self._who = labels, who
        self._tally = Tally(goal)
        self._answers: dict[int, list[_Answer]] = {}  # the last one counts
        self._recent: dict[int, None] = {}
        self._leases: dict[int, tuple[str, float]] = {}
        self._gone: dict[tuple[int, int], float] = {}  # image and HDU that can't be read, until when
        self._first = 0  # all before it have answers
        self._lock = threading.RLock()
        self._windows: dict[tuple[Key, str, str, str, str], str] = {}  # of answers given here
        self._restarts = -1  # of the file, as far as they were taken in
        self._items: defaultdict[Key, list[int]] = defaultdict(list)
        for item in range(len(order.rows)):
            self._items[self._key(item)].append(item)
        self._learn()

    def __len__(self) -> int:
        return len(self.order.rows)

    def take(self, window: str, count: int) -> list[dict[str, Any]]:
        """Return the next items without an answer, which other windows do not get for a while.

        Parameters
        ----------
        window : str
            Name of who asks.
        count : int

        Returns
        -------
        list of dict
            As from `item`; fewer where there are no more.
        """
        with self._lock:
            self._learn()
            while self._first < len(self) and self._first in self._answers:
                self._first += 1
            now, found = time.monotonic(), list[int]()
            gone = self._gone_now()
            for item in itertools.takewhile(lambda _: len(found) < count, range(self._first, len(self))):
                if item in self._answers or self._is_held(item, window, now):
                    continue
                if not (gone and self._place(item) in gone):
                    self._leases[item] = (window, now + _LEASE)
                    found.append(item)
        return [self.item(item) for item in found]

    def rest(self, window: str) -> dict[str, int]:
        """Return what has no answer yet, and why a window may not get it.

        Parameters
        ----------
        window : str

        Returns
        -------
        dict of str to int
            ``open``: without an answer. Of these, ``leased``: other windows have them; ``unreadable``:
            their images can't be read.
        """
        with self._lock:
            now, gone = time.monotonic(), self._gone_now()
            waiting = range(self._first, len(self)) if gone else ()
            return {
                "open": len(self) - len(self._answers),
                "leased": sum(self._is_held(item, window, now) for item in self._leases),
                "unreadable": sum(
                    item not in self._answers and self._place(item) in gone for item in waiting
                ),
            }

    def item(self, item: int) -> dict[str, Any]:
        """Return what is shown of a detection, as plain values for JSON.

        Raises
        ------
        InputError
            There is no such item.
        """
        self._check(item)
        row, part = self._row(item), PARTS[self.order.part[item]]
        image = self.pool.images[row["image"]]
        kind = self.pool.classes[row["kind"]] if row["kind"] >= 0 else ""
        answers = self._answers.get(item)
        return {
            "item": item,
            "image": image.name,
            "hdu": int(row["hdu"]),
            "plane": plane_of(image),
            "row": int(row["row"]),
            "x": round(float(row["x"]), 2),
            "y": round(float(row["y"]), 2),
            "score": float(row["score"]),
            "threshold": image.threshold,
            "verdict": "real" if row["real"] else "bogus",
            "class": kind,
            "snr": _number(row["bright"]),
            "night": _number(row["probability"]),
            "fwhm": image.fwhm,
            "part": part,
            "answer": answers[-1].label.label if answers else None,
        }

    def frame(self, item: int) -> tuple[Any, ImageResult, Frame]:
        """Return the row of an item, what its result says of the image, and the image.

        Raises
        ------
        InputError
            There is no such item.
        RbinferError
            The image cannot be read.
        """
        self._check(item)
        row = self._row(item)
        image = self.pool.images[row["image"]]
        with self._or_passed_over(item):
            return row, image, self.frames.frame(image, int(row["hdu"]))

    @contextmanager
    def _or_passed_over(self, item: int) -> Iterator[None]:
        """Give out no detection of an image for a while that cannot be read."""
        try:
            yield
        except Exception:
            with self._lock:
                self._gone[self._place(item)] = time.monotonic() + _AGAIN
            raise

    def state(self, window: str = "") -> dict[str, Any]:
        """Return what a page needs when it is opened, as plain values for JSON.

        Parameters
        ----------
        window : str
            ``recent`` has the items that it answered last, and what the same person did earlier.
        """
        with self._lock:
            self._learn()
            own = (window, _EARLIER)
            recent = [item for item in self._recent if self._answers[item][-1].window in own][-_RECENT:]
        return {
            "items": len(self),
            "detections": len(self.pool.rows),
            "images": len(self.pool.images),
            "classes": [{"name": k, "real": v} for k, v in self.pool.is_real.items()],
            "notes": list(self.pool.notes),
            "file": str(self._labels.path),
            "recent": recent,
            "progress": self.progress(),
        }

    def progress(self) -> dict[str, Any]:
        """Return counts and rates, as from `rbinfer.label.progress.Tally.as_dict`."""
        with self._lock:
            return self._tally.as_dict() | {"items": len(self)}

    def answer(self, item: int, label: str, kind: str = "", window: str = "") -> dict[str, Any]:
        """Note an answer; it is on the disk when this returns.

        Parameters
        ----------
        item : int
        label : str
            One of `ANSWERS`.
        kind : str
            Class; empty for none.
        window : str
            Where it was given.

        Returns
        -------
        dict
            The progress.

        Raises
        ------
        InputError
            There is no such item, answer or class, or the class is of the other kind.
        AnsweredElsewhereError
            There is an answer that this window did not give.
        ImageChangedError
            The image is another file than the one that was shown.
        RbinferError
            The file system refused.
        """
        self._check(item)
        if label not in ANSWERS:
            raise InputError(f"the answer {label!r} is none of {', '.join(ANSWERS)}")
        if kind:
            is_real = self.pool.is_real.get(kind)
            if is_real is None or label != ("real" if is_real else "bogus"):
                raise InputError(f"the class {kind!r} does not go with the answer {label!r}")
        new = self._label(item, label, kind)
        with self._lock, self._labels.alone() as file:
            self._learn(file)
            before = self._answers.get(item)
            if before and before[-1].window != window:
                raise AnsweredElsewhereError(
                    f"another window has answered {before[-1].label.label!r} meanwhile; that stays"
                )
            return self._append(new, window, file)

    def undo(self, item: int, window: str = "") -> dict[str, Any]:
        """Take an answer back, so that the one before it counts; it is on the disk when this returns.

        Parameters
        ----------
        item : int
        window : str
            Where it was given.

        Returns
        -------
        dict
            The progress.

        Raises
        ------
        InputError
            There is no such item, or it has no answer.
        AnsweredElsewhereError
            The answer is not of this window.
        RbinferError
            The file system refused.
        """
        self._check(item)
        with self._lock:
            self._learn()
            if item not in self._answers:
                raise InputError(f"item {item} has no answer to take back")
        new = self._label(item, "undo", "")
        with self._lock, self._labels.alone() as file:
            self._learn(file)
            before = self._answers.get(item)
            if not before or before[-1].window not in (window, _EARLIER):
                raise AnsweredElsewhereError(
                    f"the answer of item {item} was given in another window; take it back there"
                )
            progress = self._append(new, window, file)
            self._leases[item] = (window, time.monotonic() + _LEASE)
            return progress

    def _label(self, item: int, label: str, kind: str) -> Label:
        row, image, frame = self.frame(item)
        with self._or_passed_over(item):
            digest = self.frames.hash_as_shown(image)
        ra, dec = np.full(1, np.nan), np.full(1, np.nan)
        if frame.sky is not None:
            ra, dec = frame.sky.positions(np.array([row["x"]]), np.array([row["y"]]))
        return Label(
            image=os.path.abspath(str(image.path)),
            hash=digest,
            x=key_of("", 0, "", row["x"], 0.0).x,
            y=key_of("", 0, "", 0.0, row["y"]).y,
            label=label,
            hdu=int(row["hdu"]),
            plane=plane_of(image),
            catalog=os.path.abspath(image.result),
            row=int(row["row"]),
            ra=round(float(ra[0]), 8),
            dec=round(float(dec[0]), 8),
            kind=kind,
            score=round(float(row["score"]), 6),
            verdict="real" if row["real"] else "bogus",
            part=PARTS[self.order.part[item]],
            who=self._who,
            when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _append(self, new: Label, window: str, file: int) -> dict[str, Any]:
        self._labels.append([new], file)
        self._windows[new.told] = window
        try:
            self._learn(file)
        except RbinferError as error:
            log.warning("the answer is on disk, but: %s", error)  # the next request learns of it
        return self.progress()

    def _learn(self, file: int | None = None) -> None:
        """Take in what was appended to the file, by this process or another."""
        found = self._labels.new(file)
        is_anew = self._labels.restarts != self._restarts
        if is_anew:
            self._forget()
        for label in found:
            item = self._item_of(label)
            if item is None or label.evidence != PERSON:
                continue
            answers = self._answers.pop(item, [])
            self._recent.pop(item, None)
            self._leases.pop(item, None)
            self._count(answers, item, -1)
            if label.label != "undo":
                earlier = _EARLIER if is_anew and label.who == self._who else _ELSEWHERE
                answers.append(_Answer(label, self._windows.get(label.told, earlier)))
            elif answers:
                answers.pop()
            if answers:
                self._answers[item] = answers
                self._recent[item] = None
                self._count(answers, item, 1)
            else:
                self._first = min(self._first, item)

    def _forget(self) -> None:
        """Begin anew: the file holds other labels than those that were taken in."""
        for item, answers in self._answers.items():
            self._count(answers, item, -1)
        self._answers, self._recent, self._first = {}, {}, 0
        self._restarts = self._labels.restarts

    def _count(self, answers: list[_Answer], item: int, times: int) -> None:
        if answers:
            drawn = PARTS[self.order.part[item]] == "random"
            self._tally.add(answers[-1].label.label, bool(self._row(item)["real"]), drawn, times)

    def _item_of(self, label: Label) -> int | None:
        """Return the item that a label is about, if it is one of these."""
        items = self._items.get(label.key._replace(hash=""), ())
        images = {item: self.pool.images[self._row(item)["image"]] for item in items}
        name = os.path.basename(label.image)
        # The image of the same name is nearly always the one, and the others need not be read.
        for item in sorted(items, key=lambda item: os.path.basename(str(images[item].path)) != name):
            with suppress(RbinferError):  # an image that is gone by now
                if self.frames.hash(images[item]) == label.hash:
                    return item
        return None

    def _key(self, item: int) -> Key:
        """Return what tells a detection from others of its image."""
        row = self._row(item)
        plane = plane_of(self.pool.images[row["image"]])
        return key_of("", row["hdu"], plane, row["x"], row["y"])

    def _place(self, item: int) -> tuple[int, int]:
        """Return the index of the image, and the HDU."""
        row = self._row(item)
        return int(row["image"]), int(row["hdu"])

    def _is_held(self, item: int, window: str, now: float) -> bool:
        """Whether another window has an item."""
        holder, until = self._leases.get(item, (window, 0.0))
        return holder != window and until >= now

    def _gone_now(self) -> set[tuple[int, int]]:
        now = time.monotonic()
        self._gone = {place: until for place, until in self._gone.items() if until > now}
        return set(self._gone)

    def _row(self, item: int) -> Any:
        return self.pool.rows[self.order.rows[item]]

    def _check(self, item: int) -> None:
        if not 0 <= item < len(self):
            raise InputError(f"there is no item {item}; there are {len(self)}, from 0")


def make_session(pool: Pool, path: Path, who: str, goal: int) -> Session:
    """Put detections in order, and take in the answers that are there.

    Parameters
    ----------
    pool : Pool
    path : Path
        Of the table of labels, which need not exist.
    who : str
    goal : int

    Returns
    -------
    Session
    """
    return Session(pool, in_order(pool, draws(pool)), LabelFile(path), who, goal)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
