"""Where the service listens, and how it ends."""

import logging
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .._util.extras import needed
from ..errors import InputError
from .limits import App

log = logging.getLogger(__name__)

_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|localhost|::1")
_BACKLOG = 128
_PATIENCE = 60.0
_GRACE = 30  # seconds that requests at work have once the end is asked for


@dataclass(frozen=True)
class Place:
    """Where the service listens.

    Attributes
    ----------
    host : str
        Name or address.
    port : int
        0 for any that is free.
    path : str or None
        A Unix socket instead, which this user alone may use.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    path: str | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """What requests may call this host; anything where a token guards it, or a file's rights."""
        if self.path is not None or not self.is_local:
            return ()
        return (self.host, "127.0.0.1", "localhost", "[::1]")

    @property
    def is_local(self) -> bool:
        """Whether this machine alone can reach it."""
        return self.path is not None or _LOOPBACK.fullmatch(self.host) is not None


@contextmanager
def listening(place: Place) -> Iterator[tuple[socket.socket, str]]:
    """Listen while it lasts.

    Yields
    ------
    socket : socket
    address : str
        To send requests to.

    Raises
    ------
    InputError
        Another listens there, or the place cannot be had.
    """
    if place.path is not None:
        with _unix_socket(place.path) as found:
            yield found, f"unix:{place.path}"
        return
    try:
        known = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        family, kind, _, _, where = known[0]
        found = socket.socket(family, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
        found.listen(_BACKLOG)
    except OSError as error:
        raise InputError(
            f"nothing can listen at {place.host}, port {place.port} ({error.strerror}); name another "
            "port"
        ) from error
    with found:
        host = f"[{place.host}]" if ":" in place.host else place.host
        yield found, f"http://{host}:{found.getsockname()[1]}"


@contextmanager
def _unix_socket(path: str) -> Iterator[socket.socket]:
    if not hasattr(socket, "AF_UNIX"):
        raise InputError("this system has no Unix sockets; name a port")
    _remove_stale(path)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        found.bind(path)
    except OSError as error:
        raise InputError(f"the socket {path} cannot be made: {error.strerror or error}") from error
    finally:
        os.umask(before)
    found.listen(_BACKLOG)
    try:
        with found:
            yield found
    finally:
        with suppress(OSError):
            os.unlink(path)


def _remove_stale(path: str) -> None:
    """Remove a socket that a process left which was killed; refuse to remove anything else."""
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return
    if not is_socket:
        raise InputError(f"{path} exists and is no socket; name another place")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        try:
            trial.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise InputError(f"the socket {path} cannot be used: {error.strerror}") from error
    raise InputError(f"another process listens at {path}; end it, or name another place")


def _patient(seconds: float) -> Any:
    """Return the protocol of a connection that is closed if its first request does not begin in time."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._too_late = self.loop.call_later(seconds, self._give_up)

        def _give_up(self) -> None:
            if self.cycle is None:
                self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._too_late.cancel()
            super().connection_lost(exc)

    return Patient


def run_server(
    app: App,
    place: Place,
    ready: Callable[[str], Any] = log.info,
    extra: str = "serve",
    patience: float = _PATIENCE,
) -> None:
    """Answer requests until SIGTERM or SIGINT, which then takes its usual way.

    What is at work at the end is answered, within half a minute.

    Parameters
    ----------
    app : callable
        ASGI application.
    place : Place
    ready : callable
        Called with the address once requests are taken.
    extra : str
        The extra of rbinfer that brings the server.
    patience : float
        Seconds in which the head of a connection's first request must have come.

    Raises
    ------
    InputError
        As by `listening`, or the server is not installed.
    """
    uvicorn = needed("uvicorn", "the service needs", extra)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        http=_patient(patience),
        ws="none",
        loop="asyncio",
        timeout_graceful_shutdown=_GRACE,
    )
    with listening(place) as (found, address):
        ready(address)
        uvicorn.Server(config).run(sockets=[found])
