"""``rbinfer gallery``: pictures of a scored catalogue."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .options import add_common_options, add_overwrite_option, add_position_options
from .parser import add_verb
from .values import count, probability

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "gallery",
        summary="draw cutouts, an overlay or a histogram of a scored catalogue",
        description=(
            "Draw a scored catalogue: a sheet of cutouts in the order of their scores, the image with "
            "a circle around each detection, or a histogram of the scores. The origin is lower left. "
            "Each cutout has the number of its row: 'rbinfer explain IMAGE --catalog SCORED --row N'."
        ),
        example=(
            "rbinfer gallery image.fits scored.fits -o sheet.png\n"
            "rbinfer gallery image.fits scored.fits -o doubtful.png --sort doubtful"
        ),
    )
    parser.add_argument(
        "image", metavar="IMAGE", help="FITS file, also .gz and .fz; a histogram does without it"
    )
    parser.add_argument(
        "catalog", metavar="SCORED", help="what 'rbinfer classify IMAGE -o SCORED' wrote"
    )
    parser.add_argument("-o", "--output", metavar="PICTURE", required=True, help=".png, .pdf, .svg, ...")
    parser.add_argument("--kind", choices=("cutouts", "overlay", "histogram"), default="cutouts")
    parser.add_argument(
        "--most", type=count, metavar="N", help="cutouts at most (60, and no more than 600)"
    )
    parser.add_argument(
        "--sort",
        choices=("score", "doubtful"),
        help="which cutouts, in which order: at even steps through all scores (score), or those nearest "
        "to the threshold, the nearest first",
    )
    parser.add_argument(
        "--threshold",
        type=probability,
        metavar="T",
        help="that of the catalogue, else 0.5 (CSV keeps none)",
    )
    parser.add_argument(
        "--hdu", metavar="H", help="number (from 0) or name of the HDU; of a mosaic its rows are drawn"
    )
    add_position_options(parser)
    add_overwrite_option(parser, "PICTURE if it exists")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    from .._util.extras import needed

    needed("matplotlib", "pictures need", "plots")
    from ..io.files import check_distinct
    from ..io.tables import read_catalog
    from ..report.gallery import check_picture, histogram, save

    if options.most is not None and options.kind != "cutouts":
        raise InputError(f"--most is about cutouts; leave it out with --kind {options.kind}")
    if options.sort is not None and options.kind != "cutouts":
        raise InputError(f"--sort is about cutouts; leave it out with --kind {options.kind}")
    is_doubtful_first = options.sort == "doubtful"
    picture = _Picture(options.image, options.hdu, options.kind, options.most or 60, is_doubtful_first)
    columns = {"x_col": options.x_col, "y_col": options.y_col, "origin": options.origin}
    check_picture(options.output, options.overwrite)
    check_distinct([Path(options.output)], [Path(options.image), Path(options.catalog)])
    table = read_catalog(options.catalog)
    # FITS knows upper case alone.
    meta = {str(key).lower(): value for key, value in table.meta.items()}
    threshold = (
        _noted(meta, "rb_threshold", 0.5, 1.0) if options.threshold is None else options.threshold
    )
    if options.kind == "histogram" and options.hdu is None:
        figure = histogram(table, threshold)
    else:
        figure = picture.drawn(table, meta, threshold, columns)
    save(figure, options.output, options.overwrite)
    return 0


@dataclass(frozen=True)
class _Picture:
    """What is drawn of which image; of cutouts so many at most."""

    image: str
    hdu: str | None
    kind: str
    most: int
    is_doubtful_first: bool

    def drawn(
        self,
        table: "Table",
        meta: Mapping[str, Any],
        threshold: float,
        columns: Mapping[str, str | int | None],
    ) -> "Figure":
        """Draw the rows of one image; the catalogue's `meta` tell what is None in `columns`."""
        import numpy as np

        from ..io.images import load_image
        from ..io.noted import options_in
        from ..io.positions import scored_positions
        from ..model.spec import DEFAULT_FWHM
        from ..pipeline.as_scored import rows_of_image
        from ..pipeline.mosaic import hdus_of_rows
        from ..report.gallery import cutout_sheet, histogram, overlay

        hdu = meta.get("rb_hdu") if self.hdu is None else self.hdu
        rows = rows_of_image(table, self.image)
        if rows is not None:
            table = table[rows]
        numbers = hdus_of_rows(table)
        if numbers is not None and self.hdu is None:
            hdu = _only(numbers)
        noted_options = options_in(meta.get("rb_opts"))
        image = load_image(self.image, hdu, noted_options.get("plane"), noted_options.get("bayer"))
        if numbers is not None:
            own = np.flatnonzero(numbers == image.hdu)
            rows, table = own if rows is None else rows[own], table[own]
            if not len(table):
                raise InputError(
                    f"the catalogue has no rows of HDU {image.hdu}, but of {_listed(numbers)}"
                )
        if self.kind == "histogram":
            return histogram(table, threshold)
        noted = {
            name: meta.get(f"rb_{name}") if given is None else given for name, given in columns.items()
        }
        x, y = scored_positions(table, noted, image.header)
        fwhm = _noted(meta, "rb_fwhm", DEFAULT_FWHM, 100.0)
        if self.kind == "overlay":
            return overlay(image.pixels, x, y, table, threshold, fwhm)
        return cutout_sheet(
            image.pixels,
            x,
            y,
            table,
            threshold,
            fwhm,
            self.most,
            is_doubtful_first=self.is_doubtful_first,
            numbers=rows,
        )


def _only(numbers: "NDArray[Any]") -> int:
    """Return the HDU that all rows are of."""
    if (numbers != numbers[0]).any():
        raise InputError(
            f"the catalogue is of a mosaic; choose one of its images by --hdu: {_listed(numbers)}"
        )
    return int(numbers[0])


def _listed(numbers: "NDArray[Any]") -> str:
    return ", ".join(str(number) for number in sorted(set(numbers.tolist())))


def _noted(meta: Mapping[str, Any], key: str, default: float, most: float) -> float:
    """Return a number that the catalogue's metadata note, or the default with a word about it."""
    if key not in meta:
        log.warning("the catalogue does not note %s; %g is taken", key, default)
        return default
    try:
        value = float(meta[key])
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value <= most:
        raise InputError(f"the catalogue notes {key} = {meta[key]!r}, not a number from 0 to {most:g}")
    return value
