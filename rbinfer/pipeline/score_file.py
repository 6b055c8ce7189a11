"""One image file, from its path to its scored catalogue: what the verbs have in common."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.exposure import Exposure, Width
from ..io.images import load_image
from ..io.maps import bad_pixels, read_beside, read_map
from ..io.original import Original
from ..io.positions import PLACED, find_positions, has_positions, peaks
from ..io.tables import as_table, check_fit, write_catalog
from ..measure.belongs import doubt_about
from ..measure.estimate import measure_width
from ..measure.nodata import with_no_data
from ..measure.plausible import implausible
from ..scoring.classifier import Classifier
from ..status import Status
from .columns import add_sky, check_names, extra_of, picked
from .mosaic import Detections, skies_of, stacked
from .options import ALL, ScoreOptions
from .summary import note, tally, why_nothing

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Returns the width of other frames of the camera and filter of an image; None where there are none.
Borrow = Callable[[Exposure], Width | None]

_MOST_OFF = 0.5  # a share of the positions off the image beyond which it is not the catalogue's
_MASKED_MUCH = 0.9  # a share of the pixels that deserves a word


@dataclass(frozen=True, eq=False)
class ScoredFile:
    """What came of an image.

    Attributes
    ----------
    table : Table
        All detections with their scores; ``meta`` says how they were made.
    image : Exposure or None
        Pixels and header; None for a mosaic, whose images would not all fit into memory.
    summary : dict
        Counts and what they rest on, for JSON.
    original : Original or None
        What the rows are from; None where they were detected, or are of several tables.
    """

    table: "Table"
    image: Exposure | None
    summary: dict[str, Any]
    original: Original | None = None

    def taken(self, which: NDArray[Any]) -> Self:
        """Return the same with some of the rows: by a mask, or by indices in their new order."""
        original = None if self.original is None else self.original.taken(which)
        return replace(self, table=self.table[which], original=original)

    def with_columns(self, names: Sequence[str]) -> Self:
        """Return the same with the columns that are named; see `rbinfer.pipeline.columns.picked`."""
        return replace(self, table=picked(self.table, names))

    def write(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the rows, in kind if the format is that of the catalogue."""
        write_catalog(self.table, path, overwrite, self.original)


def score_file(
    image: str,
    catalog: str | None,
    options: ScoreOptions,
    classifier: Classifier,
    output: str | Path | None = None,
    borrow: Borrow | None = None,
) -> ScoredFile:
    """Score the detections in an image file: the rows of a catalogue, or else those that SEP finds.

    Parameters
    ----------
    image : str
        FITS file.
    catalog : str, optional
        Catalogue. For a mosaic one with a table for each image, by name or in order, or with
        SExtractor's column ``EXT_NUMBER``.
    options : ScoreOptions
    classifier : Classifier
        From `ScoreOptions.classifier`.
    output : str or path, optional
        Where the rows will be written: what its format cannot hold is refused before any work is done.
    borrow : callable, optional
        Asked for the width of other frames where an image shows no stars; not for mosaics. See
        `rbinfer.measure.estimate.measure_width`.

    Returns
    -------
    ScoredFile
        Of a mosaic the rows of all images, in their order; the column ``rb_hdu`` tells them apart.

    Raises
    ------
    RbinferError
        Something cannot be read or used.
    """
    start = time.perf_counter()
    options.check(catalog)
    point = options.point(classifier)
    threshold = options.threshold if point is None else point.threshold
    of_all = options.hdu is not None and options.hdu.lower() == ALL
    numbers = skies_of(image, options.maps) if of_all else {}
    detections = (
        None if catalog is None else Detections.read(catalog, image, numbers, options.catalog_format)
    )
    if detections is not None and output is not None:
        source = None if of_all else detections.format
        check_fit([table for _, table in detections.tables], output, source)
    parts, originals = [], list[Original | None]()
    wanted: list[int | str | None] = [*numbers] if of_all else [options.hdu]
    for number in wanted:
        exposure = read_exposure(image, number, options)
        table, original = (None, None) if detections is None else detections.of(exposure.hdu)
        _tell_of_siblings(image, exposure, options)
        if strange := implausible(exposure):
            log.warning("%s does not look like an image of the sky: %s", image, strange)
        originals.append(original)
        lent = None if numbers else borrow
        parts.append(_score_one(image, exposure, table, options, classifier, threshold, lent))
    scored = parts[0] if not numbers else stacked(parts, list(numbers))
    hdu = ALL if numbers else exposure.hdu
    note(scored, image, hdu, options, classifier)
    summary: dict[str, Any] = {
        "image": image,
        "hdu": hdu,
        "catalog": catalog,
        **options.columns,
        **tally(scored),
        "expected": None if point is None else {"missed": point.missed, "false": point.false},
    }
    if numbers:
        summary["extensions"] = [
            {"hdu": number, "name": name, **tally(part)}
            for (number, name), part in zip(numbers.items(), parts, strict=True)
        ]
    if nothing := why_nothing(summary):
        log.warning("%s: %s", image, nothing)
    summary["seconds"] = round(time.perf_counter() - start, 3)
    return ScoredFile(scored, None if numbers else exposure, summary, Original.joined(originals))


def read_exposure(image: str, hdu: int | str | None, options: ScoreOptions) -> Exposure:
    """Read an image with the maps and the level that are given, and find its areas without data.

    Parameters
    ----------
    image : str
        FITS file.
    hdu : int, str or None
        As for `rbinfer.io.images.load_image`.
    options : ScoreOptions

    Raises
    ------
    RbinferError
        Something cannot be read or used.
    """
    exposure = load_image(image, hdu, options.plane, options.bayer)
    return with_no_data(_with_maps(image, exposure, options))


def _tell_of_siblings(image: str, exposure: Exposure, options: ScoreOptions) -> None:
    siblings = len(skies_of(image, options.maps)) if exposure.siblings > 1 else 1
    if siblings > 1:
        log.warning(
            "%s: 1 of %d images (HDU %d) was scored; --hdu all scores each, --hdu %d this one",
            image,
            siblings,
            exposure.hdu,
            exposure.hdu,
        )


def _with_maps(image: str, exposure: Exposure, options: ScoreOptions) -> Exposure:
    """Take the maps and the level that are given; the mask else is that of the image's own file."""
    mask, err, shape = exposure.mask, None, exposure.shape
    if options.mask is not None:
        mask = bad_pixels(read_map(options.mask, image, shape, "mask", exposure.hdu), options.bad_bits)
        share = float(mask.mean())
        if share > _MASKED_MUCH:
            log.warning(
                "%.0f %% of the pixels are masked by %s; is it a mask?", 100 * share, options.mask
            )
    if options.err is not None:
        err = read_map(options.err, image, shape, "noise map", exposure.hdu)
    return replace(exposure, mask=mask).known(err=err, saturation=options.saturation)


def _score_one(
    name: str,
    exposure: Exposure,
    table: "Table | None",
    options: ScoreOptions,
    classifier: Classifier,
    threshold: float | None,
    borrow: Borrow | None,
) -> "Table":
    if table is None:
        from ..measure.detect import detect

        table = detect(exposure.pixels, mask=exposure.mask)
        if not len(table):
            _tell_of_pixels(name, exposure.pixels)
        places = _Places(np.asarray(table["x"]), np.asarray(table["y"]), peaks(table))
    else:
        table = as_table(table)
        places = _places(table, exposure, options)
        if not options.trust_positions:
            _check_fit(places, table, exposure, name, options)
    check_names(options.show, table.colnames, classifier.spec)
    psf = None if options.psf is None else read_beside(options.psf, name, "PSF", exposure.hdu)
    if psf is None and options.fwhm is None:
        exposure = replace(exposure, width=measure_width(exposure, table, borrow))
    scored = classifier.classify_at(
        table,
        exposure,
        places.x,
        places.y,
        peaks=places.peaks,
        fwhm=options.fwhm,
        psf=psf,
        threshold=threshold,
        extra=extra_of(options.show),
    )
    if not options.allow_off_image:
        _check_on_image(scored, name, exposure.shape)
    add_sky(scored, exposure, (places.x, places.y), name)
    return scored


class _Places(NamedTuple):
    """Positions of a catalogue as pixels of the image, and the brightest pixels if it has them."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    peaks: tuple[NDArray[np.float64], NDArray[np.float64]] | None


def _places(table: "Table", exposure: Exposure, options: ScoreOptions) -> _Places:
    """Find positions in a table of one's own; where they had to be turned, its new columns tell them."""
    table.remove_columns([name for name in PLACED if name in table.colnames])
    x, y = np.zeros(0), np.zeros(0)
    # An empty table need not name the columns that it has no rows for.
    if table.colnames:
        x, y = find_positions(table, **options.columns, wcs=exposure.wcs)
    brightest = peaks(table)
    placement = options.placement
    if not placement:
        return _Places(x, y, brightest)
    x, y = placement.applied(x, y, exposure.shape)
    if brightest is not None:
        brightest = placement.applied(*brightest, exposure.shape)
    table[PLACED[0]], table[PLACED[1]] = x, y
    return _Places(x, y, brightest)


def _check_fit(
    places: _Places, table: "Table", exposure: Exposure, name: str, options: ScoreOptions
) -> None:
    """Refuse positions that look as if they belonged to another image, or were mixed up."""
    by_pixels = options.x_col is not None or has_positions(table)
    doubt = doubt_about(exposure, places.x, places.y, is_origin_known=not by_pixels)
    if doubt is not None and doubt.origin is not None and options.origin is not None:
        log.warning(
            "%s: the stars lie one pixel off with --origin %d; did you mean --origin %d?",
            name,
            options.origin,
            1 - options.origin,
        )
    elif doubt is not None:
        remedy = f"{doubt.remedy} mends that, " if doubt.remedy else ""
        raise InputError(
            f"the catalogue does not fit {name}: {doubt.reason}; {remedy}--trust-positions takes it "
            "as it is"
        )


def _tell_of_pixels(name: str, pixels: NDArray[np.float32]) -> None:
    """Say what there is where nothing was detected: a dead frame looks like an empty sky."""
    good = pixels[np.isfinite(pixels)]
    values = f", from {good.min():g} to {good.max():g}" if good.size else ""
    log.warning(
        "%s: nothing was detected; %.3g %% of the pixels are finite%s",
        name,
        100 * good.size / pixels.size,
        values,
    )


def _check_on_image(scored: "Table", name: str, shape: tuple[int, ...]) -> None:
    """Refuse a catalogue that cannot be of this image."""
    status = np.asarray(scored["rb_status"])
    unknown = int(np.count_nonzero(status & Status.POSITION_NOT_FINITE))
    if unknown > len(status) * _MOST_OFF:
        log.warning("%d of %d positions are masked or no numbers: %s", unknown, len(status), name)
    off = int(np.count_nonzero(status & Status.OFF_IMAGE))
    if off > max(len(status) * _MOST_OFF, 1):
        raise InputError(
            f"{off} of {len(status)} positions lie off the image {name} ({shape[1]} x {shape[0]}): is "
            "the catalogue of another image, binning or HDU? --allow-off-image takes it all the same"
        )
