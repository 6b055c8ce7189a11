"""A picture of an explanation: six panels, drawn by matplotlib."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..diagnostics.explain import Explanation
from ..diagnostics.sentences import sentence
from .gallery import new_figure, stretched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(found: Explanation) -> "Figure":
    """Draw what is seen of an object, what a star is like, and what counts.

    Parameters
    ----------
    found : Explanation

    Returns
    -------
    Figure
    """
    figure = new_figure(9.6, 7.4)
    axes = figure.subplots(2, 3)
    ny, nx = found.window.shape
    left, top = found.corner
    extent = (left - 0.5, left + nx - 0.5, top - 0.5, top + ny - 0.5)
    grey: dict[str, Any] = {"origin": "lower", "cmap": "gray", "interpolation": "nearest"}
    axes[0, 0].imshow(stretched(found.window), extent=extent, **grey)
    axes[0, 0].plot(found.x, found.y, "+", color="C1")
    axes[0, 0].set_title("the image")
    axes[0, 1].imshow(found.seen[:, :, 1], **grey)
    axes[0, 1].set_title("what the network sees")
    if found.star is None:
        axes[0, 2].text(0.5, 0.5, "not known", ha="center", transform=axes[0, 2].transAxes)
    else:
        axes[0, 2].imshow(np.sqrt(np.maximum(found.star, 0.0)), **grey)
    axes[0, 2].set_title(f"the frame's star, FWHM {found.width.fwhm:.2f} px")
    left_over = found.window - found.fit.model
    top_value = max(float(np.nanmax(np.abs(found.window - found.fit.sky))), 1e-30)
    signed: dict[str, Any] = {"origin": "lower", "cmap": "RdBu_r", "interpolation": "nearest"}
    axes[1, 0].imshow(left_over / top_value, extent=extent, vmin=-0.5, vmax=0.5, **signed)
    axes[1, 0].set_title("what that star leaves")
    most = max(float(np.abs(found.influence).max()), 0.01)
    drawn = axes[1, 1].imshow(found.influence, vmin=-most, vmax=most, **signed)
    axes[1, 1].set_title("what counts")
    _mark_most_telling(found, axes[1, 1])
    axes[1, 1].set_xlabel(
        "red speaks for real, blue for bogus:\nfall of the score without that patch", fontsize=8
    )
    figure.colorbar(drawn, ax=axes[1, 1], shrink=0.7)
    names = list(found.classes) or ["score"]
    values = list(found.classes.values()) or [np.nan_to_num(found.score)]
    axes[1, 2].barh([name.replace("_", " ") for name in names], values, color="0.4")
    axes[1, 2].set(xlim=(0, 1), title=f"score {found.score:.3f}, threshold {found.threshold:.3g}")
    axes[1, 2].invert_yaxis()
    for panel in (axes[0, 1], axes[0, 2], axes[1, 1]):
        panel.set_xticks([])
        panel.set_yticks([])
    figure.suptitle(sentence(found), fontsize=9, wrap=True)
    return figure


def _mark_most_telling(found: Explanation, axes: "Axes") -> None:
    """Frame the patch that the words are about, and mark the middle, where the object is."""
    row, column = found.most_telling
    middle = len(found.influence) // 2
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)])
    axes.plot(column + corners[:, 0], row + corners[:, 1], color="black", linewidth=1.5)
    axes.plot(middle, middle, "+", color="C1")
