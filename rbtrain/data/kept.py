"""Simulated sets that are drawn once from a seed and kept in the user's cache."""

import dataclasses
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rbinfer import PreprocessSpec
from rbinfer.model.registry import shipped_directory

from .._files import alone
from ..config import DataConfig, TrainConfig
from .building import build_dataset
from .dataset import Dataset

log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """A set that is kept: its name, its seed, and its frames."""

    name: str
    seed: int
    frames: int


#: What an adapted network must not forget, and what it is compared on: all kinds of frame that the
#: shipped model was fitted to, drawn with the same settings. The seeds are of no training.
REHEARSED = Kept("rehearsed", 20_021, 80)
JUDGED = Kept("judged", 20_022, 120)


def cache_directory() -> Path:
    """Return the folder of kept sets: ``rbinfer/simulated`` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache or os.path.expanduser("~/.cache"), "rbinfer", "simulated").absolute()


def shipped_config(preprocess: PreprocessSpec) -> TrainConfig:
    """Return the settings of the shipped model, with the preprocessing of another.

    Parameters
    ----------
    preprocess : PreprocessSpec
    """
    config = TrainConfig.read(shipped_directory() / "default" / "config.toml")
    return dataclasses.replace(config, preprocess=preprocess)


def kept_set(
    config: TrainConfig,
    which: Kept,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Dataset:
    """Open a kept set; it is drawn first where there is none of these settings yet.

    Parameters
    ----------
    config : TrainConfig
        What the frames are drawn from.
    which : Kept
    progress : callable, optional
        Called as ``progress(frames_done, frames)`` while it is drawn.
    workers : int, optional
        Processes; one for each usable CPU unless given.

    Returns
    -------
    Dataset
    """
    data = dataclasses.replace(config.data, frames=which.frames, seed=which.seed, test_frames=0)
    config = dataclasses.replace(config, data=_without_parts(data))
    place = cache_directory() / f"{which.name}-{config.data_hash}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with alone(place.with_suffix(".lock")):
        try:
            return Dataset.open(place, config)
        except (FileNotFoundError, ValueError):
            shutil.rmtree(place, ignore_errors=True)  # of an earlier version, if there is any
        log.info("drawing %d simulated frames, once; they are kept in %s", which.frames, place)
        return build_dataset(config, place, workers=workers, progress=progress)


def _without_parts(data: DataConfig) -> DataConfig:
    """Drop what says only which frames a training keeps apart: it makes no other frames."""
    return dataclasses.replace(data, validation=DataConfig.validation)
