"""Release notes: a section of the changelog."""

import re


def section(changelog: str, version: str | None = None) -> str:
    """Return the text of a section of the changelog.

    Parameters
    ----------
    changelog : str
        In Markdown; a section begins with ``## VERSION``.
    version : str, optional
        The newest by default.

    Returns
    -------
    str
        Without the heading.

    Raises
    ------
    ValueError
        There is no such section, or nothing is in it.
    """
    found = re.findall(r"^## (\S+).*\n((?:(?!## ).*(?:\n|\Z))*)", changelog, re.MULTILINE)
    for name, text in found:
        if version in (None, name):
            if text.strip():
                return text.strip() + "\n"
            raise ValueError(f"the section {name} of the changelog is empty")
    known = ", ".join(name for name, _ in found) or "none"
    raise ValueError(f"the changelog has no section {version or 'at all'}; it has {known}")
