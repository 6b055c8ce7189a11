"""Cards of FITS headers: what plain ones say, and how values are written in them.

Astropy reads and writes every header, but takes longer to import than a frame takes to score. A header
whose cards are all of the usual kinds is understood here; of any other nothing is said, and whoever asks
takes Astropy.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

SIZE = 80
_BLOCK = 2880
_END = "END".ljust(SIZE)
#: A card with a value: keyword, then text, truth value, whole or real number, and a comment.
_VALUE = (
    r"(?=.{8}= )([A-Z0-9_-]+) *= +"
    r"(?:'((?:[^']|'')*)'|([TF])|([+-]?\d+)|([+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?))"
    r" *(?:/(.*))?"
)
#: Keywords of cards without a value.
COMMENTARY = ("COMMENT ", "HISTORY ", " " * 8)
_KEYWORD = r"[A-Z0-9_-]{1,8}"
_MOST_TEXT = 67  # letters of a long text in one card


class PlainHeader(Mapping[str, Any]):
    """A header of plain cards: its values by keyword, the first of each.

    Attributes
    ----------
    cards : tuple of str
        The cards as they stand, each 80 letters, without the last one, ``END``.
    comments : dict of str to str
        Comments by keyword.
    """

    def __init__(self, cards: tuple[str, ...], values: dict[str, Any], comments: dict[str, str]) -> None:
        self.cards = cards
        self.comments = comments
        self._values = values

    @classmethod
    def read(cls, text: bytes) -> "PlainHeader | None":
        """Read the bytes of a header; None where a card is of another kind.

        Parameters
        ----------
        text : bytes
            All blocks of the header.
        """
        if not text.isascii():
            return None
        whole = text.decode("ascii")
        cards = tuple(whole[at : at + SIZE] for at in range(0, len(whole), SIZE))
        if not whole.isprintable() or _END not in cards:
            return None
        end = cards.index(_END)
        if "".join(cards[end + 1 :]).strip():
            return None
        values: dict[str, Any] = {}
        comments: dict[str, str] = {}
        match = re.compile(_VALUE).fullmatch
        for card in cards[:end]:
            if card.startswith(COMMENTARY):
                continue
            found = match(card)
            if found is None:
                return None
            keyword, text_, truth, integer, real, comment = found.groups()
            if keyword in values:
                continue
            if text_ is not None:
                values[keyword] = text_.replace("''", "'").rstrip()
            elif truth is not None:
                values[keyword] = truth == "T"
            else:
                values[keyword] = int(integer) if real is None else float(real.replace("D", "E"))
            comments[keyword] = (comment or "").strip()
        return cls(cards[:end], values, comments)

    def __getitem__(self, keyword: str) -> Any:
        return self._values[keyword]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def keyword_of(card: str) -> str:
    """Return the keyword of a plain card."""
    return card[:8].rstrip()


def header_bytes(cards: list[str]) -> bytes:
    """Return cards as the blocks of a header, closed by ``END``."""
    text = "".join([*cards, _END])
    return text.ljust(-(-len(text) // _BLOCK) * _BLOCK).encode("ascii")


def cards_of(key: str, value: Any) -> list[str]:
    """Write a value, with its keyword as Astropy has it: in capitals, or as it is behind ``HIERARCH``.

    Parameters
    ----------
    key : str
    value : str, bool, int, float, or a list of them
        A list gets a card each; a long text goes on in ``CONTINUE`` cards.

    Returns
    -------
    list of str
        Of 80 letters; empty for what no card can hold, such as NaN and letters that are not ASCII.
    """
    if isinstance(value, list | tuple):
        return [card for each in value for card in cards_of(key, each)]
    plain = re.fullmatch(_KEYWORD, key.upper())
    start = f"{key.upper():8}= " if plain else f"HIERARCH {key} = "
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        if not quoted.isascii() or not quoted.isprintable():
            return []
        card = f"{start}'{quoted:8}'"
        if plain and len(card) > SIZE:
            return _continued(start, value)
    elif isinstance(value, bool):
        card = start + ("T" if value else "F").rjust(20 if plain else 0)
    elif isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        card = start + repr(value).upper().rjust(20 if plain else 0)
    else:
        return []
    return [card.ljust(SIZE)] if len(card) <= SIZE else []


def _continued(start: str, value: str) -> list[str]:
    """Write a text that is too long for one card."""
    parts = [""]
    for letter in value:
        quoted = "''" if letter == "'" else letter
        if len(parts[-1]) + len(quoted) > _MOST_TEXT:
            parts.append("")
        parts[-1] += quoted
    ends = ["&'"] * (len(parts) - 1) + ["'"]
    starts = [start] + ["CONTINUE  "] * (len(parts) - 1)
    return [f"{a}'{b}{c}".ljust(SIZE) for a, b, c in zip(starts, parts, ends, strict=True)]
