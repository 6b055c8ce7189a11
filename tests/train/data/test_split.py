"""Folds: no object on both sides, images whole where that leaves something apart."""

from dataclasses import replace

import numpy as np
import pytest

from rbinfer.io.labels import Label
from rbtrain.data.shifts import pairs_by_shift
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


def test_one_star_in_dithered_images_without_a_sky_is_in_one_fold():
    rng = np.random.default_rng(3)
    stars = rng.uniform(0, 1000, (120, 2))
    offsets = [(0.0, 0.0), (37.2, 8.1), (-20.4, 55.0), (12.9, -61.3)]
    labels, star = [], []
    for k, (dx, dy) in enumerate(offsets):
        # Two of three are labelled, and as much that is bogus lies anywhere.
        for number in np.flatnonzero(rng.random(120) < 0.67):
            x, y = stars[number] + (dx, dy) + rng.normal(0, 0.3, 2)
            labels.append(label(f"image{k}", float(x), float(y)))
            star.append(number)
        for x, y in rng.uniform(0, 1000, (80, 2)):
            labels.append(replace(label(f"image{k}", float(x), float(y)), label="bogus"))
            star.append(-1)
    fold = folds_of(labels, 4, rng).fold
    star = np.array(star)
    assert all(len(set(fold[star == number])) == 1 for number in range(120) if np.any(star == number))
    assert np.bincount(fold).min() > 0.2 * len(labels)


def test_images_of_other_fields_have_no_shift():
    rng = np.random.default_rng(4)
    n_images, n = 12, 150
    points = rng.uniform(0, 1000, (n_images * n, 2))
    images = np.repeat(np.arange(n_images), n)
    assert len(pairs_by_shift(points, images, 3.0, rng)) == 0
    # Six stars of the first image, moved, are enough to tell; four are not.
    points[-6:] = points[:6] + np.array([40.0, -25.0])
    found = pairs_by_shift(points[np.r_[:20, -20:0]], images[np.r_[:20, -20:0]], 3.0, rng)
    assert {(int(a), int(b)) for a, b in found} >= {(k, 34 + k) for k in range(6)}
    points[-6:-4] = (2000.0, 0.0), (0.0, 2000.0)
    assert len(pairs_by_shift(points[np.r_[:20, -20:0]], images[np.r_[:20, -20:0]], 3.0, rng)) == 0


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
