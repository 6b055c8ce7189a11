"""Images as they come into a directory: which are there whole, and are new or have changed."""

import logging
import math
import os
import time
from collections.abc import Iterator
from functools import lru_cache

from .plan import catalog_of, work_of
from .search import is_fits_name, other_format, walk
from .task import signature

log = logging.getLogger(__name__)

_LONG = 10  # times `settle` that a file which ends early is waited for
_PATIENCE = 30.0  # seconds that an image waits for its catalogue before a warning


class Arrivals:
    """Images of a directory that are there whole and are new, or have changed.

    Parameters
    ----------
    folder : str
    catalog : str, optional
        As for `rbinfer.runs.plan.catalog_of`; an image waits for its catalogue. A catalogue in FITS
        format that lies among the images is no image.
    settle : float
        Seconds without a change of size or time after which a file is taken to be whole. One that
        was last changed so long ago, such as one moved in, is taken at once.
    once : bool
        Find what is there at the first look alone, with or without a catalogue.
    recursive : bool
        Look into all folders too. Names are then those below the directory.
    """

    def __init__(
        self,
        folder: str,
        catalog: str | None,
        settle: float,
        once: bool = False,
        recursive: bool = False,
    ) -> None:
        self._folder, self._catalog, self._settle, self._once = folder, catalog, settle, once
        self._recursive = recursive
        self._first: frozenset[str] | None = None
        self._settling: dict[str, tuple[tuple[int, ...], float]] = {}
        # Hashes of names, sizes and times, which take little room: there may be very many files.
        self._seen: set[int] = set()
        self._at_work: set[str] = set()
        self._cut: dict[str, tuple[int, ...] | None] = {}
        self._left_out: set[str] = set()
        self._without_catalog: dict[str, float] = {}
        self._unreadable: set[str] = set()
        self._passed_over: set[str] = set()
        self._is_lost = False

    @property
    def is_waiting(self) -> bool:
        """Whether something is there that may still change."""
        return bool(self._settling or self._cut)

    def look(self) -> list[str]:
        """Return the names of images that are ready, the oldest first, each once until `release`."""
        try:
            found = self._changed()
        except OSError as error:
            if not self._is_lost:
                log.warning("%s cannot be read (%s); waiting for it", self._folder, error.strerror)
            self._is_lost = True
            return []
        self._is_lost = False
        if self._once:
            self._first = frozenset(found) if self._first is None else self._first
            found = {name: state for name, state in found.items() if name in self._first}
        ready = [(_newest(state), name) for name, state in found.items() if self._is_ready(name, state)]
        self._settling = {name: self._settling[name] for name in found if name in self._settling}
        self._cut = {n: state for n, state in self._cut.items() if n in found or n in self._at_work}
        for _, name in ready:
            del self._settling[name]
            self._seen.add(hash((name, found[name])))
            self._at_work.add(name)
        return [name for _, name in sorted(ready)]

    def release(self, name: str, again: bool = False) -> None:
        """Let an image be found when it changes, or `again` as it is."""
        self._at_work.discard(name)
        if again:
            state = self._state(name)
            self._seen.discard(hash((name, state)))

    def postpone(self, name: str) -> bool:
        """Let an image that ends early be found when it changes, or has rested for long.

        Returns
        -------
        bool
            False where it has; nothing is done then.
        """
        state = self._state(name)
        if state is not None and self._cut.pop(name, None) == state:
            return False
        self._cut[name] = state
        self.release(name, again=True)
        return True

    def _names(self) -> Iterator[str]:
        """Yield the names of images, without those that are the catalogue of another."""
        example = catalog_of("a.fits", self._catalog)
        if example is None or not is_fits_name(os.path.basename(example)):
            yield from self._listed()
            return
        real = lru_cache(maxsize=64)(os.path.realpath)  # folders are few, names may be very many

        def place(path: str) -> int:
            return hash((real(os.path.dirname(path)), os.path.basename(path)))

        catalogs = set()
        for name in self._listed():
            image = os.path.join(self._folder, name)
            catalog = catalog_of(image, self._catalog)
            if catalog is not None and place(catalog) != place(image):
                catalogs.add(place(catalog))
        for name in self._listed():
            if place(os.path.join(self._folder, name)) not in catalogs:
                yield name

    def _listed(self) -> Iterator[str]:
        # One at a time: there may be very many, and most are known.
        if self._recursive:
            places = walk(self._folder, self._tell_of_folder, self._tell_of_format)
            yield from (os.path.join(*place) for place in places)
            return
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if is_fits_name(entry.name) and entry.is_file():
                    yield entry.name
                elif entry.is_file():
                    self._tell_of_format(entry.name)

    def _tell_of_folder(self, error: OSError) -> None:
        """Warn once of a folder that cannot be read; one that is gone is none to speak of."""
        if not isinstance(error, FileNotFoundError) and error.filename not in self._unreadable:
            log.warning("%s cannot be read (%s); waiting for it", error.filename, error.strerror)
            self._unreadable.add(error.filename)

    def _tell_of_format(self, name: str) -> None:
        """Warn once of each other format that images have."""
        suffix = other_format(name)
        if suffix and suffix not in self._passed_over:
            log.warning("%s is passed over, as all files %s: save images as FITS", name, suffix)
            self._passed_over.add(suffix)

    def _changed(self) -> dict[str, tuple[int, ...]]:
        """Return names and states of images that are new or have changed; forget those that are gone."""
        changed: dict[str, tuple[int, ...]] = {}
        n_seen = 0
        incomplete = []
        for name in self._names():
            state = self._state(name)
            if hash((name, state)) in self._seen:
                n_seen += 1
            elif state is None:
                incomplete.append(name)
            elif name not in self._at_work:
                changed[name] = state
        self._warn_of(incomplete)
        if n_seen < len(self._seen):
            self._seen &= {hash((name, self._state(name))) for name in self._names()}
        return self._with_own_results(changed) if changed else changed

    def _warn_of(self, incomplete: list[str]) -> None:
        """Warn once of each image that has been without its catalogue for long."""
        now = time.monotonic()
        self._without_catalog = {name: self._without_catalog.get(name, now) for name in incomplete}
        for name, since in self._without_catalog.items():
            if now - since >= _PATIENCE:
                image = os.path.join(self._folder, name)
                catalog = catalog_of(image, self._catalog)
                log.warning("%s waits for its catalogue %s, which is not there", image, catalog)
                self._without_catalog[name] = math.inf

    def _with_own_results(self, changed: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Leave out images whose results would have the name of another's."""
        results = {_result_of(name) for name in changed}
        others = (_result_of(name) for name in self._names() if name not in changed)
        owned = {result for result in others if result in results}
        kept, left_out = {}, set()
        for name, state in sorted(changed.items()):
            if _result_of(name) in owned:
                left_out.add(name)
            else:
                owned.add(_result_of(name))
                kept[name] = state
        for name in sorted(left_out - self._left_out):
            log.warning("%s is left out while another image is there whose result has its name", name)
        self._left_out = left_out
        return kept

    def _state(self, name: str) -> tuple[int, ...] | None:
        """Return what changes when an image or its catalogue does; None unless they are there."""
        image = os.path.join(self._folder, name)
        catalog = catalog_of(image, self._catalog)
        state = signature(image) if catalog is None else signature(image, catalog)
        return signature(image) if state is None and self._once else state

    def _is_ready(self, name: str, state: tuple[int, ...]) -> bool:
        now = time.monotonic()
        before, since = self._settling.get(name, (None, now))
        if before != state:
            since = now
        self._settling[name] = (state, since)
        age = time.time() - _newest(state) / 1e9
        wanted = self._settle * (_LONG if self._cut.get(name) == state else 1)
        return max(age, now - since) >= wanted


def _result_of(name: str) -> str:
    """Return the name of an image's result, without the suffix."""
    return work_of(name, os.path.dirname(name), "", None).output


def _newest(state: tuple[int, ...]) -> int:
    """Return the time of the last change, in ns."""
    return max(state[1::3])
