"""Files beside each result of a run: what they are called, and what writes them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .._util.hashing import digest
from ..errors import InputError
from ..io.masks_out import write_mask
from ..io.regions import write_regions
from ..measure.detectors import DETECTOR
from ..pipeline.beside import regions_of
from ..pipeline.mask import artefact_mask
from ..pipeline.options import ALL, ScoreOptions
from ..pipeline.score_file import ScoredFile
from ..scoring.classifier import Classifier
from .journal import KINDS_BESIDE, Entry, shortened

#: How the names of the files of each kind end.
SUFFIXES = {"regions": ".reg", "mask": ".mask.fits"}


def beside(output: str, kind: str) -> str:
    """Return the name of a file of a kind beside a result."""
    return os.path.splitext(output)[0] + SUFFIXES[kind]


def check_beside(kinds: Iterable[str], options: ScoreOptions) -> None:
    """Refuse files that these options do not allow of.

    Raises
    ------
    InputError
        They are of one image, and all images of a mosaic are scored.
    """
    if list(kinds) and str(options.hdu).lower() == ALL:
        raise InputError("regions and masks are of one image; give its `hdu` instead of 'all'")


def uses_detector(options: ScoreOptions, catalog: str | None, kinds: Sequence[str]) -> bool:
    """Tell whether a run needs the kernels of the detection: a mask looks for hits with them too."""
    return (catalog is None and options.detector == DETECTOR) or "mask" in kinds


def write_beside(
    kind: str,
    scored: ScoredFile,
    image: str,
    options: ScoreOptions,
    classifier: Classifier,
    path: Path,
) -> None:
    """Write a file of a kind.

    Parameters
    ----------
    kind : str
        One of `SUFFIXES`.
    scored : ScoredFile
        With all columns.
    image : str
        Its name.
    options : ScoreOptions
    classifier : Classifier
        What scored it.
    path : Path

    Raises
    ------
    RbinferError
        It cannot be made or written.
    """
    if kind == "regions":
        write_regions(regions_of(scored, options.columns, image), path)
        return
    assert scored.image is not None  # a mosaic has none
    mask = artefact_mask(scored.table, scored.image, options.columns, classifier)
    write_mask(mask, path, scored.image.header, image)


def digest_of_result(path: str) -> str | None:
    """Hash a file; None where there is none. Raises `InputError` where it cannot be read."""
    try:
        return digest(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"the result {path} cannot be replaced: {error.strerror}") from error


class FilesBeside:
    """The files beside a result that are there, by their kinds.

    Parameters
    ----------
    output : str
        Name of the result.
    folder : str
        Of the results.
    kinds : iterable of str
        Those that are wanted.
    """

    def __init__(self, output: str, folder: str, kinds: Iterable[str]) -> None:
        self._names = {kind: beside(output, kind) for kind in kinds}
        paths = {kind: os.path.join(folder, name) for kind, name in self._names.items()}
        found = {kind: digest_of_result(path) for kind, path in paths.items()}
        self._hashes = {kind: shortened(sha256) for kind, sha256 in found.items() if sha256 is not None}

    def are_of(self, entry: Entry) -> bool:
        """Whether all that are wanted are there, as an entry notes them."""
        return all(self._hashes.get(kind) == _noted(entry, kind) for kind in self._names)

    def noted(self, entries: Sequence[Entry]) -> list[str]:
        """Return the names of those that one of the entries notes, or knows from before."""
        return [self._names[kind] for kind in self._hashes if self._is_noted(kind, entries)]

    def strange(self, entries: Sequence[Entry]) -> str | None:
        """Return the name of one that no entry notes, if there is one."""
        found = (kind for kind in self._hashes if not self._is_noted(kind, entries))
        return next((self._names[kind] for kind in found), None)

    def _is_noted(self, kind: str, entries: Sequence[Entry]) -> bool:
        k, sha256 = KINDS_BESIDE.index(kind), self._hashes[kind]
        return any(sha256 in (entry.beside[k], entry.former[k]) for entry in entries)


def _noted(entry: Entry, kind: str) -> bytes:
    return entry.beside[KINDS_BESIDE.index(kind)]
