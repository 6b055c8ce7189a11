"""Export Keras to ONNX: the graph is checked, compared with Keras, and describes itself."""

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from rbinfer.errors import RbinferError
from rbinfer.model.session import Session
from rbinfer.model.spec import METADATA_KEY, GoldenPairs, ModelSpec

from .._arrays import F32
from .._files import replaced
from .graph import simplify

log = logging.getLogger(__name__)

OPSET = 17
#: Largest difference between Keras and ONNX Runtime that is accepted.
TOLERANCE = 1e-5
#: Cutouts that the two are compared on.
N_PROOF = 1000
_N_GOLDEN = 8


class ExportError(RbinferError):
    """The exported graph is not what Keras computes; nothing was written."""


def export_model(
    model: keras.Model,
    spec: ModelSpec,
    path: str | os.PathLike[str],
    cutouts: F32,
) -> float:
    """Write a Keras model as a self-describing ONNX file, if it proves to be the same function.

    Parameters
    ----------
    model : keras.Model
        Input (n, size, size, 2); output (n, 1), one score, or (n, k), a softmax over
        ``spec.classes``.
    spec : ModelSpec
        What the file shall say of itself; its golden pairs are made here.
    path : path
        The ``.onnx`` file; written beside and renamed.
    cutouts : ndarray of float32, shape (n, size, size, 2)
        At least 1,000 cutouts for the proof, made by the preprocessing that `spec` names.

    Returns
    -------
    float
        Largest difference found.

    Raises
    ------
    ExportError
        Too few cutouts, a model of another shape, or a difference above 1e-5.
    """
    target = Path(path)
    size = spec.preprocess.size
    if len(cutouts) < N_PROOF:
        raise ExportError(f"the proof needs {N_PROOF} cutouts, but {len(cutouts)} were given")
    if tuple(model.input_shape[1:]) not in ((size, size, 2), (None, None, 2)):
        raise ExportError(f"the model takes {model.input_shape}, the spec asks for {(size, size, 2)}")
    cutouts = np.ascontiguousarray(cutouts[:N_PROOF], np.float32)
    expected = keras_outputs(model, spec.classes, spec.real)(cutouts)
    proto = simplify(convert(model, spec))
    # Proved without golden pairs: with these, a graph that differs would not even load.
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    _describe(bare, spec, None)
    golden = GoldenPairs(cutouts[:_N_GOLDEN], expected["score"][:_N_GOLDEN, 0])
    _describe(proto, spec, golden)
    onnx.checker.check_model(proto, full_check=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced(target) as part:
        part.write_bytes(bare.SerializeToString())
        output = Session(part, "cpu").run(cutouts)
        worst = float(np.max(np.abs(output.score - expected["score"][:, 0])))
        if output.classes is not None:
            worst = max(worst, float(np.max(np.abs(output.classes - expected["classes"]))))
        if not worst <= TOLERANCE:
            raise ExportError(
                f"Keras and ONNX Runtime differ by {worst:.2g} on {len(cutouts)} cutouts, more than "
                f"{TOLERANCE:g}; {target} was not written"
            )
        part.write_bytes(proto.SerializeToString())
    log.info("%s: largest difference on %d cutouts %.2g", target, len(cutouts), worst)
    return worst


def keras_outputs(
    model: keras.Model, classes: Sequence[str], real: Sequence[str]
) -> Callable[[Any], dict[str, F32]]:
    """Return a function from cutouts to the outputs that the model file will have.

    Parameters
    ----------
    model : keras.Model
        As for `export_model`.
    classes, real : sequence of str
        All classes, and those that count as real.

    Returns
    -------
    callable
        From cutouts (n, size, size, 2) to a dict of float32: ``score`` (n, 1) and, of a model with
        classes, ``classes`` (n, k).
    """
    is_real = _is_real(classes, real)

    def outputs(cutouts: Any) -> dict[str, F32]:
        found = np.asarray(model.predict(cutouts, batch_size=1024, verbose=0), np.float32)
        if found.shape[1] == 1:
            return {"score": found}
        return {"score": found @ is_real, "classes": found}

    return outputs


def convert(model: keras.Model, spec: ModelSpec) -> onnx.ModelProto:
    """Return a Keras model's graph as tf2onnx makes it, with the outputs that a model file has.

    Parameters
    ----------
    model : keras.Model
        As for `export_model`.
    spec : ModelSpec
        Gives the size of the cutouts, the classes, and which are real.

    Returns
    -------
    onnx.ModelProto
        Without metadata.

    Raises
    ------
    ExportError
        The model has not as many outputs as the spec names classes.
    """
    # Imported here: TensorFlow is needed for nothing but this.
    import tensorflow as tf
    import tf2onnx

    size, k = spec.preprocess.size, model.output_shape[-1]
    if k > 1 and k != len(spec.classes):
        raise ExportError(f"the model has {k} outputs but the spec names {len(spec.classes)} classes")
    signature = (tf.TensorSpec((None, size, size, 2), tf.float32, name="cutouts"),)
    is_real = _is_real(spec.classes, spec.real)

    def outputs(cutouts: Any) -> dict[str, Any]:
        found = model(cutouts, training=False)
        if k == 1:
            return {"score": found}
        return {"score": tf.matmul(found, is_real), "classes": found}

    function = tf.function(outputs, input_signature=signature)
    made = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    proto: onnx.ModelProto = made[0]
    return proto


def _is_real(classes: Sequence[str], real: Sequence[str]) -> F32:
    """Return (k, 1) ones and zeros; a product with them is one node where gather and sum are two."""
    return np.isin(classes, real).astype(np.float32)[:, np.newaxis]


def _describe(proto: onnx.ModelProto, spec: ModelSpec, golden: GoldenPairs | None) -> None:
    entry = proto.metadata_props.add()
    entry.key = METADATA_KEY
    entry.value = dataclasses.replace(spec, golden=golden).to_json()
