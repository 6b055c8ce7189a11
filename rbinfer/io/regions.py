"""DS9 region files: verdicts written as coloured circles, and points and circles read as positions."""

import logging
import re
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._util.plain_number import number_of
from ..status import is_real
from .content import Content
from .files import check_place, written_whole
from .sky_out import SkyMap

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Colours of what is real, bogus and unscored, by names that DS9 and matplotlib know; told apart by
#: those who do not see red and green apart.
COLOURS = {"real": "deepskyblue", "bogus": "orangered", "unscored": "gold"}
_HEAD = (
    "# Region file format: DS9 version 4.1",
    f'global color={COLOURS["unscored"]} dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1',
)
_PIXELS = ("image", "physical")
#: Key of the metadata of a table whose positions are those of the whole detector; see `from_physical`.
PHYSICAL = "ds9_physical"
#: What DS9 calls systems of the sky, and Astropy their frames.
_SKY = {
    "icrs": "icrs",
    "fk5": "fk5",
    "j2000": "fk5",
    "fk4": "fk4",
    "b1950": "fk4",
    "galactic": "galactic",
}
#: Others of DS9, that nothing is read in.
_UNREAD = re.compile(r"^(amplifier|detector|linear|ecliptic|wcs[a-z]?)$", re.IGNORECASE)
_SYSTEM = re.compile(rf"^({'|'.join((*_PIXELS, *_SKY))})$", re.IGNORECASE)
_SHAPE = re.compile(r"^[+]?([a-z]+)\s*[( ]\s*([^)#]*)\)?\s*(?:#(.*))?$", re.IGNORECASE)
_LABEL = re.compile(r"text\s*=\s*(?:\{([^}]*)\}|\"([^\"]*)\"|'([^']*)')")
_PLACES = ("circle", "point")
_STARTS = re.compile(
    rb"\s*(?:#\s*Region file format: DS9|global\s+\w+=|(?:\w+\s*;\s*)?(?:circle|point)\s*\()",
    re.IGNORECASE,
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
    scores: NDArray[np.float32] = np.ma.filled(np.ma.asarray(score, np.float32), np.nan)
    names = (
        [""] * len(scores) if classes is None else [_plain(str(name)) for name in np.asarray(classes)]
    )
    real = is_real(scores, threshold)
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
        verdict = "unscored" if not has_score else "real" if real[k] else "bogus"
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


def write_regions(text: str | Iterable[str], path: str | PathLike[str], overwrite: bool = False) -> None:
    """Write a region file, whole or not at all.

    Parameters
    ----------
    text : str or iterable of str
        As from `as_regions`; several, of one system, are written one below the other.
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
    head = ""
    with written_whole(target, ".reg") as beside, beside.open("w", encoding="utf-8") as file:
        for part in [text] if isinstance(text, str) else text:
            file.write(part.removeprefix(head))
            head = head or "".join(f"{line}\n" for line in part.split("\n")[: len(_HEAD) + 1])


def is_regions(content: Content) -> bool:
    """Whether a text begins as DS9's region files do."""
    if _STARTS.match(content.head):
        return True
    first = content.head.decode("latin-1").split("\n", 1)[0].strip()
    return _SYSTEM.match(first) is not None


def read_regions(content: Content) -> "Iterator[tuple[str, Table]]":
    """Yield the centres of points and circles: x and y from 0, or ra and dec in degrees (ICRS).

    Their labels are the column ``text``. What is neither point nor circle is left out, with a warning.
    """
    from astropy.table import Table

    system, unread, places = "physical", "", list[tuple[str, str, str]]()
    systems, left_out = set[str](), dict[str, int]()
    for line in re.split(r"[\n;]", _joined_labels(content.read().decode("utf-8", "replace"))):
        line = line.strip()
        if _SYSTEM.match(line):
            system, unread = line.lower(), ""
            continue
        if _UNREAD.match(line):
            unread = line
            continue
        shape = _SHAPE.match(line)
        if shape is None or line.startswith(("#", "global")):
            continue
        kind, numbers, properties = (
            shape[1].lower(),
            re.split(r"[,\s]+", shape[2].strip()),
            shape[3] or "",
        )
        if kind not in _PLACES or len(numbers) < 2:
            left_out[kind] = left_out.get(kind, 0) + 1
            continue
        if unread:
            raise ValueError(f"its regions are in {unread}, which is not read; give fk5 or image")
        label = _LABEL.search(properties)
        text = next((part for part in label.groups() if part is not None), "") if label else ""
        places.append((numbers[0], numbers[1], text.replace(_SEMICOLON, ";")))
        systems.add(_SKY.get(system, system))
    if left_out:
        listed = ", ".join(f"{n} {kind}" for kind, n in left_out.items())
        log.warning("%s: %s are no points or circles and are left out", content.path, listed)
    if len(systems) > 1:
        raise ValueError(f"its regions are in several systems ({', '.join(sorted(systems))}); give one")
    if not places:
        raise ValueError("it has no points or circles")
    first, second, labels = (list(column) for column in zip(*places, strict=True))
    system = systems.pop()
    table = Table({**_columns(system, first, second), "text": labels})
    if system == "physical":
        table.meta[PHYSICAL] = True
    yield "", table


def from_physical(
    x: NDArray[np.float64], y: NDArray[np.float64], header: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn DS9's physical positions into pixels of the image: they are those of the whole detector.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        From 0.
    header : mapping
        Of the image, with the cards ``LTV1``, ``LTM1_1``, ... where it is a part of the detector or
        binned: image = LTM physical + LTV, both from 1 (IRAF).

    Returns
    -------
    x, y : ndarray of float64, shape (n,)
        From 0.
    """
    parts = []
    for axis, physical in (("1", x), ("2", y)):
        scale, shift = number_of(header, f"LTM{axis}_{axis}"), number_of(header, f"LTV{axis}")
        parts.append((1.0 if scale is None else scale) * (physical + 1.0) + (shift or 0.0) - 1.0)
    return parts[0], parts[1]


#: What stands for a semicolon within a label while lines are divided at the others.
_SEMICOLON = "\x1f"


def _joined_labels(text: str) -> str:
    return re.sub(r"\{[^}\n]*\}", lambda label: label[0].replace(";", _SEMICOLON), text)


def _columns(system: str, first: list[str], second: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return coordinates as text as columns of positions."""
    if system in _PIXELS:
        x, y = (np.array([text.rstrip("ip") for text in texts], float) for texts in (first, second))
        return {"x": x - 1, "y": y - 1}
    from astropy.coordinates import SkyCoord

    # Galactic longitude is in degrees, however it is written.
    in_hours = system != "galactic" and (":" in first[0] or "h" in first[0])
    degrees = [[text.rstrip("d") if "m" not in text else text for text in t] for t in (first, second)]
    sky = SkyCoord(*degrees, unit=("hourangle" if in_hours else "deg", "deg"), frame=system).icrs
    return {"ra": sky.ra.deg, "dec": sky.dec.deg}
