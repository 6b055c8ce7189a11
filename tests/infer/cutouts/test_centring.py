"""A detection's brightest pixel decides where its cutout is centred, if it is clearly another place."""

import numpy as np
import pytest
from astropy.table import Table

from rbinfer import Classifier, InputError
from rbinfer.cutouts.centring import brightest_near, centres
from rbinfer.io.exposure import as_exposure
from rbinfer.io.positions import peaks

NAN = float("nan")


@pytest.fixture(scope="module")
def scene():
    """A star at (60, 60), a brighter cosmic ray at (66, 61), and a lone star at (120, 40)."""
    y, x = np.indices((160, 160))
    image = np.random.default_rng(0).normal(200, 5, (160, 160))
    for cx, cy in ((60, 60), (120, 40)):
        image += 400 * np.exp(-4 * np.log(2) * ((x - cx) ** 2 + (y - cy) ** 2) / 4.0**2)
    image[61, 66] += 900
    return image.astype(np.float32)


def moved(image, x, y, px, py, **options):
    arrays = (np.array([float(v)]) for v in (x, y, px, py))
    reach = options.pop("reach", 15)
    found = centres(as_exposure(image, **{"fwhm": 4.0, **options}), *arrays, reach=reach)
    return float(found[0][0]), float(found[1][0])


def test_the_centre_moves_to_a_clearly_brighter_peak_and_only_there(scene):
    assert moved(scene, 62.3, 60.2, 66, 61) == (66, 61)
    # The star's own peak is not another place; a centroid keeps its fractions.
    assert moved(scene, 120.3, 40.2, 120, 40) == (120.3, 40.2)
    # Too far, unknown, off the image, no position, and nothing but sky.
    assert moved(scene, 45.0, 61.0, 66, 61) == (45, 61)
    assert moved(scene, 62.3, 60.2, NAN, 61) == (62.3, 60.2)
    assert moved(scene, 155.0, 60.0, 160, 60) == (155, 60)
    assert moved(scene, -3.0, 60.0, 0, 60) == (-3, 60)
    assert np.isnan(moved(scene, NAN, 60.0, 66, 61)[0])
    assert moved(scene, 1e300, 60.0, 1e300, 60) == (1e300, 60)


def test_an_object_at_the_centroid_is_not_left_for_a_hit_that_is_not_much_higher(scene):
    # Heights above the sky: star 400 at (60, 60), hit 900 at (66, 61); then a hit of 500.
    assert moved(scene, 60.4, 60.1, 66, 61) == (66, 61)
    lower = scene.copy()
    lower[61, 66] -= 400
    assert moved(lower, 60.4, 60.1, 66, 61) == (60.4, 60.1)
    # The same hit is gone to from a centroid that lies on nothing.
    assert moved(lower, 66.0, 68.0, 66, 61) == (66, 61)


def test_halves_are_rounded_as_the_kernels_do(scene):
    # Whichever pixel a centroid on the border of two belongs to, it is that of the least more.
    for row in (60.5, 61.5, 62.5, 63.5):
        assert moved(scene, 63.5, row, 66, 61) == moved(scene, 63.5 + 1e-9, row + 1e-9, 66, 61)
    edge = scene.copy()
    edge[59:62, 64] += 880  # as high as the hit, in the box of (63, 60) and not in that of (62, 60)
    assert moved(edge, 62.5, 60.0, 66, 61) == (62.5, 60)
    assert moved(edge, 62.49, 60.0, 66, 61) == (66, 61)


def test_the_brightest_pixel_near_a_place_is_good_and_the_nearest_of_equals():
    image = np.zeros((9, 9), np.float32)
    image[4, 5], image[3, 3], image[4, 6] = 10, 10, 50
    assert brightest_near(as_exposure(image), 4.4, 3.6, 1) == (5, 4)
    assert brightest_near(as_exposure(image), 4.5, 4, 1) == (6, 4)
    assert brightest_near(as_exposure(image, mask=image > 20), 4.5, 4, 1) == (5, 4)
    assert brightest_near(as_exposure(image), 4.5, 4, 0) == (5, 4)
    assert brightest_near(as_exposure(image * np.nan), 8.2, 0, 1) == (8, 0)


def test_masked_pixels_neither_attract_nor_count(scene):
    mask = np.zeros(scene.shape, bool)
    mask[61, 66] = True
    assert moved(scene, 62.3, 60.2, 66, 61, mask=mask) == (62.3, 60.2)
    # What is under a mask may be anything: it is no level to judge a peak by.
    spoiled, mask = scene.copy(), np.zeros(scene.shape, bool)
    spoiled[70:], mask[70:] = 1e6, True
    assert moved(spoiled, 62.3, 60.2, 66, 61) == (62.3, 60.2)
    assert moved(spoiled, 62.3, 60.2, 66, 61, mask=mask) == (66, 61)


def test_a_star_beside_a_masked_blemish_keeps_its_score(scene):
    image, mask = scene.copy(), np.zeros(scene.shape, bool)
    image[39:42, 127:130], mask[39:42, 127:130] = 60000.0, True
    table = Table({"x": [120.3], "y": [40.2], "xpeak": [128], "ypeak": [40]})
    result = Classifier("default").classify(table, image, mask=mask, fwhm=4.0)
    assert result["rb_score"][0] > 0.9


def test_on_a_plateau_the_centroid_stays(scene):
    burnt = scene.copy()
    burnt[50:70, 59:62] = 1000.0
    burnt[69, 60] = 1001.0
    assert moved(burnt, 60.0, 60.0, 60, 69) == (60, 60)
    assert moved(scene, 62.3, 60.2, 66, 61, saturation=1000.0) == (62.3, 60.2)


def test_bad_pixels_neither_attract_nor_warn(scene):
    spoiled = scene.copy()
    spoiled[61, 66] = NAN
    spoiled[30:35, 30:35] = np.inf
    assert moved(spoiled, 62.3, 60.2, 66, 61) == (62.3, 60.2)
    spoiled[:] = NAN
    assert moved(spoiled, 62.3, 60.2, 66, 61) == (62.3, 60.2)


def test_peaks_are_found_by_name_and_origin():
    assert peaks(Table({"x": [1.0], "y": [2.0]})) is None
    for names, shift in (
        (("xpeak", "ypeak"), 0),
        (("XPEAK_IMAGE", "YPEAK_IMAGE"), 1),
        (("xpeak_image", "ypeak_image"), 1),
    ):
        found = peaks(Table(dict(zip(names, ([5], [7]), strict=True))))
        assert found is not None
        assert (found[0][0], found[1][0]) == (5 - shift, 7 - shift)


@pytest.mark.parametrize("odd", [["west"], [[1, 2]]])
def test_peak_columns_of_an_odd_kind_are_passed_over(odd, caplog):
    table = Table({"x": [1.0], "y": [2.0], "xpeak": odd, "ypeak": odd})
    assert peaks(table) is None
    assert "xpeak and ypeak are not used as the brightest pixels" in caplog.text
    table["XPEAK_IMAGE"], table["YPEAK_IMAGE"] = [3], [4]
    found = peaks(table)
    assert found is not None
    assert (found[0][0], found[1][0]) == (2, 3)


def test_peaks_of_no_row_are_unknown():
    found = peaks(Table({"x": [1.0], "y": [2.0], "xpeak": [None], "ypeak": [None]}))
    assert found is not None
    assert np.isnan(found).all()


def test_a_catalogue_with_peaks_is_scored_where_they_are(scene):
    classifier = Classifier("default", device="cpu")
    plain = Table({"x": [62.3, 120.3], "y": [60.2, 40.2]})
    full = plain.copy()
    full["xpeak"], full["ypeak"] = [66, 120], [61, 40]
    before, after = (classifier.classify(t, scene, fwhm=4.0) for t in (plain, full))
    at_peak = classifier.score(scene, [66.0, 120.3], [61.0, 40.2], fwhm=4.0)
    np.testing.assert_array_equal(after["rb_score"], at_peak.score)
    assert after["rb_score"][0] < 0.25 < 0.9 < before["rb_score"][0]
    np.testing.assert_array_equal(after["x"], plain["x"])  # the table's own positions stay
    given = classifier.score(scene, plain["x"], plain["y"], fwhm=4.0, peaks=([66, NAN], [61, NAN]))
    np.testing.assert_array_equal(given.score, at_peak.score)
    # The reference preset scores the position that it is given.
    reference = Classifier("reference", device="cpu")
    a, b = (reference.classify(t, scene, fwhm=4.0)["rb_score"] for t in (plain, full))
    np.testing.assert_array_equal(a, b)


def test_peaks_of_another_length_are_refused(scene):
    classifier = Classifier("default")
    with pytest.raises(InputError, match="peaks must be a pair"):
        classifier.score(scene, [1.0], [2.0], peaks=([1.0],))
    with pytest.raises(InputError, match="peaks: x must be numbers"):
        classifier.score(scene, [1.0], [2.0], peaks=(["a"], [1.0]))
    with pytest.raises(InputError, match="peaks has 1 rows, but there are 2 positions"):
        Classifier("default").score(scene, [1.0, 2.0], [1.0, 2.0], peaks=([1.0], [1.0]))
