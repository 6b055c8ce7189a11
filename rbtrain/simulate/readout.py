"""What is added to a frame while it is read out: light on moving charge, noise of rows, bands."""

import numpy as np

from .._arrays import F32
from .config import DetectorConfig
from .draws import Range, chance, log_uniform, uniform


def draw_smear(light: F32, smear: Range, rng: np.random.Generator) -> F32:
    """Draw what pixels gather of the light of their column while charge moves along it.

    Without a shutter each pixel passes all places between its own and the register, when the frame is
    read and, unless it was emptied at once, before (Ruyten 1999, Opt. Lett. 24, 878).

    Parameters
    ----------
    light : array, shape (h, w)
        That of sources, electrons, float32.
    smear : Range
        Share of the exposure that charge stays at each place, log-uniform.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    array, shape (h, w)
        Electrons, float32.
    """
    share = np.float32(log_uniform(rng, smear))
    if chance(rng, 0.5):
        return np.broadcast_to(share * light.sum(axis=0, dtype=np.float32), light.shape)
    passed = np.cumsum(light, axis=0, dtype=np.float32)
    return share * (passed if chance(rng, 0.5) else passed[-1] - passed)


def add_pattern_noise(
    image: F32, config: DetectorConfig, rng: np.random.Generator, noise: float
) -> None:
    """Add row or column noise, banding and steps between columns in place.

    Parameters
    ----------
    image : array, shape (h, w)
        float32; changed.
    config : DetectorConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    noise : float
        Rms of a pixel of sky, in the units of the image.
    """
    height, width = image.shape
    if chance(rng, config.row_noise):
        size = noise * log_uniform(rng, config.row_noise_size)
        if chance(rng, 0.6):
            image += rng.normal(0, size, (height, 1)).astype(np.float32)
        else:
            image += rng.normal(0, size, (1, width)).astype(np.float32)
    if chance(rng, config.banding):
        size = noise * log_uniform(rng, config.row_noise_size)
        y, x = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
        ky, kx = rng.normal(0, 0.15, 2)
        if chance(rng, 0.5):
            kx = 0.0
        phase = np.float32(ky) * y[:, None] + np.float32(kx) * x[None, :]
        image += np.float32(size) * np.sin(phase + np.float32(uniform(rng, (0, 6.3))))
    if config.interleaved > 0 and chance(rng, config.interleaved):
        step = np.float32(noise * log_uniform(rng, config.interleaved_step))
        image[:, ::2] += step / 2
        image[:, 1::2] -= step / 2
