"""``rbinfer.toml``: a site's defaults, and whence each is."""

import json
from pathlib import Path

import pytest

from rbinfer.cli import build_parser, main
from rbinfer.cli.parser import verbs_of
from rbinfer.cli.site import parse_with_site, read_site

FIELD = Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return a function that writes the user's file and the folder's."""
    folder, home = tmp_path / "here", tmp_path / "config"
    (home / "rbinfer").mkdir(parents=True)
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))

    def write(here="", user=""):
        (folder / "rbinfer.toml").write_text(here)
        (home / "rbinfer" / "rbinfer.toml").write_text(user)

    return write


def summary(capsys, *argv):
    assert main(["classify", str(FIELD), "--json", "-o", "o.csv", "--overwrite", *argv]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out)["summary"], captured.err


def parsed(*words):
    """Return the options of a command line, and the names of the defaults that hold for it."""
    parser = build_parser()
    verbs = verbs_of(parser)
    options, _, used = parse_with_site(parser, verbs[words[0]], words, read_site(verbs)[words[0]])
    return options, sorted(used)


def test_the_folder_goes_over_the_user_and_the_command_line_over_both(site, capsys):
    site(here="threshold = 0.3", user="threshold = 0.2\nfwhm = 3.5\n")
    found, err = summary(capsys)
    assert (found["threshold"], found["fwhm"], found["fwhm_source"]) == (0.3, 3.5, "given")
    assert "rbinfer: defaults from rbinfer.toml: threshold 0.3\n" in err
    assert "config/rbinfer/rbinfer.toml: fwhm 3.5\n" in err
    found, err = summary(capsys, "--threshold", "0.4", "--fwhm", "2.5")
    assert (found["threshold"], found["fwhm"]) == (0.4, 2.5)
    assert "defaults from" not in err
    assert "defaults from" not in summary(capsys, "-q")[1]


def test_the_table_of_a_verb_goes_over_what_all_share(site, capsys):
    site(here='real = ["star", "galaxy"]\nthreshold = 0.3\n[classify]\nthreshold = 0.6\nfilter = true\n')
    found, _ = summary(capsys)
    assert found["threshold"] == 0.6
    assert len(Path("o.csv").read_text().splitlines()) == found["real"] + 1
    assert found["real"] < found["detections"]


def test_another_way_to_say_the_threshold_takes_the_place_of_the_default(site, capsys):
    site(here="threshold = 0.3")
    found, err = summary(capsys, "--max-missed", "1%")
    assert found["expected"]["missed"] <= 0.01
    assert "defaults from" not in err
    site(here='max-missed = "1%"')
    assert summary(capsys)[0]["threshold"] == found["threshold"]
    assert summary(capsys, "--threshold", "0.25")[0]["threshold"] == 0.25


def test_what_is_about_a_catalogue_has_no_say_without_one(site, capsys, tmp_path):
    text = 'format = "CSV"\nx-col = "col2"\ny-col = "col3"\norigin = 1\nswap-xy = true\nflip-x = true\n'
    site(here=f'[classify]\n{text}flip-y = true\nscale-xy = 2\nshift-xy = "3,4"\ntrust-positions = true')
    found, err = summary(capsys)
    assert found["detections"] == 133
    assert err.startswith("rbinfer: defaults from rbinfer.toml: trust-positions true\n")
    (tmp_path / "cat.txt").write_text("1 20.0 30.0\n2 40.0 50.0\n")
    found, err = summary(capsys, "--catalog", str(tmp_path / "cat.txt"))
    assert found["detections"] == 2
    assert "x-col col2, y-col col3, origin 1" in err
    # What is typed is refused as ever.
    assert main(["classify", str(FIELD), "--origin", "1"]) == 1
    assert "are about a catalogue" in capsys.readouterr().err


def test_the_detector_of_a_site_is_for_images_without_a_catalogue(site):
    site(here='[batch]\ndetector = "sep"\norigin = 1\ncatalog = "{stem}.cat"')
    options, used = parsed("batch", "a.fits", "-o", "out")
    assert (options.catalog, options.detector, options.origin) == ("{stem}.cat", "rbinfer", 1)
    assert used == ["catalog", "origin"]
    site(here='[batch]\ndetector = "sep"\norigin = 1')
    options, used = parsed("batch", "a.fits", "-o", "out")
    assert (options.detector, options.origin, used) == ("sep", None, ["detector"])


@pytest.mark.parametrize("verb", ["batch", "night"])
def test_workers_and_a_scheduler_exclude_each_other(site, capsys, verb):
    words = (verb, "in", "-o", "out")
    site(here=f"[{verb}]\nworkers = 4")
    options, used = parsed(*words, "--scheduler", "tcp://host:8786")
    assert (options.workers, options.scheduler, used) == (None, "tcp://host:8786", [])
    assert parsed(*words)[0].workers == 4
    site(here=f'[{verb}]\nscheduler = "tcp://host:8786"', user=f"[{verb}]\nworkers = 4")
    options, used = parsed(*words)
    assert (options.workers, options.scheduler, used) == (None, "tcp://host:8786", ["scheduler"])
    options, used = parsed(*words, "--workers", "2")
    assert (options.workers, options.scheduler, used) == (2, None, [])
    site(here=f'[{verb}]\nscheduler = "tcp://host:8786"\nworkers = 4')
    assert main(["config"]) == 1
    assert f"[{verb}] scheduler and workers exclude each other; keep one" in capsys.readouterr().err


def test_columns_at_the_top_are_not_for_a_night(site, capsys):
    site(here='columns = ["classes"]\nthreshold = 0.3')
    assert main(["config", "--all"]) == 0
    tables = {part.splitlines()[0]: part for part in capsys.readouterr().out.split("\n\n")[1:]}
    assert "columns" not in tables["[night]"]
    assert "threshold" in tables["[night]"]
    for verb in ("classify", "batch", "watch"):
        assert "columns" in tables[f"[{verb}]"]
    options, used = parsed("night", "in", "-o", "out")
    assert (options.columns, options.threshold, used) == ((), 0.3, ["threshold"])


def test_what_a_verb_says_goes_over_another_way_to_say_it_at_the_top(site, capsys):
    site(here='max-missed = "1%"\n[classify]\nthreshold = 0.3', user='[classify]\nmax-false = "5%"')
    found, err = summary(capsys)
    assert found["threshold"] == 0.3
    assert "max-missed" not in err
    assert main(["explain", str(FIELD), "--row", "3"]) == 0
    assert "max-missed 1%" in capsys.readouterr().err


def test_what_stands_at_the_top_holds_for_a_look_at_one_detection(site, capsys):
    site(here="\ufefffwhm = 2.5\nthreshold = 0.9995")  # some editors begin a file so
    found, _ = summary(capsys)
    assert found["fwhm"] == 2.5
    score = float(Path("o.csv").read_text().splitlines()[4].split(",")[-3])
    assert main(["explain", str(FIELD), "--row", "3"]) == 0
    out = capsys.readouterr().out
    assert f"score {score:.4f}" in " ".join(out.split()) or f"{score:.3f}" in out
    assert "0.9995" in out


def test_a_required_option_and_counted_ones(site, capsys, tmp_path):
    site(
        here=f'quiet = 1\n[report]\noutput = "{tmp_path}/p.txt"\n[batch]\noutput = "results"\nworkers=1'
    )
    assert main(["batch", str(FIELD)]) == 0
    assert capsys.readouterr().err == ""
    assert Path("results/field.ecsv").exists()
    assert main(["report", "results"]) == 1
    assert "call it p.html" in capsys.readouterr().err


def test_an_option_with_two_names_is_known_by_both(site, capsys, tmp_path):
    (tmp_path / "cat.txt").write_text("1 20.0 30.0\n2 40.0 50.0\n")
    columns = ("--x-col", "col2", "--y-col", "col3", "--trust-positions")
    for key in ("format", "catalog-format", "catalog_format"):
        site(here=f'[classify]\n{key} = "CSV"')
        found, _ = summary(capsys, "--catalog", str(tmp_path / "cat.txt"), *columns)
        assert found["detections"] == 2, key


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ('allow = "/data/a,b"', ["/data/a,b"]),
        ('allow = ["/data/a", "/data/b"]', ["/data/a", "/data/b"]),
        ("allow = []", []),
    ],
)
def test_folders_are_a_text_or_a_list_and_the_command_line_goes_over_them(site, text, folders):
    site(here=f"[serve]\n{text}")
    options, used = parsed("serve")
    assert (options.allow, used) == (folders, ["allow"])
    options, used = parsed("serve", "--allow", "/x", "--allow", "/y")
    assert (options.allow, used) == (["/x", "/y"], [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[serve]\nallow = true", "allow is true, but a value is needed"),
        ("treshold = 0.4", "treshold is no option; did you mean threshold?"),
        ("workers = 4", "workers is not the same for all verbs; put it below [batch]"),
        ("[batch]\nworkrs = 4", "[batch] workrs is no option; did you mean workers?"),
        ("[bach]\nworkers = 4", "[bach] is no verb of rbinfer; did you mean batch?"),
        ("threshold = 2", "threshold: 2 does not lie in [0, 1]"),
        ("threshold = true", "threshold is true, but a value is needed"),
        ('device = "gpu"', "device is gpu, which is none of auto, cpu, cuda"),
        ("[classify]\nfilter = 1", "filter is 1, but true or false is needed"),
        ('quiet = "very"', "quiet is very, but a number is needed"),
        ("threshold = ", "are no TOML"),
        ("help = true", "help is no option"),
    ],
)
def test_what_has_no_meaning_is_refused(site, capsys, text, words):
    site(here=text)
    for argv in (["classify", str(FIELD)], ["config"]):
        assert main(argv) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("rbinfer: error: ")
        assert "rbinfer.toml" in captured.err
        assert words in captured.err
    with pytest.raises(SystemExit) as stop:
        main(["classify", "--help"])
    assert stop.value.code == 0


def test_config_says_what_holds_and_whence(site, capsys, tmp_path):
    site(here="threshold = 0.3\n[batch]\nworkers = 4", user='model = "reference"')
    assert main(["config", "--all"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[:2] == [
        f"read  {tmp_path}/config/rbinfer/rbinfer.toml",
        f"read  {tmp_path}/here/rbinfer.toml",
    ]
    tables = {part.splitlines()[0]: part.splitlines()[1:] for part in text.split("\n\n")[1:]}
    scoring = ["[classify]", "[batch]", "[night]", "[watch]"]
    assert list(tables) == [*scoring, "[stamps]", "[explain]", "[completeness]"]
    for verb in scoring:
        cells = {row.split()[0]: row.split()[1:] for row in tables[verb]}
        assert cells["threshold"] == ["0.3", "rbinfer.toml"]
        assert cells["model"] == ["reference", f"{tmp_path}/config/rbinfer/rbinfer.toml"]
        assert cells["device"] == ["auto", "default"]
        assert cells["fwhm"] == ["-", "default"]
    assert any(row.split() == ["workers", "4", "rbinfer.toml"] for row in tables["[batch]"])
    assert not any(row.startswith("workers") for row in tables["[watch]"])


def test_config_prints_what_is_set_alone(site, capsys, tmp_path):
    site(here="threshold = 0.3\n[batch]\nworkers = 4")
    also = ("watch", "stamps", "explain", "completeness")
    assert main(["config"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"read  {tmp_path}/config/rbinfer/rbinfer.toml",
        f"read  {tmp_path}/here/rbinfer.toml",
        "",
        "[classify]",
        "threshold  0.3  rbinfer.toml",
        "",
        "[batch]",
        "threshold  0.3  rbinfer.toml",
        "workers    4    rbinfer.toml",
        "",
        "[night]",
        "threshold  0.3  rbinfer.toml",
        *(line for verb in also for line in ("", f"[{verb}]", "threshold  0.3  rbinfer.toml")),
        "",
        "the rest as by default; --all lists the options",
    ]


def test_without_a_file_nothing_changes(site, capsys, tmp_path):
    assert main(["config"]) == 0
    assert capsys.readouterr().out.endswith("\nall as by default; --all lists the options\n")
    assert main(["config", "--all"]) == 0
    out = capsys.readouterr().out
    assert f"absent  {tmp_path}/here/rbinfer.toml" in out
    assert {line.split()[-1] for line in out.splitlines() if line.startswith(("fwhm", "mask"))} == {
        "default"
    }
    assert "defaults from" not in summary(capsys)[1]
