"""What is measured of frames of known stars, and that nothing is where there are none."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbinfer.errors import InputError
from rbinfer.io.exposure import Exposure, as_exposure
from rbinfer.measure.psf import measure_psf

from .frames import (
    NOISE,
    SIGMA,
    SKY,
    add,
    add_hot_pixels,
    add_tracks,
    ellipse,
    fine_stamp,
    gaussian_stamp,
    moffat,
    slow_fit,
    star_frame,
)

REAL = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.mark.parametrize("fwhm", [0.9, 1.2, 1.7, 2.4, 3.5, 5.0, 7.0, 10.0])
def test_width_of_stars_alone(fwhm):
    found = measure_psf(star_frame(np.random.default_rng(int(10 * fwhm)), 60, fwhm))
    assert found.fwhm == pytest.approx(fwhm, rel=0.04)
    assert found.confidence >= 1
    assert found.n_stars > 30
    assert found.n_fitted <= 300
    assert (found.reason == "") == (fwhm >= 0.9)


@pytest.mark.parametrize("fwhm", [14.0, 20.0])
def test_width_of_large_stars(fwhm):
    found = measure_psf(star_frame(np.random.default_rng(int(fwhm)), 40, fwhm, size=800))
    assert found.fwhm == pytest.approx(fwhm, rel=0.06)


def test_stars_narrower_than_a_pixel_are_told_to_be_ambiguous():
    found = measure_psf(star_frame(np.random.default_rng(71), 400, 0.75))
    assert found.fwhm == pytest.approx(0.75, rel=0.1)
    assert found.is_ambiguous
    assert "0.7" in found.reason


@pytest.mark.parametrize("fwhm", [1.6, 3.0, 6.0])
def test_hits_outnumber_the_stars(fwhm):
    rng = np.random.default_rng(int(100 * fwhm))
    image = star_frame(rng, 50, fwhm)
    add_hot_pixels(rng, image, 500)
    add_tracks(rng, image, 300)
    found = measure_psf(image)
    assert found.fwhm == pytest.approx(fwhm, rel=0.1)
    assert found.agreement < 1


@pytest.mark.parametrize("seed", range(6))
def test_hits_alone_are_no_stars(seed):
    rng = np.random.default_rng(900 + seed)
    image = rng.normal(SKY, NOISE, (400, 400)).astype(np.float32)
    add_hot_pixels(rng, image, 300 * (seed % 2))
    add_tracks(rng, image, 40 * seed)
    found = measure_psf(image)
    assert found.fwhm is None
    assert found.stamp is None
    assert "no stars found" in found.reason
    assert found.confidence < 1


def test_hot_pixels_that_leak_alike_are_no_stars():
    rng = np.random.default_rng(17)
    image = rng.normal(SKY, NOISE, (400, 400)).astype(np.float32)
    add_hot_pixels(rng, image, 150, leak=0.12)
    found = measure_psf(image)
    assert found.fwhm is None
    assert "no stars found" in found.reason


def test_pieces_of_a_trail_are_no_stars():
    rng = np.random.default_rng(18)
    image = rng.normal(SKY, NOISE, (400, 400)).astype(np.float32)
    for along in np.arange(10.0, 380.0, 19.0):
        x, y = along, 30.0 + 0.8 * along
        stamp = gaussian_stamp(21, x - round(x), y - round(y), 3.0, 600 * NOISE)
        add(image, stamp.astype(np.float32), round(y), round(x))
    assert measure_psf(image).fwhm is None


@pytest.mark.parametrize("image", [
    np.random.default_rng(1).normal(SKY, NOISE, (300, 300)),
    np.zeros((300, 300)),
    np.full((100, 90), np.nan),
    np.ones((3, 3)),
])  # fmt: skip
def test_frames_without_anything(image):
    found = measure_psf(image.astype(np.float32))
    assert found.fwhm is None
    assert found.n_stars == 0
    assert math.isnan(found.scatter)


def test_two_stars_are_too_few():
    image = np.random.default_rng(2).normal(SKY, NOISE, (200, 200))
    for row, column in ((60, 70), (130, 120)):
        image[row - 10 : row + 11, column - 10 : column + 11] += gaussian_stamp(21, 0.1, 0.3, 3.0, 2e4)
    found = measure_psf(image.astype(np.float32))
    assert found.fwhm is None
    assert "fewer than three" in found.reason


def test_few_stars_in_a_clean_frame_are_enough():
    assert measure_psf(star_frame(np.random.default_rng(41), 6, 4.0)).fwhm == pytest.approx(4.0, rel=0.1)


def test_wings_do_not_matter_much():
    side = 19
    stamp = fine_stamp(moffat(4.0), side, 0.2, 0.1)
    inside = np.hypot(*np.mgrid[-9:10, -9:10]) <= 2.2 * 4.0
    parameters, _ = slow_fit(100 * stamp, inside.astype(float), 1.7)
    expected = SIGMA * math.exp(parameters[3])
    assert 4.1 < expected < 4.5  # the best Gaussian is wider than a Moffat profile, by its wings
    found = measure_psf(star_frame(np.random.default_rng(5), 60, profile=moffat(4.0)))
    assert found.fwhm == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize(
    ("ratio", "angle"), [(0.7, 0.5), (0.6, -1.0), (0.5, 1.4), (0.35, 0.8), (0.2, 0.3)]
)
def test_elongated_stars_have_the_width_of_equal_area(ratio, angle):
    image = star_frame(np.random.default_rng(6), 60, profile=ellipse(4.0, ratio, angle))
    found = measure_psf(image)
    assert found.fwhm == pytest.approx(4.0, rel=0.08)
    # The grid does not resolve the width of a very long streak.
    assert found.ellipticity == pytest.approx(1 - ratio, abs=0.05 if ratio > 0.3 else 0.13)
    assert math.cos(2 * (found.theta - angle)) > 0.99


def test_streaks_among_hits():
    rng = np.random.default_rng(7)
    image = star_frame(rng, 60, profile=ellipse(7.0, 0.18, 0.6), size=600)
    add_hot_pixels(rng, image, 200)
    add_tracks(rng, image, 120)
    found = measure_psf(image)
    assert found.fwhm == pytest.approx(7.0, rel=0.15)
    assert found.ellipticity > 0.6


def test_donuts():
    def donut(dx, dy):
        return np.exp(-0.5 * ((np.hypot(dx, dy) - 5.0) / 1.2) ** 2)

    found = measure_psf(star_frame(np.random.default_rng(8), 30, profile=donut, size=600))
    # Two thirds of the light lie within 6 pixels of the middle.
    assert 8.0 < found.fwhm < 15.0


def test_crowded_field():
    found = measure_psf(star_frame(np.random.default_rng(9), 3000, 2.2))
    assert found.fwhm == pytest.approx(2.2, rel=0.08)


def test_colour_filter_array():
    image = star_frame(np.random.default_rng(10), 150, 2.0)
    mosaic = image * np.tile(np.float32([[1.0, 0.45], [0.6, 1.0]]), (200, 200))
    assert measure_psf(mosaic).fwhm == pytest.approx(2.0, rel=0.12)


def test_eight_bits():
    image = star_frame(np.random.default_rng(11), 100, 2.5)
    small = np.clip(np.rint((image - SKY) / 20 + 20), 0, 255).astype(np.float32)
    assert measure_psf(small).fwhm == pytest.approx(2.5, rel=0.1)


def test_bright_stars_that_are_wider():
    rng = np.random.default_rng(12)
    image = np.maximum(star_frame(rng, 80, 3.0), star_frame(rng, 80, 3.0))
    dark = SKY + 300 * np.log1p(np.maximum(image - SKY, 0) / 300)  # as a photographic plate
    found = measure_psf(dark.astype(np.float32) + rng.normal(0, 2, image.shape).astype(np.float32))
    assert found.fwhm_bright > 1.05 * found.fwhm_faint
    assert found.fwhm_faint <= found.fwhm <= found.fwhm_bright


def test_width_that_varies_over_the_frame():
    rng = np.random.default_rng(13)
    image = np.hstack([star_frame(rng, 80, fwhm, size=300) for fwhm in (2.6, 2.8, 3.0)])
    found = measure_psf(image)
    assert found.fwhm == pytest.approx(2.8, rel=0.05)
    assert found.regions.shape == (3, 3)
    assert np.nanmean(found.regions, axis=0) == pytest.approx([2.6, 2.8, 3.0], rel=0.04)
    assert found.variation == pytest.approx(0.4 / 2.8, abs=0.06)


@pytest.mark.parametrize("fwhm", [1.0, 1.5, 3.0, 9.0])
def test_stamp_is_a_star_on_the_grid_of_cutouts(fwhm):
    size = 400 if fwhm < 5 else 700
    found = measure_psf(star_frame(np.random.default_rng(int(50 * fwhm)), 120, fwhm, size=size))
    assert found.stamp.shape == found.stamp_scatter.shape == (31, 31)
    assert found.stamp.dtype == np.float32
    assert found.stamp.max() == found.stamp[15, 15] == pytest.approx(1.0, abs=1e-6)
    spacing = found.fwhm / 3.0
    # A Gaussian that a pixel of the image, so many pixels of the grid wide, blurs.
    binning = max(k for k in (1, 2, 4, 8) if k <= max(spacing, 1.0))
    grid = (np.arange(31) - 15) * spacing / binning
    values = np.array([gaussian_stamp(1, -u, 0.0, fwhm / binning)[0, 0] for u in grid])
    expected = values[:, None] * values[None, :]
    assert np.abs(found.stamp - expected / expected.max()).max() < 0.04
    assert np.abs(found.stamp[:4]).max() < 0.03


def test_stamp_shows_wings_and_shape():
    found = measure_psf(star_frame(np.random.default_rng(14), 150, profile=moffat(3.0, 2.5)))
    gaussian = measure_psf(star_frame(np.random.default_rng(14), 150, 3.0))
    ring = np.abs(np.hypot(*np.mgrid[-15:16, -15:16]) - 5.0) < 0.5
    assert found.stamp[ring].mean() > gaussian.stamp[ring].mean() + 0.01


def test_saturated_stars_are_left_out():
    image = star_frame(np.random.default_rng(15), 150, 2.5)
    level = SKY + 60 * NOISE
    clipped = np.minimum(image, np.float32(level))
    for saturation in (None, level):
        assert measure_psf(clipped, saturation=saturation).fwhm == pytest.approx(2.5, rel=0.06)


def test_mask_and_missing_areas():
    image = star_frame(np.random.default_rng(16), 200, 3.0)
    whole = measure_psf(image)
    mask = np.zeros(image.shape, bool)
    mask[:, :200] = True
    spoilt = np.where(mask, np.float32(1e6), image)
    half = measure_psf(spoilt, mask)
    assert half.fwhm == pytest.approx(whole.fwhm, rel=0.02)
    assert half.n_stars < 0.7 * whole.n_stars
    for value in (0.0, np.nan, np.inf):
        image[:150] = value
        assert measure_psf(image).fwhm == pytest.approx(whole.fwhm, rel=0.02)


@given(
    seed=st.integers(0, 5), turn=st.sampled_from(["flip x", "flip y", "transpose"]),
    offset=st.floats(-1e4, 1e4), factor=st.floats(0.02, 50.0),
)  # fmt: skip
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_does_not_change_the_width(seed, turn, offset, factor):
    fwhm = (1.3, 1.8, 2.5, 3.4, 5.0, 8.0)[seed]
    image = star_frame(np.random.default_rng(200 + seed), 80, fwhm)
    width = measure_psf(image).fwhm
    turned = {"flip x": image[:, ::-1], "flip y": image[::-1], "transpose": image.T}[turn]
    assert measure_psf(np.ascontiguousarray(turned)).fwhm == pytest.approx(width, rel=0.015)
    assert measure_psf(image + np.float32(offset)).fwhm == pytest.approx(width, rel=0.01)
    assert measure_psf(image * np.float32(factor)).fwhm == pytest.approx(width, rel=0.01)
    assert measure_psf(np.rint(image)).fwhm == pytest.approx(width, rel=0.01)


def test_the_frame_is_not_changed_and_the_result_is_always_the_same():
    image = star_frame(np.random.default_rng(20), 100, 2.0)
    before = image.copy()
    first, second = measure_psf(image), measure_psf(image)
    assert np.array_equal(image, before)
    assert first.fwhm == second.fwhm
    assert np.array_equal(first.stamp, second.stamp)


def test_images_of_all_kinds_are_taken():
    image = star_frame(np.random.default_rng(22), 100, 2.2)
    wanted = measure_psf(image).fwhm
    mask = np.zeros(image.shape, bool)
    mask[:200] = True
    masked = measure_psf(image, mask).fwhm
    assert masked != wanted
    for each in (image.astype(">f8"), np.asfortranarray(image), image.tolist(), as_exposure(image)):
        assert measure_psf(each).fwhm == wanted
    assert measure_psf(CCDData(image, unit="adu", mask=mask)).fwhm == masked
    exposure = as_exposure(image, mask=mask)
    assert measure_psf(exposure).fwhm == masked
    assert measure_psf(exposure, saturation=1e9).fwhm == pytest.approx(masked, rel=0.02)


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="2-D, not 3-D"):
        measure_psf(np.zeros((2, 50, 50), np.float32))
    with pytest.raises(InputError, match=r"no pixels: its shape is \(0, 5\)"):
        measure_psf(np.zeros((0, 5)))
    with pytest.raises(InputError, match=r"\(50, 40\)"):
        measure_psf(np.zeros((50, 50), np.float32), np.zeros((50, 40), bool))


def _real():
    # Names and widths of the real frames that are here.
    for table in ("widths.csv", "groups.csv"):
        path = REAL / "widths" / table
        if path.exists():
            with path.open() as lines:
                yield from ((row["name"], float(row["fwhm_px"])) for row in csv.DictReader(lines))


@pytest.mark.skipif(not REAL.exists(), reason="no real frames here")
@pytest.mark.parametrize(("name", "fwhm"), list(_real()))
def test_real_frames(name, fwhm):
    (path,) = REAL.rglob(f"{name}.fits.gz")
    image = np.ascontiguousarray(fits.getdata(path), np.float32)
    limit = 0.25 if "plate" in name or "bayer" in name else 0.15
    assert measure_psf(image).fwhm == pytest.approx(fwhm, rel=limit)


@pytest.mark.skipif(not REAL.exists(), reason="no real frames here")
@pytest.mark.parametrize(
    "name", ["oscaar_dark_1", "oscaar_dark_2", "allsky_overcast_1", "allsky_overcast_2"]
)
def test_real_frames_without_stars(name):
    image = np.ascontiguousarray(fits.getdata(REAL / "more" / f"{name}.fits.gz"), np.float32)
    assert measure_psf(image).fwhm is None


@pytest.mark.parametrize(
    "how", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.astype(float)]
)
def test_an_exposure_made_by_hand_may_have_pixels_of_any_layout(how):
    image = star_frame(np.random.default_rng(72), 60, 2.4)
    expected = measure_psf(Exposure(image))
    found = measure_psf(Exposure(how(image)))
    assert found.fwhm == expected.fwhm
    np.testing.assert_array_equal(found.stamp, expected.stamp)


def test_the_masks_of_an_exposure_made_by_hand_count():
    image = star_frame(np.random.default_rng(73), 60, 2.4)
    bad = np.zeros(image.shape, np.bool_)
    bad[:40] = True
    expected = as_exposure(image, mask=bad)
    for made in (
        Exposure(np.ma.MaskedArray(image, bad)),
        Exposure(image, bad.astype(np.uint8)),
    ):
        found = as_exposure(made)
        assert type(found.pixels) is np.ndarray
        np.testing.assert_array_equal(found.mask, expected.mask)
