"""Labels from frames without sky, from a catalogue of the sky, and from a mask of bad pixels."""

import logging
import os
from collections.abc import Callable, Sequence

import numpy as np
from astropy.table import Table, vstack
from scipy.spatial import cKDTree

from rbinfer.errors import InputError
from rbinfer.io.images import load_image
from rbinfer.io.maps import read_mask
from rbinfer.io.sky_in import sky_columns, sky_degrees
from rbinfer.io.tables import read_catalog
from rbinfer.measure.detect import detect
from rbinfer.measure.even import evened
from rbinfer.runs.search import type_of

from .._arrays import F64, Bools
from .._pixels import nearest
from .harvested import BOGUS, DARK, REAL, harvested

log = logging.getLogger(__name__)

#: A closed shutter leaves nothing of the sky but what leaks in.
_DARK_PURITY = 0.999
#: Detections a frame that are taken of a dark: a thousand of one hot pixel teach no more than some.
_MOST_A_FRAME = 1000


def from_darks(
    files: Sequence[str | os.PathLike[str]],
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> Table:
    """Label what is detected on frames that show no sky: all of it is bogus.

    Parameters
    ----------
    files : sequence of path
        Darks, biases, or other frames with the shutter closed. One whose header calls it a light or a
        flat is refused.
    rng : numpy.random.Generator
        Chooses among the detections of a frame with more than a thousand.
    progress : callable, optional
        Called as ``progress(frames_done, frames)``.

    Returns
    -------
    Table
        As `rbtrain.data.harvested.harvested` makes it, with the evidence ``dark``.

    Raises
    ------
    InputError
        A frame that shows the sky, by its header, or that cannot be read; names it.
    """
    parts = []
    for done, file in enumerate((os.fspath(file) for file in files), 1):
        told = type_of(file)
        if told is not None and told.kind not in ("dark", "bias"):
            raise InputError(
                f"{file} is no dark or bias but a {told.kind} ({told.told_by}); leave it out"
            )
        image = evened(load_image(file))
        found = detect(image.pixels, mask=image.mask)
        if len(found) > _MOST_A_FRAME:
            found = found[np.sort(rng.permutation(len(found))[:_MOST_A_FRAME])]
        found["image"] = np.full(len(found), os.path.abspath(file))
        parts.append(harvested(found, BOGUS, "", DARK, _DARK_PURITY))
        if progress is not None:
            progress(done, len(files))
    return vstack(parts, metadata_conflicts="silent") if parts else harvested(Table(), (), (), (), ())


def from_catalogue(detections: Table, catalogue: str | os.PathLike[str], radius: float) -> Table:
    """Label what lies at the position of a known source: it is real.

    Nothing is said of what the catalogue lacks: it may be fainter than the catalogue goes, or new.

    Parameters
    ----------
    detections : Table
        With ``ra`` and ``dec`` in degrees, NaN where they are not known.
    catalogue : path
        Table of sources with right ascension and declination under any name that `rbinfer` knows, such
        as an extract of Gaia; proper motions are not applied.
    radius : float
        Largest distance, arcsec.

    Returns
    -------
    Table
        With the evidence ``catalogue``. The purity allows for what lies there by chance.

    Raises
    ------
    InputError
        No detection has a position on the sky, the catalogue has no such columns or shares no part of
        the sky with the detections, or the radius is not above 0.
    """
    if not radius > 0:
        raise InputError(f"the radius must be above 0 arcsec, not {radius}")
    table = read_catalog(catalogue)
    if sky_columns(table) is None:
        raise InputError(
            f"{os.fspath(catalogue)} has no right ascension and declination; it has the columns "
            f"{', '.join(table.colnames)}"
        )
    ra, dec = (np.asarray(detections[name], float) for name in ("ra", "dec"))
    placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if not len(placed):
        raise InputError(
            "no detection has a position on the sky, so a catalogue tells nothing of them; the images "
            "need a WCS"
        )
    ra_known, dec_known = sky_degrees(table)
    there = np.isfinite(ra_known) & np.isfinite(dec_known)
    known = _on_sphere(ra_known[there], dec_known[there])
    own = _on_sphere(ra[placed], dec[placed])
    reach = 2.0 * np.sin(np.radians(radius / 3600.0) / 2.0)
    away, _ = cKDTree(known).query(own, distance_upper_bound=reach)
    is_near = np.isfinite(away)
    # What a circle ten times as wide holds beyond this one tells how much lies there by chance.
    around = cKDTree(known).query_ball_point(own, 10.0 * reach, return_length=True) - is_near
    by_chance = 1.0 - np.exp(-np.maximum(around, 0) / 100.0)
    if not is_near.any():
        raise InputError(
            f"no detection lies within {radius:g} arcsec of a source of {os.fspath(catalogue)}; check "
            "that it is of this part of the sky, its epoch, and the WCS of the images"
        )
    share = float(is_near.mean())
    wrong = np.minimum(by_chance * (1.0 - share) / share, 0.5)
    return harvested(detections[placed[is_near]], REAL, "", "catalogue", 1.0 - wrong[is_near])


def from_mask(detections: Table, mask: Bools, is_real: Bools) -> Table:
    """Label what lies on a bad pixel: it is bogus.

    Parameters
    ----------
    detections : Table
        With ``x`` and ``y``, 0-based pixels; of frames that have the shape of the mask.
    mask : ndarray of bool, shape (height, width)
        True for bad pixels.
    is_real : ndarray of bool, shape (n,)
        What is likely to be real, such as by its score: tells how many sources lie on bad pixels by
        chance.

    Returns
    -------
    Table
        With the evidence ``mask``. The purity allows for sources that lie there by chance.

    Raises
    ------
    InputError
        Detections lie outside of the mask: it is of another camera.
    """
    x, y = (np.asarray(detections[name], float) for name in ("x", "y"))
    height, width = mask.shape
    outside = ~((x > -1) & (y > -1) & (x < width) & (y < height))
    if outside.any():
        raise InputError(
            f"{np.count_nonzero(outside)} of {len(x)} detections lie outside of the mask of {width} x "
            f"{height} pixels; give the mask of their camera"
        )
    on_mask = mask[nearest(x, y, mask.shape)]
    n = int(on_mask.sum())
    if n == 0:
        return harvested(detections[:0], BOGUS, "", "mask", 1.0)
    expected = float(np.count_nonzero(is_real & ~on_mask)) * mask.mean() / max(1.0 - mask.mean(), 1e-9)
    return harvested(detections[on_mask], BOGUS, "", "mask", 1.0 - min(expected / n, 0.5))


def read_bad_pixels(where: str) -> Bools:
    """Read a mask of bad pixels: a FITS file, or ``FILE[HDU]``.

    Raises
    ------
    InputError
        There is no such file or HDU, or it marks nothing, or every pixel.
    """
    mask = read_mask(where, where)
    if not mask.any() or mask.all():
        raise InputError(f"the mask {where} marks {'every' if mask.all() else 'no'} pixel as bad")
    return mask


def _on_sphere(ra: F64, dec: F64) -> F64:
    a, d = np.radians(ra), np.radians(dec)
    return np.column_stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
