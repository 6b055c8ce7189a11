"""Alert packets in Avro: the science stamp of each, and which exposure it is of.

Fields are those of ZTF (https://github.com/ZwickyTransientFacility/ztf-avro-alert) and of Rubin's LSST
(https://github.com/lsst/alert_packet).
"""

import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._util.extras import needed
from ..errors import InputError, one_line
from .arrays import as_image
from .exposure import Exposure

#: How files of Avro begin.
MAGIC = b"Obj\x01"
_GZIP = b"\x1f\x8b"
#: Records of the detection, and what in them tells the exposure: stamps that share it share a PSF.
_EXPOSURE_KEYS = {"candidate": ("pid", "jd", "rcid"), "diaSource": ("visit", "detector")}
_NAMES = ("candid", "alertId", "diaSourceId")


class Alert(NamedTuple):
    """The science stamp of an alert, its number, and the exposure that it is of, where that is told."""

    stamp: Exposure
    name: str
    exposure: str | None


def read_alerts(path: Path) -> list[Alert]:
    """Read the science stamps of alert packets.

    Parameters
    ----------
    path : Path
        Avro file, with a packet or many.

    Returns
    -------
    list of Alert

    Raises
    ------
    InputError
        fastavro is not installed, the file is damaged, or a packet has no science stamp that can be
        read.
    """
    fastavro = needed("fastavro", "alert packets need", "alerts")
    try:
        with path.open("rb") as file:
            packets = list(fastavro.reader(file))
    except Exception as error:  # of many kinds, where a file is damaged
        raise InputError(f"{path} cannot be read as Avro: {one_line(error)}") from error
    return [_stamp(packet, f"packet {number} of {path}") for number, packet in enumerate(packets)]


def _stamp(packet: Any, what: str) -> Alert:
    cutout = packet.get("cutoutScience") if isinstance(packet, Mapping) else None
    # ZTF wraps the bytes in a record with a file name, LSST does not.
    content = cutout.get("stampData") if isinstance(cutout, Mapping) else cutout
    if not content:
        raise InputError(f"{what} has no science stamp (cutoutScience); ask for packets with cutouts")
    name = next((str(packet[key]) for key in _NAMES if packet.get(key) is not None), "")
    return Alert(_exposure(bytes(content), what), name, _exposure_key(packet))


def _exposure_key(packet: Mapping[str, Any]) -> str | None:
    """Return what stamps of one exposure have in common; None where the packet does not tell."""
    for record, keys in _EXPOSURE_KEYS.items():
        values = [(packet.get(record) or {}).get(key) for key in keys]
        if any(value is not None for value in values):
            return " ".join(map(str, values))
    return None


def _exposure(content: bytes, what: str) -> Exposure:
    from astropy.io import fits

    try:
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
        with fits.open(io.BytesIO(content), memmap=False) as hdus:
            planes = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) == 2]
            if not planes:
                raise InputError(f"the science stamp of {what} holds no 2-D image")
            masks = [hdu.data != 0 for hdu in planes[1:] if hdu.name == "MASK"]
            same = [mask for mask in masks if mask.shape == planes[0].shape]
            pixels, bad = as_image(planes[0].data, same[0] if same else None)
            header = planes[0].header
    except InputError:
        raise
    except Exception as error:  # nearly anything, as Astropy and gzip do on damaged content
        raise InputError(f"the science stamp of {what} cannot be read: {one_line(error)}") from error
    return Exposure(np.ascontiguousarray(pixels), bad, header=header)
