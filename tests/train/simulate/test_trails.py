"""Trails: what a satellite leaves, steady or wavering."""

import numpy as np
import pytest

from rbtrain.simulate import PSF, ArtefactConfig
from rbtrain.simulate.canvas import Canvas
from rbtrain.simulate.trails import Wavering, add_trail, draw_wavering


def test_brightness_and_place_follow_the_wavering():
    psf, canvas = PSF.gaussian(4.0), Canvas.blank((80, 200))
    s = np.arange(0, 201.0, 0.5)
    wavering = Wavering(1 + 0.5 * np.sin(s / 15), 3 * np.cos(s / 20), 0.5)
    rng = np.random.default_rng(0)
    add_trail(canvas, rng, psf, (0.0, 40.0), (200.0, 40.0), peak=100.0, wavering=wavering)
    x = np.arange(15, 185)
    ridge = canvas.signal[:, x].astype(float)
    y = np.arange(80)[:, None]
    # Along +x a shift to the side is one in y.
    centre = (ridge * y).sum(axis=0) / ridge.sum(axis=0)
    np.testing.assert_allclose(centre, 40 + 3 * np.cos(x / 20), atol=0.05)
    light = ridge.sum(axis=0) / (100 * 4.0 * np.sqrt(np.pi / np.log(2)) / 2)
    np.testing.assert_allclose(light, 1 + 0.5 * np.sin(x / 15), rtol=0.02)


def test_scintillation_has_the_size_that_is_asked_for_and_no_detail_below_the_psf():
    config = ArtefactConfig(scintillation=(0.4, 0.4), trail_wander=(0.2, 0.2))
    fwhm, sizes, sways = 3.0, [], []
    for seed in range(40):
        drawn = draw_wavering(config, np.random.default_rng(seed), fwhm, 1500.0)
        assert drawn.brightness.min() > 0
        assert drawn.brightness.mean() == pytest.approx(1)
        assert len(drawn.brightness) * drawn.spacing >= 1500
        sizes.append(np.log(drawn.brightness).std())
        sways.append(drawn.sideways.std() / fwhm)
        power = np.abs(np.fft.rfft(np.log(drawn.brightness)))[1:] ** 2
        period = len(drawn.brightness) * drawn.spacing / np.arange(1, len(power) + 1)
        assert power[period < 0.8 * fwhm].sum() < 0.01 * power.sum()
    # Three in ten tumble on top of it.
    assert np.quantile(sizes, 0.3) == pytest.approx(0.4, rel=0.05)
    assert np.median(sways) == pytest.approx(0.2, rel=0.05)
