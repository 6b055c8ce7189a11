"""Ready-made stamps in files: cubes and images in FITS, and alert packets in Avro."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .alerts import MAGIC, read_alerts
from .exposure import Exposure
from .files import check_file
from .images import load_stamps

log = logging.getLogger(__name__)

_LARGEST = 256  # pixels; surveys cut stamps of 30 to 100
_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz", ".avro")


@dataclass(frozen=True, eq=False)
class ReadyStamp:
    """A cutout that somebody else made.

    Attributes
    ----------
    exposure : Exposure
        Its pixels.
    name : str
        Number of the alert or of the plane; empty where there is neither.
    image : str or None
        What the stamps of one image have in common; None where that is not told.
    file : str
        Where it is from.
    """

    exposure: Exposure
    name: str = ""
    image: str | None = None
    file: str = ""


def read_stamps(paths: Iterable[str | Path]) -> list[ReadyStamp]:
    """Read the stamps of files and folders.

    Parameters
    ----------
    paths : iterable of str or path
        FITS files with a cube or one stamp, Avro files with alert packets, or folders of these. The
        planes of a cube are taken to be of one image.

    Returns
    -------
    list of ReadyStamp
        In the order of the paths, of the names in a folder, and of the planes or packets in a file.

    Raises
    ------
    InputError
        A path does not exist, a folder has no such file, or a file cannot be read.
    """
    return [stamp for path in paths for file in stamp_files(Path(path)) for stamp in _of_file(file)]


def stamp_files(path: Path) -> list[Path]:
    """Return a file, or those of a folder that may hold stamps, by their names.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        A folder without such files.
    """
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.name.lower().endswith(_SUFFIXES))
    if not found:
        raise InputError(f"the folder {path} has no stamps: no file ends with {', '.join(_SUFFIXES)}")
    return found


def _of_file(path: Path) -> list[ReadyStamp]:
    check_file(path)
    with path.open("rb") as file:
        is_avro = file.read(len(MAGIC)) == MAGIC
    if is_avro:
        alerts = [ReadyStamp(*alert, str(path)) for alert in read_alerts(path)]
        if not alerts:
            raise InputError(f"{path} has no alert packets: it is empty but for its schema")
        return alerts
    planes = load_stamps(path)
    if len(planes) == 1:
        shape = planes[0].shape
        if min(shape) > _LARGEST:
            log.warning(
                "%s has %d x %d pixels and is taken for one stamp, with its detection in the middle; "
                "if it is an image, 'rbinfer classify' scores what is on it",
                path,
                *shape,
            )
        return [ReadyStamp(planes[0], file=str(path))]
    return [ReadyStamp(plane, str(k), str(path), str(path)) for k, plane in enumerate(planes)]
