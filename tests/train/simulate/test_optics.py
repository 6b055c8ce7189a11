"""What point sources look like over a frame."""

import numpy as np
import pytest

from rbtrain.simulate import PSFConfig
from rbtrain.simulate.optics import draw_star_images
from rbtrain.simulate.width import gaussian_fwhm

STEADY = dict(trailed=0.0, aberrated=0.0, ellipticity=(1e-6, 1e-6))


def zone_widths(psf):
    return np.array([gaussian_fwhm(zone[np.newaxis], psf.fwhm) for zone in psf.stamps])


def test_a_curved_field_widens_stars_away_from_its_focus():
    config = PSFConfig(varying=1.0, curved=1.0, field_tilt=(0.8, 0.8), field_curvature=(0, 0), **STEADY)
    for seed in range(6):
        psf = draw_star_images(config, np.random.default_rng(seed), 100.0).stars
        assert psf.stamps.shape[0] == 9
        widths = zone_widths(psf)
        # A tilt leaves the middle in focus; its blur is added in quadrature, capped at 0.9.
        assert widths.argmin() == 4 or widths.min() > 0.98 * widths[4]
        assert 1.1 < widths.max() / widths[4] < 1.4
        assert widths.reshape(3, 3) == pytest.approx(widths.reshape(3, 3)[::-1, ::-1], rel=1e-3)
        assert psf.fwhm == pytest.approx(widths.mean(), rel=0.01)


def test_coma_of_a_field_grows_from_its_axis():
    config = PSFConfig(
        varying=1.0, curved=1.0, trailed=0.0, aberrated=1.0, defocus=(0, 0), astigmatism=(0, 0),
        trefoil=(0, 0), field_tilt=(0, 0), field_curvature=(0, 0), field_astigmatism=(0, 0),
        field_coma=(0.25, 0.25), diffraction=(0.3, 0.3001), common_fwhm=(3.0, 3.01), wide_fraction=0.0,
    )  # fmt: skip
    spread = []
    for seed in range(6):
        psf = draw_star_images(config, np.random.default_rng(seed), 100.0).stars
        middle = psf.oversampling**2 // 2
        v, u = np.indices(psf.stamps.shape[2:]) - psf.radius
        skews = []
        for stamp in psf.stamps[:, middle].astype(float):
            du, dv = u - (stamp * u).sum(), v - (stamp * v).sum()
            third = [(stamp * du**3).sum(), (stamp * dv**3).sum()]
            skews.append(np.hypot(*third) / (stamp * (du**2 + dv**2)).sum() ** 1.5)
        spread.append(max(skews) / min(skews))
    assert min(spread) > 1.3
    assert np.median(spread) > 2


def test_a_width_that_is_asked_for_is_that_of_the_psf():
    for seed, width in enumerate((0.9, 1.7, 3.2, 7.5)):
        images = draw_star_images(PSFConfig(), np.random.default_rng(seed), 100.0, width)
        assert images.stars.fwhm == pytest.approx(width, rel=0.01 if width > 1 else 0.05)
        assert images.followed is None


def test_what_is_followed_is_as_wide_as_stars_are_without_the_trail():
    config = PSFConfig(
        trailed=1.0, varying=0.0, ellipticity=(1e-6, 1e-6), trail_length=(5.0, 5.0), gaussian=1.0,
        common_fwhm=(2.0, 2.0), wide_fraction=0.0,
    )  # fmt: skip
    images = draw_star_images(config, np.random.default_rng(0), 100.0)
    assert images.followed is not None
    assert images.followed.fwhm == pytest.approx(2.0, rel=0.01)
    assert images.stars.fwhm > 1.6 * images.followed.fwhm
    other = PSFConfig(trailed=0.0, aberrated=0.0)
    assert draw_star_images(other, np.random.default_rng(0), 100.0).followed is None
