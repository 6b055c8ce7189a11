"""The functions of the reference API: thin faces of `Classifier` and of the cutouts."""

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._util.arguments import as_whole
from .._util.verbosity import Verbose, reporting
from ..cutouts.cutter import Cutter, preprocess_cutout, reference_spec
from ..errors import InputError
from ..io.exposure import as_exposure
from ..io.positions import positions
from ..io.tables import as_table
from ..measure.estimate import catalogue_fwhm
from ..model.networks import KerasNetwork
from ..model.registry import resolve
from ..model.spec import DEFAULT_FWHM
from ..status import is_scored
from .classifier import Classifier

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["classify_realbogus", "extract_cutouts", "load_realbogus_model", "preprocess_cutout"]

log = logging.getLogger(__name__)

LARGEST_RADIUS = 127  # cutouts have at most 255 pixels on a side


@lru_cache(maxsize=4)
def _loaded(path: str, stamp: int, pid: int) -> Classifier:
    return Classifier(path)


def _load(model_file: Any) -> Classifier:
    path = resolve(model_file)
    # The time stamp makes a file that was replaced load again, the process one after a fork.
    loaded = _loaded(os.fspath(path), path.stat().st_mtime_ns, os.getpid())
    # A face of the caller's own: what he sets on it is not the next one's.
    return loaded.counting(loaded.real_source_types)


def load_realbogus_model(model_file: str | None = None, verbose: Verbose = False) -> Classifier:
    """Load a trained real/bogus model.

    Parameters
    ----------
    model_file : str or path, optional
        Path of an ``.onnx`` file, or the name of an installed model; None for the model that came
        with rbinfer.
    verbose : bool or callable
        Tell what was loaded.

    Returns
    -------
    Classifier
        What ``classify_realbogus(model=...)`` takes; it also has Keras's ``predict``.

    Raises
    ------
    ModelNotFoundError, ModelError
        No such model; a Keras file; or not a model of ours.
    """
    with reporting(verbose):
        classifier = _load(model_file)
        log.info("loaded model %s %s", classifier.spec.name, classifier.spec.version)
    return classifier


def extract_cutouts(
    obj: Any,
    image: ArrayLike,
    bg: ArrayLike | None = None,
    err: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    radius: int = 15,
    fwhm: float | None = None,
    target_fwhm: float = 3.0,
    asinh_softening: float | None = None,
    verbose: Verbose = False,
    *,
    x_col: str | None = None,
    y_col: str | None = None,
    origin: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Extract and preprocess the cutouts of all objects, as the reference implementation does.

    Parameters
    ----------
    obj : Table or anything that `rbinfer.io.tables.as_table` takes
        Catalogue with columns ``x`` and ``y`` in 0-based pixels, or other usual names.
    image : array_like, shape (height, width)
        Science image.
    bg, err : array_like, shape (height, width), or float, optional
        Background and noise; each cutout provides its own without them.
    mask : array_like of bool, shape (height, width), optional
        True for bad pixels; with half of a cutout or more of it bad, the object is left out.
    radius : int
        The cutouts are ``2 * radius + 1`` pixels on a side.
    fwhm : float, optional
        FWHM of the image in pixels. Without it, the median of the column ``fwhm``, else 2.35 times
        the median of ``a``, else 3.0.
    target_fwhm : float
        FWHM to rescale to.
    asinh_softening : float, optional
        Softening in units of the noise; 3.0 unless given.
    verbose : bool or callable
        Tell how many were extracted.
    x_col, y_col, origin : optional
        Names of the position columns, and what they call the first pixel; see
        `rbinfer.io.positions.positions`.

    Returns
    -------
    cutouts : ndarray of float32, shape (n_valid, 2 * radius + 1, 2 * radius + 1, 2)
    valid_indices : ndarray of int64, shape (n_valid,)
        Rows of `obj` that the cutouts belong to. The window of an object left out leaves the image,
        or has too few good pixels.

    Raises
    ------
    InputError
        No positions, shapes that do not match, parameters out of range.
    """
    radius = as_whole(radius, "radius", 2)
    if radius > LARGEST_RADIUS:
        raise InputError(f"radius must be at most {LARGEST_RADIUS}, not {radius}")
    spec = reference_spec(radius, target_fwhm, asinh_softening)
    table = as_table(obj)
    # An empty table need not name the columns that it has no rows for.
    x, y = np.zeros(0), np.zeros(0)
    if table.colnames:
        x, y = positions(table, x_col, y_col, origin)
    if fwhm is None:
        fwhm = catalogue_fwhm(table) or DEFAULT_FWHM
    with reporting(verbose):
        exposure = as_exposure(image, mask=mask, bg=bg, err=err, fwhm=fwhm)
        cutouts = Cutter.prepare(exposure, spec).cut(x, y)
        valid = np.flatnonzero(is_scored(cutouts.status))
        log.info("extracted %d of %d cutouts", len(valid), len(x))
    return cutouts.pixels[valid], valid


def classify_realbogus(
    obj: Any,
    image: ArrayLike,
    model: Any = None,
    model_file: str | None = None,
    bg: ArrayLike | None = None,
    err: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    fwhm: float | None = None,
    asinh_softening: float | None = None,
    threshold: float = 0.5,
    add_score: bool = True,
    flag_bogus: bool = True,
    batch_size: int = 128,
    verbose: Verbose = False,
    *,
    real_source_types: Sequence[str] | None = None,
    psf: ArrayLike | os.PathLike[str] | None = None,
    x_col: str | None = None,
    y_col: str | None = None,
    origin: int | None = None,
    wcs: Any = None,
    trust_positions: bool = False,
    bayer: bool | None = None,
) -> "Table":
    """Classify detected objects as real or bogus.

    Parameters
    ----------
    obj : Table or anything that `rbinfer.io.tables.as_table` takes
        Catalogue with columns ``x`` and ``y`` in 0-based pixels, or other usual names. Not modified.
    image : array_like, shape (height, width)
        Science image.
    model : Classifier or Keras-like model, optional
        What `load_realbogus_model` returns, or anything with ``predict`` and ``input_shape``.
    model_file : str or path, optional
        Path or name of a model, if `model` is not given; without either, the model that came with
        rbinfer.
    bg, err : array_like, shape (height, width), or float, optional
        Background and noise in the units of the image.
    mask : array_like of bool, shape (height, width), optional
        True for bad pixels.
    fwhm : float, optional
        FWHM of the image in pixels; measured on the stars of the image unless given.
    asinh_softening : float, optional
        Softening in units of the noise; the model's own (3.0) unless given.
    threshold : float
        Objects with a score above it are real; one equal to it is not.
    add_score : bool
        Add the columns ``rb_score`` (NaN where there is none), ``rb_status`` and, for a model with
        classes, ``rb_class``; columns of these names are replaced.
    flag_bogus : bool
        Set bit 0x1000 of ``flags`` for what is not real, and return the real rows only.
    batch_size : int
        Batch of a Keras model's ``predict``. An ONNX model runs in batches of its own fixed size,
        so that no score depends on this.
    verbose : bool or callable
        Tell what happens, on stderr or by calling it with each message.
    real_source_types : sequence of str, optional
        Classes that count as real, for a model with classes; the model's own unless given.
    psf : array_like, shape (ny, nx), or path, optional
        A star of the image, centred and without sky, in its pixels; see `Classifier.score`.
    x_col, y_col, origin, wcs : optional
        Names of the position columns, and what they call the first pixel; the WCS of the image, for a
        catalogue of right ascension and declination; see `Classifier.classify`.
    trust_positions : bool
        Do not warn of positions that look as if they belonged to another image.
    bayer : bool, optional
        Whether the pixels are a mosaic of colour filters; by default, whether the sky shows one.

    Returns
    -------
    Table
        A new table: the real rows if `flag_bogus`, else all rows in their order.

    Raises
    ------
    InputError
        An image, catalogue or parameter that cannot be used.
    ModelError
        A model that cannot be used.
    """
    batch_size = as_whole(batch_size, "batch_size", 1)
    with reporting(verbose):
        if model is None:
            classifier = _load(model_file)
        elif isinstance(model, Classifier):
            classifier = model
        elif isinstance(model, (str, os.PathLike)):
            raise InputError(
                f"model must be a loaded model; for a name or path use model_file={model!r}"
            )
        else:
            classifier = Classifier(KerasNetwork(model, batch_size))
        if real_source_types is not None:
            classifier = classifier.counting(real_source_types)
        return classifier.classify(
            obj, image, bg=bg, err=err, mask=mask, fwhm=fwhm, psf=psf, asinh_softening=asinh_softening,
            threshold=threshold, add_score=add_score, flag_bogus=flag_bogus,
            x_col=x_col, y_col=y_col, origin=origin, wcs=wcs, trust_positions=trust_positions,
            bayer=bayer,
        )  # fmt: skip
