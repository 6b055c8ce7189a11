"""The results of a night, and the page of its report."""

import json
from html.parser import HTMLParser
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.io.tables import write_catalog
from rbinfer.night.bands import RowFile
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.report import read_night
from rbinfer.report.one import SOURCE

N = 12
HOT = [(23, 12), (163, 124), (102, 58), (65, 17), (41, 156)]
#: What a file system takes and a page must not.
STRANGE = "im11 <b>&'\"é.fits"


def image_of(number):
    """Return an image of 20 stars, 5 hot pixels and as many hits elsewhere, and its catalogue."""
    rng = np.random.default_rng(number)
    yy, xx = np.mgrid[:200, :200]
    sigma = (2.8 + 0.1 * number) / 2.3548
    image = rng.normal(500, 8, (200, 200))
    stars, hits = rng.uniform(10, 190, (20, 2)), rng.integers(8, 192, (5, 2))
    for x, y in stars:
        image += rng.uniform(500, 4000) * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    for x, y in [*HOT, *hits]:
        image[y, x] += rng.uniform(2000, 6000)
    place = np.concatenate([stars, HOT, hits])
    flux = rng.uniform(10, 20, len(place))
    return image.astype(np.float32), Table({"x": place[:, 0], "y": place[:, 1], "flux": flux})


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """Return a folder with images and one with their results, of three formats, and a journal."""
    root = tmp_path_factory.mktemp("night")
    images, results = root / "images", root / "results"
    images.mkdir()
    results.mkdir()
    options = ScoreOptions(device="cpu", threads=2)
    classifier = options.classifier()
    lines = []
    for k in range(N):
        name = STRANGE if k == 10 else f"im{k + 1}.fits"
        image, catalog = image_of(k)
        fits.writeto(images / name, image)
        catalog.write(root / f"{k}.ecsv")
        scored = score_file(str(images / name), str(root / f"{k}.ecsv"), options, classifier)
        suffix = {1: ".fits", 2: ".vot"}.get(k, ".ecsv")
        output = name.removesuffix(".fits") + suffix
        write_catalog(scored.table, results / output)
        entry = {"image": str(images / name), "output": output, "ok": True, "error": None}
        entry |= {"summary": scored.summary, "seconds": 0.25 * (k + 1)}
        lines.append(json.dumps(entry | {"finished": f"2026-01-02T03:{k:02}:00+00:00"}))
    bad = {
        "image": "/data/bad<i>.fits",
        "output": "bad.ecsv",
        "ok": False,
        "error": "no <pixels> & none",
    }
    once = {"image": "im1.fits", "output": "im1.ecsv", "ok": False, "error": "was worked on again"}
    text = "\n".join([json.dumps(once), *lines, json.dumps(bad), lines[0][:40]])
    (results / "batch.jsonl").write_text(text)
    # What is no result is left out; rbinfer's own scratch files without a word.
    Table({"x": [1.0], "y": [2.0]}).write(results / "plain.ecsv")
    (results / ".rbinfer-batch").mkdir()
    return images, results


@pytest.fixture(scope="session")
def page(night, tmp_path_factory):
    """Return the page, written by the command."""
    path = tmp_path_factory.mktemp("page") / "a night.html"
    assert main(["report", str(night[1]), "-o", str(path), "--most", "8"]) == 0
    return path


def stored(*parts):
    """Return rows as a night keeps them."""
    file = RowFile(Path(gettempdir()), SOURCE)
    for rows in parts:
        file.add(rows)
    return file


def night_in(folder, images, most):
    """Return what a folder of results says."""
    return read_night(folder, images, most, stored())


class Page(HTMLParser):
    """What a page shows and refers to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.refers, self.shown = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.refers += [value for key, value in attrs if key in ("src", "href", "action", "xlink:href")]

    def handle_data(self, data):
        self.shown += data
