"""Folds: no object on both sides, images whole where that leaves something apart."""

import numpy as np
import pytest

from rbinfer.io.labels import Label
from rbtrain.data.split import folds_of


def label(image, x, y, ra=np.nan, dec=np.nan):
    return Label(image, image, x, y, "real", ra=ra, dec=dec)


def test_one_star_in_many_images_is_in_one_fold():
    rng = np.random.default_rng(0)
    stars = rng.uniform(0, 1, (60, 2))
    # Dithered by more than a star's size: pixels do not tell that they are the same.
    labels = [
        label(f"image{k}", 1000 * a + 40 * k, 1000 * b + 31 * k, 10 + a, b)
        for k in range(5)
        for a, b in stars
    ]
    found = folds_of(labels, 4, rng)
    folds = found.fold.reshape(5, 60)
    assert np.all(folds == folds[0])
    assert not found.whole_images
    assert np.bincount(found.fold).min() > 50


def test_one_hot_pixel_in_many_images_is_in_one_fold():
    rng = np.random.default_rng(1)
    pixels = np.stack(np.meshgrid(np.arange(10), np.arange(5)), -1).reshape(-1, 2) * 20.0
    labels = [label(f"image{k}", x + 0.2 * k, y) for k in range(3) for x, y in pixels]
    folds = folds_of(labels, 2, rng).fold.reshape(3, 50)
    assert np.all(folds == folds[0])


def test_images_of_different_skies_stay_whole():
    rng = np.random.default_rng(2)
    labels = [
        label(f"image{k}", 1000 * k + x, y) for k in range(12) for x, y in rng.uniform(0, 900, (10, 2))
    ]
    found = folds_of(labels, 3, rng)
    assert found.whole_images
    folds = found.fold.reshape(12, 10)
    assert np.all(folds == folds[:, :1])
    assert set(np.unique(found.fold)) == {0, 1, 2}


@pytest.mark.parametrize("n", [1, 2])
def test_few_labels_are_dealt_all_the_same(n):
    labels = [label("a", 10.0 * k, 5.0) for k in range(n)]
    assert len(folds_of(labels, 5, np.random.default_rng(0)).fold) == n
