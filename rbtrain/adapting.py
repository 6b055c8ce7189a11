"""A model made the user's own: labels in, a model file out that is better or says that it isn't."""

import dataclasses
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from rbinfer import Classifier, ModelSpec
from rbinfer._util.hashing import digest
from rbinfer.errors import InputError
from rbinfer.io.labels import PERSON, Label, current, read_labels
from rbinfer.model.registry import newest_version, resolve, user_directory
from rbinfer.model.session import Session, read_spec

from ._arrays import F32, Bools
from .config import CLASSES, TrainConfig
from .data.dataset import Dataset, build_dataset
from .data.kept import JUDGED, REHEARSED, kept_set, shipped_config
from .data.label_features import LabelFeatures, label_features
from .data.split import folds_of
from .export.last_layer import with_last_layer, write_features_model
from .export.proof import N_PROOF, counted, write_proved
from .fitting.head import (
    HOLDS,
    MISTAKEN,
    Examples,
    Head,
    choose_threshold,
    fit_calibration,
    fit_head,
    forgotten,
)
from .fitting.lineage import lineage
from .fitting.rates import measured_readings
from .judging.evaluate import scores_of
from .judging.promotion import Comparison, compare
from .simulate import identify, open_backdrops

log = logging.getLogger(__name__)

#: Labels that each way of adapting needs: in all, and of real and of bogus.
_FOR_HEAD, _FOR_CALIBRATION, _FOR_THRESHOLD = (100, 20), (20, 10), (10, 0)
#: Harvested labels that are taken at most, beside all that a person gave.
_MOST_HARVESTED = 2000
#: A harvested label is right by estimate alone.
_MOST_SURE = 0.99
#: Simulated detections that are rehearsed, and of these the share that is only looked at: of real ones
#: no more than the first share may be missed there, and of bogus no more than the second let in.
_REHEARSED, _LOOKED_AT, _MISSED, _LET_IN = 9000, 0.25, 0.004, 0.008
_FOLDS = 5
#: Frames that are simulated on the user's own darks and images.
_OWN_FRAMES, _OWN_SEED = 40, 20_023


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
        Its file; by default the next version of `name` among the user's models.
    darks, images : sequence of path
        The user's own frames: what is rehearsed is simulated on them, too.
    seed : int
        Of all that is drawn.
    """

    labels: Sequence[str | os.PathLike[str]]
    model: str | os.PathLike[str] | None = None
    name: str = "mine"
    output: str | os.PathLike[str] | None = None
    darks: Sequence[str | os.PathLike[str]] = ()
    images: Sequence[str | os.PathLike[str]] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.labels:
            raise InputError("no table of labels is given")
        if not self.name or any(c in self.name for c in "/\\. \n") or self.name == "default":
            raise InputError(
                f"{self.name!r} can't be the name of a model of yours: take letters and digits, and not "
                "'default'"
            )


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes
    ----------
    path : Path
        The new model file.
    spec : ModelSpec
    method : {"head", "calibration", "threshold"}
    why : str
        Why this was done and no other.
    comparison : Comparison
    left_out : list of str
        Labels that could not be used.
    """

    path: Path
    spec: ModelSpec
    method: str
    why: str
    comparison: Comparison
    left_out: list[str]

    def in_words(self) -> list[str]:
        """Say what was done, what came of it, and what to do next."""
        lines = [f"{_DONE[self.method]}: {self.why}", *self.comparison.in_words()]
        if self.left_out:
            lines.append(f"left out: {len(self.left_out)} images with labels that can't be used")
        verdict = self.comparison.verdict
        if verdict == "worse":
            lines.append(f"not to be used, it got worse: {'; '.join(self.comparison.what_got_worse())}")
        elif verdict == "no better":
            lines.append("not to be used: on your labels it is no better, by more than chance")
        else:
            lines.append(f"better: use it with 'rbinfer models use {self.spec.name}'")
        return [*lines, f"{self.path}: {self.spec.name} {self.spec.version}"]


_DONE = {
    "head": "fitted the last layer",
    "calibration": "calibrated anew",
    "threshold": "chose the threshold anew",
}
#: Called as ``progress(done, total)``.
Progress = Callable[[int, int], None]


def adapt(options: AdaptOptions, progress: Callable[[str], Any] = lambda _: nullcontext()) -> Adapted:
    """Adapt a model to labels, compare it with what it was, and write it.

    From about a hundred labels on the last layer is fitted; with fewer the score is calibrated anew, or
    the threshold chosen anew. The model is written whole or not at all, and its metadata hold the
    verdict; it does not become the default by itself.

    Parameters
    ----------
    options : AdaptOptions
    progress : callable, optional
        Called with the name of a step; gives a context whose value is called as
        ``progress(done, total)``, or None.

    Returns
    -------
    Adapted

    Raises
    ------
    InputError
        Too few labels, or a model that can't be adapted; says what to do.
    """
    parent_file = resolve(options.model)
    spec = read_spec(parent_file)
    if spec.classes != CLASSES:
        raise InputError(
            f"{spec.name} {spec.version} has the classes {', '.join(spec.classes)}; a model can be "
            f"adapted that has {', '.join(CLASSES)}"
        )
    rng = np.random.default_rng(options.seed)
    labels = _labels(options.labels, rng)
    _check_enough(labels)
    with tempfile.TemporaryDirectory(prefix="rbtrain-") as scratch:
        twin = Path(scratch) / "features.onnx"
        layer = write_features_model(parent_file, twin)
        parent = Head(layer.kernel, layer.bias, np.isin(CLASSES, spec.real), spec.threshold)
        with progress("labels") as tell:
            found = label_features(labels, Classifier(twin, device="cpu"), tell)
        _check_enough(found.labels)
        material = _Material.gather(options, spec, twin, parent, found, progress, rng)
    method, why, head, comparison = _best(parent, material)
    adaptation = {
        "method": method,
        "why": why,
        "labels": _about_labels(options.labels, found.labels),
        "settings": {"seed": options.seed, "folds": _FOLDS, "rehearsed": len(material.rehearsed)},
        **comparison.as_dict(),
    }
    path, version = _place(options)
    new = dataclasses.replace(
        spec,
        name=options.name,
        version=version,
        readings=_readings(spec, head, material),
        parent=f"{lineage(parent_file)}, adapted to labels ({method})",
        adaptation=adaptation,
        golden=None,
    )
    _write(parent_file, new, head, material, path)
    return Adapted(path, new, method, why, comparison, found.left_out)


def _labels(files: Sequence[str | os.PathLike[str]], rng: np.random.Generator) -> list[Label]:
    """Read the labels that count: all of a person's, and as many harvested ones as are taken."""
    rows = [label for file in files for label in read_labels(Path(file))]
    counting = [label for label in current(rows) if label.label in ("real", "bogus")]
    harvested = [k for k, label in enumerate(counting) if label.evidence != PERSON]
    dropped = set(rng.permutation(harvested)[_MOST_HARVESTED:].tolist())
    return [label for k, label in enumerate(counting) if k not in dropped]


def _check_enough(labels: Sequence[Label]) -> None:
    least = _FOR_THRESHOLD[0]
    if len(labels) < least:
        raise InputError(
            f"there are {len(labels)} labels that can be used; {least} are needed at least, and 200 "
            "make a difference: label more with 'rbinfer label', or harvest some with 'rbtrain harvest'"
        )


@dataclass(frozen=True, eq=False)
class _Material:
    """What is fitted to, and what is judged by."""

    examples: Examples
    fold: NDArray[np.intp]
    rehearsed: Examples
    judged: Examples
    judged_set: Dataset
    config: TrainConfig

    @classmethod
    def gather(
        cls,
        options: AdaptOptions,
        spec: ModelSpec,
        twin: Path,
        parent: Head,
        found: LabelFeatures,
        progress: Callable[[str], Any],
        rng: np.random.Generator,
    ) -> "_Material":
        config = dataclasses.replace(shipped_config(spec.preprocess), real=spec.real)
        session = Session(twin, "cpu")
        sets = []
        for which in (REHEARSED, JUDGED):
            with progress(f"{which.name} simulation, once") as tell:
                sets.append(kept_set(config, which, tell))
        rehearsed = [_simulated(session, sets[0], parent)]
        if options.darks or options.images:
            with progress("simulation on your frames") as tell:
                rehearsed.append(_simulated(session, _on_own_frames(options, config, tell), parent))
        return cls(
            _examples(found),
            folds_of(found.labels, _FOLDS, rng).fold,
            _drawn(rehearsed, parent, rng),
            _simulated(session, sets[1], parent),
            sets[1],
            config,
        )


def _examples(found: LabelFeatures) -> Examples:
    names = list(CLASSES)
    right = [
        1.0 - MISTAKEN if label.evidence == PERSON or not label.purity > 0.5 else label.purity
        for label in found.labels
    ]
    return Examples(
        found.features,
        np.array([label.label == "real" for label in found.labels]),
        np.array(
            [names.index(n) if (n := label.kind) in names else -1 for label in found.labels], np.intp
        ),
        np.minimum(right, _MOST_SURE),
    )


def _simulated(session: Session, data: Dataset, parent: Head) -> Examples:
    features = scores_of(session, data)[1]
    assert features is not None  # the session is that of a features model
    kind = np.asarray(data.rows["label"], np.intp)
    return Examples(features, parent.is_real[kind], kind, np.ones(len(kind)))


def _drawn(parts: Sequence[Examples], parent: Head, rng: np.random.Generator) -> Examples:
    """Draw what is rehearsed, as much of each part: what the parent judges rightly is to stay so."""
    chosen = []
    for part in parts:
        right = np.flatnonzero(parent.calls_real(part.features) == part.real)
        chosen.append(part.taken(rng.permutation(right)[: _REHEARSED // len(parts)]))
    order = rng.permutation(sum(map(len, chosen)))
    return Examples(
        *(
            np.concatenate([getattr(part, field.name) for part in chosen])[order]
            for field in dataclasses.fields(Examples)
        )
    )


def _on_own_frames(options: AdaptOptions, config: TrainConfig, tell: Progress | None) -> Dataset:
    files = identify([Path(p) for p in options.darks], [Path(p) for p in options.images])
    data = dataclasses.replace(config.data, frames=_OWN_FRAMES, seed=_OWN_SEED, test_frames=0)
    config = dataclasses.replace(config, data=data)
    shape = (config.simulate.height, config.simulate.width)
    with (
        tempfile.TemporaryDirectory(prefix="rbtrain-") as scratch,
        open_backdrops(files, shape, 1.0) as backdrops,
    ):
        found = build_dataset(config, Path(scratch) / "own", progress=tell, backdrops=backdrops)
        return dataclasses.replace(found, pixels=np.array(found.pixels))


def _best(parent: Head, material: _Material) -> tuple[str, str, Head, Comparison]:
    """Return the way that was taken and why, the head, and how it compares."""
    first: tuple[str, str, Head, Comparison] | None = None
    for method, why in _ways(material.examples.real):
        found = (method, why, *_tried(method, parent, material))
        if found[3].verdict == "better":
            return found
        first = first or found
    assert first is not None  # there is a way for any number of labels that is let through
    return first


def _ways(real: Bools) -> list[tuple[str, str]]:
    """Return what to try for these labels, in turn, and why."""
    n, fewer = len(real), int(min(real.sum(), (~real).sum()))
    counts = f"{n} labels, {int(real.sum())} real and {int((~real).sum())} bogus"
    calibration = "so few labels can't teach a layer, but where real and bogus part"
    if n >= _FOR_HEAD[0] and fewer >= _FOR_HEAD[1]:
        again = "the last layer fitted to them was not better, so only the calibration was moved"
        return [("head", f"{counts}, are enough for it"), ("calibration", f"{counts}: {again}")]
    if n >= _FOR_CALIBRATION[0] and fewer >= _FOR_CALIBRATION[1]:
        return [("calibration", f"{counts}: {calibration}")]
    return [("threshold", f"{counts}: too few of one kind for more")]


def _tried(method: str, parent: Head, material: _Material) -> tuple[Head, Comparison]:
    """Fit in one way, to all labels, and compare; each label is judged by a fit without its fold.

    What is rehearsed weighs more from try to try, until nothing is forgotten and nothing got worse.
    """
    examples, fold = material.examples, material.fold
    n = round(_LOOKED_AT * len(material.rehearsed))
    looked_at, rehearsed = (material.rehearsed.taken(rows) for rows in (slice(n), slice(n, None)))

    def fitted(rows: Bools, hold: float) -> Head:
        part = examples.taken(rows)
        if method == "threshold":
            return choose_threshold(parent, part, rehearsed)
        fit = fit_head if method == "head" else fit_calibration
        return fit(parent, part, rehearsed.features, hold)

    everything = np.ones(len(examples), bool)
    judged = material.judged
    for hold in HOLDS if method != "threshold" else HOLDS[-1:]:
        head = fitted(everything, hold)
        missed, let_in = forgotten(head, looked_at)
        if hold < HOLDS[-1] and (missed > _MISSED or let_in > _LET_IN):
            continue
        after = np.zeros(len(examples), bool)
        for k in np.unique(fold):
            after[fold == k] = fitted(fold != k, hold).calls_real(examples.features[fold == k])
        comparison = compare(
            examples.real,
            parent.calls_real(examples.features),
            after,
            judged.kind.astype(np.int8),
            parent.calls_real(judged.features),
            head.calls_real(judged.features),
            parent.is_real,
        )
        if comparison.verdict != "worse":
            break
    return head, comparison


def _readings(spec: ModelSpec, head: Head, material: _Material) -> tuple[Any, ...]:
    labels = np.asarray(material.judged_set.rows["label"])
    readings = measured_readings(material.config, labels, head.classes(material.judged.features))
    thresholds = {frozenset(r.real): r.threshold for r in spec.readings}
    thresholds[frozenset(spec.real)] = head.threshold
    return tuple(
        dataclasses.replace(r, threshold=thresholds.get(frozenset(r.real), r.threshold))
        for r in readings
    )


def _about_labels(files: Sequence[str | os.PathLike[str]], labels: Sequence[Label]) -> dict[str, Any]:
    return {
        "sha256": [digest(os.fspath(file)) for file in files],
        "real": sum(label.label == "real" for label in labels),
        "bogus": sum(label.label == "bogus" for label in labels),
        "by_person": sum(label.evidence == PERSON for label in labels),
    }


def _place(options: AdaptOptions) -> tuple[Path, str]:
    """Return the file of the new model and its version."""
    version = newest_version(options.name) + 1
    if options.output is not None:
        return Path(options.output), str(version)
    return user_directory() / f"{options.name}-{version}.onnx", str(version)


def _write(parent: Path, spec: ModelSpec, head: Head, material: _Material, path: Path) -> None:
    rows = np.sort(np.random.default_rng(0).permutation(len(material.judged))[:N_PROOF])
    classes: F32 = head.classes(material.judged.features[rows])
    is_real = counted(spec.classes, spec.real)
    proto = onnx.load(os.fspath(parent))
    del proto.metadata_props[:]
    write_proved(
        with_last_layer(proto, head.kernel, head.bias, is_real),
        spec,
        path,
        material.judged_set.inputs(rows),
        {"classes": classes, "score": classes @ is_real},
    )
