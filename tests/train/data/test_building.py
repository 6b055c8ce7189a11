"""Datasets are made from seeds: the same bytes, interrupted or not, and nothing half there."""

import dataclasses
import os

import numpy as np
import pytest

from rbtrain.data import building
from rbtrain.data.building import build_dataset
from rbtrain.data.dataset import Dataset


def with_frames(config, n, seed=5):
    return dataclasses.replace(config, data=dataclasses.replace(config.data, frames=n, seed=seed))


def bytes_of(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_the_same_seed_gives_the_same_bytes(config, data, tmp_path):
    again = build_dataset(config, tmp_path / "again", workers=2)
    assert again.rows.tobytes() == data.rows.tobytes()
    assert again.pixels.tobytes() == data.pixels.tobytes()
    other = dataclasses.replace(config, data=dataclasses.replace(config.data, seed=6, frames=4))
    assert build_dataset(other, tmp_path / "other", workers=1).pixels.tobytes() != (
        data.pixels[: len(Dataset.open(tmp_path / "other"))].tobytes()
    )


def test_validation_frames_drawn_alone_are_those_of_the_training_set(config, data, tmp_path):
    alone = build_dataset(config, tmp_path / "validation", part="validation", workers=1)
    training, held_out = alone.split(config.data.validation)
    assert len(training) == 0
    assert len(held_out) == len(alone) > 100
    _, rows = data.split(config.data.validation)
    np.testing.assert_array_equal(alone.rows, data.rows[rows])
    np.testing.assert_array_equal(alone.pixels, data.pixels[rows])


def test_test_frames_are_others(config, data, tmp_path):
    test = build_dataset(config, tmp_path / "test", part="test", workers=1)
    assert not set(test.rows["frame"]) & set(data.rows["frame"])


def test_nothing_is_overwritten_or_half_there(config, data, tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileExistsError, match="taken exists"):
        build_dataset(config, tmp_path / "taken")
    with pytest.raises(FileNotFoundError, match="rbtrain simulate"):
        Dataset.open(tmp_path / "taken")


def test_two_processes_do_not_simulate_one_set(config, tmp_path):
    few = dataclasses.replace(config, data=dataclasses.replace(config.data, frames=4))
    refused = []

    def again(done, n):
        with pytest.raises(FileExistsError, match=r"another process simulates .*train now; wait"):
            build_dataset(few, tmp_path / "train", workers=1)
        refused.append(done)

    alone = build_dataset(few, tmp_path / "alone", workers=1)
    found = build_dataset(few, tmp_path / "train", workers=1, progress=again)
    assert refused == [4]
    assert found.pixels.tobytes() == alone.pixels.tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "train"]


@pytest.fixture
def of_two(monkeypatch):
    """Parts of two frames, so that a few frames are several parts."""
    monkeypatch.setattr(building, "_PER_TASK", 2)


def interrupted(config, where, after):
    """Simulate until so many frames are done."""

    def interrupt(done, n):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dataset(config, where, workers=1, progress=interrupt)
    assert not where.exists()


def test_an_interrupted_simulation_goes_on(config, tmp_path, of_two):
    few = with_frames(config, 7)
    build_dataset(few, tmp_path / "alone", workers=1)
    where, told = tmp_path / "train", []
    interrupted(few, where, 2)
    interrupted(few, where, 4)
    build_dataset(few, where, workers=2, progress=lambda done, n: told.append((done, n)))
    assert told == [(4, 7), (6, 7), (7, 7)]
    assert bytes_of(where) == bytes_of(tmp_path / "alone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "train"]


@pytest.mark.parametrize("lacking", ["the part", "its pixels", "what belongs to them"])
def test_a_part_that_was_cut_short_is_drawn_again(config, tmp_path, of_two, lacking):
    few = with_frames(config, 6)
    build_dataset(few, tmp_path / "alone", workers=1)
    interrupted(few, tmp_path / "train", 4)
    unfinished = tmp_path / "train.part"
    pixels, second = unfinished / "pixels.f16", unfinished / "parts" / "000001.npz"
    if lacking == "the part":
        second.unlink()
    elif lacking == "its pixels":
        os.truncate(pixels, pixels.stat().st_size - 100)
    else:
        os.truncate(second, second.stat().st_size // 2)
    told = []
    build_dataset(few, tmp_path / "train", workers=1, progress=lambda done, n: told.append(done))
    assert told == [2, 4, 6]
    assert bytes_of(tmp_path / "train") == bytes_of(tmp_path / "alone")


def test_what_is_left_of_other_settings_is_not_gone_on_with(config, tmp_path, of_two, caplog):
    interrupted(with_frames(config, 4), tmp_path / "train", 2)
    other = with_frames(config, 4, seed=6)
    build_dataset(other, tmp_path / "train", workers=1)
    assert "train.part is of other settings, and is removed" in caplog.text
    build_dataset(other, tmp_path / "alone", workers=1)
    assert bytes_of(tmp_path / "train") == bytes_of(tmp_path / "alone")
