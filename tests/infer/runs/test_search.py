"""Which files are meant, and what their catalogues and results are called."""

import contextlib
import gzip
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from rbinfer.errors import InputError
from rbinfer.runs.batch import run_batch
from rbinfer.runs.plan import catalog_of, check_apart, plan, stem_of
from rbinfer.runs.search import find_images

from . import folders as runs

ODD_NAMES = ["a b.fits", "with[1].fits", "with1.fits", "größe.fit", "星.fts", "x*.fits", "-dash.fits"]
JOURNAL = "batch.jsonl"


def test_a_name_that_exists_is_meant_before_a_pattern(tmp_path):
    runs.write_images(tmp_path, ODD_NAMES, side=64)
    for name in ODD_NAMES:
        assert [each.path for each in find_images([tmp_path / name])] == [str(tmp_path / name)]
    os.remove(tmp_path / "with[1].fits")
    [found] = find_images([tmp_path / "with[1].fits"])
    assert (found.path, found.is_named) == (str(tmp_path / "with1.fits"), False)


@contextlib.contextmanager
def as_nobody():
    """Be a user that permissions hold for; a superuser is not."""
    if not hasattr(os, "seteuid"):
        pytest.skip("no users that a process could be")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_link_to_nothing_and_a_loop_are_called_so(tmp_path):
    (tmp_path / "dangling.fits").symlink_to("gone.fits")
    (tmp_path / "loop.fits").symlink_to("loop.fits")
    with pytest.raises(InputError, match=r"dangling\.fits \(it is a link to gone\.fits, which does not"):
        find_images([tmp_path / "dangling.fits"])
    with pytest.raises(InputError, match=r"loop\.fits \(it cannot be read: "):
        find_images([tmp_path / "loop.fits"])


@pytest.mark.parametrize("recursive", [False, True])
def test_what_may_not_be_read_is_not_called_absent(recursive):
    with tempfile.TemporaryDirectory() as name:
        open_to_all, closed = Path(name), Path(name, "closed")
        open_to_all.chmod(0o711)
        closed.mkdir()
        (closed / "a.fits").touch()
        closed.chmod(0)
        reason = r"\(it cannot be read: Permission denied\)"
        with as_nobody():
            for given in (closed, closed / "a.fits"):
                with pytest.raises(InputError, match=f"for {given} {reason}; name"):
                    find_images([given], recursive)
        closed.chmod(0o700)


def test_directories_patterns_and_the_same_file_again(tmp_path):
    for name in (
        "b.fits",
        "a.FIT",
        "c.fits.gz",
        "d.fts.fz",
        ".hidden.fits",
        "cat.csv",
        "deep/er/e.fits",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.symlink(tmp_path / "b.fits", tmp_path / "z.fits")

    def names(*patterns):
        found = find_images([tmp_path / pattern for pattern in patterns])
        return [os.path.relpath(each.path, tmp_path) for each in found]

    assert names("") == ["a.FIT", "b.fits", "c.fits.gz", "d.fts.fz"]
    assert names("c.*", "b.fits", "*.fits") == ["c.fits.gz", "b.fits"]
    assert names("**/*.fits") == ["b.fits", "deep/er/e.fits"]
    with pytest.raises(InputError, match=r"no images are found for .*none\*\.fits"):
        names("b.fits", "none*.fits")
    with pytest.raises(InputError, match="no images are named"):
        find_images([])


@pytest.mark.parametrize(
    ("recursive", "kinds"), [(False, "1 .cr2, 1 .jpg, 2 .xisf"), (True, "1 .cr2, 1 .jpg, 3 .xisf")]
)
def test_a_folder_of_other_formats_says_which(tmp_path, recursive, kinds):
    (tmp_path / "f.tif" / "LIGHT").mkdir(parents=True)
    for name in ("a.xisf", "b.XISF", "c.cr2", "d.jpg", "notes.txt", "._a.xisf", "f.tif/LIGHT/e.xisf"):
        (tmp_path / name).touch()
    told = f"{tmp_path} (it has {kinds}, which are not read: save images as FITS)"
    with pytest.raises(InputError, match=re.escape(told)):
        find_images([tmp_path], recursive)


def test_a_folder_with_other_formats_below_alone_says_which_or_to_look_there(tmp_path):
    (tmp_path / "LIGHT").mkdir()
    (tmp_path / "LIGHT" / "a.xisf").touch()
    with pytest.raises(InputError, match=r"\(it has 1 \.xisf, which are not read: save images"):
        find_images([tmp_path], recursive=True)
    with pytest.raises(InputError, match=r"`recursive=True` looks into folders$"):
        find_images([tmp_path])


def test_names_of_results_and_catalogues(tmp_path):
    stems = {"d/a.fits.fz": "a", "a.b.FITS": "a.b", "a.fit.gz": "a", "a.fz": "a", "a.img": "a.img"}
    assert {name: stem_of(name) for name in stems} == stems
    assert catalog_of("n 1/a.fits.fz", "{dir}/cat/{stem}.cat") == "n 1/cat/a.cat"
    assert catalog_of("a.fits", "{dir}/{name}.ecsv") == "./a.fits.ecsv"
    assert catalog_of("a.fits", None) is None
    for template in ("{stam}.cat", "{}.cat", "{stem.cat", "{stem.x}"):
        with pytest.raises(InputError, match="may hold"):
            catalog_of("a.fits", template)


def test_two_images_with_one_result_are_refused_before_any_work(tmp_path, night):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(night / "f1.fits", other)
    with pytest.raises(InputError, match=r"f1\.fits and .*other/f1\.fits would both"):
        run_batch([night, other], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="is what is read"):
        run_batch(night, night, format="fits")


def test_of_two_images_of_a_folder_with_one_result_the_first_by_name_is_scored(night, tmp_path, caplog):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.fits", "a.fit", "b.fits"):
        shutil.copy(night / "f0.fits", folder / name)
    for name in ("a.fits.gz", "b.fits.gz", "c.fits.gz"):
        (folder / name).write_bytes(gzip.compress((night / "f1.fits").read_bytes()))
    report = run_batch(folder, tmp_path / "out", workers=1)
    scored = [os.path.basename(one.image) for one in report.results]
    assert sorted(scored) == ["a.fit", "b.fits", "c.fits.gz"]
    assert report.as_dict()["left_out"] == {"same name": 3}
    assert len(runs.results(tmp_path / "out")) == report.as_dict()["images"] == report.n_scored == 3
    [told] = [text for text in caplog.messages if "left out" in text]
    assert told.startswith("left out: 3 images whose result")
    assert f"{folder / 'a.fits'} (a.fit is scored)" in told
    assert f"{folder / 'b.fits.gz'} (b.fits is scored)" in told
    # Of different folders they are refused still, which names both.
    (folder / "deep").mkdir()
    shutil.copy(night / "f0.fits", folder / "deep" / "a.fits")
    with pytest.raises(InputError, match=r"in/a\.fit and .*deep/a\.fits would both"):
        run_batch([folder, folder / "deep"], tmp_path / "out", workers=1)
    assert run_batch(folder, tmp_path / "all", workers=1, recursive=True).n_scored == 4


def test_catalogues_among_the_images_are_no_images(tmp_path):
    images = runs.write_images(tmp_path, ["a.fits", "b.fits"], side=64)
    for image in images:
        shutil.copy(image, image.with_name(f"{image.stem}_cat.fits"))
    works = plan(find_images([tmp_path]), tmp_path / "out", ".ecsv", "{dir}/{stem}_cat.fits")
    assert [os.path.basename(work.image) for work in works] == ["a.fits", "b.fits"]


def test_results_that_would_be_found_as_images_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "n"
    runs.write_images(folder, ["a.fit"], side=64)
    runs.write_images(folder / "deep", ["b.fit"], side=64)
    monkeypatch.chdir(tmp_path)
    for patterns, out, kind in (
        (["n"], "n", "fits"),
        (["n/"], folder, "fits"),
        (["n/*"], "n", "ecsv"),
        (["n/a.*"], "n", "fits"),
        (["n/**/*.fi*"], "n/out", "fits"),
        (["n/*/*.fi*"], "n/out", "fits"),
    ):
        works = plan(find_images(patterns), Path(out), f".{kind}", None)
        with pytest.raises(InputError, match="would be taken for images by"):
            check_apart(patterns, works, Path(out))
    for patterns, out, kind in (
        (["n"], "n", "ecsv"),
        (["n/a.fit"], "n", "fits"),
        (["n/*.fit"], "n", "fits"),
        (["n/*"], "n/out", "fits"),
        (["n/**/*.fit"], "n/out", "fits"),
        (["n"], "n/out", "fits"),
    ):
        check_apart(patterns, plan(find_images(patterns), Path(out), f".{kind}", None), Path(out))
    with pytest.raises(InputError, match="would be taken for images by n;"):
        run_batch("n", "n", format="fits", workers=1)
    assert sorted(path.name for path in folder.iterdir()) == ["a.fit", "deep"]
