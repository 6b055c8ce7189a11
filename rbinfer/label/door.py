"""Who gets at the page: who has its address, which nobody can guess, and no page of another host."""

import hmac
import json

from ..serve.limits import App, Message, Receive, Scope, Send

#: Said with every answer: nothing of others is loaded, shown inside of it, or told where it is.
_HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Door:
    """An ASGI application that lets those in whose path begins with a token, which it takes off.

    Parameters
    ----------
    app : callable
        ASGI application behind it.
    token : str
    """

    def __init__(self, app: App, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                known = {name for name, _ in given}
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {
                    **message,
                    "headers": given + [each for each in added if each[0] not in known],
                }
            await send(message)

        token, _, rest = scope["path"].removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self._token):
            await _refuse(with_headers, 403, "open the address that 'rbinfer label' printed, all of it")
        elif not _is_own(scope):
            await _refuse(with_headers, 403, "this page answers no page of another host")
        elif scope["path"] == f"/{token}":
            # What is on the page is asked for relative to its address, which must end so.
            await with_headers(
                {
                    "type": "http.response.start",
                    "status": 307,
                    "headers": [(b"location", f"/{token}/".encode()), (b"content-length", b"0")],
                }
            )
            await with_headers({"type": "http.response.body", "body": b""})
        else:
            inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}
            await self._app(inner, receive, with_headers)


def _is_own(scope: Scope) -> bool:
    """Whether a request is of the page itself, or of no page at all.

    Browsers send ``Origin`` with whatever changes something. The name of the host is checked elsewhere.
    """
    headers = dict(scope["headers"])
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    return origin is None or origin.lower() == b"http://" + host.lower()


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    told = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    headers = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
