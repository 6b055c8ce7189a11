"""Labels for nothing: from darks, from the repeats of a night, from a catalogue, from a mask."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from rbinfer._util.hashing import digest
from rbinfer.errors import InputError
from rbinfer.io.images import load_image
from rbinfer.io.labels import FIRST_HDU, PERSON, Label, LabelFile
from rbinfer.io.noted import noted_image, options_in
from rbinfer.io.tables import read_catalog
from rbinfer.night.parts import DETECTIONS
from rbinfer.night.run import RESULTS
from rbinfer.runs.journal import lines_of

from .harvest_frames import from_catalogue, from_darks, from_mask, read_bad_pixels
from .harvest_night import NightTables, from_night
from .harvested import DARK, REAL, Joined, joined

log = logging.getLogger(__name__)

#: Who made a harvested label.
WHO = "rbtrain harvest"
#: Scores above it are likely to be real; for counting what lies on a mask by chance.
_LIKELY = 0.5
#: Labels that are written at a time.
_AT_ONCE = 500


@dataclass(frozen=True)
class HarvestOptions:
    """What labels are harvested from.

    Attributes
    ----------
    night : path or None
        Folder with the tables of ``rbinfer night``.
    darks : sequence of path
        Frames with the shutter closed.
    catalogue : path or None
        Table of known sources, and `radius`, how near a detection must be, arcsec.
    mask : str or None
        Bad pixels of the camera: a FITS file, or ``FILE[HDU]``.
    most : int
        Labels of each kind of evidence that are taken at most, drawn at random.
    seed : int
    images : path or None
        Folder in which the images are now, if they are not where the night was made.
    """

    night: str | os.PathLike[str] | None = None
    darks: Sequence[str | os.PathLike[str]] = ()
    catalogue: str | os.PathLike[str] | None = None
    radius: float = 1.0
    mask: str | None = None
    most: int = 1000
    seed: int = 0
    images: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.images is not None and not os.path.isdir(self.images):
            raise InputError(f"{self.images} is not a folder; name the one in which the images are")
        if self.night is None and not self.darks:
            raise InputError("nothing to harvest from: give the tables of a night, or darks")
        if self.night is None and (self.catalogue is not None or self.mask is not None):
            raise InputError("a catalogue and a mask tell of the detections of a night: give its tables")
        if self.most < 1:
            raise InputError(f"most must be at least 1, not {self.most}")
        if self.seed < 0:
            raise InputError(f"seed must be 0 or more, not {self.seed}")


@dataclass(frozen=True)
class HarvestReport:
    """What came of a harvest.

    Attributes
    ----------
    detections : int
        Of the night.
    known : int
        Of these, how many have evidence.
    contradicted : int
        Detections that are real by one kind of evidence and bogus by another: they get no label.
    found, written : dict of str to int
        Labels by evidence: all, and those that were added to the table.
    purity : dict of str to float
        Estimated, by evidence.
    """

    detections: int
    known: int
    contradicted: int
    found: dict[str, int]
    written: dict[str, int]
    purity: dict[str, float]

    def in_words(self) -> list[str]:
        """Say it in a line for each kind of evidence, and one for all."""
        lines = [
            f"{name}: {self.written.get(name, 0)} labels of {n}, {self.purity[name]:.2%} of them right "
            "by estimate"
            for name, n in self.found.items()
        ]
        if self.detections:
            share = self.known / self.detections
            lines.append(
                f"{self.known} of {self.detections} detections of the night have evidence ({share:.0%})"
            )
        if self.contradicted:
            lines.append(
                f"{self.contradicted} detections left out: real by one evidence, bogus by another"
            )
        return lines


def harvest(
    options: HarvestOptions,
    output: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
) -> HarvestReport:
    """Harvest labels into a table of labels.

    What the table has already stays. Added is what differs from the last harvested answer about the same
    detection, also in evidence or purity: the same harvest again adds nothing.

    Parameters
    ----------
    options : HarvestOptions
    output : path
        ``labels.ecsv``; made, or appended to.
    progress : callable, optional
        Called as ``progress(darks_done, darks)``.

    Returns
    -------
    HarvestReport

    Raises
    ------
    InputError
        Something cannot be read or used, or there is no evidence for anything; says what to do.
    """
    rng = np.random.default_rng(options.seed)
    file = LabelFile(Path(output))
    before = {label.key: _answer(label) for label in file.new() if label.evidence != PERSON}
    night = None if options.night is None else NightTables.read(options.night)
    parts = [] if night is None else _of_night(night, options)
    if options.darks:
        parts.append(from_darks(options.darks, rng, progress))
    found = joined(parts)
    if not len(found.table):
        raise InputError(
            "no detection has evidence: the sky must move by some pixels over three frames at least "
            "before repeats tell anything; give darks, or dither next time"
        )
    table = found.table[_chosen(found.table, options.most, rng)]
    catalogues = {} if options.night is None else _catalogues(Path(options.night))
    harvested_now = _labels(table, catalogues, options)
    labels = [label for label in harvested_now if before.get(label.key) != _answer(label)]
    for start in range(0, len(labels), _AT_ONCE):
        file.append(labels[start : start + _AT_ONCE])
    return _report(night, found, labels)


def _answer(label: Label) -> tuple[str, str, float]:
    """Return what is harvested about a detection, and how surely."""
    return label.label, label.evidence, label.purity


def _of_night(night: NightTables, options: HarvestOptions) -> list[Table]:
    parts = [from_night(night)]
    if not len(parts[0]):
        log.warning(
            "the repeats of the night tell nothing: the sky hardly moved over the detector, or there "
            "are fewer than three frames of a field"
        )
    if options.catalogue is not None:
        parts.append(from_catalogue(night.detections, options.catalogue, options.radius))
    if options.mask is not None:
        likely = np.asarray(night.detections["rb_score"]) > _LIKELY
        parts.append(from_mask(night.detections, read_bad_pixels(options.mask), likely))
    return parts


def _chosen(table: Table, most: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows of each kind of evidence, in their order."""
    evidence = np.asarray(table["evidence"])
    rows = []
    for name in np.unique(evidence):
        of = np.flatnonzero(evidence == name)
        rows.append(rng.permutation(of)[:most])
    return np.sort(np.concatenate(rows))


def _catalogues(night: Path) -> dict[str, str]:
    """Return the scored catalogue of each image of a night."""
    results = (night / RESULTS).absolute()
    journal = results / "batch.jsonl"
    if not journal.is_file():
        log.warning("%s is not there: labels will not name the scored catalogues", journal)
        return {}
    return {line.image: str(results / line.output) for line in lines_of(journal) if line.ok}


def _labels(table: Table, catalogues: dict[str, str], options: HarvestOptions) -> list[Label]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    paths: dict[str, str] = {}
    hashes: dict[str, str] = {}
    places: dict[str, _Place] = {}
    labels = []
    for row in table:
        image = str(row["image"])
        if image not in hashes:
            paths[image] = _path_of(image, options)
            hashes[image] = digest(paths[image])
            places[image] = _scored_place(paths[image], catalogues.get(image))
        labels.append(
            Label(
                image=paths[image],
                hash=hashes[image],
                x=float(row["x"]),
                y=float(row["y"]),
                label="real" if row["label"] == REAL else "bogus",
                hdu=places[image].hdu,
                plane=places[image].plane,
                catalog=catalogues.get(image, ""),
                row=int(row["row"]) if image in catalogues else -1,
                ra=float(row["ra"]),
                dec=float(row["dec"]),
                kind=str(row["class"]),
                who=WHO,
                when=now,
                evidence=str(row["evidence"]),
                purity=round(float(row["purity"]), 6),
            )
        )
    return labels


def _path_of(image: str, options: HarvestOptions) -> str:
    """Return where an image is now; a night notes it as it was named then."""
    if options.night is None:
        found = Path(image) if os.path.isfile(image) else None
    else:
        images = None if options.images is None else Path(options.images)
        found = noted_image(image, Path(options.night) / DETECTIONS, images)
    if found is None:
        raise InputError(
            f"the image {image} was not found, and labels need the images themselves: go to the folder "
            "in which 'rbinfer night' ran, or name the folder of the images with --images"
        )
    return os.path.abspath(found)


class _Place(NamedTuple):
    """Which pixels of a file were scored: the number of the HDU, and the plane of a cube, if any."""

    hdu: int = FIRST_HDU
    plane: str = ""


def _scored_place(image: str, catalogue: str | None) -> _Place:
    """Return what a scored catalogue notes; the HDU may have been asked for by name."""
    if catalogue is None:
        return _Place()
    # FITS knows upper case alone.
    meta = {str(key).lower(): value for key, value in read_catalog(catalogue).meta.items()}
    plane = options_in(meta.get("rb_opts")).get("plane")
    hdu = meta.get("rb_hdu", FIRST_HDU)
    if isinstance(hdu, str):
        found = load_image(image, hdu, plane).hdu
        hdu = FIRST_HDU if found is None else found
    return _Place(int(hdu), "" if plane is None else str(plane))


def _report(night: NightTables | None, found: Joined, labels: Sequence[Label]) -> HarvestReport:
    evidence = np.asarray(found.table["evidence"]).astype(str)
    purity = np.asarray(found.table["purity"], float)
    names = list(dict.fromkeys(evidence.tolist()))
    return HarvestReport(
        0 if night is None else len(night.detections),
        int(np.count_nonzero(evidence != DARK)),
        found.contradicted,
        dict(Counter(evidence.tolist())),
        dict(Counter(label.evidence for label in labels)),
        {name: float(np.mean(purity[evidence == name])) for name in names},
    )
