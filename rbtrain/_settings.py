"""Settings: frozen dataclasses of plain values, checked by their fields and made of nested dicts."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar, get_args

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Dataclass = TypeVar("_Dataclass", bound="DataclassInstance")

#: Type of a field with both ends of a range.
_RANGE = tuple[float, float]

#: Metadata of a field that was added after models were made; its default is what was done before it.
LATER = {"later": True}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of dataclasses whose values must be like their defaults: TOML knows no types."""

    def __post_init__(self) -> None:
        """Check every field but those that are settings themselves.

        Raises
        ------
        ValueError
            Text or a list where a number is due, a fraction where a whole number is, a list of
            another length, a number that is not finite, a range whose ends are the wrong way round;
            names the field, what it must be, and the value.
        """
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.default is not dataclasses.MISSING and not _is_like(
                value, item.default, get_args(item.type)
            ):
                raise ValueError(f"{item.name} must be like {item.default!r}, not {value!r}")
            numbers = value if isinstance(value, tuple) else (value,)
            if any(_is_number(each) and not math.isfinite(each) for each in numbers):
                raise ValueError(f"{item.name} must be finite, not {value!r}")
            if item.type == _RANGE and value[0] > value[1]:
                raise ValueError(f"{item.name} must be a range, the lower end first, not {value!r}")

    def check(self, names: Sequence[str], must: str, is_good: Callable[[Any], bool]) -> None:
        """Check the values of some fields.

        Parameters
        ----------
        names : sequence of str
        must : str
            What each must be, in words.
        is_good : callable
            Tells it of a value.

        Raises
        ------
        ValueError
            One is not; names the field and the value.
        """
        for name in names:
            if not is_good(value := getattr(self, name)):
                raise ValueError(f"{name} must {must}, not {value!r}")


def is_share(value: float) -> bool:
    """Whether a number lies between 0 and 1."""
    return 0 <= value <= 1


def with_values(default: _Dataclass, values: Mapping[str, Any], where: str = "") -> _Dataclass:
    """Return settings with values from a table of a TOML file; what is missing keeps its default.

    Parameters
    ----------
    default : dataclass
        Settings, which may hold other settings.
    values : mapping
        By field; a mapping for settings within settings, lists for tuples.
    where : str
        Name of the table, for errors; empty for the top level.

    Returns
    -------
    dataclass
        Of the same type.

    Raises
    ------
    ValueError
        A key is unknown, or a value is refused by the settings; names the table and the key.
    """
    known = {item.name for item in dataclasses.fields(default)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"{where or 'the top level'} has unknown keys {unknown}; it knows {sorted(known)}"
        )
    changed: dict[str, Any] = {}
    for name, value in values.items():
        current, place = getattr(default, name), f"{where}.{name}".removeprefix(".")
        if dataclasses.is_dataclass(current) and not isinstance(current, type):
            if not isinstance(value, Mapping):
                raise ValueError(f"{place} must be a table of settings, not {value!r}")
            changed[name] = with_values(current, value, place)
        else:
            changed[name] = tuple(value) if isinstance(value, list) else value
    try:
        return dataclasses.replace(default, **changed)
    except (TypeError, ValueError) as error:
        if not where:
            raise
        raise ValueError(f"[{where}] {error}") from error


def identity(settings: "DataclassInstance") -> dict[str, Any]:
    """Return settings as nested dicts, less what was added later and has its default.

    Hashes are made of it, so that a setting that is new does not give a model that was made without it
    another configuration.

    Parameters
    ----------
    settings : dataclass
        Which may hold other settings; fields that were added later carry `LATER`.

    Returns
    -------
    dict
    """
    plain = dataclasses.asdict(settings)
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            plain[item.name] = identity(value)
        # Settings within settings that were all added later leave nothing.
        if plain[item.name] == {} or ("later" in item.metadata and value == item.default):
            del plain[item.name]
    return plain


def _is_like(value: Any, default: Any, kinds: tuple[Any, ...]) -> bool:
    """Tell whether a value has the type of a default, whose tuple's elements are of these kinds."""
    if isinstance(default, str | bool):
        return isinstance(value, type(default))
    if isinstance(default, tuple):
        if not isinstance(value, tuple) or len(value) == 0:
            return False
        is_whole = kinds[0] is int
        are_numbers = all(isinstance(each, Integral) or not is_whole for each in value)
        is_long = Ellipsis in kinds or len(value) == len(kinds)
        return is_long and are_numbers and all(map(_is_number, value))
    if not _is_number(value):
        return False
    return isinstance(value, Integral) or not isinstance(default, Integral)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
