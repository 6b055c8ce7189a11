"""An image on disk with its catalogue, and the command line called within this process."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main

FWHM = 3.0


@pytest.fixture(scope="session")
def field():
    """Return an image of 40 Gaussian stars, with 10 hot pixels, and its catalogue."""
    rng = np.random.default_rng(7)
    image = rng.normal(500, 8, (256, 256))
    gx, gy = np.meshgrid(np.arange(20, 240, 32), np.arange(20, 240, 32))
    x = gx.ravel() + rng.uniform(-3, 3, gx.size)
    y = gy.ravel() + rng.uniform(-3, 3, gx.size)
    yy, xx = np.mgrid[:256, :256]
    for k in range(gx.size):
        if k < 10:
            x[k], y[k] = round(x[k]), round(y[k])
            image[int(y[k]), int(x[k])] += 3000
        else:
            image += 3000 * np.exp(-4 * np.log(2) * ((xx - x[k]) ** 2 + (yy - y[k]) ** 2) / FWHM**2)
    table = Table({"id": np.arange(gx.size), "x": x, "y": y})
    return image.astype(np.float32), table


@pytest.fixture
def inputs(field, tmp_path):
    image, table = field
    fits.writeto(tmp_path / "im age.fits", image)
    table.write(tmp_path / "cat.ecsv")
    return str(tmp_path / "im age.fits"), str(tmp_path / "cat.ecsv")


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err
