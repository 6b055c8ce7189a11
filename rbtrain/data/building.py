"""Simulated frames, detected, labelled, and cut by rbinfer's kernels, become a dataset on disk."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from rbinfer._util.machine import usable_cpus
from rbinfer._util.parent import follow_parent
from rbinfer.errors import RbinferError

from .._files import first
from ..config import CLASSES, TrainConfig
from ..simulate import Backdrops, draw_frame
from .cutting import Cut, cut_frame, frame_rng
from .dataset import ABOUT, Dataset, Part, frames_of
from .unfinished import Unfinished

log = logging.getLogger(__name__)

#: Frames that a process simulates at a time, and that an interrupted simulation has to draw again.
_PER_TASK = 8


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

    The result depends on the configuration and the backdrops alone, not on the number of workers, nor on
    whether it was interrupted: what was drawn is kept beside `directory`, with ``.part`` behind its
    name, and the next call with the same settings goes on from there. A frame that draws no backdrop is
    the same as without any.

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
        A frame cannot be drawn or cut; names it and its seed.
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
    about = {
        "cut_from": config.data_hash,
        "preprocess": config.preprocess.to_dict(),
        "part": part,
        **({} if backdrops is None else {"backdrops": backdrops.to_dict()}),
    }
    made = Unfinished.open(unfinished, {**about, "frames_a_part": _PER_TASK}, config.preprocess.size)
    tasks = [(config, wanted[i : i + _PER_TASK], backdrops) for i in range(0, len(wanted), _PER_TASK)]
    done = min(len(made.parts) * _PER_TASK, len(wanted))
    if done:
        log.info("%s: %d of %d frames are there already", where, done, len(wanted))
        if progress is not None:
            progress(done, len(wanted))
    tasks = tasks[len(made.parts) :]
    for (_, frames, _), cuts in zip(tasks, _run(tasks, workers), strict=True):
        made.add(cuts)
        done += len(frames)
        if progress is not None:
            progress(done, len(wanted))
    known = made.finish()
    counts = {name: int(np.sum(known["label"] == i)) for i, name in enumerate(CLASSES)}
    (unfinished / ABOUT).write_text(json.dumps({**about, "counts": counts}, indent=1) + "\n")
    unfinished.rename(where)
    log.info("%s: %d cutouts of %d frames, %s", where, len(known), len(wanted), counts)


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
    recorded = json.loads((where / ABOUT).read_text()).get("backdrops")
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
    with ProcessPoolExecutor(workers, get_context("spawn"), follow_parent) as pool:
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
