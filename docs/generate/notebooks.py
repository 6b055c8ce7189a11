"""Notebooks of the tutorials, made from their pages, so that nothing is written twice."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from nbformat import v4

#: Tutorials that need no files of the reader's own.
TUTORIALS = ("first_image", "your_catalogue", "a_night", "train_a_model")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: A link to another page leads nowhere from a file that was downloaded.
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)[^)]*\)")


def pieces(root: Path, substitutions: Mapping[str, Any]) -> dict[str, str]:
    """Return the notebooks as text, by the name of the tutorial."""
    pages = {name: root / "docs" / "tutorials" / f"{name}.md" for name in TUTORIALS}
    return {
        name: nbformat.writes(notebook(path.read_text(encoding="utf-8"), substitutions)) + "\n"
        for name, path in pages.items()
    }


def notebook(page: str, substitutions: Mapping[str, Any]) -> nbformat.NotebookNode:
    """Return a notebook, not run yet, of a page in MyST Markdown.

    Parameters
    ----------
    page : str
        The page. Outputs that it shows are left out, because running the cells prints them.
    substitutions : mapping of str to object
        Figures that the page takes from elsewhere.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    cells = list(_cells(environment.from_string(page).render(substitutions)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same bytes from every build
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _cells(page: str) -> Iterator[nbformat.NotebookNode]:
    prose, *rest = _FENCE.split(page)
    yield v4.new_markdown_cell(_LINK.sub(r"\1", prose).strip())
    for language, inside, after in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        yield from _block(language, inside)
        if text := _LINK.sub(r"\1", after).strip():
            yield v4.new_markdown_cell(text)


def _block(language: str, inside: str) -> Iterator[nbformat.NotebookNode]:
    """Yield the cell of a fenced block; an output has none."""
    code = inside.strip()
    if language == "python":
        yield v4.new_code_cell(code)
    elif language == "sh" and not code.startswith("pip "):
        yield v4.new_code_cell(f"%%sh -e\n{code}")
    elif language == "toml":
        first, _, settings = code.partition("\n")
        yield v4.new_code_cell(f"%%writefile {first.removeprefix('# ')}\n{settings}")
    elif language != "text":
        yield v4.new_markdown_cell(f"```{language}\n{code}\n```")
