"""Formats in which results are written; a module of its own, so that a parser has them at once."""

from ..errors import InputError

#: Suffixes of the formats of results.
FORMATS = {"ecsv": ".ecsv", "fits": ".fits", "csv": ".csv", "vot": ".vot", "parquet": ".parquet"}


def suffix_of(kind: str) -> str:
    """Return the suffix of results in a format; raises `InputError` if that is none of `FORMATS`."""
    if kind not in FORMATS:
        raise InputError(f"the format {kind!r} is none of {', '.join(FORMATS)}")
    return FORMATS[kind]
