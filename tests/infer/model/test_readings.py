"""Readings of what is real, in the files of both schemas."""

import dataclasses
import json

import numpy as np
import pytest

from rbinfer import InputError, ModelError, ModelSpec
from rbinfer.model.readings import OperatingPoint, Reading, counted_score
from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec

POINTS = (OperatingPoint("a", 0.4, 0.01, 0.05), OperatingPoint("b", 0.7, 0.03, 0.02))


@pytest.fixture(scope="module")
def spec():
    return read_spec(resolve("default"))


def test_the_default_model_counts_stars_and_galaxies_and_knows_stars_alone(spec):
    assert (spec.version, spec.real) == ("16", ("star", "galaxy"))
    assert [reading.real for reading in spec.readings] == [("star", "galaxy"), ("star",)]
    assert spec.parent.startswith("default 15, SHA-256 ")
    for reading in spec.readings:
        assert len(reading.operating_points) == 5
        assert {len(shares) for shares in reading.scores.values()} == {20}


def test_a_file_of_the_first_schema_is_one_reading():
    spec = read_spec(resolve("reference"))
    assert [reading.real for reading in spec.readings] == [("real",)]
    assert spec.parent == ""
    assert spec.point_for(max_missed=0.01).threshold == pytest.approx(0.46073901653)
    assert sum(spec.readings[0].scores["bogus"]) == pytest.approx(1, abs=1e-4)
    # Written in today's schema it says the same.
    again = ModelSpec.from_json(spec.to_json())
    assert json.loads(spec.to_json())["schema"] == 2
    assert again == spec


def test_the_point_is_that_of_the_reading(spec):
    first, second = spec.readings
    assert spec.point_for(max_missed=0.01) == first.point_for(max_missed=0.01)
    assert spec.point_for(max_missed=0.01, real=("galaxy", "star")) == first.point_for(max_missed=0.01)
    star = spec.point_for(max_missed=0.01, real=("star",))
    assert star == second.point_for(max_missed=0.01)
    assert star.threshold < first.point_for(max_missed=0.01).threshold
    with pytest.raises(InputError, match="no rates with galaxy real, but with star,galaxy or with star"):
        spec.point_for(max_missed=0.01, real=("galaxy",))


@pytest.mark.parametrize(
    ("bounds", "name"),
    [({"max_missed": 0.03}, "b"), ({"max_missed": 0.02}, "a"), ({"max_false": 0.05}, "a")],
)
def test_of_the_points_within_the_bound_the_best_is_taken(bounds, name):
    assert Reading(("star",), 0.5, POINTS).point_for(**bounds).name == name


def test_bounds_that_no_point_keeps_are_told_with_what_there_is():
    reading = Reading(("star", "galaxy"), 0.5, POINTS)
    with pytest.raises(InputError, match=r"with star,galaxy real .*1.00% / 5.00%, 3.00% / 2.00%"):
        reading.point_for(max_false=0.001)
    with pytest.raises(InputError, match="give one of"):
        reading.point_for()


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ((), "needs a reading"),
        ((Reading(("comet",)),), "must be among"),
        ((Reading(()),), "must be among"),
        ((Reading(("star", "galaxy")), Reading(("galaxy", "star"))), "two readings with galaxy,star"),
    ],
)
def test_readings_that_cannot_be_are_refused(spec, readings, words):
    with pytest.raises(ModelError, match=words):
        dataclasses.replace(spec, readings=readings)


def test_a_counted_score_is_at_most_one():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 30, (100_000, 3)).astype(np.float32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    classes = powers / powers.sum(axis=1, keepdims=True)
    total = classes[:, [0, 1, 2]].sum(axis=1, dtype=np.float32)
    assert total.max() > 1  # what rounding does
    assert counted_score(classes, [0, 1, 2]).max() == 1
    np.testing.assert_array_equal(counted_score(classes, [1]), classes[:, 1])
