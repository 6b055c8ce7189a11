"""Packages that the base install does without."""

import importlib
from typing import Any

from ..errors import InputError


def needed(module: str, what: str, extra: str) -> Any:
    """Import a package of an extra.

    Parameters
    ----------
    module : str
        Name of the package, as it is imported.
    what : str
        Subject and verb of the message, such as ``"a cluster needs"``.
    extra : str
        The extra of rbinfer that brings it.

    Returns
    -------
    module

    Raises
    ------
    InputError
        The package is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f'{what} {module}, which is not installed: pip install "rbinfer[{extra}]"'
        ) from error
