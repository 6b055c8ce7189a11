"""A cluster of processes that is measured: what breaks in it ends the benchmark."""

import subprocess
import sys
import threading
import time

import pytest
from _cluster_parts import _address, guarded


@pytest.fixture
def started():
    processes = []

    def start(seconds):
        processes.append(subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"]))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_process_that_ends_ends_the_wait(started):
    begin = time.monotonic()
    with pytest.raises(SystemExit, match="a worker ended"), guarded([started(60), started(0)], 60):
        threading.Event().wait(30)
    assert time.monotonic() - begin < 10


def test_a_wait_has_an_end(started):
    with pytest.raises(SystemExit, match=r"not done after 0\.5 s"), guarded([started(60)], 0.5):
        threading.Event().wait(30)


def test_the_address_may_be_half_written_when_it_is_first_seen(started, tmp_path):
    noted = tmp_path / "scheduler.json"
    noted.write_text('{"address": "tcp://127')
    whole = threading.Timer(0.3, noted.write_text, ['{"address": "tcp://127.0.0.1:8786"}'])
    whole.start()
    assert _address(started(60), noted) == "tcp://127.0.0.1:8786"
    whole.join()


def test_a_scheduler_that_ends_is_not_waited_for(started, tmp_path):
    with pytest.raises(SystemExit, match="did not start"):
        _address(started(0), tmp_path / "scheduler.json")
