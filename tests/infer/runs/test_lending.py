"""Frames without stars borrow the width of others, in any order, and whatever is killed."""

import os

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.io.camera import camera_of
from rbinfer.io.tables import read_catalog
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.runs.batch import run_batch
from rbinfer.runs.journal import Line
from rbinfer.runs.lending import Lenders, Lent
from rbinfer.runs.watch import run_watch
from rbinfer.status import Status

from . import folders as runs

JOURNAL = "batch.jsonl"
STARS, CLOUDS = ["a0", "a1", "a2", "b0"], ["a_clouds", "b_clouds", "c_clouds"]


def write(folder, name, camera, fwhm, second):
    """Write a frame with stars of a FWHM, or with hits alone."""
    rng = np.random.default_rng([*name.encode()])
    y, x = np.indices((200, 200))
    image = rng.normal(300, 8, (200, 200))
    for x0, y0 in rng.uniform(12, 188, (40, 2)):
        if fwhm:
            image += rng.uniform(300, 3000) * np.exp(
                -4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / fwhm**2
            )
        else:
            image[int(y0), int(x0)] += rng.uniform(300, 3000)
    header = fits.Header(
        {"INSTRUME": camera, "FILTER": "V", "DATE-OBS": f"2026-01-01T00:00:{second:02d}"}
    )
    fits.writeto(folder / f"{name}.fits", image.astype(np.float32), header, overwrite=True)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Frames of two cameras with stars, one without of each of them, and one of a third camera."""
    folder = tmp_path_factory.mktemp("night")
    frames = [("a_clouds", "A", None), ("a0", "A", 3.0), ("b_clouds", "B", None), ("a1", "A", 4.4),
              ("a2", "A", 3.6), ("b0", "B", 6.0), ("c_clouds", "C", None)]  # fmt: skip
    for second, (name, camera, fwhm) in enumerate(frames):
        write(folder, name, camera, fwhm, second)
    report = run_batch(folder, folder / "expected", workers=1)
    assert (report.n_scored, report.failed) == (7, ())
    return folder


@pytest.fixture(scope="module")
def expected(night):
    return runs.results(night / "expected")


def lines(folder, journal=JOURNAL):
    return {os.path.splitext(line["output"])[0]: line for line in runs.lines(folder / journal)}


def test_the_width_of_the_others_of_the_camera_is_taken(night):
    found = lines(night / "expected")
    widths = {name: found[name]["summary"]["fwhm"] for name in found}
    assert {found[name]["summary"]["fwhm_source"] for name in STARS} == {"measured"}
    assert widths["a_clouds"] == np.median([widths[name] for name in ("a0", "a1", "a2")])
    assert widths["a_clouds"] == widths["a2"] == pytest.approx(3.6, rel=0.05)
    assert widths["b_clouds"] == widths["b0"] == pytest.approx(6.0, rel=0.05)
    sources = [found[name]["summary"]["fwhm_source"] for name in CLOUDS]
    assert sources == ["borrowed", "borrowed", "assumed"]
    assert [found[name]["summary"]["frames"] for name in CLOUDS] == [3, 1, 0]
    assert [name for name in found if "lent" in found[name]] == CLOUDS
    assert found["a0"]["camera"] == "size 200 x 200; instrument A; filter V"


def test_it_is_noted_that_it_is_borrowed(night):
    table = read_catalog(night / "expected" / "a_clouds.ecsv")
    assert table.meta["rb_fwhm_source"] == "borrowed"
    assert table.meta["rb_frames"] == 3
    assert (table["rb_status"] & Status.FWHM_ASSUMED).all()
    own = read_catalog(night / "expected" / "a0.ecsv")
    assert "rb_frames" not in own.meta
    assert not (own["rb_status"] & Status.FWHM_ASSUMED).any()
    (warning,) = [text for text in lines(night / "expected")["a_clouds"]["warnings"] if "FWHM" in text]
    assert warning.startswith("no stars found")
    assert "is that of 3 other frames" in warning


@pytest.mark.parametrize("seed", [1, 2])
def test_another_order_ends_with_the_same_bytes(night, expected, tmp_path, seed, monkeypatch):
    monkeypatch.chdir(night)
    names = [str(night / f"{name}.fits") for name in [*STARS, *CLOUDS]]
    order = np.random.default_rng(seed).permutation(names)
    done = []
    run_batch(
        list(order), tmp_path, workers=2, progress=lambda result, n: done.append((result.image, n))
    )
    assert runs.results(tmp_path) == expected
    assert sorted(done) == [(name, 7) for name in sorted(names)]


def test_kill_at_random_moments_and_go_on(night, expected, tmp_path):
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    argv = ["batch", night, "-o", tmp_path, "--workers", 2]
    delays = [runs.kill_at_random(argv, rng, 3.0) for _ in range(3)]
    code, _, err = runs.run(*argv)
    assert code == 0, (delays, err)
    runs.assert_complete(tmp_path, expected, JOURNAL)


def test_done_is_done_until_the_others_lend_something_else(night, expected, tmp_path):
    run_batch(night, tmp_path, workers=1)
    again = run_batch(night, tmp_path, workers=1)
    assert (again.n_scored, again.n_skipped) == (0, 7)
    # As if a frame had failed the first time, for a reason that is gone.
    few = [night / f"{name}.fits" for name in ("a0", "a_clouds", "b0", "b_clouds", "c_clouds")]
    out = tmp_path / "few"
    assert run_batch(few, out, workers=1).n_scored == 5
    assert runs.results(out)["a_clouds.ecsv"] != expected["a_clouds.ecsv"]
    report = run_batch(night, out, workers=1)
    assert {os.path.basename(one.image) for one in report.results if not one.skipped} == {
        "a1.fits", "a2.fits", "a_clouds.fits",
    }  # fmt: skip
    assert runs.results(out) == expected


def test_a_width_that_is_given_needs_no_others(night, tmp_path):
    report = run_batch(night, tmp_path, workers=1, options=ScoreOptions(fwhm=4.0))
    assert {one.summary["fwhm_source"] for one in report.results} == {"given"}
    assert not any("lent" in line for line in runs.lines(tmp_path / JOURNAL))


def test_a_watch_borrows_from_the_frames_so_far(night, tmp_path):
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()

    def arrive(*names):
        for name in names:
            os.link(night / f"{name}.fits", inbox / f"{name}.fits")
        run_watch(inbox, out, once=True, settle=0.05)
        return {name: line["summary"] for name, line in lines(out, "watch.jsonl").items()}

    assert arrive("c_clouds")["c_clouds"]["fwhm_source"] == "assumed"
    assert arrive("a0", "a1")["a0"]["fwhm_source"] == "measured"
    found = arrive("a_clouds")
    assert (found["a_clouds"]["fwhm_source"], found["a_clouds"]["frames"]) == ("borrowed", 2)
    assert found["a_clouds"]["fwhm"] == (found["a0"]["fwhm"] + found["a1"]["fwhm"]) / 2
    # What is done stays, though the frames would lend another width now; moved images lend still.
    os.unlink(inbox / "a0.fits")
    os.unlink(inbox / "a1.fits")
    before = runs.results(out)
    arrive("a2")
    assert before.items() <= runs.results(out).items()
    write(inbox, "a_more_clouds", "A", None, 59)
    assert arrive()["a_more_clouds"]["frames"] == 3


def line(output, fwhm, content="00", source="measured", **more):
    summary = {"fwhm": fwhm, "fwhm_source": source}
    return Line(output, output, True, summary=summary, content=content, how="h", camera="A", **more)


def test_who_lends_does_not_hang_on_the_order():
    some = [line("a", 3.0, "0a"), line("b", 5.0, "0b"), line("c", 4.0, "0d"), line("d", 4.0, "0c")]
    found = set()
    for order in (some, some[::-1], [some[2], some[0], some[3], some[1]]):
        lenders = Lenders("h")
        for each in order:
            lenders.note(each)
        found.add(lenders.lent_to("A"))
    assert found == {Lent(4.0, 4, "d", "0c")}
    (lent,) = found
    assert len({lent.key, Lent(4.0, 3, "d", "0c").key, Lent(4.0, 4, "d", "0d").key, Lent().key}) == 4


def test_only_the_newest_frames_with_stars_scored_alike_lend():
    lenders = Lenders("h", most=2)
    for each in (line("a", 1.0), line("b", 2.0), line("c", 3.0), line("d", 9.0, source="header")):
        lenders.note(each)
    assert lenders.lent_to("A") == Lent(2.5, 2, "b", "00")
    lenders.note(line("b", 7.0, source="assumed"))
    assert lenders.lent_to("A") == Lent(3.0, 1, "c", "00")
    lenders.note(
        Line("e", "e", True, summary={"fwhm": 8.0, "fwhm_source": "measured"}, how="else", camera="A")
    )
    assert lenders.lent_to("A").n_frames == 1
    assert lenders.lent_to("B") == Lent()
    # Thousands of frames may ask: for them the median is not taken anew.
    assert lenders.lent_to("A") is lenders.lent_to("A")


def test_cameras_are_told_apart_by_what_headers_note():
    def header(**cards):
        return fits.Header(cards)

    plain = camera_of([header(INSTRUME="A", FILTER="V")], (100, 200))
    assert plain == "size 200 x 100; instrument A; filter V"
    assert camera_of([header(FILTER="V"), header(INSTRUME=" A ", FILTER="R")], (100, 200)) == plain
    others = [
        camera_of([header(INSTRUME="A", FILTER="V")], (200, 100)),
        camera_of([header(INSTRUME="A", FILTER="R")], (100, 200)),
        camera_of([header(INSTRUME="A", FILTER="V", XBINNING=2, YBINNING=2)], (100, 200)),
        camera_of([header(INSTRUME="A", FILTER="V", DETECTOR="2")], (100, 200)),
        camera_of([header(INSTRUME="A", FILTER1="V", FILTER2="clear")], (100, 200)),
        camera_of([], (100, 200)),
    ]
    assert len({plain, *others}) == 7
