"""No input is read wrongly: types of frames, masks, words for numbers, stretched pixels, mosaics."""

import re

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, NDData
from astropy.table import MaskedColumn
from astropy.utils.masked import Masked

from rbinfer.io.arrays import as_image
from rbinfer.io.frame_types import KEYWORDS, folder_type, frame_type
from rbinfer.io.planes import levelled, undone
from rbinfer.io.positions import POSITION_COLUMNS, positions
from rbinfer.io.tables import read_catalog

from .scale import times

#: Words for each type of frame, in one or more parts.
TYPES = {
    "light": (("light",), ("light", "frame"), ("object",), ("science",), ("master", "light")),
    "dark": (("dark",), ("dark", "frame"), ("master", "dark"), ("darks",)),
    "flat": (("flat",), ("flat", "field"), ("sky", "flat"), ("dome", "flat"), ("twilight", "flat")),
    "bias": (("bias",), ("bias", "frame"), ("zero",), ("master", "bias"), ("offset",)),
    "dark flat": (("dark", "flat"), ("flat", "dark"), ("dark", "flat", "frame")),
}


def spelled(words, rng):
    """Write words in any case, with anything between them that programs put there."""
    gap = str(rng.choice([" ", "_", "-", "  ", ",", "."]))
    return str(rng.choice([str.lower, str.upper, str.title])(gap.join(words)))


@pytest.mark.promise(
    "Inputs",
    "lights, darks, flats and biases are told by every keyword, spelling and folder, beside cards that "
    "say nothing",
)
def test_types_of_frames(tried):
    rng = np.random.default_rng(41)
    for _ in range(times(300, 10_000)):
        kind = str(rng.choice(list(TYPES)))
        text = spelled(TYPES[kind][rng.integers(len(TYPES[kind]))], rng)
        keyword = str(rng.choice([name for name, _ in KEYWORDS if " " not in name and len(name) < 9]))
        cards = {"OBJECT": "Dark Horse", "FILTER": "flat R", "EXPTIME": 60.0, keyword: text}
        told = frame_type([fits.Header(), fits.Header(cards)])
        assert (told.kind, told.told_by) == (kind, f"{keyword} = {text!r}")
        if kind != "light":
            number, unit = rng.integers(1, 900), rng.choice(["s", "sec", "C", "R", "gain"])
            assert folder_type(("M 67", f"{text}_{number}{unit}")).kind == kind
        tried(1)


def containers(rng):
    """Yield an image as each container that has a mask, and the mask."""
    shape = tuple(int(n) for n in rng.integers(3, 40, 2))
    kind = rng.choice(["f4", ">f4", "f8", "i2", ">i4", "u1", "u2"])
    pixels = rng.integers(0, 200, shape).astype(kind)
    bad = rng.random(shape) < rng.uniform(0, 0.6)
    yield np.ma.array(pixels, mask=bad), pixels, bad
    yield Masked(pixels, mask=bad), pixels, bad
    yield Masked(pixels.astype(float) * u.adu, mask=bad), pixels, bad
    yield CCDData(pixels, mask=bad, unit="adu"), pixels, bad
    yield CCDData(pixels, mask=bad.astype(np.uint8) * 4, unit="electron"), pixels, bad
    yield NDData(pixels, mask=bad), pixels, bad
    yield NDData(np.ma.array(pixels, mask=bad)), pixels, bad


@pytest.mark.promise("Inputs", "the mask of every container is heeded, of images and of positions")
def test_masks_of_containers(tried):
    rng = np.random.default_rng(42)
    for _ in range(times(40, 1_500)):
        for image, pixels, bad in containers(rng):
            data, mask = as_image(image)
            np.testing.assert_array_equal(data, pixels.astype(np.float32))
            np.testing.assert_array_equal(bad if mask is None else mask, bad)
            assert mask is not None or not bad.any()
            tried(1)
        x, gone = rng.uniform(0, 100, 20), rng.random(20) < 0.4
        for column in (
            MaskedColumn(x, mask=gone),
            Masked(x, mask=gone),
            Masked(x * u.pix, mask=gone),
            np.ma.array(x, mask=gone),
            np.array([None if g else v for v, g in zip(x, gone, strict=True)], dtype=object),
        ):
            got, _ = positions({"x": column, "y": x})
            np.testing.assert_array_equal(got, np.where(gone, np.nan, x))
            tried(1)


@pytest.mark.promise(
    "Inputs", "a word in the place of a number costs that row alone, under every name of the columns"
)
def test_words_among_positions(tmp_path, tried):
    rng = np.random.default_rng(43)
    path = tmp_path / "c.csv"
    words = ["", "-", "--", "N/A", "nan", "null", "None", "INDEF", "<NA>", "1.#QNAN", "*", "...", "off"]
    for _ in range(times(60, 3_000)):
        x_col, y_col, first = POSITION_COLUMNS[rng.integers(len(POSITION_COLUMNS))]
        n = int(rng.integers(5, 20))
        x, y = rng.uniform(1, 4000, (2, n)).round(3)
        gone = np.zeros(n, bool)
        gone[rng.permutation(n)[: rng.integers(0, (n + 1) // 2)]] = True
        word = str(rng.choice(words))
        rows = [
            f"{k:03d},{word if g else a},{b}" for k, a, b, g in zip(range(n), x, y, gone, strict=True)
        ]
        path.write_text(f"id,{x_col},{y_col}\n" + "\n".join(rows) + "\n")
        table = read_catalog(path)
        got_x, got_y = positions(table)
        np.testing.assert_allclose(got_x, np.where(gone, np.nan, x - first), atol=1e-9)
        np.testing.assert_allclose(got_y, y - first, atol=1e-9)
        assert table["id"].tolist() == [f"{k:03d}" for k in range(n)]
        tried(1)


@pytest.mark.promise("Inputs", "stretched pixels come back as they were, and linear ones stay")
def test_stretches(tried):
    rng = np.random.default_rng(44)
    linear = ("adu", "electron", "electron/s", "DN", "count", "Jy/beam", "nmgy", "MJy/sr", "")
    for _ in range(times(200, 5_000)):
        pixels = rng.normal(10 ** rng.uniform(1, 4), 5, (9, 11)).clip(1)
        soft, offset = 10 ** rng.uniform(-1, 3), rng.uniform(-500, 5000)
        unit = str(rng.choice(["adu", "electron", "Jy", "count/s"]))
        asinh = 2.5 / np.log(10) * np.arcsinh((pixels - offset) / 2 / soft)
        for stretched, cards in (
            (asinh, {"BSOFTEN": soft, "BOFFSET": offset}),
            (np.log10(pixels), {"BUNIT": spelled(["log"], rng) + f"({unit})"}),
            (np.log10(pixels), {"BUNIT": f"dex({unit})"}),
            (np.log(pixels), {"BUNIT": f"ln({unit})"}),
            (np.sqrt(pixels), {"BUNIT": rng.choice([f"sqrt({unit})", f"{unit}^0.5", f"{unit}**(1/2)"])}),
            (pixels, {"BUNIT": str(rng.choice(linear))}),
        ):
            got, what = undone(stretched, cards)
            np.testing.assert_allclose(got, pixels, rtol=1e-6)
            assert bool(what) == (stretched is not pixels)
            assert re.search("asinh|logarithm|square", what) or not what
            tried(1)


@pytest.mark.promise("Inputs", "the mosaic of any four colour filters is brought to one level and scale")
def test_mosaics(tried):
    rng = np.random.default_rng(45)
    rows, columns = np.indices((160, 192))
    for _ in range(times(8, 300)):
        light = np.zeros(rows.shape)
        for x, y in zip(rng.uniform(5, 187, 60), rng.uniform(5, 155, 60), strict=True):
            light += 3000 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2 / 1.6**2)
        image = rng.normal(0, 5, rows.shape).astype(np.float32)
        through, sky = rng.uniform(0.4, 1.0, 4), rng.uniform(100, 900)
        for k, phase in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            part = slice(phase[0], None, 2), slice(phase[1], None, 2)
            image[part] += through[k] * (light[part] + sky)
        out = levelled(image, None)
        parts = [(slice(i, None, 2), slice(j, None, 2)) for i in (0, 1) for j in (0, 1)]
        medians = [np.median(out[part]) for part in parts]
        assert np.ptp(medians) < 1.0
        slopes = [
            np.polyfit(light[part].ravel(), out[part].ravel() - median, 1)[0]
            for part, median in zip(parts, medians, strict=True)
        ]
        assert np.ptp(slopes) < 0.06 * np.mean(slopes)
        tried(1)
