"""Mistakes on the command line are answered in a sentence that says what to do."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits

from rbinfer._util.sentences import did_you_mean, unforeseen
from rbinfer.cli import build_parser, main
from rbinfer.cli.parser import verbs_of

FIELD = Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits"


def refused(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in argv])
    captured = capsys.readouterr()
    assert (stop.value.code, captured.out) == (2, "")
    text = captured.err.removesuffix("\n")
    assert text.startswith("rbinfer: error: ")
    assert "\n" not in text
    assert "usage" not in text
    return text.removeprefix("rbinfer: error: ")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ("clasify x.fits", "there is no verb clasify; did you mean classify? (rbinfer -h)"),
        ("Batch x.fits", "there is no verb Batch; did you mean batch? (rbinfer -h)"),
        ("zzz", "there is no verb zzz (rbinfer -h)"),
        ("x.fits", "x.fits is an image, not a verb; did you mean 'rbinfer classify x.fits'?"),
        (".", ". is a folder, not a verb; 'rbinfer batch . -o RESULTS' scores its images"),
        ("classify", "IMAGE is missing (rbinfer classify -h)"),
        ("batch x.fits", "-o/--output is missing (rbinfer batch -h)"),
        ("classify x.fits --treshold 1", "there is no option --treshold; did you mean --threshold?"),
        ("classify x.fits --Model=m", "there is no option --Model; did you mean --model?"),
        # The slip is why the other is missing.
        ("batch x.fits --ouput y", "there is no option --ouput; did you mean --output?"),
        ("classify x.fits --threshold", "--threshold needs a value"),
        ("classify x.fits --fwhm wide", "--fwhm: 'wide' is not a number"),
        ("explain x.fits --at 4.5;53", "--at: 4.5;53 is not two numbers separated by a comma, such as"),
        ("classify x.fits --device cup", "--device cannot be 'cup'; did you mean cpu?"),
        ("classify x.fits --device x", "--device cannot be 'x'; it is one of auto, cpu, cuda"),
        ("classify x.fits --origin 2", "--origin cannot be '2'; it is one of 0, 1"),
        ("classify x.fits --json=3", "--json takes no value"),
        ("classify x.fits --max 1%", "--max may stand for --max-missed, --max-false; write it out"),
        (
            "classify x.fits --threshold .2 --max-false 1%",
            "--max-false and --threshold exclude each other; give one of them",
        ),
        ("models lits", "ACTION cannot be 'lits'; did you mean list?"),
        (
            "classify a.fits b.fits c.fits d.fits",
            "scores one image; 'rbinfer batch a.fits b.fits c.fits ... -o RESULTS' scores several",
        ),
        ("classify a.fits c.csv", "'c.csv' is one argument too many; a catalogue is named by --catalog"),
        ("status 1 2", "'2' is one argument too many (rbinfer status -h)"),
    ],
)
def test_mistakes(capsys, argv, sentence):
    assert sentence in refused(capsys, *argv.split())


def test_nothing_but_the_program(capsys):
    assert refused(capsys).startswith("a verb is missing: classify, batch, night, watch, ")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (".", ". is a folder; 'rbinfer batch . -o RESULTS' scores the images in it"),
        ("no*.fits", "no*.fits does not exist; 'rbinfer batch \"no*.fits\" -o RESULTS' scores all"),
    ],
)
def test_several_images_are_for_batch(capsys, tmp_path, monkeypatch, image, words):
    monkeypatch.chdir(tmp_path)
    assert main(["classify", image]) == 1
    assert words in capsys.readouterr().err


def test_a_folder_of_folders_is_for_recursive_batch(capsys, tmp_path):
    (tmp_path / "lights").mkdir()
    assert main(["classify", str(tmp_path)]) == 1
    assert f"'rbinfer batch {tmp_path} --recursive -o RESULTS'" in capsys.readouterr().err


def test_a_name_with_brackets_is_a_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fits.writeto("a[1].fits", fits.getdata(FIELD))
    assert main(["classify", "a[1].fits", "-q", "-o", "o.ecsv"]) == 0


@pytest.mark.parametrize("verb", ["", *verbs_of(build_parser()), "models list", "models verify"])
def test_every_help_holds_an_example_that_is_parsed(capsys, verb):
    with pytest.raises(SystemExit) as stop:
        main([*verb.split(), "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    example = out[out.rindex("example:") :].splitlines()[1:]
    assert example
    for line in example:
        assert line.startswith("  rbinfer ")
        words = shlex.split(line)[1:]
        build_parser().parse_args(words[: words.index(">")] if ">" in words else words)


def test_no_type_of_pythons_is_named(capsys, monkeypatch):
    def fail(*_):
        raise AttributeError("'NoneType' object has no attribute 'write'")

    monkeypatch.setattr("rbinfer.status.explain", fail)
    assert main(["status", "1"]) == 1
    err = capsys.readouterr().err
    assert err == "rbinfer: error: an error that rbinfer does not foresee (--debug shows where)\n"
    with pytest.raises(AttributeError):
        main(["status", "1", "--debug"])


def test_unforeseen_errors_in_words():
    assert unforeseen(ValueError("two\n words")).endswith("does not foresee: two words")
    assert unforeseen(TypeError("expected str, not <class 'int'>")).endswith("not foresee")
    assert unforeseen(MemoryError()) == "the memory does not suffice"
    assert unforeseen(OSError(28, "No space left", "a.fits")) == "a.fits: No space left"


def test_the_closest_word():
    known = ["threshold", "model", "FWHM"]
    assert did_you_mean("fwmh", known) == "; did you mean FWHM?"
    assert did_you_mean("quite another", known) == ""


def test_the_terminal_knows_no_parameters(capsys, tmp_path):
    (tmp_path / "o.csv").write_text("mine")
    assert main(["classify", str(FIELD), "-o", str(tmp_path / "o.csv")]) == 1
    assert capsys.readouterr().err.endswith("exists and is kept; use --overwrite\n")
    argv = ["classify", str(FIELD), "--catalog", str(FIELD), "--x-col", "x"]
    assert main(argv) == 1
    assert "--x-col and --y-col go together" in capsys.readouterr().err
    assert main(["classify", str(FIELD), "--flip-y", "--shift-xy=-1.5,2"]) == 1
    err = capsys.readouterr().err
    assert err.endswith("error: --flip-y --shift-xy=-1.5,2.0 is about a catalogue; give --catalog too\n")


@pytest.mark.parametrize(
    ("verb", "goes_on"), [("batch", True), ("night", True), ("watch", True), ("classify", False)]
)
def test_what_is_interrupted_says_how_it_goes_on(capsys, monkeypatch, tmp_path, verb, goes_on):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"rbinfer.cli.{verb}.run", interrupted)
    assert main([verb, FIELD.as_posix(), "-o", str(tmp_path / "out.fits")]) == 130
    said = "; the same command goes on where it stopped" if goes_on else ""
    assert capsys.readouterr().err == f"rbinfer: interrupted{said}\n"


# ---------------------------------------------------------------------------- closed streams


def closed(tmp_path, redirection, *argv, **env):
    command = f'exec "$0" -m rbinfer "$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, *map(str, argv)],
        cwd=tmp_path,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("argv", [["classify", FIELD], ["classify", FIELD, "-o", "o.csv", "--json"]])
def test_rows_are_not_sent_to_a_closed_stdout(tmp_path, argv):
    done = closed(tmp_path, ">&-", *argv)
    text = "rbinfer: error: the standard output is closed; name a file for the rows with -o\n"
    assert (done.returncode, done.stderr) == (1, text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [["status"], ["--help"], ["models", "list"], ["doctor"]])
def test_what_prints_says_that_stdout_is_closed(tmp_path, argv):
    done = closed(tmp_path, ">&-", *argv)
    assert done.returncode == 1
    assert done.stderr.startswith("rbinfer: error: the standard output is closed; ")
    assert done.stderr.count("\n") == 1


def test_a_closed_stdout_does_not_matter_beside_a_file(tmp_path):
    done = closed(tmp_path, ">&-", "classify", FIELD, "-o", "o.csv")
    assert (done.returncode, "133 detections" in done.stderr) == (0, True)
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 134


def test_a_closed_stderr_costs_the_messages_alone(tmp_path):
    wanted = closed(tmp_path, "", "classify", FIELD)
    done = closed(tmp_path, "2>&-", "classify", FIELD)
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted.stdout, "")
    assert closed(tmp_path, "2>&-", "classify", "none.fits").returncode == 1
    both = closed(tmp_path, ">&- 2>&- <&-", "classify", FIELD, "-o", "o.csv")
    assert (both.returncode, both.stdout, both.stderr) == (0, "", "")
    assert (tmp_path / "o.csv").stat().st_size > 0


@pytest.mark.parametrize("argv", [["classify", FIELD, "-o", "o.csv"], ["warmup"]])
def test_numba_that_does_not_compile_is_told(tmp_path, argv):
    # No library, and no compiler to make one.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bash").symlink_to(shutil.which("bash"))
    nothing = {"XDG_CACHE_HOME": str(tmp_path / "none"), "PATH": str(tmp_path / "bin")}
    done = closed(tmp_path, "", *argv, "-q", NUMBA_DISABLE_JIT="1", **nothing)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "rbinfer: error: the kernels are not compiled, because NUMBA_DISABLE_JIT is set, and cannot run "
        "as they are; unset it\n"
    )
    assert not (tmp_path / "o.csv").exists()


def test_a_damaged_image_is_one_sentence_in_a_new_process(tmp_path):
    # What Astropy warns of while it is first imported must not reach the terminal either.
    path = tmp_path / "half.fits"
    path.write_bytes(FIELD.read_bytes()[:200_000])
    done = subprocess.run(
        [sys.executable, "-m", "rbinfer", "classify", str(path)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    sentence = f"rbinfer: error: {path} cannot be read as FITS: it is truncated"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_an_hdu_in_brackets_is_told_how_to_be_given(tmp_path, capsys):
    image = tmp_path / "m.fits"
    image.touch()
    assert main(["classify", f"{image}[2]"]) == 1
    assert f"{image}[2] does not exist; give {image} and --hdu 2" in capsys.readouterr().err
