"""An image that lies in a file, and is walked over in bands, has the scores of one in memory."""

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.diagnostics.bench import make_scene
from rbinfer.io import scratch
from rbinfer.io.images import load_image
from rbinfer.measure import islands, layers, nodata, plausible
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file


@pytest.fixture
def in_bands(monkeypatch):
    """Let an image of more than 10,000 pixels be large, and as little as can be in memory."""

    def begin():
        for module, name, value in (
            (scratch, "LARGE", 10_000),
            (scratch, "_BAND", 2200),  # an odd number of rows
            (scratch, "_SCATTERED", 100),
            (islands, "_BAND", 7000),
            (layers, "_BAND", 7000),
            (layers, "_KEPT", 10_000),
            (nodata, "_LOOKED_AT", 3000),
            (nodata, "_IN_MEMORY", 2200),
        ):
            monkeypatch.setattr(module, name, value)

    return begin


@pytest.fixture(scope="module")
def frame():
    """Draw stars on a sky of whole numbers."""
    return np.clip(np.round(make_scene(700, 400).image), 0, 65535)


def written(frame, kind, path):
    """Write the frame as a file of a kind."""
    if kind == "integers":
        fits.writeto(path, frame.astype(np.uint16))
        return
    pixels = frame.astype(np.float32)
    hdus = [fits.PrimaryHDU(pixels)]
    if kind == "bad pixels":
        pixels[100:103, 200:400] = np.nan
        pixels[::50, ::31] = -np.inf
    elif kind == "no data":
        pixels[:, 500:] = -999.0
    elif kind == "mosaic":
        pixels[::2, ::2] += 300.0
        pixels[1::2, 1::2] += 500.0
    elif kind == "masked":
        mask = np.zeros(frame.shape, np.uint8)
        mask[300:320, :] = 1
        hdus.append(fits.ImageHDU(mask, name="MASK"))
    fits.HDUList(hdus).writeto(path)


@pytest.mark.parametrize("kind", ["integers", "floats", "bad pixels", "no data", "mosaic", "masked"])
def test_rows_are_the_same_to_the_bit(frame, kind, in_bands, classifier, tmp_path):
    path = tmp_path / "frame.fits"
    written(frame, kind, path)
    expected = score_file(str(path), None, ScoreOptions(), classifier)
    assert len(expected.table) > 100
    in_bands()
    pixels = load_image(path).pixels
    assert scratch._whole_of(pixels) is not None
    found = score_file(str(path), None, ScoreOptions(), classifier)
    assert found.table.colnames == expected.table.colnames
    for name in expected.table.colnames:
        assert found.table[name].tobytes() == expected.table[name].tobytes(), name
    assert {k: v for k, v in found.summary.items() if k != "seconds"} == {
        k: v for k, v in expected.summary.items() if k != "seconds"
    }


def test_what_is_strange_is_said_of_a_large_image_too(in_bands, tmp_path):
    image = np.random.default_rng(0).normal(100, 5, (300, 400)).astype(np.float32)
    image[140:160] += 500.0
    told = plausible.implausible(load_image(saved(image, tmp_path / "a.fits")))
    assert told.startswith("a bright band crosses it")
    in_bands()
    assert plausible.implausible(load_image(tmp_path / "a.fits")) == told


def saved(image, path):
    fits.writeto(path, image)
    return path


@pytest.mark.parametrize("value", [-999.0, 5000.0, 97.0, 100.0, np.inf])
def test_areas_without_data_are_the_same(value, in_bands, monkeypatch):
    monkeypatch.setattr(nodata, "_SAMPLE", 5000)
    image = np.random.default_rng(3).normal(100, 5, (300, 400)).astype(np.float32).clip(97)
    image[40:120, 100:300] = value
    image[7, 9] = np.nan
    mask = np.zeros(image.shape, np.bool_)
    mask[200:210] = True
    expected = nodata.no_data_areas(image, mask)
    n = int(np.count_nonzero(~mask & np.isfinite(image)))
    around = nodata._Around(image, mask, np.zeros(image.shape, np.bool_))
    levels = around.deviation(n), around.sample(n)
    in_bands()
    pixels = scratch.copy_of(image)
    assert scratch._whole_of(pixels) is not None
    found = nodata.no_data_areas(pixels, mask)
    assert [*found] == [*expected]
    assert [*expected] == ([value] if value in (-999.0, 5000.0, 100.0) else [])
    for key, area in expected.items():
        np.testing.assert_array_equal(found[key], area)
    around = nodata._Around(pixels, mask, np.zeros(image.shape, np.bool_))
    assert around.deviation(n) == pytest.approx(levels[0], rel=1e-12)
    np.testing.assert_array_equal(around.sample(n), levels[1])
