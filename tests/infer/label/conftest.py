"""Scored images with a truth, and a running ``rbinfer label``."""

import contextlib
import http.client
import json
import queue
import signal
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

PATIENCE = 120.0
CLASSES = ("star", "galaxy", "cosmic_ray", "hot_pixel")
REAL = ("star", "galaxy")
SIDE = 200


def write_image(path, seed, n):
    """Write an image with a WCS, and `n` detections on a grid; returns their positions."""
    rng = np.random.default_rng(seed)
    side = SIDE if n <= 100 else 2000
    grid = np.arange(n)
    columns = int(np.ceil(np.sqrt(n)))
    step = (side - 20) / columns
    x = 10 + step * (grid % columns) + rng.uniform(0, step / 3, n)
    y = 10 + step * (grid // columns) + rng.uniform(0, step / 3, n)
    image = rng.normal(500, 8, (side, side)).astype(np.float32)
    image[np.rint(y).astype(int), np.rint(x).astype(int)] += 400
    header = fits.Header()
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 41.0}
    cards |= {"CRPIX1": side / 2, "CRPIX2": side / 2, "CDELT1": -3e-4, "CDELT2": 3e-4}
    header.update(cards)
    fits.writeto(path, image, header, overwrite=True)
    return x, y


def write_result(path, image, seed, x, y, threshold=0.5, given=None):
    """Write a scored catalogue; `given` are its options."""
    rng = np.random.default_rng(1000 + seed)
    n = len(x)
    score = rng.uniform(0, 1, n).astype(np.float32)
    kind = np.where(
        score > threshold,
        np.where(rng.random(n) < 0.9, "star", "galaxy"),
        np.where(rng.random(n) < 0.8, "hot_pixel", "cosmic_ray"),
    )
    table = Table({"x": x, "y": y, "rb_score": score, "rb_status": np.zeros(n, np.int32)})
    table["rb_class"] = kind
    table.meta = {"rb_threshold": threshold, "rb_fwhm": 3.0, "rb_image": str(image), "rb_hdu": 0}
    table.meta["rb_real"] = list(REAL)
    table.meta["rb_opts"] = json.dumps(given or {})
    table.write(path)
    return table


def write_results(root, n_images=3, n=40):
    """Write images and results; returns the folder of the results."""
    images, results = root / "images", root / "results"
    images.mkdir()
    results.mkdir()
    for k in range(n_images):
        x, y = write_image(images / f"im{k}.fits", k, n)
        write_result(results / f"im{k}.ecsv", images / f"im{k}.fits", k, x, y)
    return results


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path)


class Running:
    """A running ``rbinfer label``."""

    def __init__(self, *argv):
        command = [sys.executable, "-m", "rbinfer", "label", "--no-browser", *map(str, argv)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._said = queue.Queue()
        self.texts = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self._said.get(timeout=PATIENCE)
        assert self.address is not None, self.texts
        parts = urlsplit(self.address)
        self.port, self.token = parts.port, parts.path.strip("/")

    def _read(self):
        for line in self.process.stderr:
            self.texts.append(line)
            if "label at " in line:
                self._said.put(line.split("label at ")[1].strip())
        self._said.put(None)

    def ask(self, method, path, body=None, headers=(), token=None):
        """Return status, headers and body of an answer; `path` follows the token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            whole = f"/{self.token if token is None else token}/{path}"
            connection.request(method, whole, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def post(self, path, **asked):
        """Post JSON; returns the status and what JSON says."""
        status, _, body = self.ask("POST", path, json.dumps(asked).encode())
        return status, json.loads(body)

    def get(self, path):
        status, _, body = self.ask("GET", path)
        return status, json.loads(body)

    def end(self, number=signal.SIGTERM):
        """End it; returns the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join()
        return code


@contextlib.contextmanager
def running(*argv):
    page = Running(*argv)
    try:
        yield page
    finally:
        if page.process.poll() is None:
            page.process.kill()
            page.process.wait()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A running page that tests of a module share."""
    with running(write_results(tmp_path_factory.mktemp("shared"))) as found:
        yield found
        assert found.end() == 0
        assert "Traceback" not in "".join(found.texts)
