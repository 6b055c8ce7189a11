"""From labels to a model file of the user's own."""

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from rbinfer import ModelSpec
from rbinfer._util.extras import needed
from rbinfer.errors import InputError
from rbinfer.io.labels import PERSON, Label
from rbinfer.model.readings import Reading
from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec

from .._arrays import F32
from ..config import CLASSES
from ..data.given_labels import GivenLabels, given_labels, marks_of
from ..data.kept import shipped_config
from ..data.label_inputs import label_inputs
from ..export.last_layer import with_last_layer, write_features_model
from ..export.place import check_suffix, placed, refuse_existing
from ..export.proof import N_PROOF, counted, write_proved
from ..fitting.head import Head
from ..fitting.lineage import lineage
from ..fitting.rates import measured_readings
from ..simulate import identify
from .material import FOLDS, Material, Steps
from .options import Adapted, AdaptOptions
from .tries import FOR_THRESHOLD, Try, check_layers, try_ways

#: Labels that the layers of a model are tried on.
_FOR_A_CHECK = 8
#: What a calibration tells of the mix of objects that its scores are probabilities for.
_MIX = "sources", "widths", "bogus_weights"


def adapt(options: AdaptOptions, progress: Steps = lambda _: nullcontext()) -> Adapted:
    """Adapt a model to labels, compare it with what it was, and write it.

    From about a hundred labels on the last layer is fitted, or all layers if that is asked for; with
    fewer the score is calibrated anew, or the threshold chosen anew. The model is written whole or not
    at all, and its metadata hold the verdict; it does not become the default by itself.

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
        Too few labels, a model that can't be adapted, or a file that can't be made; says what to do.
    """
    all_layers = options.layers == "all"
    for module in ("tensorflow", "tf2onnx") if all_layers else ():
        needed(module, "a fit of all layers needs", "train")
    parent_file = resolve(options.model)
    spec = read_spec(parent_file)
    if spec.classes != CLASSES:
        raise InputError(
            f"{spec.name} {spec.version} has the classes {', '.join(spec.classes)}; a model can be "
            f"adapted that has {', '.join(CLASSES)}"
        )
    if options.output is not None:
        check_suffix(options.output)
        refuse_existing(options.output)
    frames = identify([Path(p) for p in options.darks], [Path(p) for p in options.images])
    rng = np.random.default_rng(options.seed)
    given = given_labels(options.labels, rng)
    _check_enough(given.labels)
    with progress("labels") as tell:
        found = label_inputs(given.labels, spec.preprocess, tell)
    _check_enough(found.labels)
    with tempfile.TemporaryDirectory(prefix="rbtrain-") as scratch:
        twin = Path(scratch) / "features.onnx"
        layer = write_features_model(parent_file, twin)
        parent = Head(layer.kernel, layer.bias, np.isin(CLASSES, spec.real), spec.threshold)
        if all_layers:  # before anything is simulated
            cutouts = found.seen.cutouts[:_FOR_A_CHECK]
            check_layers(shipped_config(spec.preprocess), parent_file, cutouts, parent)
        material = Material.gather(options, frames, spec, twin, parent, found, progress, rng)
    tries = try_ways(parent_file, parent, material, all_layers, options.seed)
    chosen = next((one for one in tries if one.comparison.verdict == "better"), tries[0])
    if tries[-1].method == "unchanged":
        chosen = tries[-1]
    with placed(options.name, options.output, chosen.comparison.verdict == "better") as (path, version):
        new = dataclasses.replace(
            spec,
            name=options.name,
            version=version,
            readings=_readings(spec, chosen, material),
            calibration=_calibration(spec, chosen.method),
            parent=f"{lineage(parent_file)}, adapted to labels ({chosen.method})",
            adaptation={
                "method": chosen.method,
                "why": chosen.why,
                "labels": _about_labels(given, found.labels),
                "settings": {
                    "seed": options.seed,
                    "folds": FOLDS,
                    "rehearsed": len(material.rehearsed),
                    "frames": material.frames,
                },
                **chosen.comparison.as_dict(),
                "rates_on": len(material.judged),
                "rates_before": _rates_before(parent, material),
                "tries": [one.as_dict() for one in tries],
                "seen": sorted({*spec.adaptation.get("seen", ()), *marks_of(found.labels)}),
            },
            golden=None,
        )
        _write(parent_file, new, chosen, material, path)
    kept = {label.key for label in found.labels}
    without = [label for label in given.labels if label.key not in kept]
    return Adapted(path, new, chosen.method, chosen.why, chosen.comparison, found.left_out, without)


def _check_enough(labels: Sequence[Label]) -> None:
    least = FOR_THRESHOLD[0]
    if len(labels) < least:
        raise InputError(
            f"there are {len(labels)} labels that can be used; {least} are needed at least, and 200 "
            "make a difference: label more with 'rbinfer label', or harvest some with 'rbtrain harvest'"
        )


def _calibration(spec: ModelSpec, method: str) -> Mapping[str, Any]:
    """Return how the scores are calibrated: the mix is the parent's, what a fit moved is not."""
    if method in ("threshold", "unchanged"):
        return spec.calibration
    mix = {key: spec.calibration[key] for key in _MIX if key in spec.calibration}
    return {"method": f"fitted to labels ({method})", **mix}


def _readings(spec: ModelSpec, chosen: Try, material: Material) -> tuple[Reading, ...]:
    labels = np.asarray(material.judged_set.rows["label"])
    classes = chosen.network.classes_of(material.judged)
    thresholds = {frozenset(r.real): r.threshold for r in spec.readings}
    thresholds[frozenset(spec.real)] = chosen.network.threshold
    return tuple(
        dataclasses.replace(r, threshold=thresholds.get(frozenset(r.real), r.threshold))
        for r in measured_readings(material.config, labels, classes)
    )


def _rates_before(parent: Head, material: Material) -> dict[str, Any]:
    """Return the rates of the parent on the set of the readings, by reading and operating point.

    Those that its own file tells are of other frames.
    """
    labels = np.asarray(material.judged_set.rows["label"])
    return {
        reading.name: {
            point.name: {"missed": point.missed, "false": point.false}
            for point in reading.operating_points
        }
        for reading in measured_readings(material.config, labels, parent.classes_of(material.judged))
    }


def _about_labels(given: GivenLabels, labels: Sequence[Label]) -> dict[str, Any]:
    return {
        "sha256": given.sha256,
        "real": sum(label.label == "real" for label in labels),
        "bogus": sum(label.label == "bogus" for label in labels),
        "by_person": sum(label.evidence == PERSON for label in labels),
    }


def _write(parent: Path, spec: ModelSpec, chosen: Try, material: Material, path: Path) -> None:
    network = chosen.network
    rows = np.sort(np.random.default_rng(0).permutation(len(material.judged))[:N_PROOF])
    inputs = material.judged_set.inputs(rows)
    if not isinstance(network, Head):
        from ..export.convert import export_model

        export_model(network.model(), spec, path, inputs)
        return
    classes: F32 = network.classes(material.judged.features[rows])
    is_real = counted(spec.classes, spec.real)
    proto = onnx.load(os.fspath(parent))
    del proto.metadata_props[:]
    write_proved(
        with_last_layer(proto, network.kernel, network.bias, is_real),
        spec,
        path,
        inputs,
        {"classes": classes, "score": classes @ is_real},
    )
