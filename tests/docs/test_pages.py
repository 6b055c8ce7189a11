"""The pages of the documentation do what they show."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib

import jinja2
import pytest

from rbinfer.measure.warmup import warmup

from ..snippets import FIELD, ROOT, blocks, commands, fences, fill, is_run, python, run_page

DOCS = ROOT / "docs"
#: How lines begin that are not run, and why.
NOT_RUN = {
    "python3 -m venv": "installs; the tests run where that was done",
    "pip ": "installs",
    "RBINFER_LEVELS=2,3,4 pip wheel": "compiles for minutes; nox builds the wheels",
    "rbinfer serve": "until it is ended; tests/infer/serve runs it",
    "curl -s localhost": "asks that service; tests/infer/serve does",
    "docker ": "needs a builder of containers",
    "ds9 ": "needs a screen",
    "rbinfer classify image.fits --samp": "needs a program that listens; tests/infer/io has one",
    "rbinfer classify image.fits --device cuda": "needs a GPU",
    "rbinfer batch night/ -o results/ --scheduler": "needs a cluster; tests/infer/runs starts one",
    "rbtrain simulate models/": "for hours; tests/train runs it",
    "rbtrain fit models/": "for hours; tests/train runs it",
    "rbtrain export models/": "what the line before makes; tests/train runs it",
    "rbtrain evaluate models/": "on files that are not here; tests/train runs it",
    "rbtrain sheet models/": "on files that are not here; tests/train runs it",
    "rbtrain export mine.keras": "what the Python code beneath makes; tests/train runs it",
    "rbinfer label": "until it is ended; tests/infer/label runs it",
    "rbinfer models history": "of a choice that was made; tests/infer/model has one",
    "rbinfer models rollback": "of a choice that was made; tests/infer/model has one",
    "rbtrain simulate my.toml": "on files that are not here; tests/train runs it",
    "rbtrain fit my.toml": "for hours; tests/train runs it",
    "rbtrain export my.toml": "what the line before makes; tests/train runs it",
    "rbtrain evaluate my.toml": "on files that are not here; tests/train runs it",
    "mkdir -p ~/.rbinfer": "what a training made that is not run; train_a_model.md has the like",
}
#: Pages whose Python code is not run here, and why.
NO_PYTHON = {
    "how-to/detection_programs.md": "test_examples.py runs it, with the packages that are installed",
    "how-to/training.md": "trains for hours; tests/train/test_api.py does it",
}
PAGES = {
    str(path.relative_to(DOCS)): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if not any(part.startswith("_") for part in path.relative_to(DOCS).parts)
}
#: Pages with something to run.
RUN = [
    name
    for name, text in PAGES.items()
    if any(is_run(command, NOT_RUN) for command in commands(text))
    or (name not in NO_PYTHON and any(block.language == "python" for block in blocks(text)))
]
#: What pages need beyond the base install and matplotlib.
NEEDS = {
    "how-to/command_line.md": "shtab",
    "tutorials/train_a_model.md": "tensorflow",
    "tutorials/a_night.md": "astroalign",
    "tutorials/your_camera.md": "astroalign",
}

#: Pages that tell what was measured once.
HISTORY = ("decisions/", "changelog")
#: Sizes, times, rates and fractions, which only measuring can tell.
MEASURED = re.compile(
    r"\b\d[\d,.]* ?(?:[kMG]B|m?s|times|\w+ per second|\w+/s)\b|\b0\.\d{3,}\b|\b\d+\.\d+ ?%"
)
#: What looks like that and is not, and why.
NOT_MEASURED = {
    "1.4 times": "the half-light diameter of a profile over its FWHM: arithmetic",
    "0.001": "the step of a labelled position: a convention",
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "filled"
    folder.mkdir()
    warmup()  # what pages show is printed where the kernels are ready
    fill(folder)
    shutil.copy(FIELD, folder / "image.fits")
    return folder


@pytest.mark.parametrize("name", RUN)
def test_page(name, filled, tmp_path):
    for package in ("matplotlib", NEEDS.get(name, "numpy")):
        if not importlib.util.find_spec(package):
            pytest.skip(f"{package} is not installed")
    place = tmp_path / "place"
    # Tutorials make whatever they need, from the clone alone, but that of one's own frames.
    if name.startswith("tutorials/") and name != "tutorials/your_camera.md":
        place.mkdir()
        (place / "benchmarks").symlink_to(ROOT / "benchmarks")
    else:
        shutil.copytree(filled, place, symlinks=True)
    assert run_page(PAGES[name], place, NOT_RUN, names=None if name in NO_PYTHON else {}).run > 0


def test_a_format_is_added_as_the_page_says(filled, tmp_path):
    page = [text for _, text in fences(PAGES["how-to/catalogue_formats.md"])]
    shutil.copy(filled / "detections.fits", tmp_path)
    python(page[0], tmp_path, {})
    source = tmp_path / "rbinfer"
    shutil.copytree(ROOT / "rbinfer", source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models", tmp_path / "models")
    [module] = [text for text in page if "def read_mycat" in text]
    [row] = [text for text in page if text.startswith("    Format(")]
    (source / "io" / "mycat.py").write_text(module)
    formats = (source / "io" / "formats.py").read_text()
    formats = formats.replace(
        "from .original", "from .mycat import is_mycat, read_mycat\nfrom .original"
    )
    formats = formats.replace('    Format(\n        "CSV"', row + '    Format(\n        "CSV"')
    (source / "io" / "formats.py").write_text(formats)
    program = (
        "from rbinfer.io.positions import positions\nfrom rbinfer.io.tables import read_catalog\n"
        "from astropy.table import Table\nimport numpy as np, rbinfer\n"
        "made, given = positions(read_catalog('frame.mycat')), Table.read('detections.fits')\n"
        "print(rbinfer.__file__, len(given), np.allclose(made, (given['x'], given['y']), atol=6e-4))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [str(source / "__init__.py"), "133", "True"], done.stderr


def test_every_figure_that_a_page_takes_from_a_file_is_there(generate):
    found = generate.figures.substitutions(ROOT) | {"version": "0"}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    with_figures = [name for name, text in PAGES.items() if "{{" in text]
    assert len(with_figures) >= 6
    for name in with_figures:
        assert "{{" not in environment.from_string(PAGES[name]).render(found), name


@pytest.mark.parametrize("name", [name for name in PAGES if not name.startswith(HISTORY)])
def test_no_measured_figure_is_typed(name):
    prose = re.sub(r"^```.*?^```$|`[^`\n]+`|{{.*?}}", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)
    assert set(MEASURED.findall(prose)) <= NOT_MEASURED.keys()


def test_what_measured_means():
    typed = "453 MB, in 0.35 s, 107,310 objects per second, 40 times as fast, 0.995, 2.5 ms and 99.8 %"
    assert len(MEASURED.findall(typed)) == 7


def test_what_reads_the_tables_of_a_night_is_installed_with_it():
    text = PAGES["tutorials/a_night.md"]
    assert 'Table.read("merged/detections.parquet")' in text
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    # Astropy reads Parquet with both.
    assert {"pyarrow", "pandas"} <= {re.split(r"[<>=]", each)[0] for each in extras["night"]}


def test_tutorials_are_run():
    assert {name for name in RUN if name.startswith("tutorials/")} == {
        "tutorials/first_image.md",
        "tutorials/your_catalogue.md",
        "tutorials/a_night.md",
        "tutorials/train_a_model.md",
        "tutorials/your_camera.md",
    }


def test_what_is_not_run_is_there():
    shown = [command for text in PAGES.values() for command in commands(text)]
    for start in NOT_RUN:
        assert any(command.startswith(start) for command in shown), start
