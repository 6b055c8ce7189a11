"""What an HDU stores becomes one linear plane: cubes, stretches, mosaics of colour filters."""

import numpy as np
import pytest
from astropy.io import fits

from rbinfer import InputError
from rbinfer.io.images import load_image
from rbinfer.io.planes import levelled, mosaic_of, plane_of, undone

CUBE = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)


def field(shape=(300, 301), seed=0, noise=5.0):
    """A sky with 60 stars, their positions, and the noise-free light of the stars."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    light = np.zeros(shape)
    for peak, cx, cy in zip(10 ** rng.uniform(2.5, 4, 60), *rng.uniform(10, 290, (2, 60)), strict=True):
        light += peak * np.exp(-((xx - cx) ** 2 + (yy - cy) ** 2) / 2 / 1.3**2)
    return rng.normal(500, noise, shape) + light, light


@pytest.mark.parametrize(
    ("plane", "wanted"),
    [("0", CUBE[0]), ("2", CUBE[2]), ("R", CUBE[0]), ("g", CUBE[1]), ("B", CUBE[2]), ("mean", CUBE[1])],
)
def test_a_plane_of_a_colour_image(plane, wanted, tmp_path):
    np.testing.assert_array_equal(plane_of(CUBE, plane, "it"), wanted)
    np.testing.assert_array_equal(plane_of(CUBE[np.newaxis], plane, "it"), wanted)
    # Some programs store the colours of a pixel side by side.
    np.testing.assert_array_equal(plane_of(np.moveaxis(CUBE, 0, 2), plane, "it"), wanted)
    fits.PrimaryHDU(CUBE.astype(np.int16)).writeto(tmp_path / "rgb.fits")
    np.testing.assert_array_equal(load_image(tmp_path / "rgb.fits", plane=plane).pixels, wanted)


def test_the_mean_leaves_out_what_is_not_finite():
    cube = CUBE.copy()
    cube[0, 0, 0] = cube[:, 1, 1] = np.nan
    mean = plane_of(cube, "mean", "it")
    assert mean[0, 0] == (20 + 40) / 2
    assert np.isnan(mean[1, 1])
    assert np.isfinite(mean).sum() == 19


def test_a_plane_must_be_named_and_be_there(tmp_path):
    fits.PrimaryHDU(CUBE).writeto(tmp_path / "rgb.fits")
    with pytest.raises(
        InputError, match=r"cube of 3 planes of 5 x 4 pixels; choose one: `plane` 0 to 2, R, G, B or"
    ):
        load_image(tmp_path / "rgb.fits")
    with pytest.raises(InputError, match=r"has no plane '3'; it has 0 to 2, R, G, B or mean"):
        load_image(tmp_path / "rgb.fits", plane="3")
    with pytest.raises(InputError, match="no plane 'R'; it has 0 to 3 or mean"):
        plane_of(np.zeros((4, 9, 9)), "R", "it")
    with pytest.raises(InputError, match=r"has one axis \(9 pixels\), as spectra have; it is no image"):
        plane_of(np.zeros(9), None, "it")
    with pytest.raises(InputError, match="has 4 axes"):
        plane_of(np.zeros((2, 4, 9, 9)), "0", "it")
    with pytest.raises(InputError, match="it has one plane; leave out `plane='2'`"):
        plane_of(CUBE[0], "2", "it")
    plane = CUBE[0]
    assert plane_of(plane, "mean", "it") is plane
    assert plane_of(plane, None, "it") is plane


@pytest.mark.parametrize("n", [1, 3, 4])
def test_colours_side_by_side(n):
    cube = np.arange(9 * 8 * n).reshape(9, 8, n)
    np.testing.assert_array_equal(plane_of(cube, None if n == 1 else str(n - 1), "it"), cube[..., n - 1])


def test_axes_of_one_pixel_are_dropped_wherever_they_are():
    stack = np.arange(2 * 4 * 5).reshape(2, 1, 4, 5)
    np.testing.assert_array_equal(plane_of(stack, "1", "it"), stack[1, 0])


def test_a_colour_image_has_no_mosaic_any_more(tmp_path, caplog):
    cube = np.random.default_rng(1).normal(100, 5, (3, 40, 50)).astype(np.float32)
    fits.PrimaryHDU(cube, fits.Header({"BAYERPAT": "RGGB"})).writeto(tmp_path / "rgb.fits")
    np.testing.assert_array_equal(load_image(tmp_path / "rgb.fits", plane="G").pixels, cube[1])
    assert "mosaic" not in caplog.text


@pytest.mark.parametrize(
    ("card", "value", "mosaic"),
    [
        ("FILTER", "RGGB", "RGGB"),
        ("FILTER", " grbg ", "GRBG"),
        ("FILTERS", "BGGR", "BGGR"),
        ("COLORTYP", "BAYER_GBRG", "GBRG"),
        ("FILTER", "R", ""),
        ("FILTER", "RGB", ""),
        ("FILTER", "GREY", ""),
        ("FILTER", "WCMY", ""),  # a wheel's filter may have such a name
        ("FILTER", "no RGGB", ""),
        ("BAYERPAT", "RRRR", ""),
        ("BAYERPAT", "GREY", ""),
        ("COLORTYP", "grey", ""),
        ("OBJECT", "RGGB", ""),
    ],
)
def test_cards_that_name_a_mosaic(card, value, mosaic):
    assert mosaic_of(fits.Header({card: value})) == mosaic


def test_an_asinh_stretch_is_undone(tmp_path, caplog):
    image, _ = field()
    stretched = 2.5 / np.log(10) * np.arcsinh((image - 480.0) / 2 / 12.5)
    header = fits.Header({"BSOFTEN": 12.5, "BOFFSET": 480.0, "SATURATE": 9.0})
    fits.PrimaryHDU(stretched, header).writeto(tmp_path / "asinh.fits")
    exposure = load_image(tmp_path / "asinh.fits")
    np.testing.assert_allclose(exposure.pixels, image, rtol=1e-6)
    assert exposure.saturation is None
    assert "the pixels are an asinh stretch (BSOFTEN 12.5, BOFFSET 480), which is undone" in caplog.text


@pytest.mark.parametrize(
    ("unit", "stretch"),
    [
        ("log(adu)", np.log10),
        ("log10(electron/s)", np.log10),
        ("dex(Jy)", np.log10),
        ("ln(count)", np.log),
        ("sqrt(electron)", np.sqrt),
        ("adu^0.5", np.sqrt),
        ("electron**(1/2)", np.sqrt),
        ("[log] adu", np.log10),
        ("LOG10 ADU", np.log10),
    ],
)
def test_units_that_are_not_linear_are_undone(unit, stretch):
    image, _ = field()
    linear, what = undone(stretch(image), {"BUNIT": unit})
    np.testing.assert_allclose(linear, image, rtol=1e-9)
    assert unit in what


def test_linear_pixels_stay_and_magnitudes_are_refused():
    for unit in ("", "adu", "electron/s", "MJy/sr", "lognormal", "sqrtx", "magellan"):
        assert undone(CUBE, {"BUNIT": unit}) == (CUBE, "")
    for unit in ("mag/arcsec2", "mag(AB)", "ABmag", "magnitudes"):
        with pytest.raises(InputError, match="pixels are magnitudes"):
            undone(CUBE, {"BUNIT": unit})


@pytest.mark.parametrize("header", [{"STRETCH": "asinh"}, {"SCALING": "LOG"}, {"DATASCAL": "sqrt (x)"}])
def test_a_stretch_without_its_scale_is_refused(header):
    with pytest.raises(InputError, match=r"pixels are stretched .* does not tell what would undo"):
        undone(CUBE, header)


def test_what_is_no_stretch():
    for header in ({"STRETCH": "linear"}, {"SCALING": 1.5}, {"STRETCH": "none"}, {"BOFFSET": 3.0}):
        assert undone(CUBE, header) == (CUBE, "")


def test_an_asinh_stretch_without_the_level_of_the_sky():
    image, _ = field()
    stretched = 2.5 / np.log(10) * np.arcsinh((image - 480.0) / 2 / 12.5)
    linear, what = undone(stretched, {"BSOFTEN": 12.5})
    np.testing.assert_allclose(linear, image - 480.0, rtol=1e-9, atol=1e-9)
    assert what.startswith("an asinh stretch")


def test_the_header_names_the_mosaic():
    assert mosaic_of({"BAYERPAT": "RGGB "}) == "RGGB"
    assert mosaic_of({"COLORTYP": "gbrg"}) == "GBRG"
    assert mosaic_of({"BAYERPAT": "BAYER_RGGB"}) == "RGGB"
    assert mosaic_of({"BAYERPAT": "'GRBG'"}) == "GRBG"
    for header in (
        {},
        {"BAYERPAT": "CCCC"},
        {"BAYERPAT": "GREYGREY"},
        {"BAYERPAT": "NONE"},
        {"BAYERPAT": True},
        {"COLORTYP": "MONOCHROME"},
    ):
        assert mosaic_of(header) == ""


@pytest.mark.parametrize("shape", [(300, 301), (301, 300), (300, 300)])
def test_a_mosaic_is_brought_to_one_level_and_scale(shape):
    image, light = field(shape)
    mosaic = image.copy()
    through = {(0, 0): 0.5, (1, 1): 0.7, (0, 1): 1.0, (1, 0): 1.0}
    for (i, j), share in through.items():
        # A bias, which is no light, and a sky of another colour than the stars.
        mosaic[i::2, j::2] = 300 + share**2 * 200 + share * (image[i::2, j::2] - 500)
    out = levelled(mosaic.astype(np.float32), None)
    medians = [np.median(out[i::2, j::2]) for i in (0, 1) for j in (0, 1)]
    assert np.ptp(medians) < 0.1
    bright = light > 100
    scales = [
        np.median(
            (out - medians[0])[i::2, j::2][bright[i::2, j::2]] / light[i::2, j::2][bright[i::2, j::2]]
        )
        for i in (0, 1)
        for j in (0, 1)
    ]
    assert max(scales) / min(scales) < 1.06


def test_hot_pixels_do_not_tell_what_filters_let_through():
    rng = np.random.default_rng(3)
    dark = rng.normal(300, 5, (200, 200)).astype(np.float32)
    dark[rng.integers(0, 100, 400) * 2, rng.integers(0, 100, 400) * 2] += 3000  # all of one colour
    out = levelled(dark, None)
    np.testing.assert_allclose(out, dark, atol=0.5)


def test_a_mosaic_in_a_file(tmp_path, caplog):
    image, _ = field((300, 300))
    mosaic = image.copy()
    mosaic[::2, ::2] *= 0.5
    header = fits.Header({"BAYERPAT": "RGGB"})
    fits.PrimaryHDU(mosaic.astype(np.uint16), header).writeto(tmp_path / "raw.fits")
    fits.PrimaryHDU(mosaic.astype(np.uint16)).writeto(tmp_path / "untold.fits")
    told = load_image(tmp_path / "raw.fits")
    assert "mosaic of colour filters (RGGB) is undone" in caplog.text
    np.testing.assert_array_equal(load_image(tmp_path / "untold.fits", bayer=True).pixels, told.pixels)
    raw = load_image(tmp_path / "raw.fits", bayer=False).pixels
    np.testing.assert_array_equal(raw, load_image(tmp_path / "untold.fits").pixels)
    assert abs(np.median(told.pixels[::2, ::2]) - np.median(told.pixels[1::2, 1::2])) < 0.5
    assert abs(np.median(raw[::2, ::2]) - np.median(raw[1::2, 1::2])) > 200
