"""`verbose=`: each call tells its own, once, whatever other threads do and however logging is set up."""

import contextlib
import io
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rbinfer._util.verbosity import reporting

NAME = "rbinfer_of_a_test"
log = logging.getLogger(f"{NAME}.part")


@contextlib.contextmanager
def a_program(*handlers):
    """Logging as a program has it that configured no more than these; yields its stderr."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers
    try:
        with contextlib.redirect_stderr(stream):
            root.handlers = [handler() for handler in handlers]
            yield stream
    finally:
        root.handlers = before


def say(verbose, text, together):
    together.wait()
    with reporting(verbose, NAME):
        together.wait()
        log.info("told %s", text)
        log.warning("warned %s", text)
        together.wait()


def test_threads_do_not_take_each_others_lines():
    told, together = [], threading.Barrier(4, timeout=10)
    with a_program() as stderr, ThreadPoolExecutor(4) as pool:
        done = [
            pool.submit(say, verbose, text, together)
            for verbose, text in [(True, "one"), (True, "two"), (told.append, "three"), (False, "four")]
        ]
    assert [each.result() for each in done] == [None] * 4
    assert sorted(stderr.getvalue().splitlines()) == [
        "told one",
        "told two",
        "warned four",
        "warned one",
        "warned two",
    ]
    assert told == ["told three", "warned three"]
    assert logging.getLogger(NAME).handlers == []
    assert logging.getLogger(NAME).level == logging.NOTSET


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
def test_a_line_that_the_program_prints_is_not_printed_again(level):
    def handler():
        printing = logging.StreamHandler()
        printing.setLevel(level)
        return printing

    with a_program(handler) as stderr, reporting(True, NAME):
        log.info("told")
        log.warning("warned")
    assert stderr.getvalue().splitlines() == ["told", "warned"]


def test_a_log_in_a_file_is_not_what_a_person_sees(tmp_path):
    file = logging.FileHandler(tmp_path / "log")
    with a_program(lambda: file, logging.NullHandler) as stderr, reporting(True, NAME):
        log.info("told")
    file.close()
    assert stderr.getvalue() == "told\n"
    assert (tmp_path / "log").read_text() == "told\n"


def test_what_is_not_wanted_of_others_stays_away(monkeypatch):
    monkeypatch.setattr(logging.getLogger(NAME), "level", logging.ERROR)
    with a_program() as stderr, reporting(True, NAME), ThreadPoolExecutor(1) as pool:
        pool.submit(log.warning, "not wanted").result()
        pool.submit(log.error, "wanted").result()
    assert stderr.getvalue() == "wanted\n"


def test_a_callable_that_fails_says_so():
    with pytest.raises(ZeroDivisionError), reporting(lambda text: 1 // 0, NAME):
        log.info("told")
    assert logging.getLogger(NAME).handlers == []
