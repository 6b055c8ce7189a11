"""The oldest dependencies that the package says it works with."""

import re
import tomllib
from pathlib import Path


def oldest(requirement: str) -> str:
    """Turn ``name>=1.2`` into ``name==1.2.*``: the oldest minor release, with its corrections.

    A marker behind a semicolon stays.

    Raises
    ------
    ValueError
        The requirement does not have this form.
    """
    found = re.fullmatch(r"([\w.-]+)>=(\d+(?:\.\d+)*)(;.*)?", requirement)
    if found is None:
        raise ValueError(f"{requirement!r} is not of the form NAME>=VERSION")
    return f"{found[1]}=={found[2]}.*{found[3] or ''}"


def newest_and_oldest(pyproject: Path) -> dict[str, list[str]]:
    """Return what to install beside the wheel for the newest and for the oldest dependencies."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return {"newest": [], "oldest": [oldest(each) for each in project["dependencies"]]}
