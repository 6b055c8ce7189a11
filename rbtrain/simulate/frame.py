"""A frame and its layers: in the making, and finished."""

from dataclasses import dataclass, replace

import numpy as np
from astropy.table import Table

from .._arrays import F32, U8, Bools
from .._pixels import nearest
from .patches import DarkPatch
from .truth import Rows, extreme, inside, truth_table

#: An artefact below this fraction of the noise has no class.
_FAINTEST_ARTEFACT = 0.05


@dataclass(frozen=True, eq=False)
class Frame:
    """A simulated image and its layers; arrays are (h, w) float32 in ADU unless said.

    Attributes
    ----------
    image : array
        What the telescope delivers. May hold NaN where masked.
    mask : bool array or None
        True where the pixel is known to be bad.
    stars, galaxies, artefacts : array
        Expected signal without noise and not clipped by saturation; `galaxies` includes
        nebulosity (less its smooth part, which is in `sky`), `artefacts` may be negative.
    artefact_class : uint8 array
        `Artefact` code of what contributes most to `artefacts`, 0 where that is nothing.
    sky : array
        Expected level without any of the above, bias included.
    noise : array
        Expected rms of sky and read noise, after any resampling.
    saturation : float or None
        Level at which pixels saturate, or None when sky subtraction and flattening have made it
        vary over the frame by more than the noise.
    fwhm : float
        Pixels.
    crowding : float
        Stars with a peak above 5 sigma per square FWHM.
    truth : astropy Table
        x, y (0-based pixels), flux and peak (ADU), type, fwhm. Sources under an empty edge or NaN
        are in neither the layers nor the table. Stars with a peak below 1 sigma
        are on the layer but not in the table. Types: star, galaxy, asteroid, cosmic_ray,
        hot_pixel, cold_pixel, bad_column, bad_row, trap, satellite, spike, ghost.
    unknown : array or None
        What was in the pixels before anything was planted and is of unknown nature, less the sky:
        all of a sky image, noise and sources alike; of a dark, what may be a particle or a noisy
        pixel. None when all is known. `crowding` and `truth` know nothing of it.
    """

    image: F32
    mask: Bools | None
    stars: F32
    galaxies: F32
    artefacts: F32
    artefact_class: U8
    sky: F32
    noise: F32
    saturation: float | None
    fwhm: float
    crowding: float
    truth: Table
    unknown: F32 | None = None


@dataclass(eq=False)
class Layers:
    """A frame in the making, which its stages change in place; arrays are (h, w) float32 in ADU.

    Attributes
    ----------
    image, stars, galaxies, artefacts, sky : array
        As in `Frame`.
    codes : uint8 array
        `Artefact` code of the largest contribution to `artefacts`, however faint.
    star_rows, galaxy_rows, artefact_rows : Rows
        What was planted; of artefacts, `finish` measures the peaks.
    saturation : float or None
        As in `Frame`.
    dark : DarkPatch or None
        The backdrop, where it is a dark.
    """

    image: F32
    stars: F32
    galaxies: F32
    artefacts: F32
    codes: U8
    sky: F32
    star_rows: Rows
    galaxy_rows: Rows
    artefact_rows: Rows
    saturation: float | None
    dark: DarkPatch | None = None


def finish(
    layers: Layers,
    *,
    noise: F32,
    typical: float,
    fwhm: float,
    mask: Bools | None,
    empty: Bools,
    unknown: F32 | None,
) -> Frame:
    """Make a frame of its layers: clear what is under empty pixels, and list what was planted.

    Parameters
    ----------
    layers : Layers
        Not to be used afterwards.
    noise : array, shape (h, w)
        Expected rms, ADU.
    typical : float
        A typical value of it.
    fwhm : float
        Pixels.
    mask : bool array or None
        Pixels that are known to be bad.
    empty : bool array, shape (h, w)
        Pixels that hold nothing of the sky.
    unknown : array or None
        See `Frame`; cleared in place under empty pixels.

    Returns
    -------
    Frame
    """
    artefacts = layers.artefacts
    codes = np.where(np.abs(artefacts) > _FAINTEST_ARTEFACT * noise, layers.codes, np.uint8(0))
    for layer in (
        layers.stars,
        layers.galaxies,
        artefacts,
        codes,
        *(() if unknown is None else (unknown,)),
    ):
        layer[empty] = 0
    found = layers.artefact_rows
    rows = [layers.galaxy_rows, replace(found, peak=extreme(artefacts, found.x, found.y))]
    truth, crowding = _list_truth(layers.star_rows, rows, fwhm, typical, empty)
    return Frame(
        image=np.ascontiguousarray(layers.image, dtype=np.float32),
        mask=mask,
        stars=np.ascontiguousarray(layers.stars),
        galaxies=np.ascontiguousarray(layers.galaxies),
        artefacts=np.ascontiguousarray(artefacts),
        artefact_class=codes,
        sky=layers.sky,
        noise=noise,
        saturation=layers.saturation,
        fwhm=fwhm,
        crowding=crowding,
        truth=truth,
        unknown=unknown,
    )


def _list_truth(
    stars: Rows, others: list[Rows], fwhm: float, typical: float, empty: Bools
) -> tuple[Table, float]:
    """Return the table of what shows on a frame of noise `typical`, and its crowding."""
    shape = (empty.shape[0], empty.shape[1])
    on_frame = inside(stars.x, stars.y, shape)
    shown = on_frame & (stars.peak > typical)
    listed = Rows("star", stars.x[shown], stars.y[shown], stars.flux[shown], stars.peak[shown])
    truth = truth_table([listed, *others], fwhm, shape)
    truth = truth[~empty[nearest(np.asarray(truth["x"]), np.asarray(truth["y"]), shape)]]
    crowding = float((on_frame & (stars.peak > 5 * typical)).sum()) * fwhm**2 / empty.size
    return truth, crowding
