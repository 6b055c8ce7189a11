"""Keras builders, and nothing else. They use the Keras 3 API alone, so any backend will do."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import layers

from rbinfer import InputError
from rbinfer._util.arguments import as_number, as_whole, shown
from rbinfer.model.spec import CONTEXT, CORE
from rbinfer.model.stamps import POPULATION, Stamps

from .._arrays import F32

# Of the running statistics: Keras's 0.99 lags behind by an epoch of a small set.
_MOMENTUM = 0.95
#: Numbers that a star is summed up in, from -1 to 1, and the noise that they get in a fit.
_STAR_NUMBERS, _STAR_NOISE = 16, 0.2
#: Features of a population, and the numbers that it is summed up in.
_POPULATION_FEATURES = 64, 16
#: Features of the wide view: of its first layer, and of what the next makes of them.
_CONTEXT_FEATURES = 96, 48
#: Layer that ends the part which is computed once for a frame: the star, and what else is on it. In runs
#: that were begun when there was nothing but a star it has the same name.
_FRAME_FEATURES = "star_features"
#: Inputs of that part.
_OF_FRAME = "psf", "psf_known", "population"
#: Layer of all that is seen, which the star weighs.
JUDGED = "judged"


def create_realbogus_model(
    input_shape: tuple[int | None, int | None, int] = (31, 31, 2),
    filters: Sequence[int] = (32, 64, 128),
    dense_units: int = 64,
    dropout_rate: float = 0.5,
) -> keras.Model:
    """Create the network of the reference implementation.

    For each number of filters a 3 x 3 convolution with ReLU, batch normalisation and 2 x 2 max
    pooling; then global average pooling, a dense layer, dropout and one sigmoid. With the defaults it
    has 102,177 parameters.

    Parameters
    ----------
    input_shape : tuple
        (height, width, channels); height and width may be None.
    filters : sequence of int
        Filters of each convolution.
    dense_units : int
        Units of the dense layer.
    dropout_rate : float
        Fraction dropped after the dense layer, in [0, 1).

    Returns
    -------
    keras.Model
        Compiled with Adam (1e-3), binary cross-entropy, accuracy and AUC.

    Raises
    ------
    InputError
        A parameter out of range.
    """
    shape = _each(input_shape, "input_shape", is_open=True)
    if len(shape) != 3 or shape[2] is None:
        raise InputError(f"input_shape must be (height, width, channels), not {shown(input_shape)}")
    sizes = _each(filters, "filters")
    if not sizes:
        raise InputError("filters must be one or more whole numbers, not none")
    dense_units = as_whole(dense_units, "dense_units", 1)
    rate = as_number(dropout_rate, "dropout_rate")
    if not 0 <= rate < 1:
        raise InputError(f"dropout_rate must lie in [0, 1), not {dropout_rate}")
    inputs = keras.Input(shape, name="cutouts")
    x = inputs
    for n in sizes:
        x = layers.Conv2D(n, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x)
        # A map of one pixel cannot be halved: deep networks of small cutouts stop pooling there.
        if None in x.shape[1:3] or min(x.shape[1:3]) > 1:
            x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(dense_units, activation="relu")(x)
    x = layers.Dropout(rate)(x)
    outputs = layers.Dense(1, activation="sigmoid", name="score", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name="realbogus")
    compile_binary(model)
    return model


def _each(values: Any, name: str, is_open: bool = False) -> list[int | None]:
    """Return whole numbers above 0, of which some may be left open."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a sequence of whole numbers, not {shown(values)}")
    return [
        None if is_open and each is None else as_whole(each, f"each of {name}", 1) for each in values
    ]


def create_compact_model(
    n_classes: int,
    size: int = 31,
    filters: Sequence[int] = (32, 64, 128),
    dropout_rate: float = 0.1,
    psf: bool = False,
    core: bool = False,
    context: bool = False,
    native: int = 48,
    judged: int = 64,
    population: bool = False,
) -> keras.Model:
    """Create a small depthwise-separable network with one softmax over the classes.

    A strided 3 x 3 convolution, then for each further number of filters a strided 3 x 3 depthwise and
    a 1 x 1 convolution (as in MobileNet, Howard et al. 2017, arXiv:1704.04861), all with batch
    normalisation and ReLU. The last map is flattened, not averaged: the position of the light tells
    the object in the centre from its neighbours.

    With `psf` it also looks at the star of the frame. A vector of features of that, made by layers of
    the same kind, weighs and shifts those of the cutout in a further dense layer; it is computed once
    for all cutouts of a frame (`split_psf`). With `population` it is told what else is there: features
    of that are added to those of the star.

    With `core` it also looks at the native pixels around the object. Where stars are wide, resampling
    takes from a hit what tells it from them, that it ends from one pixel to the next. With `context` it
    looks at the wide view as well: a trail or a spike goes on where the cutout ends.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    size : int
        Side of the cutouts in pixels.
    filters : sequence of int
        Filters of each stage.
    dropout_rate : float
        Fraction dropped before the last layer.
    psf : bool
        Read the star of the frame, too: further inputs (size, size, 1) and (1,), see
        `rbinfer.model.stamps.Stamps`.
    core : bool
        Read the native pixels, too: a further input (27,), see `rbinfer.cutouts.cutter.Cutouts`.
    context : bool
        With `core`, read the wide view, too: a further input (169,).
    native : int
        Features of the native pixels, in each of two layers.
    judged : int
        Features of all that is seen, which the star weighs.
    population : bool
        With `psf`, read what the maxima of the frame are like, too: a further input (70,), see
        `rbinfer.measure.population`.

    Returns
    -------
    keras.Model
        Compiled with Adam (1e-3) and categorical cross-entropy.
    """
    cutouts = keras.Input((size, size, 2), name="cutouts")
    x = layers.Conv2D(filters[0], 3, strides=2, padding="same", use_bias=False)(cutouts)
    x = layers.ReLU()(layers.BatchNormalization(momentum=_MOMENTUM)(x))
    for n in filters[1:]:
        x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=_MOMENTUM)(x))
        x = layers.Conv2D(n, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=_MOMENTUM)(x))
    x = layers.DepthwiseConv2D(x.shape[1], padding="valid", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM)(layers.Flatten()(x))
    x = layers.ReLU()(x)
    inputs = [cutouts]
    around = None
    if core:
        cores = keras.Input((CORE,), name="core")
        around = cores
        for i in range(2):
            around = layers.Dense(native, activation="relu", name=f"core_{i}")(around)
    if context:
        view = keras.Input((CONTEXT,), name="context")
        seen = view
        for i, n in enumerate(_CONTEXT_FEATURES):
            seen = layers.Dense(n, activation="relu", name=f"context_{i}")(seen)
        around = layers.Concatenate()([around, seen])
    if psf:
        stars = keras.Input((size, size, 1), name="psf"), keras.Input((1,), name="psf_known")
        inputs += stars
        features = _star_features(*stars, filters, judged)
        if population:
            others = keras.Input((POPULATION,), name="population")
            inputs.append(others)
            told = _population_features(others, filters, judged)
            features = layers.Add()([features, told])
        features = layers.Identity(name=_FRAME_FEATURES)(features)
        x = _beside(x, around, features, judged)
    elif core:
        y = layers.Dense(judged, activation="relu", name=JUDGED)(layers.Concatenate()([x, around]))
        x = layers.Concatenate()([x, y])
    inputs += [cores] if core else []
    inputs += [view] if context else []
    x = layers.Dropout(dropout_rate)(x)
    outputs = layers.Dense(n_classes, activation="softmax", name="classes", dtype="float32")(x)
    model = keras.Model(inputs if len(inputs) > 1 else cutouts, outputs, name="compact")
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    return model


def _star_features(star: Any, known: Any, filters: Sequence[int], judged: int) -> Any:
    """Return a vector of features of a star, 0 where none is known.

    All that is said of a star goes through a few noisy numbers: a fit sees thousands of stars, not
    millions as of cutouts, and would else know each frame, and what is in it, by its star.
    """
    # Named, as all that a fit may go on from; see `rbtrain.fitting.inherit`.
    names = map("psf_{}".format, itertools.count())
    x = layers.Conv2D(filters[0] // 2, 3, strides=2, padding="same", name=next(names))(star)
    x = layers.ReLU()(x)
    for n in filters[1:]:
        x = layers.DepthwiseConv2D(3, strides=2, padding="same", name=next(names))(x)
        x = layers.Conv2D(n // 4, 1, name=next(names))(layers.ReLU()(x))
        x = layers.ReLU()(x)
    x = layers.Flatten()(layers.DepthwiseConv2D(x.shape[1], padding="valid", name=next(names))(x))
    x = layers.Dense(_STAR_NUMBERS, activation="tanh", name=next(names))(layers.ReLU()(x))
    x = layers.GaussianNoise(_STAR_NOISE)(x)
    x = layers.Dense(filters[-1] + judged, name=next(names))(x)
    return layers.Multiply()([x, known])


def _population_features(population: Any, filters: Sequence[int], judged: int) -> Any:
    """Return a vector of features of what else is there, as `_star_features` has them of the star.

    They begin with no weight: a network that was fitted without goes on as it was.
    """
    wide, few = _POPULATION_FEATURES
    x = layers.Dense(wide, activation="relu", name="population_0")(population)
    x = layers.Dense(few, activation="tanh", name="population_1")(x)
    x = layers.GaussianNoise(_STAR_NOISE)(x)
    n = filters[-1] + judged
    return layers.Dense(n, kernel_initializer="zeros", name="population_2")(x)


def _beside(x: Any, around: Any, star: Any, judged: int) -> Any:
    """Put beside the features of a cutout others, of all that is seen, that the star weighs."""
    n = x.shape[-1]
    weighed = layers.Multiply()([x, star[:, :n]])
    seen = layers.Add()([x, weighed])
    if around is not None:
        seen = layers.Concatenate()([seen, around])
    y = layers.Dense(judged, use_bias=False, name=JUDGED)(seen)
    y = layers.ReLU()(layers.Add()([y, star[:, n:]]))
    return layers.Concatenate()([x, y])


def split_psf(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a network that reads stars in two.

    Parameters
    ----------
    model : keras.Model
        From `create_compact_model` with `psf`.

    Returns
    -------
    of_star : keras.Model
        From stars (k, size, size, 1), whether they are known (k, 1) and, where the network reads them,
        populations (k, 70) to features of frames (k, m).
    of_cutout : keras.Model
        From cutouts (n, size, size, 2), the features of the frame of each and, where the network reads
        them, native pixels (n, 27) and wide views (n, 169) to the classes (n, c).
    """
    features = model.get_layer(_FRAME_FEATURES).output
    of_frame = [tensor for tensor in model.inputs if tensor.name in _OF_FRAME]
    rest = model.inputs[1 + len(of_frame) :]
    of_star = keras.Model(of_frame, features)
    return of_star, keras.Model([model.inputs[0], features, *rest], model.outputs[0])


def inputs_of(model: keras.Model, cutouts: F32, stamps: Stamps, cores: F32) -> F32 | list[F32]:
    """Return what a network takes: cutouts alone, or each with its star or with what lies around it.

    Parameters
    ----------
    model : keras.Model
    cutouts : ndarray of float32, shape (n, size, size, 2)
    stamps : Stamps
        Stars of their frames.
    cores : ndarray of float32, shape (n, 196)
        Their native pixels and wide views.
    """
    if len(model.inputs) == 1:
        return cutouts
    psf, known, population = stamps.one_each()
    native, view = cores[:, :CORE], cores[:, CORE:]
    given = {"cutouts": cutouts, "psf": psf, "psf_known": known, "population": population}
    given |= {"core": native, "context": view}
    return [given[tensor.name] for tensor in model.inputs]


def compile_binary(model: keras.Model) -> None:
    """Compile a one-score model as the reference implementation does."""
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss="binary_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(name="auc")],
    )
