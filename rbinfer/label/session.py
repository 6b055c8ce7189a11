"""The work at hand: what is shown next, what was answered, and that it is on disk."""

import itertools
import os
import threading
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, RbinferError
from ..io.labels import PERSON, Label, LabelFile, key_of
from ..report.one import ImageResult
from .frames import Frame, Frames
from .order import PARTS, Order, in_order
from .pool import Pool
from .progress import Tally

#: What a person can answer.
ANSWERS = ("real", "bogus", "skip")
_LEASE = 120.0  # seconds in which no other window gets what a window took
_RECENT = 50  # answers that a page learns of when it is opened, to take back


class _Place(NamedTuple):
    """Where a detection lies, by the name of the file alone, which may have moved."""

    name: str
    hdu: int
    x: float
    y: float


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
        self._answers: dict[int, Label] = {}
        self._recent: dict[int, None] = {}
        self._leases: dict[int, tuple[str, float]] = {}
        self._gone: set[int] = set()  # images that could not be read, which are shown no more
        self._first = 0  # all before it have answers
        self._lock = threading.RLock()
        self._items: defaultdict[_Place, list[int]] = defaultdict(list)
        for item in range(len(order.rows)):
            row = self._row(item)
            image, key = pool.images[row["image"]], key_of("", row["hdu"], row["x"], row["y"])
            self._items[_Place(os.path.basename(str(image.path)), *key[1:])].append(item)
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
            for item in itertools.takewhile(lambda _: len(found) < count, range(self._first, len(self))):
                holder, until = self._leases.get(item, (window, 0.0))
                if self._gone and int(self._row(item)["image"]) in self._gone:
                    continue
                if item not in self._answers and (holder == window or until < now):
                    self._leases[item] = (window, now + _LEASE)
                    found.append(item)
        return [self.item(item) for item in found]

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
        answer = self._answers.get(item)
        return {
            "item": item,
            "image": image.name,
            "hdu": int(row["hdu"]),
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
            "answer": answer.label if answer else None,
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
        try:
            return row, image, self.frames.frame(image, int(row["hdu"]))
        except RbinferError:
            self._gone.add(int(row["image"]))
            raise

    def state(self) -> dict[str, Any]:
        """Return what a page needs when it is opened, as plain values for JSON."""
        with self._lock:
            self._learn()
            recent = list(self._recent)[-_RECENT:]
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

    def answer(self, item: int, label: str, kind: str = "") -> dict[str, Any]:
        """Note an answer; it is on the disk when this returns.

        Parameters
        ----------
        item : int
        label : str
            One of `ANSWERS`.
        kind : str
            Class; empty for none.

        Returns
        -------
        dict
            The progress.

        Raises
        ------
        InputError
            There is no such item, answer or class, or the class is of the other kind.
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
        return self._append(item, label, kind)

    def undo(self, item: int) -> dict[str, Any]:
        """Take an answer back; it is on the disk when this returns.

        Returns
        -------
        dict
            The progress.

        Raises
        ------
        InputError
            There is no such item, or it has no answer.
        RbinferError
            The file system refused.
        """
        self._check(item)
        with self._lock:
            self._learn()
            if item not in self._answers:
                raise InputError(f"item {item} has no answer to take back")
            return self._append(item, "undo", "")

    def _append(self, item: int, label: str, kind: str) -> dict[str, Any]:
        row, image, frame = self.frame(item)
        ra, dec = np.full(1, np.nan), np.full(1, np.nan)
        if frame.sky is not None:
            ra, dec = frame.sky.positions(np.array([row["x"]]), np.array([row["y"]]))
        new = Label(
            image=os.path.abspath(str(image.path)),
            hash=self.frames.hash(image),
            x=float(row["x"]),
            y=float(row["y"]),
            label=label,
            hdu=int(row["hdu"]),
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
        with self._lock:
            self._labels.append([new])
            self._learn()
            return self.progress()

    def _learn(self) -> None:
        """Take in what was appended to the file, by this process or another."""
        for label in self._labels.new():
            item = self._item_of(label)
            if item is None or label.evidence != PERSON:
                continue
            self._count(self._answers.pop(item, None), item, -1)
            self._recent.pop(item, None)
            if label.label == "undo":
                self._first = min(self._first, item)
                self._leases.pop(item, None)
            else:
                self._answers[item] = label
                self._recent[item] = None
                self._count(label, item, 1)

    def _count(self, label: Label | None, item: int, times: int) -> None:
        if label is not None:
            drawn = PARTS[self.order.part[item]] == "random"
            self._tally.add(label.label, bool(self._row(item)["real"]), drawn, times)

    def _item_of(self, label: Label) -> int | None:
        """Return the item that a label is about, if it is one of these."""
        place = _Place(os.path.basename(label.image), *label.key[1:])
        for item in self._items.get(place, ()):
            image = self.pool.images[self._row(item)["image"]]
            with suppress(RbinferError):  # an image that is gone by now
                if self.frames.hash(image) == label.hash:
                    return item
        return None

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
    # The same order each time, so that the work goes on where it was, and the random part is one draw.
    return Session(pool, in_order(pool, np.random.default_rng(0)), LabelFile(path), who, goal)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
