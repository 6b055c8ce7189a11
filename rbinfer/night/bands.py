"""Rows of many frames on disk: in the order in which they came, or in bands across one axis."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import RbinferError

#: About so many rows are in a band, and no more bands than this: each is an open file.
_ROWS, _MOST = 50_000, 100


class RowFile:
    """Rows in a file without a name, which is gone when it is closed or the process ends.

    Parameters
    ----------
    folder : Path
        On whose disk it lies.
    dtype : numpy.dtype
        Of a row; structured.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self.folder, self.dtype, self._n = folder, dtype, 0
        self._file = self._tried(lambda: tempfile.TemporaryFile(dir=folder))  # noqa: SIM115

    def __len__(self) -> int:
        return self._n

    def add(self, rows: NDArray[Any]) -> None:
        """Append rows.

        Raises
        ------
        RbinferError
            The file system refused.
        """
        self._tried(lambda: self._file.write(rows.tobytes()))
        self._n += len(rows)

    def read(self, part: slice = slice(None)) -> NDArray[Any]:
        """Return rows, all or a part of them."""
        start, stop, _ = part.indices(self._n)
        rows = np.empty(max(stop - start, 0), self.dtype)
        self._tried(lambda: self._file.seek(start * self.dtype.itemsize))
        self._tried(lambda: self._file.readinto(rows.view(np.uint8)))
        self._tried(lambda: self._file.seek(0, 2))
        return rows

    def parts(self) -> Iterator[NDArray[Any]]:
        """Yield all rows in their order, so many at a time as a band has."""
        for start in range(0, self._n, _ROWS):
            yield self.read(slice(start, start + _ROWS))

    def close(self) -> None:
        """Remove it."""
        # What is not written yet is not needed any more, and the disk may be full.
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _tried(self, action: Any) -> Any:
        try:
            return action()
        except OSError as error:
            reason = error.strerror or error
            raise RbinferError(f"rows cannot be kept on the disk of {self.folder}: {reason}") from error


class Band(NamedTuple):
    """The rows of a band, and those near it.

    Attributes
    ----------
    rows : structured ndarray, shape (n,)
        In the order of ``index``.
    where : ndarray of int8, shape (n,)
        0 for rows of the band, -1 for those of the one before, 1 for those of the next.
    """

    rows: NDArray[Any]
    where: NDArray[np.int8]


class Bands:
    """Rows sorted into bands; a context manager, and iterable as often as one likes.

    Parameters
    ----------
    folder : Path
        On whose disk they lie.
    dtype : numpy.dtype
        With a field ``index``, by which the rows of a band are in order.
    axis : str
        The field that tells to which band a row belongs.
    span : (float, float)
        Where most rows lie on the axis; what lies beyond is in the first band or the last, and so is
        what is not finite.
    n : int
        How many rows are expected.
    margin : float, optional
        Rows of other bands that are no further away are given with a band.
    """

    def __init__(
        self,
        folder: Path,
        dtype: np.dtype[Any],
        axis: str,
        span: tuple[float, float],
        n: int,
        margin: float = 0.0,
    ) -> None:
        low, high = span
        # With narrower bands most rows would be read as those near another.
        least = max(2.0 * margin, 1.0)
        number = max(1, min(-(-n // _ROWS), _MOST, int((high - low) / least)))
        self._axis, self._margin, self._low = axis, margin, low
        self._width = max((high - low) / number, least)
        self._open = ExitStack()
        self._files = [self._open.enter_context(RowFile(folder, dtype)) for _ in range(number)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.close()

    def __len__(self) -> int:
        """Return how many rows there are."""
        return sum(len(file) for file in self._files)

    def add(self, rows: NDArray[Any]) -> None:
        """Sort rows in."""
        with np.errstate(invalid="ignore", over="ignore"):
            band = np.floor((rows[self._axis].astype(np.float64) - self._low) / self._width)
        band = np.clip(np.nan_to_num(band), 0, len(self._files) - 1).astype(np.intp)
        for k in np.unique(band):
            self._files[k].add(rows[band == k])

    def __iter__(self) -> Iterator[Band]:
        for k, file in enumerate(self._files):
            parts = [(0, file.read())]
            if self._margin and k > 0:
                rows = self._files[k - 1].read()
                edge = self._low + k * self._width
                parts.append((-1, rows[rows[self._axis] >= edge - self._margin]))
            if self._margin and k + 1 < len(self._files):
                rows = self._files[k + 1].read()
                edge = self._low + (k + 1) * self._width
                parts.append((1, rows[rows[self._axis] < edge + self._margin]))
            rows = np.concatenate([part for _, part in parts])
            where = np.repeat([w for w, _ in parts], [len(part) for _, part in parts]).astype(np.int8)
            order = np.argsort(rows["index"], kind="stable")
            yield Band(rows[order], where[order])
