"""A command that is run for images or alarms, one after another, beside the scoring."""

import logging
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Self

from ..errors import InputError

log = logging.getLogger(__name__)

_WORD = re.compile(r"\{(\w+)\}")
IMAGE = ("image", "result")
_LONG = 60.0  # seconds after which it is told that a command is still at work
_GRACE = 10.0  # seconds that a command has to end once it is told to


class Commands:
    """Runs a command for images, or for what else is told, in order; a context manager.

    No shell is involved: names of files with blanks, quotes or dollars are each one argument. What the
    command prints goes to stderr. Left with an exception, the command at work is told to end, and those
    that have not begun are named in the log; left without, all are waited for.

    Parameters
    ----------
    line : str
        Such as ``"notify {image} {result}"``, divided into arguments as a shell does it.
    known : sequence of str
        What may stand in braces.

    Attributes
    ----------
    n_failed : int
        How many ended with another exit code than 0, or could not be started.

    Raises
    ------
    InputError
        There is no such program, a quotation is not closed, or something else stands in braces.
    """

    def __init__(self, line: str, known: Sequence[str] = IMAGE) -> None:
        self._known = tuple(known)
        try:
            self._words = shlex.split(line)
        except ValueError as error:
            raise InputError(f"the command {line!r} cannot be divided into words: {error}") from error
        if not self._words:
            example = " ".join(f"{{{name}}}" for name in self._known)
            raise InputError(f"the command is empty; name a program, such as 'notify {example}'")
        for name in _WORD.findall(line):
            if name not in self._known:
                allowed = " nor ".join(f"{{{name}}}" for name in self._known)
                raise InputError(
                    f"{{{name}}} in the command {line!r} is neither {allowed}; put what needs other "
                    "braces into a script"
                )
        if not _WORD.search(self._words[0]) and shutil.which(self._words[0]) is None:
            raise InputError(
                f"the program {self._words[0]} of the command is not found, or not executable"
            )
        self.n_failed = 0
        self._waiting: SimpleQueue[list[str] | None] = SimpleQueue()
        self._at_work: subprocess.Popen[bytes] | None = None
        self._is_over = False
        self._thread = Thread(target=self._run_all, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._is_over = kind is not None
        self._waiting.put(None)
        if self._is_over:
            self._end_the_one_at_work()
        self._thread.join()

    def submit(self, *given: str) -> None:
        """Let the command run once those before are done, with what stands for the braces, in order."""
        values = dict(zip(self._known, given, strict=True))
        self._waiting.put([_WORD.sub(lambda found: values[found[1]], word) for word in self._words])

    def _run_all(self) -> None:
        while (words := self._waiting.get()) is not None:
            if self._is_over:
                log.warning("not run, since the watch ended: %s", shlex.join(words))
                continue
            self._run(words)

    def _run(self, words: list[str]) -> None:
        text = shlex.join(words)
        try:
            self._at_work = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())
            code = self._code_of(self._at_work, text)
        except OSError as error:
            self.n_failed += 1
            log.error("the command cannot be run (%s): %s", error.strerror, text)
            return
        if code:
            self.n_failed += 1
            log.error("the command ended with exit code %d: %s", code, text)
        else:
            log.info("the command is done: %s", text)

    def _code_of(self, process: "subprocess.Popen[bytes]", text: str) -> int:
        """Wait for a command, and say so if it takes long: those after it wait too."""
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_LONG)
        log.warning("at work for %g s already, and others wait until it ends: %s", _LONG, text)
        return process.wait()

    def _end_the_one_at_work(self) -> None:
        process = self._at_work
        if process is None or process.poll() is not None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            return
        process.kill()
