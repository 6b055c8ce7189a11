"""A mask whose header names its bits: sources that it marks are not bad pixels."""

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.errors import InputError
from rbinfer.io.images import list_images, load_image
from rbinfer.io.maps import read_mask
from rbinfer.io.mask_planes import bad_bits_of
from rbinfer.measure.detect import detect
from rbinfer.pipeline.frames import Frames
from rbinfer.pipeline.options import ScoreOptions

PLANES = {"BAD": 0, "SAT": 1, "INTRP": 2, "CR": 3, "EDGE": 4, "DETECTED": 5, "NO_DATA": 8}


def header(planes=PLANES):
    """Name the planes of a mask as Rubin's pipelines do."""
    return fits.Header([(f"HIERARCH MP_{name}", bit) for name, bit in planes.items()])


@pytest.mark.parametrize(
    ("planes", "bits"),
    [(PLANES, 0b100001001), ({"DETECTED": 5}, 0), ({"NO_DATA": 2, "CR": 31}, 1 << 31 | 4), ({}, None)],
)
def test_the_bits_of_bad_pixels(planes, bits):
    assert bad_bits_of(header(planes)) == bits


def test_long_names_and_cards_that_name_no_bit():
    cards = header({"DETECTED_NEGATIVE": 6, "BAD": 0})
    cards["MP_NOTE"] = "text"
    assert bad_bits_of(cards) == 1


def test_sources_that_are_marked_are_scored(scene, tmp_path):
    image, table, _ = scene
    marks = np.where(image > np.median(image) + 30, 1 << PLANES["DETECTED"], 0).astype(np.int32)
    marks[40:50, 60:70] |= 1 << PLANES["BAD"]
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(image, name="IMAGE"),
        fits.ImageHDU(marks, header(), name="MASK"),
        fits.ImageHDU(np.full(image.shape, 25, np.float32), name="VARIANCE"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "calexp.fits")
    exposure = load_image(tmp_path / "calexp.fits")
    np.testing.assert_array_equal(exposure.mask, marks & 1 == 1)
    assert (
        len(detect(exposure.pixels, mask=exposure.mask)) >= 0.9 * len(detect(image)) > 0.5 * len(table)
    )


@pytest.mark.parametrize("where", ["FLAGS", "flags.fits", "calexp.fits[1]"])
def test_a_mask_that_is_named_is_read_by_its_header_too(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    marks = np.zeros((40, 50), np.int32)
    marks[:, :20], marks[:, 20:25], marks[:, 25:28] = 1 << 5, 1 << 8, 1 << 0  # DETECTED, NO_DATA, BAD
    image = np.random.default_rng(1).normal(100, 5, marks.shape).astype(np.float32)
    flags = fits.ImageHDU(marks, header(), name="FLAGS")
    fits.HDUList([fits.PrimaryHDU(image), flags]).writeto("calexp.fits")
    fits.HDUList([fits.PrimaryHDU(marks, header())]).writeto("flags.fits")

    def read(**known):
        pixels = ScoreOptions(mask=where, **known).pixels
        return Frames("calexp.fits", "0", pixels).read("0").mask

    np.testing.assert_array_equal(read(), (marks == 1 << 8) | (marks == 1))
    # What is asked for counts, whatever the header says.
    np.testing.assert_array_equal(read(bad_bits=1 << 5), marks == 1 << 5)
    np.testing.assert_array_equal(read(bad_bits=2**31 - 1), marks > 0)
    np.testing.assert_array_equal(read_mask(where, "calexp.fits"), read())
    with pytest.raises(InputError, match=r"shape \(40, 50\) but the image has \(4, 5\)"):
        read_mask(where, "calexp.fits", (4, 5))


def test_without_names_all_but_zeros_are_bad(tmp_path):
    marks = np.zeros((40, 50), np.int16)
    marks[3, 4] = 32
    image = np.random.default_rng(1).normal(100, 5, marks.shape).astype(np.float32)
    hdus = [fits.PrimaryHDU(image), fits.ImageHDU(marks, name="MASK")]
    fits.HDUList(hdus).writeto(tmp_path / "m.fits")
    np.testing.assert_array_equal(load_image(tmp_path / "m.fits").mask, marks > 0)


def test_maps_beside_an_image_are_none_of_the_sky(tmp_path):
    pixels = np.ones((30, 40), np.float32)
    names = ["SCI", "ERR", "DQ", "AREA", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "CON", "WHT", "CTX"]
    names += ["D2IMARR", "WCSDVARR", "MSK", "WGT", "RMS", "FLG", "IVM", "UNC"]
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(pixels, name=name) for name in names)]
    fits.HDUList(hdus).writeto(tmp_path / "jwst.fits")
    assert list_images(tmp_path / "jwst.fits") == {1: "SCI"}
    assert len(list_images(tmp_path / "jwst.fits", maps=True)) == len(names)
