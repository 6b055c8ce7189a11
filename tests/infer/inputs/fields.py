"""Inputs that are easily read wrongly, as a user gives them to the command line, with the right answers.

Stars and single-pixel hits on a flat sky, in every container that is known to be misread. What is right
is what the plain image and the plain catalogue give.
"""

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

SIZE, SKY, NOISE, STARS, HITS = 400, 800.0, 8.0, 60, 30
EMPTY = 140  # rows without data, where there are such


class Field:
    """A simulated field on disk, and what came of a command."""

    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(20)
        rows, columns = np.indices((SIZE, SIZE))
        self.pixels = rng.normal(SKY, NOISE, (SIZE, SIZE))
        x, y = rng.uniform(15, SIZE - 15, (2, STARS))
        for cx, cy, peak in zip(x, y, 10 ** rng.uniform(2.2, 3.5, STARS), strict=True):
            self.pixels += peak * np.exp(
                -4 * np.log(2) * ((columns - cx) ** 2 + (rows - cy) ** 2) / 3.1**2
            )
        hx, hy = rng.integers(15, SIZE - 15, (2, HITS))
        self.pixels[hy, hx] += 10 ** rng.uniform(2.6, 3.5, HITS)
        self.x, self.y = np.r_[x, hx], np.r_[y, hy]
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
        wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (20.0, -5.0), (200.5, 200.5), (-3e-4, 3e-4)
        self.header = wcs.to_header()
        self.image("plain.fits", self.pixels)

    def image(self, name, pixels, dtype=np.float32, compression=None, **cards):
        header = self.header.copy()
        pixels = np.asarray(pixels).astype(dtype)
        hdu = fits.PrimaryHDU(pixels, header)
        hdu.header.update(cards)
        if compression:
            hdu = fits.CompImageHDU(pixels, header, compression_type=compression)
            hdu.header.update(cards)
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(self.folder / name)
        else:
            hdu.writeto(self.folder / name)
        return str(self.folder / name)

    def path(self, name):
        return str(self.folder / name)

    def catalogue(self, name, x=None, y=None, **columns):
        x, y = (self.x if x is None else x), (self.y if y is None else y)
        Table({**columns, "x": x, "y": y}).write(self.folder / name)
        return str(self.folder / name)


def same(table, good):
    """The verdicts are those of the plain catalogue, but for what rounding moves."""
    return np.mean((np.asarray(table["rb_score"]) > 0.5) == good) >= 0.98
