"""Export Keras to ONNX: the graph is checked, compared with Keras, and describes itself."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import onnx

from rbinfer.model.spec import CONTEXT, CORE, ModelSpec
from rbinfer.model.stamps import POPULATION, Stamps

from .._arrays import F32
from ..fitting.model import inputs_of, split_psf
from .graph import simplify
from .proof import N_PROOF, ExportError, counted, write_proved

OPSET = 17
#: By how much probabilities in float32 may miss 1.
_ROUNDING = 1e-4


def export_model(
    model: keras.Model,
    spec: ModelSpec,
    path: str | os.PathLike[str],
    inputs: tuple[F32, Stamps, F32],
) -> float:
    """Write a Keras model as a self-describing ONNX file, if it proves to be the same function.

    Parameters
    ----------
    model : keras.Model
        Input (n, size, size, 2), with or without a star and native pixels for each; output (n, 1), one
        score, or (n, k), a softmax over ``spec.classes``.
    spec : ModelSpec
        What the file shall say of itself; its golden pairs are made here.
    path : path
        The ``.onnx`` file; written beside and renamed.
    inputs : (ndarray of float32, Stamps, ndarray of float32)
        At least 1,000 cutouts (n, size, size, 2) for the proof, made by the preprocessing that `spec`
        names, the stars of their frames, and what lies around them (n, 196).

    Returns
    -------
    float
        Largest difference found.

    Raises
    ------
    ExportError
        Too few cutouts, a model of another shape, outputs that are no probabilities, or a difference
        above 1e-5.
    """
    size = spec.preprocess.size
    cutouts, stamps, cores = inputs
    if len(cutouts) < N_PROOF:
        raise ExportError(f"the proof needs {N_PROOF} cutouts, but {len(cutouts)} were given")
    shape = tuple(model.inputs[0].shape)
    if shape[1:] not in ((size, size, 2), (None, None, 2)):
        raise ExportError(f"the model takes {shape}, the spec asks for {(size, size, 2)}")
    some = slice(N_PROOF)
    inputs = np.ascontiguousarray(cutouts[some], np.float32), stamps.taken(some), cores[some]
    expected = keras_outputs(model, spec.classes, spec.real)(inputs_of(model, *inputs))
    _check_probabilities(expected)
    return write_proved(simplify(convert(model, spec)), spec, path, inputs, expected)


def _check_probabilities(outputs: Mapping[str, F32]) -> None:
    """Refuse outputs that do not end in a sigmoid or a softmax."""
    for found, end in ((outputs["score"], "sigmoid"), (outputs.get("classes"), "softmax")):
        if found is None:
            continue
        sums = found.sum(axis=1)
        in_range = bool(((found >= 0) & (found <= 1 + _ROUNDING)).all())  # no NaN
        if not in_range or (end == "softmax" and np.abs(sums - 1).max() > _ROUNDING):
            low, high = float(found.min()), float(found.max())
            about = f", with sums from {sums.min():.3g} to {sums.max():.3g}" if end == "softmax" else ""
            raise ExportError(
                f"the outputs of the network reach from {low:.3g} to {high:.3g}{about}: they are no "
                f"probabilities; end it with a {end}"
            )


def keras_outputs(
    model: keras.Model, classes: Sequence[str], real: Sequence[str]
) -> Callable[[Any], dict[str, F32]]:
    """Return a function from inputs to the outputs that the model file will have.

    Parameters
    ----------
    model : keras.Model
        As for `export_model`.
    classes, real : sequence of str
        All classes, and those that count as real.

    Returns
    -------
    callable
        From what the model takes of n cutouts to a dict of float32: ``score`` (n, 1) and, of a model
        with classes, ``classes`` (n, k).
    """
    is_real = counted(classes, real)

    def outputs(inputs: Any) -> dict[str, F32]:
        found = np.asarray(model.predict(inputs, batch_size=1024, verbose=0), np.float32)
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
    signature = [tf.TensorSpec((None, size, size, 2), tf.float32, name="cutouts")]
    is_real = counted(spec.classes, spec.real)
    names = [tensor.name for tensor in model.inputs]
    reads_psf = "psf" in names
    if reads_psf:
        signature += [
            tf.TensorSpec((None, size, size, 1), tf.float32, name="psf"),
            tf.TensorSpec((None, 1), tf.float32, name="psf_known"),
            tf.TensorSpec((None,), tf.int64, name="psf_index"),
        ]
        of_star, of_cutout = split_psf(model)
    reads_population = "population" in names
    if reads_population:
        signature.append(tf.TensorSpec((None, POPULATION), tf.float32, name="population"))
    for name, n in (("core", CORE), ("context", CONTEXT)):
        if name in names:
            signature.append(tf.TensorSpec((None, n), tf.float32, name=name))

    def outputs(cutouts: Any, *others: Any) -> dict[str, Any]:
        if reads_psf:
            psf, known, index, *around = others
            population = [around.pop(0)] if reads_population else []
            features = tf.gather(of_star([psf, known, *population], training=False), index)
            found = of_cutout([cutouts, features, *around], training=False)
        else:
            found = model([cutouts, *others] if others else cutouts, training=False)
        if k == 1:
            return {"score": found}
        return {"score": tf.matmul(found, is_real), "classes": found}

    function = tf.function(outputs, input_signature=signature)
    made = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    proto: onnx.ModelProto = made[0]
    return proto
