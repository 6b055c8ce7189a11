"""The README's commands and code do what it shows, and its figures are those that were measured."""

import re
import runpy

import numpy as np
from astropy.table import Table

from ..snippets import FIELD, INSTALL, ROOT, commands, fill, run_page

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
#: How lines begin that are not run, and why.
NOT_RUN = {
    'python3 -m venv .venv && .venv/bin/pip install -q -e ".[train,test]"': "these tests, from within",
}


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


def test_figures_are_those_of_the_files(generate):
    figures = generate.figures
    found = figures.results(ROOT)
    assert figures.pieces(ROOT)["rivals"] in TEXT
    ahead = [group for group, names in found["rivals"]["higher_than_ours"].items() if names]
    number = ("none", "one", "two", "three", "four")[len(ahead)]
    behind = f"On {number} of the groups, real kept minus bogus let in is higher for another tool."
    if not ahead:
        behind = "On none of the groups is real kept minus bogus let in higher for another tool."
    assert behind in " ".join(TEXT.split())
    rates = found["throughput"]["objects_per_s"]
    assert f"| {rates['default network, 2 threads']:,.0f} objects per second" in TEXT
    assert f"(the reference pipeline: {rates['reference pipeline']:,.0f})" in TEXT
    assert found["throughput"]["cpus"] == found["coldstart"]["cpus"] == 2
    assert "on a machine with two cores" in " ".join(TEXT.split())
    start = found["coldstart"]["median_s"]["rbinfer classify, default model"]
    assert f"| a new process, {found['coldstart']['positions']:,} rows | {start:.2f} s |" in TEXT
    sizes = found["install"]["bytes"]
    assert (
        f"| {sum(sizes.values()) / 1e6:.0f} MB, "
        f"of which rbinfer and its models are {sizes['rbinfer'] / 1e6:.1f} MB |" in TEXT
    )


def test_verdicts_on_the_example_are_counted_right():
    example = runpy.run_path(str(ROOT / "benchmarks" / "example" / "score_field.py"))
    scored, _ = example["classify"]()
    types = example["true_types"](scored, Table.read(FIELD.with_name("truth.ecsv")))
    real = np.asarray(scored["rb_score"]) > scored.meta["rb_threshold"]
    artefact = ~np.isin(types, example["SKY"])
    star, galaxy = (real[types == name] for name in example["SKY"])
    assert not real[artefact].any()
    assert (
        f"All {artefact.sum()} detected artefacts are called bogus; "
        f"{star.sum()} of the {star.size} detected stars and "
        f"{galaxy.sum()} of the {galaxy.size} galaxies are called real."
    ) in " ".join(TEXT.split())


def test_links_lead_to_files():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
