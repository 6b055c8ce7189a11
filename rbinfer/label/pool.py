"""What there is to label: the scored detections of a folder of results, or of one scored catalogue."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.sentences import counted, unforeseen
from ..errors import InputError, RbinferError
from ..model.spec import DEFAULT_FWHM
from ..night.parts import DETECTIONS
from ..night.run import RESULTS
from ..report.journal import read_journals
from ..report.one import FIRST, SOURCE, ImageResult, OneResult, read_one
from ..report.results import names_of_results, some
from ..runs.journal import Line
from .frames import plane_of
from .twins import first_of_each

log = logging.getLogger(__name__)

#: A detection: that of a result, its row there, and the probability by the whole night (NaN without).
ROW = np.dtype([*SOURCE.descr, ("row", np.int64), ("probability", np.float64)])
#: Columns of brightness that are S/N.
_SNR = ("snr", "rb_snr", "SNR_WIN")


@dataclass(frozen=True, eq=False)
class Pool:
    """Detections that can be shown: scored, at a known pixel of an image that is there.

    Attributes
    ----------
    images : tuple of ImageResult
    rows : structured ndarray of `ROW`, shape (n,)
        ``image`` and ``kind`` are indices of `images` and `classes`; ``kind`` is -1 without a class,
        ``bright`` is S/N, or NaN where that is not known.
    classes : tuple of str
    notes : tuple of str
        What a person should know, such as results that were left out.
    """

    images: tuple[ImageResult, ...]
    rows: NDArray[Any]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """That of each row, shape (n,)."""
        each = np.array([image.threshold for image in self.images], np.float64)
        found: NDArray[np.float64] = each[self.rows["image"]]
        return found

    @property
    def is_real(self) -> dict[str, bool]:
        """Whether a class is a real one, as the results note it; without those not noted."""
        noted = {name for image in self.images for name in image.real_classes}
        return {name: name in noted for name in sorted({*self.classes, *noted})} if noted else {}


def read_pool(folder: Path, images: Path | None = None) -> Pool:
    """Read the results in a folder.

    Parameters
    ----------
    folder : Path
        Of ``rbinfer batch``, ``watch`` or ``night``.
    images : Path, optional
        Where else the images may be.

    Returns
    -------
    Pool

    Raises
    ------
    InputError
        There is no such folder, or nothing in it that can be shown.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a directory; give the one with the results")
    night = folder if (folder / DETECTIONS).is_file() else folder.parent
    results = folder / RESULTS if (folder / RESULTS).is_dir() else folder
    journal = read_journals(results)
    found, skipped = [], []
    names = names_of_results(results, journal)
    log.info("reading %d results in %s", len(names), results)
    for name in names:
        try:
            found.append(read_one(results / name, images, journal.get(name, Line())))
        except RbinferError as error:
            skipped.append(f"{name} ({error})")
        except Exception as error:
            # Columns and metadata of others' files may hold anything; the other results count.
            skipped.append(f"{name} ({unforeseen(error)})")
    notes = [f"Left out as no scored catalogues: {some(skipped)}."] if skipped else []
    pool = _pool(found, notes)
    if not len(pool.rows):
        if found:
            what = counted(len(found), "scored catalogue")
            raise InputError(f"{folder} has nothing to label: no detection in {what}")
        raise InputError(
            f"{folder} has nothing to label: {some(pool.notes) or 'no scored catalogues'}; score images "
            f"with 'rbinfer batch IMAGES -o {folder}'"
        )
    return _with_night(pool, night / DETECTIONS)


def read_single(image: Path, catalog: Path) -> Pool:
    """Read one image with its scored catalogue.

    Parameters
    ----------
    image, catalog : Path

    Returns
    -------
    Pool

    Raises
    ------
    InputError
        The catalogue has no scores, nothing that can be shown, or notes that it is of another image.
    """
    line = read_journals(catalog.parent).get(catalog.name, Line())
    one = read_one(catalog, image, line)
    if one.image.noted and Path(one.image.noted).name != _printable(image.name):
        raise InputError(
            f"{catalog} notes that it is of {Path(one.image.noted).name}, not of {image.name}; name "
            "that image, or score this one"
        )
    pool = _pool([one], [])
    if not len(pool.rows):
        raise InputError(
            f"{catalog} has nothing to label: no row has a score and a position on {image}"
            + (f" ({some(pool.notes)})" if pool.notes else "")
        )
    return pool


def _pool(results: Sequence[OneResult], notes: list[str]) -> Pool:
    classes: dict[str, int] = {}
    parts, unseen, lacking = [np.zeros(0, ROW)], 0, Counter[str]()
    for number, one in enumerate(results):
        rows = np.zeros(len(one.sources), ROW)
        for name in SOURCE.names or ():
            rows[name] = one.sources[name]
        kinds = [classes.setdefault(name, len(classes)) for name in one.classes]
        rows["kind"] = np.array([*kinds, -1], np.int32)[one.sources["kind"]]
        rows["image"], rows["row"] = number, np.arange(len(rows))
        rows["probability"] = np.nan
        if one.brightness not in _SNR:
            rows["bright"] = np.nan
        lacking.update([*one.lacking, *_assumed(one)])
        scored = one.verdict != "unscored"
        shown = scored & np.isfinite(rows["x"]) & np.isfinite(rows["y"]) & (one.image.path is not None)
        unseen += int(np.count_nonzero(scored & ~shown))
        parts.append(rows[shown])
    notes = [*notes, *(f"{times} of {len(results)} results: {what}." for what, times in lacking.items())]
    if unseen:
        notes.append(f"{unseen} detections can't be shown: their image or position isn't known.")
    images = tuple(one.image for one in results)
    rows = np.concatenate(parts)
    first = first_of_each(rows, [image.path for image in images], [plane_of(image) for image in images])
    if len(first) < len(rows):
        notes.append(f"{len(rows) - len(first)} detections are there twice; the first of each is shown.")
    return Pool(images, rows[first], tuple(classes), tuple(notes))


def _assumed(one: OneResult) -> list[str]:
    """Return what is taken for granted since the result does not note it."""
    said = []
    if not one.image.options and not one.image.finished:
        said.append("no options are noted; positions are taken by the names of their columns")
    if np.any(one.sources["hdu"] == FIRST):
        said.append("no HDU is noted; the first image of the file is shown")
    if one.image.fwhm is None:
        said.append(f"no FWHM is noted; cutouts are as wide as for {DEFAULT_FWHM:g} px")
    return said


def _with_night(pool: Pool, path: Path) -> Pool:
    """Add what repeats say of each detection, where ``rbinfer night`` left its tables."""
    if not path.is_file():
        return pool
    try:
        from pyarrow import parquet
    except ImportError:
        note = 'Repeats are not used: install "rbinfer[night]" to read the tables of the night.'
        return Pool(pool.images, pool.rows, pool.classes, (*pool.notes, note))
    try:
        table = parquet.read_table(path, columns=["image", "row", "probability"])
    except Exception as error:  # of many kinds, from Arrow
        note = f"Repeats are not used: {path.name} can't be read ({error})."
        return Pool(pool.images, pool.rows, pool.classes, (*pool.notes, note))
    number = {_plain_path(image.noted): k for k, image in enumerate(pool.images) if image.noted}
    names = table["image"].to_pylist()
    known = {name: number.get(_plain_path(name), -1) for name in set(names)}
    image = np.array([known[name] for name in names], np.int64)
    row, probability = table["row"].to_numpy(), table["probability"].to_numpy()
    if not len(row):
        return pool
    # One number for image and row, so that both can be looked up at once.
    step = int(max(row.max(), pool.rows["row"].max())) + 1
    place, wanted = image * step + row, pool.rows["image"].astype(np.int64) * step + pool.rows["row"]
    order = np.argsort(place, kind="stable")
    at = np.minimum(np.searchsorted(place, wanted, "right", sorter=order) - 1, len(order) - 1)
    hit = (at >= 0) & (place[order[at]] == wanted)
    pool.rows["probability"][hit] = probability[order[at[hit]]]
    return pool


def _printable(name: str) -> str:
    """Return a name as a result can note it."""
    return name.encode("utf-8", "replace").decode()


def _plain_path(name: str) -> str:
    return os.path.abspath(name)
