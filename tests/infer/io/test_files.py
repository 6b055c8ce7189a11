"""Warnings of threads that read at once go to each its own."""

import threading
import warnings

from rbinfer.io.files import collect_warnings


def test_each_thread_collects_its_own_and_the_state_comes_back():
    before = warnings.filters[:], warnings.showwarning
    turns = [threading.Event() for _ in range(4)]
    found = {}

    def first():
        with collect_warnings() as texts:
            turns[0].set()
            assert turns[1].wait(30)
            warnings.warn("of the  first", UserWarning, stacklevel=1)
        found["first"] = texts
        turns[2].set()

    def second():
        assert turns[0].wait(30)
        with collect_warnings() as texts:
            warnings.warn("of the second", UserWarning, stacklevel=1)
            turns[1].set()
            assert turns[2].wait(30)
            # The other thread has ended in between.
            warnings.warn("late", UserWarning, stacklevel=1)
        found["second"] = texts

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {"first": ["of the first"], "second": ["of the second", "late"]}
    assert (warnings.filters[:], warnings.showwarning) == before


def test_the_innermost_collects_and_others_are_shown(recwarn):
    def other():
        warnings.warn("of another", UserWarning, stacklevel=1)

    with collect_warnings() as outer:
        with collect_warnings() as inner:
            warnings.warn("inner", UserWarning, stacklevel=1)
        warnings.warn("outer", UserWarning, stacklevel=1)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
    assert (inner, outer) == (["inner"], ["outer"])
    assert [str(each.message) for each in recwarn] == ["of another"]
