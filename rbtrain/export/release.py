"""From a finished run to a model file: calibrate on held-out frames, find thresholds, export."""

import dataclasses
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rbinfer import ModelSpec, PreprocessSpec
from rbinfer.model.readings import Reading
from rbinfer.model.stamps import Stamps

from .._arrays import F16, F32
from ..config import CLASSES, SOURCES, TrainConfig
from ..data.cutting import cut_frame, frame_rng
from ..data.dataset import Dataset
from ..data.label import is_of
from ..fitting.batches import targets_of
from ..fitting.blend import blend
from ..fitting.calibrate import calibrate
from ..fitting.fit import PARENT, PARENT_NETWORK, in_single_precision, to_measure
from ..fitting.model import inputs_of
from ..fitting.rates import measured_reading, measured_readings, mix_weights, width_weights
from ..fitting.saved import load_network
from ..simulate import draw_frame
from .convert import export_model, keras_outputs
from .proof import N_PROOF, ExportError

#: Seed of the frames for proofs when there is no dataset; far from the seeds of trainings.
_PROOF_SEED = 20_011
_MOST_FRAMES = 200
#: Stars above 5 sigma per square FWHM from which on the scatter of pixels is that of stars.
_CROWDED = 0.05


def export_run(
    config: TrainConfig, data: Dataset, keras_file: str | os.PathLike[str], path: str | os.PathLike[str]
) -> float:
    """Calibrate the network of a run on the validation frames and export it.

    One that began with the network of a model file is moved back towards it first, as far as the
    configuration says.

    Parameters
    ----------
    config : TrainConfig
    data : Dataset
        The training set; only its validation frames are used.
    keras_file : path
        The network.
    path : path
        The ``.onnx`` file.

    Returns
    -------
    float
        Largest difference between Keras and ONNX Runtime on 1,000 cutouts, of the validation frames
        as far as these go.
    """
    model = in_single_precision(config, load_network(config, keras_file))
    if config.fit.parent_share > 0:
        began = load_network(config, Path(keras_file).with_name(PARENT_NETWORK))
        parent = in_single_precision(config, began)
        blend(model, parent, config.fit.parent_share, to_measure(config, data))
    training, held_out = data.split(config.data.validation)
    labels = data.rows["label"][held_out]
    inputs = inputs_of(model, *data.inputs(held_out))
    targets = targets_of(config, labels)
    weights = mix_weights(labels, config.sources)
    widths, of_bogus = config.fit.widths, config.fit.bogus_weights
    weights *= width_weights(data.rows[held_out], widths, of_bogus)
    model, parameters = calibrate(model, inputs, targets, weights, SOURCES)
    multi = targets.shape[1] > 1
    parameters |= {"sources": config.sources, "widths": [*widths], "bogus_weights": [*of_bogus]}
    outputs = keras_outputs(model, CLASSES, config.real)(inputs)
    if multi:
        readings = measured_readings(config, labels, outputs["classes"])
    else:
        # A model with one score cannot name what it counts as real by its own classes.
        parameters["counted_as_real"] = list(config.real)
        readings = (measured_reading(("real",), labels, config.real, outputs["score"][:, 0]),)
    spec = _spec(
        config,
        multi,
        readings=readings,
        calibration=parameters,
        fwhm_range=_percentiles(data.rows["fwhm"]),
        snr_range=(_least_snr(data.rows, config.real), np.inf),
    )
    noted = Path(keras_file).with_name(PARENT)
    if noted.exists():
        spec = dataclasses.replace(spec, parent=noted.read_text(encoding="utf-8").strip())
    rng = np.random.default_rng(config.fit.seed)
    proof = np.concatenate([rng.permutation(held_out), rng.permutation(training)])[:N_PROOF]
    return export_model(model, spec, path, data.inputs(np.sort(proof)))


def export_keras(
    keras_file: str | os.PathLike[str], path: str | os.PathLike[str], config: TrainConfig | None = None
) -> float:
    """Export a Keras file as it is, without calibration, proved on freshly simulated cutouts.

    Parameters
    ----------
    keras_file : path
        A model with one score (or, with `config`, the classes that it names).
    path : path
        The ``.onnx`` file.
    config : TrainConfig, optional
        How the model was trained; without it the reference preprocessing is taken.

    Returns
    -------
    float
        Largest difference between Keras and ONNX Runtime on 1,000 simulated cutouts.

    Raises
    ------
    ExportError
        The file cannot be read, or holds a model of another form.
    """
    try:
        model = keras.models.load_model(keras_file, safe_mode=True)
    except (OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ExportError(
            f"{keras_file} cannot be read as a file of Keras (.keras, .h5): {str(error).splitlines()[0]}"
        ) from error
    _check_form(model, keras_file, config)
    if config is None:
        size = model.input_shape[1] or 31
        config = TrainConfig(name=Path(path).stem, preprocess=PreprocessSpec.reference(size))
    spec = _spec(config, model.output_shape[-1] > 1)
    return export_model(model, spec, path, simulated_cutouts(config, N_PROOF))


def _check_form(
    model: keras.Model, keras_file: str | os.PathLike[str], config: TrainConfig | None
) -> None:
    """Refuse a network that no model file can hold, before anything is simulated for the proof."""
    shapes = [tuple(tensor.shape) for tensor in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] not in (1, len(CLASSES)):
        found = " and ".join(str(shape) for shape in shapes)
        raise ExportError(
            f"{keras_file} has outputs of the shape {found}; a network has one: (n, 1), the score, "
            f"or (n, {len(CLASSES)}), a softmax over {', '.join(CLASSES)}"
        )
    taken = tuple(model.inputs[0].shape)
    if config is None and not (len(taken) == 4 and taken[3] == 2 and taken[1] == taken[2]):
        raise ExportError(f"{keras_file} takes {taken}; a network takes cutouts (n, size, size, 2)")


def simulated_cutouts(config: TrainConfig, n: int) -> tuple[F32, Stamps, F32]:
    """Cut `n` cutouts from freshly simulated frames.

    Parameters
    ----------
    config : TrainConfig
        How frames are drawn and cut.
    n : int

    Returns
    -------
    cutouts : ndarray of float32, shape (n, size, size, 2)
    stamps : Stamps
        The stars of their frames.
    cores : ndarray of float32, shape (n, 196)
        What lies around them.

    Raises
    ------
    ValueError
        Many frames gave too few; says how many.
    """
    size = config.preprocess.size
    parts: list[F16] = []
    stamps: list[Stamps] = []
    cores: list[F32] = []
    index = 0
    while (count := sum(map(len, parts))) < n:
        if index >= _MOST_FRAMES:
            raise ValueError(
                f"{index} simulated frames gave {count} cutouts; {n} are needed. Check "
                "the ranges under [simulate] and [data]"
            )
        rng = frame_rng(_PROOF_SEED, index)
        cut = cut_frame(draw_frame(config.simulate, rng), config.preprocess, config.data, rng)
        parts.append(cut.pixels)
        stamps.append(Stamps.of(cut.star, size, len(cut.pixels), cut.population))
        cores.append(cut.cores)
        index += 1
    cutouts = np.concatenate(parts)[:n].astype(np.float32)
    return cutouts, Stamps.joined(stamps).taken(slice(n)), np.concatenate(cores)[:n]


def _spec(
    config: TrainConfig, multi: bool, readings: tuple[Reading, ...] = (), **measured: Any
) -> ModelSpec:
    """Spec of a model with one score, or with classes."""
    return ModelSpec(
        name=config.name,
        version=config.version,
        preprocess=config.preprocess,
        classes=CLASSES if multi else ("bogus", "real"),
        readings=readings or (Reading(config.real if multi else ("real",)),),
        config_hash=config.hash,
        **measured,
    )


def _least_snr(rows: NDArray[np.void], real: Sequence[str]) -> float:
    """Return the S/N below which hardly any real detection of a dataset lies, crowded fields apart.

    The noise of a cutout is the scatter of its pixels, which in a crowded field is that of stars.
    """
    taken = is_of(rows["label"], real)
    apart = taken & (rows["crowding"] < _CROWDED)
    snr = rows["window_snr"][apart if apart.any() else taken]
    return round(float(np.percentile(snr, 0.5)), 2)


def _percentiles(values: F32) -> tuple[float, float]:
    low, high = np.percentile(values, [0.5, 99.5])
    return round(float(low), 2), round(float(high), 2)
