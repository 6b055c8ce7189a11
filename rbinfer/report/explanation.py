"""A picture of an explanation: six panels and labelled detections like it, drawn by matplotlib."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..diagnostics.examples import NEAREST, Example
from ..diagnostics.explain import Explanation
from ..diagnostics.sentences import sentence
from .gallery import new_figure, stretched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

_GREY: dict[str, Any] = {"origin": "lower", "cmap": "gray", "interpolation": "nearest"}
_SIGNED: dict[str, Any] = {"origin": "lower", "cmap": "RdBu_r", "interpolation": "nearest"}


def draw(found: Explanation, examples: Sequence[Example] = ()) -> "Figure":
    """Draw what is seen of an object, what a star is like, and what counts.

    Parameters
    ----------
    found : Explanation
    examples : sequence of Example
        The nearest labelled detections, in a row of their own.

    Returns
    -------
    Figure
    """
    figure = new_figure(9.6, 10.4 if examples else 7.8)
    part: Figure | SubFigure = figure
    if examples:
        part, below = figure.subfigures(2, 1, height_ratios=(7.6, 2.8), squeeze=False)[:, 0]
        _draw_examples(examples, below.subplots(1, NEAREST))
    upper, lower = part.subplots(2, 3)
    _draw_pixels(found, upper[0])
    _draw_rest(found, lower[0])
    upper[1].imshow(found.seen[:, :, 1], **_GREY)
    upper[1].set_title("what the network sees")
    if found.star is None:
        upper[2].text(0.5, 0.5, "not known", ha="center", transform=upper[2].transAxes)
    else:
        upper[2].imshow(np.sqrt(np.maximum(found.star, 0.0)), **_GREY)
    upper[2].set_title(f"the frame's star, FWHM {found.width.fwhm:.2f} px")
    most = max(float(np.abs(found.influence).max()), 0.01)
    drawn = lower[1].imshow(found.influence, vmin=-most, vmax=most, **_SIGNED)
    lower[1].set_title("what counts")
    _mark_most_telling(found, lower[1])
    _add_bar(drawn, lower[1], "fall of the score without a patch:\nred speaks for real, blue for bogus")
    names = list(found.classes) or ["score"]
    values = list(found.classes.values()) or [np.nan_to_num(found.score)]
    lower[2].barh([name.replace("_", " ") for name in names], values, color="0.4")
    lower[2].set(xlim=(0, 1), title=f"score {found.score:.3f}, threshold {found.threshold:.3g}")
    lower[2].invert_yaxis()
    lower[2].set_box_aspect(1)
    for panel in (upper[1], upper[2], lower[1]):
        panel.set_xticks([])
        panel.set_yticks([])
    figure.suptitle(sentence(found), fontsize=9, wrap=True)
    return figure


def _draw_examples(examples: Sequence[Example], panels: "Sequence[Axes]") -> None:
    """Draw what the network sees of labelled detections."""
    for panel in panels:
        panel.set_axis_off()
    for panel, example in zip(panels, examples, strict=False):
        panel.imshow(example.seen[:, :, 1], **_GREY)
        label = example.label
        kind = f", {label.kind.replace('_', ' ')}" if label.kind else ""
        panel.set_title(f"labelled {label.label}{kind}\ndiffers by {example.distance:.3f}", fontsize=9)


def _draw_pixels(found: Explanation, image: "Axes") -> None:
    """Draw the pixels around an object, and where it lies."""
    extent, nx = _extent(found), found.window.shape[1]
    image.imshow(stretched(found.window), extent=extent, **_GREY)
    # Lines beside it, so that an object of one pixel stays to be seen.
    gap, length = max(found.width.fwhm, 2.0), 0.12 * nx
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        from_to = np.array([gap, gap + length])
        image.plot(found.x + dx * from_to, found.y + dy * from_to, color="C1", linewidth=1.2)
    image.set(xlim=extent[:2], ylim=extent[2:], title="the image")


def _draw_rest(found: Explanation, panel: "Axes") -> None:
    """Draw what the frame's star leaves of the pixels around an object."""
    leaves = found.window - found.fit.model
    leaves -= np.nanmedian(leaves)
    most = max(_half_of_object(found), 1e-30)
    drawn = panel.imshow(leaves, extent=_extent(found), vmin=-most, vmax=most, **_SIGNED)
    panel.set_title("what that star leaves")
    text = "more (red) or less (blue) than that star has,\nin units of the image"
    _add_bar(drawn, panel, text, extend="both")  # neighbours are brighter


def _extent(found: Explanation) -> tuple[float, float, float, float]:
    """Return the edges of the window in pixels of the image, as matplotlib takes them."""
    ny, nx = found.window.shape
    left, top = found.corner
    return left - 0.5, left + nx - 0.5, top - 0.5, top + ny - 0.5


def _add_bar(drawn: "AxesImage", panel: "Axes", text: str, extend: str = "neither") -> None:
    """Draw the scale of the colours of a panel, and say what it is of."""
    bar = panel.figure.colorbar(
        drawn, ax=panel, orientation="horizontal", shrink=0.9, pad=0.02, extend=extend
    )
    bar.set_label(text, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.ax.locator_params(nbins=5)


def _half_of_object(found: Explanation) -> float:
    """Return half of the height of an object above the sky; brighter neighbours don't count."""
    ny, nx = found.window.shape
    columns, rows = np.arange(nx) + found.corner[0], np.arange(ny)[:, None] + found.corner[1]
    near = np.hypot(columns - found.x, rows - found.y) <= max(found.width.fwhm, 1.5)
    own = np.abs(found.window - found.fit.sky)[near]
    return 0.5 * float(np.max(own[np.isfinite(own)], initial=0.0))


def _mark_most_telling(found: Explanation, axes: "Axes") -> None:
    """Frame the patch that the words are about, and mark the middle, where the object is."""
    row, column = found.most_telling
    middle = len(found.influence) // 2
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)])
    axes.plot(column + corners[:, 0], row + corners[:, 1], color="black", linewidth=1.5)
    axes.plot(middle, middle, "+", color="C1")
