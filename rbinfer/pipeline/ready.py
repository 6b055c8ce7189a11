"""Files of ready-made stamps, from their paths to a scored table."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..io.exposure import Width
from ..io.ready import read_stamps
from ..scoring.classifier import Classifier
from ..scoring.verdicts import Scores, Verdict, extra_columns, with_verdicts

if TYPE_CHECKING:
    from astropy.table import Table


def score_stamp_files(
    paths: Sequence[str | Path],
    classifier: Classifier,
    *,
    fwhm: float | None = None,
    one_image: bool = False,
    threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> "Table":
    """Score the stamps in files; the detection is in the middle of each.

    Parameters
    ----------
    paths : sequence of str or path
        As for `rbinfer.io.ready.read_stamps`.
    classifier : Classifier
    fwhm : float, optional
        FWHM of stars in pixels. By default it is measured on the stamps of each image together.
    one_image : bool
        Take all stamps to be of one image.
    threshold : float, optional
        Scores above it are real; the model's own by default.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    Table
        One row a stamp: ``file``, ``name`` (number of the plane or of the alert), the columns of a
        scored catalogue with ``rb_snr``, and ``rb_fwhm`` and ``rb_fwhm_source``.

    Raises
    ------
    InputError
        A file cannot be read, or there is none.
    """
    from astropy.table import Table

    stamps = read_stamps(paths)
    images = [0 if one_image else (k if each.image is None else each.image)
              for k, each in enumerate(stamps)]  # fmt: skip
    found = classifier.score_stamps(
        [each.exposure for each in stamps], fwhm, images=images, progress=progress
    )
    table = Table(
        {"file": np.array([each.file for each in stamps], np.str_),
         "name": np.array([each.name for each in stamps], np.str_)},
    )  # fmt: skip
    limit = classifier.threshold if threshold is None else threshold
    sources = set(found.fwhm_source.tolist())
    width = Width(float(np.median(found.fwhm)), sources.pop() if len(sources) == 1 else "mixed")
    scores = Scores(found.score, found.status, found.classes)
    table = with_verdicts(
        table,
        scores,
        Verdict(classifier.spec, classifier.real_source_types, limit, width),
        add_score=True,
        flag_bogus=False,
        extra=extra_columns(("snr",), scores, found.snr, classifier.spec),
    )
    table["rb_fwhm"], table["rb_fwhm_source"] = found.fwhm, found.fwhm_source
    table.meta["rb_hash"] = classifier.sha256
    return table
