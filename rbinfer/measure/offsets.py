"""What every row or column of an image has of its own: noise of the readout, or amplifiers in turn."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..io.arrays import noise_between
from ..io.exposure import Exposure
from ..io.scratch import copy_of
from ..kernels.constants import LARGEST

Pixels = NDArray[np.float32]
Floats = NDArray[np.float64]

#: Offsets of lines that scatter by more than this share of the noise of a pixel are taken off. Those of
#: labelled images scatter by 0.1 and less mostly, by 0.45 in a camera with four amplifiers in turn.
_SCATTER = 0.5
#: So many scatters from the others a line is bad: what lies on it shall not look like more than it is.
_BAD = 4.0
#: Lines around one that tell the sky beside it: more, and slopes would be taken for offsets.
_AROUND = 15
#: Pixels of a line that are enough for its median; parts of a line that must agree.
_ALONG, _PARTS = 1024, 4
#: What is looked at first: so many lines and what is so many further, pixels of each, and the share
#: of the scatter above that says that more has to be looked at. Three is no period of amplifiers.
_PAIRS, _APART, _FEW, _HARDLY = 64, 3, 256, 0.6


@dataclass(frozen=True, eq=False)
class Offsets:
    """By how much each row and each column is above those around it; 0 where it stays as it is.

    Attributes
    ----------
    rows : ndarray of float64, shape (ny,)
    columns : ndarray of float64, shape (nx,)
    """

    rows: Floats
    columns: Floats

    @classmethod
    def of(cls, exposure: Exposure) -> Self | None:
        """Find them in the medians of lines.

        Parts of a line must agree, as its pixels share an offset, and stars and galaxies do not fill
        it. A single bad column among others that are alike stays.

        Parameters
        ----------
        exposure : Exposure

        Returns
        -------
        Offsets or None
            None where neither rows nor columns scatter by half of the noise of a pixel.
        """
        columns = _offsets(exposure, 1, np.zeros(exposure.shape[0]))
        rows = _offsets(exposure, 0, np.zeros(exposure.shape[1]) if columns is None else columns)
        if rows is None and columns is None:
            return None
        ny, nx = exposure.shape
        return cls(np.zeros(ny) if rows is None else rows, np.zeros(nx) if columns is None else columns)

    def take_off(self, part: Pixels, rows: slice, saturation: float) -> None:
        """Subtract them from rows of the frame; saturated pixels stay so, and no other becomes one."""
        own = (self.rows[rows, None] + self.columns).astype(np.float32)
        is_below = part < saturation
        np.subtract(part, own, out=part, where=is_below)
        np.minimum(
            part, np.nextafter(np.float32(saturation), np.float32(-np.inf)), out=part, where=is_below
        )


def _offsets(exposure: Exposure, axis: int, across: Floats) -> Floats | None:
    """Return the offsets of lines, rows where `axis` is 0; `across` is what pixels along them have."""
    n, length = exposure.shape[axis], exposure.shape[1 - axis]
    first = _spread(n - _APART, _PAIRS)
    few = _spread(length, _FEW)
    here, there = (_lines(exposure, axis, first + k, few, across) for k in (0, _APART))
    noise = noise_between(here[:, :-1].ravel(), here[:, 1:].ravel())
    both = [_medians(a) - _medians(b) for a, b in zip(_halves(there), _halves(here), strict=True)]
    # The difference of two lines scatters by the root of two more than each.
    if not _common(*both) > _HARDLY * _SCATTER * np.sqrt(2.0) * noise:
        return None
    lines = _lines(exposure, axis, np.arange(n), _spread(length, _ALONG), across)
    noise = min(
        noise_between(lines[:, :-1].ravel(), lines[:, 1:].ravel()),
        noise_between(lines[:-1].ravel(), lines[1:].ravel()),
    )
    if not _common(*(_unlike(half) for half in _halves(lines))) > _SCATTER * noise > 0:
        return None
    found = _above_others(lines)
    return np.where(np.abs(found) > _BAD * _scatter(found), 0.0, found)


def _spread(n: int, count: int) -> NDArray[np.intp]:
    """Return so many places that are spread over n; all at most."""
    count = min(n, count)
    return ((np.arange(count) + 0.5) * n / count).astype(np.intp)


def _lines(
    exposure: Exposure, axis: int, lines: NDArray[np.intp], along: NDArray[np.intp], across: Floats
) -> Pixels:
    """Return pixels of lines, shape (lines, along), NaN where bad.

    Taken off are `across`, and the median of each place along them: of a sky that is steep along a
    line, few pixels would make its median.
    """
    at = np.ix_(lines, along) if axis == 0 else np.ix_(along, lines)
    values = exposure.pixels[at]
    bad = ~(np.abs(values) < LARGEST)
    if exposure.mask is not None:
        bad |= exposure.mask[at]
    values = np.where(bad, np.float32(np.nan), values)
    values = (values if axis == 0 else values.T) - across[along].astype(np.float32)
    return values - _medians(values.T).astype(np.float32)


def _halves(lines: Pixels) -> tuple[Pixels, Pixels]:
    """Return the first and third quarter of lines, and the second and fourth."""
    parts = np.array_split(lines, _PARTS, axis=1)
    return np.hstack(parts[::2]), np.hstack(parts[1::2])


def _medians(lines: Pixels) -> Floats:
    """Return the median of each line; of one without good pixels, that of the others."""
    n = np.isfinite(lines).sum(axis=1)
    ordered = np.sort(lines, axis=1)  # NaN comes last
    at, line = np.maximum(n - 1, 0), np.arange(len(lines))
    lower, upper = ordered[line, at // 2], ordered[line, (at + 1) // 2]
    medians: Floats = 0.5 * (lower.astype(np.float64) + upper)
    medians[n == 0] = np.median(medians[n > 0]) if n.any() else 0.0
    return medians


def _above_others(lines: Pixels) -> Floats:
    """Return by how much each line is above the middle half of those around it, on the mean.

    Their median would jump where levels repeat themselves, as of four amplifiers.
    """
    medians = _medians(lines)
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(medians, _AROUND, "reflect", reflect_type="odd"), 2 * _AROUND + 1
    )
    middle = np.sort(around, axis=1)[:, _AROUND // 2 : -(_AROUND // 2)]
    return np.asarray(medians - middle.mean(axis=1))


def _unlike(lines: Pixels) -> Floats:
    """Return by how much each line is above the mean of two near it, in which no slope shows and hardly
    a galaxy; scaled to scatter as levels of their own do.
    """
    medians = _medians(lines)
    beside = 0.5 * (medians[: -2 * _APART] + medians[2 * _APART :])
    return np.asarray((medians[_APART:-_APART] - beside) / np.sqrt(1.5))


def _scatter(values: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _common(left: Floats, right: Floats) -> float:
    """Return the scatter that two measurements of the same have in common."""
    return float(np.sqrt(max(_scatter(left + right) ** 2 - _scatter(left - right) ** 2, 0.0)) / 2.0)


def without_offsets(exposure: Exposure, offsets: Offsets, saturation: float) -> Exposure:
    """Return an exposure without them, a copy."""

    def change(part: Pixels, rows: slice) -> None:
        offsets.take_off(part, rows, saturation)

    return replace(exposure, pixels=copy_of(exposure.pixels, change))
