"""A service in a process of its own, and clients of it."""

import contextlib
import http.client
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

FIELD = Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits"
PATIENCE = 120.0


class Unix(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


class Service:
    """A running ``rbinfer serve``."""

    def __init__(self, *argv):
        command = [sys.executable, "-m", "rbinfer", "serve", *map(str, argv)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._said = queue.Queue()
        self.texts = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self._said.get(timeout=PATIENCE)
        assert self.address is not None, self.texts

    def _read(self):
        for line in self.process.stderr:
            self.texts.append(line)
            if "listening at " in line:
                self._said.put(line.split("listening at ")[1].strip())
        self._said.put(None)

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def connection(self, timeout=PATIENCE):
        if self.address.startswith("unix:"):
            return Unix(self.address.removeprefix("unix:"))
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=()):
        """Return status, headers and body of an answer."""
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def classify(self, request=None, image=None, catalog=None, headers=()):
        """Post paths as JSON, or bytes as a form; returns status and what JSON says."""
        if image is None:
            body, kind = json.dumps(request).encode(), "application/json"
        else:
            body, kind = form(request, image, catalog)
        status, _, answer = self.ask("POST", "/classify", body, {"Content-Type": kind, **dict(headers)})
        return status, json.loads(answer)

    def socket(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def end(self, number=signal.SIGTERM):
        """End it; returns the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join()
        return code


def form(request=None, image=None, catalog=None, name="image.fits"):
    """Return the bytes of a form, and their type."""
    parts = []
    if request is not None:
        parts.append(b'name="request"\r\n\r\n' + json.dumps(request).encode())
    for key, content in (("image", image), ("catalog", catalog)):
        if content is not None:
            filename = name if key == "image" else "catalog"
            parts.append(f'name="{key}"; filename="{filename}"\r\n\r\n'.encode() + content)
    line = b"--rbinfer-boundary\r\nContent-Disposition: form-data; "
    body = b"\r\n".join(line + part for part in parts) + b"\r\n--rbinfer-boundary--\r\n"
    return body, "multipart/form-data; boundary=rbinfer-boundary"


@contextlib.contextmanager
def running(*argv):
    service = Service(*argv)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder that the service may read, with images, and a way out of it."""
    path = tmp_path_factory.mktemp("served")
    (path / "field.fits").write_bytes(FIELD.read_bytes())
    outside = tmp_path_factory.mktemp("outside") / "secret.fits"
    outside.write_bytes(FIELD.read_bytes())
    (path / "way_out.fits").symlink_to(outside)
    (path / "outside").symlink_to(outside.parent)
    return path


@pytest.fixture(scope="module")
def service(folder):
    options = ("--port", 0, "--allow", folder, "--patience", 3, "--max-body", 20, "--max-requests", 32)
    with running(*options) as found:
        yield found
        assert found.end() == 0
        assert "Traceback" not in "".join(found.texts)


def wait_until(condition):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)
