"""How faint stars may be: planted in the sharpest image of the night, a middling one and the widest."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._util.hashing import digest
from ..diagnostics.completeness import (
    FRACTIONS,
    Completeness,
    Trial,
    count_let_in,
    measure_completeness,
    negative_of,
)
from ..errors import RbinferError
from ..io.camera import gain_of
from ..model.registry import resolve
from ..pipeline.one import open_frame
from ..pipeline.options import ScoreOptions
from ..scoring.classifier import Classifier
from . import charts
from .markup import Cell, escaped, legend, sortable, whole, words
from .one import ImageResult
from .results import Night
from .stars import by_width

log = logging.getLogger(__name__)

_SEED = 1  # of the planted stars: the same results make the same page
#: Options of the scores that say how pixels are read.
_OF_PIXELS = ("plane", "bayer", "mask", "bad_bits", "err", "saturation", "psf")
_COLUMNS = ("detected", "accepted")


@dataclass(frozen=True, eq=False)
class Depth:
    """What became of the stars that were planted in an image.

    Attributes
    ----------
    title : str
        Why the image was chosen.
    image : ImageResult
    found : Completeness or None
        None where they could not be planted.
    let_in : (int, int)
        What is detected on the negative image, and what of it is called real.
    why_not : str
    """

    title: str
    image: ImageResult
    found: Completeness | None
    let_in: tuple[int, int] = (0, 0)
    why_not: str = ""


def measure_depths(night: Night, n: int) -> list[Depth]:
    """Plant stars in three images of a night, and score them with the models that scored these.

    Parameters
    ----------
    night : Night
    n : int
        Stars in each.

    Returns
    -------
    list of Depth
        One for each image; none where no image is there whose stars were measured.
    """
    depths = []
    for title, image, path in by_width(night):
        try:
            depths.append(_depth(title, image, path, n))
        except (RbinferError, OSError) as error:
            log.warning("%s: no stars can be planted: %s", image.name, error)
            depths.append(Depth(title, image, None, why_not=str(error)))
    return depths


def _depth(title: str, image: ImageResult, path: Path, n: int) -> Depth:
    classifier = _classifier(image)
    given = {name: image.given[name] for name in _OF_PIXELS if name in image.given}
    hdu = image.hdu if image.hdu.isdecimal() else None
    exposure = open_frame(str(path), ScoreOptions(hdu=hdu, **given))
    noted = gain_of(exposure.header)
    trial = Trial(n, None if noted is None else noted[0], image.threshold)
    found = measure_completeness(classifier, exposure, trial, np.random.default_rng(_SEED))
    return Depth(title, image, found, count_let_in(classifier, negative_of(exposure), image.threshold))


def _classifier(image: ImageResult) -> Classifier:
    """Load the model that scored an image.

    Raises
    ------
    RbinferError
        It is not there, or is another one.
    """
    path = resolve(image.model or None)
    if image.hash and digest(path) != image.hash:
        raise RbinferError(f"the installed model {image.model!r} is not the one that was used")
    return Classifier(path, real_source_types=image.real_classes or None)


def section(depths: Sequence[Depth]) -> str:
    """Return the section of the page."""
    if not depths:
        return (
            "<h2>How complete</h2><p>No stars were planted: no image of the night is there whose own "
            "stars were measured.</p>"
        )
    known = [(each, each.found) for each in depths if each.found is not None]
    chart = keys = ""
    if known:
        lines = [_fractions(found) for _, found in known]
        chart = f'<div class="charts"><div>{charts.completeness(lines)}</div></div>'
        keys = legend([(f"line{k}", each.title) for k, (each, _) in enumerate(known)])
    lacking = [each.image.name for each, found in known if found.trial.gain is None]
    said = (
        "Stars of each image's own PSF, planted at random places of copies in memory with the Poisson "
        "noise of the header's gain; detected and scored. S/N is by the sky. Let in: detections on the "
        "negative image that the same threshold calls real."
    )
    if lacking:
        said += f" Without a gain in the header, planted stars have no noise: {', '.join(lacking)}."
    failed = "".join(
        f"<li>{escaped(f'{each.image.name}: {each.why_not}')}</li>"
        for each in depths
        if each.found is None
    )
    return (
        f'<h2>How complete</h2><p class="muted">{escaped(said)}</p>'
        + (f'<ul class="notes">{failed}</ul>' if failed else "")
        + (_table([each for each, _ in known]) if known else "")
        + (f"<h3>Planted stars that are called real, by S/N</h3>{chart}{keys}" if known else "")
    )


def _fractions(found: Completeness) -> list[tuple[float, float]]:
    table = found.by_snr()
    middles = np.sqrt(np.asarray(table["snr_low"]) * np.asarray(table["snr_high"]))
    known = np.asarray(table["n"]) > 0
    parts = np.asarray(table["accepted"], np.float64)
    return [(float(s), float(p)) for s, p in zip(middles[known], parts[known], strict=True)]


def _table(depths: Sequence[Depth]) -> str:
    heads = ["Chosen", "Image", "FWHM (px)", "Planted"]
    heads += [f"{100 * part:.0f} % {what}" for what in ("detected", "called real") for part in FRACTIONS]
    heads += ["Let in", "of"]
    rows = []
    for each in depths:
        assert each.found is not None
        row = [words(each.title), words(each.image.name)]
        row += [Cell(f"{each.image.fwhm:.2f}", each.image.fwhm), whole(len(each.found.score))]
        row += [_at(each.found, name, part) for name in _COLUMNS for part in FRACTIONS]
        row += [whole(each.let_in[1]), whole(each.let_in[0])]
        rows.append(row)
    return sortable("complete", heads, rows)


def _at(found: Completeness, name: str, part: float) -> Cell:
    """Return the S/N at which a fraction is still found; empty where no star of the range tells."""
    snr = found.depth(part, name)
    return Cell("") if snr is None else Cell(f"S/N {snr:.1f}", snr)
