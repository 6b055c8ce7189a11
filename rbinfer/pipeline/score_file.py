"""From files to a scored catalogue: what ``classify``, ``batch`` and ``watch`` have in common."""

import dataclasses
import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.images import LoadedImage, list_images, load_image
from ..io.maps import bad_pixels, place_of, read_map
from ..io.positions import sky_columns
from ..io.tables import has_positions, read_catalogs
from ..model.spec import OperatingPoint
from ..scoring.classifier import Classifier
from ..status import MEANING, UNSCORED, Status

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: What ``hdu`` is for a mosaic: each image of the file with its own detections.
ALL = "all"
#: Column that says from which HDU of a mosaic a row is.
HDU_COLUMN = "rb_hdu"
#: Column of SExtractor with the number of the extension.
_EXTENSION_COLUMN = "EXT_NUMBER"
#: Options that have no say in the scores, or keys of their own in the metadata.
_NOTED_APART = {"model", "device", "threads", "hdu", "x_col", "y_col", "origin"}
_MOST_OFF = 0.5  # a share of the positions off the image beyond which it is not the catalogue's
_MASKED_MUCH = 0.9  # a share of the pixels that deserves a word


@dataclass(frozen=True)
class ScoreOptions:
    """How images are scored; the same for many of them.

    Attributes
    ----------
    model : str, optional
        Name or path; the model in rbinfer by default.
    device : {"auto", "cpu", "cuda"}
    threads : int, optional
        Worker threads; one for each CPU by default.
    real : tuple of str, optional
        Classes that count as real; the model's own by default.
    threshold, max_missed, max_false : float, optional
        One of them at most: the threshold, or the rate that an operating point of the model must
        keep. The model's own threshold by default.
    fwhm : float, optional
        FWHM of the stars in pixels; measured by default.
    hdu : str, optional
        Number (from 0) or name of the HDU, or ``"all"`` for every image of a mosaic.
    mask, err : str, optional
        Mask and noise map as `rbinfer.io.maps.read_map` takes them.
    bad_bits : int, optional
        Bits of the mask that are bad.
    saturation : float, optional
        Saturation level; that of the header by default.
    x_col, y_col, origin : str, str, {0, 1}, optional
        As for `rbinfer.io.tables.positions`.
    allow_off_image : bool
        Take a catalogue even if more than half of its positions lie off the image.
    """

    model: str | None = None
    device: str = "auto"
    threads: int | None = None
    real: tuple[str, ...] | None = None
    threshold: float | None = None
    max_missed: float | None = None
    max_false: float | None = None
    fwhm: float | None = None
    hdu: str | None = None
    mask: str | None = None
    bad_bits: int | None = None
    err: str | None = None
    saturation: float | None = None
    x_col: str | None = None
    y_col: str | None = None
    origin: int | None = None
    allow_off_image: bool = False

    def __post_init__(self) -> None:
        if self.real is not None:
            # Lists cannot be told apart from others by their hash, as options are.
            object.__setattr__(self, "real", tuple(self.real))
        ways = [self.threshold, self.max_missed, self.max_false]
        if sum(way is not None for way in ways) > 1:
            raise InputError(
                "give one of threshold, max_missed and max_false, not "
                f"{self.threshold}, {self.max_missed} and {self.max_false}"
            )
        if self.bad_bits is not None and self.mask is None:
            raise InputError("--bad-bits says what is bad in a mask; give --mask too")

    @property
    def columns(self) -> dict[str, Any]:
        """The options about the columns of positions."""
        return {"x_col": self.x_col, "y_col": self.y_col, "origin": self.origin}

    def given(self) -> dict[str, Any]:
        """Return the options that are not as by default and are not noted under names of their own."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in _NOTED_APART and getattr(self, field.name) != field.default
        }

    def classifier(self) -> Classifier:
        """Load the model."""
        return Classifier(
            self.model, device=self.device, threads=self.threads, real_source_types=self.real
        )

    def point(self, classifier: Classifier) -> OperatingPoint | None:
        """Return the operating point that the rates ask for, or None if they ask for none."""
        if self.max_missed is None and self.max_false is None:
            return None
        if classifier.real_source_types != classifier.spec.real:
            raise InputError(
                f"--max-missed and --max-false rest on rates that were measured with "
                f"{', '.join(classifier.spec.real)} as real; with --real give --threshold"
            )
        return classifier.spec.point_for(self.max_missed, self.max_false)


@dataclass(frozen=True, eq=False)
class ScoredFile:
    """What came of an image.

    Attributes
    ----------
    table : Table
        All detections with their scores; ``meta`` says how they were made.
    image : LoadedImage or None
        Pixels and header; None for a mosaic, whose images would not all fit into memory.
    summary : dict
        Counts and what they rest on, for JSON.
    """

    table: "Table"
    image: LoadedImage | None
    summary: dict[str, Any]


def score_file(
    image: str, catalog: str | None, options: ScoreOptions, classifier: Classifier
) -> ScoredFile:
    """Score the detections in an image file: the rows of a catalogue, or else those that SEP finds.

    Parameters
    ----------
    image : str
        FITS file.
    catalog : str, optional
        Catalogue. For a mosaic one with a table for each image, by name or in order, or with
        SExtractor's column ``EXT_NUMBER``.
    options : ScoreOptions
    classifier : Classifier
        From `ScoreOptions.classifier`.

    Returns
    -------
    ScoredFile
        Of a mosaic the rows of all images, in their order; the column ``rb_hdu`` tells them apart.

    Raises
    ------
    RbinferError
        Something cannot be read or used.
    """
    start = time.perf_counter()
    if catalog is None and any(value is not None for value in options.columns.values()):
        raise InputError("--x-col, --y-col and --origin are about a catalogue; give --catalog too")
    point = options.point(classifier)
    threshold = options.threshold if point is None else point.threshold
    of_all = options.hdu is not None and options.hdu.lower() == ALL
    numbers = _mosaic(image, options) if of_all else {}
    tables = [] if catalog is None else _tables_with_places(catalog)
    skies = numbers or (list_images(image) if _is_of_many(tables) else {})
    planes = list_images(image, maps=True) if tables and skies else {}
    _tell_of_maps(tables, skies, planes, catalog)
    parts = []
    wanted: list[int | str | None] = [*numbers] if of_all else [options.hdu]
    for number in wanted:
        loaded = load_image(image, number)
        table = None
        if catalog is not None:
            table = _table_of(tables, loaded.hdu, skies, planes, catalog, image)
        siblings = len(_mosaic(image, options)) if loaded.siblings > 1 else 1
        if siblings > 1:
            log.warning(
                "%s: 1 of %d images (HDU %d) was scored; --hdu all scores each, --hdu %d this one",
                image, siblings, loaded.hdu, loaded.hdu,
            )  # fmt: skip
        parts.append(_score_one(image, loaded, table, options, classifier, threshold))
    scored = parts[0] if not numbers else _stacked(parts, list(numbers))
    hdu = ALL if numbers else loaded.hdu
    _note(scored, image, classifier, options, hdu)
    summary: dict[str, Any] = {
        "image": image,
        "hdu": hdu,
        "catalog": catalog,
        **options.columns,
        **tally(scored),
        "expected": None if point is None else {"missed": point.missed, "false": point.false},
    }
    if numbers:
        summary["extensions"] = [
            {"hdu": number, "name": name, **tally(part)}
            for (number, name), part in zip(numbers.items(), parts, strict=True)
        ]
    summary["seconds"] = round(time.perf_counter() - start, 3)
    return ScoredFile(scored, None if numbers else loaded, summary)


def tally(scored: "Table") -> dict[str, Any]:
    """Count the verdicts and the reasons in a scored catalogue, and name what they rest on.

    Parameters
    ----------
    scored : Table
        As `rbinfer.Classifier.classify` returns it.

    Returns
    -------
    dict
        Plain numbers and texts: ``detections``, ``real``, ``bogus``, ``unscored``, ``status`` (rows
        by bit), ``classes`` (scored rows by class) and what ``meta`` notes.
    """
    status = np.asarray(scored["rb_status"])
    unscored = (status & UNSCORED) != 0
    n_real = int(np.count_nonzero(scored["rb_score"] > scored.meta["rb_threshold"]))
    n_unscored = int(np.count_nonzero(unscored))
    counts = {
        str(bit.name): int(np.count_nonzero(status & int(bit)))
        for bit in MEANING
        if np.any(status & int(bit))
    }
    summary: dict[str, Any] = {
        "detections": len(scored),
        "real": n_real,
        "bogus": len(scored) - n_real - n_unscored,
        "unscored": n_unscored,
        "status": counts,
    }
    if "rb_class" in scored.colnames:
        found, times = np.unique(np.asarray(scored["rb_class"])[~unscored], return_counts=True)
        summary["classes"] = {str(k): int(n) for k, n in zip(found, times, strict=True)}
    for key in ("fwhm", "fwhm_source", "threshold", "model", "version"):
        summary[key] = scored.meta[f"rb_{key}"]
    return summary


def _score_one(
    name: str, image: LoadedImage, table: "Table | None", options: ScoreOptions,
    classifier: Classifier, threshold: float | None,
) -> "Table":  # fmt: skip
    mask, err = _maps(name, image, options)
    detected = table is None
    if table is None:
        from ..measure.detect import detect

        table = detect(image.data, mask=mask)
        if not len(table):
            _tell_of_pixels(name, image.data)
    saturation = image.saturation if options.saturation is None else options.saturation
    scored = classifier.classify(
        table,
        image.data,
        mask=mask,
        err=err,
        fwhm=options.fwhm,
        saturation=saturation,
        threshold=threshold,
        wcs=image.header,
        **options.columns,
    )
    if not detected and not options.allow_off_image:
        _check_on_image(scored, name, image.data.shape)
    return scored


def _tell_of_pixels(name: str, pixels: NDArray[np.float32]) -> None:
    """Say what there is where nothing was detected: a dead frame looks like an empty sky."""
    good = pixels[np.isfinite(pixels)]
    values = f", from {good.min():g} to {good.max():g}" if good.size else ""
    log.warning(
        "%s: nothing was detected; %.3g %% of the pixels are finite%s",
        name, 100 * good.size / pixels.size, values,
    )  # fmt: skip


def _check_on_image(scored: "Table", name: str, shape: tuple[int, ...]) -> None:
    """Refuse a catalogue that cannot be of this image."""
    status = np.asarray(scored["rb_status"])
    unknown = int(np.count_nonzero(status & Status.POSITION_NOT_FINITE))
    if unknown > len(status) * _MOST_OFF:
        log.warning("%d of %d positions are masked or no numbers: %s", unknown, len(status), name)
    off = int(np.count_nonzero(status & Status.OFF_IMAGE))
    if off > max(len(status) * _MOST_OFF, 1):
        raise InputError(
            f"{off} of {len(status)} positions lie off the image {name} ({shape[1]} x {shape[0]}): is "
            "the catalogue of another image, binning or HDU? --allow-off-image takes it all the same"
        )


def _maps(
    name: str, image: LoadedImage, options: ScoreOptions
) -> tuple[NDArray[np.bool_] | None, NDArray[Any] | None]:
    """Read the mask, that of the image's own file unless told otherwise, and the noise."""
    mask, err, shape = image.mask, None, image.data.shape
    if options.mask is not None:
        found = read_map(options.mask, name, shape, "mask", image.hdu)
        mask = bad_pixels(found, options.bad_bits)
        share = float(mask.mean())
        if share > _MASKED_MUCH:
            log.warning(
                "%.0f %% of the pixels are masked by %s; is it a mask?", 100 * share, options.mask
            )
    if options.err is not None:
        err = read_map(options.err, name, shape, "noise map", image.hdu)
    return mask, err


def _mosaic(image: str, options: ScoreOptions) -> dict[int, str]:
    """Return numbers and names of the HDUs of a mosaic that are images of the sky."""
    images, beside = list_images(image), set()
    for where, what in ((options.mask, "mask"), (options.err, "noise map")):
        path, hdu = (None, None) if where is None else place_of(where, what)
        if hdu is not None and (path is None or path.samefile(image)):
            beside.add(hdu.upper())
    found = {
        number: name
        for number, name in images.items()
        if name.upper() not in beside and str(number) not in beside
    }
    if not found:
        raise InputError(f"{image} has no 2-D images to score")
    return found


def _tables_with_places(catalog: str) -> "list[tuple[str, Table]]":
    """Return the tables of a catalogue; of several only those with positions, if any has such."""
    tables = read_catalogs(catalog)
    with_places = [(name, table) for name, table in tables if has_positions(table) or sky_columns(table)]
    return with_places if len(tables) > 1 and with_places else tables


def _is_of_many(tables: "list[tuple[str, Table]]") -> bool:
    """Whether a catalogue looks like that of several images."""
    if len(tables) > 1:
        return True
    column = tables[0][1][_EXTENSION_COLUMN] if tables and _has_extensions(tables[0][1]) else []
    return len(np.unique(np.asarray(column))) > 1


def _has_extensions(table: "Table") -> bool:
    return _EXTENSION_COLUMN in table.colnames


def _table_of(
    tables: "list[tuple[str, Table]]", number: int, skies: dict[int, str], planes: dict[int, str],
    catalog: str, image: str,
) -> "Table":  # fmt: skip
    """Return the detections in an HDU of `image`.

    `skies` has the names of its images, `planes` those of its maps too, in which SExtractor detects.
    """
    first, names = tables[0][1], [name for name, _ in tables]
    if len(skies) > 1 and len(tables) == 1 and _has_extensions(first):
        return _of_extension(first, number, skies, planes, catalog)
    if len(tables) == 1 and (len(skies) < 2 or number not in skies):
        return first
    if len(skies) < 2:
        log.warning("%s has %d tables; the first, %s, is taken", catalog, len(tables), names[0])
        return first
    of_images = list(skies.values())
    unique = len(set(names)) == len(names) and len(set(of_images)) == len(of_images)
    if unique and set(of_images) <= set(names):
        return dict(tables)[skies[number]]
    if len(tables) == len(skies) and number in skies:
        return tables[list(skies).index(number)][1]
    if len(tables) == len(planes) and number in planes:
        return tables[list(planes).index(number)][1]
    what = "one table" if len(tables) == 1 else f"{len(tables)} tables ({', '.join(names)})"
    raise InputError(
        f"{catalog} has {what} but {image} has {len(skies)} images "
        f"({', '.join(f'{n} {name}'.strip() for n, name in skies.items())}); give a table for each "
        f"image, a column {_EXTENSION_COLUMN}, or a catalogue of one image alone"
    )


def _of_extension(
    table: "Table", number: int, skies: dict[int, str], planes: dict[int, str], catalog: str
) -> "Table":
    extension = np.asarray(table[_EXTENSION_COLUMN])
    strange = np.setdiff1d(extension, list(planes))
    if strange.size:
        raise InputError(
            f"{catalog} has rows with {_EXTENSION_COLUMN} {', '.join(map(str, strange[:5]))}, but the "
            f"images are in HDU {', '.join(map(str, skies))}"
        )
    return table[extension == number]


def _tell_of_maps(
    tables: "list[tuple[str, Table]]", skies: dict[int, str], planes: dict[int, str], catalog: str | None
) -> None:
    """Warn of detections in maps, which are those of no image."""
    beside = [number for number in planes if number not in skies]
    n = 0
    if len(tables) == 1 and _has_extensions(tables[0][1]):
        n = int(np.isin(tables[0][1][_EXTENSION_COLUMN], beside).sum())
    elif len(tables) == len(planes):
        n = sum(len(table) for (_, table), hdu in zip(tables, planes, strict=True) if hdu in beside)
    if n:
        log.warning(
            "%s: %d rows are of maps (HDU %s), not of images, and are left out",
            catalog, n, ", ".join(map(str, beside)),
        )  # fmt: skip


def _stacked(parts: "list[Table]", numbers: list[int]) -> "Table":
    """Join the tables of a mosaic; what `meta` notes of each is the median of them."""
    from astropy.table import vstack

    fwhm = [part.meta["rb_fwhm"] for part in parts]
    for part, number in zip(parts, numbers, strict=True):
        part[HDU_COLUMN] = np.full(len(part), number, np.int32)
    bare = [part.copy(copy_data=False) for part in parts]
    for part in bare:
        part.meta.clear()  # joined, its lists would be one after another
    joined: Table = vstack(bare)
    joined.meta.update(parts[0].meta)
    joined.meta.update(rb_fwhm=float(np.median(fwhm)), rb_fwhm_source="median of the images")
    return joined


def _note(
    scored: "Table", image: str, classifier: Classifier, options: ScoreOptions, hdu: int | str
) -> None:
    """Note what a reader needs to find the same positions, and how the scores were made."""
    from .. import __version__

    used = {"image": image, "hdu": hdu, **options.columns}
    scored.meta.update({f"rb_{key}": value for key, value in used.items() if value is not None})
    # Short names: FITS continues long values of keywords with up to eight letters alone.
    scored.meta["rb_hash"] = classifier.sha256
    scored.meta["rb_opts"] = json.dumps(options.given(), sort_keys=True)
    scored.meta["rb_rel"] = __version__
