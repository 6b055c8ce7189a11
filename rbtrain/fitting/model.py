"""Keras builders, and nothing else. They use the Keras 3 API alone, so any backend will do."""

from collections.abc import Sequence

import keras
from keras import layers

# Of the running statistics: Keras's 0.99 lags behind by an epoch of a small set.
_MOMENTUM = 0.95


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
    ValueError
        A parameter out of range.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[2] is None:
        raise ValueError(f"input_shape must be (height, width, channels), not {input_shape}")
    if len(filters) == 0 or min(filters) < 1:
        raise ValueError(f"filters must be one or more positive numbers, not {filters}")
    if not 0 <= dropout_rate < 1:
        raise ValueError(f"dropout_rate must lie in [0, 1), not {dropout_rate}")
    inputs = keras.Input(shape, name="cutouts")
    x = inputs
    for n in filters:
        x = layers.Conv2D(int(n), 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x)
        # A map of one pixel cannot be halved: deep networks of small cutouts stop pooling there.
        if None in x.shape[1:3] or min(x.shape[1:3]) > 1:
            x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(dense_units, activation="relu")(x)
    x = layers.Dropout(dropout_rate)(x)
    outputs = layers.Dense(1, activation="sigmoid", name="score", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name="realbogus")
    compile_binary(model)
    return model


def create_compact_model(
    n_classes: int,
    size: int = 31,
    filters: Sequence[int] = (32, 64, 128),
    dropout_rate: float = 0.1,
) -> keras.Model:
    """Create a small depthwise-separable network with one softmax over the classes.

    A strided 3 x 3 convolution, then for each further number of filters a strided 3 x 3 depthwise and
    a 1 x 1 convolution (as in MobileNet, Howard et al. 2017, arXiv:1704.04861), all with batch
    normalisation and ReLU. The last map is flattened, not averaged: the position of the light tells
    the object in the centre from its neighbours.

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

    Returns
    -------
    keras.Model
        Compiled with Adam (1e-3) and categorical cross-entropy.
    """
    inputs = keras.Input((size, size, 2), name="cutouts")
    x = layers.Conv2D(filters[0], 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(momentum=_MOMENTUM)(x))
    for n in filters[1:]:
        x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=_MOMENTUM)(x))
        x = layers.Conv2D(n, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=_MOMENTUM)(x))
    x = layers.DepthwiseConv2D(x.shape[1], padding="valid", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=_MOMENTUM)(layers.Flatten()(x)))
    x = layers.Dropout(dropout_rate)(x)
    outputs = layers.Dense(n_classes, activation="softmax", name="classes", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name="compact")
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    return model


def compile_binary(model: keras.Model) -> None:
    """Compile a one-score model as the reference implementation does."""
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss="binary_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(name="auc")],
    )
