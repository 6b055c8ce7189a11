"""Pixels by positions, against loops."""

import numpy as np

from rbtrain._pixels import BOX, around, nearest

SHAPE = (7, 11)


def test_the_nearest_pixel_is_on_the_image():
    x = np.array([0.0, 0.49, 0.51, 10.4, 10.6, -3.0, 1e12])
    y = np.array([6.4, 6.6, -0.4, -5.0, 2.5, 3.5, -1e12])
    rows, columns = nearest(x, y, SHAPE)
    # Halves go to the even pixel, as numpy.rint has them.
    assert columns.tolist() == [0, 0, 1, 10, 10, 0, 10]
    assert rows.tolist() == [6, 6, 0, 0, 2, 4, 0]
    assert rows.dtype == columns.dtype == np.int64


def test_the_box_around_a_pixel_repeats_the_edge():
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    x, y = np.array([0, 4, 10, 10]), np.array([0, 3, 6, 2])
    found = around(image, x, y, BOX)
    assert found.shape == (9, 4)
    assert found.dtype == np.float32
    for k in range(4):
        expected = [
            image[min(max(y[k] + dy, 0), SHAPE[0] - 1), min(max(x[k] + dx, 0), SHAPE[1] - 1)]
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
        assert found[:, k].tolist() == expected
    assert around(image, x[:0], y[:0], BOX).shape == (9, 0)
