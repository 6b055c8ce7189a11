"""One detection of an image file: found, with all that scoring it takes."""

from dataclasses import dataclass, replace

from ..errors import InputError
from ..io.exposure import Exposure
from ..io.positions import peaks
from ..io.tables import as_table, read_catalog
from ..measure.estimate import measure_width
from .frames import Frames
from .options import ScoreOptions
from .places import CatalogueOptions


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
    exposure = frames.read(frames.hdu)
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

    Returns
    -------
    Detection

    Raises
    ------
    InputError
        The file cannot be read, or there is no such row.
    """
    options.check(catalog)
    exposure = open_frame(image, options)
    if at is not None:
        return Detection(exposure, *at, None)
    if catalog is None:
        from ..measure.detect import detect

        table = detect(exposure.pixels, mask=exposure.mask, detector=options.detector)
        what = "what is detected here"
        x, y, brightest = table["x"], table["y"], peaks(table)
    else:
        table, what = as_table(read_catalog(catalog, options.catalog_format)), catalog
        how = CatalogueOptions(
            options.catalog_format,
            **options.columns,
            placement=options.placement,
            trust_positions=options.trust_positions,
            allow_off_image=options.allow_off_image,
        )
        x, y, brightest = how.places(table, exposure, image)
    if row is None or not 0 <= row < len(table):
        raise InputError(f"there is no row {row} in {what}: it has {len(table)}, counted from 0")
    peak = None if brightest is None else (float(brightest[0][row]), float(brightest[1][row]))
    return Detection(exposure, float(x[row]), float(y[row]), peak)
