"""Where alarms go while a watch works: to a command, or to an address on this machine."""

import ipaddress
import json
import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from typing import Any, Protocol, Self
from urllib.error import URLError
from urllib.parse import SplitResult, quote, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from ..errors import InputError
from .commands import Commands

log = logging.getLogger(__name__)

#: What may stand in braces in the command.
ALARM = ("cause", "message", "image")
#: What keeps its meaning in an address.
_MAY_STAND = "/:?#[]@!$&'()*+,;=%"
_PATIENCE = 10.0  # seconds that an address has to answer


class Alerts(Protocol):
    """Takes alarms and returns at once; a context manager that waits for the last to be told.

    Attributes
    ----------
    n_failed : int
        How many could not be told.
    """

    n_failed: int

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None: ...

    def tell(self, alarm: Mapping[str, Any]) -> None:
        """Tell of an alarm, which has ``cause``, ``message`` and ``images``, the newest last."""
        ...


def alerts_to(where: str) -> Alerts:
    """Return what tells of alarms.

    Parameters
    ----------
    where : str
        A command, in which ``{cause}``, ``{message}`` and ``{image}`` stand for what was found; or an
        address on this machine such as ``http://127.0.0.1:9000/alarm``, to which it is posted as JSON.

    Raises
    ------
    InputError
        The command cannot be run, or the address is not on this machine or none.
    """
    if where.strip().lower().startswith(("http:", "https:")):
        return Webhook(where.strip())
    return CommandOnAlarm(where)


class CommandOnAlarm(Commands):
    """Runs a command for each alarm, without a shell.

    Parameters
    ----------
    line : str
    """

    def __init__(self, line: str) -> None:
        super().__init__(line, ALARM)

    def tell(self, alarm: Mapping[str, Any]) -> None:
        """Let the command run for an alarm."""
        self.submit(alarm["cause"], alarm["message"], alarm["images"][-1])


class _NoRedirect(HTTPRedirectHandler):
    """Follows no other address: it may be on another machine."""

    def redirect_request(self, *given: Any) -> None:
        """Refuse."""


class Webhook:
    """Posts alarms as JSON to an address on this machine, one after another.

    Parameters
    ----------
    url : str

    Attributes
    ----------
    n_failed : int

    Raises
    ------
    InputError
        The address is not on this machine, or cannot be posted to.
    """

    def __init__(self, url: str) -> None:
        parts = _parts_of(url)
        if parts.scheme != "http" or not _is_local(parts.hostname or ""):
            raise InputError(
                f"alarms are posted to this machine alone, and {url} is elsewhere; give "
                "http://127.0.0.1:PORT/PATH, or a command that passes them on"
            )
        self.n_failed = 0
        self._url = url
        self._opener = build_opener(ProxyHandler({}), _NoRedirect())
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)

    def tell(self, alarm: Mapping[str, Any]) -> None:
        """Post an alarm once those before were posted."""
        body = json.dumps(alarm).encode()
        self._thread.submit(self._post, body).add_done_callback(partial(_tell_unless_begun, body))

    def _post(self, body: bytes) -> None:
        request = Request(self._url, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with self._opener.open(request, timeout=_PATIENCE):
                log.info("posted to %s: %s", self._url, body.decode())
        except (URLError, HTTPException, OSError, ValueError) as error:
            self.n_failed += 1
            said = str(error) or type(error).__name__
            log.error("an alarm could not be posted to %s: %s: %s", self._url, said, body.decode())


def _tell_unless_begun(body: bytes, post: "Future[None]") -> None:
    if post.cancelled():
        log.warning("not posted, since the watch ended: %s", body.decode())


def _parts_of(url: str) -> SplitResult:
    """Divide an address; raises `InputError` for one that nothing can be posted to."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises for what is no port
    except ValueError as error:
        raise InputError(f"{url} is no address: {error}; give http://127.0.0.1:PORT/PATH") from error
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise InputError(
            f"the address {url!r} has blanks or other characters that no address may have; write them "
            f"with per cent signs: {quote(url, safe=_MAY_STAND)}"
        )
    return parts


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
