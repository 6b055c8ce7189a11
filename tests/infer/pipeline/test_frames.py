"""Images of a file with what the caller knows of them."""

import logging

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.errors import InputError
from rbinfer.measure.even import evened
from rbinfer.pipeline.frames import Frames
from rbinfer.pipeline.options import ScoreOptions


@pytest.fixture
def file(tmp_path):
    """Two images of noise, with a map of flags and one of noise that go by names of their own."""
    rng = np.random.default_rng(5)
    flags = np.zeros((40, 50), np.int16)
    flags[:, :10], flags[:, 10:15] = 1, 4
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for k in range(2):
        hdus.append(
            fits.ImageHDU(rng.normal(100.0 * (k + 1), 5, (40, 50)).astype(np.float32), name=f"AMP{k}")
        )
    hdus.append(fits.ImageHDU(flags, name="FLAWS"))
    hdus.append(fits.ImageHDU(np.full((40, 50), 5.0, np.float32), name="SPREAD"))
    hdus.writeto(tmp_path / "two.fits")
    return str(tmp_path / "two.fits")


def frames(file, hdu=None, **known):
    return Frames(file, hdu, ScoreOptions(**known).pixels)


def test_maps_are_no_images_of_the_sky(file):
    assert frames(file).numbers() == {1: "AMP0", 2: "AMP1", 3: "FLAWS", 4: "SPREAD"}
    assert frames(file, mask="flaws", err="4").numbers() == {1: "AMP0", 2: "AMP1"}
    # A map of the same name in another file says nothing of this one.
    assert len(frames(file, mask=f"{file}[FLAWS]").numbers()) == 3
    with pytest.raises(InputError, match=r"the mask none\.fits does not exist"):
        frames(file, mask="none.fits").numbers()


@pytest.mark.parametrize(
    ("hdu", "expected"), [("all", True), ("ALL", True), ("1", False), (None, False)]
)
def test_whether_all_are_wanted(file, hdu, expected):
    assert frames(file, hdu).are_all_wanted is expected


@pytest.mark.parametrize(("bits", "columns"), [(None, 15), (1, 10), (4, 5), (2, 0)])
def test_maps_and_level_are_taken(file, bits, columns):
    exposure = frames(file, mask="3", bad_bits=bits, err="4", saturation=900.0).read(2)
    assert exposure.hdu == 2
    assert exposure.pixels.mean() == pytest.approx(200, abs=1)
    assert exposure.mask.sum() == 40 * columns
    assert np.all(exposure.noise == 5.0)
    assert exposure.saturation == 900.0
    assert exposure.no_data is not None  # it was looked for


def test_a_star_is_no_image_of_the_sky(file):
    given = frames(file, mask="3", err="4", psf="AMP1")
    assert given.numbers() == {1: "AMP0"}
    np.testing.assert_array_equal(given.star(1), fits.getdata(file, 2))
    assert frames(file).star(1) is None


def test_what_is_left_out_is_told(file, caplog):
    caplog.set_level(logging.WARNING)
    given = frames(file, mask="3", err="4")
    exposure = given.read(None)
    assert exposure.hdu == 1
    assert not caplog.records
    given.tell_of(exposure)
    assert "1 of 2 images (HDU 1) was scored; `hdu='all'` scores each, `hdu='1'` this one" in caplog.text


def test_a_mosaic_that_no_card_names_is_told(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    pixels = np.random.default_rng(6).normal(100, 5, (70, 80)).astype(np.float32)
    pixels[::2, ::2] += 60
    pixels[1::2, 1::2] += 30
    path = str(tmp_path / "dslr.fits")
    fits.writeto(path, pixels)
    for bayer, told in ((None, True), (True, False), (False, False)):
        caplog.clear()
        exposure = evened(frames(path, bayer=bayer).read(None))
        levels = [np.median(exposure.pixels[i::2, j::2]) for i, j in np.ndindex(2, 2)]
        assert np.ptp(levels) < 2.5
        assert ("behind the colour filters of a sensor" in caplog.text) is told
