"""Scores of what is cut out already: stamps for which there is no image, and cutouts."""

import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._util.arguments import as_numbers, as_pixels, check_pixels, check_progress, shown
from .._util.sentences import counted
from ..cutouts.cutter import Cutouts
from ..errors import InputError, one_line
from ..io.exposure import Exposure, Width, as_exposure
from ..model.networks import Network, run_network
from ..model.session import Output, Session
from ..model.stamps import Stamps
from ..status import UNSCORED, Status
from .prepare import Prepared, prepare

log = logging.getLogger(__name__)


class StampScores(NamedTuple):
    """Scores of stamps, in their order.

    Attributes
    ----------
    score, status, classes
        As of `rbinfer.Scores`.
    snr : ndarray of float32, shape (n,)
        Signal in the central 3 x 3 (rescaled) pixels over its noise; NaN where nothing was cut.
    fwhm : ndarray of float64, shape (n,)
        FWHM in pixels that each was scored with.
    fwhm_source : ndarray of str, shape (n,)
        ``given``, ``measured``, ``borrowed``, ``header`` or ``assumed``; the last three also set
        `rbinfer.Status.FWHM_ASSUMED`.
    """

    score: NDArray[np.float32]
    status: NDArray[np.int32]
    classes: NDArray[np.float32] | None
    snr: NDArray[np.float32]
    fwhm: NDArray[np.float64]
    fwhm_source: NDArray[np.str_]


def output_of(network: Network, cutouts: ArrayLike | Cutouts) -> Output:
    """Run a network on cutouts that its preprocessing made.

    Parameters
    ----------
    network : Network
    cutouts : array_like, shape (n, size, size, 2), or Cutouts

    Returns
    -------
    Output

    Raises
    ------
    InputError
        Cutouts of another shape than the model takes.
    """
    cores = None
    if isinstance(cutouts, Cutouts):
        cores, cutouts = cutouts.core, cutouts.pixels
    elif network.spec.preprocess.preset != "reference":
        log.warning(
            "the model %s takes what `Classifier.cutouts` returns; scores of a plain array are less "
            "good, and wrong if 'extract_cutouts' made it, for it makes those of the reference preset",
            network.spec.name,
        )
    numbers, _ = as_numbers(cutouts, "cutouts")
    try:
        pixels = np.ascontiguousarray(numbers, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"cutouts must be numbers: {one_line(error)}") from error
    size = network.spec.preprocess.size
    if pixels.ndim != 4 or pixels.shape[1:] != (size, size, 2):
        raise InputError(f"cutouts have shape {pixels.shape}; this model takes (n, {size}, {size}, 2)")
    return run_network(network, pixels, cores=cores)


def score_stamps(
    network: Network,
    scores_of: Callable[[Output], NDArray[np.float32]],
    stamps: Sequence[ArrayLike | Exposure],
    *,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    fwhm: ArrayLike | None = None,
    images: Sequence[Hashable] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StampScores:
    """Score stamps with a network.

    Parameters
    ----------
    network : Network
    scores_of : callable
        Takes what the network says, gives the score of each row.
    stamps, x, y, fwhm, images, progress
        As for `rbinfer.Classifier.score_stamps`.

    Returns
    -------
    StampScores

    Raises
    ------
    InputError
        As by `rbinfer.Classifier.score_stamps`.
    """
    check_progress(progress)
    exposures = _exposures(stamps)
    n, spec = len(exposures), network.spec
    widths = _widths(exposures, fwhm, images)
    columns = _places(x, [each.shape[1] for each in exposures], "x")
    rows = _places(y, [each.shape[0] for each in exposures], "y")
    has_classes = spec.classes != ("bogus", "real")
    found = StampScores(
        np.full(n, np.nan, np.float32),
        np.zeros(n, np.int32),
        np.full((n, len(spec.classes)), np.nan, np.float32) if has_classes else None,
        np.full(n, np.nan, np.float32),
        np.full(n, np.nan),
        np.array([width.source for width in widths], np.str_),
    )
    for start in range(0, n, network.batch):
        part = slice(start, min(start + network.batch, n))
        each = [
            prepare(replace(exposures[k], width=widths[k]), spec.preprocess, [columns[k]], [rows[k]])
            for k in range(part.start, part.stop)
        ]
        _score_part(network, scores_of, each, part, found)
        if progress is not None:
            progress(part.stop, n)
    return found


def _score_part(
    network: Network,
    scores_of: Callable[[Output], NDArray[np.float32]],
    each: Sequence[Prepared],
    part: slice,
    found: StampScores,
) -> None:
    spec, size = network.spec, network.spec.preprocess.size
    cutouts = Cutouts.empty(len(each), size)
    status = cutouts.status
    for k, one in enumerate(each):
        only = slice(k, k + 1)
        room = Cutouts(cutouts.pixels[only], status[only], cutouts.snr[only], cutouts.core[only])
        one.cutter.cut_into(one.x, one.y, room)
    empty = np.array([bool(one.no_data[0]) for one in each])
    status[empty] = status[empty] & ~int(Status.TOO_FEW_GOOD_PIXELS) | int(Status.NO_DATA)
    ready = np.flatnonzero((status & UNSCORED) == 0)
    if ready.size:
        stars = None
        if isinstance(network, Session) and network.reads_psf:
            known = [each[int(k)] for k in ready]
            stars = Stamps.joined([Stamps.of(one.psf, size, 1, one.width.population) for one in known])
        output = run_network(network, cutouts.pixels[ready], stars, cutouts.core[ready])
        score = scores_of(output)
        finite = np.isfinite(score)
        status[ready[~finite]] |= int(Status.SCORE_NOT_FINITE)
        where = part.start + ready[finite]
        found.score[where] = score[finite]
        if found.classes is not None and output.classes is not None:
            found.classes[where] = output.classes[finite]
        status[ready[cutouts.snr[ready] < spec.snr_range[0]]] |= int(Status.LOW_SNR)
    low, high = spec.fwhm_range
    status[[not low <= one.width.fwhm <= high for one in each]] |= int(Status.FWHM_OUT_OF_RANGE)
    status[[not one.width.is_trusted for one in each]] |= int(Status.FWHM_ASSUMED)
    found.status[part], found.snr[part] = status, cutouts.snr
    found.fwhm[part] = [one.width.fwhm for one in each]


def _widths(
    exposures: Sequence[Exposure], fwhm: ArrayLike | None, images: Sequence[Hashable] | None
) -> list[Width]:
    """Return the width of each stamp: given, or else found on those of its image together."""
    n = len(exposures)
    of = list(range(n)) if images is None else _names_of(images, n)
    given = np.full(n, np.nan)
    if fwhm is not None:
        values = _column(fwhm, "fwhm")
        if values.shape not in ((), (n,)):
            raise InputError(f"`fwhm` has shape {values.shape}; give one number, or one for each of {n}")
        bad = values[~(np.isnan(values) | (np.isfinite(values) & (values > 0)))]
        if bad.size or (values.ndim == 0 and np.isnan(values)):
            wrong = ", ".join(f"{value:g}" for value in (bad if bad.size else values.reshape(1))[:5])
            raise InputError(f"`fwhm` must be above 0, or NaN for a stamp without, not {wrong}")
        given[:] = values
    own = [each.width if np.isnan(value) else None for each, value in zip(exposures, given, strict=True)]
    rest = [k for k in range(n) if own[k] is None]
    if images is None and not np.isnan(given[rest]).any():
        # Alone, a stamp shows no more than itself.
        return [width or Width(float(fwhm), "given") for width, fwhm in zip(own, given, strict=True)]
    from ..measure.pooled import pooled_widths

    found = iter(pooled_widths([exposures[k] for k in rest], [of[k] for k in rest], list(given[rest])))
    return [width if width is not None else next(found) for width in own]


def _exposures(stamps: Any) -> list[Exposure]:
    if isinstance(stamps, str | Exposure) or not (
        isinstance(stamps, Iterable) or hasattr(stamps, "__getitem__")
    ):
        raise InputError(f"stamps must be images, such as an array (n, ny, nx), not {shown(stamps)}")
    if getattr(stamps, "ndim", 3) == 2:
        raise InputError(f"stamps must be (n, ny, nx), not one stamp {stamps.shape}; give [stamp]")
    # They show too little sky to be made even.
    return [replace(as_exposure(stamp), is_even=True) for stamp in stamps]


def _names_of(images: Any, n: int) -> list[Hashable]:
    """Return what names the image of each stamp."""
    names = list(images) if isinstance(images, Iterable) else [images]
    wrong = [name for name in names if not isinstance(name, Hashable)]
    if wrong:
        raise InputError(
            f"images must name the image of each stamp by a text or number, not {shown(wrong[0])}"
        )
    if len(names) != n:
        named = counted(len(names), "stamp")
        raise InputError(f"images are named for {named}, but the number of stamps is {n}")
    return names


def _column(given: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return pixels, one number or one for each stamp; NaN where masked or None."""
    if np.ndim(given) == 0:
        return np.asarray(as_pixels(given, f"`{name}`"))
    check_pixels(given, f"`{name}`")
    numbers, mask = as_numbers(given, f"`{name}`")
    try:
        values = numbers.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` must be numbers: {one_line(error)}") from error
    return values if mask is None else np.where(mask, np.nan, values)


def _places(given: ArrayLike | None, sides: Sequence[int], name: str) -> NDArray[np.float64]:
    """Return where the detection lies in each stamp: in its middle unless it is given."""
    if given is None:
        return (np.asarray(sides, np.float64) - 1.0) / 2.0
    places = _column(given, name)
    if places.ndim == 0:
        return np.full(len(sides), places)
    if places.shape != (len(sides),):
        raise InputError(f"`{name}` has shape {places.shape}, but the number of stamps is {len(sides)}")
    return places
