"""The notebooks of the tutorials are their pages, and run."""

import os
import re
import sys
from pathlib import Path

import jinja2
import nbclient
import nbformat
import pytest

from rbinfer.measure.warmup import warmup

from ..snippets import ROOT, as_pattern, blocks, commands, settled

PAGE = """# A page

See [the other](../other.md) or [a site](https://example.org).

```sh
pip install ".[train]"
```

```toml
# tiny.toml
name = "tiny"
epochs = {{ epochs }}
```

```sh
rbtrain fit tiny.toml
ls
```

```text
not kept
```

```python
print(1)
```
"""


@pytest.fixture(scope="module")
def texts(generate):
    return generate.notebooks.pieces(ROOT, generate.figures.substitutions(ROOT))


def page_of(name):
    return (ROOT / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8")


def printed_by(notebook):
    """Return all that the cells printed, as a terminal would show it."""
    parts = [out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", [])]
    return "".join(parts)


def test_blocks_become_cells(generate):
    cells = generate.notebooks.notebook(PAGE, {"epochs": 3}).cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        ("markdown", "# A page\n\nSee the other or [a site](https://example.org)."),
        ("markdown", '```sh\npip install ".[train]"\n```'),
        ("code", '%%writefile tiny.toml\nname = "tiny"\nepochs = 3'),
        ("code", "%%sh -e\nrbtrain fit tiny.toml\nls"),
        ("code", "print(1)"),
    ]


def test_a_figure_that_is_not_there_is_an_error(generate):
    with pytest.raises(jinja2.UndefinedError, match="'epochs' is undefined"):
        generate.notebooks.notebook(PAGE, {})


def test_notebooks_hold_every_command_of_their_pages(texts):
    assert len(texts) == 4
    for name, text in texts.items():
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
        sources = "\n".join(cell.source for cell in notebook.cells)
        found = commands(page_of(name))
        assert found
        assert [command for command in found if command not in sources] == []
        assert "{{" not in sources


@pytest.mark.parametrize("name", ["first_image", "your_catalogue", "a_night"])
def test_notebook_runs(name, texts, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    if name == "a_night":
        pytest.importorskip("astroalign")
    warmup()  # what pages show is printed where the kernels are ready
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("RBINFER_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.reads(texts[name], as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = settled(printed_by(notebook))
    shown = [block.shown for block in blocks(page_of(name)) if block.shown]
    assert shown
    for text in shown:
        assert re.search(as_pattern(text), printed), f"{text}\nis not in\n{printed}"
