"""Labelled cutouts on disk: detect, label, cut by rbinfer's kernels, store; read back as memory maps.

A dataset is a directory with ``pixels.f16`` (n cutouts, float16), ``rows.npy`` (what is known of
each) and ``dataset.json`` (how it was made). It appears under its name only when it is complete.
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
from astropy.table import Table
from numpy.typing import NDArray

from rbinfer import PreprocessSpec
from rbinfer._util.machine import usable_cpus
from rbinfer.cutouts.cutter import Cutter
from rbinfer.errors import RbinferError
from rbinfer.io.exposure import as_exposure
from rbinfer.measure.detect import detect
from rbinfer.status import is_scored

from .._arrays import F16, F64, I8, I64, Bools
from .._pixels import BOX, around
from ..config import CLASSES, SOURCES, DataConfig, TrainConfig
from ..simulate import Backdrops, Frame, draw_frame
from .label import label_detections

log = logging.getLogger(__name__)

#: What is stored of each cutout. ``snr``: light of the 3 x 3 native pixels around the peak over its
#: expected noise. ``window_snr``: the same in rescaled pixels, as the kernel measures it.
ROW = np.dtype(
    [
        ("label", "i1"),
        ("frame", "i4"),
        ("x", "f4"),
        ("y", "f4"),
        ("snr", "f4"),
        ("window_snr", "f4"),
        ("fwhm", "f4"),
        ("crowding", "f4"),
    ]
)
#: Files of a dataset.
_PIXELS, _ROWS, _ABOUT = "pixels.f16", "rows.npy", "dataset.json"
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
    """

    pixels: F16
    rows: NDArray[Any]
    preprocess: PreprocessSpec

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
            It was made from something else.
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
        rows = np.load(where / _ROWS)
        shape = (len(rows), made_by.size, made_by.size, 2)
        if len(rows) == 0:
            return cls(np.zeros(shape, np.float16), rows, made_by)
        return cls(np.memmap(where / _PIXELS, np.float16, "r", shape=shape), rows, made_by)

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


def frame_rng(seed: int, index: int) -> np.random.Generator:
    """Return the generator of one frame: it depends on the seed and the index alone.

    Parameters
    ----------
    seed : int
        Of all frames, 0 or more.
    index : int
        Number of the frame, 0 or more.

    Returns
    -------
    numpy.random.Generator
    """
    return np.random.default_rng(np.random.SeedSequence([seed, index]))


def find_detections(frame: Frame, data: DataConfig, rng: np.random.Generator) -> Table:
    """Detect and label the objects of one frame, as a telescope's pipeline might.

    Parameters
    ----------
    frame : Frame
    data : DataConfig
    rng : numpy.random.Generator
        For what a pipeline may choose: threshold, area, filter, deblending; and for which are taken.

    Returns
    -------
    Table
        The columns of `rbinfer.measure.detect.detect` and ``label``; only the detections that are taken.
    """
    threshold = float(rng.uniform(*data.threshold))
    min_area = int(rng.choice(data.min_area))
    filtered = bool(rng.random() < data.filtered)
    found = detect(
        frame.image,
        mask=frame.mask,
        threshold=threshold,
        minarea=min_area,
        matched_filter=filtered,
        deblend_cont=float(rng.choice(data.deblending)),
    )
    if len(found) == 0:
        found["label"] = np.zeros(0, np.int8)
        return found
    xpeak, ypeak = np.asarray(found["xpeak"], int), np.asarray(found["ypeak"], int)
    x, y = np.asarray(found["x"], float), np.asarray(found["y"], float)
    found["label"] = label_detections(frame, x, y, xpeak, ypeak)
    return found[_at_most(np.asarray(found["label"]), data, rng)]


def cut_frame(
    frame: Frame, spec: PreprocessSpec, data: DataConfig, rng: np.random.Generator, index: int = 0
) -> tuple[F16, NDArray[Any]]:
    """Detect, label and cut the objects of one frame, as a telescope's pipeline might.

    Parameters
    ----------
    frame : Frame
    spec : PreprocessSpec
        How the cutouts are made.
    data : DataConfig
    rng : numpy.random.Generator
        For what a pipeline may choose: threshold, filter, positions, FWHM error, maps.
    index : int
        Number of the frame, stored with each row.

    Returns
    -------
    pixels : ndarray of float16, shape (n, size, size, 2)
    rows : structured ndarray, shape (n,)
    """
    pixels, rows, _ = cut_detections(frame, find_detections(frame, data, rng), spec, data, rng, index)
    return pixels, rows


def cut_detections(
    frame: Frame,
    found: Table,
    spec: PreprocessSpec,
    data: DataConfig,
    rng: np.random.Generator,
    index: int = 0,
) -> tuple[F16, NDArray[Any], Bools]:
    """Cut what `find_detections` found, with the same generator; the rest is as for `cut_frame`.

    Returns
    -------
    pixels : ndarray of float16, shape (n, size, size, 2)
    rows : structured ndarray, shape (n,)
    good : ndarray of bool, shape (len(found),)
        Which detections the rows are: those that can be scored.
    """
    if len(found) == 0:
        empty = np.zeros((0, spec.size, spec.size, 2), np.float16)
        return empty, np.zeros(0, ROW), np.zeros(0, bool)
    labels = np.asarray(found["label"])
    xpeak, ypeak = np.asarray(found["xpeak"], int), np.asarray(found["ypeak"], int)
    x, y = np.asarray(found["x"], float), np.asarray(found["y"], float)
    if rng.random() < 0.25:
        # Some catalogues give the brightest pixel, some a fitted centre.
        x, y = xpeak + rng.uniform(-0.5, 0.5, len(x)), ypeak + rng.uniform(-0.5, 0.5, len(x))
    fwhm = frame.fwhm * float(np.exp(rng.normal(0, data.fwhm_scatter)))
    if rng.random() < data.fwhm_excess_fraction:
        fwhm *= float(rng.uniform(*data.fwhm_excess))
    given = rng.random() < data.maps_given
    cutter = Cutter.prepare(
        as_exposure(
            frame.image,
            fwhm=fwhm,
            mask=frame.mask,
            bg=frame.sky if given else None,
            err=frame.noise if given else None,
        ),
        spec,
    )
    cutouts = cutter.cut(x, y)
    good = is_scored(cutouts.status)
    rows = np.zeros(int(good.sum()), ROW)
    rows["label"], rows["frame"] = labels[good], index
    rows["x"], rows["y"] = x[good], y[good]
    rows["window_snr"] = cutouts.snr[good]
    rows["snr"] = _aperture_snr(frame, xpeak[good], ypeak[good])
    rows["fwhm"], rows["crowding"] = frame.fwhm, frame.crowding
    return cutouts.pixels[good].astype(np.float16), rows, good


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
        There is something at `directory`.
    RuntimeError
        A frame cannot be drawn or cut; names it and its seed. Nothing is left then.
    """
    where = Path(directory)
    if where.exists():
        raise FileExistsError(f"{where} exists; remove it or name another directory")
    wanted = frames_of(config.data, part)
    n = len(wanted)
    tasks = [(config, wanted[i : i + _PER_TASK], backdrops) for i in range(0, n, _PER_TASK)]
    unfinished = where.with_name(where.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        rows, done = [], 0
        with open(unfinished / _PIXELS, "wb") as stream:
            for (_, frames, _), (pixels, known) in zip(tasks, _run(tasks, workers), strict=True):
                pixels.tofile(stream)
                rows.append(known)
                done += len(frames)
                if progress is not None:
                    progress(done, n)
        known = np.concatenate(rows) if rows else np.zeros(0, ROW)
        np.save(unfinished / _ROWS, known)
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
    return Dataset.open(where)


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


def _run(tasks: list[_Task], workers: int | None) -> Iterator[tuple[F16, NDArray[Any]]]:
    workers = usable_cpus() if workers is None else workers
    if workers <= 1:
        yield from map(_simulate, tasks)
        return
    # Spawned, because threads of a parent that has run Numba or TensorFlow do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_simulate, tasks)


def _simulate(task: _Task) -> tuple[F16, NDArray[Any]]:
    config, indices, backdrops = task
    parts = []
    for index in indices:
        rng = frame_rng(config.data.seed, index)
        try:
            backdrop = None
            if backdrops is not None:
                # A generator of its own keeps the other frames as they are without backdrops.
                backdrop = backdrops.draw(np.random.default_rng([config.data.seed, index, 1]))
            frame = draw_frame(config.simulate, rng, backdrop)
            parts.append(cut_frame(frame, config.preprocess, config.data, rng, index))
        except (RbinferError, ArithmeticError, IndexError, ValueError) as error:
            raise RuntimeError(f"frame {index} of seed {config.data.seed}: {error}") from error
    return np.concatenate([p for p, _ in parts]), np.concatenate([r for _, r in parts])


def _at_most(labels: I8, data: DataConfig, rng: np.random.Generator) -> NDArray[np.intp]:
    """Choose some rows of each bogus class and of the sources, in their order.

    Stars and galaxies are drawn together: the network has to learn how many galaxies there are among the
    stars of a field.
    """
    order = rng.permutation(len(labels))
    drawn = labels[order]
    chosen = [order[np.isin(drawn, SOURCES)][: data.sources]]
    for i in range(len(CLASSES)):
        if i not in SOURCES:
            chosen.append(order[drawn == i][: data.per_class])
    return np.sort(np.concatenate(chosen))


def _aperture_snr(frame: Frame, x: I64, y: I64) -> F64:
    """Light of the 3 x 3 pixels around each, over its expected noise."""
    light = around(frame.image, x, y, BOX).astype(float) - around(frame.sky, x, y, BOX)
    snr: F64 = np.nan_to_num(light).sum(axis=0) / (3.0 * frame.noise[y, x])
    return snr
