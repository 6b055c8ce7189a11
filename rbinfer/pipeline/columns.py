"""Which columns and rows of a scored catalogue are written, and in which order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._util.sentences import did_you_mean
from ..errors import InputError
from ..io.exposure import Exposure
from ..io.positions import PLACED
from ..io.sky_in import sky_columns
from ..io.sky_out import sky_map
from ..model.spec import ModelSpec
from ..scoring.verdicts import EXTRA, P_PREFIX

if TYPE_CHECKING:
    from astropy.table import Table

#: Columns with the position on the sky.
SKY = ("ra", "dec")


def extra_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the extra columns, of `rbinfer.scoring.verdicts.EXTRA`, that names ask for."""
    wanted = ["classes" if name.startswith(P_PREFIX) else name.removeprefix("rb_") for name in names]
    return tuple(each for each in EXTRA if each in wanted)


def check_names(names: Sequence[str], have: Sequence[str], spec: ModelSpec) -> None:
    """Refuse names of columns that a result will not have.

    Parameters
    ----------
    names : sequence of str
        As for `picked`.
    have : sequence of str
        Columns of the catalogue.
    spec : ModelSpec
        Of the model.

    Raises
    ------
    InputError
        With the name that is closest.
    """
    has_classes = spec.classes != ("bogus", "real")
    if "classes" in extra_of(names) and not has_classes:
        raise InputError(f"`show`: the model {spec.name} has no classes, but one score")
    classes = [f"{P_PREFIX}{name}" for name in spec.classes] if has_classes else []
    known = [
        *have,
        "rb_score",
        "rb_status",
        "rb_class",
        "rb_snr",
        "rb_hdu",
        *PLACED,
        *classes,
        *EXTRA,
        *SKY,
    ]
    for name in names:
        if name not in known:
            raise InputError(f"`show`: there is no column {name}{did_you_mean(name, known)}")


def picked(table: "Table", names: Sequence[str]) -> "Table":
    """Return a table with the columns that are named.

    Parameters
    ----------
    table : Table
        With all columns.
    names : sequence of str
        Extra columns (``classes``, ``snr``, ``rb_p_star``, ``rb_snr``, ``ra``, ``dec``) come beside all
        others; as soon as any other column is named, what is named is all there is, in that order.

    Returns
    -------
    Table
        `table` itself where nothing else is named.
    """
    extra = {*EXTRA, *SKY, "rb_snr"}
    if all(name in extra or name.startswith(P_PREFIX) for name in names):
        return table
    groups = {
        "classes": [name for name in table.colnames if name.startswith(P_PREFIX)],
        "snr": ["rb_snr"],
    }
    wanted = [each for name in names for each in groups.get(name, [name])]
    # A position on the sky is there where the image has a WCS.
    return table[[name for name in dict.fromkeys(wanted) if name in table.colnames]]


def order_of(table: "Table", order: str) -> NDArray[np.intp]:
    """Return the rows in another order, as indices.

    Parameters
    ----------
    table : Table
    order : {"doubtful", "score"}
        The nearest to the threshold first, or the highest score first. Rows without a score come last,
        equals as they came.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    score = np.asarray(table["rb_score"], np.float64)
    key = -score if order == "score" else np.abs(score - table.meta["rb_threshold"])
    return np.argsort(key, kind="stable")  # NaN is last


def check_classes(names: Sequence[str], spec: ModelSpec) -> None:
    """Refuse names of classes that a model does not have."""
    if spec.classes == ("bogus", "real"):
        raise InputError(f"`classes`: the model {spec.name} has no classes, but one score")
    for name in names:
        if name not in spec.classes:
            known = ", ".join(spec.classes)
            hint = did_you_mean(name, spec.classes) or f"; it has {known}"
            raise InputError(f"`classes`: the model {spec.name} has no class {name}{hint}")


def of_classes(table: "Table", names: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which rows have one of the classes named as their most probable one."""
    return np.isin(np.asarray(table["rb_class"]).astype(str), list(names))


def add_sky(
    table: "Table",
    exposure: Exposure,
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    name: str,
) -> None:
    """Add right ascension and declination (ICRS, degrees), where the WCS of the image can be used.

    Parameters
    ----------
    table : Table
        Left as it is where it has positions on the sky, or columns of these names.
    exposure : Exposure
    places : (ndarray, ndarray) of float64, each of shape (n,)
        0-based pixels of the rows.
    name : str
        Of the image, for messages.
    """
    if {column.lower() for column in table.colnames} & set(SKY) or sky_columns(table):
        return
    sky = sky_map(exposure.wcs, exposure.shape, name)
    if sky is None or not table.colnames:
        return
    for column, values in zip(SKY, sky.positions(*places), strict=True):
        table[column] = values
        table[column].unit = "deg"
