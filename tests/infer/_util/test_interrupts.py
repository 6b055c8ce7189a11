"""Signals that end a run."""

import os
import signal

import pytest

from rbinfer._util.interrupts import exit_on_sigterm


class _Ends:
    """Is ended while a class that has it is made, as an import may be."""

    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_is_an_exit_wherever_it_comes():
    with pytest.raises(SystemExit) as ended, exit_on_sigterm(143):
        type("Made", (), {"member": _Ends()})
    assert ended.value.code == 143


def test_other_errors_are_not_hidden():
    with pytest.raises(RuntimeError, match="of another kind"), exit_on_sigterm(143):
        raise RuntimeError("of another kind") from ValueError("below")
