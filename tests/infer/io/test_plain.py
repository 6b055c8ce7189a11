"""Plain FITS files are read as Astropy reads them; whatever is not plain is left to Astropy."""

import gzip
import re
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

import rbinfer.io.images
from rbinfer.errors import InputError
from rbinfer.io.cards import PlainHeader, cards_of, header_bytes
from rbinfer.io.headers import as_header
from rbinfer.io.images import list_images, load_image
from rbinfer.io.plain import plain_hdus

LETTERS = st.characters(min_codepoint=32, max_codepoint=126)
# Astropy takes an apostrophe before a slash, or in the comment of an empty text, for the end of a text.
TEXTS = st.text(LETTERS, max_size=60).filter(
    lambda text: len(text.replace("'", "''")) < 66 and not re.search("' */", text)
)
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
)
KEYWORDS = st.from_regex(r"[A-Z][A-Z0-9_-]{0,7}", fullmatch=True).filter(
    lambda key: key not in ("END", "COMMENT", "HISTORY", "CONTINUE", "HIERARCH", "SIMPLE")
)


def padded(*cards):
    return header_bytes([card.ljust(80) for card in cards])


COMMENTS = st.text(LETTERS, max_size=20).filter(lambda text: "'" not in text)


@given(st.dictionaries(KEYWORDS, st.tuples(VALUES, COMMENTS), max_size=8))
def test_values_that_astropy_writes_are_read_as_astropy_reads_them(cards):
    header = fits.Header()
    for key, (value, comment) in cards.items():
        # Astropy cuts a comment that does not fit, with a warning.
        header[key] = (value, comment if len(repr(value)) + len(comment) < 40 else "")
    header.add_comment("of no value")
    text = header.tostring().encode()
    found = PlainHeader.read(text)
    known = fits.Header.fromstring(text)
    assert found is not None
    assert dict(found) == {key: known[key] for key in cards}
    assert {key: type(value) for key, value in found.items()} == {k: type(known[k]) for k in cards}
    assert found.comments == {key: known.comments[key] for key in cards}
    assert as_header(found).tostring() == known.tostring()


def test_an_apostrophe_in_a_comment_ends_no_text():
    cards = "A       = ''                   / the night's first", "B       = 'the night''/1'"
    found = PlainHeader.read(padded(*cards))
    assert found is not None
    assert (found["A"], found.comments["A"]) == ("", "the night's first")
    assert found["B"] == "the night'/1"


@given(st.dictionaries(KEYWORDS, VALUES, max_size=8))
def test_values_that_are_written_are_read_by_astropy(values):
    cards = [card for key, value in values.items() for card in cards_of(key, value)]
    known = fits.Header.fromstring(header_bytes(cards))
    assert {key: known[key] for key in known} == {
        key: value.rstrip() if isinstance(value, str) else value for key, value in values.items()
    }
    assert all(len(card) == 80 for card in cards)


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("rb_threshold", 0.5, {"rb_threshold": 0.5}),
        ("rb_fwhm_source", "measured", {"rb_fwhm_source": "measured"}),
        ("rb_opts", "it's " * 60 + "long", {"RB_OPTS": "it's " * 60 + "long"}),
        ("rb_opts", "'" * 100, {"RB_OPTS": "'" * 100}),
        ("rb_hdu", 3, {"RB_HDU": 3}),
        ("rb_x", float("nan"), {}),
        ("rb_image", "Märchen.fits", {}),
        ("rb_fwhm_source", "long " * 20, {}),
    ],
)
def test_what_is_noted_of_scores_has_cards(key, value, read):
    header = fits.Header.fromstring(header_bytes(cards_of(key, value)))
    assert dict(header) == read


def test_a_list_has_a_card_for_each_of_its_values():
    header = fits.Header.fromstring(header_bytes(cards_of("rb_real", ["star", "galaxy"])))
    assert [card.value for card in header.cards] == ["star", "galaxy"]


@pytest.mark.parametrize(
    "card",
    [
        "CONTINUE  'more'",
        "HIERARCH ESO DPR TYPE = 'SKY'",
        "EMPTY   =",
        "EMPTY   = / of no value",
        "COMPLEX = (1.0, 2.0)",
        "lower   = 1",
        "NOVALUE",
        "OPEN    = 'no end",
        "UNITS   = 1.0 mag",
        "NUMBER  = 1_000",
        "BELL    = '\a'",
        "UMLAUT  = 'ü'",
    ],
)
def test_a_header_with_another_kind_of_card_is_not_plain(card):
    text = padded("SIMPLE  = T", "OBJECT  = 'M 31'")
    assert PlainHeader.read(text)["OBJECT"] == "M 31"
    other = (
        "".join(each.ljust(80) for each in ("SIMPLE  = T", card, "END")).encode("latin-1").ljust(2880)
    )
    assert PlainHeader.read(other) is None


def test_the_first_of_two_cards_counts():
    assert PlainHeader.read(padded("GAIN    = 1", "GAIN    = 2"))["GAIN"] == 1
    assert PlainHeader.read(b"GAIN    = 1".ljust(2880)) is None  # no END
    behind = padded("GAIN    = 1")[:-80] + b"GAIN    = 2".ljust(80)
    assert PlainHeader.read(behind) is None


DTYPES = ["u1", "i2", "i4", "i8", "f4", "f8", "u2"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_of_each_type_are_those_of_astropy(tmp_path, dtype):
    pixels = np.arange(12).reshape(3, 4).astype(dtype)
    pixels[0, 0] = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else np.nan
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, name="sci", ver=2), fits.ImageHDU(name="NONE")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    found = plain_hdus(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", uint=False) as known:
        assert [(h.name, h.ver, h.shape, h.is_image) for h in found] == [
            (h.name, h.ver, h.shape, h.is_image) for h in known
        ]
        assert dict(found[1].header) == dict(known[1].header)
        assert found[0].data is None
        assert found[2].data is None
        np.testing.assert_array_equal(found[1].data, known[1].data)
        assert found[1].data.dtype == known[1].data.dtype.newbyteorder("=")


def changed(**cards):
    def write(path):
        hdu = fits.PrimaryHDU(np.arange(12, dtype=np.int16).reshape(3, 4))
        hdu.header.update(cards)
        hdu.writeto(path)

    return write


def of(*hdus):
    return lambda path: fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)


def with_bytes(change):
    def write(path):
        changed()(path)
        path.write_bytes(change(path.read_bytes()))

    return write


def zipped(path, write):
    write(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


IMAGE = np.arange(600, dtype=np.int16).reshape(20, 30)
NOT_PLAIN = {
    "scaled": changed(BSCALE=2.0),
    "shifted": changed(BZERO=100.0),
    "with BLANK": changed(BLANK=3),
    "unsigned of 32 bits": of(fits.ImageHDU(IMAGE.astype("u4"))),
    "signed bytes": of(fits.ImageHDU(IMAGE.astype("i1"))),
    "tiles": of(fits.CompImageHDU(IMAGE)),
    "a heap": of(fits.BinTableHDU.from_columns([fits.Column("v", "PI()", array=[[1], [2, 3]])])),
    "a table of text": of(fits.TableHDU.from_columns([fits.Column("v", "I4", array=[1, 2])])),
    "a sum": lambda path: fits.writeto(path, IMAGE, checksum=True),
    "gzip, cut short": with_bytes(lambda content: gzip.compress(content)[:-9]),
    "gzip with a wrong sum": with_bytes(lambda content: gzip.compress(content)[:-8] + bytes(8)),
    "something behind gzip": with_bytes(lambda content: gzip.compress(content) + b"more"),
    "gzip of what is scaled": lambda path: zipped(path, changed(BSCALE=2.0)),
    "gzip that grows 64 times": with_bytes(lambda content: gzip.compress(content + bytes(2880 * 200))),
    "cut short": with_bytes(lambda content: content[:-2880]),
    "something behind": with_bytes(lambda content: content + b"more"),
    "not filled up": with_bytes(lambda content: content[:-1]),
    "half a header": with_bytes(lambda content: content[: content.index(b"END") + 3]),
    "no FITS": with_bytes(lambda content: b"BM" + content),
}


@pytest.mark.parametrize("what", NOT_PLAIN)
def test_anything_else_is_left_to_astropy(tmp_path, what):
    NOT_PLAIN[what](tmp_path / "a.fits")
    assert plain_hdus(tmp_path / "a.fits") is None


def test_a_file_that_shrinks_is_told(tmp_path):
    fits.writeto(tmp_path / "a.fits", IMAGE)
    (hdu,) = plain_hdus(tmp_path / "a.fits")
    with (tmp_path / "a.fits").open("r+b") as file:
        file.truncate(2880 + 100)
    with pytest.raises(OSError, match="ends before"):
        hdu.data  # noqa: B018


SKY = np.random.default_rng(3).normal(100.0, 5.0, (40, 50)).astype(np.float32)
MASK = fits.ImageHDU((SKY > 110).astype(np.uint8), name="MASK")
FILES = {
    "one image": (of(fits.ImageHDU(SKY)), None),
    "saturation of the first HDU": (
        of(fits.ImageHDU(SKY, fits.Header({"EXTNAME": "sci", "GAIN": 1.5})), MASK),
        None,
    ),
    "by name": (of(fits.ImageHDU(SKY + 1, name="A"), fits.ImageHDU(SKY, name="B"), MASK), "b"),
    "integers": (changed(SATURATE=60000, OBJECT="M 31"), None),
    "a scale of 1": (changed(BSCALE=1.0, BZERO=0.0), None),
    "unsigned integers": (of(fits.ImageHDU(SKY.astype("u2") + np.uint16(40000))), None),
    "logarithms": (of(fits.ImageHDU(np.log10(SKY), fits.Header({"BUNIT": "log(adu)"}))), None),
    "a mosaic of colours": (of(fits.ImageHDU(SKY, fits.Header({"BAYERPAT": "RGGB"}))), None),
    "a leading axis": (of(fits.ImageHDU(SKY[np.newaxis])), None),
}


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
@pytest.mark.parametrize("what", FILES)
def test_an_image_is_the_same_without_astropy(tmp_path, monkeypatch, caplog, what, name):
    write, hdu = FILES[what]
    path = tmp_path / name
    write(path)  # as Astropy writes it, which compresses by the name
    if name.endswith(".gz") and not path.read_bytes().startswith(b"\x1f\x8b"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert plain_hdus(path) is not None
    found, listed = load_image(path, hdu), list_images(path)
    told = caplog.messages[:]
    caplog.clear()
    monkeypatch.setattr(rbinfer.io.images, "plain_hdus", lambda path: None)
    known = load_image(path, hdu)
    assert listed == list_images(path)
    assert told == caplog.messages
    np.testing.assert_array_equal(found.pixels, known.pixels)
    np.testing.assert_array_equal(found.mask, known.mask)
    assert (found.hdu, found.siblings, found.saturation) == (known.hdu, known.siblings, known.saturation)
    if "BZERO" not in found.header:  # which Astropy takes out where it has applied it
        assert as_header(found.header) == known.header


def test_gzip_of_several_members_is_read(tmp_path):
    fits.writeto(tmp_path / "a.fits", IMAGE)
    content = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "b.fits.gz").write_bytes(gzip.compress(content[:3000]) + gzip.compress(content[3000:]))
    (hdu,) = plain_hdus(tmp_path / "b.fits.gz")
    np.testing.assert_array_equal(hdu.data, IMAGE)


def test_gzip_takes_the_memory_of_what_it_holds(tmp_path):
    noise = np.random.default_rng(4).integers(0, 2**15, (1500, 2000)).astype(np.int16)
    fits.writeto(tmp_path / "a.fits.gz", noise)
    tracemalloc.start()
    try:
        assert plain_hdus(tmp_path / "a.fits.gz") is not None
        assert tracemalloc.get_traced_memory()[1] < 2.5 * noise.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2"])
def test_small_integers_of_a_sky_come_as_real_numbers(tmp_path, dtype):
    top = np.iinfo(dtype).max
    fits.writeto(tmp_path / "a.fits", np.array([[0, 1], [top - 1, top]], dtype))
    (hdu,) = plain_hdus(tmp_path / "a.fits")
    assert hdu.real_data.dtype == np.float32
    np.testing.assert_array_equal(hdu.real_data, [[0, 1], [top - 1, top]])
    assert hdu.data.dtype == (np.float32 if dtype == "u2" else dtype)


@pytest.mark.parametrize("hdu", ["NONE", "1", 7])
def test_what_is_missing_is_told_in_the_same_words(tmp_path, monkeypatch, hdu):
    table = fits.BinTableHDU.from_columns([fits.Column("x", "D", array=[1.0])])
    of(table, fits.ImageHDU(SKY))(tmp_path / "a.fits")
    told = []
    for plainly in (plain_hdus, lambda path: None):
        monkeypatch.setattr(rbinfer.io.images, "plain_hdus", plainly)
        with pytest.raises(InputError) as error:
            load_image(tmp_path / "a.fits", hdu)
        told.append(str(error.value))
    assert told[0] == told[1]


@given(st.binary(max_size=60), st.integers(0, 5759), st.integers(0, 255))
def test_damaged_files_are_read_as_by_astropy_or_left_to_it(tmp_path_factory, tail, place, byte):
    path = tmp_path_factory.mktemp("damaged") / "a.fits"
    fits.writeto(path, IMAGE[:4, :5])
    content = bytearray(path.read_bytes())
    content[place] = byte
    path.write_bytes(bytes(content) + tail)
    found = plain_hdus(path)
    if found is None:
        return
    with fits.open(path, uint=False) as known:
        assert len(known) == len(found)
        if found[0].data is None:
            assert known[0].data is None
        else:
            np.testing.assert_array_equal(found[0].data, known[0].data)
