"""The application: the page, what it shows, and the answers that it sends."""

import json
import logging
import math
import secrets
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from .._util.extras import needed
from .._util.sentences import unforeseen
from ..errors import InputError, RbinferError, one_line
from ..report.markup import part
from ..serve.limits import App, Guard, Limits
from ..serve.server import Place
from .door import Door
from .frames import STRETCHES, ImageChangedError, draw_cutout
from .session import AnsweredElsewhereError, Session

log = logging.getLogger(__name__)

#: Bytes of a request, which holds an answer.
_MOST_BYTES = 10_000
_MOST_REQUESTS = 256
_PATIENCE = 60.0  # seconds
_MOST_ITEMS = 100  # that a page gets at a time
_WIDEST = 8.0  # times the usual cutout
#: Pictures that are fetched ahead are shown without being asked for again.
_KEPT = {"cache-control": "private, max-age=600"}
_PARTS = {"label.css": "text/css", "label.js": "text/javascript"}


def new_token() -> str:
    """Return a token that nobody can guess: 32 random bytes."""
    return secrets.token_urlsafe(32)


def make_app(session: Session, token: str) -> App:
    """Make the ASGI application.

    Parameters
    ----------
    session : Session
    token : str
        What paths must begin with.

    Returns
    -------
    callable

    Raises
    ------
    InputError
        What the server needs is not installed.
    """
    needed("starlette", "the page needs", "label")
    from starlette.applications import Starlette
    from starlette.routing import Route

    pages = _Pages(session)
    routes = [
        Route("/", pages.page),
        Route("/state", pages.state),
        Route("/items", pages.items),
        Route("/item/{item:int}", pages.item),
        Route("/cutout/{item:int}", pages.cutout),
        Route("/star/{item:int}", pages.star),
        Route("/snr/{item:int}", pages.snr),
        Route("/answer", pages.answer, methods=["POST"]),
        Route("/undo", pages.undo, methods=["POST"]),
        *(Route(f"/{name}", pages.file_of(name, kind)) for name, kind in _PARTS.items()),
        Route("/page.css", pages.style),
    ]
    limits = Limits(_MOST_REQUESTS, _MOST_BYTES, _PATIENCE, hosts=Place().hosts)
    return Door(Guard(Starlette(routes=routes), limits), token)


class _Pages:
    """The answers to requests; what may wait for a disk is done in threads."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def page(self, request: Any) -> Any:
        return _text(_own("label.html"), "text/html")

    async def style(self, request: Any) -> Any:
        return _text(part("page.css"), "text/css")

    def file_of(self, name: str, kind: str) -> Callable[[Any], Any]:
        async def found(request: Any) -> Any:
            return _text(_own(name), kind)

        return found

    async def state(self, request: Any) -> Any:
        window = _window(request.query_params.get("window", ""))
        return await _answered(lambda: self._session.state(window))

    async def items(self, request: Any) -> Any:
        def found() -> dict[str, Any]:
            window = _window(request.query_params.get("window", ""))
            count = _whole(request.query_params.get("count", "1"), "count", _MOST_ITEMS)
            return {"items": self._session.take(window, count), **self._session.rest(window)}

        return await _answered(found)

    async def item(self, request: Any) -> Any:
        return await _answered(lambda: self._session.item(self._item(request)))

    async def cutout(self, request: Any) -> Any:
        def drawn() -> bytes:
            wider = request.query_params.get("wider", "1")
            stretch = request.query_params.get("stretch", STRETCHES[0])
            if stretch not in STRETCHES:
                raise InputError(f"the stretch {stretch!r} is none of {', '.join(STRETCHES)}")
            try:
                times = float(wider)
            except ValueError:
                times = 0.0
            if not 0.1 <= times <= _WIDEST:
                raise InputError(f"wider must be a number from 0.1 to {_WIDEST:g}, not {wider!r}")
            row, image, frame = self._session.frame(self._item(request))
            return draw_cutout(frame, float(row["x"]), float(row["y"]), image.fwhm, stretch, times)

        return await _answered(drawn)

    async def star(self, request: Any) -> Any:
        return await _answered(lambda: self._session.frame(self._item(request))[2].star())

    async def snr(self, request: Any) -> Any:
        def measured() -> dict[str, Any]:
            row, image, frame = self._session.frame(self._item(request))
            snr = frame.snr(float(row["x"]), float(row["y"]), image.fwhm)
            return {"snr": snr if math.isfinite(snr) else None}

        return await _answered(measured)

    async def answer(self, request: Any) -> Any:
        body = await request.body()

        def noted() -> dict[str, Any]:
            asked = _object(body)
            item, label, kind = asked.get("item"), asked.get("label"), asked.get("class", "")
            if not (type(item) is int and isinstance(label, str) and isinstance(kind, str)):
                raise InputError("an answer has an item (a whole number), a label and a class (texts)")
            return self._session.answer(item, label, kind, _window(asked.get("window", "")))

        return await _answered(noted)

    async def undo(self, request: Any) -> Any:
        body = await request.body()

        def taken_back() -> dict[str, Any]:
            asked = _object(body)
            item = asked.get("item")
            if not isinstance(item, int):
                raise InputError("say which item's answer is taken back (a whole number)")
            progress = self._session.undo(item, _window(asked.get("window", "")))
            return {"progress": progress, "item": self._session.item(item)}

        return await _answered(taken_back)

    def _item(self, request: Any) -> int:
        return int(request.path_params["item"])


async def _answered(work: Callable[[], Any]) -> Any:
    """Do in a thread what is asked for: bytes are PNG, None is an answer without content, else JSON."""
    from anyio.to_thread import run_sync
    from starlette.responses import Response

    try:
        found = await run_sync(work)
    except AnsweredElsewhereError as error:
        return _as_json({"error": one_line(error)}, 409)
    except ImageChangedError as error:
        log.warning("%s", error)
        return _as_json({"error": one_line(error)}, 410)
    except InputError as error:
        return _as_json({"error": one_line(error)}, 422)
    except RbinferError as error:
        log.warning("%s", error)
        return _as_json({"error": one_line(error)}, 500)
    except Exception as error:
        log.exception("a request failed")
        return _as_json({"error": unforeseen(error)}, 500)
    if found is None:
        return Response(status_code=204)
    if isinstance(found, bytes):
        return Response(found, media_type="image/png", headers=_KEPT)
    return _as_json(found)


def _as_json(found: dict[str, Any], status: int = 200) -> Any:
    """Return an answer in ASCII: names of files may hold what UTF-8 can't."""
    from starlette.responses import Response

    return Response(json.dumps(found), status, media_type="application/json")


def _window(name: Any) -> str:
    return str(name)[:64]


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _text(text: str, kind: str) -> Any:
    from starlette.responses import Response

    return Response(text, media_type=kind)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError("the request must be a JSON object")
    return found


def _whole(text: str, name: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        raise InputError(f"{name} must be a whole number from 1 to {most}, not {text!r}")
    return int(text)
