"""Labels without a look: on a small night with its truth, on darks, from a catalogue, from a mask."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.errors import InputError
from rbinfer.io.labels import LabelFile, current, read_labels
from rbinfer.model.registry import shipped_model
from rbinfer.model.session import read_spec
from rbinfer.night.run import run_night
from rbinfer.pipeline.options import ScoreOptions
from rbtrain.cli import main
from rbtrain.data.harvest import HarvestOptions, _path_of, _scored_place, harvest
from rbtrain.data.harvest_frames import from_catalogue, from_darks, from_mask, read_bad_pixels
from rbtrain.data.harvest_night import NightTables, from_night
from rbtrain.data.harvested import harvested, joined
from rbtrain.data.label_inputs import label_inputs

from ...infer.night.skies import SIDE, add_star, save, write_night

N_FRAMES, HITS = 9, 6


def add_hits(folder, rng):
    """Put bright hits of 2 x 2 pixels into every light, and a star that flickers; return the hits."""
    hits = []
    for path in sorted((folder / "M 1" / "LIGHT").glob("*.fits")):
        with fits.open(path) as hdus:
            image, header = hdus[0].data.astype(float), hdus[0].header
        for x, y in rng.integers(8, SIDE - 8, (HITS, 2)):
            image[y : y + 2, x : x + 2] += rng.uniform(3000, 9000)
            hits.append((path.name, x + 0.5, y + 0.5))
        path.unlink()
        save(path.parent, path.name, image, header)
    return hits


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    truth = write_night(folder / "in", n_frames=N_FRAMES, seed=11)
    hits = add_hits(folder / "in", np.random.default_rng(1))
    run_night(folder / "in", folder / "out", workers=1)
    return truth, hits, folder


def near(x, y, points, reach=2.0):
    points = np.asarray(points, float).reshape(-1, 2)
    away = np.hypot(np.subtract.outer(x, points[:, 0]), np.subtract.outer(y, points[:, 1]))
    return away.min(axis=1) < reach


def test_harvested_labels_of_a_night_are_right(night):
    truth, hits, folder = night
    tables = NightTables.read(folder / "out")
    labels = from_night(tables)
    assert len(labels) > 0.8 * len(tables.detections)
    right = []
    for k in range(N_FRAMES):
        own = labels[[str(name).endswith(f"light_{k:02d}.fits") for name in labels["image"]]]
        x, y = np.asarray(own["x"]), np.asarray(own["y"])
        is_star = near(x, y, truth.stars[:, :2] + truth.offsets[k])
        is_hot = near(x, y, truth.hot, 1.5)
        is_hit = near(x, y, [(a, b) for name, a, b in hits if name == f"light_{k:02d}.fits"])
        real = np.asarray(own["label"]) == 1
        assert not np.any(near(x, y, truth.mover[k] + truth.offsets[k]) & ~real)
        right += (np.where(real, is_star, is_hot | is_hit)).tolist()
    assert np.mean(right) >= 0.98
    assert set(labels["class"]) == {""}  # what stands on the detector is not always a hot pixel
    assert set(np.unique(labels["evidence"])) == {"repeats", "detector", "once"}
    assert np.count_nonzero(labels["evidence"] == "once") >= 0.4 * N_FRAMES * HITS
    assert np.all((labels["purity"] > 0.9) & (labels["purity"] <= 1.0))


def test_a_night_that_stands_still_tells_nothing(tmp_path, caplog):
    write_night(tmp_path / "in", n_frames=5, dither=0.05)
    run_night(tmp_path / "in", tmp_path / "out", workers=1)
    assert len(from_night(NightTables.read(tmp_path / "out"))) == 0
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(InputError, match=r"the sky must move .* give darks, or dither next time"),
    ):
        harvest(HarvestOptions(tmp_path / "out"), tmp_path / "labels.ecsv")
    assert "the sky hardly moved" in caplog.text
    assert not (tmp_path / "labels.ecsv").exists()


def test_the_table_grows_once_and_names_catalogue_and_row(night, tmp_path):
    _, _, folder = night
    darks = (folder / "in" / "DARK" / "dark_0.fits",)
    options = HarvestOptions(folder / "out", darks, most=30, seed=2)
    report = harvest(options, tmp_path / "labels.ecsv")
    labels = current(read_labels(tmp_path / "labels.ecsv"))
    assert {"repeats": 30, "detector": 30}.items() <= report.written.items()
    assert sum(report.written.values()) == len(labels)
    for label in labels[::7]:
        row = Table.read(label.catalog)[label.row]
        assert (row["x"], row["y"]) == pytest.approx((label.x, label.y), abs=1e-3)
        assert label.hash
        assert label.who == "rbtrain harvest"
    assert {label.label for label in labels if label.evidence == "repeats"} == {"real"}
    assert {label.label for label in labels if label.evidence == "detector"} == {"bogus"}
    before = (tmp_path / "labels.ecsv").read_bytes()
    assert harvest(options, tmp_path / "labels.ecsv").written == {}
    assert (tmp_path / "labels.ecsv").read_bytes() == before


def test_the_last_harvest_of_a_detection_counts(night, tmp_path):
    """An earlier one may have been less sure, or have said the opposite, or both in turn."""
    _, _, folder = night
    options, table = HarvestOptions(folder / "out", most=10, seed=2), tmp_path / "labels.ecsv"
    harvest(options, table)
    wanted = read_labels(table)
    turned = {"real": "bogus", "bogus": "real"}
    unsure = [replace(label, purity=0.93) for label in wanted[:3]]
    other = [replace(label, evidence="catalogue") for label in wanted[3:5]]
    opposite = [replace(label, label=turned[label.label]) for label in wanted[5:9]]
    LabelFile(table).append([*unsure, *other, *opposite])
    said = replace(wanted[9], label=turned[wanted[9].label], evidence="person", purity=1.0)
    LabelFile(table).append([said])
    report = harvest(options, table)
    assert sum(report.written.values()) == 9
    found = current(read_labels(table))
    for label, known in zip(found, [*wanted[:9], said, *wanted[10:]], strict=True):
        for name in ("key", "label", "evidence", "purity"):
            assert getattr(label, name) == getattr(known, name)
    before = table.read_bytes()
    assert harvest(options, table).written == {}
    assert table.read_bytes() == before


@pytest.mark.parametrize(("noted", "hdu"), [(2, 2), ("TWO", 2), (0, 0)])
def test_labels_name_the_hdu_that_was_scored(noted, hdu, tmp_path):
    planes = [fits.ImageHDU(np.zeros((9, 9), np.int16), name=name) for name in ("ONE", "TWO")]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tmp_path / "image.fits")
    Table({"x": [1.0]}, meta={"rb_hdu": noted}).write(tmp_path / "scored.fits")
    assert _scored_place(str(tmp_path / "image.fits"), str(tmp_path / "scored.fits")) == (hdu, "")
    assert _scored_place(str(tmp_path / "image.fits"), None) == (-1, "")


def test_images_are_found_from_another_folder_than_that_of_the_night(tmp_path, monkeypatch):
    (tmp_path / "run" / "in").mkdir(parents=True)
    (tmp_path / "run" / "in" / "a.fits").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = HarvestOptions("../run/out")
    assert _path_of("in/a.fits", made) == str(tmp_path / "run" / "in" / "a.fits")
    moved = HarvestOptions("../run/out", images="../run/in")
    assert _path_of("old/a.fits", moved) == str(tmp_path / "run" / "in" / "a.fits")
    with pytest.raises(InputError, match=r"old/a\.fits was not found.* name the folder .* --images"):
        _path_of("old/a.fits", made)
    with pytest.raises(InputError, match="none is not a folder"):
        HarvestOptions("../run/out", images="none")


@pytest.mark.parametrize("noted", ["no JSON", '["1"]', "null", '"text"', 7])
def test_damaged_options_name_no_plane(noted, tmp_path):
    Table({"x": [1.0]}, meta={"rb_hdu": 0, "rb_opts": noted}).write(tmp_path / "scored.ecsv")
    assert _scored_place("image.fits", str(tmp_path / "scored.ecsv")) == (0, "")


def test_labels_name_the_plane_of_a_cube_that_was_scored(tmp_path):
    write_night(tmp_path / "in", n_frames=5, dither=12.0, has_wcs=False)
    for path in (tmp_path / "in").rglob("*.fits"):
        pixels, header = fits.getdata(path, header=True)
        fits.writeto(path, np.stack([np.zeros_like(pixels), pixels]), header, overwrite=True)
    run_night(tmp_path / "in", tmp_path / "out", options=ScoreOptions(plane="1"), workers=1)
    bad = np.zeros((SIDE, SIDE), np.uint8)
    bad[::2] = 1
    fits.writeto(tmp_path / "mask.fits", bad)
    options = HarvestOptions(tmp_path / "out", mask=str(tmp_path / "mask.fits"))
    harvest(options, tmp_path / "labels.ecsv")
    labels = read_labels(tmp_path / "labels.ecsv")
    assert {label.plane for label in labels} == {"1"}
    found = label_inputs(labels, read_spec(shipped_model()).preprocess)
    assert found.left_out == []
    assert len(found.labels) == len(labels)


def test_what_is_on_a_dark_is_bogus_and_a_light_is_no_dark(night, tmp_path):
    truth, _, folder = night
    image = np.random.default_rng(0).normal(100, 8, (SIDE, SIDE))
    for x, y in truth.hot:
        add_star(image, x, y, 9000)
    save(tmp_path, "dark.fits", image, fits.Header({"IMAGETYP": "DARK"}))
    labels = from_darks([tmp_path / "dark.fits"], np.random.default_rng(0))
    assert np.all(labels["label"] == 0)
    assert set(labels["evidence"]) == {"dark"}
    assert 15 <= len(labels) <= 22
    light = folder / "in" / "M 1" / "LIGHT" / "light_00.fits"
    with pytest.raises(InputError, match=r"light_00.fits is no dark or bias but a light \(IMAGETYP"):
        from_darks([light], np.random.default_rng(0))


def test_a_catalogue_tells_what_is_real_and_nothing_of_the_rest(night, tmp_path):
    _, _, folder = night
    detections = NightTables.read(folder / "out").detections
    stars = from_night(NightTables.read(folder / "out"))
    stars = stars[stars["evidence"] == "repeats"]
    one_frame = stars[stars["image"] == stars["image"][0]]
    Table({"RA_ICRS": one_frame["ra"], "DE_ICRS": one_frame["dec"]}).write(tmp_path / "gaia.csv")
    labels = from_catalogue(detections, tmp_path / "gaia.csv", 2.0)
    assert np.all(labels["label"] == 1)
    # Each of its stars in each of the frames that show it.
    assert 0.9 * len(one_frame) * N_FRAMES <= len(labels) <= 1.05 * len(one_frame) * N_FRAMES
    assert np.all(labels["purity"] > 0.97)
    Table({"ra": [10.0], "dec": [-80.0]}).write(tmp_path / "elsewhere.csv")
    with pytest.raises(
        InputError, match=r"no detection lies within 2 arcsec .* check that it is of this"
    ):
        from_catalogue(detections, tmp_path / "elsewhere.csv", 2.0)
    Table({"a": [1.0]}).write(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no right ascension and declination; it has the columns a"):
        from_catalogue(detections, tmp_path / "none.csv", 2.0)


def test_of_a_mask_whose_header_names_its_planes_the_bad_ones_are_taken(tmp_path):
    mask = np.zeros((40, 50), np.int16)
    mask[5:9, 20:30], mask[9, 31] = 32, 1
    cards = fits.Header({"HIERARCH MP_BAD": 0, "HIERARCH MP_DETECTED": 5})
    fits.writeto(tmp_path / "mask.fits", mask, cards)
    np.testing.assert_array_equal(read_bad_pixels(str(tmp_path / "mask.fits")), mask == 1)


def test_a_mask_tells_what_is_bogus_with_the_stars_that_lie_on_it_by_chance():
    detections = Table({"x": [5.0, 20.0, 30.0, 31.0], "y": [5.0, 5.0, 9.0, 9.4]})
    mask = np.zeros((40, 50), bool)
    mask[5, 20] = mask[9, 31] = True
    labels = from_mask(detections, mask, np.array([True, False, True, False]))
    assert labels["x"].tolist() == [20.0, 31.0]
    # Two real ones off the mask, two masked pixels of 2000: 0.002 expected among two.
    assert labels["purity"] == pytest.approx(1 - 2 * (2 / 2000) / (1 - 2 / 2000) / 2)
    with pytest.raises(InputError, match=r"1 of 4 detections lie outside of the mask of 31 x 40 pixels"):
        from_mask(detections, mask[:, :31], np.zeros(4, bool))


def test_contradictions_are_left_out_and_evidence_is_joined():
    rows = Table({"image": ["a", "a", "b"], "row": [0, 1, 0], "x": [1.0, 2, 3], "y": [1.0, 2, 3]})
    found = joined(
        [
            harvested(rows, [1, 0, 1], "", "repeats", [0.9, 0.8, 0.7]),
            harvested(rows[:2], [1, 1], "", "catalog", 0.95),
        ]
    )
    assert found.contradicted == 1
    assert found.table["evidence"].tolist() == ["repeats+catalog", "repeats"]
    assert found.table["purity"].tolist() == pytest.approx([0.95, 0.7])


def test_tables_of_different_nights_are_refused(night, tmp_path):
    _, _, folder = night
    with pytest.raises(
        InputError, match=r"has no detections.parquet; make the tables with 'rbinfer night"
    ):
        NightTables.read(tmp_path)
    for name in ("detections.parquet", "sources.ecsv", "frames.ecsv"):
        (tmp_path / name).write_bytes((folder / "out" / name).read_bytes())
    Table.read(tmp_path / "sources.ecsv")[:5].write(tmp_path / "sources.ecsv", overwrite=True)
    with pytest.raises(InputError, match="are of different nights"):
        NightTables.read(tmp_path)


def test_the_verb_says_what_it_found(night, tmp_path, capsys):
    _, _, folder = night
    output = tmp_path / "labels.ecsv"
    assert main(["harvest", str(folder / "out"), "-o", str(output), "--most", "20", "-q"]) == 0
    said = capsys.readouterr().out
    assert "repeats: 20 labels of" in said
    assert "detections of the night have evidence" in said
    assert len(read_labels(output)) == sum(int(line.split()[1]) for line in said.splitlines()[:3])
    assert main(["harvest", "-o", str(output)]) == 1
    assert "nothing to harvest from: give the tables of a night, or darks" in capsys.readouterr().err
