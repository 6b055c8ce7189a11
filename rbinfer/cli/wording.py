"""Messages of the library in the words of the command line: options for parameters."""

import re

#: ``--overwrite (overwrite=True)`` and ``(--x-col, --y-col; x_col, y_col)`` name an option for the
#: terminal and a parameter for Python.
_BESIDE = re.compile(r" \([a-z]\w*=(?:True|False)\)|; [a-z]+_[a-z]+(?:, [a-z]+_[a-z]+)*(?=\))")
#: ``device='cuda'`` names the parameter alone.
_ALONE = re.compile(r"(?<=[ (])([a-z]\w*)='(\w+)'|^([a-z]\w*)='(\w+)'")


def in_options(text: str) -> str:
    """Return a message without the parameters that only callers from Python know.

    Parameters
    ----------
    text : str
        Such as ``use device='cpu'``.

    Returns
    -------
    str
        Such as ``use --device cpu``.
    """
    return _ALONE.sub(_option, _BESIDE.sub("", text))


def _option(match: re.Match[str]) -> str:
    name, value = match[1] or match[3], match[2] or match[4]
    return f"--{name.replace('_', '-')} {value}"
