"""A model made the user's own: labels in, a model file out that is better or says that it isn't."""

import dataclasses
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from rbinfer import Classifier, ModelSpec
from rbinfer.errors import InputError
from rbinfer.io.labels import PERSON, Label
from rbinfer.model.registry import list_models, resolve, user_directory
from rbinfer.model.session import Session, read_spec

from ._arrays import F32, Bools
from .config import CLASSES, TrainConfig
from .data.dataset import Dataset, build_dataset
from .data.given_labels import GivenLabels, given_labels, marks_of, unseen
from .data.kept import JUDGED, REHEARSED, kept_set, shipped_config
from .data.label_features import LabelFeatures, label_features
from .data.split import folds_of
from .export.last_layer import with_last_layer, write_features_model
from .export.place import placed, refuse_existing
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
#: A harvested label is right by estimate alone.
_MOST_SURE = 0.99
#: Simulated detections that are rehearsed, and of these the share that is only looked at: of real ones
#: no more than the first share may be missed there, and of bogus no more than the second let in.
_REHEARSED, _LOOKED_AT, _MISSED, _LET_IN = 9000, 0.25, 0.004, 0.008
_FOLDS = 5
#: A name of a model, without a version at its end.
_NAME = re.compile(r"(?!.*-\d+$)[^/\\. \n]+")
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
        Its file, which must not exist; by default the next version of `name` among the user's models, or
        in ``rejected`` there if it does not prove to be better.
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
        among = self.path.parent == user_directory()
        if verdict == "worse":
            lines.append(f"not to be used, it got worse: {'; '.join(self.comparison.what_got_worse())}")
        elif verdict == "no better":
            lines.append(f"not to be used: {self.comparison.no_better}")
        else:
            first = "" if among else f"copy it to {user_directory()} and "
            lines.append(f"better: {first}use it with 'rbinfer models use {self.path.stem}'")
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
    if options.output is not None:
        refuse_existing(options.output)
    rng = np.random.default_rng(options.seed)
    given = given_labels(options.labels, rng)
    _check_enough(given.labels)
    with tempfile.TemporaryDirectory(prefix="rbtrain-") as scratch:
        twin = Path(scratch) / "features.onnx"
        layer = write_features_model(parent_file, twin)
        parent = Head(layer.kernel, layer.bias, np.isin(CLASSES, spec.real), spec.threshold)
        with progress("labels") as tell:
            found = label_features(given.labels, Classifier(twin, device="cpu"), tell)
        _check_enough(found.labels)
        material = _Material.gather(options, spec, twin, parent, found, progress, rng)
    tries = _tries(parent, material)
    chosen = next((one for one in tries if one.comparison.verdict == "better"), tries[0])
    seen = {*spec.adaptation.get("seen", ()), *marks_of(found.labels)}
    adaptation = {
        "method": chosen.method,
        "why": chosen.why,
        "labels": _about_labels(given, found.labels),
        "settings": {"seed": options.seed, "folds": _FOLDS, "rehearsed": len(material.rehearsed)},
        **chosen.comparison.as_dict(),
        "tries": [
            {"method": one.method, "holds": one.holds, "verdict": one.comparison.verdict}
            for one in tries
        ],
        "seen": sorted(seen),
    }
    is_better = chosen.comparison.verdict == "better"
    with placed(options.name, options.output, is_better) as (path, version):
        new = dataclasses.replace(
            spec,
            name=options.name,
            version=version,
            readings=_readings(spec, chosen.head, material),
            calibration=_calibration(spec, chosen.method),
            parent=f"{lineage(parent_file)}, adapted to labels ({chosen.method})",
            adaptation=adaptation,
            golden=None,
        )
        _write(parent_file, new, chosen.head, material, path)
    return Adapted(path, new, chosen.method, chosen.why, chosen.comparison, found.left_out)


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
    unseen: Bools
    by_person: Bools
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
            # What the parent was fitted to can't tell whether another is better.
            unseen(found.labels, spec.adaptation.get("seen", ())),
            np.array([label.evidence == PERSON for label in found.labels]),
            _drawn(rehearsed, parent, rng),
            _simulated(session, sets[1], parent),
            sets[1],
            config,
        )


def _examples(found: LabelFeatures) -> Examples:
    names = list(CLASSES)
    right = [
        1.0 - MISTAKEN if label.evidence == PERSON or np.isnan(label.purity) else label.purity
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


class _Try(NamedTuple):
    """A way that was tried and why, the weights of the rehearsal, the head, and how it compares."""

    method: str
    why: str
    head: Head
    holds: list[float]
    comparison: Comparison


def _tries(parent: Head, material: _Material) -> list[_Try]:
    """Try one way after the other until one is better."""
    found: list[_Try] = []
    for method, why in _ways(material.examples.real):
        found.append(_Try(method, why, *_tried(method, parent, material)))
        if found[-1].comparison.verdict == "better":
            break
    return found


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


def _tried(method: str, parent: Head, material: _Material) -> tuple[Head, list[float], Comparison]:
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
    judged, new = material.judged, material.unseen
    holds = []
    for hold in HOLDS if method != "threshold" else HOLDS[-1:]:
        head = fitted(everything, hold)
        missed, let_in = forgotten(head, looked_at)
        if hold < HOLDS[-1] and (missed > _MISSED or let_in > _LET_IN):
            continue
        holds.append(hold)
        after = np.zeros(len(examples), bool)
        for k in np.unique(fold):
            after[fold == k] = fitted(fold != k, hold).calls_real(examples.features[fold == k])
        comparison = compare(
            examples.real[new],
            parent.calls_real(examples.features[new]),
            after[new],
            material.by_person[new],
            judged.kind.astype(np.int8),
            parent.calls_real(judged.features),
            head.calls_real(judged.features),
            parent.is_real,
        )
        if comparison.verdict != "worse":
            break
    return head, holds, comparison


def _calibration(spec: ModelSpec, method: str) -> Mapping[str, Any]:
    """Return how the scores are calibrated: what a fit moved is not what the parent had."""
    return spec.calibration if method == "threshold" else {"method": f"fitted to labels ({method})"}


def _readings(spec: ModelSpec, head: Head, material: _Material) -> tuple[Any, ...]:
    labels = np.asarray(material.judged_set.rows["label"])
    readings = measured_readings(material.config, labels, head.classes(material.judged.features))
    thresholds = {frozenset(r.real): r.threshold for r in spec.readings}
    thresholds[frozenset(spec.real)] = head.threshold
    return tuple(
        dataclasses.replace(r, threshold=thresholds.get(frozenset(r.real), r.threshold))
        for r in readings
    )


def _about_labels(given: GivenLabels, labels: Sequence[Label]) -> dict[str, Any]:
    return {
        "sha256": given.sha256,
        "real": sum(label.label == "real" for label in labels),
        "bogus": sum(label.label == "bogus" for label in labels),
        "by_person": sum(label.evidence == PERSON for label in labels),
    }


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
