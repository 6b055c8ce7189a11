"""Files as they come into a directory: when each is told, and that it is told once."""

import os
import time

import pytest

from rbinfer.runs.arrivals import Arrivals


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_arrivals_wait_for_the_catalogue_and_tell_again_of_its_changes(tmp_path):
    arrivals = Arrivals(str(tmp_path), "{dir}/{stem}.cat", settle=5)
    (tmp_path / "a.fits").write_text("1")
    aged(tmp_path / "a.fits", 100)
    assert arrivals.look() == []
    assert not arrivals.is_waiting
    (tmp_path / "a.cat").write_text("1")
    assert arrivals.look() == []
    assert arrivals.is_waiting
    aged(tmp_path / "a.cat", 50)
    assert arrivals.look() == ["a.fits"]
    (tmp_path / "a.cat").write_text("12")
    aged(tmp_path / "a.cat", 40)
    assert arrivals.look() == []  # held until it is scored
    arrivals.release("a.fits")
    assert arrivals.look() == ["a.fits"]
    arrivals.release("a.fits")
    assert arrivals.look() == []
    # For a single look the absence of a catalogue is a failure to tell.
    (tmp_path / "b.fits").write_text("1")
    aged(tmp_path / "b.fits", 100)
    once = Arrivals(str(tmp_path), "{dir}/{stem}.cat", settle=5, once=True)
    assert once.look() == ["b.fits", "a.fits"]


@pytest.mark.parametrize("template", ["{dir}/{stem}_cat.fits", "{dir}/cats/{name}"])
def test_catalogues_among_the_images_are_no_images(tmp_path, template):
    (tmp_path / "cats").mkdir()
    for name in ("a.fits", "b.fits", "a_cat.fits", "b_cat.fits", "cats/a.fits", "cats/b.fits"):
        (tmp_path / name).write_text("1")
        aged(tmp_path / name, 100)
    is_deep = "cats" in template
    for name in ("a_cat.fits", "b_cat.fits") if is_deep else ("cats/a.fits", "cats/b.fits"):
        (tmp_path / name).unlink()
    os.symlink(tmp_path, link := tmp_path.with_name(f"{tmp_path.name}-link"))
    for where in (template, template.replace("{dir}", str(link))):
        for once in (True, False):
            arrivals = Arrivals(str(tmp_path), where, settle=5, once=once, recursive=is_deep)
            assert sorted(arrivals.look()) == ["a.fits", "b.fits"]
            assert arrivals.look() == []
            assert not arrivals.is_waiting
    # An image that holds its own catalogue is one.
    own = Arrivals(str(tmp_path), "{dir}/{name}", settle=5)
    assert sorted(own.look())[0] == "a.fits"


def test_arrivals_name_the_catalogue_that_does_not_come(tmp_path, caplog, monkeypatch):
    arrivals = Arrivals(str(tmp_path), "{dir}/{stem}.cta", settle=5)
    (tmp_path / "a.fits").write_text("1")
    assert arrivals.look() == []
    assert caplog.text == ""
    monkeypatch.setattr("rbinfer.runs.arrivals._PATIENCE", 0.0)
    assert arrivals.look() == arrivals.look() == []
    assert caplog.messages == [
        f"{tmp_path}/a.fits waits for its catalogue {tmp_path}/a.cta, which is not there"
    ]


@pytest.mark.parametrize("recursive", [False, True])
def test_arrivals_tell_once_of_images_in_another_format(tmp_path, caplog, recursive):
    arrivals = Arrivals(str(tmp_path), None, settle=5, recursive=recursive)
    for name in ("a.XISF", ".b.tif", "c.txt", "d.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "e.cr2").mkdir()
    assert arrivals.look() == arrivals.look() == []
    assert caplog.messages == ["a.XISF is passed over, as all files .xisf: save images as FITS"]


def test_arrivals_see_a_file_of_the_same_size_and_time_moved_over_another(tmp_path):
    arrivals = Arrivals(str(tmp_path), None, settle=5)
    for name, text in (("a.fits", "1"), ("new", "2")):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1, 1))
    assert arrivals.look() == ["a.fits"]
    arrivals.release("a.fits")
    assert arrivals.look() == []
    os.rename(tmp_path / "new", tmp_path / "a.fits")
    assert arrivals.look() == ["a.fits"]


def test_arrivals_come_by_age_and_are_forgotten_when_gone(tmp_path):
    arrivals = Arrivals(str(tmp_path), None, settle=5)
    for k, name in enumerate(["c.fits", "a.fits", "b.fits"]):
        (tmp_path / name).write_text("1")
        aged(tmp_path / name, 100 - k)
    assert arrivals.look() == ["c.fits", "a.fits", "b.fits"]
    for name in ("a.fits", "b.fits", "c.fits"):
        arrivals.release(name, again=name == "b.fits")
    assert arrivals.look() == ["b.fits"]
    arrivals.release("b.fits")
    (tmp_path / "a.fits").rename(tmp_path / "z.fits")
    assert arrivals.look() == ["z.fits"]
    assert len(arrivals._seen) == 3
    (tmp_path / "c.fits.gz").write_text("1")  # of the same result
    aged(tmp_path / "c.fits.gz", 100)
    assert arrivals.look() == []
    (tmp_path / "c.fits").unlink()
    assert arrivals.look() == ["c.fits.gz"]


def test_arrivals_survive_a_directory_that_is_away(tmp_path, caplog):
    folder = tmp_path / "mount"
    folder.mkdir()
    (folder / "a.fits").write_text("1")
    aged(folder / "a.fits", 100)
    arrivals = Arrivals(str(folder), None, settle=5)
    assert arrivals.look() == ["a.fits"]
    arrivals.release("a.fits")
    folder.rename(tmp_path / "away")
    assert arrivals.look() == arrivals.look() == []
    assert caplog.text.count("cannot be read") == 1
    (tmp_path / "away").rename(folder)
    assert arrivals.look() == []
