"""Cutouts of a set that is still being simulated: what is there already is not drawn again.

A folder holds the pixels so far and, for each part that is complete, a file of what else belongs to it.
A part counts when that file has its name; pixels behind the last one are of a part that was cut short.
"""

import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rbinfer.model.spec import AROUND
from rbinfer.model.stamps import POPULATION

from .._arrays import F16, F32
from .._files import replaced
from .cutting import ROW, Cut
from .dataset import CORES, PIXELS, POPULATIONS, ROWS, STAMPS

log = logging.getLogger(__name__)

_MADE_FROM, _PARTS = "made_from.json", "parts"


@dataclass(frozen=True)
class _Part:
    """What belongs to the pixels of a part; ``stamp`` and ``population`` of its rows count within it."""

    rows: NDArray[Any]
    cores: F16
    stars: F16
    populations: F32
    end: int  # bytes of pixels, with those of the parts before

    @classmethod
    def of(cls, cuts: Sequence[Cut], size: int, end: int) -> Self:
        rows, stars, populations = [np.zeros(0, ROW)], list[F32](), list[F32]()
        for cut in cuts:
            known = cut.rows.copy()
            if cut.star is not None:
                known["stamp"] = len(stars)
                stars.append(cut.star)
            if cut.population is not None:
                known["population"] = len(populations)
                populations.append(cut.population)
            rows.append(known)
        cores = [np.zeros((0, AROUND), np.float16), *(cut.cores.astype(np.float16) for cut in cuts)]
        return cls(
            np.concatenate(rows),
            np.concatenate(cores),
            np.array(stars, np.float16).reshape(-1, size, size),
            np.array(populations, np.float32).reshape(-1, POPULATION),
            end,
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what a file holds; None of one that is not there or damaged."""
        try:
            with np.load(path) as held:
                return cls(
                    held["rows"], held["cores"], held["stars"], held["populations"], int(held["end"])
                )
        except (OSError, ValueError, KeyError, BadZipFile):
            return None


@dataclass
class Unfinished:
    """A folder that parts of a set are added to, in their order.

    Attributes
    ----------
    directory : Path
    size : int
        Side of a cutout, pixels.
    parts : list
        Those that are complete.
    """

    directory: Path
    size: int
    parts: list[_Part] = field(default_factory=list)

    @classmethod
    def open(cls, directory: Path, made_from: dict[str, Any], size: int) -> Self:
        """Go on with a folder, or begin one.

        Parameters
        ----------
        directory : Path
            What it holds of anything else is removed.
        made_from : dict
            All that the set depends on, in the types of JSON.
        size : int
            Side of a cutout, pixels.
        """
        here, noted = cls(directory, size), directory / _MADE_FROM
        text = json.dumps(made_from, sort_keys=True) + "\n"
        is_same = noted.is_file() and noted.read_text() == text
        if directory.exists() and not is_same:
            log.warning("%s is of other settings, and is removed", directory)
            shutil.rmtree(directory)
        (directory / _PARTS).mkdir(parents=True, exist_ok=True)
        (directory / PIXELS).touch()
        if is_same:
            here._find_parts()
        else:
            with replaced(noted) as part:
                part.write_text(text)
        return here

    def _find_parts(self) -> None:
        """Read the parts that are complete, and drop the pixels behind them."""
        written = (self.directory / PIXELS).stat().st_size
        while (part := _Part.read(self._path(len(self.parts)))) is not None and part.end <= written:
            self.parts.append(part)
        os.truncate(self.directory / PIXELS, self._end())

    def _path(self, number: int) -> Path:
        return self.directory / _PARTS / f"{number:06d}.npz"

    def _end(self) -> int:
        return self.parts[-1].end if self.parts else 0

    def add(self, cuts: Sequence[Cut]) -> None:
        """Add a part, the cutouts of some frames."""
        with open(self.directory / PIXELS, "r+b") as stream:
            stream.seek(self._end())
            for cut in cuts:
                cut.pixels.tofile(stream)
            end = stream.tell()
            stream.flush()
            # A part that has its name must have its pixels, also after the power has failed.
            os.fsync(stream.fileno())
        part = _Part.of(cuts, self.size, end)
        with replaced(self._path(len(self.parts))) as path:
            np.savez(path, **vars(part))
        self.parts.append(part)

    def finish(self) -> NDArray[Any]:
        """Write what the folder of a set has beside the pixels, and return the rows."""
        stars = populations = 0
        rows = [np.zeros(0, ROW)]
        for part in self.parts:
            known = part.rows.copy()
            known["stamp"][known["stamp"] >= 0] += stars
            known["population"][known["population"] >= 0] += populations
            stars, populations = stars + len(part.stars), populations + len(part.populations)
            rows.append(known)
        empty = _Part.of([], self.size, 0)
        for name, what in ((CORES, "cores"), (STAMPS, "stars"), (POPULATIONS, "populations")):
            arrays = [getattr(part, what) for part in (empty, *self.parts)]
            np.save(self.directory / name, np.concatenate(arrays))
        known = np.concatenate(rows)
        np.save(self.directory / ROWS, known)
        shutil.rmtree(self.directory / _PARTS)
        (self.directory / _MADE_FROM).unlink()
        return known
