"""The lines of a journal: their words, and those of other versions."""

import json
from dataclasses import replace

import pytest

from rbinfer.pipeline.score_file import ScoreOptions
from rbinfer.runs.journal import Journal, Line, Notes, shortened
from rbinfer.runs.outcome import Kind, Outcome
from rbinfer.runs.plan import Work
from rbinfer.runs.store import Store
from rbinfer.runs.task import Task

#: A line as the first version wrote it, but for the length of the hashes.
FIRST_VERSION = (
    '{"image": "n/f0.fits", "output": "f0.ecsv", "ok": true, "error": null, "final": false, '
    '"warnings": ["w"], "summary": {"real": 3}, "seconds": 0.125, "worker": "here:7", "attempts": 1, '
    '"finished": "2026-01-02T03:04:05.678+00:00", "content": "aa", "how": "bb", "output_sha256": "cc"}'
)


def test_a_line_of_the_first_version_is_read_and_written_as_it_was():
    line = Line.parse(FIRST_VERSION)
    assert line.can_be_resumed
    assert (line.image, line.warnings, line.summary) == ("n/f0.fits", ("w",), {"real": 3})
    assert json.dumps(line.as_dict()) == FIRST_VERSION


def test_a_journal_of_the_first_version_is_resumed(tmp_path):
    (tmp_path / "batch.jsonl").write_text(FIRST_VERSION + "\n")
    entry = Notes.read(tmp_path / "batch.jsonl").done("f0.ecsv")
    assert entry == (
        shortened("aa"),
        shortened("bb"),
        shortened("cc"),
        shortened(""),
        (shortened(""),) * 2,
        "",
        (shortened(""),) * 2,
    )


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", "null", '"a"', "no JSON", '{"output": 3}', '{"ok": true}', FIRST_VERSION[:-2]],
)
def test_what_is_no_line(text):
    assert Line.parse(text) is None


@pytest.mark.parametrize(
    "change",
    [
        {"output": None},
        {"ok": None},
        {"ok": "yes"},
        {"content": "no hash"},
        {"how": None},
        {"output_sha256": None},
    ],
)
def test_what_a_run_cannot_be_resumed_by_is_passed_over(tmp_path, change, caplog):
    text = json.dumps(json.loads(FIRST_VERSION) | change)
    assert not Line.parse(text).can_be_resumed
    (tmp_path / "batch.jsonl").write_text(text + "\n")
    with Journal(tmp_path / "batch.jsonl") as journal:
        assert journal.done("f0.ecsv") is None
    assert "is passed over" in caplog.text


def test_words_of_another_type_are_left_out():
    """The report reads lines that others may have written."""
    text = '{"image": "a.fits", "ok": 1, "error": 5, "summary": [], "seconds": "long", "more": 0}'
    line = Line.parse(text)
    assert line == Line(image="a.fits")


@pytest.mark.parametrize(
    ("kind", "ok", "final"),
    [
        (Kind.SCORED, True, False),
        (Kind.FAILED, False, False),
        (Kind.UNUSABLE, False, True),
        (Kind.UNSETTLED, False, False),
    ],
)
def test_the_words_of_each_kind(tmp_path, kind, ok, final):
    outcome = Outcome(kind, None if ok else "why", content="aa", output_sha256="cc" if ok else None)
    with Store(tmp_path, "batch", ScoreOptions(), ".ecsv", False) as store:
        found = store.keep(Task(Work("a.fits", None, "a.ecsv")), outcome).as_dict()
    assert (found["ok"], found["final"]) == (ok, final)
    [line] = (tmp_path / "batch.jsonl").read_text().splitlines()
    assert json.loads(line) == found
    assert list(found) == list(json.loads(FIRST_VERSION))


def test_files_beside_a_result_stay_known_where_a_later_line_has_none(tmp_path):
    line = Line(image="f.fits", output="f.ecsv", ok=True, content="aa", how="bb", output_sha256="cc")
    first = replace(line, beside={"regions": "dd", "mask": "ee"})
    with Journal(tmp_path / "batch.jsonl") as journal:
        for each in (first, line, line):
            journal.append(each)
    entry = Notes.read(tmp_path / "batch.jsonl").done("f.ecsv")
    assert entry.beside == (shortened(None),) * 2
    assert entry.former == (shortened("dd"), shortened("ee"))
    with Journal(tmp_path / "batch.jsonl") as journal:
        journal.append(replace(line, beside={"regions": "ff"}))
        entry = journal.done("f.ecsv")
    assert entry.beside == (shortened("ff"), shortened(None))
    assert entry.former == (shortened(None), shortened("ee"))
