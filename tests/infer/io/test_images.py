import gzip
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.masked import Masked

from rbinfer._util.arguments import as_positions
from rbinfer.errors import InputError
from rbinfer.io.arrays import as_image, uncertainty_of
from rbinfer.io.images import load_image, load_stamps, read_plane
from rbinfer.io.maps import read_map
from rbinfer.io.mask_planes import bad_pixels

RAMP = np.arange(12, dtype=np.float32).reshape(3, 4)


def assert_kernel_ready(data):
    assert data.dtype == np.float32
    assert data.dtype.isnative
    assert data.flags.c_contiguous
    assert data.flags.aligned


@pytest.mark.parametrize("name", ["a.fits", "a b [1] é.fits", "a.fits.gz"])
def test_load_image_plain_and_gz_big_endian(tmp_path, name):
    path = tmp_path / name
    fits.writeto(path, RAMP.astype(">f8"))
    got = load_image(str(path))
    assert_kernel_ready(got.pixels)
    np.testing.assert_array_equal(got.pixels, RAMP)
    assert got.mask is None
    assert got.saturation is None
    assert got.hdu == 0


def test_load_image_unsigned_16_bit_to_the_limit(tmp_path):
    values = np.array([[0, 32767], [32768, 65535]], dtype=np.uint16)
    fits.writeto(tmp_path / "u.fits", values)
    np.testing.assert_array_equal(load_image(tmp_path / "u.fits").pixels, values.astype(np.float32))


def test_load_image_applies_scale_and_blank(tmp_path):
    hdu = fits.PrimaryHDU(np.array([[1, 2], [3, -99]], dtype=np.int16))
    hdu.header["BLANK"] = -99
    hdu.writeto(tmp_path / "s.fits")
    with fits.open(tmp_path / "s.fits", "update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"] = 0.5
        hdus[0].header["BZERO"] = 10.0
    np.testing.assert_array_equal(
        load_image(tmp_path / "s.fits").pixels, np.array([[10.5, 11], [11.5, np.nan]], np.float32)
    )


_BZERO = {"u2": 2**15, "u4": 2**31, "i1": -(2**7)}


@pytest.mark.parametrize("compression", [None, "RICE_1", "GZIP_1", "HCOMPRESS_1"])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4"])
@pytest.mark.parametrize("end", ["min", "max"])
def test_blank_pixels_of_every_integer_are_none(kind, compression, end, tmp_path):
    # BLANK is in stored values, before BZERO.
    values = np.random.default_rng(0).integers(20, 100, (64, 48)).astype(kind)
    values[:20] = getattr(np.iinfo(kind), end)
    header = fits.Header({"BLANK": int(values[0, 0]) - _BZERO.get(kind, 0)})
    if compression is None:
        primary = fits.PrimaryHDU(values)
        primary.header.update(header)
        hdus = fits.HDUList([primary])
    else:
        image = fits.CompImageHDU(values, header, compression_type=compression)
        hdus = fits.HDUList([fits.PrimaryHDU(), image])
    hdus.writeto(tmp_path / "b.fits")
    got = load_image(tmp_path / "b.fits").pixels
    assert_kernel_ready(got)
    assert np.isnan(got[:20]).all()
    np.testing.assert_array_equal(got[20:], values[20:].astype(np.float32))


def test_zblank_with_a_scale_in_an_extension(tmp_path):
    values = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
    values[:20] = -99
    image = fits.CompImageHDU(values, fits.Header({"BLANK": -99}), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / "z.fits")
    with fits.open(tmp_path / "z.fits", "update", disable_image_compression=True) as hdus:
        header = hdus[1].header
        del header["BLANK"]
        header.update({"ZBLANK": -99, "BSCALE": 0.5, "BZERO": 10.0})
    got = load_image(tmp_path / "z.fits").pixels
    assert np.isnan(got[:20]).all()
    np.testing.assert_array_equal(got[20:], 0.5 * values[20:] + 10)


def test_64_bit_unsigned_integers_keep_their_differences(tmp_path):
    values = np.random.default_rng(0).integers(20, 100, (64, 48)).astype(np.uint64)
    values[:20] = 2**64 - 1
    hdu = fits.PrimaryHDU(values)
    hdu.header["BLANK"] = 2**63 - 1
    hdu.writeto(tmp_path / "u8.fits")
    got = load_image(tmp_path / "u8.fits").pixels
    assert np.isnan(got[:20]).all()
    np.testing.assert_array_equal(got[20:], values[20:].astype(np.float32))


def test_load_image_tile_compressed_comes_from_the_first_image(tmp_path):
    values = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(values)]).writeto(tmp_path / "c.fits.fz")
    got = load_image(tmp_path / "c.fits.fz")
    assert got.hdu == 1
    np.testing.assert_array_equal(got.pixels, values)


def test_load_image_chooses_hdu_by_number_and_name(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])], name="CAT")
    hdus = [fits.PrimaryHDU(), table, fits.ImageHDU(RAMP, name="SCI"), fits.ImageHDU(-RAMP)]
    fits.HDUList(hdus).writeto(tmp_path / "m.fits")
    assert load_image(tmp_path / "m.fits").hdu == 2
    assert load_image(tmp_path / "m.fits", "3").pixels[0, 1] == -1
    assert load_image(tmp_path / "m.fits", "sci").hdu == 2
    for wrong, text in [
        (0, "has no data"),
        (1, "is a table"),
        (9, r"no HDU 9; it has HDU 0 PRIMARY \(no data\), 1 CAT \(table\), 2 SCI \(image 4 x 3\)"),
        ("DQ", "no HDU 'DQ'"),
    ]:
        with pytest.raises(InputError, match=text):
            load_image(tmp_path / "m.fits", wrong)


def test_load_image_drops_leading_axes_and_refuses_a_cube(tmp_path):
    fits.writeto(tmp_path / "thin.fits", RAMP[None, None])
    assert load_image(tmp_path / "thin.fits").pixels.shape == (3, 4)
    fits.writeto(tmp_path / "cube.fits", np.stack([RAMP, RAMP]))
    with pytest.raises(
        InputError, match=r"cube of 2 planes of 4 x 3 pixels; choose one: `plane` 0 to 1 or mean"
    ):
        load_image(tmp_path / "cube.fits")
    # A cube before an image does not hide the image.
    both = [fits.PrimaryHDU(np.stack([RAMP, RAMP])), fits.ImageHDU(RAMP)]
    fits.HDUList(both).writeto(tmp_path / "both.fits")
    assert load_image(tmp_path / "both.fits").hdu == 1


def test_load_image_reads_saturation_from_extension_or_primary(tmp_path):
    primary = fits.PrimaryHDU()
    primary.header["SATURATE"] = 60000
    first, second = fits.ImageHDU(RAMP), fits.ImageHDU(RAMP)
    first.header["SATURATE"] = 1234.5
    second.header["SATURATE"] = "unknown"
    fits.HDUList([primary, first, second]).writeto(tmp_path / "s.fits")
    assert load_image(tmp_path / "s.fits", 1).saturation == 1234.5
    assert load_image(tmp_path / "s.fits", 2).saturation == 60000.0


def test_load_image_takes_the_mask_that_ccddata_writes(tmp_path):
    bad = RAMP > 9
    CCDData(RAMP, unit="adu", mask=bad).write(tmp_path / "m.fits")
    np.testing.assert_array_equal(load_image(tmp_path / "m.fits").mask, bad)


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.fixture
def fits_bytes(tmp_path):
    noise = np.random.default_rng(1).normal(size=(100, 100)).astype(np.float32)
    fits.writeto(tmp_path / "whole.fits", noise)
    return (tmp_path / "whole.fits").read_bytes()


def test_load_image_refuses_what_is_no_image_file(tmp_path, fits_bytes):
    wrong = [
        (tmp_path / "none.fits", "does not exist"),
        (tmp_path, "is a directory"),
        (write(tmp_path / "empty.fits", b""), r"is empty \(0 bytes\)"),
        (write(tmp_path / "text.fits", b"no FITS file, just text\n" * 400), "does not begin as a FITS"),
        (write(tmp_path / "head.fits", fits_bytes[:1000]), "cannot be read|no 2-D image"),
        (
            write(tmp_path / "data.fits", fits_bytes[:20000]),
            "is truncated: it ends before its pixels do",
        ),
        (write(tmp_path / "cut.fits.gz", gzip.compress(fits_bytes)[:9000]), "cannot be decompressed"),
        (write(tmp_path / "short.fits.gz", gzip.compress(fits_bytes[:20000])), "it ends before its"),
        (write(tmp_path / "a.xisf", b"XISF0100" + b"\0" * 99), "it is an XISF image; save it as FITS"),
        (
            write(tmp_path / "a.ser", b"LUCAM-RECORDER" + b"\0" * 99),
            "it is a SER video; save its frames",
        ),
        (write(tmp_path / "a.fits", b"\x89PNG\r\n" + b"\0" * 99), "it is a PNG picture; convert it"),
        (write(tmp_path / "b.fits", b"<!DOCTYPE html><html></html>"), "it is a web page; "),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path, text in wrong:
            with pytest.raises(InputError, match=text) as caught:
                load_image(path)
            assert "\n" not in str(caught.value)


def test_load_image_accepts_missing_padding(tmp_path, fits_bytes):
    # Many writers leave out the padding of the last block; no pixel is lost.
    path = write(tmp_path / "p.fits", fits_bytes[: 2880 + 40000])
    assert load_image(path).pixels.shape == (100, 100)


def test_load_image_lists_hdus_when_there_is_no_image(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])], name="CAT")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "t.fits")
    with pytest.raises(InputError, match=r"no 2-D image; it has HDU 0 .*, 1 CAT \(table\)"):
        load_image(tmp_path / "t.fits")


def test_as_image_does_not_copy_when_right():
    data, mask = as_image(RAMP)
    assert data is RAMP
    assert mask is None
    bad = RAMP > 3
    assert as_image(RAMP, bad)[1] is bad


@pytest.mark.parametrize(
    "image",
    [
        RAMP.astype(">f4"),
        RAMP.astype(">i2"),
        RAMP.astype(np.uint8),
        RAMP.astype(np.float16),
        RAMP.astype(np.longdouble),
        np.asfortranarray(RAMP),
        np.repeat(np.repeat(RAMP, 2, axis=0), 2, axis=1)[::2, ::2],
        RAMP[::-1, ::-1].copy()[::-1, ::-1],
        RAMP.tolist(),
        NDData(RAMP),
        np.frombuffer(b"\0" + RAMP.tobytes(), dtype=np.uint8)[1:].view("<f4").reshape(3, 4),
    ],
)
def test_as_image_any_type_order_and_layout(image):
    data, mask = as_image(image)
    assert_kernel_ready(data)
    np.testing.assert_array_equal(data, RAMP)
    assert mask is None


def test_as_image_joins_masks():
    own, given = RAMP == 1, (RAMP == 2).astype(np.int32)
    for image in (np.ma.array(RAMP, mask=own), CCDData(RAMP, unit="adu", mask=own)):
        np.testing.assert_array_equal(as_image(image)[1], own)
        np.testing.assert_array_equal(as_image(image, given)[1], (RAMP == 1) | (RAMP == 2))
    assert as_image(np.ma.array(RAMP))[1] is None


def test_as_image_overflow_becomes_infinite_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data, _ = as_image(np.array([[1e300, -1e300, 1.0]]))
    np.testing.assert_array_equal(data, [[np.inf, -np.inf, 1.0]])


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros(5), r"2-D, not 1-D \(5,\)"),
        (np.zeros((2, 3, 4)), r"not 3-D \(2, 3, 4\); give one plane"),
        (np.zeros((0, 4)), r"no pixels.*\(0, 4\)"),
        (np.zeros((2, 2), complex), "complex numbers"),
        (np.full((2, 2), None), "Python objects"),
        (np.array([["a", "b"]]), "text"),
        ([[1, 2], [3]], "not an array of numbers"),
        (None, "Python objects"),
    ],
)
def test_as_image_refuses(image, text):
    with pytest.raises(InputError, match=text):
        as_image(image)


def test_as_image_refuses_a_wrong_mask():
    with pytest.raises(InputError, match=r"mask has the shape \(4, 3\), the image \(3, 4\)"):
        as_image(RAMP, np.zeros((4, 3), bool))
    with pytest.raises(InputError, match="bool or integers, not float64"):
        as_image(RAMP, np.zeros((3, 4)))


def test_read_plane_keeps_its_type(tmp_path):
    fits.writeto(tmp_path / "dq.fits", np.arange(6, dtype=">i4").reshape(2, 3))
    found = read_plane(tmp_path / "dq.fits")
    assert found.dtype == np.dtype("int32")
    np.testing.assert_array_equal(found, np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        (StdDevUncertainty, [4.0, 0.5]),
        (VarianceUncertainty, [16.0, 0.25]),
        (InverseVariance, [1 / 16, 4.0]),
    ],
)
def test_uncertainty_of_any_declared_type(declared, values):
    image = NDData(np.zeros((1, 2)), uncertainty=declared(np.array([values])))
    np.testing.assert_allclose(uncertainty_of(image), [[4.0, 0.5]])


def test_uncertainty_that_says_nothing(caplog):
    assert uncertainty_of(RAMP) is None
    assert uncertainty_of(NDData(RAMP)) is None
    assert uncertainty_of(NDData(RAMP, uncertainty=UnknownUncertainty(RAMP))) is None
    assert "unknown type" in caplog.text
    for nothing in (0.0, np.nan):
        assert uncertainty_of(NDData(RAMP, uncertainty=StdDevUncertainty(RAMP * nothing))) is None
    assert "nowhere finite and above 0" in caplog.text


def test_map_from_a_file_an_extension_or_the_image(tmp_path):
    image, other = tmp_path / "image.fits", tmp_path / "maps [old].fits"
    flags = np.array([[0, 1, 4], [5, 0, 2]], np.uint16)
    fits.HDUList([fits.PrimaryHDU(np.zeros((2, 3))), fits.ImageHDU(flags, name="DQ")]).writeto(image)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(flags * 2, name="TWICE")]).writeto(other)
    for where, factor in (("DQ", 1), ("1", 1), (f"{image}[dq]", 1), (str(other), 2), (f"{other}[1]", 2)):
        np.testing.assert_array_equal(read_map(where, image, (2, 3), "mask"), factor * flags)
    for where, shape, words in (
        ("no_such.fits", (2, 3), "does not exist"), ("SCI", (2, 3), "no HDU 'SCI'"),
        ("DQ", (3, 2), r"shape \(2, 3\) but the image has \(3, 2\)"),
        (f"{tmp_path}/none.fits[1]", (2, 3), "does not exist"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            read_map(where, image, shape, "mask")


def test_bits_of_a_mask():
    flags = np.array([[0, 1, 4], [5, 0, 2]])
    np.testing.assert_array_equal(bad_pixels(flags), flags > 0)
    for kind in (np.uint8, np.int32, np.float32):
        found = bad_pixels(flags.astype(kind), 0b101)
        np.testing.assert_array_equal(found, [[False, True, True], [True, False, False]])
    for bits in (None, 1):  # NaN is what BLANK makes of a pixel
        assert bad_pixels(np.array([[np.nan, 0.0, 3.0]]), bits).tolist() == [[True, False, True]]
    with pytest.raises(InputError, match="float64"):
        bad_pixels(np.array([[0.5]]), 1)


def test_uncertainty_in_another_unit():
    image = NDData(np.zeros((1, 2)), unit="Jy", uncertainty=StdDevUncertainty([[4.0, 0.5]], unit="mJy"))
    np.testing.assert_allclose(uncertainty_of(image), [[4e-3, 5e-4]])


def test_a_mask_of_another_shape_is_told(tmp_path, caplog):
    hdus = [fits.PrimaryHDU(np.zeros((4, 5))), fits.ImageHDU(np.ones((2, 2), np.uint8), name="MASK")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    assert load_image(tmp_path / "a.fits").mask is None
    assert "no mask is used: HDU 1 MASK of" in caplog.text
    with pytest.raises(InputError, match=r"0 PRIMARY \(image 5 x 4\), 1 MASK \(image 2 x 2\)"):
        load_image(tmp_path / "a.fits", 7)


@pytest.mark.parametrize("unit", [None, u.adu])
def test_masks_of_astropy_are_heeded(unit):
    bad = RAMP > 7
    image = Masked(RAMP if unit is None else RAMP * unit, mask=bad)
    data, mask = as_image(image)
    np.testing.assert_array_equal(data, RAMP)
    np.testing.assert_array_equal(mask, bad)
    assert not np.isnan(as_positions(RAMP[0], Masked(RAMP[0], mask=[0, 0, 0, 0]))[1]).any()
    x, y = as_positions(Masked(RAMP[0] * u.pix, mask=[0, 1, 0, 0]), RAMP[0])
    np.testing.assert_array_equal(np.isnan(x), [False, True, False, False])
    np.testing.assert_array_equal(y, RAMP[0])


def test_positions_are_copied_only_where_they_must_be():
    plain = np.arange(4.0)
    fixed, masked = plain.copy(), np.ma.array(plain.copy(), mask=[0, 1, 0, 0])
    fixed.flags.writeable = False
    x, y = as_positions(plain, fixed)
    assert np.shares_memory(x, plain)
    assert y.flags.writeable
    assert type(as_positions(u.Quantity(plain, u.pix), plain)[0]) is np.ndarray
    assert np.isnan(as_positions(masked, plain)[0]).tolist() == [False, True, False, False]
    assert masked.data.tolist() == plain.tolist()


def test_arrays_of_dask_are_computed_with_their_masks():
    dask = pytest.importorskip("dask.array")
    bad = RAMP > 7
    data, mask = as_image(dask.ma.masked_array(dask.from_array(RAMP), bad))
    np.testing.assert_array_equal(data[~bad], RAMP[~bad])
    np.testing.assert_array_equal(mask, bad)


def test_what_is_masked_in_a_mask_is_bad():
    bad = RAMP > 7
    zeros = np.zeros(RAMP.shape, np.uint8)
    for flags in (np.ma.array(zeros, mask=bad), Masked(zeros, mask=bad)):
        np.testing.assert_array_equal(as_image(RAMP, flags)[1], bad)


@pytest.mark.parametrize("unit", [u.mag, u.dex(u.adu), u.mag(u.adu), u.ABmag])
def test_logarithms_of_fluxes_are_refused(unit):
    with pytest.raises(InputError, match="which is not linear; convert"):
        as_image(u.Quantity(RAMP, unit, subok=True))


def test_an_hdu_is_no_image():
    for hdu in (fits.ImageHDU(RAMP), fits.HDUList([fits.PrimaryHDU(RAMP)])):
        with pytest.raises(InputError, match="an HDU of a FITS file"):
            as_image(hdu)


def test_a_name_is_no_image(tmp_path):
    for name in ("night.fits", tmp_path / "night.fits"):
        with pytest.raises(
            InputError, match=r"name of a file, .*night\.fits; read it with rbinfer\.io\.images"
        ):
            as_image(name)


def test_planes_of_a_cube_of_stamps_are_read_as_an_image_is(tmp_path, caplog):
    cube = np.random.default_rng(1).normal(1, 0.1, (3, 21, 21)).astype(np.float32)
    path = tmp_path / "plain.fits"
    extension = fits.ImageHDU(cube, fits.Header({"EXPTIME": 1.0}))
    fits.HDUList([fits.PrimaryHDU(header=fits.Header({"SATURATE": 900.0})), extension]).writeto(path)
    assert [stamp.saturation for stamp in load_stamps(path)] == [900.0] * 3

    path = tmp_path / "asinh.fits"
    fits.writeto(path, cube, fits.Header({"BSOFTEN": 2.0, "BOFFSET": 5.0, "SATURATE": 900.0}))
    stamps = load_stamps(path)
    assert caplog.text.count("asinh stretch") == 1
    for k, stamp in enumerate(stamps):
        image = load_image(path, plane=str(k))
        np.testing.assert_array_equal(stamp.pixels, image.pixels)
        assert stamp.saturation is image.saturation is None
    assert stamps[0].pixels[0, 0] != cube[0, 0, 0]

    path = tmp_path / "magnitudes.fits"
    fits.writeto(path, cube, fits.Header({"BUNIT": "mag"}))
    with pytest.raises(InputError, match="magnitudes"):
        load_stamps(path)
