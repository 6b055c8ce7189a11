"""A night held against a reference: in the report, by a watch, and where that cannot be."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.cli import main
from rbinfer.diagnostics.drift.expected import Record
from rbinfer.diagnostics.drift.frames import FrameFigures
from rbinfer.errors import InputError
from rbinfer.report import write_report
from rbinfer.report.drift import (
    Watcher,
    by_reference,
    drift_of,
    in_time,
    read_reference,
    section,
)
from rbinfer.report.journal import read_journals
from rbinfer.report.live import LivePage
from rbinfer.runs.batch import run_batch
from rbinfer.runs.journal import Line

from ..runs import folders as runs


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Results of a night as it should be; images of one whose gain doubles after the third image."""
    folder = tmp_path_factory.mktemp("drift")
    runs.write_images(folder / "before", [f"r{k}.fits" for k in range(10)], seed=1)
    paths = runs.write_images(folder / "tonight", [f"t{k}.fits" for k in range(8)], seed=2)
    for path in paths[3:]:
        fits.writeto(path, 2 * fits.getdata(path), overwrite=True)
    run_batch(folder / "before", folder / "good", workers=1)
    run_batch(folder / "tonight", folder / "results", workers=1)
    return folder


def test_a_summary_has_level_noise_and_scores(nights):
    lines = runs.lines(nights / "good" / "batch.jsonl")
    for line in lines:
        found = line["summary"]
        assert found["background"] == pytest.approx(300, abs=1)
        assert found["noise"] == pytest.approx(8, rel=0.06)
        assert found["exposure"] is None
        for kind in ("real", "bogus"):
            assert len(found["scores"][kind]) == 20
            assert sum(found["scores"][kind]) == found[kind]
        assert "star" in found["real_classes"]
    assert sum(line["summary"]["scores"]["real"][-1] for line in lines) > 80


def test_a_report_names_cause_and_images(nights, tmp_path):
    page = tmp_path / "n.html"
    write_report(nights / "results", page, reference=nights / "good")
    text = page.read_text()
    assert "another gain: the noise is not that of so much light" in text
    assert re.search(r"background (599|60\d)(\.\d)? where (299|300)(\.\d)? is expected", text)
    assert "t3.fits, t4.fits, t5.fits" in text
    write_report(nights / "good", page, overwrite=True, reference=nights / "results")
    assert "Compared with the reference night" in page.read_text()


def test_without_a_reference_the_record_of_the_model_is_compared_with(nights, tmp_path):
    write_report(nights / "good", tmp_path / "n.html")
    text = (tmp_path / "n.html").read_text()
    assert "Compared with the model's own record: 10 images. Nothing is off." in text.replace(
        "&#x27;", "'"
    )


def test_a_watch_alerts_once_and_shows_it_on_its_page(nights, tmp_path, capfd):
    told = tmp_path / "told.jsonl"
    code = f"import json, sys; print(json.dumps(sys.argv[1:]), file=open({str(told)!r}, 'a'))"
    command = ["watch", nights / "tonight", "-o", tmp_path / "out", "--once", "--settle", 0.01]
    command += ["--reference", nights / "good", "--report", tmp_path / "live.html"]
    command += ["--alert", f'{sys.executable} -c "{code}" {{cause}} {{image}}']
    assert main(list(map(str, command))) == 0
    err = capfd.readouterr().err
    assert err.count("drift: another gain") == 1
    [alarm] = [json.loads(line) for line in told.read_text().splitlines()]
    assert alarm == ["gain", str(nights / "tonight" / "t5.fits")]
    page = (tmp_path / "live.html").read_text()
    assert "another gain" in page
    # Started again, it shows the alarm, and tells no more of it without a further frame.
    shutil.copytree(nights / "tonight", tmp_path / "more")
    assert main(list(map(str, command))) == 0
    assert len(told.read_text().splitlines()) == 1
    assert "another gain" in (tmp_path / "live.html").read_text()


def test_what_the_reference_lacks_is_told_once_and_is_not_called_well(nights, tmp_path, caplog):
    for path in runs.write_images(tmp_path / "other", ["a.fits", "b.fits"]):
        fits.setval(path, "FILTER", value="R")
    run_batch(tmp_path / "other", tmp_path / "out", workers=1)
    write_report(tmp_path / "out", tmp_path / "n.html", reference=nights / "good")
    assert caplog.text.count("not compared, and others like it") == 1
    text = (tmp_path / "n.html").read_text()
    assert "0 images; 2 of a camera, filter or exposure that it lacks are not compared." in text
    assert "Nothing is off" not in text


def test_references_that_say_nothing_are_refused(nights, tmp_path):
    with pytest.raises(InputError, match="is not a directory"):
        read_reference(tmp_path / "none", nights / "results")
    with pytest.raises(InputError, match="has no journal"):
        read_reference(tmp_path, nights / "results")
    with pytest.raises(InputError, match="is the night itself"):
        read_reference(nights / "results", nights / "results")
    few = tmp_path / "few"
    few.mkdir()
    text = (nights / "good" / "batch.jsonl").read_text().splitlines(keepends=True)
    (few / "batch.jsonl").write_text("".join(text[:5]))
    with pytest.raises(InputError, match=r"at most 5 images .* it takes 8"):
        read_reference(few, nights / "results")


def test_journals_of_earlier_versions_are_told(nights, tmp_path, caplog):
    lines = [json.loads(line) for line in (nights / "good" / "batch.jsonl").read_text().splitlines()]
    for line in lines:
        for key in ("background", "noise", "scores", "exposure"):
            del line["summary"][key]
    (tmp_path / "batch.jsonl").write_text("\n".join(map(json.dumps, lines)))
    reference = read_reference(tmp_path, nights / "results")
    assert "10 images of the reference" in caplog.text
    assert list(reference.kinds.values()) == [10]
    # Frames of this version have what an earlier one noted, whatever their exposure.
    for exposure in (None, 30.0):
        summary = runs.lines(nights / "results" / "batch.jsonl")[0]["summary"] | {"exposure": exposure}
        frame = FrameFigures.of("t0.fits", lines[0]["camera"], summary)
        assert {"fwhm", "real", "bogus_fraction"} <= set(reference.deviations(frame))
        assert reference.gap(frame) is None


def changed(nights, folder, count=10, **other):
    """Write the journal of the good night with other summaries; returns its folder."""
    folder.mkdir(parents=True)
    found = runs.lines(nights / "good" / "batch.jsonl")[:count]
    texts = [json.dumps(line | {"summary": line["summary"] | other}) for line in found]
    (folder / "batch.jsonl").write_text("\n".join(texts) + "\n")
    return folder


def drift(nights, folder):
    return drift_of(read_journals(folder), by_reference(nights / "good", folder))


def test_frames_are_taken_in_the_order_of_their_exposures(nights, tmp_path):
    found = runs.lines(nights / "good" / "batch.jsonl")
    names = [line["output"] for line in found]

    def order(times):
        lines = {
            line["output"]: Line.parse(json.dumps(line | {"summary": line["summary"] | {"time": time}}))
            for line, time in zip(found, times, strict=True)
        }
        return [line.output for line in in_time(lines)]

    late_first = [f"2026-03-14T20:{59 - k}:00+00:00" for k in range(len(found))]
    assert order(late_first) == names[::-1]
    assert order([*late_first[:-1], None]) == names  # by the names: one time is not known


def test_two_images_are_too_few_to_say_that_nothing_is_off(nights, tmp_path):
    for count, said in ((2, "It takes 3 images to tell of a drift."), (3, "Nothing is off.")):
        text = section(drift(nights, changed(nights, tmp_path / str(count), count)))
        assert f"{count} images. {said}" in text
    bare = changed(nights, tmp_path / "bare", fwhm=None, scores=None)
    text = section(
        drift_of(read_journals(bare), Watcher(Record(np.ones((2, 20)), (1.0, 9.0)), "a record"))
    )
    assert "0 images; of 10 too little is known to compare" in text
    assert "Nothing is off" not in text


def test_a_fault_that_is_in_the_journal_is_told_with_the_next_image(nights):
    watcher = by_reference(nights / "good", nights / "results")
    watcher.take_night(nights / "results")
    newest = Line.parse(json.dumps(runs.lines(nights / "results" / "batch.jsonl")[-1]))
    assert [alarm.cause.name for alarm in watcher.take(newest)] == ["gain"]
    assert watcher.take(newest) == []


def test_a_watch_begins_with_the_end_of_a_long_journal(nights, tmp_path):
    line = runs.lines(nights / "good" / "batch.jsonl")[0]
    lines = (json.dumps(line | {"output": f"f{k}.ecsv"}) for k in range(3000))
    (tmp_path / "watch.jsonl").write_text("\n".join(lines))
    watcher = by_reference(nights / "good", tmp_path)
    watcher.take_night(tmp_path)
    assert watcher.drift.n_compared == 1000


def test_an_image_that_is_scored_again_is_no_further_frame(nights, tmp_path):
    good = runs.lines(nights / "good" / "batch.jsonl")
    bad = runs.lines(nights / "results" / "batch.jsonl")[-1]
    again = [bad | {"finished": f"9999-01-01T00:00:0{k}+00:00"} for k in range(5)]
    watcher = by_reference(nights / "good", tmp_path)
    told = [watcher.take(Line.parse(json.dumps(line))) for line in [*good, *again]]
    (tmp_path / "watch.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in [*good, *again]))
    started = by_reference(nights / "good", tmp_path)
    started.take_night(tmp_path)
    assert [alarm for alarms in told for alarm in alarms] == []
    for each in (watcher, started):
        assert (each.drift.n_compared, each.drift.n_alarms) == (11, 0)
        # Two more are off: with that one they are three.
        names = [{"image": f"u{k}.fits", "output": f"u{k}.ecsv"} for k in range(2)]
        [[], [alarm]] = [each.take(Line.parse(json.dumps(bad | name))) for name in names]
        assert [alarm.cause.name, len(alarm.images)] == ["gain", 3]
        # What failed since is no frame any more.
        assert each.take(Line.parse(json.dumps(bad | names[0] | {"ok": False}))) == []
        each.take(Line.parse(json.dumps(good[0])))
        assert each.drift.n_compared == 12


def test_alarms_are_counted_and_the_newest_kept(nights, tmp_path):
    watcher = by_reference(nights / "good", tmp_path)
    found = runs.lines(nights / "good" / "batch.jsonl")[0]
    crossed = found["summary"] | {"classes": found["summary"]["classes"] | {"trail": 300}}
    for k in range(600):
        summary = found["summary"] if k % 5 else crossed
        names = {"image": f"f{k}.fits", "output": f"f{k}.ecsv"}
        watcher.take(Line.parse(json.dumps(found | names | {"summary": summary})))
    assert (watcher.drift.n_alarms, len(watcher.drift.alarms)) == (120, 100)
    assert "The newest first; 20 more before." in section(watcher.drift)


def test_each_kind_that_the_reference_lacks_is_named_once(nights, tmp_path, caplog):
    watcher = by_reference(nights / "good", tmp_path)
    found = runs.lines(nights / "good" / "batch.jsonl")[0]
    for camera in ("one", "two", "one", "two"):
        watcher.take(Line.parse(json.dumps(found | {"camera": camera})))
    assert caplog.text.count("not compared, and others like it") == 2


def test_scores_of_another_threshold_are_left_out_and_told_once(nights, tmp_path, caplog):
    folder = changed(nights, tmp_path / "other", threshold=0.99, real=1, bogus=300)
    assert drift(nights, folder).n_alarms == 0
    assert caplog.text.count("another model, threshold or choice of real classes") == 1
    same = changed(nights, tmp_path / "same", real=1, bogus=300)
    assert drift(nights, same).n_alarms > 0


def test_a_night_is_a_reference_by_its_own_folder(nights, tmp_path):
    shutil.copytree(nights / "good", tmp_path / "out" / "frames")
    assert read_reference(tmp_path / "out", nights / "results").is_usable
    for night in (tmp_path / "out", tmp_path / "out" / "frames"):
        with pytest.raises(InputError, match="is the night itself"):
            read_reference(tmp_path / "out", night)


def test_a_damaged_journal_breaks_neither_report_nor_watch(nights, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(nights / "good", folder)
    found = runs.lines(folder / "batch.jsonl")
    damages = [
        {"real": None, "bogus": float("nan"), "detections": -1},
        {"classes": {"star": None}, "scores": {"real": [None], "bogus": [1]}},
        {"real": 10**400, "fwhm": "wide", "noise": -1, "exposure": -3},
        {"background": 0, "noise": 0},
    ]
    for line, damage in zip(found, damages, strict=False):
        line["summary"] |= damage
    (folder / "batch.jsonl").write_text("\n".join(map(json.dumps, found)) + "\n")
    write_report(folder, tmp_path / "n.html", reference=nights / "results")
    watcher = by_reference(nights / "results", folder)
    watcher.take_night(folder)
    assert "<h2>Drift</h2>" in LivePage.of(tmp_path / "l.html", folder, watcher.drift).render()


def test_the_tables_of_the_page_are_not_cut_off(browser, nights, tmp_path):
    page = tmp_path / "n.html"
    write_report(nights / "results", page, reference=nights / "good")
    for width in (390, 1400):
        browser.set_window_size(width, 900)
        browser.get(page.as_uri())
        widths = browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert widths[0] <= widths[1]
        assert len(browser.find_elements("css selector", "#drift tbody tr")) == 1
