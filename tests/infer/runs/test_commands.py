"""Commands that are run for each image: their arguments, their failures, their end."""

import logging
import sys
import time

import pytest

from rbinfer.errors import InputError
from rbinfer.runs import commands as module
from rbinfer.runs.commands import Commands

WRITES = "import sys; open(sys.argv[1], 'a').write(repr(sys.argv[2:]) + chr(10))"


def test_names_are_arguments_whatever_is_in_them(tmp_path):
    out = tmp_path / "called.txt"
    odd = "a b'c\"d $HOME `x`; rm {result}.fits"
    with Commands(
        f'{sys.executable} -c "{WRITES}" {out} --of={{image}} {{result}} {{image}}'
    ) as commands:
        commands.submit(odd, "r 1.ecsv")
        commands.submit("second.fits", "r2.ecsv")
    called = [eval(line) for line in out.read_text().splitlines()]
    assert called == [
        [f"--of={odd}", "r 1.ecsv", odd],
        ["--of=second.fits", "r2.ecsv", "second.fits"],
    ]
    assert commands.n_failed == 0


def test_failures_are_told_and_the_rest_go_on(caplog):
    with Commands(f'{sys.executable} -c "import sys; sys.exit({{image}} > 1)"') as commands:
        for image in ("2", "1", "3"):
            commands.submit(image, "")
    assert commands.n_failed == 2
    assert caplog.text.count("ended with exit code 1") == 2


def test_what_is_printed_goes_to_stderr(capfd):
    with Commands("echo {image}") as commands:
        commands.submit("a.fits", "")
    assert capfd.readouterr() == ("", "a.fits\n")


def test_an_end_stops_the_one_at_work_and_names_the_rest(caplog):
    caplog.set_level(logging.WARNING)
    start = time.monotonic()
    commands = Commands("sleep {image}")
    commands.__enter__()
    commands.submit("600", "")
    commands.submit("601", "")
    time.sleep(0.3)
    commands.__exit__(KeyboardInterrupt, None, None)
    assert time.monotonic() - start < 30
    assert "not run, since the watch ended: sleep 601" in caplog.text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "is empty"),
        ("no-such-program-1 {image}", "no-such-program-1 of the command is not found"),
        ("echo 'a", "cannot be divided into words"),
        ("echo {img}", r"\{img\} .* is neither \{image\} nor \{result\}"),
    ],
)
def test_refused_before_any_work(line, words):
    with pytest.raises(InputError, match=words):
        Commands(line)


def test_a_command_that_hangs_is_told(monkeypatch, caplog):
    monkeypatch.setattr(module, "_LONG", 0.1)
    with Commands(f'{sys.executable} -c "import time; time.sleep(0.6)"') as slow:
        slow.submit("a.fits", "a.csv")
    assert slow.n_failed == 0
    assert caplog.text.count("at work for 0.1 s already, and others wait until it ends") == 1
