"""The header of an ECSV table without Astropy's tables, whose import takes longer than an image."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

#: What an item of the metadata may be; a list of texts besides.
_PLAIN = (str, int, float, bool, type(None))
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
#: Characters in a line of a header, as Astropy has it.
_WIDTH = 130


def plain_header(columns: Iterable[tuple[str, str, str | None]], meta: Mapping[str, Any]) -> str | None:
    """Return the lines of a header as Astropy writes them, that with the names too.

    Parameters
    ----------
    columns : iterable of (str, str, str or None)
        Name, type and unit of each.
    meta : mapping
        The metadata in their order.

    Returns
    -------
    str or None
        None where a name is no plain word, where a unit is not degrees, which Astropy may write in
        another way, or where the metadata hold more than numbers, texts, and lists of texts: Astropy has
        tags for these.
    """
    head = _of_columns(tuple(columns))
    if head is None or not all(type(key) is str and _is_plain(value) for key, value in meta.items()):
        return None
    about, names = head
    told = _dumped({"meta": _Ordered(meta.items())}) if meta else ""
    text = f"%ECSV 1.0\n---\n{about}{told}schema: astropy-2.0\n"
    return "".join(f"# {line}\n" for line in text.splitlines()) + names


@lru_cache(maxsize=8)
def _of_columns(columns: tuple[tuple[str, str, str | None], ...]) -> tuple[str, str] | None:
    """Return what tells of columns, and the line of their names; None where Astropy has to."""
    names = [name for name, _, _ in columns]
    if not all(map(_NAME.fullmatch, names)) or any(unit not in (None, "deg") for *_, unit in columns):
        return None
    return _dumped({"datatype": [_about(*each) for each in columns]}), " ".join(names) + "\n"


def _dumped(header: dict[str, Any]) -> str:
    import yaml

    # A class of its own, so that PyYAML's stays as it is.
    dumper: Any = type("Dumper", (yaml.SafeDumper,), {})
    dumper.add_representer(_Column, _mapping)
    dumper.add_representer(_Ordered, _ordered_mapping)
    return str(yaml.dump(header, default_flow_style=None, Dumper=dumper, width=_WIDTH))


class _Column(list[tuple[str, str]]):
    """What a header says of a column, in this order."""


class _Ordered(list[tuple[str, Any]]):
    """Metadata in their order."""


def _mapping(dumper: Any, pairs: _Column) -> Any:
    return dumper.represent_mapping("tag:yaml.org,2002:map", pairs)


def _ordered_mapping(dumper: Any, pairs: _Ordered) -> Any:
    items = [{key: value} for key, value in pairs]
    return dumper.represent_sequence("tag:yaml.org,2002:omap", items)


def _about(name: str, kind: str, unit: str | None) -> _Column:
    return _Column(
        (key, text) for key, text in (("name", name), ("unit", unit), ("datatype", kind)) if text
    )


def _is_plain(value: Any) -> bool:
    if type(value) is list:
        return all(type(item) is str for item in value)
    return type(value) in _PLAIN
