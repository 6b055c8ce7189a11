"""Score the example as the README does, hold the verdicts against the truth, and draw them.

``python benchmarks/example/score_field.py`` prints the counts that the README quotes and writes
``field.png``. Needs the ``train`` extra for matplotlib and SciPy.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.visualization import ZScaleInterval
from scipy.spatial import cKDTree

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
#: Detections further than this from every true object belong to the trail or the column.
REACH = 2.5
#: What counts as real.
SKY = ("star", "galaxy")
EXTENDED = "trail or column"


def classify() -> tuple[Table, str]:
    """Run the command of the README; return its table and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "scored.ecsv"
        command = [sys.executable, "-m", "rbinfer", "classify", str(HERE / "field.fits"), "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return Table.read(out), done.stderr


def true_types(scored: Table, truth: Table) -> np.ndarray:
    """Type of the true object under each detection: of a star or galaxy, else of an artefact."""
    types = np.full(len(scored), EXTENDED, dtype="U16")
    points = np.column_stack([scored["x"], scored["y"]])
    for names in (("cosmic_ray", "hot_pixel"), SKY):
        there = truth[np.isin(truth["type"], names)]
        tree = cKDTree(np.column_stack([there["x"], there["y"]]))
        distance, nearest = tree.query(points, distance_upper_bound=REACH)
        found = np.isfinite(distance)
        types[found] = np.asarray(there["type"])[nearest[found]]
    return types


def draw(scored: Table, types: np.ndarray, threshold: float) -> None:
    """Draw the image with a ring around every detection, by verdict, crossed where it is wrong."""
    image = fits.getdata(HERE / "field.fits")
    low, high = ZScaleInterval().get_limits(image)
    figure, axes = plt.subplots(figsize=(8.2, 8.6), layout="constrained")
    axes.imshow(image, origin="lower", cmap="gray_r", vmin=low, vmax=low + 2.2 * (high - low))
    real = np.asarray(scored["rb_score"]) > threshold
    right = real == np.isin(types, SKY)
    for verdict, colour, name in ((real, "tab:blue", "real"), (~real, "tab:red", "bogus")):
        axes.scatter(
            scored["x"][verdict],
            scored["y"][verdict],
            s=110,
            facecolors="none",
            edgecolors=colour,
            linewidths=1.3,
            label=f"{name}: {verdict.sum()}",
        )
    axes.scatter(
        scored["x"][~right],
        scored["y"][~right],
        s=45,
        marker="x",
        color="k",
        linewidths=1.0,
        label=f"not what the truth table says: {(~right).sum()}",
    )
    axes.set(xlabel="x (pixels)", ylabel="y (pixels)", title="rbinfer classify field.fits")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=3, frameon=False)
    figure.savefig(HERE / "field.png", dpi=75, bbox_inches="tight")


def main() -> None:
    """Score, count, draw."""
    scored, said = classify()
    print(said, end="")
    types = true_types(scored, Table.read(HERE / "truth.ecsv"))
    threshold = scored.meta["rb_threshold"]
    real = np.asarray(scored["rb_score"]) > threshold
    print("\ndetections by what the truth table has there:")
    for name in ("star", "galaxy", "cosmic_ray", "hot_pixel", EXTENDED):
        here = types == name
        print(f"  {name.replace('_', ' '):16s} {here.sum():3d}: {real[here].sum():3d} called real")
    artefact = ~np.isin(types, SKY)
    print(f"artefacts caught: {(~real & artefact).sum()} of {artefact.sum()}")
    draw(scored, types, threshold)


if __name__ == "__main__":
    main()
