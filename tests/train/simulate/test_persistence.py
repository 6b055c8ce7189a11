"""Discs that saturated stars of earlier exposures leave."""

import numpy as np
import pytest

from rbtrain.simulate import PSF, Artefact, ArtefactConfig
from rbtrain.simulate.canvas import Canvas
from rbtrain.simulate.persistence import draw_persistence
from rbtrain.simulate.truth import Rows

NOISE, WELL = 10.0, 1e5
NONE = Rows("star", *np.zeros((4, 0)))


def remembered(seed, stars=NONE, share=1.0, n=2.0):
    canvas = Canvas.blank((256, 256))
    config = ArtefactConfig(persistence=share, persistence_peak=(20, 20), remembered=(n, n))
    rng = np.random.default_rng(seed)
    draw_persistence(canvas, config, rng, PSF.moffat(3.0), stars, NOISE, WELL)
    return canvas


def test_discs_have_a_flat_top_and_a_sharp_edge():
    flat = []
    for seed in range(250):
        canvas = remembered(seed)
        top = canvas.signal.max()
        area = (canvas.signal > 0.5 * top).sum()
        if len(canvas.truth) != 1 or area < 40:
            continue
        flat.append((canvas.signal > 0.75 * top).sum() / area)
        # The edge is sharp: one pixel wide about the circle.
        assert (canvas.signal > 0.1 * top).sum() < area + 5 * np.sqrt(area)
        assert set(np.unique(canvas.codes)) == {0, int(Artefact.SPIKE)}
        assert canvas.truth[0][0] == "persistence"
    # Of a Gaussian 0.415 of the area above half of its peak are above three quarters of it; what grows
    # without end, of the brightest stars, has less.
    assert len(flat) >= 8
    assert np.quantile(flat, 0.7) > 0.6
    assert max(flat) > 0.85


def test_the_brightness_is_that_of_the_configuration():
    tops = [remembered(seed).signal.max() / NOISE for seed in range(20)]
    # 20 sigma for traps that are just full, a few times as much far above the full well.
    assert 10 < np.median(tops) < 100


def test_saturated_stars_of_the_frame_are_remembered_beside_themselves():
    stars = Rows("star", np.array([128.0]), np.array([100.0]), np.array([9e7]), np.array([9e6]))
    found = 0
    for seed in range(20):
        canvas = remembered(seed, stars)
        if canvas.truth and len({round(t[3], 6) for t in canvas.truth}) == len(canvas.truth):
            near = [np.hypot(t[1] - 128, t[2] - 100) for t in canvas.truth]
            found += min(near) < 100
    assert found > 5


def test_none_is_drawn_where_it_is_off():
    assert not remembered(0, share=0.0).signal.any()
    assert remembered(0, share=0.0).truth == []


def test_fluence_below_half_a_well_leaves_nothing():
    from rbtrain.simulate.persistence import _trapped

    held = np.array([0.0, 0.3, 0.8, 1.5, 100.0], np.float32)
    trapped = _trapped(held, 0.2)
    assert trapped[:2].tolist() == [0, 0]
    assert trapped[2] == pytest.approx(0.5 * 0.8**0.2, rel=1e-5)
    assert trapped[3] == pytest.approx(1.5**0.2, rel=5e-3)
    assert trapped[4] == pytest.approx(100**0.2, rel=1e-5)
