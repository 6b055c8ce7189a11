import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from rbinfer.night.fields import Fields
from rbinfer.night.frames import read_frame
from rbinfer.night.rows import Rows, read_rows

from .skies import rows_of

SCALE = 2.0 / 3600


def wcs_at(ra, dec, flip=-1.0, scale=SCALE, turn=0.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [301, 301]
    c, s = np.cos(turn), np.sin(turn)
    wcs.wcs.cd = scale * np.array([[flip * c, -flip * s], [s, c]])
    wcs.wcs.set()
    return wcs


def seen(n, wcs=None, seed=0):
    """Return the rows of a frame of 600 x 600 pixels."""
    x, y = np.random.default_rng(seed).uniform(20, 580, (2, n))
    rows = rows_of(0, x, y)
    rows["u"] = rows["v"] = np.nan
    sky = None if wcs is None else tuple(np.asarray(k) for k in wcs.wcs_pix2world(x, y, 0))
    return Rows(rows, [], 0.5, 3.0, sky, 0, None)


def laid(fields, rows):
    place = fields.add(rows)
    fields.lay(rows, place)
    return place


@pytest.mark.parametrize("flip", [-1.0, 1.0])
@pytest.mark.parametrize("n", [4, 5, 6, 50])
def test_a_few_rows_begin_a_field_by_their_wcs(n, flip):
    fields, wcs = Fields(), wcs_at(83.6, 22.0, flip, turn=0.7)
    place = laid(fields, seen(n, wcs))
    assert place.how == "sky"
    assert fields.fields[0].arcsec_per_pixel == pytest.approx(2.0, rel=1e-4)
    ra, dec = fields.fields[0].sky(np.array([10.0, 590.0]), np.array([590.0, 300.0]))
    expected = wcs.wcs_pix2world([10.0, 590.0], [590.0, 300.0], 0)
    np.testing.assert_allclose([ra, dec], expected, atol=1e-5)


@pytest.mark.parametrize("flip", [-1.0, 1.0])
@pytest.mark.parametrize("n", [1, 3, 4, 5])
def test_a_few_rows_join_a_field_by_their_wcs_alone(n, flip):
    fields = Fields()
    fields.add(seen(50, wcs_at(83.6, 22.0)))
    rows = seen(n, wcs_at(83.61, 22.01, flip), seed=1)
    place = laid(fields, rows)
    assert (place.field, place.how, place.affine) == (0, "sky", None)
    ra, dec = fields.fields[0].sky(rows.rows["u"], rows.rows["v"])
    np.testing.assert_allclose([ra, dec], rows.sky, atol=1e-9)


def test_rows_in_a_line_begin_no_field_on_the_sky():
    wcs = wcs_at(83.6, 22.0)
    rows = seen(5, wcs)
    rows.rows["y"] = 2.0 * rows.rows["x"] + 1e-6 * rows.rows["y"]
    rows.sky[0][:], rows.sky[1][:] = wcs.wcs_pix2world(rows.rows["x"], rows.rows["y"], 0)
    rows.rows["y"] = 2.0 * rows.rows["x"]
    assert Fields().add(rows).how == "first"


def test_a_frame_that_bends_on_the_plane_of_another_field_keeps_its_wcs():
    fields = Fields()
    fields.add(seen(50, wcs_at(10.0, 40.0)))
    wide = seen(80, wcs_at(10.0, 43.0, scale=60.0 / 3600), seed=2)  # 10 degrees
    place = laid(fields, wide)
    assert (place.field, place.how) == (1, "sky")
    assert fields.fields[1].arcsec_per_pixel == pytest.approx(60.0, rel=0.01)
    ra, dec = fields.fields[1].sky(wide.rows["u"], wide.rows["v"])
    np.testing.assert_allclose([ra, dec], wide.sky, atol=1e-9)


def test_a_wcs_that_pixels_do_not_follow_is_not_believed():
    rows = seen(50, wcs_at(10.0, 44.5))
    rows.sky[0][:25] += 0.5
    assert Fields().add(rows).how == "first"


def test_the_nearest_field_is_joined_and_none_that_lies_far():
    fields = Fields()
    for number, ra in enumerate([10.0, 17.0]):
        assert fields.add(seen(50, wcs_at(ra, 0.0))).field == number
    assert fields.add(seen(50, wcs_at(14.5, 0.0), seed=1)).field == 1
    assert fields.add(seen(50, wcs_at(12.5, 0.0), seed=1)).field == 0
    assert fields.add(seen(50, wcs_at(23.0, 0.0), seed=1)).field == 2


def test_rows_beyond_the_poles_do_not_count():
    fields, wcs = Fields(), wcs_at(83.6, 22.0)
    first = seen(50, wcs)
    first.sky[1][:10] = [95.0, -99.0, 1e30, np.inf, np.nan] * 2
    assert laid(fields, first).how == "sky"
    assert np.all(np.isnan(first.rows["u"][:10]))
    second = seen(50, wcs, seed=1)
    second.sky[1][3] = 1e6
    assert fields.add(second).field == 0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_frames_of_one_to_three_rows_begin_a_field_by_the_wcs_of_their_image(tmp_path, n):
    wcs = wcs_at(83.6, 22.0, turn=0.4)
    image = tmp_path / "i.fits"
    header = wcs.to_header()
    header["DATE-OBS"] = "2026-03-14T21:00:00"
    fits.writeto(image, np.zeros((600, 600), np.float32), header)
    x, y = np.random.default_rng(n).uniform(20, 580, (2, n))
    ra, dec = wcs.wcs_pix2world(x, y, 0)
    table = Table({"x": x, "y": y, "ra": ra, "dec": dec})
    table["rb_score"], table["rb_status"] = np.float32(0.9), np.int32(0)
    table.meta = {"rb_threshold": 0.5, "rb_image": str(image), "rb_hdu": 0}
    table.write(tmp_path / "r.fits")
    rows = read_rows(read_frame(str(image), [], tmp_path / "r.fits"), 0)
    fields = Fields()
    place = laid(fields, rows)
    assert (place.field, place.how) == (0, "sky")
    assert fields.add(seen(50, wcs_at(83.61, 22.01), seed=1)).field == 0
    found = fields.fields[0].sky(rows.rows["u"], rows.rows["v"])
    np.testing.assert_allclose(found, [ra, dec], atol=1e-6)
    # Positions that are not by the WCS of the image say nothing of the rest of it.
    table["dec"] += 0.01
    table.write(tmp_path / "r.fits", overwrite=True)
    assert read_rows(read_frame(str(image), [], tmp_path / "r.fits"), 0).grid is None


@pytest.mark.parametrize("without", [(0,), (0, 1), (0, 2, 3), (1, 3)])
def test_frames_whose_wcs_failed_are_of_the_same_field_wherever_they_come(without):
    stars = np.random.default_rng(4).uniform(-200, 800, (300, 2))
    fields, frames, places = Fields(), [], []
    for k in range(4):
        shift, wcs = np.array([7.0 * k, -11.0 * k]), wcs_at(83.6, 22.0)
        wcs.wcs.crpix += shift
        x, y = (stars + shift)[np.all((stars + shift > 0) & (stars + shift < 600), axis=1)].T
        rows = rows_of(k, x, y)
        sky = None if k in without else tuple(np.asarray(each) for each in wcs.wcs_pix2world(x, y, 0))
        frames.append(Rows(rows, [], 0.5, 3.0, sky, 0, None))
        places.append(fields.add(frames[-1]))
    places = fields.joined(places)
    assert [place.field for place in places] == [0] * 4
    assert [place.how for place in places] == ["stars" if k in without else "sky" for k in range(4)]
    assert [known.n_frames for known in fields.fields] == [4]
    for rows, place in zip(frames, places, strict=True):
        fields.lay(rows, place)
    u, v = (frames[0].rows[name] for name in ("u", "v"))
    for k, rows in enumerate(frames[1:], 1):
        there = np.column_stack([rows.rows["x"], rows.rows["y"]]) - np.array([7.0 * k, -11.0 * k])
        here = np.column_stack([frames[0].rows["x"], frames[0].rows["y"]])
        same = np.hypot(*(there[:, None] - here).transpose(2, 0, 1)) < 0.01
        i, j = np.nonzero(same)
        assert len(i) > 80
        np.testing.assert_allclose(rows.rows["u"][i], u[j], atol=0.01)
        np.testing.assert_allclose(rows.rows["v"][i], v[j], atol=0.01)


def test_fields_of_other_stars_are_not_joined():
    fields = Fields()
    places = [fields.add(seen(80, None, seed=5)), fields.add(seen(80, wcs_at(10.0, 40.0), seed=6))]
    assert [(place.field, place.how) for place in fields.joined(places)] == [(0, "first"), (1, "sky")]
    assert [known.n_frames for known in fields.fields] == [1, 1]
