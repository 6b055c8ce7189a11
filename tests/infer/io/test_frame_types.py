"""Darks, flats and biases are told by what capture programs and observatories write."""

import gzip
from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.io.frame_types import KEYWORDS, folder_type, frame_type, kind_of
from rbinfer.io.headers import first_headers, observed_at

KINDS = {
    "light": (
        "Light Frame",  # SBIG, MaxIm DL, TheSkyX
        "LIGHT",
        "Light",
        "object",  # IRAF
        "OBJECT",
        "SCIENCE",
        "MasterLight",
        "SNAPSHOT",
        "EXPOSE",  # LCO
        "TARGET",  # ING
        "Light Frame (dark subtracted, flat fielded)",
        "OBJECT,SKY",  # ESO
        "sci",
        "OBJ",
        "LightFrame",
    ),
    "dark": (
        "Dark Frame",
        "DARK",
        "Dark",
        "dark",
        "MasterDark",
        "Master Dark",
        "masterDark",
        "Auto Dark",
        "NRC_DARK",  # JWST
        "MIR_DARKIMG",
        "MIR_DARKALL",
        "DARKFRAME",
        "Darks",
    ),
    "flat": (
        "Flat Field",
        "Flat Frame",
        "FLAT",
        "flat",
        "dome flat",  # NOAO
        "DOMEFLAT",  # Subaru
        "SKYFLAT",
        "sky flat",
        "LAMPFLAT",
        "FLAT,SKY",  # ESO
        "FLAT,LAMP",
        "SKY,FLAT",
        "twiflat",  # Keck
        "flatlamp",
        "FLATON",
        "SFLAT",  # LSST
        "DFLAT",
        "FGS_INTFLAT",
        "MIR_FLATIMAGE-EXT",
        "MasterFlat",
        "dome",  # PTF
        "TWILIGHT",
    ),
    "bias": ("Bias Frame", "BIASFRAME", "zero", "Master Bias", "superbias", "Offset", "MasterBias"),
    "dark flat": ("DARKFLAT", "Dark Flat", "Flat Dark", "FlatDark", "Dark Flat Frame"),
    None: (
        "",
        "Tricolor Image",
        "STD,ZEROPOINT",  # ESO
        "STD",
        "focus",
        "SKY",
        "ICRS",
        "IMAGING",
        "FK5",
        "ENGTEST",
        "flattened",
        "5",
        "None",
        "NRC_IMAGE",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind in KINDS for text in KINDS[kind]])
def test_words(kind, text):
    assert kind_of(text) == kind
    assert kind_of(f"  {text.upper() if kind != 'dark flat' else text} ") == kind


@pytest.mark.parametrize("keyword", [keyword for keyword, _ in KEYWORDS if keyword != "PICTTYPE"])
def test_every_keyword(keyword):
    found = frame_type([fits.Header(), fits.Header([(keyword, "Dark Frame")])])
    assert (found.kind, found.told_by) == ("dark", f"{keyword} = 'Dark Frame'")
    assert found.is_calibration


def test_numbers_count_in_picttype_alone():
    """FRAME is the number of a frame for many."""
    kinds = [frame_type([fits.Header({"PICTTYPE": n})]) for n in range(6)]
    assert [found and found.kind for found in kinds] == [None, "light", "bias", "dark", "flat", None]
    assert frame_type([fits.Header({"FRAME": 3, "OBSTYPE": True})]) is None


def test_the_first_keyword_that_tells_decides():
    cards = {"IMAGETYP": "Light Frame", "FRAME": "Dark"}
    assert not frame_type([fits.Header(cards)]).is_calibration
    assert frame_type([fits.Header({"IMAGETYP": "IMAGING", "FRAME": "Flat"})]).kind == "flat"
    assert frame_type([fits.Header({"OBJECT": "Dark Horse nebula", "FILTER": "dark"})]) is None
    assert frame_type([]) is None


@pytest.mark.parametrize(
    ("target", "kind"), [("Dark", "dark"), ("flat R", "flat"), ("BIAS", "bias"), ("Barnard 33", None)]
)
def test_a_target_called_as_a_type(target, kind):
    found = frame_type([fits.Header({"OBJECT": target})])
    assert (found and found.kind) == kind
    assert frame_type([fits.Header({"OBJECT": target, "IMAGETYP": "Light"})]).kind == "light"


@pytest.mark.parametrize(
    ("folders", "kind"),
    [
        (("M 67", "DARK"), "dark"),
        (("darks", "2026-11-28"), "dark"),
        (("FLAT", "LIGHT"), "light"),
        (("Master Flats",), "flat"),
        (("flat_darks",), "dark flat"),
        (("bias 2026",), "bias"),
        (("offsets",), "bias"),
        (("Dark_300s_-10C",), "dark"),
        (("300s darks gain100",), "dark"),
        (("Flats_R",), "flat"),
        (("twilight flat Ha",), "flat"),
        (("BIAS bin2x2",), "bias"),
        (("2026-11-28", "M 31", "LIGHT"), "light"),
        (("Autorun", "Light", "M31"), "light"),
        (("Calibration", "AutoDark"), "dark"),
        (("AutoFlat",), "flat"),
        (("dark_library",), "dark"),
        (("BIAS_SHORT",), "bias"),
        (("Automatic",), None),
        (("R", "B"), None),
        (("120s",), None),
        (("Dark Horse",), None),
        (("LDN 1622 dark nebula",), None),
        (("zero point",), None),
        (("frames",), None),
        ((), None),
    ],
)
def test_folders_that_say_nothing_but_a_type(folders, kind):
    found = folder_type(folders)
    assert (found and found.kind) == kind


def write(path, **cards):
    hdu = fits.PrimaryHDU(np.zeros((4, 4), np.float32))
    hdu.header.update({key.replace("__", "-"): value for key, value in cards.items()})
    hdu.writeto(path, overwrite=True)


def test_headers_of_every_container(tmp_path):
    """Packed by fpack or gzip, or in the first extension."""
    write(tmp_path / "a.fits", IMAGETYP="Dark Frame")
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))
    cards = fits.Header({"IMAGETYP": "Dark Frame"})
    packed = fits.CompImageHDU(np.zeros((40, 40), np.int16), cards)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "a.fits.fz")
    pixels = np.zeros((4, 4))
    mosaic = [fits.PrimaryHDU(), fits.ImageHDU(pixels, cards), fits.ImageHDU(pixels)]
    fits.HDUList(mosaic).writeto(tmp_path / "m.fits")
    for name in ("a.fits", "a.fits.gz", "a.fits.fz", "m.fits"):
        assert frame_type(first_headers(str(tmp_path / name))).kind == "dark", name
    raw = (tmp_path / "a.fits").read_bytes()
    for wrong in (b" Dark Frame ", b"'Dark Frame "):
        (tmp_path / "u.fits").write_bytes(raw.replace(b"'Dark Frame'", wrong))
        assert frame_type(first_headers(str(tmp_path / "u.fits"))).kind == "dark", wrong
    (tmp_path / "text.fits").write_text("no FITS" * 1000)
    (tmp_path / "cut.fits").write_bytes(raw[:1000])
    (tmp_path / "cut.fits.gz").write_bytes(gzip.compress(raw)[:40])
    for name in ("text.fits", "cut.fits", "cut.fits.gz", "none.fits"):
        assert first_headers(str(tmp_path / name)) == []


AT = datetime(2026, 11, 28, 22, 41, 5, 500000, tzinfo=UTC)


@pytest.mark.parametrize(
    "cards",
    [
        {"DATE-OBS": "2026-11-28T22:41:05.5"},
        {"DATE-OBS": "2026-11-28T22:41:05.5000000"},
        {"DATE-OBS": "2026-11-28 22:41:05.5"},
        {"DATE-OBS": "2026/11/28 22:41:05.5"},
        {"DATE-OBS": "2026-11-28T22:41:05.5Z"},
        {"DATE-OBS": "2026-11-28T22:41:05.5 UT"},
        {"DATE-OBS": "2026-11-28T23:41:05.5+01:00"},
        {"DATE-OBS": "2026-11-28T19:11:05.5-0330"},
        {"DATE-OBS": "2026-11-28", "TIME-OBS": "22:41:05.5"},
        {"DATE-OBS": "28/11/2026", "UT": "22:41:05.500"},
        {"DATE-OBS": "2026-11-28", "UTC": 81665.5},
        {"DATE-OBS": "2026-11-28", "UT": 22.684861111111},
        {"DATE_OBS": "2026-11-28T22:41:05.5"},
        {"DATE-BEG": "2026-11-28T22:41:05.5"},
        {"DATE-OBS": "unknown", "DATE-BEG": "2026-11-28T22:41:05.5"},
        {"MJD-OBS": 61372.945202546297},
        {"JD": 2461373.445202546297},
        {"DATE-OBS": "2026-11-28", "MJD-OBS": 61372.945202546297},
    ],
)
def test_times_of_every_spelling(cards):
    found = observed_at([fits.Header(cards)])
    assert abs((found - AT).total_seconds()) < 1e-3


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"DATE-OBS": "2026-11-28"}, datetime(2026, 11, 28, tzinfo=UTC)),
        ({"DATE-OBS": "05/06/97", "UT": "01:02:03"}, datetime(1997, 6, 5, 1, 2, 3, tzinfo=UTC)),
        ({"DATE-OBS": "2016-12-31T23:59:60"}, datetime(2017, 1, 1, tzinfo=UTC)),
        ({"DATE-OBS": "2026-13-28T00:00:00"}, None),
        ({"DATE-OBS": 2026}, None),
        ({"MJD-OBS": -1.0}, None),
        ({}, None),
    ],
)
def test_times_at_the_edges(cards, expected):
    assert observed_at([fits.Header(cards)]) == expected
