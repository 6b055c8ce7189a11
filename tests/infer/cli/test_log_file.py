"""``--log-file``: what the log has said, whatever the terminal was shown."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rbinfer.cli import main

FIELD = Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits"
LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}) (\w+) (\d+) ([\w.]+): (.*)")


def lines_of(log):
    """Take a log apart: time, level, process, logger, message."""
    return [LINE.fullmatch(line).groups() for line in log.read_text(encoding="utf-8").splitlines()]


def messages(log, level="INFO"):
    return [line[4] for line in lines_of(log) if line[1] == level]


def test_log_is_appended_whatever_is_quiet(tmp_path, capsys):
    log = tmp_path / "journal.log"
    log.write_text("2026-01-01T00:00:00+0000 INFO 1 before: kept\n")
    image, out = tmp_path / "imäge.fits", tmp_path / "out.ecsv"
    shutil.copy(FIELD, image)
    argv = ["classify", str(image), "-q", "-o", str(out), "--log-file", str(log)]
    assert main(argv) == 0
    assert capsys.readouterr().err == ""
    first, command, *rest = lines_of(log)
    assert first[4] == "kept"
    assert command[3] == "rbinfer.cli"
    assert command[4].endswith(f": classify '{image}' -q -o {out} --log-file {log}")
    assert {line[2] for line in rest} == {str(os.getpid())}
    assert "133 rows: 79 real, 54 bogus, 0 unscored" in messages(log)
    assert messages(log, "DEBUG") == []
    # The final error, which -q does not keep from the terminal either.
    assert main(argv) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"rbinfer: error: the output {out} exists")
    assert messages(log, "ERROR") == [said.removeprefix("rbinfer: ")]


def test_everything_is_logged_on_request(tmp_path, capsys, monkeypatch):
    """-vv lets DEBUG into the file and onto the terminal; -v changes the terminal alone."""
    monkeypatch.setattr(
        "rbinfer.status.explain", lambda value: logging.getLogger("rbinfer").debug("D") or []
    )
    log = tmp_path / "log"
    for options, shown in (((), (False, False)), (("-v",), (True, False)), (("-vv",), (True, True))):
        log.unlink(missing_ok=True)
        assert main(["status", "1", "--log-file", str(log), *options]) == 0
        err = capsys.readouterr().err
        assert ("rbinfer: 0" in err, "rbinfer: D" in err) == shown
        assert len(messages(log)) == 1
        assert messages(log, "DEBUG") == (["D"] if "-vv" in options else [])


@pytest.mark.parametrize("options", [("-q",), ("-qq",), ("-qqq",)])
def test_nothing_but_errors_when_quiet(tmp_path, capsys, options):
    (tmp_path / "cat.csv").write_text("x,y\n5,5\n")
    argv = ["classify", str(FIELD), "--catalog", str(tmp_path / "cat.csv"), "--fwhm", "40"]
    assert main(argv) == 0
    assert "FWHM 40.00 px" in capsys.readouterr().err
    assert main([*argv, *options]) == 0
    assert capsys.readouterr().err == ""


def test_log_that_cannot_be_written_ends_it_before_any_work(tmp_path, capsys):
    out = tmp_path / "out.ecsv"
    for log, why in ((tmp_path, "Is a directory"), (tmp_path / "no" / "log", "No such file")):
        assert main(["classify", str(FIELD), "-o", str(out), "--log-file", str(log)]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"rbinfer: error: the log {log} cannot be written ({why}")
        assert captured.err.count("\n") == 1
        assert not out.exists()


@pytest.mark.parametrize("option", ["-o", "--regions", "--catalog", "--mask"])
def test_log_is_no_other_file_of_the_command(tmp_path, capsys, option):
    file = tmp_path / "precious.ecsv"
    file.write_text("precious")
    argv = ["classify", str(FIELD), option, str(file), "--overwrite"]
    assert main([*argv, "--log-file", str(tmp_path / "." / "precious.ecsv")]) == 1
    assert "name another file" in capsys.readouterr().err
    assert file.read_text() == "precious"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk_is_told_once_and_costs_the_log_alone(tmp_path):
    command = [sys.executable, "-m", "rbinfer", "classify", str(FIELD), "-q", "-o", "out.ecsv"]
    done = subprocess.run(
        [*command, "--log-file", "/dev/full"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == "rbinfer: the log /dev/full ends here: No space left on device\n"
    assert (tmp_path / "out.ecsv").exists()


def test_logging_is_left_as_it_was(tmp_path, capsys):
    root = logging.getLogger()
    before = list(root.handlers), root.level
    assert main(["status", "-vv", "--log-file", str(tmp_path / "log")]) == 0
    assert (root.handlers, root.level) == before
