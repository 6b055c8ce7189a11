"""Images that cutouts are cut from: opened once, kept while there is room, drawn."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rbinfer.errors import RbinferError
from rbinfer.label.frames import Frames, draw_cutout
from rbinfer.label.pool import read_pool
from rbinfer.report.gallery import half_width, stretched


def _side(png):
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_an_image_is_opened_once(results):
    images, frames = read_pool(results).images, Frames()
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda k: frames.frame(images[k % 3], 0), range(30)))
    assert len({id(frame) for frame in found}) == 3
    assert found[0].exposure.shape == (200, 200)


def test_those_used_longest_ago_make_room(results, monkeypatch):
    images = read_pool(results).images
    monkeypatch.setattr("rbinfer.label.frames.memory_free", lambda: 0)
    monkeypatch.setattr("rbinfer.label.frames._LEAST_BYTES", 2 * 200 * 200 * 4)
    frames = Frames()
    first, second = frames.frame(images[0], 0), frames.frame(images[1], 0)
    assert frames.frame(images[0], 0) is first
    frames.frame(images[2], 0)
    assert frames.frame(images[0], 0) is first
    assert frames.frame(images[1], 0) is not second


def test_pictures_have_the_size_that_was_asked_for(results):
    image = read_pool(results).images[0]
    frame = Frames().frame(image, 0)
    half = half_width(3.0)
    for wider in (0.35, 1.0, 4.0):
        side = 2 * max(round(half * wider), 3) + 1
        assert _side(draw_cutout(frame, 100.0, 100.0, 3.0, "asinh", wider)) == (side, side)
    # Off the image there is nothing to see, but a picture.
    assert _side(draw_cutout(frame, -500.0, 9e9, 3.0, "linear", 1.0)) == (2 * half + 1,) * 2


def test_stretches():
    rng = np.random.default_rng(2)
    pixels = rng.normal(100, 5, (101, 101))
    pixels[50, 50], pixels[20, 20] = 10_100, 150  # one of 2,000 sigma, one of 10
    asinh, linear, sky = (stretched(pixels, kind) for kind in ("asinh", "linear", "sky"))
    for drawn in (asinh, linear, sky):
        assert drawn.min() == 0.0
        assert drawn[50, 50] == drawn.max() == 1.0
    assert sky[20, 20] == 1.0  # the faint sky is shown up to 8 sigma
    assert asinh[20, 20] > 0.3
    # The quantile that is white in `linear` lies between the two.
    assert np.median(linear) < np.median(asinh) < 0.4
    assert np.median(sky) == pytest.approx(0.2, abs=0.02)  # from -2 to 8 sigma


def test_s_n_is_that_of_the_network(results, classifier):
    pool = read_pool(results)
    frame = Frames().frame(pool.images[0], 0)
    row = pool.rows[pool.rows["image"] == 0][5]
    cutouts = classifier.cutouts(frame.exposure.pixels, [row["x"]], [row["y"]], fwhm=3.0)
    assert frame.snr(row["x"], row["y"], 3.0) == pytest.approx(float(cutouts.snr[0]), rel=0.02)
    assert np.isnan(frame.snr(-500.0, -500.0, 3.0))


def test_an_image_that_cannot_be_read(results, tmp_path):
    image = read_pool(results).images[0]
    (tmp_path / "images" / "im0.fits").write_bytes(b"no image")
    with pytest.raises(RbinferError, match=r"im0\.fits"):
        Frames().frame(image, 0)
    (tmp_path / "images" / "im0.fits").unlink()
    with pytest.raises(RbinferError, match=r"im0\.fits cannot be read"):
        Frames().hash(image)
