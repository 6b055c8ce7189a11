"""Labelled images: find them, score their detections in several ways, measure the scores by group."""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from rbinfer import Classifier
from rbinfer.errors import InputError
from rbinfer.io.exposure import Exposure
from rbinfer.io.images import load_image
from rbinfer.io.positions import peaks, positions

from .._arrays import F32, F64, Bools
from .._logs import collected
from ..config import SKY
from ..metrics import expected_calibration_error, reliability, shift_prior
from .baselines import baseline_scores
from .evaluate import figures
from .labelled_tables import misfit, read_case
from .readings import short_figures
from .ways import POSITIONS, Way, catalogue_of, given_widths, nearest_within

log = logging.getLogger(__name__)

#: A detection belongs to a labelled position within so many pixels.
_REACH = 2.0
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
        Scores with stars and galaxies counted as real, for a model that has both classes and counts
        others by default.
    baselines : dict of ndarray of float64, shape (n,), or None
        Scores by other means, see `rbtrain.judging.baselines`.
    detected : ndarray of bool, shape (n,), or None
        Which of the labelled positions were detected, where no catalogue was given.
    """

    name: str
    real: Bools
    score: F32
    fwhm: float | None = None
    cutouts: F32 | None = None
    sky_score: F32 | None = None
    baselines: dict[str, F64] | None = None
    detected: Bools | None = None


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


def group_of(case: str) -> str:
    """Group that a case belongs to: its name without the running number."""
    return re.sub(r"_\d+$", "", case)


def labelled_cases(folder: str | os.PathLike[str]) -> list[tuple[Path, Path]]:
    """Find the labelled images of a folder: pairs of table (``x``, ``y``, ``label``) and image.

    Raises
    ------
    FileNotFoundError
        There are none, or no such folder.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder} with labelled images")
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


def check_cases(folders: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the tables of folders of labelled images, once all can be read and something is labelled.

    Parameters
    ----------
    folders : sequence of path
        See `labelled_cases`.

    Raises
    ------
    FileNotFoundError
        A folder has no labelled images.
    InputError
        A table cannot be used as it is, or there is no label in any.
    """
    cases = [case for folder in folders for case in labelled_cases(folder)]
    if not any([(read_case(*case)[0]["label"] >= 0).any() for case in cases]):
        raise InputError(
            f"nothing is labelled in {', '.join(str(table) for table, _ in cases[:3])}"
            f"{' and others' if len(cases) > 3 else ''}: 'label' is 1 for real and 0 for bogus"
        )
    return [table for table, _ in cases]


def score_case(
    classifier: Classifier,
    table_path: Path,
    image_path: Path,
    way: Way = POSITIONS,
    widths: Mapping[str, float] = MappingProxyType({}),
    baselines: bool = False,
) -> Scored | None:
    """Score the labelled detections of one image; None if there are none, or no FWHM is known to give.

    A cube is taken as one cutout a row of the table, centred on the object. Those with the same
    ``frame`` in the table are of one image, whose star is measured on all of them. Where the way gives
    the FWHM, it is ``frame_fwhm`` (pixels). With `baselines` the detections are scored by
    `rbtrain.judging.baselines` too, with the same FWHM.

    Parameters
    ----------
    classifier : Classifier
    table_path : Path
        Table with positions and ``label``, see `rbtrain.judging.labelled_tables.read_labelled`.
    image_path : Path
        FITS image (ny, nx) or cube (n, size, size).
    way : Way
        What the classifier is given.
    widths : mapping of str to float
        FWHM (pixels) by the name of the case, for ways that give it; for other cases the table's meta
        ``fwhm_px`` is taken.
    baselines : bool

    Returns
    -------
    Scored or None

    Raises
    ------
    InputError
        The table cannot be used as it is; names it, and what is wrong with it.
    """
    table, cube, left_out = read_case(table_path, image_path)
    if left_out:
        log.warning("%s: %s", table_path, left_out)
    if not (table["label"] >= 0).any():
        log.warning("%s: nothing is labelled; it is left out", table_path)
        return None
    name = table_path.stem
    if cube is not None:
        is_told = ("frame_fwhm" if way.fwhm_given else "frame") in table.colnames
        if way.columns != POSITIONS.columns or not is_told:
            return None
        return _score_cube(classifier, name, table, cube, way.fwhm_given, baselines)
    fwhm = widths.get(name, table.meta.get("fwhm_px")) if way.fwhm_given else None
    if way.fwhm_given and fwhm is None:
        return None
    image = load_image(image_path)
    if way == POSITIONS and (reason := misfit(image, table)):
        log.warning(
            "%s does not fit %s: %s; its figures tell nothing then", table_path, image_path, reason
        )
    catalogue = catalogue_of(table, way, image)
    result = classifier.classify(catalogue, image, fwhm=fwhm, trust_positions=True)
    if way.columns == "none":
        return _matched(name, table, result)
    sky, of_sky = _counting_sky(classifier), None
    if sky is not None:
        of_sky = sky.classify(catalogue, image, fwhm=fwhm, trust_positions=True)["rb_score"]
    judged = np.asarray(table["label"]) >= 0
    used = float(result.meta["rb_fwhm"])
    x, y = positions(table)
    return Scored(
        name,
        np.asarray(table["label"])[judged] == 1,
        np.asarray(result["rb_score"], np.float32)[judged],
        used,
        classifier.cutouts(image, x, y, fwhm=used, peaks=peaks(catalogue)).pixels[judged],
        None if of_sky is None else np.asarray(of_sky, np.float32)[judged],
        _baselines_of(image, table[judged], used) if baselines else None,
    )


def _matched(name: str, table: Table, found: Table) -> Scored:
    """Give the scores of detections to the labelled positions that they belong to."""
    label = np.asarray(table["label"])
    judged = label >= 0
    x, y = positions(table)
    row = nearest_within(found, x[judged], y[judged], _REACH)
    score = np.append(np.asarray(found["rb_score"], np.float32), np.float32(np.nan))[row]
    return Scored(name, label[judged] == 1, score, float(found.meta["rb_fwhm"]), detected=row >= 0)


def _baselines_of(image: Exposure, table: Table, fwhm: float) -> dict[str, F64]:
    return baseline_scores(
        image.pixels,
        table,
        fwhm,
        mask=image.mask,
        gain=gain_of(image.header, table),
        saturation=image.saturation,
    )


def _counting_sky(classifier: Classifier) -> Classifier | None:
    """Return the same classifier with stars and galaxies real, where that is another reading."""
    spec = classifier.spec
    other = set(SKY) <= set(spec.classes) and not spec.readings[0].counts(SKY)
    return classifier.counting(SKY) if other else None


def gain_of(header: Any, table: Table) -> float | None:
    """Electrons per unit of a labelled image, by its header or else its table.

    Parameters
    ----------
    header : mapping
        Of the image; ``GAIN`` is read.
    table : Table
        Its meta ``gain`` is read.

    Returns
    -------
    float or None
        None where neither has a number above 0.
    """
    for value in (header.get("GAIN"), table.meta.get("gain")):
        if isinstance(value, int | float) and np.isfinite(value) and value > 0:
            return float(value)
    return None


def _score_cube(
    classifier: Classifier,
    name: str,
    table: Table,
    cube: NDArray[Any],
    is_given: bool,
    baselines: bool,
) -> Scored:
    table, stamps = table[table["label"] >= 0], list(cube[np.asarray(table["label"]) >= 0])
    fwhm = np.asarray(table["frame_fwhm"], float) if is_given else None
    images = table["frame"].tolist() if "frame" in table.colnames else None
    found = classifier.score_stamps(stamps, fwhm, images=images)
    sky = _counting_sky(classifier)
    others = None
    if baselines:
        gain, parts = gain_of({}, table), []
        for i, width in enumerate(found.fwhm):
            row = table[i : i + 1].copy()
            row["xpeak"], row["ypeak"] = [cube.shape[2] // 2], [cube.shape[1] // 2]
            parts.append(baseline_scores(stamps[i], row, float(width), gain=gain))
        others = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    return Scored(
        name,
        np.asarray(table["label"]) == 1,
        found.score,
        sky_score=None if sky is None else sky.score_stamps(stamps, fwhm, images=images).score,
        baselines=others,
    )


def score_images(
    classifier: Classifier,
    folders: Sequence[str | os.PathLike[str]],
    way: Way = POSITIONS,
    progress: Callable[[int, int], None] | None = None,
    baselines: bool = False,
    told: set[str] | None = None,
) -> dict[str, list[Scored]]:
    """Score the labelled detections of folders of images, by group.

    Parameters
    ----------
    classifier : Classifier
    folders : sequence of path
        See `labelled_cases`. Where one has ``widths/groups.csv``, its FWHM are the ones given.
    way : Way
        What the classifier is given.
    progress : callable, optional
        Called as ``progress(images_done, images)``.
    baselines : bool
        Score by `rbtrain.judging.baselines` too.
    told : set of str, optional
        Warnings that were given for other ways; they are not given again, and new ones are added.

    Returns
    -------
    dict of lists of Scored
    """
    groups: dict[str, list[Scored]] = {}
    cases = [case for folder in folders for case in labelled_cases(folder)]
    widths = given_widths(folders)
    told = set() if told is None else told
    for done, (table, image) in enumerate(cases, 1):
        with collected() as said:
            scored = score_case(classifier, table, image, way, widths, baselines)
        for level, text in said:
            line = text if image.name in text or table.name in text else f"{image}: {text}"
            if line not in told:
                log.log(level, "%s", line)
            told.add(line)
        if scored is not None:
            groups.setdefault(group_of(scored.name), []).append(scored)
        if progress is not None:
            progress(done, len(cases))
    return groups


def measure_groups(groups: dict[str, list[Scored]], threshold: float) -> dict[str, Any]:
    """Figures of each group, with intervals, and the FWHM used for each image.

    ``with_galaxies`` holds the figures with stars and galaxies counted as real, for a model that has
    both classes and counts others by default: where a label means "in the sky", such a score is wrong on
    galaxies. ``undetected``, where no catalogue was given, says how many of how many ``real`` and
    ``bogus`` were not detected; they count as unscored.

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
        detected = [c.detected for c in cases if c.detected is not None]
        if detected:
            missed = ~np.concatenate(detected)
            result[name]["undetected"] = {
                what: [int((missed & rows).sum()), int(rows.sum())]
                for what, rows in (("real", real), ("bogus", ~real))
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
