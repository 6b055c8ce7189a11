import warnings
from pathlib import Path

import numpy as np
import pytest
import sep

from rbinfer.errors import InputError
from rbinfer.measure.detect import detect

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
    with pytest.raises(InputError, match="threads must be at least 1, not 0"):
        detect(image, threads=0)


@pytest.mark.parametrize("detector", ["rbinfer", "sep"])
def test_detect_refuses_a_mask_of_another_shape(detector):
    with pytest.raises(InputError, match=r"the mask's shape \(9, 8\) is not the image's, \(9, 9\)"):
        detect(np.zeros((9, 9), np.float32), np.zeros((9, 8), bool), detector=detector)


@pytest.mark.parametrize("share", [0.55, 0.9])
def test_detect_where_most_pixels_are_bad(share, caplog):
    image = np.random.default_rng(0).normal(100, 3, (128, 128)).astype(np.float32)
    image[80:83, 60:63] += 500
    image[: int(share * 64)], image[64 : 64 + int(share * 64)] = np.nan, np.nan
    image[80:83, 60:63] = 600
    found = detect(image)
    assert [(round(x), round(y)) for x, y in found["x", "y"]] == [(61, 81)]
    assert not caplog.records


def test_a_frame_with_too_few_good_pixels_is_told(caplog):
    image = np.full((100, 100), np.nan, np.float32)
    image[::30, ::30] = 1.0
    assert len(detect(image)) == 0
    assert "more than half of the pixels of every 64 x 64 cell are bad" in caplog.text


# Profile FWHM (Moffat fits to the bright isolated stars, less the pixel) of a few real frames. The
# `fwhm_px` of the tables is a half-light diameter, which the wings make 1.2 to 1.5 times as large.
REAL_FWHM = {
    "eso085_004": 2.71,
    "saao_bin2_val_0012": 2.02,
    "saao_val_0001": 3.88,
    "saao_val_0034": 5.05,
    "single_apogee300": 4.08,
}


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
