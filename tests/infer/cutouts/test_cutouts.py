"""The kernels against a slow oracle, and what cutting promises."""

import dataclasses

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, NDData
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer import InputError, PreprocessSpec, Status, extract_cutouts, preprocess_cutout
from rbinfer.cutouts.cutter import Cutter
from rbinfer.cutouts.resampling import resampling, rescaling
from rbinfer.io.exposure import as_exposure
from rbinfer.kernels import numerics

from ..kernels import oracle


def scene(rng, height, width, sky=500.0, noise=7.0, stars=12):
    y, x = np.indices((height, width))
    image = rng.normal(sky, noise, (height, width))
    for _ in range(stars):
        x0, y0 = rng.uniform(0, width), rng.uniform(0, height)
        flux, s = 10 ** rng.uniform(1.5, 4), rng.uniform(0.6, 3)
        image += flux * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * s * s))
    for _ in range(6):
        image[rng.integers(height), rng.integers(width)] += 10 ** rng.uniform(2, 4)
    return image.astype(np.float32)


def positions(rng, height, width, n=12):
    x, y = rng.uniform(-3, width + 2, n), rng.uniform(-3, height + 2, n)
    x[0], y[0] = 0, 0
    x[1], y[1] = width - 1, height - 1
    x[2], y[2] = np.rint(width / 2), np.rint(height / 2)
    x[3] = np.nan
    y[4] = np.inf
    return x, y


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    fwhm=st.sampled_from([0.7, 1.0, 1.4, 1.9, 2.6, 4.4, 4.6, 6.0, 7.4, 7.6, 10.0, 14.0]),
    masked=st.booleans(),
    size=st.sampled_from([21, 31]),
)
def test_reference_kernel_equals_oracle(seed, fwhm, masked, size):
    rng = np.random.default_rng(seed)
    image = scene(rng, 70, 83)
    mask = rng.random(image.shape) < rng.choice([0.02, 0.3]) if masked else None
    image[rng.integers(70), rng.integers(83)] = np.nan
    x, y = positions(rng, *image.shape)
    spec = PreprocessSpec.reference(size)
    got = Cutter.prepare(as_exposure(image, fwhm=fwhm, mask=mask), spec).cut(x, y)
    for k in range(len(x)):
        expected, status = oracle.reference(image, x[k], y[k], spec, fwhm, mask)
        assert got.status[k] == status
        if expected is not None:
            # Float32 like the reference itself: at a sky of 500 its steps are 3e-5 ADU. The golden
            # vectors hold the kernel to 1e-5.
            np.testing.assert_allclose(got.pixels[k], expected, rtol=0, atol=1e-4)
    assert not got.core.any()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    fwhm=st.sampled_from([0.7, 1.0, 1.4, 1.9, 2.6, 4.4, 4.6, 6.0, 7.4, 7.6, 10.0, 14.0]),
    masked=st.booleans(),
    bg=st.sampled_from([None, "scalar", "map"]),
    err=st.sampled_from([None, "scalar", "map"]),
    norms=st.sampled_from([("centre", "peak"), ("peak", "peak"), ("centre", "centre")]),
    recentre=st.sampled_from([0, 1, 2]),
)
def test_default_kernel_equals_oracle(seed, fwhm, masked, bg, err, norms, recentre):
    rng = np.random.default_rng(seed)
    image = scene(rng, 64, 77)
    mask = rng.random(image.shape) < rng.choice([0.02, 0.6]) if masked else None
    image[rng.integers(64), rng.integers(77)] = np.nan
    maps = {
        "bg": {None: None, "scalar": 498.0, "map": np.full(image.shape, 501.0, np.float32)}[bg],
        "err": {None: None, "scalar": 6.0, "map": rng.uniform(5, 9, image.shape).astype("f4")}[err],
    }
    x, y = positions(rng, *image.shape)
    spec = dataclasses.replace(
        PreprocessSpec.default(), linear_norm=norms[0], asinh_norm=norms[1], recentre=recentre
    )
    got = Cutter.prepare(as_exposure(image, fwhm=fwhm, mask=mask, **maps), spec).cut(x, y)
    for k in range(len(x)):
        expected, status, snr, core = oracle.default(image, x[k], y[k], spec, fwhm, mask, **maps)
        assert got.status[k] == status
        if expected is not None:
            np.testing.assert_allclose(got.pixels[k], expected, rtol=0, atol=2e-4)
            assert got.snr[k] == pytest.approx(snr, rel=1e-3, abs=1e-2)
            # asinh of the S/N, up to 20, is as exact as the noise of the window.
            np.testing.assert_allclose(got.core[k], core, rtol=1e-4, atol=2e-4)
        else:
            assert not got.core[k].any()


def test_asinh_error_bound():
    values = np.concatenate([np.logspace(-30, 17, 400_001), [0.0]]).astype(np.float32)
    values = np.concatenate([values, -values])
    out = np.empty_like(values)
    numerics.asinh_array(values, out)
    exact = np.arcsinh(values.astype(np.float64))
    error = np.abs(out - exact)[exact != 0] / np.abs(exact[exact != 0])
    assert error.max() < 1e-6
    assert out[values == 0].tolist() == [0.0, 0.0]


def test_as_many_cutouts_as_positions():
    cutter = Cutter.prepare(as_exposure(np.zeros((64, 64)), fwhm=3), PreprocessSpec.default())
    out = cutter.cut(np.array([32.0, 33.0]), np.array([32.0, 33.0]))
    with pytest.raises(ValueError, match="must be as many, not 2, 1"):
        cutter.cut_into(np.zeros(2), np.zeros(1), out)
    with pytest.raises(ValueError, match="must be as many, not 3, 3"):
        cutter.cut_into(np.zeros(3), np.zeros(3), out)
    out.pixels.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        cutter.cut_into(np.zeros(2), np.zeros(2), out)


def test_default_window_is_centred_on_the_brightest_neighbour():
    image = np.zeros((101, 101), np.float32)
    image[50, 51] = 100
    image += np.random.default_rng(0).normal(0, 1, image.shape).astype(np.float32)
    for x, y in ((51, 50), (50.4, 49.6), (51.9, 50.9)):
        pixels = (
            Cutter.prepare(as_exposure(image, fwhm=3), PreprocessSpec.default())
            .cut(np.array([float(x)]), np.array([float(y)]))
            .pixels[0]
        )
        assert np.unravel_index(pixels[..., 0].argmax(), (31, 31)) == (15, 15)
        assert pixels[15, 15].tolist() == [1.0, 1.0]


def test_default_takes_real_pixels_where_the_reference_pads():
    image = np.zeros((201, 201), np.float32)
    image[100, 100] = 50
    image[100, 100 + 20] = 40  # beyond the reference's window, within 31 pixels of 6 / 4
    x = y = np.array([100.0])
    default = Cutter.prepare(as_exposure(image, fwhm=6), PreprocessSpec.default()).cut(x, y).pixels[0]
    reference = (
        Cutter.prepare(as_exposure(image, fwhm=6), PreprocessSpec.reference()).cut(x, y).pixels[0]
    )
    assert default[15, 26:30, 1].max() > 0.8
    assert (reference[..., 1] > 0.5).sum() == 1


def test_saturation_is_told():
    image = np.random.default_rng(1).normal(100, 1, (80, 80)).astype(np.float32)
    image[40, 40] = 5000
    at = np.array([40.0]), np.array([40.0])
    for spec in (PreprocessSpec.default(), PreprocessSpec.reference()):
        told = Cutter.prepare(as_exposure(image, fwhm=3, saturation=5000), spec).cut(*at).status[0]
        quiet = Cutter.prepare(as_exposure(image, fwhm=3, saturation=5001), spec).cut(*at).status[0]
        assert told == Status.SATURATED
        assert quiet == 0


@pytest.mark.parametrize("level", [0.0, 7.0, -3.0])
def test_constant_images_give_finite_cutouts(level):
    image = np.full((64, 64), level, np.float32)
    for spec in (PreprocessSpec.default(), PreprocessSpec.reference()):
        got = Cutter.prepare(as_exposure(image, fwhm=3), spec).cut(np.array([32.0]), np.array([32.0]))
        assert np.isfinite(got.pixels).all()
        assert got.status[0] == 0


def test_gain_and_sky_do_not_matter_to_the_default_preset():
    rng = np.random.default_rng(3)
    image = scene(rng, 90, 90).astype(np.float64)
    x, y = rng.uniform(5, 85, 30), rng.uniform(5, 85, 30)
    base = Cutter.prepare(as_exposure(image, fwhm=3), PreprocessSpec.default()).cut(x, y).pixels
    for gain, sky in ((0.01, 0), (1000, 0), (1, 2000), (1, -600)):
        other = (
            Cutter.prepare(as_exposure(gain * image + sky, fwhm=3), PreprocessSpec.default())
            .cut(x, y)
            .pixels
        )
        np.testing.assert_allclose(other, base, rtol=0, atol=2e-4)


def test_rescaling():
    assert rescaling(None, 3.0, 1.5) == (1.0, 1, 1)
    assert rescaling(-1.0, 3.0, 1.5) == (1.0, 1, 1)
    assert rescaling(4.5, 3.0, 1.5) == (1.5, 1, 1)
    assert rescaling(7.5, 3.0, 1.5) == (2.5, 2, 1)  # half to even
    assert rescaling(1.0, 3.0, 1.5) == (1 / 3, 1, 3)


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"cutout_sci": np.zeros(5)}, "2-D"),
        ({"cutout_sci": np.zeros((0, 5))}, "no pixels"),
        ({"cutout_sci": np.zeros((9, 9)), "cutout_bg": np.zeros((8, 9))}, "cutout_bg"),
        ({"cutout_sci": np.zeros((9, 9)), "fwhm": 90.0}, "blocks of 30"),
        ({"cutout_sci": np.zeros((9, 9)), "target_size": 0}, "target_size"),
        ({"cutout_sci": np.zeros((9, 9)), "asinh_softening": -1.0}, "asinh_softening"),
        ({"cutout_sci": np.zeros((9, 9)), "fwhm": np.inf}, "fwhm"),
        ({"cutout_sci": np.zeros((9, 9)) + 0j}, "the cutout must hold real numbers, not complex"),
        *(
            ({"cutout_sci": np.zeros((9, 9)), **bad}, f"{name} must be a")
            for bad in (
                {"target_size": 31.5},
                {"target_size": None},
                {"target_size": "x"},
                {"target_fwhm": None},
                {"target_fwhm": "x"},
                {"downscale_threshold": "x"},
                {"asinh_softening": True},
                {"fwhm": True},
                {"fwhm": [3.0]},
                {"fwhm": np.ones((2, 2))},
            )
            for name in bad
        ),
        ({"cutout_sci": np.zeros((9, 9)), "cutout_err": "x"}, "cutout_err must be numbers"),
        ({"cutout_sci": np.zeros((9, 9)) * u.mJy, "cutout_err": 3 * u.deg}, "cutout_err is in deg"),
    ],
)
def test_preprocess_refuses(kwargs, says):
    with pytest.raises(InputError, match=says):
        preprocess_cutout(**kwargs)


def test_a_cutout_and_its_noise_in_any_form():
    cutout, err = np.random.default_rng(0).normal(100, 5, (2, 31, 31))
    cutout[15, 15] += 500
    mask = np.arange(961).reshape(31, 31) < 300
    plain = preprocess_cutout(np.ma.array(cutout, mask=mask), 90, err[~mask], 3.0)[0]
    err[mask] = 1e6
    for sci in (NDData(cutout, mask=mask), CCDData(cutout, unit="mJy", mask=mask)):
        for noise in (np.ma.array(err, mask=mask), NDData(err, mask=mask)):
            np.testing.assert_array_equal(preprocess_cutout(sci, 90, noise, "3")[0], plain)
    in_jy = preprocess_cutout(sci, 0.09 * u.Jy, CCDData(err / 1e3, unit="Jy", mask=mask), 3 * u.pix)[0]
    np.testing.assert_allclose(in_jy, plain, rtol=1e-6)


def test_pixels_that_are_not_finite_take_the_median():
    cutout = np.random.default_rng(0).normal(100, 5, (31, 31))
    cutout[15, 15] += 500
    filled = cutout.copy()
    cutout[3, 4], cutout[20, 7] = np.nan, np.inf
    filled[3, 4] = filled[20, 7] = np.median(cutout[np.isfinite(cutout)])
    np.testing.assert_array_equal(preprocess_cutout(cutout)[0], preprocess_cutout(filled)[0])
    with pytest.raises(InputError, match="no finite pixel"):
        preprocess_cutout(np.full((9, 9), np.nan))


def test_resampling_conserves_the_mean_and_is_symmetric():
    for scale in (0.2, 0.5, 1.0, 1.3, 2.0, 3.7):
        taps = resampling(31, scale)
        np.testing.assert_allclose(taps.weights.sum(axis=1), 1)
        native = np.zeros((31, taps.span))
        for i, first in enumerate(taps.first):
            native[i, first : first + taps.weights.shape[1]] += taps.weights[i]
        np.testing.assert_allclose(native, native[::-1, ::-1], atol=1e-9)
        # Linear interpolation keeps a slope exactly; a mean over part pixels to an eighth of a pixel.
        where = native @ (taps.start + np.arange(taps.span))
        atol = 1e-9 if scale <= 1 or scale == round(scale) else 0.125
        np.testing.assert_allclose(where, (np.arange(31) - 15) * scale, atol=atol)


def test_scores_know_no_orientation():
    image = scene(np.random.default_rng(5), 90, 90)
    x, y = np.array([40.0, 60.0]), np.array([33.0, 71.0])
    spec = dataclasses.replace(PreprocessSpec.default(), recentre=0)
    for fwhm in (1.5, 3.0, 4.0, 7.0):
        base = Cutter.prepare(as_exposure(image, fwhm=fwhm), spec).cut(x, y).pixels
        flipped = Cutter.prepare(as_exposure(image[:, ::-1], fwhm=fwhm), spec).cut(89 - x, y).pixels
        np.testing.assert_allclose(flipped[:, :, ::-1], base, atol=1e-5)
        turned = Cutter.prepare(as_exposure(image.T, fwhm=fwhm), spec).cut(y, x).pixels
        np.testing.assert_allclose(turned.transpose(0, 2, 1, 3), base, atol=1e-5)


def test_extract_of_nothing_is_nothing():
    cutouts, valid = extract_cutouts({"x": [], "y": []}, np.zeros((50, 50)))
    assert cutouts.shape == (0, 31, 31, 2)
    assert valid.shape == (0,)
    assert valid.dtype == np.int64


def test_extract_leaves_out_the_edge_and_says_which():
    image = np.random.default_rng(0).normal(0, 1, (64, 64))
    cutouts, valid = extract_cutouts({"x": [3, 32, 60], "y": [32, 32, 32]}, image, fwhm=3.0)
    assert cutouts.shape == (1, 31, 31, 2)
    assert valid.tolist() == [1]
    with pytest.raises(InputError, match="radius"):
        extract_cutouts({"x": [3], "y": [3]}, image, radius=0)


def test_noise_that_a_map_does_not_tell(caplog):
    """Its median stands in; without it such windows would seem to have no noise at all."""
    image = np.random.default_rng(3).normal(100, 5, (80, 80)).astype(np.float32)
    image[40, 40] += 500
    known = np.full(image.shape, 5.0, np.float32)
    holes = known.copy()
    holes[20:60, 20:60] = [[np.nan, 0.0, -1.0, np.inf] * 10]
    at = np.array([40.0])
    whole, partly = (
        Cutter.prepare(as_exposure(image, fwhm=3.0, err=err), PreprocessSpec.default()).cut(at, at)
        for err in (known, holes)
    )
    np.testing.assert_array_equal(partly.pixels, whole.pixels)
    assert "25.0 % of the pixels" in caplog.text
    with pytest.raises(InputError, match="no pixel that is finite and above 0"):
        Cutter.prepare(as_exposure(image, fwhm=3.0, err=known * 0), PreprocessSpec.default())
