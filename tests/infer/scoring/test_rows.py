"""Tasks: their sizes, their order, their threads, and what ends them."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbinfer.scoring.rows import share_out, tasks


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_task_is_done_once(workers):
    done = list(share_out(lambda item: item * 10, range(97), workers))
    assert sorted(done) == [10 * item for item in range(97)]


@pytest.mark.parametrize("where", ["calling thread", "helper"])
def test_an_error_in_any_thread_ends_the_work(where):
    caller, begun = threading.get_ident(), []

    def work(item):
        begun.append(item)
        if (threading.get_ident() == caller) == (where == "calling thread"):
            raise MemoryError(where)
        time.sleep(0.001)
        return item

    with pytest.raises(MemoryError, match=where):
        list(share_out(work, range(10_000), 2))
    assert len(begun) < 1000


def test_an_interruption_by_the_caller_ends_the_work():
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.001)
        return item

    tasks = share_out(work, range(10_000), 3)
    next(tasks)
    with pytest.raises(KeyboardInterrupt):
        tasks.throw(KeyboardInterrupt())
    assert len(begun) < 1000


@pytest.mark.parametrize(
    ("n", "threads", "batch", "sizes"),
    [
        (2048, 2, 64, [512, 384, 256, 192, 128, 128, 64]),
        (10, 4, 64, [10]),
        (0, 1, 64, []),
        (9000, 1, 4096, [4096, 4096, 808]),
    ],
)
def test_tasks_shrink_by_whole_batches(n, threads, batch, sizes):
    found = [part.stop - part.start for part in tasks(n, threads, batch)]
    assert found[: len(sizes)] == sizes
    assert sum(found) == n


@given(st.integers(0, 100_000), st.integers(1, 64), st.integers(1, 5000))
def test_tasks_are_all_rows_in_order(n, threads, batch):
    parts = tasks(n, threads, batch)
    assert [row for part in parts[:3] for row in range(part.start, part.stop)] == list(
        range(parts[min(2, len(parts) - 1)].stop if parts else 0)
    )
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    sizes = [part.stop - part.start for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size % batch == 0 for size in sizes[:-1])
    assert sum(sizes) == n
    assert max(sizes, default=0) <= max(512, batch)
