"""What a scored catalogue notes of how it was made, which others may have edited or cut."""

import json
from typing import Any


def options_in(text: object) -> dict[str, Any]:
    """Return the options that ``rb_opts`` holds; empty where it is damaged or not noted.

    Parameters
    ----------
    text : object
        The value of the metadata, JSON as `rbinfer.pipeline.summary.note` writes it; or None.
    """
    if not isinstance(text, str):
        return {}
    try:
        options = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}
