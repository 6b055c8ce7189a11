"""What the verbs share: where a training keeps its files, and progress bars."""

import argparse
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .._files import replaced

if TYPE_CHECKING:
    from ..config import TrainConfig


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFolder:
    """Directory of one training: sets of cutouts, ``fit`` with checkpoints, the model."""

    root: Path

    @property
    def train(self) -> Path:
        """The training and validation set."""
        return self.root / "train"

    @property
    def validation(self) -> Path:
        """The validation frames of the training set, where they are drawn alone."""
        return self.root / "validation"

    @property
    def test(self) -> Path:
        """The test set."""
        return self.root / "test"

    @property
    def fit(self) -> Path:
        """Checkpoints and history."""
        return self.root / "fit"

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.root / "model.onnx"


def add_training(parser: argparse.ArgumentParser) -> None:
    """Add the configuration and ``--dir``."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="TOML file of the training")
    parser.add_argument("--dir", type=Path, help="where its files go (default: runs/NAME)")


def open_training(options: argparse.Namespace) -> "tuple[TrainConfig, TrainingFolder]":
    """Read the configuration and find its directory."""
    from ..config import TrainConfig

    config = TrainConfig.read(options.config)
    _tell_of_version(config, options.config)
    return config, TrainingFolder(options.dir or Path("runs") / (config.name or options.config.stem))


def _tell_of_version(config: "TrainConfig", path: Path) -> None:
    """Warn of a version that was probably copied with the configuration of a shipped model."""
    from rbinfer.model.registry import shipped_directory

    from ..config import TrainConfig

    shipped = shipped_directory() / "default" / "config.toml"
    if not shipped.is_file():
        return
    default = TrainConfig.read(shipped)
    if config.name not in ("", default.name) and config.version == default.version:
        log.warning(
            "%s: version %s is that of the shipped model %s; if this is a copy of its configuration, "
            'give your model a version of its own: version = "1"',
            path,
            config.version,
            default.name,
        )


@contextmanager
def progress_bar(title: str, unit: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; yields ``progress(done, total)``."""
    with tqdm(desc=title, unit=unit, disable=quiet) as shown:

        def progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield progress


def without_nan(value: Any) -> Any:
    """Return nested figures with None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")
