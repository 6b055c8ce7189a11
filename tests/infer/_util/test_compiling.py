"""Whoever waits for kernels to be compiled is told once."""

from rbinfer._util.compiling import announce_compiling, told_of_compiling


def test_each_listener_is_told_once_while_it_listens():
    heard = []
    with told_of_compiling(lambda: heard.append("outer")):
        with told_of_compiling(lambda: heard.append("inner")):
            announce_compiling()
            announce_compiling()
        with told_of_compiling(lambda: heard.append("late")):
            announce_compiling()
        with told_of_compiling(lambda: heard.append("never")):
            pass
        announce_compiling()
    announce_compiling()
    assert heard == ["outer", "inner", "late"]
