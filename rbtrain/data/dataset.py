"""Labelled cutouts on disk: detect, label, cut by rbinfer's kernels, store; read back as memory maps.

A dataset is a directory with ``pixels.f16`` (n cutouts, float16), ``rows.npy`` (what is known of
each), ``cores.npy`` (what lies around each), ``stamps.npy`` (the stars of their frames),
``populations.npy`` (what else is on these) and ``dataset.json`` (how it was made). It appears under its
name only when it is complete.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from rbinfer import PreprocessSpec
from rbinfer._util.machine import usable_cpus
from rbinfer.errors import RbinferError
from rbinfer.model.spec import AROUND
from rbinfer.model.stamps import POPULATION, Stamps

from .._arrays import F16, F32
from .._files import first
from ..config import CLASSES, DataConfig, TrainConfig
from ..simulate import Backdrops, draw_frame
from .cutting import ROW, Cut, cut_frame, frame_rng

log = logging.getLogger(__name__)

#: Files of a dataset.
_PIXELS, _ROWS, _STAMPS, _ABOUT = "pixels.f16", "rows.npy", "stamps.npy", "dataset.json"
_CORES, _POPULATIONS = "cores.npy", "populations.npy"
#: Frames that a process simulates at a time.
_PER_TASK = 8
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
        if not (where / _ABOUT).is_file():
            raise FileNotFoundError(
                f"{where} is not a dataset; make one with 'rbtrain simulate CONFIG --dir {where.parent}'"
            )
        about = json.loads((where / _ABOUT).read_text())
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
        for name in (_CORES, _POPULATIONS):
            if not (where / name).is_file():
                raise ValueError(
                    f"{where} has no {name}: an earlier version made it; remove it and simulate again"
                )
        rows, cores = np.load(where / _ROWS), np.load(where / _CORES)
        if cores.shape[1:] != (AROUND,):
            raise ValueError(
                f"{where} has {cores.shape[1]} numbers of what lies around a detection, not {AROUND}: "
                "an earlier version made it; remove it and simulate again"
            )
        shape = (len(rows), made_by.size, made_by.size, 2)
        stars, populations = np.load(where / _STAMPS), np.load(where / _POPULATIONS)
        spoiled = np.count_nonzero(~np.isfinite(populations).all(axis=1))
        if spoiled:
            raise ValueError(
                f"{where} has numbers that are not finite of {spoiled} of {len(populations)} frames, "
                "and one can spoil a fit: an earlier version made it; remove it and simulate again"
            )
        pixels: F16 = np.zeros(shape, np.float16)
        found, due = (where / _PIXELS).stat().st_size, pixels.nbytes
        if found != due or len(cores) != len(rows):
            raise ValueError(
                f"{where} is damaged: {_PIXELS} has {found} bytes and {_CORES} {len(cores)} rows, where "
                f"{len(rows)} cutouts have {due} bytes and as many rows; remove it and simulate again"
            )
        if len(rows) > 0:
            pixels = np.memmap(where / _PIXELS, np.float16, "r", shape=shape)
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


def build_dataset(
    config: TrainConfig,
    directory: str | os.PathLike[str],
    *,
    part: Part = "training",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    backdrops: Backdrops | None = None,
) -> Dataset:
    """Simulate frames and store their labelled cutouts.

    The result depends on the configuration and the backdrops alone, not on the number of workers.
    A frame that draws no backdrop is the same as without any.

    Parameters
    ----------
    config : TrainConfig
    directory : path
        Made here; must not exist.
    part : {"training", "validation", "test"}
        Which frames, see `frames_of`.
    workers : int, optional
        Processes; one for each usable CPU unless given.
    progress : callable, optional
        Called as ``progress(frames_done, frames)``.
    backdrops : Backdrops, optional
        Real pixels for some of the frames, from `rbtrain.simulate.open_backdrops`.

    Returns
    -------
    Dataset

    Raises
    ------
    FileExistsError
        There is something at `directory`, or another process makes it now.
    RuntimeError
        A frame cannot be drawn or cut; names it and its seed. Nothing is left then.
    """
    where = Path(directory)
    unfinished = where.with_name(where.name + ".part")
    where.parent.mkdir(parents=True, exist_ok=True)
    with first(where.with_name(unfinished.name + ".lock")) as is_first:
        if not is_first:
            raise FileExistsError(
                f"another process simulates {where} now; wait for it, or name another directory"
            )
        if where.exists():
            raise FileExistsError(f"{where} exists; remove it or name another directory")
        _build(config, where, unfinished, part, workers, progress, backdrops)
    return Dataset.open(where)


def _build(
    config: TrainConfig,
    where: Path,
    unfinished: Path,
    part: Part,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
    backdrops: Backdrops | None,
) -> None:
    """Simulate into a folder, and give it its name when it is complete."""
    wanted = frames_of(config.data, part)
    n = len(wanted)
    tasks = [(config, wanted[i : i + _PER_TASK], backdrops) for i in range(0, n, _PER_TASK)]
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        rows, stars, populations, cores, done = [], list[F32](), list[F32](), list[F16](), 0
        with open(unfinished / _PIXELS, "wb") as stream:
            for (_, frames, _), cuts in zip(tasks, _run(tasks, workers), strict=True):
                for cut in cuts:
                    cut.pixels.tofile(stream)
                    if cut.star is not None:
                        cut.rows["stamp"] = len(stars)
                        stars.append(cut.star)
                    if cut.population is not None:
                        cut.rows["population"] = len(populations)
                        populations.append(cut.population)
                    rows.append(cut.rows)
                    cores.append(cut.cores.astype(np.float16))
                done += len(frames)
                if progress is not None:
                    progress(done, n)
        known = np.concatenate(rows) if rows else np.zeros(0, ROW)
        np.save(unfinished / _ROWS, known)
        np.save(
            unfinished / _CORES, np.concatenate(cores) if cores else np.zeros((0, AROUND), np.float16)
        )
        size = config.preprocess.size
        np.save(unfinished / _STAMPS, np.array(stars, np.float16).reshape(-1, size, size))
        np.save(unfinished / _POPULATIONS, np.array(populations, np.float32).reshape(-1, POPULATION))
        counts = {name: int(np.sum(known["label"] == i)) for i, name in enumerate(CLASSES)}
        about = {
            "cut_from": config.data_hash,
            "preprocess": config.preprocess.to_dict(),
            "part": part,
            "counts": counts,
        }
        if backdrops is not None:
            about["backdrops"] = backdrops.to_dict()
        (unfinished / _ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        unfinished.rename(where)
    except BaseException:
        # It may hold gigabytes and is of no use: the next try draws all frames again.
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    log.info("%s: %d cutouts of %d frames, %s", where, len(known), n, counts)


def check_backdrops(directory: str | os.PathLike[str], asked: dict[str, Any] | None) -> None:
    """Refuse a dataset that was made with other backdrops.

    Parameters
    ----------
    directory : path
    asked : dict, optional
        From `rbtrain.simulate.describe`; None for no backdrops. Names do not count, contents do.

    Raises
    ------
    ValueError
        It was made with others, with another fraction, or with some where none are asked for or the
        other way round.
    """
    where = Path(directory)
    recorded = json.loads((where / _ABOUT).read_text()).get("backdrops")
    if _identity(recorded) != _identity(asked):
        raise ValueError(
            f"{where} was simulated {_in_words(recorded)}; now it would be {_in_words(asked)}. "
            "Give the same again, remove it and simulate again, or name another --dir"
        )


def _identity(backdrops: dict[str, Any] | None) -> Any:
    if backdrops is None:
        return None
    return backdrops["fraction"], sorted((f["kind"], f["sha256"]) for f in backdrops["files"])


def _in_words(backdrops: dict[str, Any] | None) -> str:
    if backdrops is None:
        return "without backdrops"
    files = [f"{f['kind']} {f['name']} ({f['sha256'][:8]})" for f in backdrops["files"]]
    shown = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    return f"with {shown} in {backdrops['fraction']:g} of the frames"


_Task = tuple[TrainConfig, range, Backdrops | None]


def _run(tasks: list[_Task], workers: int | None) -> Iterator[list[Cut]]:
    workers = usable_cpus() if workers is None else workers
    if workers <= 1:
        yield from map(_simulate, tasks)
        return
    # Spawned, because threads of a parent that has run Numba or TensorFlow do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_simulate, tasks)


def _simulate(task: _Task) -> list[Cut]:
    config, indices, backdrops = task
    cuts = []
    for index in indices:
        rng = frame_rng(config.data.seed, index)
        try:
            backdrop = None
            if backdrops is not None:
                # A generator of its own keeps the other frames as they are without backdrops.
                backdrop = backdrops.draw(np.random.default_rng([config.data.seed, index, 1]))
            frame = draw_frame(config.simulate, rng, backdrop)
            cuts.append(cut_frame(frame, config.preprocess, config.data, rng, index))
        except (RbinferError, ArithmeticError, IndexError, ValueError) as error:
            raise RuntimeError(f"frame {index} of seed {config.data.seed}: {error}") from error
    return cuts
