"""What a request may not do: come without the token, be too many, too large or too slow."""

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from .metrics import Metrics

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Paths that are answered whatever else is going on.
_ALWAYS = ("/health", "/metrics")


class RefusedError(Exception):
    """A request that is refused.

    Parameters
    ----------
    status : int
        Of HTTP.
    text : str
        What was wrong, and what to do.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says beside the text."""
        # What is still to come of the request is not read.
        more = {429: {"retry-after": "1"}, 401: {"www-authenticate": "Bearer"}}
        return {"connection": "close"} | more.get(self.status, {})


@dataclass(frozen=True)
class Limits:
    """What is allowed.

    Attributes
    ----------
    most_requests : int
        At a time, those that wait for their turn included.
    most_bytes : int
        Of a request, as it comes and decompressed.
    patience : float
        Seconds in which a request must have come whole, and in which a piece of its answer must be
        taken.
    token : str or None
        What ``Authorization: Bearer`` must hold, except for ``/health``.
    hosts : tuple of str
        What ``Host`` may be; anything if empty. A page in a browser that has the name of its own host
        point to this machine is kept out by that.
    """

    most_requests: int
    most_bytes: int
    patience: float
    token: str | None = None
    hosts: tuple[str, ...] = ()


class Guard:
    """An ASGI application that holds requests to `Limits` before another sees them."""

    def __init__(self, app: App, limits: Limits, metrics: Metrics | None = None) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._n_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = _Told(send, self._limits.patience)
        counted = scope["path"] not in _ALWAYS
        try:
            headers = dict(scope["headers"])
            self._check_sender(headers, scope["path"])
            if counted:
                self._check_room(headers)
            self._count(counted)
            try:
                await self._app(scope, self._limited(receive) if counted else receive, told)
            finally:
                self._count(-counted)
        except RefusedError as refused:
            await _answer(told, refused)
        finally:
            if self._metrics is not None:
                self._metrics.requests.labels(str(told.status or "none")).inc()

    def _count(self, change: int) -> None:
        self._n_requests += change
        if self._metrics is not None:
            self._metrics.in_flight.set(self._n_requests)

    def _check_sender(self, headers: dict[bytes, bytes], path: str) -> None:
        limits = self._limits
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if limits.hosts and name not in limits.hosts:
            raise RefusedError(403, f"this service does not answer for the host {name!r}")
        if limits.token is None or path == "/health":
            return
        given = headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, f"Bearer {limits.token}".encode()):
            raise RefusedError(401, "the token is missing or wrong; send 'Authorization: Bearer TOKEN'")

    def _check_room(self, headers: dict[bytes, bytes]) -> None:
        limits = self._limits
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limits.most_bytes:
            raise self._too_large()
        if self._n_requests >= limits.most_requests:
            raise RefusedError(429, f"{self._n_requests} requests are at work; try again in a second")

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413, f"the request is larger than {self._limits.most_bytes:,} bytes, the most that is taken"
        )

    def _limited(self, receive: Receive) -> Receive:
        """Return a `receive` that refuses what is too large, or takes too long to come whole."""
        loop = asyncio.get_running_loop()
        end, size, is_whole = loop.time() + self._limits.patience, 0, False

        async def limited() -> Message:
            nonlocal size, is_whole
            if is_whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(end - loop.time(), 0.0))
            except TimeoutError:
                text = f"the request did not come whole within {self._limits.patience:g} s"
                raise RefusedError(408, text) from None
            size += len(message.get("body", b""))
            if size > self._limits.most_bytes:
                raise self._too_large()
            is_whole = not message.get("more_body", False)
            return message

        return limited


class _Told:
    """A `send` that gives up on who takes no answer, and knows which status was sent."""

    def __init__(self, send: Send, patience: float) -> None:
        self._send, self._patience = send, patience
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
        try:
            await asyncio.wait_for(self._send(message), self._patience)
        except TimeoutError:
            log.info("an answer was not taken within %g s, and is dropped", self._patience)
            raise


async def _answer(send: _Told, refused: RefusedError) -> None:
    if send.status is not None:
        return
    body = json.dumps({"error": refused.text}).encode()
    told = {"content-type": "application/json", "content-length": str(len(body))} | refused.headers
    headers = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
