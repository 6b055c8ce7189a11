"""Labels to adapt to: which are taken, and which a model was fitted to before."""

from dataclasses import replace

import numpy as np
import pytest

from rbinfer._util.hashing import digest
from rbinfer.io.labels import Label, LabelFile
from rbtrain.data.given_labels import given_labels, marks_of, unseen


def label(x, purity=np.nan, evidence="person", image="a", **more):
    return Label(
        f"/{image}.fits", image, float(x), 0.0, "real", evidence=evidence, purity=purity, **more
    )


def test_harvested_labels_that_may_be_wrong_take_no_part(tmp_path, caplog):
    path = tmp_path / "labels.ecsv"
    rows = [
        label(0),
        label(10, 0.5),  # a person's: no purity counts against it
        label(20, 0.5, "once"),
        label(30, 0.949, "once"),
        label(40, 0.95, "once"),
        label(50, np.nan, "mask"),
    ]
    LabelFile(path).append(rows)
    found = given_labels([path], np.random.default_rng(0))
    assert [one.x for one in found.labels] == [0, 10, 40, 50]
    assert found.sha256 == [digest(path)]
    assert "harvested labels not taken: 2; less than 95 %" in caplog.text


def test_all_of_a_person_and_some_of_the_harvested_are_taken(tmp_path):
    rows = [label(x, 0.99, "dark") for x in range(2100)] + [label(x) for x in range(2100, 2130)]
    LabelFile(tmp_path / "labels.ecsv").append(rows)
    found = given_labels([tmp_path / "labels.ecsv"], np.random.default_rng(0)).labels
    assert sum(one.evidence == "person" for one in found) == 30
    assert len(found) == 2030


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {}, []),
        ({}, {3: "bogus", 4: "bogus"}, [("a", "b", 2)]),
        ({3: "bogus"}, {4: "bogus", 5: "skip"}, [("a", "b", 2)]),
    ],
)
def test_tables_that_contradict_each_other_are_told(tmp_path, caplog, first, second, told):
    for name, other in (("a", first), ("b", second)):
        rows = [replace(label(x), label=other.get(x, "real")) for x in range(6)]
        LabelFile(tmp_path / f"{name}.ecsv").append(rows)
    paths = {name: tmp_path / f"{name}.ecsv" for name in "ab"}
    found = given_labels(paths.values(), np.random.default_rng(0)).labels
    assert {int(one.x) for one in found if one.label == "bogus"} == {
        x for x, said in second.items() if said == "bogus"
    }
    assert caplog.messages == [
        f"labels of {paths[loser]} that {paths[winner]} contradicts: {n}; those of {paths[winner]} hold"
        for loser, winner, n in told
    ]


def test_a_person_holds_whatever_table_is_named_last(tmp_path, caplog):
    LabelFile(tmp_path / "a.ecsv").append([label(0), label(9)])
    LabelFile(tmp_path / "b.ecsv").append([replace(label(0, 0.99, "dark"), label="bogus")])
    found = given_labels([tmp_path / "a.ecsv", tmp_path / "b.ecsv"], np.random.default_rng(0)).labels
    assert [one.label for one in found] == ["real", "real"]
    assert "a.ecsv contradicts: 1; those of" in caplog.text


def test_an_object_is_seen_if_one_of_its_labels_is():
    old = label(100.0)
    labels = [
        old,
        label(101.0),  # the same pixel, nearly
        label(100.0, image="b"),  # the same place of the detector
        label(300.0),
        label(400.0, ra=10.0, dec=20.0),
        label(900.0, image="b", ra=10.0, dec=20.0),
    ]
    assert unseen(labels, ()).all()
    assert unseen(labels, marks_of([old])).tolist() == [False, False, False, True, True, True]
    assert unseen(labels, marks_of(labels[5:])).tolist() == [True, True, True, True, False, False]
    assert not unseen(labels, marks_of(labels)).any()


@pytest.mark.parametrize("change", [{"x": 1.001}, {"hdu": 2}, {"image": "b"}, {"plane": "R"}])
def test_marks_tell_labels_apart_as_keys_do(change):
    base = {"x": 1.0, "image": "a"}
    assert marks_of([label(**base)]) != marks_of([label(**base | change)])
    assert marks_of([label(**base)]) == marks_of([label(**base, purity=0.3, evidence="dark")])
