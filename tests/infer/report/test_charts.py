"""The map of the detector: where its dots and circles lie, and how many there are."""

import re

import numpy as np
import pytest

from rbinfer.report.charts import detector_map

SIDE = 4096.0
LEFT, BOTTOM, SCALE = 52.0, 432.0, 420 / SIDE  # of the frame, and pixels of the map for one


def on_map(x, y):
    return np.column_stack([LEFT + np.asarray(x) * SCALE, BOTTOM - np.asarray(y) * SCALE])


def drawn(svg):
    """Return the dots and the centres of the circles of a map."""
    number = r"(-?[\d.]+)"
    dots = re.findall(rf"M{number} {number}h0", svg)
    circles = re.findall(rf'<circle class="repeat" cx="{number}" cy="{number}"', svg)
    return [np.array(found, float).reshape(-1, 2) for found in (dots, circles)]


def nearest(points, others):
    return np.hypot(*(points[:, None] - others[None]).T).min(axis=0)


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(4)
    hot = rng.uniform(0, SIDE, (2, 40))
    night = [np.hstack([hot + rng.normal(0, 0.2, hot.shape), rng.uniform(0, SIDE, (2, 300))])]
    night += [rng.uniform(0, SIDE, (2, 300)) for _ in range(5)]
    return hot, night


def test_dots_lie_where_detections_are_and_in_their_circles(places):
    hot, night = places
    dots, circles = drawn(detector_map(night, [(x, y, "") for x, y in hot.T], (SIDE, SIDE)))
    np.testing.assert_allclose(circles, on_map(*hot), atol=0.051)
    assert nearest(circles, dots).max() == 0
    assert nearest(dots, on_map(*np.hstack([*night, hot]))).max() < 0.08
    # Each detection is drawn, or another one that nearly covers it.
    assert nearest(on_map(*np.hstack(night)), dots).max() < 3 * np.sqrt(2) + 0.1


def test_dots_of_a_crowd_are_drawn_once(places):
    rng = np.random.default_rng(5)
    crowd = [rng.uniform(0, SIDE, (2, 50_000)) for _ in range(3)]
    dots, _ = drawn(detector_map(crowd, [], (SIDE, SIDE)))
    assert 19_000 < len(dots) <= 141**2
    # How they come in parts makes no difference; places without a position are none.
    whole = [np.hstack([*crowd, [[np.nan], [5.0]]])]
    assert detector_map(whole, [], (SIDE, SIDE)) == detector_map(crowd, [], (SIDE, SIDE))
    assert 'class="dots"' not in detector_map([], [], (SIDE, SIDE))
