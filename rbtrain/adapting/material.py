"""What a model is adapted with: labels, what it rehearses, and what it is compared on."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rbinfer import ModelSpec
from rbinfer.io.labels import PERSON
from rbinfer.model.session import Session

from .._arrays import Bools
from ..config import CLASSES, TrainConfig
from ..data.building import build_dataset
from ..data.dataset import Dataset
from ..data.given_labels import unseen
from ..data.kept import JUDGED, REHEARSED, kept_set, shipped_config
from ..data.label_inputs import LabelInputs
from ..data.seen import Seen, Shown
from ..data.split import folds_of, objects_of
from ..fitting.examples import MISTAKEN, Examples
from ..fitting.head import Head
from ..judging.evaluate import scores_of
from ..simulate import open_backdrops
from ..simulate.backdrop import BackdropFile
from .options import AdaptOptions

#: Called as ``progress(done, total)``.
Progress = Callable[[int, int], None]
#: Called with the name of a step.
Steps = Callable[[str], AbstractContextManager[Progress | None]]

#: A harvested label is right by estimate alone.
_MOST_SURE = 0.99
#: Simulated detections that are rehearsed.
_REHEARSED = 9000
FOLDS = 5
#: Frames that are simulated on the user's own darks and images.
_OWN_FRAMES, _OWN_SEED = 40, 20_023


@dataclass(frozen=True, eq=False)
class Material:
    """What is fitted to, and what is judged by.

    Attributes
    ----------
    examples : Examples
        The labels, and for each
    fold : ndarray of int, shape (n,)
        its fold,
    unseen : ndarray of bool, shape (n,)
        whether no model before was fitted to it,
    by_person : ndarray of bool, shape (n,)
        whether a person gave it, and
    objects : ndarray of int, shape (n,)
        which object it is of.
    rehearsed : Examples
        Simulated ones, which the parent judges rightly.
    judged : Examples
        Other simulated ones, for the comparison.
    judged_set : Dataset
        The same.
    config : TrainConfig
        Of the simulation, and of the network's layers.
    frames : list of dict
        The user's own frames that are rehearsed on; their kind, name, size and SHA-256.
    """

    examples: Examples
    fold: NDArray[np.intp]
    unseen: Bools
    by_person: Bools
    objects: NDArray[np.intp]
    rehearsed: Examples
    judged: Examples
    judged_set: Dataset
    config: TrainConfig
    frames: list[dict[str, Any]]

    @classmethod
    def gather(
        cls,
        options: AdaptOptions,
        frames: Sequence[BackdropFile],
        spec: ModelSpec,
        twin: Path,
        parent: Head,
        found: LabelInputs,
        progress: Steps,
        rng: np.random.Generator,
    ) -> Self:
        """Draw what is simulated, and let a network say what its last layer gets of all.

        Parameters
        ----------
        options : AdaptOptions
        frames : sequence of BackdropFile
            Darks and images of the options.
        spec : ModelSpec
            Of the model that is adapted.
        twin : path
            From `rbtrain.export.last_layer.write_features_model`.
        parent : Head
            Last layer of the model.
        found : LabelInputs
        progress : callable
        rng : numpy.random.Generator
            For the folds, and for what is rehearsed.
        """
        config = dataclasses.replace(shipped_config(spec.preprocess), real=spec.real)
        sets = []
        for which in (REHEARSED, JUDGED):
            with progress(f"{which.name} simulation, once") as tell:
                sets.append(kept_set(config, which, tell))
        judged_set = sets.pop()
        if frames:
            with progress("simulation on your frames") as tell:
                sets.append(_on_own_frames(frames, config, tell))
        look = _Look(Session(twin, "cpu"), options.layers == "all")
        simulated = [look.at_simulation(each, parent) for each in sets]
        return cls(
            look.at_labels(found),
            folds_of(found.labels, FOLDS, rng).fold,
            # What the parent was fitted to can't tell whether another is better.
            unseen(found.labels, spec.adaptation.get("seen", ())),
            np.array([label.evidence == PERSON for label in found.labels]),
            objects_of(found.labels),
            _drawn(simulated, parent, rng),
            look.at_simulation(judged_set, parent),
            judged_set,
            config,
            [frame.to_dict() for frame in frames],
        )


@dataclass(frozen=True)
class _Look:
    """Turns what a network is shown into examples, which keep that where all layers are fitted."""

    session: Session
    keeps_inputs: bool

    def at_labels(self, found: LabelInputs) -> Examples:
        names = list(CLASSES)
        right = [
            1.0 - MISTAKEN if label.evidence == PERSON or np.isnan(label.purity) else label.purity
            for label in found.labels
        ]
        kinds = [names.index(n) if (n := label.kind) in names else -1 for label in found.labels]
        return self._examples(
            found.seen,
            np.array([label.label == "real" for label in found.labels]),
            np.array(kinds, np.intp),
            np.minimum(right, _MOST_SURE),
        )

    def at_simulation(self, data: Dataset, parent: Head) -> Examples:
        kind = np.asarray(data.rows["label"], np.intp)
        return self._examples(data, parent.is_real[kind], kind, np.ones(len(kind)))

    def _examples(
        self, shown: Shown, real: Bools, kind: NDArray[np.intp], right: NDArray[np.float64]
    ) -> Examples:
        features = scores_of(self.session, shown)[1]
        assert features is not None  # the session is that of a features model
        seen = Seen(*shown.inputs(slice(None))) if self.keeps_inputs else None
        return Examples(features, real, kind, right, seen)


def _drawn(parts: Sequence[Examples], parent: Head, rng: np.random.Generator) -> Examples:
    """Draw what is rehearsed, as much of each part: what the parent judges rightly is to stay so."""
    chosen = []
    for part in parts:
        right = np.flatnonzero(parent.calls_real(part.features) == part.real)
        chosen.append(part.taken(rng.permutation(right)[: _REHEARSED // len(parts)]))
    return Examples.joined(chosen).taken(rng.permutation(sum(map(len, chosen))))


def _on_own_frames(files: Sequence[BackdropFile], config: TrainConfig, tell: Progress | None) -> Dataset:
    data = dataclasses.replace(config.data, frames=_OWN_FRAMES, seed=_OWN_SEED, test_frames=0)
    config = dataclasses.replace(config, data=data)
    shape = (config.simulate.height, config.simulate.width)
    with (
        tempfile.TemporaryDirectory(prefix="rbtrain-") as scratch,
        open_backdrops(files, shape, 1.0) as backdrops,
    ):
        found = build_dataset(config, Path(scratch) / "own", progress=tell, backdrops=backdrops)
        return dataclasses.replace(found, pixels=np.array(found.pixels))
