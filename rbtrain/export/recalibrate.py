"""The network of a model file, calibrated and counted anew: its last layer and its score change."""

import dataclasses
import os

import numpy as np
import onnx
from numpy.typing import NDArray

from rbinfer.model.session import Session
from rbinfer.model.spec import ModelSpec, PreprocessSpec

from .._arrays import F32, F64
from ..config import CLASSES, SOURCES, TrainConfig
from ..data.dataset import Dataset
from ..fitting.batches import targets_of
from ..fitting.lineage import lineage
from ..fitting.rates import measured_readings, mix_weights, width_weights
from ..fitting.temperature import fit_temperature
from .last_layer import last_layer, with_last_layer
from .proof import N_PROOF, ExportError, counted, write_proved

#: Cutouts in memory at a time.
_AT_ONCE = 4096
#: Softmax in float32 may be exactly 0, whose logarithm is none.
_TINIEST = float(np.finfo(np.float32).tiny)


def export_recalibrated(
    config: TrainConfig,
    data: Dataset,
    model_file: str | os.PathLike[str],
    path: str | os.PathLike[str],
) -> float:
    """Export the network of a model file with another calibration and another reading of "real".

    Temperature and shift are fitted as for a new network (`rbtrain.fitting.calibrate.calibrate`), to the
    logarithms of the old probabilities, which are logits up to a constant for each cutout.

    Parameters
    ----------
    config : TrainConfig
        Of the new version: what counts as real, the mix, name and version. The network, the classes and
        the preprocessing must be those of the model file.
    data : Dataset
        Its validation frames are used.
    model_file : path
        A model with classes.
    path : path
        The new ``.onnx`` file.

    Returns
    -------
    float
        Largest difference, on 1,000 cutouts, between the new outputs and those that follow from the old
        ones by temperature and shift.

    Raises
    ------
    ExportError
        A model without classes, of other classes or preprocessing; or too large a difference.
    """
    session = Session(model_file, "cpu")
    old = session.spec
    if old.classes != CLASSES or old.preprocess != config.preprocess:
        raise ExportError(
            f"{model_file} has the classes {', '.join(old.classes)} and the {old.preprocess.preset} "
            f"preset; the configuration asks for {', '.join(CLASSES)} and {config.preprocess.preset}"
            f"{_differing(old.preprocess, config.preprocess)}: "
            "give the configuration that it was trained with"
        )
    _, held_out = data.split(config.data.validation)
    labels = data.rows["label"][held_out]
    logits = _logits(session, data, held_out)
    weights = mix_weights(labels, config.sources).astype(float)
    widths, of_bogus = config.fit.widths, config.fit.bogus_weights
    weights *= width_weights(data.rows[held_out], widths, of_bogus)
    is_source = np.isin(np.arange(len(CLASSES)), SOURCES).astype(float)
    temperature, shift = fit_temperature(logits, targets_of(config, labels), weights, is_source)
    classes = _softmax(logits / temperature + shift * is_source)
    before = old.calibration
    spec = dataclasses.replace(
        old,
        name=config.name,
        version=config.version,
        config_hash=config.hash,
        parent=f"{lineage(model_file)}, calibrated anew",
        readings=measured_readings(config, labels, classes),
        calibration={
            "method": "temperature",
            "temperature": before.get("temperature", 1.0) * temperature,
            "shift": before.get("shift", 0.0) / temperature + shift,
            "sources": config.sources,
            "widths": [*widths],
            "bogus_weights": [*of_bogus],
        },
        # The verdict and the rates of an adaptation are of the old calibration.
        adaptation={key: value for key, value in old.adaptation.items() if key == "seen"},
        golden=None,
    )
    proof = np.sort(np.random.default_rng(config.fit.seed).permutation(len(held_out))[:N_PROOF])
    proto = onnx.load(os.fspath(model_file))
    del proto.metadata_props[:]
    return write_proved(
        recalibrated(proto, spec, temperature, shift * is_source),
        spec,
        path,
        data.inputs(held_out[proof]),
        {"classes": classes[proof], "score": classes[proof] @ counted(spec.classes, spec.real)},
    )


def _differing(old: PreprocessSpec, asked: PreprocessSpec) -> str:
    """Say in which fields two ways of making cutouts differ; empty if in none."""
    names = [f.name for f in dataclasses.fields(old) if getattr(old, f.name) != getattr(asked, f.name)]
    return f", with another {', '.join(names)}" if names else ""


def recalibrated(
    proto: onnx.ModelProto, spec: ModelSpec, temperature: float, shifts: F64
) -> onnx.ModelProto:
    """Return a graph with another last layer, and a score that counts other classes.

    Parameters
    ----------
    proto : onnx.ModelProto
        Not modified. ``classes`` is the softmax of a dense layer, ``score`` a product with it.
    spec : ModelSpec
        Gives the classes and those that are real by default.
    temperature : float
        The logits are divided by it.
    shifts : ndarray of float64, shape (k,)
        Added to the logits then.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ExportError
        A graph of another form.
    """
    layer = last_layer(proto)
    return with_last_layer(
        proto,
        layer.kernel / temperature,
        layer.bias / temperature + shifts,
        counted(spec.classes, spec.real),
    )


def _logits(session: Session, data: Dataset, rows: NDArray[np.intp]) -> F64:
    """Return logits (n, k) of rows of a dataset, each row's up to a constant."""
    parts = []
    for start in range(0, len(rows), _AT_ONCE):
        classes = session.run(*data.inputs(rows[start : start + _AT_ONCE])).classes
        assert classes is not None  # the spec has classes, and the session has checked them
        parts.append(np.log(np.maximum(classes.astype(np.float64), _TINIEST)))
    return np.concatenate(parts)


def _softmax(logits: F64) -> F32:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: F32 = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return found
