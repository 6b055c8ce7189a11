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
from rbinfer._util.arguments import as_level, as_number, as_share, as_whole
from rbinfer._util.verbosity import Verbose, reporting
from rbinfer.measure.detect import detect
from rbinfer.scoring.functions import LARGEST_RADIUS

from .._arrays import F32, F64
from ..simulate import PSF, simulate_image
from ..simulate.draws import generator, log_uniform
from ..simulate.image import FWHM_LIMITS

log = logging.getLogger(__name__)

#: How often a frame is taken for augmentation: four rotations and two flips.
_VIEWS = 6
#: Largest flux, in units of the noise in an aperture of radius FWHM.
_BRIGHTEST = 1000.0
#: Least background that is drawn from a range that begins at 0, ADU.
_DARKEST = 1e-3


@dataclass(frozen=True, eq=False)
class _Cutouts:
    """Cutouts of one image, (n, size, size, 2), with positions and matched types, and its FWHM."""

    pixels: F32
    x: F64
    y: F64
    kind: NDArray[np.str_]
    fwhm: float


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
    `real_source_types`; all else is bogus. For sets larger than memory see `rbtrain.data.building`.

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
    given = {key: value for key, value in locals().items() if key != "verbose"}
    given["real_source_types"] = _kinds(real_source_types)
    _check(given)
    rng = generator(seed)
    images = []
    count = int(n_images)
    for index in range(count):
        cut = _cut_image(rng, given)
        images.append(cut)
        with reporting(verbose, "rbtrain"):
            log.info("image %d of %d: %d cutouts", index + 1, count, len(cut.kind))
    return _joined(images, given)


def _kinds(given: Any) -> list[Any]:
    """Return the types that count as real."""
    kinds = [given] if isinstance(given, str) else list(given) if np.iterable(given) else []
    if not kinds or not all(kind in ("star", "galaxy") for kind in kinds):
        raise InputError(f"real_source_types must be of 'star' and 'galaxy', not {given!r}")
    return kinds


def _check(given: dict[str, Any]) -> None:
    """Refuse parameters that are out of range."""
    as_whole(given["n_images"], "n_images", 1)
    if as_whole(given["cutout_radius"], "cutout_radius", 2) > LARGEST_RADIUS:
        raise InputError(f"cutout_radius must be at most {LARGEST_RADIUS}, not {given['cutout_radius']}")
    if given["asinh_softening"] is not None:
        as_level(given["asinh_softening"], "asinh_softening")
    size = given["image_size"]
    if len(np.atleast_1d(size)) != 2:
        raise InputError(f"image_size must be (width, height) in pixels, not {size}")
    for side in size:
        as_whole(side, "image_size", 1)
    for name in ("close_pair_fraction", "aberration_fraction"):
        as_share(given[name], name)
    for name in ("detection_threshold", "match_radius"):
        as_level(given[name], name)
    if float(given["detection_threshold"]) > _BRIGHTEST:
        raise InputError(
            f"detection_threshold must be at most {_BRIGHTEST:g}, which is what the brightest objects "
            f"have, not {given['detection_threshold']}"
        )
    pair = [as_number(given[name], name) for name in ("min_separation_fwhm", "max_separation_fwhm")]
    if not 0 <= pair[0] <= pair[1]:
        raise InputError(f"min_separation_fwhm must be from 0 to max_separation_fwhm, not {pair}")
    for name, value in given.items():
        if not name.endswith("_range"):
            continue
        if len(np.atleast_1d(value)) != 2:
            raise InputError(f"{name} must be a pair (low, high), not {value}")
        low, high = (as_number(end, name) for end in value)
        if not 0 <= low <= high < np.inf:
            raise InputError(f"{name} must be (low, high) with 0 <= low <= high, not {value}")
        if name.startswith("n_"):
            low, high = (as_whole(end, name, 0) for end in value)
        if name == "fwhm_range" and not FWHM_LIMITS[0] <= low <= high <= FWHM_LIMITS[1]:
            raise InputError(f"fwhm_range must lie within {FWHM_LIMITS} pixels, not {value}")
        if name == "gain_range" and not low > 0:
            raise InputError(f"gain_range must be above 0 electrons per ADU, not {value}")


def _cut_image(rng: np.random.Generator, given: dict[str, Any]) -> _Cutouts:
    """Simulate an image, detect on it, and cut and label what was found."""
    made = _simulate(rng, given)
    found = detect(made["image"], threshold=given["detection_threshold"])
    matched = _match(found, made["catalog"], given["match_radius"])
    pixels, valid = extract_cutouts(
        found,
        made["image"],
        radius=given["cutout_radius"],
        fwhm=made["fwhm"],
        asinh_softening=given["asinh_softening"],
    )
    positions = np.column_stack([found["x"], found["y"]])[valid]
    return _Cutouts(pixels, positions[:, 0], positions[:, 1], matched[valid], made["fwhm"])


def _simulate(rng: np.random.Generator, given: dict[str, Any]) -> dict[str, Any]:
    """Draw what an image is like, and simulate it."""
    fwhm = float(rng.uniform(*given["fwhm_range"]))
    low, high = (max(end, _DARKEST) for end in given["background_range"])
    background = log_uniform(rng, (low, high))
    readnoise = float(rng.uniform(*given["readnoise_range"]))
    gain = float(rng.uniform(*given["gain_range"]))
    psf = _draw_psf(rng, fwhm, given)
    # Noise of the sky in an aperture of radius FWHM, in ADU.
    pixel = np.sqrt(background / gain + (readnoise / gain) ** 2)
    aperture = float(pixel * np.sqrt(np.pi) * fwhm)
    fluxes = (given["detection_threshold"] * aperture, _BRIGHTEST * aperture)
    counts: dict[str, Any] = {}
    for name in ("n_stars", "n_galaxies", "n_cosmic_rays", "n_hot_pixels", "n_satellites"):
        least, most = given[f"{name}_range"]
        counts[name] = int(rng.integers(least, most, endpoint=True))
    width, height = given["image_size"]
    return simulate_image(
        width=width,
        height=height,
        star_flux_range=fluxes,
        star_fwhm=fwhm,
        star_psf=psf,
        galaxy_flux_range=fluxes,
        add_companions=given["close_pair_fraction"] > 0,
        companion_fraction=given["close_pair_fraction"],
        companion_separation_fwhm=(given["min_separation_fwhm"], given["max_separation_fwhm"]),
        background=background,
        readnoise=readnoise,
        gain=gain,
        rng=rng,
        **counts,
    )


def _draw_psf(rng: np.random.Generator, fwhm: float, given: dict[str, Any]) -> PSF | str:
    """Draw a PSF: Moffat or Gaussian by name, or one with aberrations."""
    name = "moffat" if rng.random() < 0.5 else "gaussian"
    if rng.random() >= given["aberration_fraction"]:
        return name
    defocus, astigmatism, coma = (
        float(rng.uniform(*given[f"{kind}_range"])) for kind in ("defocus", "astigmatism", "coma")
    )
    # Peak to valley, as opticians quote them; the PSF wants rms, in Noll's normalisation.
    return PSF.aberrated(
        fwhm,
        defocus=defocus / (2 * np.sqrt(3)),
        astigmatism=astigmatism / (2 * np.sqrt(6)),
        coma=coma / (2 * np.sqrt(8)),
        angle=float(rng.uniform(0, np.pi)),
        coma_angle=float(rng.uniform(0, 2 * np.pi)),
    )


def _joined(images: list[_Cutouts], given: dict[str, Any]) -> dict[str, Any]:
    """Return what `generate_realbogus_training_data` does."""
    views = _VIEWS if given["augment"] else 1
    counts = [len(image.kind) for image in images]
    pixels = np.concatenate([image.pixels for image in images])
    kinds = np.concatenate([image.kind for image in images])
    fwhm = np.repeat(np.array([image.fwhm for image in images], np.float32), counts)
    return {
        "X": _augmented(pixels) if given["augment"] else pixels,
        "y": np.tile(np.isin(kinds, given["real_source_types"]).astype(np.float32), views),
        "fwhm": np.tile(fwhm, views),
        "metadata": {
            "image": np.tile(np.repeat(np.arange(len(images)), counts), views),
            "x": np.tile(np.concatenate([image.x for image in images]), views),
            "y": np.tile(np.concatenate([image.y for image in images]), views),
            "type": np.tile(kinds, views),
            "parameters": given,
        },
    }


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
