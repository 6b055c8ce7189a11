"""Answers of a person: on disk at once, taken back, found again after a restart, shared by windows."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.errors import InputError, RbinferError
from rbinfer.io.labels import Label, LabelFile, current, read_labels
from rbinfer.label.frames import ImageChangedError
from rbinfer.label.order import PARTS
from rbinfer.label.pool import read_pool, read_single
from rbinfer.label.session import AnsweredElsewhereError, make_session

from .conftest import SIDE, write_image, write_result, write_results


@pytest.fixture
def table(results):
    return results / "labels.ecsv"


def _session(results, goal=200, images=None, who="Ada"):
    return make_session(read_pool(results, images), results / "labels.ecsv", who, goal)


def test_an_answer_says_all_that_finds_the_detection_again(results, table):
    session = _session(results)
    item = session.take("one", 1)[0]
    progress = session.answer(item["item"], "real", "galaxy")
    assert (progress["labelled"], progress["real"], progress["items"]) == (1, 1, 120)
    label = read_labels(table)[0]
    scored = Table.read(label.catalog)
    image = Path(label.image)
    assert image.is_absolute()
    assert image.name == item["image"]
    assert (label.x, label.y) == pytest.approx(tuple(scored["x", "y"][label.row]), abs=5e-4)
    assert label.score == pytest.approx(scored["rb_score"][label.row], abs=1e-6)
    assert (label.label, label.kind, label.who, label.evidence) == ("real", "galaxy", "Ada", "person")
    assert label.part == item["part"]
    assert label.verdict == item["verdict"]
    # The pixel of reference is the middle, counted from 1; 3e-4 degrees a pixel.
    assert label.dec == pytest.approx(41 + 3e-4 * (label.y - (SIDE / 2 - 1)), abs=1e-5)
    east = -3e-4 * (label.x - (SIDE / 2 - 1)) / np.cos(np.radians(41))
    assert label.ra == pytest.approx(10 + east, abs=1e-4)


def test_what_was_answered_is_not_asked_again(results, table):
    session = _session(results)
    first = [item["item"] for item in session.take("one", 5)]
    for item in first:
        session.answer(item, "bogus", window="one")
    session.undo(first[2], "one")
    for again in (session, _session(results)):
        assert again.progress()["labelled"] == 4
        assert again.take("one", 1)[0]["item"] == first[2]
        assert not {item["item"] for item in again.take("one", 50)} & {*first[:2], *first[3:]}
    assert [label.label for label in read_labels(table)] == ["bogus"] * 5 + ["undo"]
    assert len(current(read_labels(table))) == 4
    assert session.state("one")["recent"] == [first[0], first[1], first[3], first[4]]


def test_the_last_answer_counts(results):
    session = _session(results)
    for label in ("real", "bogus", "skip"):
        progress = session.answer(3, label)
    assert (progress["labelled"], progress["skipped"]) == (0, 1)
    progress = session.undo(3)
    assert (progress["bogus"], progress["skipped"], session.item(3)["answer"]) == (1, 0, "bogus")
    assert session.undo(3)["real"] == 1
    assert session.undo(3)["labelled"] == 0
    with pytest.raises(InputError, match="item 3 has no answer"):
        session.undo(3)


def test_windows_get_different_detections(results):
    session = _session(results)
    mine, yours = session.take("one", 6), session.take("two", 6)
    assert not {item["item"] for item in mine} & {item["item"] for item in yours}
    assert [item["item"] for item in session.take("one", 6)] == [item["item"] for item in mine]


def test_two_processes_on_one_table(results, table):
    one, two = _session(results, who="Ada"), _session(results, who="Ben")
    one.answer(0, "real")
    with pytest.raises(AnsweredElsewhereError, match="another window has answered 'real'"):
        two.answer(0, "bogus")
    two.answer(1, "real")
    assert [label.who for label in read_labels(table)] == ["Ada", "Ben"]
    assert one.take("one", 1)[0]["item"] == 2
    assert one.progress()["labelled"] == two.progress()["labelled"] == 2
    with pytest.raises(AnsweredElsewhereError, match="in another window"):
        two.undo(0)
    assert (one.state()["recent"], two.state()["recent"]) == ([0], [1])
    one.undo(0)
    two.answer(0, "bogus")
    assert [label.who for label in current(read_labels(table))] == ["Ben", "Ben"]


def test_two_windows_of_one_process(results):
    session = _session(results)
    session.answer(0, "real", window="one")
    with pytest.raises(AnsweredElsewhereError):
        session.answer(0, "bogus", window="two")
    with pytest.raises(AnsweredElsewhereError):
        session.undo(0, "two")
    session.answer(1, "skip", window="two")
    assert (session.state("one")["recent"], session.state("two")["recent"]) == ([0], [1])
    session.undo(0, "one")
    assert session.take("two", 1)[0]["item"] != 0  # the window that took it back has it
    assert session.take("one", 1)[0]["item"] == 0
    # After a restart the same person may take back what was answered before; others may not.
    assert _session(results).state("three")["recent"] == [1]
    assert _session(results, who="Ben").state("three")["recent"] == []


def test_what_is_left_and_why(results, tmp_path):
    session = _session(results)
    session.answer(session.take("one", 1)[0]["item"], "real", window="one")
    session.take("two", 10)
    assert session.rest("one") == {"open": 119, "leased": 10, "unreadable": 0}
    assert session.rest("two")["leased"] == 0
    gone = next(item for item in range(120) if session.item(item)["image"] == "im2.fits")
    (tmp_path / "images" / "im2.fits").unlink()
    with pytest.raises(RbinferError):
        session.frame(gone)
    assert session.rest("one")["unreadable"] in (39, 40)  # one of them may have the answer


def test_an_image_that_came_back_is_shown_again(results, tmp_path, monkeypatch):
    session = _session(results)
    image = tmp_path / "images" / session.item(0)["image"]
    image.rename(tmp_path / "away.fits")
    with pytest.raises(RbinferError):
        session.frame(0)
    (tmp_path / "away.fits").rename(image)
    assert session.item(0)["image"] not in {item["image"] for item in session.take("one", 120)}
    monkeypatch.setattr("rbinfer.label.session._AGAIN", -1.0)
    image.rename(tmp_path / "away.fits")
    with pytest.raises(RbinferError):
        session.frame(0)
    (tmp_path / "away.fits").rename(image)
    assert len(session.take("one", 120)) == 120


def test_an_image_that_was_replaced_gets_no_label(results, table, tmp_path):
    session = _session(results)
    name = session.item(0)["image"]
    session.frame(0)
    (tmp_path / "images" / name).touch()  # the same bytes
    session.answer(0, "real")
    write_image(tmp_path / "images" / name, 77, 40)
    same = next(k for k in range(1, 120) if session.item(k)["image"] == name)
    with pytest.raises(ImageChangedError, match=f"{name} has changed; score it again"):
        session.answer(same, "real")
    assert len(read_labels(table)) == 1


def test_detections_that_are_there_twice_are_asked_once(results, tmp_path):
    shutil.copy(results / "im0.ecsv", results / "copied.ecsv")
    shutil.copy(tmp_path / "images" / "im1.fits", tmp_path / "images" / "other.fits")
    other = Table.read(results / "im1.ecsv")
    other.meta["rb_image"] = str(tmp_path / "images" / "other.fits")
    other.write(results / "other.ecsv")
    doubled = Table.read(results / "im2.ecsv")
    doubled.add_row(doubled[5])
    doubled.write(results / "im2.ecsv", overwrite=True)
    session = _session(results)
    assert any("81 detections are there twice" in note for note in session.pool.notes)
    seen = 0
    while items := session.take("one", 50):
        for item in items:
            session.answer(item["item"], "real")
        seen += len(items)
        assert seen <= 120
    assert session.progress()["labelled"] == seen == 120


def test_planes_of_a_cube_are_different_detections(tmp_path):
    rng = np.random.default_rng(3)
    cube = rng.normal(500, 8, (3, SIDE, SIDE)).astype(np.float32)
    fits.writeto(tmp_path / "cube.fits", cube)
    results = tmp_path / "results"
    results.mkdir()
    place = np.array([50.0, 90.0])
    for plane in ("R", "1"):
        write_result(
            results / f"{plane}.ecsv", tmp_path / "cube.fits", 1, place, place, given={"plane": plane}
        )
    session = _session(results)
    assert len(session) == 4
    for item in range(4):
        shown = session.item(item)
        number = {"R": 0, "1": 1}[shown["plane"]]
        assert np.array_equal(session.frame(item)[2].exposure.pixels, cube[number])
        session.answer(item, "real" if number else "bogus")
    labels = current(read_labels(results / "labels.ecsv"))
    assert sorted((label.plane, label.label) for label in labels) == [
        *[("1", "real")] * 2,
        *[("R", "bogus")] * 2,
    ]
    assert _session(results).take("one", 4) == []


def test_a_name_that_is_not_utf_8(tmp_path):
    image = tmp_path / os.fsdecode(b"caf\xe9.fits")
    x, y = write_image(image, 5, 4)
    write_result(tmp_path / "scored.ecsv", "", 5, x, y)
    session = make_session(read_single(image, tmp_path / "scored.ecsv"), tmp_path / "labels.ecsv", "", 9)
    for item in session.take("one", 4):
        session.answer(item["item"], "real")
    assert session.take("one", 4) == []
    assert session.progress()["labelled"] == 4


def test_a_table_that_was_replaced_is_taken_in_anew(results, table, tmp_path):
    session = _session(results)
    for item in range(3):
        session.answer(item, "real")
    kept = tmp_path / "kept.ecsv"
    LabelFile(kept).append(read_labels(table)[1:2])
    kept.replace(table)
    assert session.state()["progress"]["labelled"] == 1
    assert {0, 2} <= {item["item"] for item in session.take("", 10)}


def test_an_answer_that_is_on_disk_is_not_refused(results, table, monkeypatch):
    session = _session(results)
    append = LabelFile.append

    def then_unreadable(self, labels, file=None):
        append(self, labels, file)
        monkeypatch.setattr(LabelFile, "new", broken)

    def broken(self, file=None):
        raise RbinferError("cannot be read")

    new = LabelFile.new
    monkeypatch.setattr(LabelFile, "append", then_unreadable)
    session.answer(0, "real")
    assert len(read_labels(table)) == 1
    monkeypatch.setattr(LabelFile, "new", new)
    assert session.state()["progress"]["labelled"] == 1
    assert session.state()["recent"] == [0]


def test_what_a_catalogue_does_not_tell_is_said(tmp_path):
    x, y = write_image(tmp_path / "a.fits", 5, 9)
    write_image(tmp_path / "b.fits", 6, 9)
    scored = write_result(tmp_path / "a.ecsv", tmp_path / "a.fits", 5, x, y)
    with pytest.raises(InputError, match=r"notes that it is of a\.fits, not of b\.fits"):
        read_single(tmp_path / "b.fits", tmp_path / "a.ecsv")
    scored.write(tmp_path / "a.csv", format="ascii.csv")
    notes = " ".join(read_single(tmp_path / "a.fits", tmp_path / "a.csv").notes)
    for text in ("no threshold is noted", "no HDU is noted", "no FWHM is noted", "no options are noted"):
        assert text in notes
    summary = {"threshold": 0.3, "hdu": 0, "fwhm": 2.5, "x_col": "x", "y_col": "y", "origin": 0}
    line = {"image": str(tmp_path / "a.fits"), "output": "a.csv", "ok": True, "summary": summary}
    line["finished"] = "2026-01-02T03:04:05+00:00"
    (tmp_path / "batch.jsonl").write_text(json.dumps(line) + "\n")
    pool = read_single(tmp_path / "a.fits", tmp_path / "a.csv")
    assert pool.images[0].threshold == 0.3
    assert (pool.images[0].fwhm, pool.rows["hdu"].tolist()) == (2.5, [0] * 9)
    assert pool.notes == ()
    with pytest.raises(InputError, match=r"notes that it is of a\.fits"):
        read_single(tmp_path / "b.fits", tmp_path / "a.csv")


def test_every_detection_is_shown_once_to_the_end(results):
    session = _session(results)
    seen = []
    while items := session.take("one", 7):
        for item in items:
            session.answer(item["item"], "bogus")
            seen.append((item["image"], item["row"]))
    assert len(seen) == len(set(seen)) == 120
    parts = [PARTS[k] for k in session.order.part]
    assert session.progress()["random"] == parts.count("random")
    assert 15 <= parts.count("random") <= 45  # 30, and the scatter of a draw


def test_rates_count_the_random_part_alone(results):
    session = _session(results)
    for item in range(len(session)):
        shown = session.item(item)
        session.answer(item, "real" if shown["part"] == "random" else "bogus")
    drawn = session.pool.rows[session.order.rows[session.order.part == PARTS.index("random")]]
    missed = session.progress()["missed"]
    assert (missed["n"], missed["wrong"]) == (len(drawn), np.count_nonzero(~drawn["real"]))


def test_images_that_moved_keep_their_labels_and_others_of_that_name_do_not(results, tmp_path):
    session = _session(results)
    session.answer(0, "real")
    name = session.item(0)["image"]
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "images", moved)
    assert _session(results, images=moved).progress()["labelled"] == 1
    write_image(moved / name, 77, 40)  # another image of that name
    assert _session(results, images=moved).progress()["labelled"] == 0


def test_harvested_labels_are_no_answers(results, table):
    session = _session(results)
    session.answer(0, "real")
    label = read_labels(table)[0]
    LabelFile(table).append([replace(label, label="bogus", evidence="dark")])
    assert session.progress()["real"] == 1
    assert _session(results).progress()["real"] == 1


def test_images_that_are_gone(results, tmp_path):
    session = _session(results)
    gone = session.item(0)["image"]
    (tmp_path / "images" / gone).unlink()
    with pytest.raises(RbinferError, match=gone):
        session.frame(0)
    assert gone not in {item["image"] for item in session.take("one", 120)}
    pool = read_pool(results)
    assert len(pool.rows) == 80
    assert any("40 detections can't be shown" in note for note in pool.notes)


def test_bad_answers(results, table):
    session = _session(results)
    for item in (-1, 120):
        with pytest.raises(InputError, match=f"no item {item}; there are 120"):
            session.answer(item, "real")
    with pytest.raises(InputError, match="'perhaps' is none of real, bogus, skip"):
        session.answer(0, "perhaps")
    for label, kind in (("real", "hot_pixel"), ("bogus", "star"), ("skip", "star"), ("real", "comet")):
        with pytest.raises(InputError, match=f"class '{kind}' does not go with the answer '{label}'"):
            session.answer(0, label, kind)
    assert not table.exists()


def test_what_cannot_be_labelled_is_said(tmp_path, results):
    with pytest.raises(InputError, match="is not a directory"):
        read_pool(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="nothing to label: no scored catalogues"):
        read_pool(empty)
    (results / "odd.ecsv").write_text("not a table")
    assert any("odd.ecsv" in note for note in read_pool(results).notes)


def test_a_single_image_and_its_catalogue(tmp_path):
    x, y = write_image(tmp_path / "field.fits", 5, 30)
    scored = write_result(tmp_path / "scored.ecsv", "", 5, x, y)  # does not note its image
    pool = read_single(tmp_path / "field.fits", tmp_path / "scored.ecsv")
    assert len(pool.rows) == 30
    assert pool.rows["score"] == pytest.approx(np.asarray(scored["rb_score"]))
    assert pool.images[0].path == tmp_path / "field.fits"
    scored["rb_score"] = np.nan
    scored.write(tmp_path / "none.ecsv")
    with pytest.raises(InputError, match="no row has a score"):
        read_single(tmp_path / "field.fits", tmp_path / "none.ecsv")


def test_repeats_of_a_night_are_used(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    results = write_results(tmp_path)
    night = tmp_path / "night"
    night.mkdir()
    results.rename(night / "frames")
    images = [str(tmp_path / "images" / f"im{k}.fits") for k in range(3)]
    scored = Table.read(night / "frames" / "im1.ecsv")
    called = np.asarray(scored["rb_score"]) > 0.5
    probability = np.where(called, 0.98, 0.02)
    probability[[4, 7]] = np.where(called[[4, 7]], 0.001, 0.999)  # judged otherwise
    columns = {"image": [images[1]] * 40, "row": np.arange(40), "probability": probability}
    parquet.write_table(pyarrow.table(columns), night / "detections.parquet")
    pool = read_pool(night)
    assert np.count_nonzero(np.isfinite(pool.rows["probability"])) == 40
    order = make_session(pool, night / "labels.ecsv", "", 10).order
    rows = pool.rows[order.rows[order.part == PARTS.index("repeats")]]
    drawn = pool.rows[order.rows[order.part == PARTS.index("random")]]
    found = {(int(row["image"]), int(row["row"])) for row in [*rows, *drawn]}
    assert {(1, 4), (1, 7)} <= found
    assert {(int(row["image"]), int(row["row"])) for row in rows} <= {(1, 4), (1, 7)}
    (night / "detections.parquet").write_bytes(b"PAR1 torn")
    assert any("Repeats are not used" in note for note in read_pool(night).notes)


def test_the_table_of_labels_is_no_result(results, table):
    LabelFile(table).append([Label("/a.fits", "ab", 1.0, 2.0, "real")])
    assert read_pool(results).notes == ()
