"""``rbinfer serve`` under requests that are damaged anywhere: refused, and the next is answered."""

import contextlib
import json
import socket

import numpy as np
import pytest

from tests.infer.runs import folders as runs
from tests.infer.serve.conftest import form, running

from .scale import times


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running("--port", 0, "--patience", 1, "--max-body", 5) as found:
        yield found
        assert found.end() == 0
        assert "Traceback" not in "".join(found.texts)


def damaged(whole, rng):
    """Change some bytes of the header of the request, of the form or of the image, or cut it."""
    data = bytearray(whole)
    part = rng.choice(["head", "start", "anywhere", "cut"])
    if part == "cut":
        return bytes(data[: rng.integers(len(data))])
    end = {"head": 220, "start": 4000, "anywhere": len(data)}[part]
    for _ in range(rng.integers(1, 6)):
        data[rng.integers(end)] = rng.integers(256)
    return bytes(data)


def answer_to(service, data, is_cut):
    """Return the status of the answer to raw bytes; None where the connection was closed."""
    with service.socket() as client:
        with contextlib.suppress(OSError):
            client.sendall(data)
            if is_cut:
                client.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                received += piece
    return int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/1.1 ") else None


@pytest.mark.promise("Service", "requests with changed bytes, or cut, anywhere: an answer, a refusal or an end, never an error that was not foreseen, and the next request is answered as before")  # fmt: skip  # noqa: E501
def test_damaged_requests(service, tmp_path, tried):
    [path] = runs.write_images(tmp_path, ["a.fits"], side=120)
    body, kind = form(image=path.read_bytes())
    head = (
        "POST /classify HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    whole = head.encode() + body
    expected = service.classify(image=path.read_bytes())[1]["rows"]
    rng = np.random.default_rng(5)
    for k in range(times(60, 1_000)):
        data = damaged(whole, rng)
        status = answer_to(service, data, len(data) < len(whole))
        assert status is None or status == 200 or 400 <= status < 500, (k, status, data[:300])
        tried()
        if k % 20 == 0:
            status, found = service.classify(image=path.read_bytes())
            assert (status, found["rows"]) == (200, expected)
    assert json.loads(service.ask("GET", "/health")[2])["status"] == "ok"
