"""Signals that end a run."""

import os
import signal

import pytest

from rbinfer._util.interrupts import exit_on_sigterm


class _Ends:
    """Is ended while a class that has it is made; Python 3.11 makes an error of it."""

    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGTERM)


def _import_of_a_library():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        raise ImportError("initialization failed") from None


@pytest.mark.parametrize(
    "step",
    [lambda: type("Made", (), {"member": _Ends()}), _import_of_a_library],
    ids=["class", "import"],
)
def test_sigterm_is_an_exit_wherever_it_comes(step):
    with pytest.raises(SystemExit) as ended, exit_on_sigterm(143):
        step()
    assert ended.value.code == 143


def test_errors_without_it_are_not_hidden():
    with pytest.raises(ImportError, match="of another kind"), exit_on_sigterm(143):
        raise ImportError("of another kind")
