"""The README's commands and code do what it shows, and its figures are those that were measured."""

import re
import sys

import pytest

from ..snippets import INSTALL, ROOT, commands, fill, run_page

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
#: How lines begin that are not run, and why.
NOT_RUN = {
    'python3 -m venv .venv && .venv/bin/pip install -q -e ".[train,test]"': "these tests, from within",
}


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs"), *sys.path])
    from generate import figures

    return figures


def test_commands_and_code(tmp_path):
    fill(tmp_path)
    count = run_page(TEXT, tmp_path, NOT_RUN, names={})
    assert (count.run, count.compared) == (3, 1)


def test_what_is_not_run_is_there():
    for start in NOT_RUN:
        assert any(command.startswith(start) for command in commands(TEXT)), start
    assert sum(command.startswith(INSTALL) for command in commands(TEXT)) == 1


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 120


def test_figures_are_those_of_the_files(figures):
    found = figures.results(ROOT)
    assert figures.pieces(ROOT)["rivals"] in TEXT
    ahead = [group for group, names in found["rivals"]["higher_than_ours"].items() if names]
    assert len(ahead) == 3
    assert "They are better on three of the groups." in TEXT
    rates = found["throughput"]["objects_per_s"]
    assert f"| {rates['default network, 2 threads']:,.0f} objects per second" in TEXT
    assert f"(the reference pipeline: {rates['reference pipeline']:,.0f})" in TEXT
    assert f"| {found['coldstart']['median_s']['rbinfer classify, default model']:.2f} s |" in TEXT


def test_links_lead_to_files():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
