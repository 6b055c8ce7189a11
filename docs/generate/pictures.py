"""Pictures of the explanation pages, drawn from the example image with the shipped model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rbinfer import Classifier
from rbinfer.diagnostics.explain import Explanation, explain
from rbinfer.io.exposure import Exposure
from rbinfer.pipeline.options import ScoreOptions
from rbinfer.pipeline.score_file import score_file
from rbinfer.report import gallery

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

#: Classes that the example image has, in the order of the columns of a picture.
_SHOWN = ("star", "galaxy", "cosmic_ray", "hot_pixel", "trail")


def draw_all(root: Path, folder: Path) -> None:
    """Draw every picture that is older than the model or the example image.

    Parameters
    ----------
    root : Path
        Of the repository.
    folder : Path
        Where the pictures go.
    """
    field = root / "benchmarks" / "example" / "field.fits"
    sources = (field, root / "models" / "default" / "model.onnx", Path(__file__))
    places = [folder / name for name in ("classes.png", "scores.png", "verdicts.png")]
    newest = max(path.stat().st_mtime for path in sources)
    if all(place.exists() and place.stat().st_mtime > newest for place in places):
        return
    # Astropy is imported here, so that tables and commands can be made without it.
    from astropy.io import fits

    options = ScoreOptions()
    classifier = options.classifier()
    scored = score_file(str(field), None, options, classifier).table
    threshold = float(scored.meta["rb_threshold"])
    fwhm = float(scored.meta["rb_fwhm"])
    pixels = fits.getdata(field).astype(np.float32)
    x, y = (np.asarray(scored[name], np.float64) for name in "xy")
    figures = (
        _classes(classifier, Exposure(pixels), scored),
        gallery.histogram(scored, threshold),
        gallery.overlay(pixels, x, y, scored, threshold, fwhm),
    )
    for figure, place in zip(figures, places, strict=True):
        figure.savefig(place, dpi=110, bbox_inches="tight")


def _classes(classifier: Classifier, exposure: Exposure, scored: "Table") -> "Figure":
    """Draw the most certain detection of each class: as it is, as the network sees it, beside a star."""
    figure = gallery.new_figure(2.0 * len(_SHOWN), 6.4)
    panels = figure.subplots(3, len(_SHOWN))
    grey: dict[str, Any] = {"origin": "lower", "cmap": "gray", "interpolation": "nearest"}
    for column, name in enumerate(_SHOWN):
        found = _best(classifier, exposure, scored, name)
        left_over = (found.window - found.fit.model) / np.nanmax(np.abs(found.window - found.fit.sky))
        panels[0, column].imshow(gallery.stretched(found.window), **grey)
        panels[1, column].imshow(found.seen[:, :, 1], **grey)
        panels[2, column].imshow(left_over, **(grey | {"cmap": "RdBu_r"}), vmin=-0.5, vmax=0.5)
        panels[0, column].set_title(f"{name.replace('_', ' ')}\nscore {found.score:.3f}")
    for row, label in enumerate(("native pixels", "what the network sees", "what the star leaves")):
        panels[row, 0].set_ylabel(label)
    for panel in panels.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    return figure


def _best(classifier: Classifier, exposure: Exposure, scored: "Table", name: str) -> Explanation:
    """Explain the detection of a class whose score is the most decided."""
    of_class = np.flatnonzero(np.asarray(scored["rb_class"]) == name)
    row = of_class[np.argmax(np.abs(np.asarray(scored["rb_score"])[of_class] - 0.5))]
    return explain(classifier, exposure, float(scored["x"][row]), float(scored["y"][row]))
