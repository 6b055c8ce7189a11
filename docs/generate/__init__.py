"""Pieces of the documentation that are made: commands, tables, figures, notebooks, pictures.

`write_all` is called by ``docs/conf.py`` before Sphinx reads the pages.
"""

from pathlib import Path

from . import commands, figures, notebooks, pictures, tables

ROOT = Path(__file__).resolve().parents[2]


def write_all(folder: Path) -> None:
    """Write every generated piece into a folder, which is made if need be.

    Parameters
    ----------
    folder : Path
        Pieces for ``{include}`` and pictures lie in it, pages of commands in ``commands`` below it, the
        tutorials' notebooks in ``notebooks``.
    """
    texts = {
        **{f"commands/{name}.md": text for name, text in commands.pages().items()},
        **{f"{name}.md": text for name, text in tables.pieces().items()},
        **{f"{name}.md": text for name, text in figures.pieces(ROOT).items()},
        **{
            f"notebooks/{name}.ipynb": text
            for name, text in notebooks.pieces(ROOT, figures.substitutions(ROOT)).items()
        },
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file that did not change keeps its date, so that Sphinx does not read it again.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("commands/*.md"):
        if f"commands/{path.name}" not in texts:
            path.unlink()
    pictures.draw_all(ROOT, folder)
