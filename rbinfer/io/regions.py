"""DS9 region files: a circle a detection, coloured by its verdict."""

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .files import check_place, written_whole
from .sky_out import SkyMap

#: Colours of what is real, bogus and unscored, by names that DS9 and matplotlib know; told apart by
#: those who do not see red and green apart.
COLOURS = {"real": "deepskyblue", "bogus": "orangered", "unscored": "gold"}
_HEAD = (
    "# Region file format: DS9 version 4.1",
    f'global color={COLOURS["unscored"]} dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1',
)


def as_regions(
    x: ArrayLike,
    y: ArrayLike,
    score: ArrayLike,
    threshold: float,
    classes: ArrayLike | None = None,
    radius: float = 6.0,
    shape: tuple[int, ...] | None = None,
    sky: SkyMap | None = None,
) -> str:
    """Return the text of a DS9 region file.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        0-based pixels, as everywhere in rbinfer; DS9 counts from 1. Rows without a finite position
        have no region.
    score : array_like, shape (n,)
        NaN for what has none.
    threshold : float
        Scores above it are real.
    classes : array_like of str, shape (n,), optional
        Shown beside what is not real.
    radius : float
        Of the circles, in pixels.
    shape : (int, int), optional
        That of the image (ny, nx); rows off it have no region either.
    sky : SkyMap, optional
        Write positions on the sky (FK5, degrees) instead of pixels.

    Returns
    -------
    str
    """
    columns, rows = (np.ma.filled(np.ma.asarray(v, np.float64), np.nan) for v in (x, y))
    # In the precision of scores, as everywhere that they are compared with a threshold.
    scores: NDArray[np.float32] = np.ma.filled(np.ma.asarray(score, np.float32), np.nan)
    names = (
        [""] * len(scores) if classes is None else [_plain(str(name)) for name in np.asarray(classes)]
    )
    lines = [*_HEAD, "image" if sky is None else "fk5"]
    placed = np.isfinite(columns) & np.isfinite(rows)
    if shape is not None:
        placed &= (
            (columns >= -0.5) & (columns < shape[1] - 0.5) & (rows >= -0.5) & (rows < shape[0] - 0.5)
        )
    circles = _circles(columns, rows, radius, sky)
    for k in np.flatnonzero(placed):
        if circles[k] is None:
            continue
        has_score = np.isfinite(scores[k])
        verdict = "unscored" if not has_score else "real" if scores[k] > threshold else "bogus"
        label = f"{scores[k]:.2f}" if has_score else ""
        if verdict == "bogus" and names[k]:
            label = f"{names[k]} {label}"
        lines.append(
            f"circle({circles[k]}) # color={COLOURS[verdict]} text={{{label}}} tag={{{verdict}}}"
        )
    return "\n".join(lines) + "\n"


def _circles(
    x: NDArray[np.float64], y: NDArray[np.float64], radius: float, sky: SkyMap | None
) -> list[str | None]:
    """Return centre and radius of each circle; None where a position has no place on the sky."""
    if sky is None:
        return [f"{a + 1:.3f},{b + 1:.3f},{radius:.2f}" for a, b in zip(x, y, strict=True)]
    ra, dec = sky.positions(x, y, "fk5")
    size = radius * sky.arcsec_per_pixel
    return [
        f'{a:.7f},{b:.7f},{size:.2f}"' if np.isfinite(a) and np.isfinite(b) else None
        for a, b in zip(ra, dec, strict=True)
    ]


def _plain(text: str) -> str:
    """Leave out what would end a label, or a line."""
    return "".join(c for c in text if c.isprintable() and c not in "{}")


def write_regions(text: str, path: str | PathLike[str], overwrite: bool = False) -> None:
    """Write a region file, whole or not at all.

    Parameters
    ----------
    text : str
        As from `as_regions`.
    path : str or path
        Where it is to be.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        As from `rbinfer.io.files.check_place`.
    RbinferError
        The file system refused.
    """
    target = Path(path)
    check_place(target, overwrite)
    with written_whole(target, ".reg") as beside:
        beside.write_text(text, encoding="utf-8")
