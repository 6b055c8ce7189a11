"""One detection of an image file: found, with all that scoring it takes."""

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.exposure import Exposure
from ..io.merged import IMAGE_COLUMN
from ..io.positions import peaks
from ..io.tables import as_table, read_catalog
from ..measure.estimate import measure_width
from ..measure.even import evened
from .as_scored import rows_of_image
from .frames import Frames
from .mosaic import HDU_COLUMN, hdus_of_rows
from .options import ScoreOptions
from .places import CatalogueOptions

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Detection:
    """A detection, and the image that it is on, with the width of its stars measured or given.

    Attributes
    ----------
    exposure : Exposure
    x, y : float
        0-based pixels.
    peak : (float, float) or None
        Its brightest pixel, where the catalogue knows it.
    """

    exposure: Exposure
    x: float
    y: float
    peak: tuple[float, float] | None


def open_frame(image: str, options: ScoreOptions) -> Exposure:
    """Read an image as it is scored, and measure the width of its stars unless that is given.

    Parameters
    ----------
    image : str
        FITS file.
    options : ScoreOptions

    Returns
    -------
    Exposure

    Raises
    ------
    InputError
        It cannot be read, or all images of a mosaic are asked for.
    """
    frames = Frames(image, options.hdu, options.pixels)
    if frames.are_all_wanted:
        raise InputError("one image is looked at; give its `hdu` instead of 'all'")
    exposure = evened(frames.read(frames.hdu))
    star = frames.star(exposure.hdu)
    if star is not None:
        from ..measure.given import width_of_psf

        return replace(exposure, width=width_of_psf(star, options.fwhm))
    if options.fwhm is not None:
        return exposure.known(fwhm=options.fwhm)
    return replace(exposure, width=measure_width(exposure))


def detection_at(
    image: str,
    options: ScoreOptions,
    *,
    at: tuple[float, float] | None = None,
    row: int | None = None,
    catalog: str | None = None,
    table: "Table | None" = None,
) -> Detection:
    """Find a detection by its place, or by its row in a catalogue.

    Parameters
    ----------
    image : str
        FITS file.
    options : ScoreOptions
    at : (float, float), optional
        0-based pixels.
    row : int, optional
        Counted from 0; of the catalogue, or else of what is detected.
    catalog : str, optional
        Of a scored one, the row tells the HDU unless `options` do.
    table : Table, optional
        What `catalog` holds, if it was read already.

    Returns
    -------
    Detection

    Raises
    ------
    InputError
        The file cannot be read, there is no such row, or it is of another HDU than `options` say.
    """
    options.check(catalog)
    if at is None and catalog is not None:
        if table is None:
            table = as_table(read_catalog(catalog, options.catalog_format))
        return _listed(image, options, row, catalog, table)
    exposure = open_frame(image, options)
    if at is not None:
        return Detection(exposure, *at, None)
    from ..measure.detect import detect

    table = detect(exposure.pixels, mask=exposure.mask, detector=options.detector)
    row = _checked(row, len(table), "what is detected here")
    return _at_row(exposure, table["x"], table["y"], peaks(table), row)


def _listed(
    image: str, options: ScoreOptions, row: int | None, catalog: str, table: "Table"
) -> Detection:
    """Find a detection by its row in a catalogue, on the HDU that the catalogue tells."""
    row = _checked(row, len(table), catalog)
    own = rows_of_image(table, image)
    if own is not None:
        if row not in own:
            raise InputError(f"row {row} of {catalog} is of {table[IMAGE_COLUMN][row]}, not of {image}")
        row, table = int(np.searchsorted(own, row)), table[own]
    hdus = hdus_of_rows(table)
    noted = {str(key).lower(): value for key, value in table.meta.items()}.get(HDU_COLUMN)
    hdu = noted if hdus is None else int(hdus[row])
    exposure = _frame_of_row(image, options, hdu, f"row {row} of {catalog}")
    if hdus is not None:
        if exposure.hdu != hdu:
            raise InputError(
                f"row {row} of {catalog} is of HDU {hdu}, not of HDU {exposure.hdu}; leave `hdu` out"
            )
        row = int((hdus[:row] == hdu).sum())
        table = table[hdus == hdu]
    elif isinstance(hdu, int) and exposure.hdu != hdu:
        # A copy of the image may have another number: compression puts it behind an empty first HDU.
        log.warning("%s notes HDU %d, but HDU %d of %s is taken", catalog, hdu, exposure.hdu, image)
    how = CatalogueOptions(
        options.catalog_format,
        **options.columns,
        placement=options.placement,
        trust_positions=options.trust_positions,
        allow_off_image=options.allow_off_image,
    )
    x, y, brightest = how.places(table, exposure, image)
    return _at_row(exposure, x, y, brightest, row)


def _frame_of_row(image: str, options: ScoreOptions, hdu: int | str | None, row: str) -> Exposure:
    """Read the image that is asked for, or else that of a row."""
    if options.hdu is not None or hdu is None:
        return open_frame(image, options)
    try:
        return open_frame(image, replace(options, hdu=str(hdu)))
    except InputError as error:
        raise InputError(f"{error}; HDU {hdu} is noted for {row}, another is chosen by `hdu`") from error


def _checked(row: int | None, n_rows: int, what: str) -> int:
    if row is None or not 0 <= row < n_rows:
        raise InputError(f"there is no row {row} in {what}: it has {n_rows}, counted from 0")
    return row


def _at_row(
    exposure: Exposure,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    brightest: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    row: int,
) -> Detection:
    peak = None if brightest is None else (float(brightest[0][row]), float(brightest[1][row]))
    return Detection(exposure, float(x[row]), float(y[row]), peak)
