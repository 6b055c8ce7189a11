"""Simulated frames that are measured in their ninths, and frames of hits alone that are not."""

from dataclasses import replace

import numpy as np
import pytest

from rbinfer.io.exposure import as_exposure
from rbinfer.measure.estimate import measure_width
from rbinfer.measure.ninths import area_of
from rbinfer.measure.psf import measure_psf
from rbinfer.measure.regions import width_of
from rbtrain.simulate import DetectorConfig, ScenesConfig, SimulateConfig, draw_frame


def test_what_does_not_agree_on_the_whole_frame_does_on_its_ninths():
    """As of a fish-eye lens among hits; whichever way the frame is turned."""
    config = SimulateConfig(width=900, height=900, scenes=ScenesConfig(lens=1.0))
    frame = draw_frame(config, np.random.default_rng(22))
    exposure = as_exposure(frame.image, mask=frame.mask, saturation=frame.saturation)
    found = measure_psf(exposure)
    assert found.fwhm is None
    width = measure_width(exposure)
    assert (width.source, len(width.regions)) == ("measured", 9)
    # Beside what its stars alone look like.
    rng, noise = np.random.default_rng(0), 0.2 * float(np.median(frame.noise))
    for ninth, each in enumerate(width.regions):
        stars = frame.stars[area_of(ninth, exposure.shape)]
        alone = measure_psf(stars + rng.normal(0, noise, stars.shape).astype(np.float32))
        assert each.fwhm == pytest.approx(alone.fwhm, rel=0.06)
    fwhms = np.array([each.fwhm for each in width.regions]).reshape(3, 3)
    assert width.fwhm == np.median(fwhms)
    for turn in (np.fliplr, np.flipud, np.rot90, lambda a: a[::-1, ::-1]):
        turned = measure_width(as_exposure(np.ascontiguousarray(turn(frame.image))))
        found = np.array([each.fwhm for each in turned.regions]).reshape(3, 3)
        assert found == pytest.approx(turn(fwhms), rel=0.06)


@pytest.mark.parametrize("scene", ["starless", "undersampled"])
def test_hits_are_no_stars_of_ninths(scene):
    config = SimulateConfig(
        width=600,
        height=600,
        scenes=ScenesConfig(**{scene: 1.0}),
        field=replace(SimulateConfig().field, max_stars=0, no_galaxies=1.0),
    )
    for seed in range(6):
        frame = draw_frame(config, np.random.default_rng(seed))
        exposure = as_exposure(frame.image, mask=frame.mask)
        found = measure_psf(exposure)
        assert found.fwhm is None
        # Asked even if nothing on the whole frame may be stars.
        assert width_of(exposure, replace(found, likely_fwhm=1.0, n_fitted=250)) is None


@pytest.mark.parametrize("seed", [41, 118])
def test_what_is_left_of_hits_on_a_finer_grid_is_no_star(seed):
    """Wider hits agree just above the width of the others, which are set aside."""
    config = SimulateConfig(
        width=400,
        height=400,
        scenes=ScenesConfig(starless=1.0),
        detector=DetectorConfig(resampled=1.0, regridded=1.0),
    )
    frame = draw_frame(config, np.random.default_rng(seed))
    found = measure_psf(frame.image, frame.mask)
    assert found.fwhm is None
    assert "the image is interpolated" in found.reason
