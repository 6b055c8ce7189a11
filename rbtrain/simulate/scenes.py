"""Special kinds of frame: each changes some of the ranges that a frame is drawn from, and no more."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .config import SimulateConfig
from .draws import chance, log_uniform, uniform


def draw_scene(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Draw the kind of a frame, and return the ranges that hold for it.

    Parameters
    ----------
    config : SimulateConfig
        With the share of each kind in `scenes`.
    rng : numpy.random.Generator
        Source of all randomness; not used where all shares are 0.

    Returns
    -------
    SimulateConfig
        The same for a frame that is of no special kind.
    """
    shares = dataclasses.asdict(config.scenes)
    if not any(shares.values()):
        return config
    at = rng.random()
    for name, share in shares.items():
        if at < share:
            return _SCENES[name](config, rng)
        at -= share
    return config


def _undersampled(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Narrow stars; particles that stop in one to four pixels, and hot and warm pixels, by the hundred.

    Half-way between the pixels a point source of 1 pixel lights four of them alike, and so does a spot
    of charge. Space telescopes, wide-field cameras and infrared surveys have such pixels.
    """
    return replace(
        config,
        psf=replace(
            config.psf,
            fwhm=(0.5, 1.75),
            wide_fraction=1.0,
            trailed=0.06,
            aberrated=0.06,
            beta=(2.5, 6.0),
        ),
        artefacts=replace(
            config.artefacts,
            cosmic_rays=(20.0, 800.0),
            no_cosmic_rays=0.1,
            muon_fraction=(0.1, 0.7),
            electron_energy=(0.3, log_uniform(rng, (30.0, 300.0))),
            diffusion=(2.0, 7.5),
            hot_pixels=(20.0, 2000.0),
            no_hot_pixels=0.15,
            hot_size=(2.5, log_uniform(rng, (30.0, 3000.0))),
        ),
    )


def _streaked(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Stars trailed by 3 to 25 pixels, all alike and straight: the telescope follows something else."""
    fwhm, length = log_uniform(rng, (1.2, 4.5)), log_uniform(rng, (3.0, 25.0))
    return replace(
        config,
        field=replace(config.field, followed=4.0, no_galaxies=0.6, nebula=0.0, crowding=(3e-4, 0.1)),
        psf=replace(
            config.psf,
            fwhm=(fwhm, fwhm),
            wide_fraction=1.0,
            trailed=1.0,
            trail_length=(length / fwhm, length / fwhm),
            trail_bend=0.01,
            varying=0.1,
        ),
        artefacts=replace(
            config.artefacts,
            cosmic_rays=(30.0, 800.0),
            no_cosmic_rays=0.1,
            electron_energy=(0.3, log_uniform(rng, (30.0, 300.0))),
            muon_fraction=(0.1, 0.7),
            hot_pixels=(10.0, 800.0),
        ),
    )


def _starless(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Hits alone: of a dark or behind a closed shutter in two of three frames, else behind clouds."""
    covered = chance(rng, 2 / 3)
    sky = replace(config.sky, level=(0.3, 300.0), vignetting=(0.0, 0.0), fringes=0.0, patches=0.05)
    return replace(
        config,
        field=replace(config.field, max_stars=0, no_galaxies=1.0, nebula=0.0, asteroids=0.0),
        sky=sky if covered else config.sky,
        artefacts=replace(
            config.artefacts,
            cosmic_rays=(10.0, 800.0),
            no_cosmic_rays=0.1,
            hot_pixels=(10.0, 3000.0),
            no_hot_pixels=0.15,
            trails=0.0 if covered else config.artefacts.trails,
        ),
    )


def _thick(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Fully depleted silicon of 100 to 250 microns: at each angle a muon leaves a long track.

    Compton electrons of up to 1.5 MeV, from potassium and thorium in concrete and glass, end in it as
    worms (Groom 2002, Exp. Astron. 14, 45).
    """
    return replace(
        config,
        psf=replace(config.psf, common_fwhm=(2.0, 8.0), wide_fraction=0.0),
        artefacts=replace(
            config.artefacts,
            depleted=1.0,
            pixel_size=(10.0, 15.0),
            diffusion=(4.0, 7.5),
            cosmic_rays=(30.0, 800.0),
            no_cosmic_rays=0.0,
            muon_fraction=(0.2, 0.6),
            electron_energy=(1.0, 1500.0),
        ),
    )


def _crowded(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """A blend in every few widths of a star, with hits among them; three in five on wide pixels."""
    coarse = chance(rng, 0.6)
    return replace(
        config,
        field=replace(config.field, crowding=(0.05, 0.4), no_galaxies=0.9, star_slope=(0.45, 0.9)),
        psf=replace(
            config.psf, fwhm=(1.2, 3.5) if coarse else (3.5, 9.0), wide_fraction=1.0, trailed=0.08
        ),
        artefacts=replace(
            config.artefacts,
            pixel_size=(20.0, 45.0) if coarse else (8.0, 25.0),
            cosmic_rays=(30.0, 500.0),
            no_cosmic_rays=0.0,
            hot_pixels=(10.0, 800.0),
            no_hot_pixels=0.3,
        ),
    )


def _survey(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Few stars and many galaxies, some several times as wide, on aligned frames without their sky."""
    return replace(
        config,
        field=replace(
            config.field,
            crowding=(1e-4, 5e-3),
            no_galaxies=0.0,
            galaxies=(20.0, 200.0),
            galaxy_size=(0.4, 6.0),
            galaxy_slope=uniform(rng, (0.5, 1.0)),
        ),
        psf=replace(config.psf, common_fwhm=(1.5, 6.0), wide_fraction=0.0, trailed=0.05),
        sky=replace(config.sky, flattened=1.0),
        detector=replace(config.detector, resampled=0.5, sky_subtracted=0.8),
        artefacts=replace(config.artefacts, cosmic_rays=(10.0, 500.0), no_cosmic_rays=0.1),
    )


def _infrared(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Thin arrays of HgCdTe or InSb: hot pixels that couple to neighbours, columns, and a memory."""
    return replace(
        config,
        field=replace(config.field, crowding=(1e-3, 0.1)),
        psf=replace(config.psf, fwhm=(1.2, 6.0), wide_fraction=1.0, trailed=0.08),
        detector=replace(config.detector, blooming=0.0),
        artefacts=replace(
            config.artefacts,
            depleted=0.0,
            thickness=(4.0, 10.0),
            pixel_size=(15.0, 20.0),
            hot_pixels=(30.0, 2000.0),
            hot_shared=0.3,
            columns=3.0,
            persistence=1.0,
        ),
    )


def _tracked(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """One bright bumpy trail or a few."""
    return replace(
        config,
        field=replace(config.field, crowding=(1e-4, 0.05)),
        artefacts=replace(
            config.artefacts, trails=uniform(rng, (0.7, 4.0)), bumpy=0.9, trail_peak=(3.0, 300.0)
        ),
    )


def _lens(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Narrow stars in the middle that coma, astigmatism and a bent focal surface pull apart outwards.

    A fast lens in front of a large detector, as of all-sky cameras and of surveys for transits, is
    corrected far less than a telescope; cameras are often not cooled.
    """
    return replace(
        config,
        field=replace(config.field, crowding=(2e-3, 0.2), no_galaxies=0.95, nebula=0.03),
        psf=replace(
            config.psf,
            fwhm=(0.6, 2.5),
            wide_fraction=1.0,
            trailed=0.1,
            aberrated=0.6,
            ellipticity=(0.08, 0.6),
            varying=1.0,
            curved=1.0,
            zones=5,
            defocus=(0.0, 0.1),
            astigmatism=(0.0, 0.1),
            trefoil=(0.0, 0.06),
            field_tilt=(0.0, 0.5),
            field_curvature=(0.0, 0.8),
            field_astigmatism=(0.02, 0.25),
            field_coma=(0.05, 0.4),
        ),
        artefacts=replace(
            config.artefacts,
            cosmic_rays=(3.0, 200.0),
            hot_pixels=(20.0, 2000.0),
            no_hot_pixels=0.1,
        ),
    )


def _turning(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Narrow stars that the turning sky draws out, each along its circle, among short tracks of hits.

    So do all-sky cameras and meteor cameras see them, which stand still, and telescopes on forks that
    point upwards. Away from the pole, a star of 1.2 pixels is as long as a hit that crosses two.
    """
    return replace(
        config,
        field=replace(config.field, crowding=(1e-3, 0.2), no_galaxies=0.95, nebula=0.03),
        psf=replace(
            config.psf,
            fwhm=(0.9, 3.0),
            wide_fraction=1.0,
            trailed=0.0,
            aberrated=0.0,
            turning=1.0,
            varying=1.0,
            curved=0.6,
            zones=5,
            field_curvature=(0.0, 0.8),
            field_astigmatism=(0.0, 0.3),
        ),
        artefacts=replace(
            config.artefacts,
            cosmic_rays=(3.0, 300.0),
            electron_energy=(0.3, log_uniform(rng, (30.0, 300.0))),
            hot_pixels=(20.0, 2000.0),
            no_hot_pixels=0.1,
        ),
    )


def _plate(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Photographic plates, scanned: wide, flat, grainy bright stars, and flaws instead of particles."""
    return replace(
        config,
        field=replace(config.field, bright_stars=(5.0, 60.0)),
        psf=replace(config.psf, fwhm=(2.0, 6.0), wide_fraction=1.0, trailed=0.05, aberrated=0.08),
        sky=replace(config.sky, level=(200.0, 4e4), flattened=0.0, fringes=0.0, amplifiers=0.0),
        detector=replace(
            config.detector,
            photographic=1.0,
            resampled=0.9,
            row_noise=0.0,
            banding=0.0,
            blooming=0.0,
        ),
        artefacts=replace(
            config.artefacts,
            cosmic_rays=(0.0, 0.0),
            no_cosmic_rays=1.0,
            hot_pixels=(3.0, 300.0),
            no_hot_pixels=0.4,
            columns=0.0,
            persistence=0.0,
        ),
    )


def _mosaic(config: SimulateConfig, rng: np.random.Generator) -> SimulateConfig:
    """Raw frames of colour sensors, through a lens or a telescope: filters in squares of 2 x 2."""
    return replace(
        config,
        psf=replace(config.psf, fwhm=(1.1, 6.0), wide_fraction=1.0, trailed=0.15),
        sky=replace(config.sky, flattened=0.2, fringes=0.0, amplifiers=0.0),
        detector=replace(
            config.detector,
            filters=1.0,
            read_noise=(1.0, 12.0),
            resampled=0.0,
            smoothed=0.0,
            nodded=0.0,
            interleaved=0.0,
            cut_off=0.0,
            blooming=0.0,
        ),
        artefacts=replace(
            config.artefacts,
            cosmic_rays=(1.0, 200.0),
            hot_pixels=(20.0, 3000.0),
            no_hot_pixels=0.1,
            columns=0.2,
            persistence=0.0,
        ),
    )


_SCENES: dict[str, Callable[[SimulateConfig, np.random.Generator], SimulateConfig]] = {
    "undersampled": _undersampled,
    "streaked": _streaked,
    "starless": _starless,
    "thick": _thick,
    "crowded": _crowded,
    "survey": _survey,
    "infrared": _infrared,
    "tracked": _tracked,
    "lens": _lens,
    "turning": _turning,
    "plate": _plate,
    "mosaic": _mosaic,
}
