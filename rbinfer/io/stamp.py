"""The verdicts' summary in the header of an image file."""

import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import InputError
from .files import collect_warnings, written_whole

#: Keywords, what of the summary they hold, and their comments.
_CARDS = (
    ("RBMODEL", "model", "real/bogus model"),
    ("RBVERS", "version", "its version"),
    ("RBTHRESH", "threshold", "scores above it are real"),
    ("RBFWHM", "fwhm", "[pix] FWHM that the cutouts were scaled by"),
    ("RBNREAL", "real", "detections called real"),
    ("RBNBOGUS", "bogus", "detections called bogus"),
    ("RBNUNSC", "unscored", "detections without a score"),
)


def stamp(
    image: str | PathLike[str], summaries: Mapping[int, Mapping[str, Any]], meta: Mapping[str, Any]
) -> None:
    """Note a summary in headers of an image file; the pixels stay as they are, to the byte.

    A copy is changed and takes the file's place, so that the file is whole at any time.

    Parameters
    ----------
    image : path
        FITS file.
    summaries : mapping of int to mapping
        What `rbinfer.pipeline.summary.tally` returns, by the number of the HDU.
    meta : mapping
        Metadata of the scored table, for the hash of the model and the options.

    Raises
    ------
    InputError
        The headers cannot be written.
    RbinferError
        The file system refused.
    """
    from astropy.io import fits

    path = Path(image)
    suffix = "".join(path.suffixes[-2:])
    with written_whole(path, suffix) as beside, collect_warnings():
        shutil.copy2(path, beside)
        try:
            # Compressed images are left as the tables that they are.
            with fits.open(
                beside, mode="update", disable_image_compression=True,
                do_not_scale_image_data=True, checksum=True,
            ) as hdus:  # fmt: skip
                for number, summary in summaries.items():
                    header = hdus[number].header
                    for keyword, key, comment in _CARDS:
                        header[keyword] = (summary[key], comment)
                    header["RBHASH"] = (meta["rb_hash"], "SHA-256 of the model")
                    header["RBOPTS"] = (meta["rb_opts"], "options")
                    for keyword in ("CHECKSUM", "DATASUM"):
                        if keyword in header:
                            hdus[number].add_checksum()
                            break
        except (ValueError, TypeError, fits.VerifyError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"the header of {path} cannot be written: {reason}") from error
