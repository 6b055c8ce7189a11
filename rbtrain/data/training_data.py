"""Labelled training data as the reference API asks for it: everything in memory."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rbinfer import InputError, extract_cutouts
from rbinfer._util.verbosity import Verbose, reporting
from rbinfer.measure.detect import detect

from .._arrays import F32
from ..simulate import PSF, simulate_image

log = logging.getLogger(__name__)

#: How often a frame is taken for augmentation: four rotations and two flips.
_VIEWS = 6


@dataclass(frozen=True)
class _Image:
    """What was drawn for one image."""

    fwhm: float
    background: float
    readnoise: float
    gain: float
    psf: PSF | str


def generate_realbogus_training_data(
    n_images: int = 100,
    image_size: tuple[int, int] = (2048, 2048),
    n_stars_range: tuple[int, int] = (50, 200),
    n_galaxies_range: tuple[int, int] = (10, 50),
    fwhm_range: tuple[float, float] = (1.5, 8.0),
    background_range: tuple[float, float] = (100, 10000),
    n_cosmic_rays_range: tuple[int, int] = (5, 20),
    n_hot_pixels_range: tuple[int, int] = (5, 30),
    n_satellites_range: tuple[int, int] = (0, 2),
    detection_threshold: float = 3.0,
    match_radius: float = 3.0,
    cutout_radius: int = 15,
    augment: bool = True,
    real_source_types: Sequence[str] = ("star",),
    close_pair_fraction: float = 0.2,
    min_separation_fwhm: float = 1.0,
    max_separation_fwhm: float = 3.0,
    aberration_fraction: float = 0.0,
    defocus_range: tuple[float, float] = (0, 2),
    astigmatism_range: tuple[float, float] = (0, 1.5),
    coma_range: tuple[float, float] = (0, 1),
    readnoise_range: tuple[float, float] = (5, 20),
    gain_range: tuple[float, float] = (0.5, 2),
    asinh_softening: float | None = None,
    seed: int | None = None,
    verbose: Verbose = False,
) -> dict[str, Any]:
    """Simulate images, detect on them, and cut out what was found, with labels.

    A detection is real when the nearest true object within `match_radius` is of a type in
    `real_source_types`; all else is bogus. For sets larger than memory see `rbtrain.data.dataset`.

    Parameters
    ----------
    n_images : int
        Images to simulate.
    image_size : tuple of int
        (width, height) in pixels.
    n_stars_range, n_galaxies_range, n_cosmic_rays_range, n_hot_pixels_range, n_satellites_range : tuple
        Numbers in an image, both ends included.
    fwhm_range : tuple of float
        FWHM of the stars in pixels, uniform.
    background_range : tuple of float
        Sky in ADU, log-uniform.
    detection_threshold : float
        In sigma; also the faint end of the fluxes, in units of the noise in an aperture of radius
        FWHM. The bright end is 1000.
    match_radius : float
        Pixels.
    cutout_radius : int
        The cutouts are ``2 * cutout_radius + 1`` pixels on a side.
    augment : bool
        Return each cutout six times: four rotations and two flips.
    real_source_types : sequence of str
        Types that count as real, of ``"star"`` and ``"galaxy"``.
    close_pair_fraction : float
        Fraction of stars with a companion.
    min_separation_fwhm, max_separation_fwhm : float
        Distance of companions in FWHM.
    aberration_fraction : float
        Fraction of images with an aberrated PSF.
    defocus_range, astigmatism_range, coma_range : tuple of float
        Aberrations of these in waves.
    readnoise_range : tuple of float
        Electrons.
    gain_range : tuple of float
        Electrons per ADU.
    asinh_softening : float, optional
        As for `rbinfer.extract_cutouts`.
    seed : int, optional
        The same seed gives the same bytes.
    verbose : bool or callable
        Tell the progress, or call it with each message.

    Returns
    -------
    dict
        ``X`` (n, size, size, 2) float32; ``y`` (n,) float32, 1 for real; ``fwhm`` (n,) float32, pixels;
        ``metadata``: dict with ``image`` (n,) index of the image, ``x``, ``y`` (n,) positions, ``type``
        (n,) of the matched object or ``"none"``, and ``parameters``.

    Raises
    ------
    InputError
        A range out of order or a parameter out of range.
    """
    parameters = {key: value for key, value in locals().items() if key != "verbose"}
    if isinstance(real_source_types, str):
        real_source_types = (real_source_types,)
    wanted = tuple(real_source_types)
    unknown = [name for name in wanted if name not in ("star", "galaxy")]
    if unknown or not wanted:
        raise InputError(f"real_source_types must be of 'star' and 'galaxy', not {list(wanted)}")
    if n_images < 1:
        raise InputError(f"n_images must be at least 1, not {n_images}")
    if len(np.atleast_1d(image_size)) != 2:
        raise InputError(f"image_size must be (width, height) in pixels, not {image_size}")
    if not 0 <= close_pair_fraction <= 1:
        raise InputError(f"close_pair_fraction must lie in [0, 1], not {close_pair_fraction}")
    if not detection_threshold > 0:
        raise InputError(f"detection_threshold must be above 0, not {detection_threshold}")
    for name, value in parameters.items():
        if name.endswith("_range") and len(np.atleast_1d(value)) != 2:
            raise InputError(f"{name} must be a pair (low, high), not {value}")
        if name.endswith("_range") and not 0 <= value[0] <= value[1]:
            raise InputError(f"{name} must be (low, high) with 0 <= low <= high, not {value}")
    rng = np.random.default_rng(seed)
    cutouts, labels, widths, indices, positions, types = [], [], [], [], [], []

    def count(span: tuple[int, int]) -> int:
        return int(rng.integers(span[0], span[1], endpoint=True))

    for index in range(n_images):
        drawn = _draw(
            rng, fwhm_range, background_range, readnoise_range, gain_range, aberration_fraction,
            (defocus_range, astigmatism_range, coma_range),
        )  # fmt: skip
        # Noise of the sky in an aperture of radius FWHM, in ADU.
        pixel = np.sqrt(drawn.background / drawn.gain + (drawn.readnoise / drawn.gain) ** 2)
        aperture = float(pixel * np.sqrt(np.pi) * drawn.fwhm)
        fluxes = (detection_threshold * aperture, 1000.0 * aperture)
        made = simulate_image(
            width=image_size[0],
            height=image_size[1],
            n_stars=count(n_stars_range),
            star_flux_range=fluxes,
            star_fwhm=drawn.fwhm,
            star_psf=drawn.psf,
            n_galaxies=count(n_galaxies_range),
            galaxy_flux_range=fluxes,
            n_cosmic_rays=count(n_cosmic_rays_range),
            n_hot_pixels=count(n_hot_pixels_range),
            n_satellites=count(n_satellites_range),
            add_companions=close_pair_fraction > 0,
            companion_fraction=close_pair_fraction,
            companion_separation_fwhm=(min_separation_fwhm, max_separation_fwhm),
            background=drawn.background,
            readnoise=drawn.readnoise,
            gain=drawn.gain,
            rng=rng,
        )
        found = detect(made["image"], threshold=detection_threshold)
        matched = _match(found, made["catalog"], match_radius)
        pixels, valid = extract_cutouts(
            found,
            made["image"],
            radius=cutout_radius,
            fwhm=made["fwhm"],
            asinh_softening=asinh_softening,
        )
        cutouts.append(pixels)
        labels.append(np.isin(matched[valid], wanted).astype(np.float32))
        widths.append(np.full(len(valid), made["fwhm"], np.float32))
        indices.append(np.full(len(valid), index))
        positions.append(np.column_stack([found["x"], found["y"]])[valid])
        types.append(matched[valid])
        with reporting(verbose, "rbtrain"):
            log.info("image %d of %d: %d cutouts", index + 1, n_images, len(valid))
    views = _VIEWS if augment else 1
    x = np.concatenate(cutouts)
    where = np.concatenate(positions)
    return {
        "X": _augmented(x) if augment else x,
        "y": np.tile(np.concatenate(labels), views),
        "fwhm": np.tile(np.concatenate(widths), views),
        "metadata": {
            "image": np.tile(np.concatenate(indices), views),
            "x": np.tile(where[:, 0], views),
            "y": np.tile(where[:, 1], views),
            "type": np.tile(np.concatenate(types), views),
            "parameters": {**parameters, "real_source_types": list(wanted)},
        },
    }


def _draw(
    rng: np.random.Generator,
    fwhm_range: tuple[float, float],
    background_range: tuple[float, float],
    readnoise_range: tuple[float, float],
    gain_range: tuple[float, float],
    aberration_fraction: float,
    aberrations: tuple[tuple[float, float], tuple[float, float], tuple[float, float]],
) -> _Image:
    fwhm = float(rng.uniform(*fwhm_range))
    low, high = background_range
    background = float(np.exp(rng.uniform(np.log(max(low, 1e-3)), np.log(max(high, 1e-3)))))
    readnoise, gain = float(rng.uniform(*readnoise_range)), float(rng.uniform(*gain_range))
    psf: PSF | str = "moffat" if rng.random() < 0.5 else "gaussian"
    if rng.random() < aberration_fraction:
        defocus, astigmatism, coma = (float(rng.uniform(*span)) for span in aberrations)
        # Peak to valley, as opticians quote them; the PSF wants rms, in Noll's normalisation.
        psf = PSF.aberrated(
            fwhm,
            defocus=defocus / (2 * np.sqrt(3)),
            astigmatism=astigmatism / (2 * np.sqrt(6)),
            coma=coma / (2 * np.sqrt(8)),
            angle=float(rng.uniform(0, np.pi)),
            coma_angle=float(rng.uniform(0, 2 * np.pi)),
        )
    return _Image(fwhm, background, readnoise, gain, psf)


def _match(found: Table, truth: Table, radius: float) -> NDArray[np.str_]:
    """Type of the nearest true object within `radius` of each detection, or ``"none"``."""
    kinds = np.append(np.asarray(truth["type"], dtype=str), "none")
    if len(found) == 0 or len(truth) == 0:
        return np.full(len(found), "none", dtype=kinds.dtype)
    tree = cKDTree(np.column_stack([truth["x"], truth["y"]]))
    _, nearest = tree.query(np.column_stack([found["x"], found["y"]]), distance_upper_bound=radius)
    matched: NDArray[np.str_] = kinds[nearest]
    return matched


def _augmented(x: F32) -> F32:
    turned = [np.rot90(x, k, axes=(1, 2)) for k in range(4)]
    return np.concatenate([*turned, x[:, ::-1], x[:, :, ::-1]])
