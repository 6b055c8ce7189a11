"""A night held against a reference: in the report, by a watch, and where that cannot be."""

import json
import re
import shutil
import sys

import pytest
from astropy.io import fits

from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.report import write_report
from rbinfer.report.drift import read_reference
from rbinfer.runs.batch import run_batch

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
    # Started again, it knows of the alarm and tells no more of it; a further frame is none either.
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
