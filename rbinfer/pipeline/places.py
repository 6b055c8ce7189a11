"""Where the rows of a catalogue lie on an image, and whether that can be so."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.exposure import Exposure
from ..io.placement import Placement
from ..io.positions import PLACED, find_positions, has_positions, peaks
from ..io.regions import PHYSICAL, from_physical
from ..measure.belongs import doubt_about
from ..status import Status

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

_MOST_OFF = 0.5  # a share of the positions off the image beyond which it is not the catalogue's


class Places(NamedTuple):
    """Positions of detections as pixels of the image, and the brightest pixels where they are known."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    peaks: tuple[NDArray[np.float64], NDArray[np.float64]] | None


@dataclass(frozen=True)
class CatalogueOptions:
    """How a catalogue is read, and how it says where its rows lie.

    Attributes
    ----------
    format : str or None
        As for `rbinfer.io.tables.read_catalog`.
    x_col, y_col, origin
        As for `rbinfer.io.positions.positions`.
    placement : Placement
        What turns its positions into pixels of the image.
    trust_positions, allow_off_image : bool
        As in `rbinfer.pipeline.options.ScoreOptions`.
    """

    format: str | None
    x_col: str | None
    y_col: str | None
    origin: int | None
    placement: Placement
    trust_positions: bool
    allow_off_image: bool

    def places(self, table: "Table", exposure: Exposure, name: str) -> Places:
        """Find the positions in a table of one's own.

        Parameters
        ----------
        table : Table
            Its new columns tell the positions where they had to be turned.
        exposure : Exposure
        name : str
            Of the image, for messages.

        Raises
        ------
        InputError
            There are none, or they look as if they belonged to another image, or were mixed up.
        """
        table.remove_columns([name for name in PLACED if name in table.colnames])
        x, y = np.zeros(0), np.zeros(0)
        # An empty table need not name the columns that it has no rows for.
        if table.colnames:
            x, y = find_positions(table, self.x_col, self.y_col, self.origin, exposure.wcs)
        brightest = peaks(table)
        if table.meta.pop(PHYSICAL, False) and exposure.header is not None:
            on_image = from_physical(x, y, exposure.header)
            if not np.array_equal(on_image, (x, y)):
                x, y = table[PLACED[0]], table[PLACED[1]] = on_image
        if self.placement:
            x, y = self.placement.applied(x, y, exposure.shape)
            if brightest is not None:
                brightest = self.placement.applied(*brightest, exposure.shape)
            table[PLACED[0]], table[PLACED[1]] = x, y
        if not self.trust_positions:
            self._check_fit(
                x, y, exposure, name, by_pixels=self.x_col is not None or has_positions(table)
            )
        return Places(x, y, brightest)

    def _check_fit(
        self,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        exposure: Exposure,
        name: str,
        by_pixels: bool,
    ) -> None:
        doubt = doubt_about(exposure, x, y, is_origin_known=not by_pixels)
        if doubt is not None and doubt.origin is not None and self.origin is not None:
            log.warning(
                "%s: the stars lie one pixel off with `origin=%d`; did you mean `origin=%d`?",
                name,
                self.origin,
                1 - self.origin,
            )
        elif doubt is not None:
            remedy = f"`{doubt.remedy}` mends that, " if doubt.remedy else ""
            raise InputError(
                f"the catalogue does not fit {name}: {doubt.reason}; {remedy}`trust_positions=True` "
                "takes it as it is"
            )

    def check_on_image(self, scored: "Table", name: str, shape: tuple[int, ...]) -> None:
        """Refuse a scored catalogue that cannot be of an image, by its status.

        Parameters
        ----------
        scored : Table
        name : str
            Of the image.
        shape : tuple of int
            Of the image.

        Raises
        ------
        InputError
            More than half of the rows lie off the image.
        """
        if self.allow_off_image:
            return
        status = np.asarray(scored["rb_status"])
        unknown = int(np.count_nonzero(status & Status.POSITION_NOT_FINITE))
        if unknown > len(status) * _MOST_OFF:
            log.warning("%d of %d positions are masked or no numbers: %s", unknown, len(status), name)
        off = int(np.count_nonzero(status & Status.OFF_IMAGE))
        if off > max(len(status) * _MOST_OFF, 1):
            raise InputError(
                f"{off} of {len(status)} positions lie off the image {name} ({shape[1]} x {shape[0]}): "
                "is the catalogue of another image, binning or HDU? `allow_off_image=True` takes it all "
                "the same"
            )
