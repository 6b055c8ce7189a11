"""Pictures of verdicts: a sheet of cutouts, an overlay on the image, a histogram of scores.

matplotlib draws them (``pip install "rbinfer[plots]"``). Rows and columns run as in the image: the
origin is at the lower left.
"""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.files import check_place, written_whole
from ..io.regions import COLOURS
from ..model.spec import PreprocessSpec
from ..status import is_real

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

F32 = NDArray[np.float32]

_DPI = 110
#: Formats of matplotlib that nothing shows, or that ask for other programs.
_NO_PICTURES = {"pgf", "raw", "rgba"}
#: Largest number of cutouts on a sheet; matplotlib draws no picture of 2^16 lines.
MOST_CUTOUTS = 600
_SIDE = 2000  # pixels of an image in an overlay, which has fewer


def verdicts(table: "Table", threshold: float) -> NDArray[np.str_]:
    """Say of each row of a scored catalogue whether it is real.

    Parameters
    ----------
    table : Table
        With ``rb_score``.
    threshold : float
        Scores above it are real.

    Returns
    -------
    ndarray of str, shape (n,)
        ``real``, ``bogus`` or ``unscored``.

    Raises
    ------
    InputError
        The catalogue has no scores.
    """
    score = scores(table)
    real = is_real(score, threshold)
    return np.where(np.isnan(score), "unscored", np.where(real, "real", "bogus"))


def cutout_sheet(
    image: F32,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    table: "Table",
    threshold: float,
    fwhm: float,
    most: int = 60,
    columns: int = 10,
    *,
    is_doubtful_first: bool = False,
    numbers: NDArray[np.int64] | None = None,
) -> "Figure":
    """Draw cutouts in the order of their scores, with class, score and number of the row under each.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    x, y : ndarray of float64, shape (n,)
        0-based positions of the rows.
    table : Table
        With ``rb_score`` and, where there are classes, ``rb_class``.
    threshold : float
        Scores above it are real.
    fwhm : float
        Of stars, in pixels; a window is as wide as those of the default preset.
    most : int
        Largest number of cutouts, up to `MOST_CUTOUTS`; of more rows that many are taken at even
        steps of rank.
    columns : int
        Cutouts in a line.
    is_doubtful_first : bool
        Draw those whose scores are nearest to the threshold instead, the nearest first.
    numbers : ndarray of int64, shape (n,), optional
        What the rows are called; their numbers from 0 by default.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        The catalogue has no scores, or none at a position; `most` is too large.
    """
    if most > MOST_CUTOUTS:
        raise InputError(f"a sheet has {MOST_CUTOUTS} cutouts at most, not {most}")
    score, verdict = scores(table), verdicts(table, threshold)
    rows = np.flatnonzero(np.isfinite(score) & np.isfinite(x) & np.isfinite(y))
    if rows.size == 0:
        raise InputError("no row of the catalogue has a score and a position; there is nothing to draw")
    key = np.abs(score[rows] - threshold) if is_doubtful_first else score[rows]
    rows = rows[np.argsort(key, kind="stable")]
    if is_doubtful_first:
        rows = rows[:most]
    elif rows.size > most:
        rows = rows[np.rint(np.linspace(0, rows.size - 1, most)).astype(int)]
    lines = -(-rows.size // columns)
    figure = new_figure(1.25 * columns, 1.75 * lines + 0.5)
    names = np.asarray(table["rb_class"]).astype(str) if "rb_class" in table.colnames else None
    half = half_width(fwhm)
    for k, row in enumerate(rows):
        axes = figure.add_subplot(lines, columns, k + 1)
        window = stretched(window_at(image, x[row], y[row], half))
        axes.imshow(window, origin="lower", cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=COLOURS[str(verdict[row])], linewidth=2)
        name = "" if names is None else f"{names[row].replace('_', ' ')}\n"
        number = row if numbers is None else numbers[row]
        axes.set_xlabel(f"{name}{score[row]:.3f}\nrow {number}", fontsize=8, labelpad=2)
    order = "the nearest to the threshold first" if is_doubtful_first else "by score"
    figure.suptitle(
        f"{rows.size} of {len(table)} detections, {order}; frame blue: real (above {threshold:.3g}), "
        f"orange: bogus; {2 * half + 1} x {2 * half + 1} pixels",
        fontsize=9,
    )
    return figure


def overlay(
    image: F32,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    table: "Table",
    threshold: float,
    fwhm: float,
) -> "Figure":
    """Draw the image with a circle around each detection, coloured by its verdict.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Drawn by means of blocks where it is large.
    x, y : ndarray of float64, shape (n,)
        0-based positions of the rows; those without one have no circle.
    table : Table
        With ``rb_score``.
    threshold : float
        Scores above it are real.
    fwhm : float
        Of stars, in pixels; a circle is at least four times as wide.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        The catalogue has no scores.
    """
    from matplotlib.collections import EllipseCollection

    verdict = verdicts(table, threshold)
    ny, nx = image.shape
    figure = new_figure(9.0, min(max(8.0 * ny / nx + 1.0, 3.0), 14.0))
    axes = figure.add_subplot()
    dy, dx = (-(-side // _SIDE) for side in image.shape)
    drawn = stretched(_block_means(image, dy, dx))
    extent = (-0.5, drawn.shape[1] * dx - 0.5, -0.5, drawn.shape[0] * dy - 0.5)
    axes.imshow(drawn, origin="lower", cmap="gray", vmin=0, vmax=1, extent=extent)
    diameter = max(4.0 * fwhm, 0.012 * max(nx, ny))
    placed = np.isfinite(x) & np.isfinite(y)
    for name, colour in COLOURS.items():
        of = placed & (verdict == name)
        size = np.full(np.count_nonzero(of), diameter)
        axes.add_collection(
            EllipseCollection(
                size,
                size,
                0 * size,
                units="xy",
                offsets=np.column_stack([x[of], y[of]]),
                offset_transform=axes.transData,
                facecolors="none",
                edgecolors=colour,
                linewidths=0.9,
            )
        )
        axes.plot([], [], "o", mfc="none", mec=colour, label=f"{name} ({size.size})")
    axes.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), xlabel="x (pixels)", ylabel="y (pixels)")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def histogram(table: "Table", threshold: float) -> "Figure":
    """Draw how many rows have which score, by class where there are classes.

    Parameters
    ----------
    table : Table
        With ``rb_score`` and, where there are classes, ``rb_class``.
    threshold : float
        Where a line is drawn; scores above it are real.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        The catalogue has no scores, or no row has one.
    """
    score = scores(table)
    scored = np.isfinite(score)
    if not scored.any():
        raise InputError("no row of the catalogue has a score; there is nothing to draw")
    figure = new_figure(7.0, 4.0)
    axes = figure.add_subplot()
    bins = [k / 40 for k in range(41)]
    if "rb_class" in table.colnames:
        classes = np.asarray(table["rb_class"]).astype(str)
        names = [str(name) for name in np.unique(classes[scored])]
        axes.hist(
            [score[scored & (classes == name)] for name in names],
            bins,
            stacked=True,
            label=[name.replace("_", " ") for name in names],
        )
        axes.legend(title="most probable class", fontsize=8, loc="upper center")
    else:
        axes.hist(score[scored], bins)
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1)
    axes.set_yscale("symlog", linthresh=1)
    missing = np.count_nonzero(~scored)
    title = f"{np.count_nonzero(scored)} scored detections" + (
        f", {missing} unscored" if missing else ""
    )
    axes.set(
        xlim=(0, 1),
        xlabel="score (real above the dashed line)",
        ylabel="detections",
        title=title,
    )
    return figure


def save(figure: "Figure", path: str | PathLike[str], overwrite: bool = False) -> None:
    """Write a figure, whole or not at all; the suffix says in which format.

    Parameters
    ----------
    figure : Figure
    path : str or path
        Such as ``.png``, ``.pdf`` or ``.svg``.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        As from `check_picture`.
    RbinferError
        The file system refused.
    """
    target = Path(path)
    check_picture(target, overwrite)
    with written_whole(target, target.suffix) as beside:
        figure.savefig(beside, dpi=_DPI)


def check_picture(path: str | PathLike[str], overwrite: bool = False) -> None:
    """Refuse the path of a picture before any work is done.

    Parameters
    ----------
    path : str or path
        Where it is to be written.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        The suffix is none that matplotlib writes, or as from `rbinfer.io.files.check_place`.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    target = Path(path)
    known = FigureCanvasBase.get_supported_filetypes().keys() - _NO_PICTURES
    if target.suffix.lstrip(".").lower() not in known:
        raise InputError(
            f"the suffix of {target.name} names no format of pictures; known are "
            f"{', '.join(sorted(known))}"
        )
    check_place(target, overwrite)


def scores(table: "Table") -> NDArray[np.float64]:
    """Return the scores of a catalogue.

    Parameters
    ----------
    table : Table

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where there is none.

    Raises
    ------
    InputError
        The catalogue has no scores.
    """
    if "rb_score" not in table.colnames:
        raise InputError(
            "the catalogue has no column rb_score; make one with 'rbinfer classify IMAGE -o SCORED'"
        )
    return np.asarray(np.ma.filled(np.ma.asarray(table["rb_score"], np.float64), np.nan))


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def half_width(fwhm: float) -> int:
    """Return the pixels to either side of the central one in a window, for a FWHM in pixels."""
    return max(round(PreprocessSpec.default().window * fwhm / 2), 3)


def window_at(image: F32, x: float, y: float, half: int) -> NDArray[np.float64]:
    """Cut a window out around a 0-based position; NaN off the image."""
    ny, nx = image.shape
    column, row = round(float(np.clip(x, -1e6, 1e6))), round(float(np.clip(y, -1e6, 1e6)))
    window = np.full((2 * half + 1, 2 * half + 1), np.nan)
    top, left = max(row - half, 0), max(column - half, 0)
    bottom, right = min(row + half + 1, ny), min(column + half + 1, nx)
    if top < bottom and left < right:
        i, j = top - (row - half), left - (column - half)
        window[i : i + bottom - top, j : j + right - left] = image[top:bottom, left:right]
    return window


def stretched(pixels: NDArray[Any], stretch: str = "asinh") -> NDArray[np.float64]:
    """Map pixels to [0, 1]: from just below the sky to the peak.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        NaN where there are none.
    stretch : {"asinh", "linear", "sky"}
        ``sky``: linear to only 8 times the noise above the sky, for what is faint.

    Returns
    -------
    ndarray of float64, shape (ny, nx)
    """
    from astropy.stats import mad_std

    values = np.asarray(pixels, np.float64)
    good = values[np.isfinite(values)]
    if good.size == 0:
        return np.zeros(values.shape)
    sky = float(np.median(good))
    noise = float(mad_std(good)) or 1.0
    top = 8.0 if stretch == "sky" else max((float(np.quantile(good, 0.9995)) - sky) / noise, 8.0)
    curve = np.arcsinh if stretch == "asinh" else np.positive
    low, high = curve(-2.0), curve(top)
    scaled: NDArray[np.float64] = (curve((values - sky) / noise) - low) / (high - low)
    return np.clip(np.nan_to_num(scaled, nan=0.0), 0.0, 1.0)


def _block_means(image: F32, dy: int, dx: int) -> NDArray[np.float64]:
    """Return the mean of each block of pixels, those at the ends smaller; NaN where none is finite."""
    ny, nx = image.shape
    lefts = np.arange(0, nx, dx)
    means = np.full((-(-ny // dy), lefts.size), np.nan)
    for k, top in enumerate(range(0, ny, dy)):  # line by line, so that no large image is copied
        rows = image[top : top + dy].astype(np.float64)
        good = np.isfinite(rows)
        total = np.add.reduceat(np.where(good, rows, 0.0).sum(axis=0), lefts)
        times = np.add.reduceat(good.sum(axis=0), lefts)
        np.divide(total, times, out=means[k], where=times > 0)
    return means
