"""Stamps: the cards are there, and not another byte is changed, whatever cards a header has."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer import InputError
from rbinfer.io.stamp import check_stamp, stamp

SUMMARY = {
    "model": "default",
    "version": "3",
    "threshold": 0.5,
    "fwhm": 2.9375,
    "real": 70,
    "bogus": 63,
    "unscored": 0,
}
META = {
    "rb_hash": "ab" * 32,
    "rb_opts": '{"threshold": 0.3, "mask": "/a/rather/long/path/to/a/mask.fits"}',
}
STRANGE = {
    "NaN": b"CCD-TEMP=                  NaN /",
    "unquoted": b"OBSERVER= A person, at night",
    "lower case": b"gain    =                  1.5",
    "control character": b"NOTE    = 'tab\there'",
    "no value": b"COMMENTS WITHOUT AN EQUALS SIGN",
    "8-bit": b"OBSERVER= 'Andr\xe9'",
}


def write(path, checksum=False, card=None):
    """Write an image; its bytes, and where its header ends and its data begin."""
    rng = np.random.default_rng(0)
    header = fits.Header({"OBJECT": "M 67", "EXPTIME": 60.0})
    fits.PrimaryHDU(rng.normal(100, 5, (50, 61)).astype(np.float32), header).writeto(
        path, checksum=checksum
    )
    whole = path.read_bytes()
    if card is not None:
        at = whole.index(b"OBJECT  =")
        whole = whole[:at] + card.ljust(80) + whole[at + 80 :]
        path.write_bytes(whole)
    return whole


def taken_apart(whole):
    """Return the cards of the first header, and all that comes behind it."""
    cards = [whole[k : k + 80] for k in range(0, len(whole), 80)]
    end = next(k for k, card in enumerate(cards) if card.rstrip() == b"END")
    data = ((end + 1) * 80 + 2879) // 2880 * 2880
    return cards[:end], whole[data:]


def is_ours(card):
    return card.startswith((b"RB", b"CONTINUE"))


@pytest.mark.parametrize("name", STRANGE)
def test_strange_cards_stay_to_the_byte(name, tmp_path):
    path = tmp_path / "im.fits"
    cards, data = taken_apart(write(path, card=STRANGE[name]))
    check_stamp(path)
    for _ in range(2):  # a second stamp takes the place of the first
        stamp(path, {0: SUMMARY}, META)
        now, same = taken_apart(path.read_bytes())
        assert [card for card in now if not is_ours(card)] == cards
        assert same == data
    text = b"".join(now).decode("latin-1")
    assert text.count("RBMODEL = 'default '") == 1
    assert text.count("RBNREAL =                   70") == 1


def test_the_options_come_back_whole(tmp_path):
    write(tmp_path / "im.fits")
    stamp(tmp_path / "im.fits", {0: SUMMARY}, META)
    header = fits.getheader(tmp_path / "im.fits")
    assert header["RBOPTS"] == META["rb_opts"]
    assert header["RBHASH"] == META["rb_hash"]
    assert header["RBFWHM"] == 2.9375


def test_a_file_without_padding_keeps_its_end(tmp_path):
    path = tmp_path / "im.fits"
    whole = write(path)
    cards, _ = taken_apart(whole)
    short = whole[: whole.index(b"END" + b" " * 77) // 2880 * 2880 + 2880 + 4 * 50 * 61]
    path.write_bytes(short)
    stamp(path, {0: SUMMARY}, META)
    now, data = taken_apart(path.read_bytes())
    assert data == taken_apart(short)[1]
    assert [card for card in now if not is_ours(card)] == cards


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40),
    real=st.integers(0, 10**6),
)
def test_checksums_are_renewed(values, real, tmp_path_factory):
    path = tmp_path_factory.mktemp("sum") / "im.fits"
    fits.PrimaryHDU(np.array([values], np.int32)).writeto(path, checksum=True)
    stamp(path, {0: SUMMARY | {"real": real}}, META)
    with fits.open(path) as hdus:
        assert hdus[0].verify_checksum() == 1
        assert hdus[0].verify_datasum() == 1


def test_extensions_and_compressed_files(tmp_path):
    pixels = np.arange(6400, dtype=np.int16).reshape(80, 80)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, name="A"), fits.CompImageHDU(pixels, name="B")]
    fits.HDUList(hdus).writeto(tmp_path / "m.fits")
    (tmp_path / "m.fits.gz").write_bytes(gzip.compress((tmp_path / "m.fits").read_bytes()))
    for name in ("m.fits", "m.fits.gz"):
        stamp(tmp_path / name, {1: SUMMARY, 2: SUMMARY | {"real": 7}}, META)
        with fits.open(tmp_path / name) as found:
            assert "RBNREAL" not in found[0].header
            assert [found[k].header["RBNREAL"] for k in (1, 2)] == [70, 7]
            for k in (1, 2):
                np.testing.assert_array_equal(found[k].data, pixels)
    assert gzip.decompress((tmp_path / "m.fits.gz").read_bytes()) == (tmp_path / "m.fits").read_bytes()


def test_what_cannot_be_stamped_is_told_before(tmp_path):
    (tmp_path / "a.fits").write_bytes(b"no FITS" * 1000)
    with pytest.raises(InputError, match=r"a\.fits cannot be stamped"):
        check_stamp(tmp_path / "a.fits")
    whole = write(tmp_path / "b.fits")
    (tmp_path / "b.fits").write_bytes(whole[:400])
    with pytest.raises(InputError, match=r"b\.fits cannot be stamped"):
        check_stamp(tmp_path / "b.fits")
    with pytest.raises(InputError, match="does not exist"):
        check_stamp(tmp_path / "none.fits")
