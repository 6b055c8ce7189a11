"""A night as scoring leaves it, for merging alone: headers without pixels, and scored catalogues."""

import os
from pathlib import Path

import numpy as np
from _large_nights import LargeNightMaker
from _night_frames import FILTERS
from astropy.io import fits
from astropy.wcs import WCS

from rbinfer.io.tables import read_catalog, write_catalog
from rbinfer.night.frames import read_frame
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file

_SCATTER = 0.1  # pixels rms of the positions of a star
_SECONDS = 30.0


class ScoredFrames:
    """Makes frames from one that was scored: stars shift, half of the rest stays, half is elsewhere.

    Parameters
    ----------
    plan : NightPlan
    folder : Path
    """

    def __init__(self, plan, folder):
        self.plan, self.folder = plan, folder
        self.maker = LargeNightMaker(plan, folder)
        path = self.maker.write()[0]
        self.template = folder / "template.fits"
        options = ScoreOptions(device="cpu", show=("snr",))
        score_file(str(path), None, options, options.classifier()).with_columns(("snr",)).write(
            self.template
        )
        self.header = fits.getheader(path)

    def headers(self, n, folder):
        """Write the images of so many frames, with headers and no pixels, into a folder."""
        folder.mkdir()
        for number in range(n):
            write_header(self._header(number, (0.0, 0.0)), self.header, folder / f"{number:06d}.fits")

    def _header(self, number, offset):
        name = FILTERS[number % len(FILTERS)]
        hours = number * _SECONDS / 3600
        header = self.maker.header(self.plan.targets[0], name, hours, "LIGHT", _SECONDS)
        header.update(self.maker.wcs(0, *offset))
        return header

    def frame(self, number):
        """Write a frame; returns what a night keeps of it."""
        plan = self.plan
        rng = np.random.default_rng([plan.seed, number])
        table = read_catalog(self.template)
        is_star = np.asarray(table["rb_score"]) > 0.5
        n, offset = len(table), rng.normal(0, plan.dither, 2)
        is_hit = ~is_star & (np.arange(n) % 2 == 0)
        header = self._header(number, offset)
        for axis, d in zip("xy", offset, strict=True):
            values = np.asarray(table[axis], float)
            values[is_star] += d + rng.normal(0, _SCATTER, is_star.sum())
            values[is_hit] = rng.uniform(0, plan.side, is_hit.sum())
            table[axis] = values
        table["ra"], table["dec"] = WCS(header).wcs_pix2world(table["x"], table["y"], 0)
        image, result = (self.folder / f"{what}{number:06d}.fits" for what in ("image", "result"))
        write_header(header, self.header, image)
        write_catalog(table, result)
        return read_frame(str(image), (), result)


def write_header(header, like, path: Path):
    """Write a file of the size of an image that has a header and zeros, which take no place on disk."""
    whole = fits.PrimaryHDU(header=header).header
    whole["BITPIX"], whole["NAXIS"] = like["BITPIX"], 2
    for k, key in enumerate(("NAXIS1", "NAXIS2")):
        whole.insert("NAXIS" if not k else "NAXIS1", (key, like[key]), after=True)
    text = whole.tostring()
    path.write_text(text, encoding="ascii")
    pixels = like["NAXIS1"] * like["NAXIS2"] * abs(like["BITPIX"]) // 8
    os.truncate(path, len(text) + -(-pixels // 2880) * 2880)
