"""Frames with stars that are known, for networks that read them."""

import dataclasses

import pytest

from rbtrain.config import DataConfig, NetworkConfig
from rbtrain.data.building import build_dataset


@pytest.fixture(scope="session")
def star_config(config):
    return dataclasses.replace(
        config,
        data=DataConfig(frames=40, test_frames=2, seed=9, per_class=30, sources=60, measured=0.8),
        network=NetworkConfig(
            "compact",
            filters=(8, 16, 16),
            dropout=0.0,
            psf=True,
            core=True,
            context=True,
            population=True,
        ),
        fit=dataclasses.replace(config.fit, epochs=3),
    )


@pytest.fixture(scope="session")
def star_data(star_config, tmp_path_factory):
    return build_dataset(star_config, tmp_path_factory.mktemp("stars") / "train", workers=1)
