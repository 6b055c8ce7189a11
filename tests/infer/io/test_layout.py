"""The bytes of a file: another process may take some away, and headers may claim what cannot be."""

import bz2
import gzip
import os

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.errors import InputError
from rbinfer.io.images import load_image
from rbinfer.io.layout import check_axes, content_of, ends_early, places_of
from rbinfer.io.plain import plain_hdus
from rbinfer.io.tables import read_catalog

HUGE = 10**12


def block(*cards):
    text = "".join(card.ljust(80) for card in (*cards, "END"))
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


EMPTY = block("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0")


@pytest.mark.parametrize(
    "card",
    [
        f"NAXIS   = {HUGE}",
        f"naxis   = {HUGE}",
        f"NAXIS   = + {HUGE}",
        f"HIERARCH NAXIS = {HUGE}",
        f"ZNAXIS  = {HUGE}",
        "NAXIS   = -1",
        "NAXIS   = 1000",
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("before", [b"", EMPTY, EMPTY + bytes(360 * 2880)])
def test_axes_that_cannot_be_are_refused(tmp_path, card, pack, before):
    first = "XTENSION= 'IMAGE   '" if before else "SIMPLE  = T"
    path = tmp_path / "a.fits"
    path.write_bytes(pack(before + block(first, "BITPIX  = 8", card)))
    value = card.split("=")[1].strip(" +")
    for read in (check_axes, load_image, read_catalog):
        with pytest.raises(
            InputError, match=rf"a\.fits: Z?NAXIS is {value}, but FITS has 0 to 999 axes"
        ):
            read(path)
    assert plain_hdus(path) is None


def test_a_catalogue_in_bz2_is_checked_too(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(bz2.compress(block("SIMPLE  = T", "BITPIX  = 8", f"NAXIS   = {HUGE}")))
    with pytest.raises(InputError, match=r"NAXIS is 1000000000000"):
        read_catalog(path)


def test_a_damaged_header_is_not_one_that_is_being_written(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(block("SIMPLE  = T", "BITPIX  = 8", f"NAXIS   = {HUGE}"))
    assert not ends_early(path)
    path.write_bytes(EMPTY[:1000])
    assert ends_early(path)


def test_the_most_axes_are_taken(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(block("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 999"))
    check_axes(path)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.fits"
    cards = fits.Header({f"CARD{k}": k for k in range(100)})  # of several blocks
    hdus = [fits.PrimaryHDU(np.zeros((900, 1000), np.float32), cards), fits.ImageHDU(np.ones((3, 4)))]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_bytes_and_places_are_those_of_the_file(path, compressed):
    whole = path.read_bytes()
    with fits.open(path) as hdus:
        known = [(info["hdrLoc"], info["datLoc"]) for info in (hdu.fileinfo() for hdu in hdus)]
    if compressed:
        path.write_bytes(gzip.compress(whole, 1))
    with content_of(path) as content:
        assert len(content) == len(whole)
        pieces = list(content.pieces(7, len(whole) - 5))
        assert len(pieces) > 1
        assert b"".join(pieces) == whole[7:-5]
        assert content[80:160] == whole[80:160]
        assert content[len(whole) - 3 : len(whole) + 9] == whole[-3:]
        places = places_of(content)
    assert [(place.header, place.data) for place in places] == known
    assert [place.lacks for place in places] == [0, 0]


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_a_file_that_is_cut_while_it_is_read_is_an_error(path, size):
    with content_of(path) as content:
        n = len(content)
        places_of(content)
        os.truncate(path, size)
        with pytest.raises(InputError, match=r"a\.fits has become shorter while it was read"):
            content[n - 2880 : n]
        with pytest.raises(InputError, match="has become shorter"):
            list(content.pieces(0, n))
    assert ends_early(path)
