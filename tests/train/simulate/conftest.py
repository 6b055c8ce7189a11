"""Darks of a camera and an image of the sky, as files; a simulator of stars alone."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from rbtrain.simulate import PSF, ArtefactConfig, DetectorConfig, SimulateConfig

SIZE = 192
N_HOT = 30


def plain_stars(**changes):
    """Return the simulator of a field of stars without artefacts, all else quiet."""
    names = "resampled", "rounded", "quantised", "row_noise", "banding", "masked"
    quiet = dict.fromkeys(names, 0.0)
    plain = SimulateConfig()
    return SimulateConfig(
        width=320,
        height=256,
        detector=DetectorConfig(**{**quiet, **changes}),
        artefacts=ArtefactConfig(
            no_cosmic_rays=1.0, no_hot_pixels=1.0, columns=0.0, trails=0.0, spikes=0.0
        ),
        psf=replace(plain.psf, fwhm=(2.5, 3.5), wide_fraction=1.0, trailed=0.0, varying=0.0),
        field=replace(plain.field, crowding=(1e-3, 1e-3), bright_stars=(0.0, 0.0), nebula=0.0),
    )


@pytest.fixture(scope="module")
def hot():
    """Where the camera has hot pixels, and how hot: apart from one another and from the track."""
    rng = np.random.default_rng(3)
    cells = rng.choice(11 * 12, N_HOT, replace=False)
    y, x = 8 + 16 * (cells // 12), 8 + 16 * (cells % 12)
    return y, x, rng.uniform(200, 3000, N_HOT)


@pytest.fixture(scope="module")
def darks(hot, tmp_path_factory):
    """Three darks of one camera: 6 ADU of noise; the first has the track of a particle."""
    folder, paths = tmp_path_factory.mktemp("darks"), []
    for k in range(3):
        rng = np.random.default_rng(k)
        pixels = 500 + rng.normal(0, 6, (SIZE, SIZE))
        pixels[hot[0], hot[1]] += hot[2] * rng.uniform(0.9, 1.1, N_HOT)
        pixels[20, 40] -= 300
        if k == 0:
            pixels[185, 60:66] += 400
        paths.append(folder / f"dark_{k}.fits")
        fits.writeto(paths[-1], np.rint(pixels).astype(np.int16))
    return paths


@pytest.fixture(scope="module")
def stars():
    """Positions and peaks (ADU) of what is in the sky image."""
    rng = np.random.default_rng(11)
    cells = rng.permutation(64)[:40]
    x, y = (
        12 + 24 * (cells % 8) + rng.uniform(-3, 3, 40),
        12 + 24 * (cells // 8) + rng.uniform(-3, 3, 40),
    )
    return x, y, np.exp(rng.uniform(np.log(150), np.log(4000), 40))


@pytest.fixture(scope="module")
def sky_image(stars, tmp_path_factory):
    """A sky of 800 ADU with 10 ADU of noise and stars of 4 pixels FWHM."""
    psf, light = PSF.moffat(4.0, 3.0), np.zeros((SIZE, SIZE), np.float32)
    x, y, peak = stars
    psf.add_points(light, x, y, peak / psf.peaks.mean(), 0.1)
    rng = np.random.default_rng(12)
    pixels = 800 + light + rng.normal(0, 10, light.shape)
    path = tmp_path_factory.mktemp("sky") / "sky.fits"
    header = fits.Header({"EGAIN": 1.5, "GAIN": 120, "SATURATE": 30000.0})
    fits.writeto(path, np.rint(pixels).astype(np.float32), header)
    return path
