"""Groups of labelled images that a model is adapted to, and one that is made strange."""

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack

from rbinfer._util.hashing import digest
from rbinfer.io.labels import Label

STRANGE, STRANGE_FROM = "made strange", "eso085_004"
#: Of each strange kind, and how far from detections and from each other they are put, pixels.
N_STRANGE, APART = 120, 9.0


def judged_detections(cases):
    """Return all judged detections of some labelled images as labels with the truth."""
    labels = []
    for table_path, image in cases:
        table = Table.read(table_path)
        sha256 = digest(str(image))
        for row in np.flatnonzero(np.asarray(table["label"]) >= 0):
            labels.append(
                Label(
                    image=str(image),
                    hash=sha256,
                    x=float(table["x"][row]),
                    y=float(table["y"][row]),
                    label="real" if table["label"][row] == 1 else "bogus",
                    catalog=str(table_path),
                    row=int(row),
                    who="benchmark",
                )
            )
    return labels


def made_strange(cases, folder, rng):
    """Write an image with what no model has seen, and its labels."""
    table_path, image = next(case for case in cases if case[0].stem == STRANGE_FROM)
    table = Table.read(table_path)["x", "y", "xpeak", "ypeak", "label"]
    with fits.open(image) as hdus:
        pixels, header = hdus[0].data.astype(np.float32), hdus[0].header
    noise = 1.4826 * np.nanmedian(np.abs(pixels - np.nanmedian(pixels)))
    taken = np.column_stack([table["x"], table["y"]])
    height, width = pixels.shape
    rows, columns = np.mgrid[-6:7, -6:7]
    radius = np.hypot(rows, columns)
    added = []
    for kind in ("column", "ghost", "ring"):
        for _ in range(N_STRANGE):
            for _ in range(200):
                x, y = rng.integers(12, width - 12), rng.integers(12, height - 12)
                if np.hypot(taken[:, 0] - x, taken[:, 1] - y).min() > APART:
                    break
            else:
                continue
            taken = np.vstack([taken, (x, y)])
            peak = noise * np.exp(rng.uniform(np.log(8), np.log(60)))
            if kind == "column":  # hot pixels in a column, with dark ones between them and beside
                shape = np.where(columns == 0, np.where(rows % 2 == 0, 1.0, -0.5), 0.0) * (
                    np.abs(rows) <= 4
                )
                shape = shape - 0.3 * ((np.abs(columns) == 1) & (np.abs(rows) <= 4))
            elif kind == "ghost":  # out of focus and sheared
                shape = 0.6 * np.exp(-((columns - 0.6 * rows) ** 2 / 4.0 + rows**2 / 18.0))
            else:
                shape = 0.8 * np.exp(-((radius - 3.0) ** 2) / 0.7)
            pixels[y - 6 : y + 7, x - 6 : x + 7] += (peak * shape).astype(np.float32)
            part = pixels[y - 3 : y + 4, x - 3 : x + 4]
            dy, dx = np.unravel_index(np.argmax(part), part.shape)
            added.append((float(x), float(y), x - 3 + dx, y - 3 + dy, 0))
    table = vstack([table, Table(rows=added, names=table.colnames)], metadata_conflicts="silent")
    header["HISTORY"] = "made strange for a test"
    fits.writeto(folder / "strange.fits", pixels, header, output_verify="silentfix")
    table.write(folder / "strange.ecsv", overwrite=True)
    return [(folder / "strange.ecsv", folder / "strange.fits")]
