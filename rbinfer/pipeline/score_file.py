"""One image file, from its path to its scored catalogue: what the verbs have in common."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..io.camera import airmass_of, exposure_of, target_of
from ..io.exposure import Exposure, Width
from ..io.headers import first_headers, observed_at
from ..io.original import Original
from ..io.positions import peaks
from ..io.records import Records
from ..io.scratch import bands
from ..io.tables import check_fit, takes_records, write_catalog
from ..measure.even import as_cut, level_as_cut
from ..measure.level import Level, measure_level
from ..scoring.classifier import Classifier
from .columns import add_sky, check_names, extra_of, picked
from .frames import Frames
from .mosaic import Detections, stacked
from .options import ALL, ScoreOptions
from .places import CatalogueOptions, Places
from .summary import note, tally, why_nothing

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Returns the width of other frames of the camera and filter of an image; None where there are none.
Borrow = Callable[[Exposure], Width | None]


@dataclass(frozen=True, eq=False)
class ScoredFile:
    """What came of an image.

    Attributes
    ----------
    table : Table or Records
        All detections with their scores; ``meta`` says how they were made. Records are rows of a FITS
        catalogue that are to be written as FITS, or detected ones for FITS and ECSV.
    image : Exposure or None
        Pixels, header, and the width of its stars where that was measured; None for a mosaic, whose
        images would not all fit into memory.
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
    """Score the detections in an image file: the rows of a catalogue, or else those that are detected.

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
    frames = Frames(image, options.hdu, options.pixels)
    how = CatalogueOptions(
        options.catalog_format,
        **options.columns,
        placement=options.placement,
        trust_positions=options.trust_positions,
        allow_off_image=options.allow_off_image,
    )
    lent = None if frames.are_all_wanted else borrow
    numbers = frames.numbers() if frames.are_all_wanted else {}
    # The rows of a mosaic are joined, which takes tables.
    is_found = catalog is None and not numbers
    are_records = is_found and output is not None and takes_records(output)
    scoring = _Scoring(
        classifier, threshold, options.fwhm, lent, options.show, options.detector, are_records
    )
    detections = None
    if catalog is not None:
        detections = Detections.read(catalog, image, numbers, how.format, output)
    if detections is not None and output is not None:
        source = None if numbers else detections.format
        check_fit([table for _, table in detections.tables], output, source)
    parts, originals, levels = [], list[Original | None](), []
    wanted: list[int | str | None] = [*numbers] if numbers else [frames.hdu]
    for number in wanted:
        exposure = frames.read(number)
        frames.tell_of(exposure)
        exposure = level_as_cut(exposure, classifier.spec.preprocess)
        levels.append(measure_level(exposure))
        exposure = as_cut(exposure, classifier.spec.preprocess)
        table, original = (None, None) if detections is None else detections.of(exposure.hdu)
        originals.append(original)
        part, exposure = scoring.scored(frames, exposure, table, how)
        parts.append(part)
    scored = parts[0] if not numbers else stacked(parts, list(numbers))
    hdu = ALL if numbers else exposure.hdu
    note(scored, image, hdu, options, classifier)
    used = {"image": image, "hdu": hdu, "catalog": catalog, **options.columns}
    summary: dict[str, Any] = used | tally(scored)
    summary |= _of_frame(image, exposure, levels)
    summary["expected"] = None if point is None else {"missed": point.missed, "false": point.false}
    if numbers:
        summary["extensions"] = [
            {"hdu": number, "name": name, **tally(part)}
            for (number, name), part in zip(numbers.items(), parts, strict=True)
        ]
    if nothing := why_nothing(summary):
        log.warning("%s: %s", image, nothing)
    summary["seconds"] = round(time.perf_counter() - start, 3)
    return ScoredFile(scored, None if numbers else exposure, summary, Original.joined(originals))


def _of_frame(image: str, exposure: Exposure, levels: Sequence[Level | None]) -> dict[str, Any]:
    """Return what the summary tells of the frame itself; of a mosaic the medians of its images."""
    known = np.array([level for level in levels if level is not None])
    found = np.median(known, axis=0) if len(known) else ()
    background, noise, uneven = [float(value) if np.isfinite(value) else None for value in found] or [
        None
    ] * 3
    # The file's own header is another one where the image is in an extension.
    headers = [exposure.header, *(first_headers(image) if exposure.hdu else [])]
    began = observed_at(headers)
    return {
        "background": background,
        "noise": noise,
        "background_range": uneven,
        "exposure": exposure_of(headers),
        "target": target_of(headers),
        "airmass": airmass_of(headers),
        "time": None if began is None else began.isoformat(),
    }


@dataclass(frozen=True, eq=False)
class _Scoring:
    """What the scores of an image are made by, and which columns are shown."""

    classifier: Classifier
    threshold: float | None
    fwhm: float | None
    borrow: Borrow | None
    show: tuple[str, ...]
    detector: str
    are_records: bool  # whether what is detected is kept as `Records`

    def scored(
        self, frames: Frames, exposure: Exposure, table: "Table | Records | None", how: CatalogueOptions
    ) -> "tuple[Table | Records, Exposure]":
        """Score the rows of a table, or what is detected where there is none.

        Returns them and the exposure with the width that was measured.
        """
        name = frames.file
        if table is None:
            table, places = self._detected(name, exposure)
        else:
            table = table.copy()
            places = how.places(table, exposure, name)
        check_names(self.show, table.colnames, self.classifier.spec)
        psf = frames.star(exposure.hdu)
        if psf is None and self.fwhm is None:
            from ..measure.estimate import measure_width  # imported where a width is measured alone

            exposure = replace(exposure, width=measure_width(exposure, table, self.borrow))
        scored = self.classifier.classify_at(
            table,
            exposure,
            places.x,
            places.y,
            peaks=places.peaks,
            fwhm=self.fwhm,
            psf=psf,
            threshold=self.threshold,
            extra=extra_of(self.show),
        )
        how.check_on_image(scored, name, exposure.shape)
        add_sky(scored, exposure, (places.x, places.y), name)
        return scored, exposure

    def _detected(self, name: str, exposure: Exposure) -> "tuple[Table | Records, Places]":
        """Detect sources; records, where they will do, spare the import of Astropy's tables."""
        from ..measure.detect import detected_columns

        columns = detected_columns(
            exposure.pixels,
            exposure.mask,
            detector=self.detector,
            threads=self.classifier.threads,
        )
        if not len(columns["x"]):
            _tell_of_pixels(name, exposure.pixels)
        table = Records.of(columns) if self.are_records else _as_table(columns)
        return table, Places(columns["x"], columns["y"], peaks(table))


def _as_table(columns: Mapping[str, NDArray[Any]]) -> "Table":
    from astropy.table import Table

    return Table(columns)


def _tell_of_pixels(name: str, pixels: NDArray[np.float32]) -> None:
    """Say what there is where nothing was detected: a dead frame looks like an empty sky."""
    n, low, high = 0, np.inf, -np.inf
    for rows in bands(pixels):
        good = pixels[rows][np.isfinite(pixels[rows])]
        n += good.size
        low, high = good.min(initial=low), good.max(initial=high)
    log.warning(
        "%s: nothing was detected; %.3g %% of the pixels are finite%s",
        name,
        100 * n / pixels.size,
        f", from {low:g} to {high:g}" if n else "",
    )
