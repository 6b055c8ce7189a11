"""What scores say of a catalogue: columns, notes, flags, and which rows are real."""

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._util.arguments import as_names
from ..errors import InputError
from ..io.exposure import Width
from ..model.readings import counted_score
from ..model.session import Output
from ..model.spec import ModelSpec
from ..status import UNSCORED, is_real

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Bit that `flag_bogus` sets in the column ``flags``, as in the reference implementation.
BOGUS_FLAG = 0x1000
#: Keys of ``meta`` that are written here or by the command line.
_NOTES = frozenset(
    {
        "rb_model",
        "rb_version",
        "rb_threshold",
        "rb_real",
        "rb_fwhm",
        "rb_fwhm_source",
        "rb_fwhm_min",
        "rb_fwhm_max",
        "rb_frames",
        "rb_npsf",
        "rb_nfit",
        "rb_ellipticity",
        "rb_theta",
        "rb_image",
        "rb_hdu",
        "rb_x_col",
        "rb_y_col",
        "rb_origin",
        "rb_hash",
        "rb_opts",
        "rb_rel",
    }
)
#: Columns that are added; those of the probabilities begin so.
_COLUMNS = ("rb_score", "rb_status", "rb_class", "rb_snr")
P_PREFIX = "rb_p_"
#: What may be added on request.
EXTRA = ("classes", "snr")


class Scores(NamedTuple):
    """Scores of detections, in the order of their positions.

    Attributes
    ----------
    score : ndarray of float32, shape (n,)
        Probability of being real, in a catalogue of the mix that the model was calibrated for (the
        share of its ``sources`` in ``spec.calibration``); NaN where `status` says
        why there is none.
    status : ndarray of int32, shape (n,)
        Bits of `rbinfer.Status`.
    classes : ndarray of float32, shape (n, k), or None
        Probability of each class of ``spec.classes``; None for a model that has no classes.
    """

    score: NDArray[np.float32]
    status: NDArray[np.int32]
    classes: NDArray[np.float32] | None


class Verdict(NamedTuple):
    """By what the scores are read: the model, the classes that count, the threshold, the FWHM."""

    spec: ModelSpec
    real_source_types: Sequence[str]
    threshold: float
    width: Width


def real_among(spec: ModelSpec, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes that count as real, each once; those of the model where none are named.

    Raises
    ------
    InputError
        One of them is no class of the model, or there are none.
    """
    real = as_names(spec.real if names is None else names, "`real_source_types`")
    unknown = [name for name in real if name not in spec.classes]
    if unknown or not real:
        raise InputError(
            "`real_source_types` must name classes of the model "
            f"({', '.join(spec.classes)}), but {', '.join(unknown) or 'no class'} is named"
        )
    return real


def scores_counting(spec: ModelSpec, real: Sequence[str], output: Output) -> NDArray[np.float32]:
    """Return the score (n,) of what a network says, with these classes real.

    Parameters
    ----------
    spec : ModelSpec
        Of the network.
    real : sequence of str
        Classes that count as real.
    output : Output
        What it says of n cutouts.

    Raises
    ------
    InputError
        The network has one score, with others real.
    """
    if spec.readings[0].counts(real):
        return output.score
    if output.classes is None:
        raise InputError(
            f"this model cannot count {list(real)} as real: it has one score, for {list(spec.real)}"
        )
    return counted_score(output.classes, [spec.classes.index(name) for name in real])


def as_extra(extra: Any, spec: ModelSpec) -> tuple[str, ...]:
    """Return what is asked for beside the score.

    Raises
    ------
    InputError
        An extra that is not known, or probabilities of a model that has no classes.
    """
    names = () if extra is None else as_names(extra, "extra")
    unknown = [name for name in names if name not in EXTRA]
    if unknown:
        raise InputError(f"there are no extra columns {', '.join(unknown)}, but {', '.join(EXTRA)}")
    if "classes" in names and spec.classes == ("bogus", "real"):
        raise InputError(f"the model {spec.name} has no classes, so it has no probabilities of them")
    return names


def extra_columns(
    extra: Sequence[str], scores: Scores, snr: NDArray[np.float32] | None, spec: ModelSpec
) -> dict[str, NDArray[np.float32]]:
    """Return the columns that were asked for beside the score.

    Parameters
    ----------
    extra : sequence of str
        From `as_extra`.
    scores : Scores
    snr : ndarray of float32, shape (n,), or None
        S/N of each row; needed for ``"snr"``.
    spec : ModelSpec

    Returns
    -------
    dict of str to ndarray of float32, shape (n,)
        NaN in rows without a score.
    """
    found: dict[str, NDArray[np.float32]] = {}
    if "snr" in extra and snr is not None:
        found["rb_snr"] = np.where(scores.status & UNSCORED, np.float32(np.nan), snr)
    if "classes" in extra and scores.classes is not None:
        found |= {f"{P_PREFIX}{name}": scores.classes[:, k] for k, name in enumerate(spec.classes)}
    return found


def with_verdicts(
    table: "Table",
    scores: Scores,
    verdict: Verdict,
    *,
    add_score: bool,
    flag_bogus: bool,
    extra: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
) -> "Table":
    """Write scores into a table of one's own.

    Parameters
    ----------
    table : Table
        Its columns, ``meta`` and ``flags`` are changed; what an earlier scoring left is replaced.
    scores : Scores
        One a row.
    verdict : Verdict
    add_score : bool
        Add ``rb_score``, ``rb_status`` and, where there are classes, ``rb_class``.
    flag_bogus : bool
        Set `BOGUS_FLAG` in ``flags`` for all that is not real, and return the real rows only; see
        `check_flags`.
    extra : mapping of str to ndarray of float32, shape (n,)
        From `extra_columns`.

    Returns
    -------
    Table
        `table`, or its real rows.
    """
    n = len(scores.score)
    real = is_real(scores.score, verdict.threshold)
    unscored = int(np.count_nonzero(scores.status & UNSCORED))
    bogus = n - int(real.sum()) - unscored
    log.info("%d rows: %d real, %d bogus, %d unscored", n, n - bogus - unscored, bogus, unscored)
    # Of another scoring: they would stand beside notes that they do not belong to.
    table.remove_columns([name for name in table.colnames if _is_ours(name)])
    if add_score:
        table["rb_score"] = scores.score
        table["rb_status"] = scores.status
        if scores.classes is not None:
            table["rb_class"] = _class_names(scores, verdict.spec)
    for name, values in extra.items():
        table[name] = values
    # In capitals too, if it went through FITS.
    for key in [key for key in table.meta if str(key).lower() in _NOTES]:
        del table.meta[key]
    table.meta.update(
        rb_model=verdict.spec.name,
        rb_version=verdict.spec.version,
        rb_threshold=verdict.threshold,
        rb_fwhm=verdict.width.fwhm,
        rb_fwhm_source=verdict.width.source,
        rb_npsf=verdict.width.n_stars,
        rb_nfit=verdict.width.n_fitted,
        rb_real=list(verdict.real_source_types),
    )
    if verdict.width.regions:
        table.meta["rb_fwhm_min"], table.meta["rb_fwhm_max"] = verdict.width.range
    if verdict.width.n_frames:
        table.meta["rb_frames"] = verdict.width.n_frames
    if np.isfinite(verdict.width.ellipticity):
        table.meta.update(rb_ellipticity=verdict.width.ellipticity, rb_theta=verdict.width.theta)
    if not flag_bogus:
        return table
    table["flags"] = _flagged(table, ~real)
    if unscored:
        log.warning("%d of %d rows could not be scored and are left out", unscored, n)
    return table[real]


def _is_ours(name: str) -> bool:
    return name in _COLUMNS or name.startswith(P_PREFIX)


def check_flags(table: "Table") -> None:
    """Refuse a column ``flags`` that no bit can be set in.

    Raises
    ------
    InputError
        It is not of integers.
    """
    if "flags" in table.colnames and (kind := table["flags"].dtype).kind not in "iu":
        raise InputError(
            f"column 'flags' has dtype {kind}, not an integer one; convert it, or give flag_bogus=False"
        )


def _flagged(table: "Table", bogus: NDArray[np.bool_]) -> Any:
    """Return the column ``flags`` with `BOGUS_FLAG` set where it is due."""
    if "flags" not in table.colnames:
        return np.where(bogus, np.int32(BOGUS_FLAG), np.int32(0))
    flags = table["flags"].copy()
    if flags.dtype.itemsize < 2:
        flags = flags.astype(np.int32)  # bit 0x1000 needs 13 bits
    flags[bogus] |= flags.dtype.type(BOGUS_FLAG)
    return flags


def _class_names(scores: Scores, spec: ModelSpec) -> NDArray[np.str_]:
    if scores.classes is None or len(scores.score) == 0:
        return np.zeros(0, dtype=f"U{max(map(len, spec.classes))}")
    names = np.array([*spec.classes, ""])
    best = np.argmax(np.nan_to_num(scores.classes, nan=-1.0), axis=1)
    return names[np.where(np.isnan(scores.score), len(spec.classes), best)]
