"""Pieces of the sentences that people read."""

import re
from collections.abc import Iterable

#: Words of Python's that mean nothing to who only uses the program.
_OF_PYTHON = re.compile(
    r"NoneType|<class|'\w+' object|\b[A-Z]\w*(Error|Exception|Warning)\b|\bdtype\b|\bunhashable\b"
    r"|\b(keyword|positional) argument|has no attribute|not subscriptable|not iterable"
)


def counted(n: int, what: str) -> str:
    """Return a number with the noun after it, such as "1 image" or "2 images"."""
    return f"{n} {noun(n, what)}"


def noun(n: int, what: str) -> str:
    """Return a noun as it stands after a number: "image" after 1, "images" after any other."""
    return what if n == 1 else f"{what}s"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the known word closest to another.

    Parameters
    ----------
    word : str
        What was written.
    known : iterable of str

    Returns
    -------
    str
        Such as ``"; did you mean --threshold?"``; empty where none is close.
    """
    from difflib import get_close_matches

    by_lower = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def reason_of(error: BaseException, otherwise: str) -> str:
    """Return what an error of a library says.

    Parameters
    ----------
    error : BaseException
    otherwise : str
        What to say where the error says nothing, or speaks of Python's types.

    Returns
    -------
    str
        One line.
    """
    if isinstance(error, KeyError) and error.args:
        return f"{error.args[0]} is missing"
    text = " ".join(str(error).split())
    return otherwise if not text or _OF_PYTHON.search(text) else text


def unforeseen(error: BaseException) -> str:
    """Say in words of the field what went wrong, of an error that is none of rbinfer's own.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str
        One line without the names of Python's types.
    """
    if isinstance(error, MemoryError):
        return "the memory does not suffice"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    text = " ".join(str(error).split())
    what = "an error that rbinfer does not foresee"
    return what if not text or _OF_PYTHON.search(text) else f"{what}: {text}"
