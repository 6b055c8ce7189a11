"""No input is read wrongly: catalogues that fit, areas without data, blanks, cells of text, stamps."""

import string

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.special import expit

from rbinfer.io.exposure import as_exposure
from rbinfer.io.images import load_image
from rbinfer.io.stamp import stamp
from rbinfer.io.tables import read_catalog, write_catalog
from rbinfer.measure.belongs import doubt_about
from rbinfer.measure.detect import detect
from rbinfer.measure.nodata import no_data_areas

from .scale import times


def field(rng):
    """Draw a field of stars and hits of any width, density and depth; its exposure and its stars."""
    shape = tuple(int(n) for n in rng.integers(200, 420, 2))
    rows, columns = np.indices(shape)
    noise, fwhm = 10 ** rng.uniform(0, 2), rng.uniform(1.2, 8.0)
    image = rng.normal(50 * noise, noise, shape) + noise * rng.uniform(-20, 20) * columns / shape[1]
    n = int(rng.integers(30, 300))
    x, y = rng.uniform(3, shape[1] - 4, n), rng.uniform(3, shape[0] - 4, n)
    for cx, cy, peak in zip(x, y, noise * 10 ** rng.uniform(0.7, 3.0, n), strict=True):
        reach = int(3 * fwhm) + 3
        part = (
            slice(max(int(cy) - reach, 0), int(cy) + reach),
            slice(max(int(cx) - reach, 0), int(cx) + reach),
        )
        away = (columns[part] - cx) ** 2 + (rows[part] - cy) ** 2
        image[part] += peak * np.exp(-4 * np.log(2) * away / fwhm**2)
    hits = int(rng.integers(0, 200))
    image[rng.integers(3, shape[0] - 3, hits), rng.integers(3, shape[1] - 3, hits)] += noise * 60
    return as_exposure(image.astype(np.float32)), x, y


@pytest.mark.promise(
    "Inputs",
    "no catalogue is said not to belong to its image: whole, faint, few rows, artefacts, positions with "
    "errors, forced positions of sources of S/N 1",
)
def test_no_false_alarm(tried):
    rng = np.random.default_rng(31)
    while_left = times(60, 10_000)
    while while_left > 0:
        exposure, x, y = field(rng)
        found = detect(exposure.pixels, minarea=1, matched_filter=False)
        fx, fy = np.asarray(found["x"]), np.asarray(found["y"])
        faint = np.argsort(np.asarray(found["flux"]))[: len(found) // 2 + 1]
        hits = np.flatnonzero(np.asarray(found["npix"]) <= 2)
        some = rng.permutation(len(fx))[: rng.integers(1, 40)]
        forced, places = with_faint_sources(exposure, rng)
        for image, a, b in (
            (exposure, fx, fy),
            (exposure, fx[faint], fy[faint]),
            (exposure, fx[hits], fy[hits]),
            (exposure, fx[some], fy[some]),
            (exposure, fx[:3], fy[:3]),
            (exposure, fx + rng.normal(0, 0.5, fx.size), fy + rng.normal(0, 0.5, fx.size)),
            (exposure, x, y),
            (forced, *places),
        ):
            assert doubt_about(image, a, b) is None
            tried(1)
            while_left -= 1


def with_faint_sources(exposure, rng, n=150):
    """Add sources of S/N 1 in nine pixels; the exposure and where they are."""
    pixels = exposure.pixels.copy()
    height, width = exposure.shape
    x, y = rng.uniform(8, width - 9, n), rng.uniform(8, height - 9, n)
    steps = np.abs(np.diff(pixels, axis=1))
    noise = 1.4826 / np.sqrt(2) * np.median(steps)
    for cx, cy in zip(x, y, strict=True):
        i, j = round(cy), round(cx)
        rows, columns = np.mgrid[i - 5 : i + 6, j - 5 : j + 6]
        profile = np.exp(-4 * np.log(2) * ((columns - cx) ** 2 + (rows - cy) ** 2) / 9)
        pixels[i - 5 : i + 6, j - 5 : j + 6] += np.float32(0.43 * noise) * profile.astype(np.float32)
    return as_exposure(pixels), (x, y)


@pytest.mark.parametrize("radius", [7.0, 10.0, 14.0])
def test_defocused_stars_do_not_look_shifted(radius):
    rng = np.random.default_rng(int(radius))
    image = rng.normal(500, 5, (600, 600))
    x, y = rng.uniform(30, 569, (2, 60))
    rows, columns = np.indices(image.shape)
    for cx, cy, peak in zip(x, y, rng.uniform(20, 400, 60), strict=True):
        away = np.hypot(columns - cx, rows - cy)
        image += peak * expit(2 * (radius - away)) * expit(2 * (away - 0.45 * radius))
    exposure = as_exposure(image.astype(np.float32))
    assert doubt_about(exposure, x, y) is None
    shifted = doubt_about(exposure, x + 40, y - 25)
    assert shifted is not None
    assert shifted.reason.startswith("it is shifted")


@pytest.mark.promise(
    "Inputs",
    "columns swapped, axes flipped or turned, positions shifted, binned or counted from 1 are named "
    "right in 99 % of catalogues with 30 rows and more",
)
def test_mix_ups_are_named(tried):
    rng = np.random.default_rng(32)
    right = wrong = 0
    for _ in range(times(6, 250)):
        exposure, _, _ = field(rng)
        found = detect(exposure.pixels)
        x, y = np.asarray(found["x"]), np.asarray(found["y"])
        if len(x) < 30:
            continue
        height, width = exposure.shape
        dx, dy = rng.uniform(15, 60, 2) * rng.choice([-1, 1], 2)
        for a, b, word in (
            (y, x, "x and y are swapped"),
            (x, height - 1 - y, "y counts from the top"),
            (width - 1 - x, y, "x counts from the right"),
            (width - 1 - x, height - 1 - y, "it is turned by 180"),
            (x + dx, y + dy, "it is shifted"),
            ((x - 0.5) / 2, (y - 0.5) / 2, "it is of the image binned 2"),
            (x + 1, y + 1, "the first pixel is called 1"),
        ):
            doubt = doubt_about(exposure, a, b)
            good = doubt is not None and doubt.reason.startswith(word)
            right, wrong = right + good, wrong + (not good)
            tried(1)
    assert right / (right + wrong) >= 0.99


@pytest.mark.promise(
    "Inputs", "a sky, whole, rounded, clipped within 2 sigma or saturated, is not taken for no data"
)
def test_skies_are_data(tried):
    rng = np.random.default_rng(33)
    for _ in range(times(80, 5_000)):
        noise = 10 ** rng.uniform(-1.5, 1)
        image = rng.normal(noise * rng.uniform(-2, 4), noise, (160, 160))
        if rng.random() < 0.3:
            rows, columns = np.indices(image.shape)
            bright = 1e5 * np.exp(-((columns - 80) ** 2 + (rows - 80) ** 2) / rng.uniform(20, 4000))
            image = np.minimum(image + rng.poisson(bright), 65535)
        if rng.random() < 0.5:
            image = np.clip(image, 0, None)
        if rng.random() < 0.5:
            image = np.rint(image)  # what is stored is rounded last
        assert no_data_areas(image.astype(np.float32)) == {}
        tried(1)


@pytest.mark.promise("Inputs", "a filled corner, disc, gap or half of any value is found, to a pixel")
def test_filled_areas_are_found(tried):
    rng = np.random.default_rng(34)
    rows, columns = np.indices((200, 200))
    for _ in range(times(40, 2_000)):
        image = rng.normal(10 ** rng.uniform(0, 4), 10 ** rng.uniform(0.5, 2), (200, 200))
        shape = rng.integers(4)
        angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(20, 60)
        along = (columns - 100) * np.cos(angle) + (rows - 100) * np.sin(angle)
        where = [
            along > place,
            np.hypot(columns - 100, rows - 100) > 40 + place,
            np.abs(columns - 2 * place) < 5,
            rows < place,
        ][shape]
        image = np.rint(image) if rng.random() < 0.5 else image
        # A small area at the highest level may be one of saturated pixels.
        image[where] = rng.choice([0.0, -32768.0, -1e6, 65535.0][: 4 if where.mean() > 0.06 else 3])
        areas = no_data_areas(image.astype(np.float32))
        assert len(areas) == 1
        (found,) = areas.values()
        assert np.count_nonzero(found != where) <= 0.01 * where.size
        tried(1)


@pytest.mark.promise("Inputs", "BLANK pixels of every integer type, plain and in tiles, are no data")
def test_blanks(tried, tmp_path):
    rng = np.random.default_rng(35)
    for kind in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"):
        for compression in (None, "RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1"):
            if compression and kind[1] == "8":
                continue  # the standard has no such tiles
            for _ in range(times(1, 8)):
                values = rng.integers(10, 90, (40, 37)).astype(kind)
                info = np.iinfo(kind)
                blank = [int(info.min), int(info.max), 5][rng.integers(3)]
                empty = rng.random(values.shape) < 0.2
                values[empty] = blank
                zero = {"u2": 2**15, "u4": 2**31, "u8": 2**63, "i1": -128}.get(kind, 0)
                header = fits.Header({"BLANK": blank - zero})
                if compression is None:
                    hdu = fits.PrimaryHDU(values)
                    hdu.header.update(header)
                    hdus = fits.HDUList([hdu])
                else:
                    image = fits.CompImageHDU(values, header, compression_type=compression)
                    hdus = fits.HDUList([fits.PrimaryHDU(), image])
                hdus.writeto(tmp_path / "b.fits", overwrite=True)
                got = load_image(tmp_path / "b.fits").pixels
                np.testing.assert_array_equal(np.isnan(got), empty)
                np.testing.assert_array_equal(got[~empty], values[~empty].astype(np.float32))
                tried(1)


@pytest.mark.promise(
    "Inputs", "cells of text that are not ours leave a CSV file as they came, to the byte"
)
def test_cells(tried, tmp_path):
    rng = np.random.default_rng(36)
    letters = list(string.ascii_letters + string.digits + " _-+.e:;/()é")
    for _ in range(times(10, 400)):
        cells = ["".join(rng.choice(letters, rng.integers(1, 9))).strip() or "0" for _ in range(25)]
        cells += [f"{k:0{rng.integers(3, 9)}d}" for k in rng.integers(0, 999, 10)]
        cells += [f"{k}e{j}" for k, j in rng.integers(1, 99, (5, 2))]
        lines = [
            f"{cell},{a:.3f},{b:.3f}"
            for cell, (a, b) in zip(cells, rng.uniform(0, 99, (40, 2)), strict=True)
        ]
        (tmp_path / "c.csv").write_text("name,x,y\n" + "\n".join(lines) + "\n", encoding="utf-8")
        table = read_catalog(tmp_path / "c.csv")
        assert table["name"].tolist() == cells
        table["rb_score"] = np.float32(0.5)
        write_catalog(table, tmp_path / "o.csv", overwrite=True)
        back = read_catalog(tmp_path / "o.csv")
        assert back["name"].tolist() == cells
        tried(len(cells))


@pytest.mark.promise(
    "Inputs", "--stamp changes no byte but its cards, whatever bytes the other cards have"
)
def test_stamps(tried, tmp_path):
    rng = np.random.default_rng(37)
    summary = dict.fromkeys(("model", "version"), "x") | {"threshold": 0.5, "fwhm": 3.0}
    summary |= {"real": 1, "bogus": 2, "unscored": 3}
    for _ in range(times(30, 1_000)):
        path = tmp_path / "s.fits"
        header = fits.Header({f"KEY{k}": k for k in range(rng.integers(1, 60))})
        fits.PrimaryHDU(np.zeros((5, 7), np.float32), header).writeto(path, overwrite=True)
        whole = bytearray(path.read_bytes())
        for k in rng.permutation(len(header))[:3]:
            at = whole.index(f"KEY{k}".ljust(8).encode() + b"=")
            whole[at : at + 80] = b"ODDCARD " + bytes(rng.integers(1, 256, 72).astype(np.uint8))
        path.write_bytes(whole)
        stamp(path, {0: summary}, {"rb_hash": "ab", "rb_opts": "{}"})
        after = path.read_bytes()
        cards = [bytes(whole[k : k + 80]) for k in range(0, len(whole), 80)]
        end = next(k for k, card in enumerate(cards) if card.rstrip() == b"END")
        kept = [after[k : k + 80] for k in range(0, 80 * end, 80)]
        assert kept == cards[:end]
        assert after.endswith(bytes(whole[-2880:]))
        tried(1)


@pytest.mark.promise(
    "Inputs", "tables of any format keep the columns that are not ours: names, types, units, masks"
)
def test_columns_that_are_not_ours(tried, tmp_path):
    rng = np.random.default_rng(38)
    for _ in range(times(4, 150)):
        n = int(rng.integers(1, 30))
        table = Table({"x": rng.uniform(0, 99, n), "y": rng.uniform(0, 99, n)})
        table["mag"] = rng.normal(20, 1, n).astype(np.float32)
        table["mag"].unit, table["mag"].description = "mag", "in a band"
        table["id"] = rng.integers(0, 2**40, n)
        table["flag"] = rng.random(n) < 0.5
        table["pair"] = rng.normal(size=(n, 2))
        table["who"] = np.array([f"{k:05d}" for k in rng.integers(0, 999, n)])
        for suffix in (".ecsv", ".fits", ".parquet", ".vot"):
            write_catalog(table, tmp_path / f"t{suffix}", overwrite=True)
            back = read_catalog(tmp_path / f"t{suffix}")
            assert back.colnames == table.colnames
            for name in table.colnames:
                np.testing.assert_array_equal(
                    np.asarray(back[name]).astype(table[name].dtype), table[name]
                )
            assert str(back["mag"].unit) == "mag"
            tried(1)
