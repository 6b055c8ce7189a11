"""Results for programs that listen by SAMP: DS9, Aladin, TOPCAT.

Messages are those of the IVOA's list of MTypes: ``table.load.votable`` and ``image.load.fits``.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._util.extras import needed
from ..errors import InputError, RbinferError, one_line
from .content import format_suffix
from .files import collect_warnings
from .records import Records
from .tables import read_catalog, write_catalog

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

_VOTABLE = (".vot", ".votable", ".xml")


class Listeners:
    """The programs at a SAMP hub.

    Parameters
    ----------
    client : astropy.samp.SAMPIntegratedClient or pyvo.samp.SAMPIntegratedClient
        Connected.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(
        self, table: "Table | Records", image: str | Path, written: str | Path | None = None
    ) -> int:
        """Send a scored table and its image to all that load such.

        Parameters
        ----------
        table : Table or Records
            Records must have been written.
        image : str or path
            FITS file.
        written : str or path, optional
            Where the table was written. Unless that is a VOTable, a copy is written for the
            programs into the folder for temporary files; it stays there, for they read it later.

        Returns
        -------
        int
            Programs that were told of the table.

        Raises
        ------
        RbinferError
            The hub went away, or the table cannot be written.
        """
        path = Path(written) if written is not None else None
        if path is None or format_suffix(path) not in _VOTABLE or path.suffix.lower() == ".gz":
            folder = Path(tempfile.mkdtemp(prefix="rbinfer-samp-"))  # readable by its owner alone
            path = folder / f"{Path(image).name.split('.')[0] or 'table'}.vot"
            if isinstance(table, Records) and written is not None:
                table = read_catalog(written)  # a VOTable is made of a table alone
            write_catalog(table, path)
            log.info("the table for SAMP is %s", path)
        place, name = path.absolute().as_uri(), path.stem
        told = self._notify("table.load.votable", {"url": place, "name": name, "table-id": place})
        place = Path(image).absolute().as_uri()
        seen = self._notify("image.load.fits", {"url": place, "name": Path(image).name})
        if not told + seen:
            log.warning("no program at the SAMP hub loads tables or images; start DS9, Aladin or TOPCAT")
        return told

    def _notify(self, mtype: str, params: dict[str, str]) -> int:
        try:
            told = self._client.notify_all({"samp.mtype": mtype, "samp.params": params})
        except Exception as error:  # of XML-RPC, sockets and SAMP
            raise RbinferError(f"the SAMP hub does not take {mtype}: {one_line(error)}") from error
        return len(told or ())


def _samp() -> Any:
    """Import Astropy's SAMP, which is deprecated since Astropy 8, or what follows it, PyVO's."""
    with collect_warnings():
        try:
            return import_module("astropy.samp")
        except ImportError:
            return needed("pyvo.samp", "with this version of Astropy, SAMP needs", "samp")


@contextmanager
def listeners() -> Iterator[Listeners]:
    """Connect to the SAMP hub of this user.

    Yields
    ------
    Listeners

    Raises
    ------
    InputError
        There is none, or no package that speaks SAMP.
    """
    samp = _samp()
    # Else the package asks the internet for the name of this machine.
    with samp.conf.set_temp("use_internet", False):
        metadata = {"samp.name": "rbinfer", "samp.description.text": "Real/bogus scores"}
        client = samp.SAMPIntegratedClient(metadata=metadata, callable=False)
        try:
            client.connect()
        except Exception as error:  # as above
            raise InputError(
                f"no SAMP hub can be reached ({one_line(error)}); start DS9, Aladin or TOPCAT first"
            ) from error
        try:
            yield Listeners(client)
        finally:
            with suppress(Exception):  # it may be gone
                client.disconnect()
