"""Fixtures for the light install (no TensorFlow, no SciPy), and a browser for what pages look like."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from rbinfer import Classifier
from rbinfer.model.registry import resolve


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The model in the wheel."""
    return resolve(None)


@pytest.fixture(scope="session")
def classifier(model_path) -> Classifier:
    return Classifier(model_path, device="cpu", threads=2)


@pytest.fixture(scope="session")
def scene() -> tuple[np.ndarray, Table, float]:
    """A 400 x 400 image with 60 Gaussian stars of FWHM 3.2 and 40 hits of a single pixel."""
    rng = np.random.default_rng(11)
    y, x = np.indices((400, 400))
    image = rng.normal(300, 8, (400, 400))
    fwhm = 3.2
    sigma = fwhm / 2.3548
    grid = np.stack(np.meshgrid(np.arange(10), np.arange(10)), -1).reshape(-1, 2)
    where = 20 + 40 * grid + rng.uniform(-4, 4, (100, 2))
    real = np.arange(100) % 5 < 3
    for (x0, y0), is_star in zip(where, real, strict=True):
        if is_star:
            image += rng.uniform(200, 5000) * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))
        else:
            image[int(np.rint(y0)), int(np.rint(x0))] += rng.uniform(300, 5000)
    table = Table({"x": where[:, 0], "y": where[:, 1], "real": real, "id": np.arange(100)})
    return image.astype(np.float32), table, fwhm


@pytest.fixture
def browser(chromium):
    """A browser that knows nothing of the test before."""
    yield chromium
    chromium.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.get_log(kind)


@pytest.fixture(scope="session")
def chromium():
    webdriver = pytest.importorskip("selenium.webdriver")
    program = (
        shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    )
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        missing = "no chromium with chromedriver is installed"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield running
    running.quit()
