"""Standard streams: names that they cannot encode, and streams that a shell closed (``>&-``)."""

import io
import os
import sys

from ..errors import InputError


class _Closed(io.TextIOBase):
    """A stdout that refuses what is written, in a sentence."""

    def write(self, text: str) -> int:
        """Refuse."""
        raise InputError(
            "the standard output is closed; name a file with -o, or send what is printed to /dev/null"
        )


def open_streams() -> None:
    """Put something in the place of standard streams that are closed, and let stdout take any name.

    Names of files need not be text: what stdout cannot encode is printed with escapes, as on stderr.
    Nobody reads a closed stderr, so what it is sent is dropped. A closed stdout refuses rows and
    summaries, which would be lost. Files that are opened later do not get the numbers of the streams.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stdout is not None and sys.stderr is not None:
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for as long as the process)


def is_closed() -> bool:
    """Whether what is printed on stdout would be lost."""
    return isinstance(sys.stdout, _Closed)
