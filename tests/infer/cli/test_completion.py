"""``rbinfer completion``: the script works in a real bash."""

import os
import shutil
import subprocess
import sys

import pytest

from rbinfer.cli import build_parser, main
from rbinfer.cli.completion import FILES, FOLDERS, actions_of

#: Calls the function that the script registers, as bash does at TAB; prints a word a line.
TAB = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
registered=$(complete -p rbinfer) && [[ $registered =~ -F\\ ([^ ]+) ]] && "${BASH_REMATCH[1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
#: What stands in the usage for values that are no paths.
VALUES = {
    "A,B",
    "ADDRESS",
    "DX,DY",
    "X,Y",
    "G",
    "Z",
    "FORMAT",
    "NAME",
    "TEMPLATE",
    "VALUE",
    "B",
    "F",
    "H",
    "L",
    "N",
    "P",
    "R",
    "S",
    "T",
    "X",
    "Y",
    "CMD",
    "MB",
}


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    pytest.importorskip("shtab")
    path = tmp_path_factory.mktemp("completion") / "rbinfer.bash"
    with path.open("w") as file:
        subprocess.run([sys.executable, "-m", "rbinfer", "completion", "bash"], stdout=file, check=True)
    return path


@pytest.fixture
def tab(script, tmp_path):
    """Return what bash offers for a command line whose last word is not complete."""
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    for name in ("image.fits", "detections.fits"):
        (tmp_path / name).touch()
    (tmp_path / "night").mkdir()

    def offered(*words):
        done = subprocess.run(
            ["bash", "--norc", "-c", TAB, "tab", script, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    return offered


def test_verbs_options_and_choices(tab):
    assert tab("rbinfer", "cla") == ["classify"]
    assert tab("rbinfer", "classify", "--max-") == ["--max-missed", "--max-false"]
    assert tab("rbinfer", "classify", "--device", "") == ["auto", "cpu", "cuda"]
    assert tab("rbinfer", "models", "ver") == ["verify"]
    assert "--log-file" in tab("rbinfer", "models", "verify", "--")


def test_files_and_folders(tab):
    assert tab("rbinfer", "classify", "im") == ["image.fits"]
    assert tab("rbinfer", "classify", "image.fits", "--catalog", "det") == ["detections.fits"]
    assert tab("rbinfer", "status", "--log-file", "im") == ["image.fits"]
    assert tab("rbinfer", "report", "") == ["night"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_shell_has_a_script(capsys, shell):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    assert "max-missed" in capsys.readouterr().out


def test_every_argument_is_a_path_or_known_to_be_none():
    """A new verb says here, or in rbinfer.cli.completion, what its arguments are."""
    free = {
        action.metavar or action.dest
        for action in actions_of(build_parser())
        if action.nargs != 0 and not action.choices
    }
    assert free - FILES - FOLDERS <= VALUES


def test_shtab_that_is_not_installed(tmp_path):
    (tmp_path / "shtab.py").write_text("raise ImportError('none')")
    done = subprocess.run(
        [sys.executable, "-m", "rbinfer", "completion", "bash"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert 'pip install "rbinfer[completion]"' in done.stderr
