"""Particles: how charge spreads along tracks, and where worms end."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from rbtrain.simulate import ArtefactConfig, _render, particles
from rbtrain.simulate.canvas import Artefact, Canvas

SILICON = particles.Silicon(pixel=10, thickness=200, diffusion=0.5)


def track(seed=0, spent=0.0, near=0.1, far=1.5, wiggle=0.0, length=60.0, shape=(41, 101)):
    canvas = Canvas.blank(shape)
    values = (20.0, float(shape[0] // 2), 0.0, length, 1e5, near, far, wiggle, spent)
    one = [np.array([value]) for value in values]
    rng = np.random.default_rng(seed)
    _render.add_particles(*canvas.layers, *one, rng, int(Artefact.COSMIC_RAY))
    return canvas.signal.astype(float)


def test_the_square_of_the_width_grows_evenly_along_a_track():
    signal = sum(track(seed) for seed in range(20))
    y = np.arange(41)[:, None] - 20
    x = np.arange(24, 77)
    variance = (signal * y**2).sum(axis=0)[x] / signal.sum(axis=0)[x] - 1 / 12
    expected = 0.1**2 + (1.5**2 - 0.1**2) * (x - 20) / 60
    # Near the sharp end the pixel hides the width.
    np.testing.assert_allclose(variance, expected, rtol=0.12, atol=0.05)


def test_an_electron_that_stops_leaves_most_where_it_stops():
    through = sum(track(seed, far=0.3) for seed in range(20)).sum(axis=0)
    stopped = sum(track(seed, spent=1.0, far=0.3) for seed in range(20)).sum(axis=0)
    assert through[65:90].sum() / through.sum() == pytest.approx(0.25, abs=0.03)
    # Energy falls as (1 - t)**0.571 over the range: the last quarter takes 0.25**0.571 of it.
    assert stopped[65:90].sum() / stopped.sum() == pytest.approx(0.25**0.571, abs=0.04)


def test_worms_end_in_a_knot():
    def knot(spent):
        """Share of the charge in the fullest box of 5 x 5 pixels."""
        signals = [track(seed, spent=spent, wiggle=0.3, far=0.2, shape=(160, 160)) for seed in range(40)]
        return np.median([25 * uniform_filter(signal, 5).max() / signal.sum() for signal in signals])

    assert knot(1.0) > 1.5 * knot(0.0)


def test_no_charge_spreads_more_than_the_stars_are_wide():
    config = ArtefactConfig(
        no_cosmic_rays=0.0, muon_fraction=(0.0, 0.0), electron_energy=(2.0, 5.0), diffusion=(7.5, 7.5),
        depleted=1.0, pixel_size=(15.0, 15.0), cosmic_rays=(100.0, 100.0),
    )  # fmt: skip
    sharp = {}
    for fwhm in (0.6, 3.0):
        canvas = Canvas.blank((512, 512))
        particles.draw_particles(canvas, config, np.random.default_rng(2), fwhm)
        shares = [
            canvas.signal[round(y), round(x)] / flux
            for _, x, y, flux in canvas.truth
            if 2 < x < 509 and 2 < y < 509
        ]
        sharp[fwhm] = np.median(shares)
    # A spread of 0.23 pixels leaves most charge in one pixel, one of 0.5 does not.
    assert sharp[0.6] > sharp[3.0] + 0.15


def test_charge_is_kept():
    assert track(far=0.3).sum() == pytest.approx(1e5, rel=1e-3)
    canvas = Canvas.blank((512, 512))
    particles.add_electrons(canvas, np.random.default_rng(0), 50, SILICON, (1.0, 20.0))
    assert canvas.signal.sum() == pytest.approx(sum(t[3] for t in canvas.truth), rel=0.03)
