"""Fixtures for the training install."""

import dataclasses
import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rbinfer import PreprocessSpec
from rbtrain.config import DataConfig, FitConfig, NetworkConfig, TrainConfig
from rbtrain.data.building import build_dataset
from rbtrain.data.dataset import Dataset
from rbtrain.simulate import SimulateConfig


@pytest.fixture(scope="session")
def config() -> TrainConfig:
    """A training that takes seconds."""
    return TrainConfig(
        name="tiny",
        simulate=SimulateConfig(width=256, height=256),
        data=DataConfig(frames=80, test_frames=6, seed=5, per_class=30, sources=60),
        network=NetworkConfig("compact", filters=(16, 32), dropout=0.0),
        fit=FitConfig(epochs=5, batch_size=64, learning_rate=5e-3),
    )


@pytest.fixture(scope="session")
def reference_config(config) -> TrainConfig:
    """The same with the reference architecture and preprocessing, made small."""
    return dataclasses.replace(
        config,
        name="tiny-reference",
        preprocess=PreprocessSpec.reference(),
        network=NetworkConfig("reference", filters=(8, 16), dense_units=8, dropout=0.2),
    )


@pytest.fixture(scope="session")
def data(config, tmp_path_factory) -> Dataset:
    return build_dataset(config, tmp_path_factory.mktemp("data") / "train", workers=1)
