"""Folders as capture programs lay them out: searched as a whole, without what shows no sky."""

import json
import os
import shutil

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.runs.batch import run_batch
from rbinfer.runs.plan import check_apart, plan
from rbinfer.runs.search import find_images, select
from rbinfer.runs.watch import run_watch

from . import folders as runs

TYPES = {"LIGHT": "Light Frame", "DARK": "Dark Frame", "FLAT": "Flat Field", "BIAS": "Bias Frame"}
MINUTES = (41, 3, 22)


def write_night(top, types=TYPES, keyword="IMAGETYP"):
    """Write three frames of each type, in folders of their own and not in the order of time."""
    for kind, value in types.items():
        folder = top / "2026-11-28" / "M 67" / kind
        names = [f"{kind}_{k}.fits" for k in range(3)]
        for k, path in enumerate(runs.write_images(folder, names, side=128)):
            with fits.open(path, mode="update") as file:
                file[0].header["DATE-OBS"] = f"2026-11-28T22:{MINUTES[k]:02d}:00"
                if keyword:
                    file[0].header[keyword] = value
    return top


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return write_night(tmp_path_factory.mktemp("night") / "night")


@pytest.fixture
def batch(capsys):
    def run(*argv, code=0):
        assert main(["batch", *map(str, argv), "--workers", "1", "--json"]) == code
        captured = capsys.readouterr()
        return (json.loads(captured.out) if captured.out else None), captured.err

    return run


def results(folder):
    return sorted(
        os.path.relpath(path, folder) for path in folder.rglob("*") if path.is_file() and path.suffix
    )


def test_a_night_with_all_its_folders(night, tmp_path, batch):
    found, err = batch(night, "-o", tmp_path / "out", "--recursive")
    assert (found["images"], found["scored"], found["left_out"]) == (
        3,
        3,
        {"dark": 3, "flat": 3, "bias": 3},
    )
    assert (
        "left out: 3 darks (IMAGETYP = 'Dark Frame'), 3 flats (IMAGETYP = 'Flat Field'), 3 biases "
        "(IMAGETYP = 'Bias Frame'); --all-frames takes them"
    ) in err
    lights = [f"2026-11-28/M 67/LIGHT/LIGHT_{k}.ecsv" for k in range(3)]
    assert results(tmp_path / "out") == [*lights, "batch.jsonl"]
    # In the order of time, which is not that of the names; and resumed.
    noted = [line["output"] for line in runs.lines(tmp_path / "out" / "batch.jsonl")]
    assert noted == [lights[1], lights[2], lights[0]]
    found, _ = batch(night, "-o", tmp_path / "out", "--recursive")
    assert (found["scored"], found["skipped"]) == (0, 3)


def test_all_frames_on_request(night, tmp_path, batch):
    found, err = batch(night, "-o", tmp_path / "out", "--recursive", "--all-frames")
    assert (found["images"], found["left_out"]) == (12, {})
    assert "left out" not in err


def test_without_recursive_the_option_is_named(night, tmp_path, batch):
    _, err = batch(night, "-o", tmp_path / "out", code=1)
    assert "--recursive looks into folders" in err
    assert not (tmp_path / "out").exists()


def test_nothing_but_calibration_is_an_error(night, tmp_path, batch):
    dark = night / "2026-11-28" / "M 67" / "DARK"
    _, err = batch(dark, "-o", tmp_path / "out", code=1)
    assert "nothing is left to score: 3 darks (IMAGETYP = 'Dark Frame'); --all-frames" in err
    # Patterns find, names name: what is named is scored.
    _, err = batch(f"{dark}/*.fits", "-o", tmp_path / "out", code=1)
    assert "nothing is left" in err
    found, err = batch(dark / "DARK_0.fits", night / "none*" / ".." / "x", "-o", tmp_path, code=1)
    found, _ = batch(dark / "DARK_0.fits", "-o", tmp_path / "out")
    assert found["scored"] == 1


def test_folders_tell_where_headers_do_not(tmp_path):
    top = write_night(tmp_path / "night", keyword=None)
    _, left_out = select(find_images([top], recursive=True))
    assert left_out == {"dark": 3, "flat": 3, "bias": 3}
    _, left_out = select(find_images([top / "**" / "*.fits"]))
    assert left_out == {"dark": 3, "flat": 3, "bias": 3}
    # What is above the directory that was named tells nothing.
    kept, left_out = select(find_images([top / "2026-11-28" / "M 67" / "DARK"], recursive=True))
    assert (len(kept), left_out) == (3, {})


@pytest.mark.parametrize(
    ("keyword", "dark"),
    [("FRAME", "Dark"), ("OBSTYPE", "dark"), ("IMGTYPE", "DARK"), ("ESO DPR TYPE", "DARK")],
)
@pytest.mark.filterwarnings("ignore:Keyword name")
def test_cousins_of_the_keyword(tmp_path, keyword, dark):
    top = write_night(tmp_path / "night", {"a": dark, "b": "OBJECT"}, keyword)
    kept, left_out = select(find_images([top], recursive=True))
    assert left_out == {"dark": 3}
    assert {os.path.basename(os.path.dirname(each.path)) for each in kept} == {"b"}


def test_order_of_time_within_each_pattern_and_names_without_one(tmp_path):
    for name, time in (("a", "22:10"), ("b", None), ("c", "21:00"), ("d", None), ("e", "22:05")):
        [path] = runs.write_images(tmp_path / "n", [f"{name}.fits"], side=64)
        if time:
            fits.setval(path, "DATE-OBS", value=f"2026-11-28 {time}:00")
    patterns = [tmp_path / "n" / "b.fits", tmp_path / "n" / "a.fits", tmp_path / "n"]
    kept, _ = select(find_images(patterns))
    assert [os.path.basename(each.path)[0] for each in kept] == list("bacde"[:2] + "ced")


def test_the_same_names_in_several_folders(tmp_path):
    for folder in ("x", "y"):
        runs.write_images(tmp_path / "n" / folder, ["a.fits", "b.fits.gz"], side=64)
    with pytest.raises(InputError, match="name the folder above with `recursive=True`"):
        run_batch([tmp_path / "n" / "x", tmp_path / "n" / "y"], tmp_path / "out")
    report = run_batch(tmp_path / "n", tmp_path / "out", recursive=True, workers=1)
    assert report.n_scored == 4
    wanted = ["batch.jsonl", "x/a.ecsv", "x/b.ecsv", "y/a.ecsv", "y/b.ecsv"]
    assert results(tmp_path / "out") == wanted
    assert runs.hidden(tmp_path / "out") == []


def test_links_that_lead_back_hidden_folders_and_others(tmp_path):
    runs.write_images(tmp_path / "n" / "deep", ["a.fits"], side=64)
    runs.write_images(tmp_path / "n" / ".trash", ["t.fits"], side=64)
    runs.write_images(tmp_path / "elsewhere", ["e.fits"], side=64)
    os.symlink(tmp_path / "n", tmp_path / "n" / "deep" / "back")
    os.symlink(tmp_path / "elsewhere", tmp_path / "n" / "linked")
    found = find_images([tmp_path / "n"], recursive=True)
    assert [(each.below, os.path.basename(each.path)) for each in found] == [
        ("deep", "a.fits"),
        ("linked", "e.fits"),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_cannot_be_read_is_told(tmp_path, caplog):
    runs.write_images(tmp_path / "a", ["a.fits"], side=64)
    (tmp_path / "b").mkdir(mode=0)
    assert len(find_images([tmp_path], recursive=True)) == 1
    assert "cannot be read (Permission denied) and is left out" in caplog.text


def test_results_that_a_search_of_all_folders_would_find(tmp_path):
    runs.write_images(tmp_path / "n", ["a.fit"], side=64)
    found = find_images([tmp_path / "n"], recursive=True)
    for out, suffix, refused in (
        ("n/out", ".fits", True),
        ("n", ".fits", True),
        ("out", ".fits", False),
        ("n-out", ".fits", False),
        ("n/out", ".ecsv", False),
    ):
        works = plan(found, tmp_path / out, suffix, None)
        if refused:
            with pytest.raises(InputError, match="would be taken for images"):
                check_apart([tmp_path / "n"], works, tmp_path / out, recursive=True)
        else:
            check_apart([tmp_path / "n"], works, tmp_path / out, recursive=True)


def test_a_killed_run_is_finished_in_its_folders(night, tmp_path):
    run_batch(night, tmp_path, recursive=True, workers=1)
    last = runs.lines(tmp_path / "batch.jsonl")[-1]["output"]
    before = (tmp_path / last).read_bytes()
    (tmp_path / ".rbinfer-batch").mkdir()
    os.rename(tmp_path / last, tmp_path / ".rbinfer-batch" / "0123.ecsv")
    (tmp_path / last).parent.joinpath("x").touch()
    assert run_batch(night, tmp_path, recursive=True, workers=1).n_skipped == 3
    assert (tmp_path / last).read_bytes() == before


def test_a_watch_of_all_folders(night, tmp_path, caplog):
    inbox = tmp_path / "in"
    shutil.copytree(night, inbox)
    lines = []
    given = {"settle": 0.1, "once": True, "recursive": True, "report": lines.append}
    report = run_watch(inbox, tmp_path / "out", **given)
    assert (report.n_scored, report.n_failed) == (3, 0)
    lights = [f"2026-11-28/M 67/LIGHT/LIGHT_{k}.ecsv" for k in range(3)]
    assert sorted(line["output"] for line in lines) == lights
    assert results(tmp_path / "out") == [*lights, "watch.jsonl"]
    told = [record.message for record in caplog.records if "is left out" in record.message]
    assert len(told) == 3
    assert all("`all_frames=True` takes such frames" in text for text in told)
    # Nothing again, but what is new; and of a batch of the same folder nothing at all.
    lines.clear()
    shutil.copy(inbox / lights[0].replace("ecsv", "fits"), inbox / "2026-11-28" / "LIGHT_0.fits")
    assert run_watch(inbox, tmp_path / "out", **given).n_scored == 1
    assert [line["output"] for line in lines] == ["2026-11-28/LIGHT_0.ecsv"]
    assert run_batch(inbox, tmp_path / "out", recursive=True, workers=1).n_skipped == 4
    report = run_watch(inbox, tmp_path / "all", settle=0.1, once=True, recursive=True, all_frames=True)
    assert report.n_scored == 13


def test_a_watch_refuses_results_that_it_would_find(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="would be taken for images"):
        run_watch(tmp_path / "in", tmp_path / "in" / "out", format="fits", recursive=True, once=True)


def test_a_report_of_a_night_in_folders(night, tmp_path, batch, capsys):
    batch(night, "-o", tmp_path / "out", "--recursive")
    assert main(["report", str(tmp_path / "out"), "-o", str(tmp_path / "night.html")]) == 0
    assert "3 images; " in capsys.readouterr().err


def test_pixels_do_not_matter_for_the_type(tmp_path):
    """A dark that is told by nothing is scored, as everything that is not told."""
    path = tmp_path / "n" / "plain.fits"
    path.parent.mkdir()
    fits.writeto(path, np.random.default_rng(0).normal(300, 8, (64, 64)).astype(np.float32))
    kept, left_out = select(find_images([path.parent]))
    assert (len(kept), left_out) == (1, {})
