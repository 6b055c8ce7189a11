"""Whole nights, from files to tables."""

import json
import os
import random
import re
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from pyarrow import parquet

from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.io.maps import read_map
from rbinfer.io.tables import read_catalog
from rbinfer.night import parts
from rbinfer.night.run import OUTPUTS, run_night
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.report.night import write_night as write_night_pages

from ..runs import folders as runs
from .skies import SIDE, add_star, wcs_of, write_night

#: The pages note when frames were scored.
TABLES = [name for name in OUTPUTS if not name.endswith(".html")]


def same_bytes(folder):
    return {name: (folder / name).read_bytes() for name in TABLES}


def near(sources, x, y, reach=1.0):
    """Return the rows of sources of the sky at a position of the first frame."""
    away = np.hypot(sources["x"] - x, sources["y"] - y)
    return sources[(away < reach) & (sources["kind"] == "sky")]


def test_each_star_is_one_source_where_it_is(dithered):
    truth, folder, night = dithered
    sources = Table.read(folder / "out" / "sources.ecsv")
    from astropy.wcs import WCS

    sky = WCS(wcs_of(np.zeros(2)))
    found = SkyCoord(sources["ra"], sources["dec"])[np.isfinite(sources["ra"])]
    rows = np.flatnonzero(np.isfinite(sources["ra"]))
    there = SkyCoord(*sky.wcs_pix2world(*truth.stars[:, :2].T, 0), unit="deg")
    index, away, _ = there.match_to_catalog_sky(found)
    assert np.median(away.arcsec) < 0.3
    assert np.mean(away.arcsec < 1.0) > 0.9  # some lie where a hot pixel or another star disturbs them
    best = sources[rows[index[away.arcsec < 1.0]]]
    assert np.median(best["n_seen"] / best["n_cover"]) == 1.0
    assert np.all(best["probability"][best["n_seen"] > 2] > 0.9)
    assert np.median(best["scatter"]) < 0.1
    assert len(night.frames) == 6
    assert night.groups == {("M 1", "R"): 6}
    assert night.batch.left_out == {"dark": 1}


def test_astropy_reads_the_parts_with_units_and_texts_as_long_as_they_are(dithered):
    _, folder, night = dithered
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of texts whose length is not noted
        sources, rows = (Table.read(folder / "out" / f"{k}.parquet") for k in ("sources", "detections"))
    assert (sources["ra"].unit, sources["rate"].unit, rows["x"].unit) == ("deg", "pix / h", "pix")
    whole = Table.read(folder / "out" / "sources.ecsv")
    for name in ("target", "filter", "kind", "class", "first", "last"):
        assert np.ma.filled(whole[name].astype(str), "").tolist() == sources[name].tolist()
    assert set(rows["image"]) == {frame.image for frame in night.frames}
    assert rows["image"].dtype == np.dtype(f"U{max(len(frame.image) for frame in night.frames)}")


def test_hot_pixels_are_sources_of_the_detector_and_a_mask(dithered):
    truth, folder, night = dithered
    sources = Table.read(folder / "out" / "sources.ecsv")
    fixed = sources[sources["kind"] == "detector"]
    hot = {(int(x), int(y)) for x, y in truth.hot}
    found = {(round(row["x_detector"]), round(row["y_detector"])) for row in fixed}
    assert len(found & hot) >= 0.8 * len(hot)
    assert found <= hot
    assert np.all(fixed["probability"] < 0.1)
    assert np.all(np.isnan(fixed["ra"]))
    mask = fits.getdata(folder / "out" / "hotpixels.fits")
    assert {(int(x), int(y)) for y, x in np.argwhere(mask)} == found
    assert night.hot_pixels == len(found)
    assert night.moved
    # It can be given as --mask.
    image = folder / "in" / "M 1" / "LIGHT" / "light_00.fits"
    used = read_map(str(folder / "out" / "hotpixels.fits"), image, (SIDE, SIDE), "mask")
    assert np.count_nonzero(used) == len(found)


def test_the_mover_comes_first_among_the_candidates(dithered):
    truth, folder, _ = dithered
    chosen = Table.read(folder / "out" / "candidates.ecsv")
    assert list(chosen["why"]).count("moving") == 1
    first = chosen[0]
    assert first["why"] == "moving"
    assert first["n_seen"] >= 5
    speed = np.hypot(*(truth.mover[1] - truth.mover[0])) * 30  # two minutes apart
    assert first["rate"] == pytest.approx(speed, rel=0.02)
    assert first["rate_sky"] == pytest.approx(2.0 * speed, rel=0.02)
    # In x it moves to the west, in y to the north.
    assert first["angle"] == pytest.approx(270 + np.degrees(np.arctan(0.5)), abs=2.0)
    k = int(first["image"][-7:-5])
    expected = truth.mover[k] + truth.offsets[k]
    assert np.hypot(first["x_image"] - expected[0], first["y_image"] - expected[1]) < 0.5


def test_every_row_of_every_frame_is_in_the_detections(dithered):
    _, folder, night = dithered
    rows = parquet.read_table(folder / "out" / "detections.parquet").to_pandas()
    sources = Table.read(folder / "out" / "sources.ecsv")
    assert len(rows) == sum(len(read_catalog(frame.result)) for frame in night.frames)
    for frame in night.frames:
        own = rows[rows["image"] == frame.image].sort_values("row")
        scored = read_catalog(frame.result)
        np.testing.assert_array_equal(own["row"], np.arange(len(scored)))
        np.testing.assert_array_equal(own["rb_score"], scored["rb_score"])
        np.testing.assert_array_equal(own["x"], scored["x"])
    counts = rows.groupby("source")["image"].nunique()
    np.testing.assert_array_equal(counts.index, sources["id"])
    np.testing.assert_array_equal(counts, sources["n_seen"])
    np.testing.assert_allclose(rows["probability"], sources["probability"][rows["source"] - 1])
    same = parquet.read_table(folder / "out" / "sources.parquet").to_pandas()
    assert list(same.columns) == sources.colnames
    np.testing.assert_array_equal(same["probability"], sources["probability"])


def test_written_in_small_parts_the_tables_are_the_same(dithered, tmp_path, monkeypatch):
    _, folder, _ = dithered
    shutil.copytree(folder / "out", tmp_path / "out")
    monkeypatch.setattr(parts, "_PART", 17)
    monkeypatch.setattr(parts, "_AT_ONCE", 5)
    night = run_night(folder / "in", tmp_path / "out", workers=1)
    assert night.batch.n_skipped == 6
    ours, theirs = same_bytes(tmp_path / "out"), same_bytes(folder / "out")
    for name in TABLES:
        if name.endswith(".parquet"):  # the rows are the same, in other groups
            assert parquet.read_metadata(tmp_path / "out" / name).num_row_groups > 3
            again, before = (parquet.read_table(where / "out" / name) for where in (tmp_path, folder))
            assert again.schema.equals(before.schema)
            assert again.to_pandas().equals(before.to_pandas())
        else:
            assert ours[name] == theirs[name]
    regions = sorted(path.name for path in (folder / "out" / "regions").iterdir())
    assert regions
    for name in regions:
        path = Path("out", "regions", name)
        assert (tmp_path / path).read_bytes() == (folder / path).read_bytes()


def test_frames_without_a_wcs_are_aligned_by_their_stars(tmp_path):
    truth = write_night(tmp_path / "in", has_wcs=False)
    night = run_night(tmp_path / "in", tmp_path / "out", workers=1)
    assert night.unmerged == []
    frames = Table.read(tmp_path / "out" / "frames.ecsv")
    assert list(frames["aligned"]) == ["first", *["stars"] * 5]
    sources = Table.read(tmp_path / "out" / "sources.ecsv")
    assert np.all(np.isnan(sources["ra"]))
    x, y = (truth.stars[:, :2] + truth.offsets[0]).T
    seen = [
        near(sources, a, b)["n_seen"].max() if len(near(sources, a, b)) else 0
        for a, b in zip(x, y, strict=True)
    ]
    assert np.median(seen) == 6
    assert list(Table.read(tmp_path / "out" / "candidates.ecsv")["why"]).count("moving") == 1


def test_where_the_sky_stands_still_it_says_that_repeats_cannot_tell(tmp_path):
    write_night(tmp_path / "in", dither=0.0)
    night = run_night(tmp_path / "in", tmp_path / "out", workers=1)
    assert not night.moved
    assert night.hot_pixels == 0
    assert any("can't tell" in line for line in night.in_words()[-2:])
    assert not fits.getdata(tmp_path / "out" / "hotpixels.fits").any()


def test_a_wcs_that_gives_all_pixels_one_position_is_not_believed(tmp_path):
    write_night(tmp_path / "in", n_frames=3)
    for path in (tmp_path / "in" / "M 1" / "LIGHT").iterdir():
        for card in ("PC1_1", "PC2_2", "CDELT1", "CDELT2"):
            fits.setval(path, card, value="0.001")
    run_night(tmp_path / "in", tmp_path / "out", workers=1)
    frames = Table.read(tmp_path / "out" / "frames.ecsv")
    assert list(frames["aligned"]) == ["first", "stars", "stars"]


def test_a_frame_without_stars_is_merged_with_no_other(tmp_path, caplog):
    write_night(tmp_path / "in", n_frames=3, has_wcs=False)
    cloudy = tmp_path / "in" / "M 1" / "LIGHT" / "light_01.fits"
    with fits.open(cloudy, mode="update") as hdus:
        hdus[0].data = np.random.default_rng(0).normal(300, 8, (SIDE, SIDE)).astype(np.float32)
    night = run_night(tmp_path / "in", tmp_path / "out", workers=1)
    assert night.unmerged == [str(cloudy)]
    assert "merged with no other" in caplog.text


def test_the_report_is_of_the_frames_that_are_there_now(tmp_path):
    write_night(tmp_path / "in", n_frames=4)
    write_night_pages(tmp_path / "in", tmp_path / "out", workers=1)
    gone = tmp_path / "in" / "M 1" / "LIGHT" / "light_01.fits"
    gone.unlink()
    torn = gone.with_name("light_03.fits")
    torn.write_bytes(torn.read_bytes()[:5000])
    assert len(write_night_pages(tmp_path / "in", tmp_path / "out", workers=1).frames) == 2
    torn.unlink()
    night = write_night_pages(tmp_path / "in", tmp_path / "out", workers=1)
    assert (len(night.frames), night.batch.failed) == (2, ())
    text = (tmp_path / "out" / "report.html").read_text()
    assert "<b>2</b>images" in text
    assert "<b>0</b>failed" in text
    assert "light_02.fits" in text
    assert "light_01" not in text
    assert "light_03" not in text
    assert "not found" not in text


def test_all_frames_are_taken_where_their_types_are_wrong(tmp_path):
    write_night(tmp_path / "in", n_frames=1)
    night = run_night(tmp_path / "in", tmp_path / "out", workers=1, all_frames=True)
    assert night.batch.left_out == {}
    assert len(night.batch.results) == 2


def test_tables_that_are_not_of_a_night_are_kept(tmp_path):
    write_night(tmp_path / "in", n_frames=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sources.ecsv").write_text("mine")
    with pytest.raises(InputError, match=r"sources\.ecsv exists and is kept"):
        run_night(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "sources.ecsv").read_text() == "mine"


@pytest.mark.parametrize("options", [{"hdu": "all"}, {"hdu": "ALL"}, {"show": ("classes",)}])
def test_options_that_a_night_cannot_follow_are_refused(tmp_path, options):
    with pytest.raises(InputError, match="a night"):
        run_night(tmp_path, tmp_path / "out", options=ScoreOptions(**options))


def test_no_lights(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="no images are found for"):
        run_night(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "a.fits").write_text("no image")
    reason = r"no image in .*in could be scored; the first: .*a\.fits cannot be read as FITS"
    with pytest.raises(InputError, match=reason):
        run_night(tmp_path / "in", tmp_path / "out", workers=1)


def test_the_command_ends_with_what_came_of_it_and_its_pages(dithered, tmp_path):
    _, folder, _ = dithered
    code, out, err = runs.run("night", folder / "in", "-o", tmp_path / "out", "--json", patience=300)
    assert code == 0, err
    lines = err.strip().splitlines()[-4:]
    assert lines[0].startswith("6 frames in 1 group (M 1 R: 6): ")
    assert "candidates.ecsv: 1 moving" in lines[1]
    assert lines[1].endswith("seen once")
    mask = tmp_path / "out" / "hotpixels.fits"
    assert lines[2].endswith(f"score into another folder with --mask {mask}")
    assert lines[3].startswith("1 dark was not scored and not used for the mask")
    assert lines[3].endswith("which rests on the lights; 'rbtrain harvest' makes labels of them")
    assert '"moving": 1' in out
    page = (tmp_path / "out" / "doubtful.html").read_text()
    assert "data:image/png" in page
    assert (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "out" / "regions" / "m1_r_1.reg").read_text().count("circle") > 30


def test_failures_in_json_name_options_as_stderr_does(tmp_path, capsys):
    write_night(tmp_path / "in", n_frames=1)
    lights = tmp_path / "in" / "M 1" / "LIGHT"
    planes = np.random.default_rng(0).normal(300, 8, (3, SIDE, SIDE)).astype(np.float32)
    fits.writeto(lights / "cube.fits", planes)
    assert main(["night", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--json"]) == 1
    captured = capsys.readouterr()
    [failure] = json.loads(captured.out)["failures"]
    assert "--plane" in failure["error"]
    assert "`" not in failure["error"]
    assert failure["error"] in captured.err


def test_killed_at_a_random_moment_the_tables_are_the_same_to_the_byte(dithered, tmp_path):
    _, folder, _ = dithered
    process = runs.start("night", folder / "in", "-o", tmp_path / "out", "--workers", 1)
    time.sleep(random.Random(7).uniform(1.0, 8.0))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = ["night", folder / "in", "-o", tmp_path / "out", "--workers", 1]
    code, _, err = runs.run(*again, patience=300)
    assert code == 0, err
    assert same_bytes(tmp_path / "out") == same_bytes(folder / "out")
    assert runs.hidden(tmp_path / "out") == []


def two_cameras(folder):
    """Write dithered lights of one target by two cameras, with hot pixels of their own."""
    for seed, name in ((3, "A"), (3, "B")):
        write_night(folder / name, n_frames=4, seed=seed, n_hot=20 if name == "A" else 12)
        for path in (folder / name / "M 1" / "LIGHT").iterdir():
            fits.setval(path, "INSTRUME", value=f"camera {name}")


def test_each_camera_has_a_mask_and_regions_of_its_own(tmp_path):
    two_cameras(tmp_path / "in")
    night = run_night(tmp_path / "in", tmp_path / "out", workers=1)
    with fits.open(tmp_path / "out" / "hotpixels.fits") as hdus:
        counts = [int(np.count_nonzero(hdu.data)) for hdu in hdus[1:]]
        assert list(night.masks.values()) == counts == [hdu.header["NHOT"] for hdu in hdus[1:]]
    assert counts[0] != counts[1] > 5
    assert night.hot_pixels == night.as_dict()["hot_pixels"] == sum(counts)
    names = [path.name for path in sorted((tmp_path / "out" / "regions").iterdir())]
    assert names == ["m1_r_1_camera1.reg", "m1_r_1_camera2.reg"]
    for k, name in enumerate("AB"):
        path = f"{tmp_path / 'out' / 'hotpixels.fits'}[MASK{k + 1}]"
        assert f"`mask='{path}'`" in " ".join(night.in_words()[-2:])
        assert f"instrument camera {name}" in list(night.masks)[k]
        image = next((tmp_path / "in" / name / "M 1" / "LIGHT").iterdir())
        assert np.count_nonzero(read_map(path, image, (SIDE, SIDE), "mask")) == counts[k]


def test_regions_that_are_not_of_a_night_are_kept(tmp_path):
    write_night(tmp_path / "in", n_frames=1)
    mine = tmp_path / "out" / "regions" / "m1_r_1.reg"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"m1_r_1\.reg exists and is kept"):
        run_night(tmp_path / "in", tmp_path / "out")
    assert mine.read_text() == "mine"


def test_the_header_is_that_of_the_image_that_was_scored(tmp_path):
    write_night(tmp_path / "in", n_frames=3)
    for path in (tmp_path / "in" / "M 1" / "LIGHT").iterdir():
        image, header = fits.getdata(path), fits.getheader(path)
        guide = fits.ImageHDU(np.zeros((50, 70), np.uint16), name="GUIDE")
        own = fits.Header({"FILTER": header.pop("FILTER"), "INSTRUME": "main"})
        hdus = [fits.PrimaryHDU(header=header), guide, fits.ImageHDU(image, own, name="SCI")]
        fits.HDUList(hdus).writeto(path, overwrite=True)
    options = ScoreOptions(hdu="SCI")
    night = run_night(tmp_path / "in", tmp_path / "out", options=options, workers=1)
    assert [frame.shape for frame in night.frames] == [(SIDE, SIDE)] * 3
    assert night.groups == {("M 1", "R"): 3}
    assert "instrument main" in night.frames[0].camera
    assert fits.getdata(tmp_path / "out" / "hotpixels.fits").shape == (SIDE, SIDE)
    sources = Table.read(tmp_path / "out" / "sources.ecsv")
    assert np.max(sources["n_cover"]) == 3


@pytest.mark.parametrize("n", [1, 4])
def test_a_frame_with_few_detections_keeps_its_wcs(tmp_path, n):
    truth = write_night(tmp_path / "in", n_frames=4)
    poor = tmp_path / "in" / "M 1" / "LIGHT" / "light_02.fits"
    image = np.random.default_rng(0).normal(300, 8, (SIDE, SIDE))
    for x, y in truth.stars[:n, :2] + truth.offsets[2]:
        add_star(image, x, y, 9000)
    with fits.open(poor, mode="update") as hdus:
        hdus[0].data = image.astype(np.float32)
    night = run_night(tmp_path / "in", tmp_path / "out", workers=1)
    frames = Table.read(tmp_path / "out" / "frames.ecsv")
    assert list(frames["detections"])[2] == n
    assert list(frames["aligned"]) == ["sky"] * 4
    assert night.unmerged == []
    sources = Table.read(tmp_path / "out" / "sources.ecsv")
    for x, y, _ in truth.stars[:n]:
        assert near(sources, x + truth.offsets[0, 0], y + truth.offsets[0, 1])["n_seen"].max() == 4


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8 there")
def test_names_that_are_not_utf8_are_cells_all_the_same(tmp_path):
    write_night(tmp_path / "in", n_frames=3)
    lights = tmp_path / "in" / "M 1" / "LIGHT"
    for path in sorted(lights.iterdir()):
        fits.delval(path, "OBJECT")
        path.rename(os.fsdecode(os.fsencode(lights / "n\udce9_") + path.name.encode()))
    (tmp_path / "in" / "M 1").rename(tmp_path / "in" / "\udcc9toile")
    run_night(tmp_path / "in", tmp_path / "out", workers=1)
    frames = Table.read(tmp_path / "out" / "frames.ecsv")
    assert list(frames["target"]) == ["?toile"] * 3
    expected = [str(tmp_path / "in" / "?toile" / "LIGHT" / f"n?_light_{k:02d}.fits") for k in range(3)]
    assert list(frames["image"]) == expected
    rows = parquet.read_table(tmp_path / "out" / "detections.parquet").to_pandas()
    assert set(rows["image"]) == set(expected)
    assert set(Table.read(tmp_path / "out" / "candidates.ecsv")["image"]) <= set(expected)


def test_pages_show_the_plane_of_a_cube_that_was_scored(tmp_path, caplog):
    write_night(tmp_path / "in", n_frames=3)
    for path in (tmp_path / "in" / "M 1" / "LIGHT").iterdir():
        image, header = fits.getdata(path), fits.getheader(path)
        empty = np.full_like(image, 300)
        fits.writeto(path, np.stack([empty, image, empty]), header, overwrite=True)
    night = write_night_pages(
        tmp_path / "in", tmp_path / "out", options=ScoreOptions(plane="1"), workers=1
    )
    assert night.doubtful
    page = (tmp_path / "out" / "doubtful.html").read_text()
    assert page.count("data:image/png") == len(night.doubtful)
    assert len(set(re.findall(r"data:image/png[^\"]+", page))) == len(night.doubtful)  # no empty plane
    assert "data:image/png" in (tmp_path / "out" / "report.html").read_text()
    assert "no cutouts" not in caplog.text


@pytest.mark.parametrize("detector", ["sep", "rbinfer"])
def test_a_frame_that_one_detection_floods_is_told_and_marked(tmp_path, caplog, detector):
    write_night(tmp_path / "in", n_frames=4)
    [path, *_] = sorted((tmp_path / "in" / "M 1" / "LIGHT").iterdir())
    y, x = np.indices((SIDE, SIDE))
    glow = 8000 * np.exp(-((x - 100.0) ** 2 + (y - 100.0) ** 2) / (2 * 40.0**2))
    with fits.open(path, mode="update") as file:
        file[0].data = (file[0].data + glow).astype(np.uint16)
    run_night(tmp_path / "in", tmp_path / "out", workers=1, options=ScoreOptions(detector=detector))
    frames = Table.read(tmp_path / "out" / "frames.ecsv")
    marked = [str(note) for note in frames["note"] if note]
    assert len(marked) == 1
    assert re.match(r"one detection takes \d\d% of it: its background was not found", marked[0])
    assert str(frames["image"][0]).endswith(path.name)
    assert frames["note"][0] == marked[0]
    assert f"{path}: {marked[0]}" in caplog.text


def test_a_night_over_a_dask_cluster_has_the_same_tables(dithered, tmp_path):
    distributed = pytest.importorskip("distributed")
    _, folder, _ = dithered
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        given = ["--scheduler", cluster.scheduler_address, "--json"]
        code, out, err = runs.run("night", folder / "in", "-o", tmp_path / "out", *given, patience=300)
    assert code == 0, err
    assert same_bytes(tmp_path / "out") == same_bytes(folder / "out")
    lines = runs.lines(tmp_path / "out" / "frames" / "batch.jsonl")
    assert len(lines) == 6
    assert {line["worker"] for line in lines if line["ok"]}
    assert '"frames"' in out
