"""The reference pipeline: a Python loop over objects, then Keras ``predict``; nothing of rbinfer.

    python benchmarks/reference_pipeline.py IMAGE.fits CATALOG.fits MODEL.keras -o OUT.fits

Written from the description of the reference implementation (stdpipe's ``realbogus``), step by step as
it goes, so that the other benchmarks have something to compare with. Positions whose window leaves the
image have no score (NaN).
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from astropy.stats import mad_std

RADIUS, TARGET_FWHM, THRESHOLD, SOFTENING = 15, 3.0, 1.5, 3.0
BATCH = 128


def preprocess(cut, fwhm, target_fwhm=TARGET_FWHM, size=2 * RADIUS + 1, softening=SOFTENING):
    """Make the two channels of one cutout; background and noise are its own."""
    level = np.median(np.concatenate([cut[0], cut[-1], cut[:, 0], cut[:, -1]]))
    sigma = mad_std(cut)
    if not (np.isfinite(sigma) and sigma > 0):
        sigma = 1.0
    cut = rescale(cut, fwhm / target_fwhm)
    linear = cut - level
    curved = np.arcsinh(linear / (softening * sigma))
    channels = np.stack([linear, curved], axis=-1)
    peaks = np.abs(channels).max(axis=(0, 1))
    channels /= np.where(peaks > 1e-10, peaks, 1.0)
    return fit_to(channels, size).astype(np.float32)


def rescale(cut, scale):
    """Average blocks of pixels, or repeat pixels, towards the FWHM aimed at."""
    if scale > THRESHOLD:
        down = int(np.round(scale))
        h, w = cut.shape[0] // down, cut.shape[1] // down
        return cut[: h * down, : w * down].reshape(h, down, w, down).mean(axis=(1, 3))
    if scale < 1 / THRESHOLD:
        up = int(np.round(1 / scale))
        return np.repeat(np.repeat(cut, up, axis=0), up, axis=1)
    return cut


def fit_to(channels, size):
    """Crop about the centre, or pad by repeating the edges; an odd row goes after."""
    for axis in (0, 1):
        n = channels.shape[axis]
        if n > size:
            start = (n - size) // 2
            channels = channels.take(range(start, start + size), axis=axis)
        elif n < size:
            pad = [(0, 0)] * 3
            pad[axis] = ((size - n) // 2, size - n - (size - n) // 2)
            channels = np.pad(channels, pad, mode="edge")
    return channels


def cut_objects(image, x, y, fwhm, radius=RADIUS):
    """Cut and preprocess one object after the other; returns cutouts and the rows that have one."""
    cutouts, valid = [], []
    for k in range(len(x)):
        x1, x2 = int(x[k] - radius), int(x[k] + radius + 1)
        y1, y2 = int(y[k] - radius), int(y[k] + radius + 1)
        if x1 < 0 or y1 < 0 or x2 > image.shape[1] or y2 > image.shape[0]:
            continue
        cutouts.append(preprocess(image[y1:y2, x1:x2].astype(np.float32), fwhm, size=2 * radius + 1))
        valid.append(k)
    return np.array(cutouts), np.array(valid, dtype=int)


def score(model, image, x, y, fwhm):
    """Score positions with a Keras model."""
    cutouts, valid = cut_objects(image, x, y, fwhm)
    scores = np.full(len(x), np.nan, np.float32)
    if len(valid):
        scores[valid] = model.predict(cutouts, batch_size=BATCH, verbose=0)[:, 0]
    return scores


def main():
    """Read, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("image", "catalog", "model"):
        parser.add_argument(name, type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--fwhm", type=float, default=TARGET_FWHM)
    options = parser.parse_args()

    import keras
    from astropy.io import fits
    from astropy.table import Table

    image = fits.getdata(options.image).astype(np.float32)
    table = Table.read(options.catalog)
    model = keras.models.load_model(options.model)
    table["rb_score"] = score(model, image, np.asarray(table["x"]), np.asarray(table["y"]), options.fwhm)
    table.write(options.output, overwrite=True)


if __name__ == "__main__":
    main()
