"""Background and noise of a frame, beside what they are made of and beside SEP's."""

import numpy as np
import sep

from rbinfer.kernels import runs
from rbinfer.measure.sky import measure_sky
from rbinfer.measure.threads import Threads


def maps(image, mask=None, side=64, threads=1):
    """Return maps of background and noise, from the kernel that the detection takes them from."""
    sky = measure_sky(image, mask, side, Threads(threads))
    level, noise = np.empty((2, *image.shape), np.float32)
    black, no_mask = np.zeros_like(image), np.zeros((1, 1), np.bool_)
    above, *lines = np.empty((3, image.shape[1] + 2), np.float32)
    one, least = np.float32(1), np.float32(0)
    for y in range(len(image)):
        # Of black pixels, what is above the background is minus that.
        runs._load(black, no_mask, False, sky.splines, side, y, one, least, above, noise[y], *lines)
        level[y] = -above[1:-1]
    return level, noise


def sloping(shape, seed):
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    spread = 5 + 4 * x / shape[1]
    return (200 + 0.05 * x + 5 * np.sin(y / 90) + spread * rng.normal(size=shape)).astype(np.float32)


def test_maps_are_those_of_sep():
    for seed, shape in enumerate([(400, 500), (130, 640), (50, 40), (257, 63)]):
        image = sloping(shape, seed)
        level, noise = maps(image)
        seps = sep.Background(image, bw=64, bh=64)
        scale = seps.globalrms
        np.testing.assert_allclose(level, seps.back(), atol=2e-3 * scale)
        np.testing.assert_allclose(noise, seps.rms(), rtol=2e-3)


def test_level_and_noise_are_those_of_the_sky():
    image = sloping((512, 512), 9)
    level, noise = maps(image)
    y, x = np.indices(image.shape)
    inner = (slice(40, -40), slice(40, -40))
    wrong = (level - (200 + 0.05 * x + 5 * np.sin(y / 90)))[inner]
    assert np.sqrt(np.mean(wrong**2)) < 3
    np.testing.assert_allclose(noise[inner], (5 + 4 * x / 512)[inner], rtol=0.2)


def test_cells_without_data_are_like_their_neighbours():
    image = sloping((320, 320), 10)
    mask = np.zeros(image.shape, np.bool_)
    mask[64:192, 64:192] = True
    image[mask] = 1e6
    level, noise = maps(image, mask)
    assert level.max() < 500
    assert noise.max() < 20
    assert measure_sky(image, np.ones_like(mask), 64, Threads(1)) is None


def test_threads_change_no_bit():
    image = sloping((300, 300), 11)
    for several, one in zip(maps(image, threads=3), maps(image), strict=True):
        assert several.tobytes() == one.tobytes()
