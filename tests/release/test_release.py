"""What a release is made of: notes, oldest dependencies, files that agree on version and packages."""

import re
import runpy
import tomllib

import pytest

import rbinfer

from ..snippets import ROOT

section = runpy.run_path(str(ROOT / "release" / "notes.py"))["section"]
oldest = runpy.run_path(str(ROOT / "release" / "requirements.py"))["oldest"]
CHANGELOG = (
    "# Changelog\n\n## 0.2.0 (unreleased)\n\n- new\n\n### Changed\n\n- other\n\n## 0.1.0\n\n- first\n"
)


def test_notes_are_one_section_with_what_is_below_it():
    assert section(CHANGELOG) == "- new\n\n### Changed\n\n- other\n"
    assert section(CHANGELOG, "0.1.0") == "- first\n"


@pytest.mark.parametrize(
    ("text", "version", "said"),
    [
        (CHANGELOG, "0.3.0", "no section 0.3.0; it has 0.2.0, 0.1.0"),
        ("# Changelog\n", None, "no section at all; it has none"),
        ("## 0.2.0\n\n## 0.1.0\n\n- first\n", None, "section 0.2.0 of the changelog is empty"),
    ],
)
def test_notes_that_are_not_there_are_an_error(text, version, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        section(text, version)


def test_newest_section_is_of_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert section(text) == section(text, rbinfer.__version__)


def test_oldest_is_a_minor_release_with_its_corrections():
    assert oldest("numpy>=1.26") == "numpy==1.26.*"
    assert oldest("packaging>=23") == "packaging==23.*"
    assert oldest("numba>=0.61; sys_platform != 'linux'") == "numba==0.61.*; sys_platform != 'linux'"
    with pytest.raises(ValueError, match="not of the form"):
        oldest("numpy<2")


def test_citations_have_the_version():
    for name, line in (
        ("CITATION.cff", f"\nversion: {rbinfer.__version__}\n"),
        ("docs/how-to/cite.md", f"version = {{{rbinfer.__version__}}}\n"),
        ("docs/how-to/cite.md", f"with rbinfer {rbinfer.__version__} and its model default "),
    ):
        assert line in (ROOT / name).read_text(encoding="utf-8"), (name, line)


def test_recipe_has_the_version_and_the_dependencies_of_the_project():
    recipe = (ROOT / "release" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert re.search(r'^  version: "(.*)"$', recipe, re.MULTILINE)[1] == rbinfer.__version__
    run = re.search(r"^  run:\n((?:    - .*\n)+)", recipe, re.MULTILINE)[1]
    wanted = {each.replace(" ", "") for each in re.findall(r"- (.*)", run) if "python " not in each}
    # conda-forge's astropy-base is what PyPI's astropy is.
    named = {each.split(";")[0] for each in project["dependencies"]}
    assert {each.replace("astropy-base", "astropy") for each in wanted} == named


def test_notices_name_every_dependency():
    notices = (
        (ROOT / "THIRD_PARTY.md")
        .read_text(encoding="utf-8")
        .lower()
        .replace("onnx runtime", "onnxruntime")
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"^\| ([\w-]+) \|", notices, re.MULTILINE)) - {"package", "---"}
    assert named == {re.match(r"[\w-]+", each)[0] for each in project["dependencies"]}
