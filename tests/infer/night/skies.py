"""Small nights made with plain NumPy: stars, hot pixels, a mover, offsets; and their truth."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from rbinfer.night.fields import Field
from rbinfer.night.merge import merge
from rbinfer.night.rows import ROW
from rbinfer.night.sources import KINDS, Block
from rbinfer.night.stored import Stored

SIDE = 200
SIGMA = 1.3
SCALE = 2.0 / 3600


@dataclass
class SmallNight:
    """What is in the files; positions of stars and the mover are those of a frame without an offset."""

    stars: np.ndarray
    hot: np.ndarray
    offsets: np.ndarray
    mover: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))


def write_night(folder, n_frames=6, dither=12.0, has_wcs=True, seed=3, n_hot=20, step=4.0):
    """Write lights of one target and filter, two minutes apart, with darks beside them."""
    rng = np.random.default_rng(seed)
    stars = np.column_stack([rng.uniform(5, SIDE - 5, (40, 2)), rng.uniform(1500, 20000, 40)])
    # A grid of their own keeps stars apart, so that each is one detection.
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(7)), -1).reshape(-1, 2)[:40]
    stars[:, :2] = 14 + 29 * grid[:, ::-1] + rng.uniform(-6, 6, (40, 2))
    hot = rng.integers(5, SIDE - 5, (n_hot, 2))
    charge = rng.uniform(800, 6000, n_hot)
    offsets = dither * rng.uniform(-1, 1, (n_frames, 2))
    night = SmallNight(stars, hot, offsets)
    track = []
    for k in range(n_frames):
        image = rng.normal(300, 8, (SIDE, SIDE))
        for x, y, flux in stars:
            add_star(image, x + offsets[k, 0], y + offsets[k, 1], flux)
        spot = np.array([60.0, 90.0]) + k * np.array([step, 0.5 * step])
        track.append(spot)
        add_star(image, *(spot + offsets[k]), 6000)
        image[hot[:, 1], hot[:, 0]] += charge * rng.uniform(0.9, 1.1, n_hot)
        header = header_of(k, "LIGHT")
        if has_wcs:
            header.update(wcs_of(offsets[k]))
        save(folder / "M 1" / "LIGHT", f"light_{k:02d}.fits", image, header)
    dark = rng.normal(100, 8, (SIDE, SIDE))
    save(folder / "DARK", "dark_0.fits", dark, header_of(0, "DARK"))
    night.mover = np.array(track)
    return night


def add_star(image, x, y, flux):
    rows, columns = np.indices(image.shape)
    image += (
        flux / (2 * np.pi * SIGMA**2) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * SIGMA**2))
    )


def header_of(k, kind):
    header = fits.Header()
    header["IMAGETYP"], header["EXPTIME"] = kind, 60.0
    header["DATE-OBS"] = f"2026-03-14T21:{2 * k:02d}:00.0"
    if kind == "LIGHT":
        header["OBJECT"], header["FILTER"] = "M 1", "R"
    return header


def wcs_of(offset):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [83.6, 22.0]
    wcs.wcs.crpix = [100 + offset[0], 100 + offset[1]]
    wcs.wcs.cd = [[-SCALE, 0], [0, SCALE]]
    return wcs.to_header()


def save(folder, name, image, header):
    folder.mkdir(parents=True, exist_ok=True)
    fits.writeto(folder / name, np.clip(image, 0, 65535).astype(np.uint16), header, overwrite=True)


def rows_of(frame, u, v, x=None, y=None, score=0.99, flux=1000.0, snr=50.0):
    """Return detections as an array of `ROW`; pixels are those of the plane unless they are given."""
    u, v = np.atleast_1d(np.asarray(u, float)), np.atleast_1d(np.asarray(v, float))
    rows = np.zeros(len(u), ROW)
    rows["frame"], rows["row"] = frame, np.arange(len(u))
    rows["u"], rows["v"] = u, v
    rows["x"], rows["y"] = (u, v) if x is None else (x, y)
    rows["score"], rows["flux"], rows["snr"] = score, flux, snr
    rows["real"] = rows["score"] > 0.5
    return rows


def merge_rows(rows, covers, hours, standing=None, fwhm=3.5):
    """Merge the rows of a block; `standing` tells what each is a repeat of on the detector."""
    standing = np.full(len(rows), -1) if standing is None else standing
    block = Block(("", ""), "", Field(), covers, hours, len(covers), len(rows), fwhm, 0.5, 0.0)
    with (
        tempfile.TemporaryDirectory() as folder,
        Stored(Path(folder), block, int(standing.max(initial=-1)) + 1) as stored,
    ):
        stored.add(rows, standing, np.zeros(len(rows), np.int32))
        return merge(block, stored)


def of_kind(merged, kind):
    """Return the numbers of the sources of a kind."""
    return np.flatnonzero(merged.found["kind"] == KINDS.index(kind))
