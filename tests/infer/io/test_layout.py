"""Headers that claim what cannot be are refused before anything works without end."""

import bz2
import gzip

import pytest

from rbinfer.errors import InputError
from rbinfer.io.images import load_image
from rbinfer.io.layout import check_axes, ends_early
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
