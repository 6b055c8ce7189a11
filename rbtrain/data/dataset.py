"""Labelled cutouts on disk, read back as memory maps.

A dataset is a directory with ``pixels.f16`` (n cutouts, float16), ``rows.npy`` (what is known of
each), ``cores.npy`` (what lies around each), ``stamps.npy`` (the stars of their frames),
``populations.npy`` (what else is on these) and ``dataset.json`` (how it was made). It appears under its
name only when it is complete.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from rbinfer import PreprocessSpec
from rbinfer.model.spec import AROUND
from rbinfer.model.stamps import POPULATION, Stamps

from .._arrays import F16, F32
from ..config import DataConfig, TrainConfig

#: Files of a dataset.
PIXELS, ROWS, STAMPS, ABOUT = "pixels.f16", "rows.npy", "stamps.npy", "dataset.json"
CORES, POPULATIONS = "cores.npy", "populations.npy"
#: Frames for testing are drawn from this index on; training frames lie below it.
TEST_FRAMES_FROM = 10_000_000
#: Frames of a training: all that it is fitted and validated on, the validation frames among them, or
#: those for testing.
Part = Literal["training", "validation", "test"]


@dataclass(frozen=True)
class Dataset:
    """Labelled cutouts.

    Attributes
    ----------
    pixels : ndarray of float16, shape (n, size, size, 2)
        A read-only memory map when read from disk.
    rows : structured ndarray, shape (n,)
        Fields of `ROW`; ``label`` is an index into `rbtrain.config.CLASSES`.
    preprocess : PreprocessSpec
        How the cutouts were made.
    stars : ndarray of float16, shape (k, size, size)
        The stars that were measured, on the grid of the cutouts.
    populations : ndarray of float32, shape (l, 70)
        What the maxima of the frames are like that were measured.
    cores : ndarray of float16, shape (n, 196)
        Native pixels of each cutout, as `rbinfer.cutouts.cutter.Cutouts` has them.
    """

    pixels: F16
    rows: NDArray[Any]
    preprocess: PreprocessSpec
    stars: F16
    populations: F32
    cores: F16

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        config: TrainConfig | None = None,
        preprocess: PreprocessSpec | None = None,
    ) -> Self:
        """Open a dataset on disk without reading the pixels.

        Parameters
        ----------
        directory : path
        config : TrainConfig, optional
            What it must have been made from.
        preprocess : PreprocessSpec, optional
            How its cutouts must have been made.

        Raises
        ------
        FileNotFoundError
            There is no complete dataset.
        ValueError
            It was made from something else, or is damaged.
        """
        where = Path(directory)
        if not (where / ABOUT).is_file():
            raise FileNotFoundError(
                f"{where} is not a dataset; make one with 'rbtrain simulate CONFIG --dir {where.parent}'"
            )
        about = json.loads((where / ABOUT).read_text())
        made_by = PreprocessSpec.from_dict(about["preprocess"])
        if config is not None and about["cut_from"] != config.data_hash:
            raise ValueError(
                f"{where} was simulated from other settings ({about['cut_from']}) than the "
                f"configuration has now ({config.data_hash}); remove it and simulate again, or name "
                "another --dir"
            )
        if preprocess is not None and preprocess != made_by:
            raise ValueError(
                f"{where} holds cutouts of the {made_by.preset} preset ({made_by}), but the model takes "
                f"{preprocess}"
            )
        for name in (CORES, POPULATIONS):
            if not (where / name).is_file():
                raise ValueError(
                    f"{where} has no {name}: an earlier version made it; remove it and simulate again"
                )
        rows, cores = np.load(where / ROWS), np.load(where / CORES)
        if cores.shape[1:] != (AROUND,):
            raise ValueError(
                f"{where} has {cores.shape[1]} numbers of what lies around a detection, not {AROUND}: "
                "an earlier version made it; remove it and simulate again"
            )
        shape = (len(rows), made_by.size, made_by.size, 2)
        stars, populations = np.load(where / STAMPS), np.load(where / POPULATIONS)
        spoiled = np.count_nonzero(~np.isfinite(populations).all(axis=1))
        if spoiled:
            raise ValueError(
                f"{where} has numbers that are not finite of {spoiled} of {len(populations)} frames, "
                "and one can spoil a fit: an earlier version made it; remove it and simulate again"
            )
        pixels: F16 = np.zeros(shape, np.float16)
        found, due = (where / PIXELS).stat().st_size, pixels.nbytes
        if found != due or len(cores) != len(rows):
            raise ValueError(
                f"{where} is damaged: {PIXELS} has {found} bytes and {CORES} {len(cores)} rows, where "
                f"{len(rows)} cutouts have {due} bytes and as many rows; remove it and simulate again"
            )
        if len(rows) > 0:
            pixels = np.memmap(where / PIXELS, np.float16, "r", shape=shape)
        return cls(pixels, rows, made_by, stars, populations, cores)

    def inputs(self, rows: NDArray[np.intp] | slice) -> tuple[F32, Stamps, F32]:
        """Return cutouts (n, size, size, 2), what is told of their frames, what lies around (n, 196)."""
        stars, populations = self.rows["stamp"][rows], self.rows["population"][rows]
        both = stars.astype(np.int64) * (len(self.populations) + 1) + populations
        _, first, index = np.unique(both, return_index=True, return_inverse=True)
        which, whose = stars[first], populations[first]
        psf = np.zeros((len(which), *self.stars.shape[1:], 1), np.float32)
        known = which >= 0
        psf[known, :, :, 0] = self.stars[which[known]]
        told = np.zeros((len(which), POPULATION), np.float32)
        told[whose >= 0] = self.populations[whose[whose >= 0]]
        stamps = Stamps(psf, known[:, np.newaxis].astype(np.float32), told, index.astype(np.int64))
        return self.pixels[rows].astype(np.float32), stamps, self.cores[rows].astype(np.float32)

    def split(self, validation: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the rows for training and those for validation; no frame is in both."""
        held_out = self.rows["frame"] % _every(validation) == 0
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _every(validation: float) -> int:
    """Return of how many training frames one is kept for validation."""
    return max(round(1 / validation), 2)


def frames_of(data: DataConfig, part: Part) -> range:
    """Return the numbers of the frames of one part of a training.

    Parameters
    ----------
    data : DataConfig
    part : {"training", "validation", "test"}
        ``training`` holds the validation frames, too.
    """
    if part == "test":
        return range(TEST_FRAMES_FROM, TEST_FRAMES_FROM + data.test_frames)
    return range(0, data.frames, _every(data.validation) if part == "validation" else 1)
