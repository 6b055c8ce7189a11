"""Pages made from the program say what the program says."""

import re

from rbinfer.cli import build_parser
from rbinfer.cli.parser import verbs_of
from rbinfer.io.formats import FORMATS
from rbinfer.model.registry import shipped_model
from rbinfer.model.session import read_spec
from rbinfer.status import MEANING, Status

from ..snippets import ROOT


def test_every_option_of_every_verb_is_on_its_page(generate):
    pages = generate.commands.pages()
    verbs = verbs_of(build_parser())
    assert {f"rbinfer-{name}" for name in verbs} == {name for name in pages if "rbinfer" in name}
    for name, verb in verbs.items():
        options = {each for action in verb._actions for each in action.option_strings}
        heads = re.findall(r"^(`-.*`)\n:", pages[f"rbinfer-{name}"], re.MULTILINE)
        named = {each for head in heads for each in re.findall(r"`(-[\w-]+)`", head)}
        assert options <= named, name


def test_text_of_the_parser_is_no_markup(generate):
    assert generate.commands.plain("rb_score of [A|B] * 2") == r"rb\_score of \[A\|B\] \* 2"
    assert "%(default)s" not in "".join(generate.commands.pages().values())
    assert "such as 1%\n" in generate.commands.pages()["rbinfer-classify"]


def test_tables_have_a_row_for_each(generate):
    pieces = generate.tables.pieces()
    assert pieces["status-bits"].count("\n") == len(MEANING) + 2
    assert f"| 4096 | `LOW_SNR` | {MEANING[Status.LOW_SNR]} |" in pieces["status-bits"]
    assert pieces["mask-bits"].splitlines()[2:] == [
        "| 1 | `cosmic_ray` |",
        "| 2 | `hot_pixel` |",
        "| 4 | `trail` |",
    ]
    rows = pieces["formats"].splitlines()
    assert len(rows) == len(FORMATS) + 2
    for row in (
        "| `ECSV` | `.ecsv` | 0 | yes |",
        "| `FITS_LDAC` | `.ldac` `.cat` `.fits` `.fit` `.fts` | 0 | back |",
        "| `IRAF` | `.mag` `.coo` `.als` `.nst` | 1 | no |",
        "| `CSV` | `.csv` `.tsv` `.tab` `.txt` `.dat` `.asc` | 0 | `.csv`; others back |",
    ):
        assert row in rows


def test_what_thresholds_cost_is_what_the_model_tells(generate):
    rows = generate.tables.pieces()["thresholds"].splitlines()[2:]
    points = read_spec(shipped_model()).operating_points
    assert len(rows) == len(points)
    for point in points:
        kind, rate = point.name.split()
        costs = f"| {point.threshold:.3f} | {point.missed:.1%} | {point.false:.1%} |"
        assert f"| `--max-{kind} {float(rate[:-1]):g}%` {costs}" in rows
    assert [row.split("|")[2] for row in rows] == sorted(row.split("|")[2] for row in rows)


def test_figures_are_those_of_the_files(generate):
    pieces = generate.figures.pieces(ROOT)
    rivals = generate.figures.results(ROOT)["rivals"]
    ours = next(line for line in pieces["rivals"].splitlines() if line.startswith("| rbinfer"))
    assert f"| {rivals['summary']['ours']['auc']:.3f} |" in ours
    seconds = [line.split("|")[-2].strip() for line in pieces["rivals"].splitlines()[2:]]
    assert all(len(each.replace(".", "").lstrip("0")) <= 2 for each in seconds), seconds
    frames = generate.figures.model_metrics(ROOT)["images"]
    assert pieces["real-frames"].count("\n") == len(frames) + 2
    assert re.search(
        r"^\| `oscaar_dark` .* \| - \| - \| 0\.0000 \|$", pieces["real-frames"], re.MULTILINE
    )


def test_figures_of_decisions_are_read_from_the_files(generate):
    results, pieces = generate.figures.results(ROOT), generate.figures.pieces(ROOT)
    rates = results["promotion"]["called better"]["25 % of the bogus won, 3% wrong"]
    assert f"| 25 % of the bogus won | {rates[0]:.3f} |" in pieces["promotion"]
    for file, layers in (("adapt", "last"), ("adapt_layers", "all")):
        for group, found in results[file].items():
            [row] = [
                line
                for line in pieces["adapted"].splitlines()
                if line.startswith(f"| {group} | {found['labels']['all']} | {layers} |")
            ]
            assert f"+{found['kept apart']['kept']['won']} -" in row
    for fault, found in results["drift"]["against three nights"]["faults"].items():
        assert f"| {fault} | {found['within 5 frames']} of {found['nights']} |" in pieces["drift"]
    for page in ("decisions/adapt.md", "explanation/drift.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert not re.findall(r"\b0\.\d{3,}\b|\d of \d", text)
