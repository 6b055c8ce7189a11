"""Labelled images: find them, score their detections in several ways, measure the scores by group."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from rbinfer import Classifier
from rbinfer.errors import InputError
from rbinfer.io.images import load_image
from rbinfer.io.positions import peaks, positions

from .._arrays import F32, F64, Bools
from ..config import SKY
from ..metrics import expected_calibration_error, reliability, shift_prior
from .baselines import baseline_scores
from .evaluate import figures
from .readings import short_figures

#: Group that stands for all images together; no case can have the name.
ALL = "all together"


@dataclass(frozen=True)
class Scored:
    """Scores with their labels.

    Attributes
    ----------
    name : str
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)
        NaN for what could not be scored.
    fwhm : float or None
        FWHM used, where it is one for all.
    cutouts : ndarray of float32, shape (n, size, size, 2), or None
        What the network saw.
    sky_score : ndarray of float32, shape (n,), or None
        Scores with stars and galaxies counted as real, for a model that has both classes.
    baselines : dict of ndarray of float64, shape (n,), or None
        Scores by other means, see `rbtrain.judging.baselines`.
    """

    name: str
    real: Bools
    score: F32
    fwhm: float | None = None
    cutouts: F32 | None = None
    sky_score: F32 | None = None
    baselines: dict[str, F64] | None = None


def joined(cases: Sequence[Scored]) -> tuple[Bools, F32]:
    """Return labels and scores of several images as one.

    Parameters
    ----------
    cases : sequence of Scored
        At least one.

    Returns
    -------
    real : ndarray of bool, shape (n,)
    score : ndarray of float32, shape (n,)
    """
    return np.concatenate([c.real for c in cases]), np.concatenate([c.score for c in cases])


#: Ways in which labelled images are scored: key of the figures, title, FWHM given, centroids alone.
WAYS = (
    ("images", "FWHM measured", False, False),
    ("images_fwhm_given", "FWHM given", True, False),
    ("images_centroids", "FWHM measured, the brightest pixels not given", False, True),
)


def ways_for(folder: str | os.PathLike[str]) -> tuple[tuple[str, str, bool, bool], ...]:
    """Return the `WAYS` that differ for the tables of a folder: not all name brightest pixels."""
    named = any(peaks(Table.read(table)) is not None for table, _ in labelled_cases(folder))
    return WAYS if named else WAYS[:2]


def group_of(case: str) -> str:
    """Group that a case belongs to: its name without the running number."""
    return re.sub(r"_\d+$", "", case)


def labelled_cases(folder: str | os.PathLike[str]) -> list[tuple[Path, Path]]:
    """Find the labelled images of a folder: pairs of table (``x``, ``y``, ``label``) and image.

    Raises
    ------
    FileNotFoundError
        There are none.
    """
    cases = []
    for table in sorted(Path(folder).glob("*.ecsv")):
        for suffix in (".fits.gz", ".fits", ".fit", ".fits.fz"):
            image = table.with_suffix(suffix)
            if image.is_file():
                cases.append((table, image))
                break
    if not cases:
        raise FileNotFoundError(
            f"{folder} has no labelled images: pairs of NAME.ecsv (x, y, label) and NAME.fits[.gz]"
        )
    return cases


def score_case(
    classifier: Classifier,
    table_path: Path,
    image_path: Path,
    given_fwhm: bool,
    baselines: bool = False,
    centroids: bool = False,
) -> Scored | None:
    """Score the labelled detections of one image; None where its FWHM is asked for and not known.

    A cube is taken as one cutout a row of the table, centred on the object. With `baselines` the
    detections are scored by `rbtrain.judging.baselines` too, with the same FWHM. With `centroids` the
    columns of the brightest pixel are kept from the classifier.

    Parameters
    ----------
    classifier : Classifier
    table_path : Path
        Table with positions and ``label``; for a cube with ``frame_fwhm``, pixels.
    image_path : Path
        FITS image (ny, nx) or cube (n, size, size).
    given_fwhm : bool
        Take the FWHM from the table instead of measuring it.
    baselines : bool
    centroids : bool

    Returns
    -------
    Scored or None

    Raises
    ------
    InputError
        The table has no labels; names it and the columns that it has.
    """
    table = Table.read(table_path)
    if "label" not in table.colnames:
        raise InputError(
            f"{table_path} has no column 'label' (1 real, 0 bogus, -1 not to be judged); it has "
            f"{', '.join(table.colnames)}"
        )
    label = np.asarray(table["label"])
    name = table_path.stem
    with fits.open(image_path) as hdus:
        cube = hdus[0].data if hdus[0].data is not None and hdus[0].data.ndim == 3 else None
    if cube is not None:
        return _score_cube(classifier, name, table, cube, baselines) if given_fwhm else None
    fwhm = table.meta.get("fwhm_px") if given_fwhm else None
    if given_fwhm and fwhm is None:
        return None
    image = load_image(image_path)
    # Every detection is scored, also those not to be judged: a catalogue has them all.
    x, y = positions(table)
    catalogue, brightest = Table({"x": x, "y": y}), None if centroids else peaks(table)
    if brightest is not None:
        catalogue["xpeak"], catalogue["ypeak"] = brightest
    result = classifier.classify(catalogue, image, fwhm=fwhm)
    judged = label >= 0
    score = np.asarray(result["rb_score"], np.float32)
    used = float(result.meta["rb_fwhm"])
    pixels = classifier.cutouts(image, x, y, fwhm=used, peaks=brightest).pixels[judged]
    sky = _counting_sky(classifier)
    sky_score, others = None, None
    if sky is not None:
        sky_score = sky.score(image, x, y, fwhm=used, peaks=brightest).score[judged]
    if baselines:
        others = baseline_scores(
            image.pixels,
            table[judged],
            used,
            mask=image.mask,
            gain=_gain(image.header, table),
            saturation=image.saturation,
        )
    return Scored(name, label[judged] == 1, score[judged], used, pixels, sky_score, others)


def _counting_sky(classifier: Classifier) -> Classifier | None:
    """Return the same classifier with stars and galaxies real, where the model has both classes."""
    return classifier.counting(SKY) if set(SKY) <= set(classifier.spec.classes) else None


def _gain(header: Any, table: Table) -> float | None:
    """Electrons per unit of the image, by the header or else the table."""
    for value in (header.get("GAIN"), table.meta.get("gain")):
        if isinstance(value, int | float) and np.isfinite(value) and value > 0:
            return float(value)
    return None


def _score_cube(
    classifier: Classifier, name: str, table: Table, cube: NDArray[Any], baselines: bool
) -> Scored:
    label = np.asarray(table["label"])
    widths = np.asarray(table["frame_fwhm"], float)
    score = np.full(len(table), np.nan, np.float32)
    centre = [cube.shape[2] // 2], [cube.shape[1] // 2]
    judged = label >= 0
    sky = _counting_sky(classifier)
    sky_score, parts = np.full(len(table), np.nan, np.float32), []
    gain = _gain({}, table)
    for i in np.flatnonzero(judged):
        width = float(widths[i])
        score[i] = classifier.score(cube[i], *centre, fwhm=width).score[0]
        if sky is not None:
            sky_score[i] = sky.score(cube[i], *centre, fwhm=width).score[0]
        if baselines:
            row = table[i : i + 1].copy()
            row["xpeak"], row["ypeak"] = centre
            parts.append(baseline_scores(cube[i], row, width, gain=gain))
    others = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]} if parts else None
    return Scored(
        name,
        label[judged] == 1,
        score[judged],
        sky_score=None if sky is None else sky_score[judged],
        baselines=others,
    )


def score_images(
    classifier: Classifier,
    folder: str | os.PathLike[str],
    given_fwhm: bool = False,
    progress: Callable[[int, int], None] | None = None,
    baselines: bool = False,
    centroids: bool = False,
) -> dict[str, list[Scored]]:
    """Score the labelled detections of a folder of images, by group.

    Parameters
    ----------
    classifier : Classifier
    folder : path
        See `labelled_cases`.
    given_fwhm : bool
        Take the FWHM from the tables (``fwhm_px``) instead of measuring it.
    progress : callable, optional
        Called as ``progress(images_done, images)``.
    baselines : bool
        Score by `rbtrain.judging.baselines` too.
    centroids : bool
        Keep the columns of the brightest pixel from the classifier.

    Returns
    -------
    dict of lists of Scored
    """
    groups: dict[str, list[Scored]] = {}
    cases = labelled_cases(folder)
    for done, (table, image) in enumerate(cases, 1):
        scored = score_case(classifier, table, image, given_fwhm, baselines, centroids)
        if scored is not None:
            groups.setdefault(group_of(scored.name), []).append(scored)
        if progress is not None:
            progress(done, len(cases))
    return groups


def measure_groups(groups: dict[str, list[Scored]], threshold: float) -> dict[str, Any]:
    """Figures of each group, with intervals, and the FWHM used for each image.

    ``with_galaxies`` holds the figures with stars and galaxies counted as real, for a model that has
    both classes: where a label means "in the sky", the shipped score is wrong on galaxies.

    Parameters
    ----------
    groups : dict of lists of Scored
        From `score_images`.
    threshold : float
        Scores above it are real.

    Returns
    -------
    dict
        By group: the figures of `rbtrain.judging.evaluate.figures`, ``fwhm`` by image, and
        ``with_galaxies``.
    """
    rng = np.random.default_rng(0)
    result: dict[str, Any] = {}
    for name, cases in groups.items():
        real, score = joined(cases)
        result[name] = {
            **figures(real, score, threshold, rng),
            "fwhm": {c.name: c.fwhm for c in cases if c.fwhm is not None},
        }
        sky = [c.sky_score for c in cases if c.sky_score is not None]
        if len(sky) == len(cases):
            result[name]["with_galaxies"] = short_figures(real, np.concatenate(sky), threshold)
    return result


def measure_calibration(
    groups: dict[str, list[Scored]], prior: float | None = None
) -> dict[str, dict[str, Any]]:
    """Compare scores with the fraction that is real, for each group and for `ALL`.

    Parameters
    ----------
    groups : dict of lists of Scored
        From `score_images`.
    prior : float, optional
        Fraction of real ones that the scores are calibrated for. Adds ``error_of_mix``: the error
        after the scores are moved to the fraction that the group has (`shift_prior`).

    Returns
    -------
    dict
        By group: ``n``, ``fraction_real``, ``error``, ``reliability`` and, with `prior`,
        ``error_of_mix``.
    """
    result = {}
    for name, cases in {**groups, ALL: [c for g in groups.values() for c in g]}.items():
        if not cases:
            continue
        real, score = joined(cases)
        scored = np.isfinite(score)
        real, score = real[scored], score[scored]
        if len(score) == 0:
            continue
        found: dict[str, Any] = {
            "n": len(score),
            "fraction_real": float(real.mean()),
            "error": expected_calibration_error(real, score),
            "reliability": reliability(real, score),
        }
        if prior is not None and 0 < prior < 1:
            moved = shift_prior(score.astype(float), prior, found["fraction_real"])
            found["error_of_mix"] = expected_calibration_error(real, moved)
        result[name] = found
    return result
