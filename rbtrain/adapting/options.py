"""What a model is adapted to, and what came of it."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rbinfer import ModelSpec
from rbinfer.errors import InputError
from rbinfer.io.labels import Label
from rbinfer.model.registry import list_models, user_directory

from ..judging.promotion import Comparison

#: A name of a model, without a version at its end.
_NAME = re.compile(r"(?!.*-\d+$)[^/\\. \n]+")
_Layers = Literal["last", "all"]


@dataclass(frozen=True)
class AdaptOptions:
    """What a model is adapted to.

    Attributes
    ----------
    labels : sequence of path
        Tables of labels, from ``rbinfer label`` and ``rbtrain harvest``.
    model : str or path, optional
        What is adapted; by default the model in use.
    name : str
        Of the new model.
    output : path, optional
        Its file, which must not exist; by default the next version of `name` among the user's models, or
        in ``rejected`` there if it does not prove to be better.
    darks, images : sequence of path
        The user's own frames: what is rehearsed is simulated on them, too.
    layers : {"last", "all"}
        What is fitted where there are labels enough. All layers need TensorFlow, and take longer.
    seed : int
        Of all that is drawn.
    """

    labels: Sequence[str | os.PathLike[str]]
    model: str | os.PathLike[str] | None = None
    name: str = "mine"
    output: str | os.PathLike[str] | None = None
    darks: Sequence[str | os.PathLike[str]] = ()
    images: Sequence[str | os.PathLike[str]] = ()
    layers: _Layers = "last"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.labels:
            raise InputError("no table of labels is given")
        if self.seed < 0:
            raise InputError(f"seed must be 0 or more, not {self.seed}")
        if self.layers not in get_args(_Layers):
            raise InputError(
                f"layers must be one of {', '.join(get_args(_Layers))}, not {self.layers!r}"
            )
        shipped = [entry.name for entry in list_models() if entry.origin == "shipped"]
        if self.name in ("default", *shipped) or not _NAME.fullmatch(self.name):
            raise InputError(
                f"{self.name!r} can't be the name of a model of yours: take letters and digits, "
                f"none of {', '.join(shipped)}, which came with rbinfer, and no version such as -2"
            )


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes
    ----------
    path : Path
        The new model file.
    spec : ModelSpec
    method : {"layers", "head", "calibration", "threshold", "unchanged"}
    why : str
        Why this was done and no other.
    comparison : Comparison
    left_out : list of str
        Why some labels could not be used, in a sentence for each image and catalogue.
    without : sequence of Label
        These labels.
    """

    path: Path
    spec: ModelSpec
    method: str
    why: str
    comparison: Comparison
    left_out: list[str]
    without: Sequence[Label] = ()

    def in_words(self) -> list[str]:
        """Say what came of it, what was done, the rates before and after, and where the file is."""
        lines = [self._verdict(), f"{_DONE[self.method]}: {self.why}", *self.comparison.in_words()]
        if self.without:
            n, images = len(self.without), len({label.image for label in self.without})
            lines.append(f"left out: {n} labels that can't be used, of {images} images")
        return [*lines, f"{self.path}: {self.spec.name} {self.spec.version}"]

    def _verdict(self) -> str:
        verdict = self.comparison.verdict
        if verdict == "worse":
            return f"Not promoted, it got worse: {'; '.join(self.comparison.what_got_worse())}"
        if verdict == "no better":
            return f"Not promoted: {self.comparison.no_better}"
        first = "" if self.path.parent == user_directory() else f"copy it to {user_directory()} and "
        return f"Better: {first}use it with 'rbinfer models use {self.path.stem}'"


_DONE = {
    "layers": "fitted all layers",
    "head": "fitted the last layer",
    "calibration": "calibrated anew",
    "threshold": "chose the threshold anew",
    "unchanged": "left the model as it is",
}
