import warnings
from pathlib import Path

import numpy as np
import pytest
import sep
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table

from rbinfer.errors import InputError
from rbinfer.io.exposure import Width, as_exposure
from rbinfer.measure.detect import detect, estimate_fwhm
from rbinfer.measure.estimate import catalogue_fwhm, measure_width

REAL = Path(__file__).parents[3].parent / "shared" / "data"
SIZE = 512
SKY, READ_NOISE = 200.0, 5.0
NOISE = np.hypot(np.sqrt(SKY), READ_NOISE)


def star(fwhm, beta, axis_ratio, dx, dy, radius):
    """Return a pixel-integrated profile of height about 1; Gaussian when beta is infinite."""
    over = 7 if fwhm < 2.5 else 3
    fine = (np.arange((2 * radius + 1) * over) + 0.5) / over - 0.5 - radius
    r2 = ((fine - dx) ** 2 * axis_ratio)[None, :] + ((fine - dy) ** 2 / axis_ratio)[:, None]
    if np.isinf(beta):
        profile = np.exp(-4 * np.log(2) * r2 / fwhm**2)
    else:
        profile = (1 + 4 * r2 / fwhm**2 * (2 ** (1 / beta) - 1)) ** -beta
    n = 2 * radius + 1
    return profile.reshape(n, over, n, over).mean(axis=(1, 3))


def frame(fwhm, beta=3.5, artefacts=0.0, n_stars=150, axis_ratio=0.9, seed=0):
    """Return an image with stars, and hot pixels and cosmic rays for a fraction of all objects."""
    rng = np.random.default_rng(seed)
    radius = int(4 * fwhm) + 3
    image = np.full((SIZE + 2 * radius, SIZE + 2 * radius), SKY)
    heights = NOISE * np.minimum(5 + 6 * rng.pareto(0.8, n_stars), 5000)
    for height, x, y in zip(heights, *rng.uniform(0, SIZE - 1, (2, n_stars)), strict=True):
        ix, iy = round(x), round(y)
        stamp = star(fwhm, beta, axis_ratio, x - ix, y - iy, radius)
        image[iy : iy + 2 * radius + 1, ix : ix + 2 * radius + 1] += height * stamp
    image = image[radius:-radius, radius:-radius]
    image = rng.poisson(image).astype(float) + rng.normal(0, READ_NOISE, image.shape)
    for k in range(round(n_stars * artefacts / (1 - artefacts))):
        height = NOISE * (20 + 30 * rng.pareto(1.0))
        # Hot pixels, cosmic rays straight down with diffusion, and tracks.
        length, spread = [(0, 0.0), (0, rng.uniform(0.2, 0.45)), (rng.exponential(8), 0.2)][k % 3]
        along = np.linspace(0, length, 400)
        angle = rng.uniform(0, 2 * np.pi)
        x, y = rng.uniform(20, SIZE - 20, 2)
        px = np.rint(x + along * np.cos(angle) + rng.normal(0, spread, 400)).astype(int)
        py = np.rint(y + along * np.sin(angle) + rng.normal(0, spread, 400)).astype(int)
        ok = (px >= 0) & (px < SIZE) & (py >= 0) & (py < SIZE)
        np.add.at(image, (py[ok], px[ok]), height * max(1, length) / 400)
    return np.minimum(image, 60000).astype(np.float32)


def every_peak(image):
    """Detect as finely as can be: single pixels too, without a filter."""
    background = sep.Background(image)
    found = sep.extract(image - background, 5.0, err=background.globalrms, minarea=1, filter_kernel=None)
    return found["x"], found["y"]


@pytest.mark.parametrize("beta", [np.inf, 2.5])
@pytest.mark.parametrize("artefacts", [0.0, 0.8])
@pytest.mark.parametrize("fwhm", [1.2, 1.5, 2, 3, 4, 6, 8, 12])
def test_fwhm_is_right_within_a_tenth_among_artefacts(fwhm, artefacts, beta):
    image = frame(fwhm, beta, artefacts, seed=int(10 * fwhm))
    estimate = estimate_fwhm(image, *every_peak(image))
    assert estimate.fwhm == pytest.approx(fwhm, rel=0.1)
    assert estimate.n_stars >= 5
    assert estimate.reason == ""


@pytest.mark.parametrize("fwhm", [1.5, 3, 6])
def test_fwhm_of_crowded_sparse_and_trailed_fields(fwhm):
    for image in (
        frame(fwhm, n_stars=2500),
        frame(fwhm, n_stars=60, artefacts=0.3, seed=3),
        frame(fwhm, axis_ratio=0.6, artefacts=0.3),
    ):
        assert estimate_fwhm(image, *every_peak(image)).fwhm == pytest.approx(fwhm, rel=0.1)


def test_fwhm_does_not_depend_on_rows_or_repeats():
    image = frame(3, artefacts=0.5)
    x, y = every_peak(image)
    whole = estimate_fwhm(image, x, y)
    order = np.random.default_rng(1).permutation(len(x))
    assert estimate_fwhm(image, x[order], y[order]) == whole
    assert estimate_fwhm(image, np.tile(x, 3), np.tile(y, 3)) == whole
    odd = np.array([np.nan, np.inf, -np.inf, 1e300, -50, SIZE + 5, 0, SIZE - 1])
    mixed = estimate_fwhm(image, np.r_[odd, x, odd], np.r_[odd[::-1], y, np.full(8, 9.0)])
    assert mixed == whole


def test_fwhm_scales_with_nothing_but_the_stars():
    image = frame(4, artefacts=0.3)
    x, y = every_peak(image)
    fwhm = estimate_fwhm(image, x, y).fwhm
    assert estimate_fwhm(100 * image + 1e5, x, y).fwhm == pytest.approx(fwhm, rel=0.01)
    ramp = image + np.linspace(0, 3000, SIZE, dtype=np.float32)
    assert estimate_fwhm(ramp, x, y).fwhm == pytest.approx(fwhm, rel=0.02)
    mirrored = estimate_fwhm(np.ascontiguousarray(image[:, ::-1]), SIZE - 1 - x, y)
    assert mirrored.fwhm == pytest.approx(fwhm, rel=0.02)


def test_fwhm_leaves_out_saturated_and_masked_peaks():
    image = np.minimum(frame(4, n_stars=400), 3000)
    x, y = every_peak(image)
    # Flat tops are recognised without being told the level.
    assert estimate_fwhm(image, x, y).fwhm == pytest.approx(4, rel=0.1)
    given = estimate_fwhm(image, x, y, saturation=500.0)
    assert given.fwhm == pytest.approx(4, rel=0.1)
    assert given.n_stars < estimate_fwhm(image, x, y, saturation=1e9).n_stars
    mask = np.zeros(image.shape, bool)
    mask[:, : SIZE // 2] = True
    spoiled = image.copy()
    spoiled[mask] = np.random.default_rng(0).uniform(0, 1e6, mask.sum())
    half = estimate_fwhm(spoiled, x, y, mask=mask)
    assert half.fwhm == pytest.approx(4, rel=0.1)
    spoiled[mask] = np.nan
    assert estimate_fwhm(spoiled, x, y).fwhm == pytest.approx(half.fwhm, rel=1e-6)


def test_fwhm_unknown_has_a_reason():
    empty = estimate_fwhm(frame(3, n_stars=3), [5.0, 9.0], [5.0, 9.0])
    assert empty.fwhm is None
    assert "only 0" in empty.reason
    assert np.isnan(empty.scatter)
    only_artefacts = frame(3, n_stars=1, artefacts=0.995)
    estimate = estimate_fwhm(only_artefacts, *every_peak(only_artefacts))
    assert estimate.fwhm is None
    assert estimate.reason


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (31, 31)])
def test_fwhm_of_odd_images_is_unknown_without_warnings(value, shape):
    image = np.full(shape, value, np.float32)
    x, y = np.meshgrid(np.arange(-2.0, 40), np.arange(-2.0, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estimate_fwhm(image, x.ravel(), y.ravel()).fwhm is None
        assert estimate_fwhm(image, [], []).fwhm is None


def test_fwhm_of_wide_faint_stars_is_measured_on_the_binned_image():
    # Peaks of 7 sigma: too faint for the pixels as they are, not for means of four.
    rng = np.random.default_rng(1)
    image = np.full((300, 300), SKY)
    for x, y in rng.uniform(30, 270, (40, 2)):
        ix, iy = round(x), round(y)
        stamp = 7 * NOISE * star(9.0, 3.5, 1.0, x - ix, y - iy, 22)
        image[iy - 22 : iy + 23, ix - 22 : ix + 23] += stamp
    image = (image + rng.normal(0, NOISE, image.shape)).astype(np.float32)
    found = detect(image)
    x, y = np.asarray(found["x"]), np.asarray(found["y"])
    assert estimate_fwhm(image, x, y).fwhm is None
    measured = measure_width(as_exposure(image), x, y)
    assert measured.source == "measured"
    assert measured.fwhm == pytest.approx(9.0, rel=0.1)


@pytest.mark.parametrize("n_stars", [1, 2, 3])
def test_fwhm_of_few_stars_is_used_but_not_trusted(n_stars):
    image = np.random.default_rng(2).normal(SKY, NOISE, (200, 200))
    for k in range(n_stars):
        image[40:81, 40 + 41 * k : 81 + 41 * k] += 300 * NOISE * star(6.0, 3.5, 1.0, 0.2, 0.1, 20)
    image = image.astype(np.float32)
    measured = measure_width(as_exposure(image), np.array([60.0]), np.array([60.0]))
    assert not measured.is_trusted
    if n_stars == 1:
        assert measured == Width(3.0, "assumed")
    else:
        assert measured.source == "few stars"
        assert measured.fwhm == pytest.approx(6.0, rel=0.1)


def test_odd_pixels_do_not_make_the_binned_image_warn():
    image = np.random.default_rng(3).normal(SKY, NOISE, (64, 64)).astype(np.float32)
    image[10, 10:12] = np.inf, -np.inf
    image[20, 20:22] = 3e38
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure_width(as_exposure(image), np.array([30.0]), np.array([30.0]))
    assert measured == Width(3.0, "assumed")


def test_two_cosmic_rays_are_not_taken_for_stars():
    image = np.random.default_rng(3).normal(SKY, NOISE, (200, 200)).astype(np.float32)
    spot = np.outer([0.3, 1.0, 0.3], [0.3, 1.0, 0.3])
    for at in (50, 120, 160):
        image[at - 1 : at + 2, at - 1 : at + 2] += (100 * NOISE * spot).astype(np.float32)
    assert measure_width(as_exposure(image), np.array([50.0, 120.0]), np.array([50.0, 120.0])) == Width(
        3.0, "assumed"
    )


def test_the_fwhm_of_a_catalogue_is_in_pixels(caplog):
    table = Table({"fwhm": [3.0, 4.0, np.nan, 5.0], "a": [1.0, 2.0, 2.0, 3.0]})
    assert catalogue_fwhm(table) == 4.0
    table["fwhm"].unit = "arcsec"
    assert catalogue_fwhm(table) == pytest.approx(2.35 * 2.0)
    assert "not used for the FWHM: the column fwhm is in arcsec, not in pixels" in caplog.text
    table["a"] = ["wide"] * 4
    assert catalogue_fwhm(table) is None
    assert "the column a must hold one number a row" in caplog.text
    assert catalogue_fwhm(QTable({"a": [1.0, 2.0, 6.0] * u.pix})) == pytest.approx(2.35 * 2.0)


def test_fwhm_refuses_unequal_positions():
    with pytest.raises(InputError, match="x and y must be 1-D and of one length"):
        estimate_fwhm(np.zeros((9, 9), np.float32), [1.0, 2.0], [1.0])


def test_deblending_decides_how_many_a_blend_is():
    image = np.full((60, 60), SKY)
    for dx in (-4, 4):
        image[9:50, 9 + dx : 50 + dx] += 200 * NOISE * star(4.0, 3.5, 1.0, 0, 0, 20)
    image = (image + np.random.default_rng(0).normal(0, NOISE, image.shape)).astype(np.float32)
    assert len(detect(image)) == 2
    whole = detect(image, deblend_cont=1.0)
    assert len(whole) == 1
    assert float(whole["x"][0]) == pytest.approx(29.0, abs=0.3)


def test_detect_finds_stars_where_they_are():
    rng = np.random.default_rng(2)
    image = rng.normal(1000, 10, (200, 300)).astype(np.float32)
    xs, ys = [50.25, 250.5, 120.75], [40.0, 150.25, 99.5]
    for x, y in zip(xs, ys, strict=True):
        ix, iy = round(x), round(y)
        stamp = 2000 * star(4.0, np.inf, 1.0, x - ix, y - iy, 12)
        image[iy - 12 : iy + 13, ix - 12 : ix + 13] += stamp
    found = detect(image)
    assert len(found) == 3
    found.sort("x")
    np.testing.assert_allclose(found["x"], sorted(xs), atol=0.05)
    np.testing.assert_allclose(found["y"], [40.0, 99.5, 150.25], atol=0.05)
    np.testing.assert_array_equal(found["ypeak"], np.rint(found["y"]))
    np.testing.assert_allclose(found["flux"], 2000 * 1.1331 * 4.026**2, rtol=0.1)
    np.testing.assert_allclose(found["fwhm"], 4.0, rtol=0.1)
    assert found["flags"].dtype == np.int32
    assert np.all(np.isfinite(np.array([found[name] for name in found.colnames])))


def test_detect_threshold_is_in_sigma():
    image = np.random.default_rng(0).normal(0, 5, (512, 512)).astype(np.float32)
    assert len(detect(image)) == 0
    assert len(detect(image, threshold=2.0, minarea=1)) > 100


def test_detect_without_a_filter_finds_single_pixels():
    image = np.random.default_rng(0).normal(0, 5, (256, 256)).astype(np.float32)
    image[100, 50] += 45
    assert len(detect(image)) == 0
    found = detect(image, minarea=1, matched_filter=False)
    assert (found["x"][0], found["y"][0], found["npix"][0], len(found)) == (50, 100, 1, 1)


def test_detect_does_not_see_masked_or_bad_pixels():
    image = frame(3)
    whole = len(detect(image))
    mask = np.zeros(image.shape, bool)
    mask[200:300] = True
    spoiled = np.where(mask, np.float32(np.nan), image)
    spoiled[201, :100] = np.inf
    before = spoiled.copy()
    found = detect(spoiled)
    np.testing.assert_array_equal(spoiled, before)
    assert 0.6 * whole < len(found) < whole
    assert not np.any((found["y"] > 201) & (found["y"] < 298))
    huge = np.where(mask, np.float32(3e38), image)
    assert len(detect(huge, mask=mask)) == len(found)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64)),
        np.full((64, 64), 7.0),
        np.full((64, 64), np.nan),
        np.full((64, 64), np.inf),
        np.ones((1, 1)),
        np.arange(50.0)[None, :],
        np.arange(50.0)[:, None],
    ],
)
def test_detect_in_nothing_is_empty(image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = detect(image.astype(np.float32))
    assert len(found) == 0
    assert found.colnames[:2] == ["x", "y"]


def test_detect_in_a_noise_free_image():
    image = np.full((100, 100), 50, np.float32)
    image[30:35, 60:65] += 100
    found = detect(image)
    assert len(found) == 1
    np.testing.assert_allclose([found["x"][0], found["y"][0]], [62, 32], atol=0.01)


def test_detect_accepts_read_only_pixels():
    image = frame(3)
    image.setflags(write=False)
    assert len(detect(image)) > 50


def test_detect_raises_the_buffers_of_sep_and_puts_them_back():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (300, 300)).astype(np.float32)
    image[50:250, 50:250] += 100 + 40 * rng.random((200, 200), dtype=np.float32)
    stack, limit = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    try:
        sep.set_extract_pixstack(5000)
        sep.set_sub_object_limit(4)
        with pytest.raises(Exception, match=r"buffer full|overflow"):
            sep.extract(image, 5.0)
        assert len(detect(image)) >= 1
        assert sep.get_extract_pixstack() == 5000
        assert sep.get_sub_object_limit() == 4
    finally:
        sep.set_extract_pixstack(stack)
        sep.set_sub_object_limit(limit)


def test_detect_refuses_impossible_parameters():
    image = np.zeros((9, 9), np.float32)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="threshold must be finite and above 0"):
            detect(image, threshold=wrong)
    with pytest.raises(InputError, match="minarea must be at least 1, not 0"):
        detect(image, minarea=0)


# Profile FWHM (Moffat fits to the bright isolated stars, less the pixel) of a few real frames. The
# `fwhm_px` of the tables is a half-light diameter, which the wings make 1.2 to 1.5 times as large.
REAL_FWHM = {
    "eso085_004": 2.71,
    "saao_bin2_val_0012": 2.02,
    "saao_val_0001": 3.88,
    "saao_val_0034": 5.05,
    "single_apogee300": 4.08,
}


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not there")
@pytest.mark.parametrize("case", REAL_FWHM)
def test_fwhm_of_real_frames(case):
    image = fits.getdata(REAL / f"{case}.fits.gz").astype(np.float32)
    table = Table.read(REAL / f"{case}.ecsv")
    found = detect(image)
    assert estimate_fwhm(image, table["x"], table["y"]).fwhm == pytest.approx(REAL_FWHM[case], rel=0.1)
    assert estimate_fwhm(image, found["x"], found["y"]).fwhm == pytest.approx(REAL_FWHM[case], rel=0.1)


@pytest.mark.parametrize("scale", [1e-26, 1e-12, 1e6, 1e18])
def test_detect_does_not_depend_on_the_unit(scale):
    rng = np.random.default_rng(5)
    y, x = np.indices((120, 120))
    image = rng.normal(10, 1, (120, 120))
    for x0, y0 in ((20.3, 30.1), (80.7, 40.2), (60.0, 95.5)):
        image += 200 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 4)
    want = detect(image.astype(np.float32))
    got = detect((image * scale).astype(np.float32))
    assert len(want) == len(got) == 3
    np.testing.assert_allclose(got["x"], want["x"], atol=1e-3)
    np.testing.assert_allclose(got["peak"], want["peak"] * scale, rtol=1e-3)
    np.testing.assert_allclose(got["flux"], want["flux"] * scale, rtol=1e-3)


def test_pixels_of_absurd_values_count_as_missing():
    rng = np.random.default_rng(6)
    image = rng.normal(10, 1, (120, 120)).astype(np.float32)
    y, x = np.indices(image.shape)
    image += 200 * np.exp(-((x - 60.0) ** 2 + (y - 60.0) ** 2) / 4).astype(np.float32)
    image[rng.integers(0, 50, 40), rng.integers(0, 120, 40)] = 1e33
    assert len(detect(image)) == 1
