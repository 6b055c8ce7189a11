"""The application: ``POST /classify``, ``GET /health``, ``GET /metrics``."""

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .._util.collected import collected_warnings, reworded
from .._util.extras import needed
from .._util.sentences import unforeseen
from ..errors import InputError, RbinferError
from ..pipeline.options import ScoreOptions
from ..pipeline.score_file import score_file
from ..scoring.classifier import Classifier
from .answers import Answer, answer_of, kind_asked
from .jobs import Asked, Job, allowed_path, check_inflated, keep_upload, options_of, write_positions
from .limits import App, Guard, Limits, RefusedError
from .metrics import Metrics

if TYPE_CHECKING:
    from starlette.responses import Response

log = logging.getLogger(__name__)

_MOST_JSON = 1 << 26  # bytes of a request in JSON, which is held in memory
_FORM = "multipart/form-data"
_OF_CATALOGUES = (
    *("catalog_format", "x_col", "y_col", "origin"),
    *("swap_xy", "flip_x", "flip_y", "scale_xy", "shift_xy"),
)
_PLAIN = ScoreOptions()


@dataclass(frozen=True)
class Service:
    """What answers requests.

    Attributes
    ----------
    classifier : Classifier
    options : ScoreOptions
        Where a request does not say otherwise.
    folders : tuple of str
        Real paths of the folders from which requests may name files.
    limits : Limits
    metrics : Metrics
    """

    classifier: Classifier
    options: ScoreOptions
    folders: tuple[str, ...]
    limits: Limits
    metrics: Metrics

    @property
    def of_pixels(self) -> ScoreOptions:
        """The options without those about catalogues: positions are sent as pixels."""
        plain: Any = {name: getattr(_PLAIN, name) for name in _OF_CATALOGUES}
        return replace(self.options, **plain)

    def prepared(self, asked: Asked, uploads: dict[str, Any], folder: Path) -> Job:
        """Check what is asked for, and put what was sent where it can be read.

        Parameters
        ----------
        asked : Asked
        uploads : dict of str to UploadFile
            ``image`` and ``catalog``, where they were sent.
        folder : Path
            Of this request alone.

        Raises
        ------
        RefusedError, InputError
        """
        options = options_of(asked.options, self.options if asked.positions is None else self.of_pixels)
        if ("image" in uploads) == (asked.image is not None):
            raise RefusedError(400, "give the image once: as a path, or as the part 'image' of a form")
        if "catalog" in uploads and (asked.catalog is not None or asked.positions is not None):
            raise RefusedError(400, "give the detections once: as a catalog, or as positions")
        catalog = None
        if "image" in uploads:
            image = folder / "image.fits"
            keep_upload(uploads["image"].file, image, self.limits.most_bytes)
            name = _names_sent(folder, uploads)[str(image)]
        else:
            name = str(asked.image)
            image = Path(allowed_path(name, self.folders, "image"))
        if "catalog" in uploads:
            catalog = folder / "catalog"
            with catalog.open("wb") as file:
                shutil.copyfileobj(uploads["catalog"].file, file)
            check_inflated(catalog, self.limits.most_bytes, "catalogue")
        elif asked.catalog is not None:
            catalog = Path(allowed_path(asked.catalog, self.folders, "catalog"))
        elif asked.positions is not None:
            catalog = folder / "positions.fits"
            write_positions(asked.positions, catalog)
        if catalog is not None:
            options = replace(options, detector=_PLAIN.detector)  # the service's is for other requests
        return Job(str(image), None if catalog is None else str(catalog), options, name)

    def answer(self, asked: Asked, uploads: dict[str, Any], kind: str) -> Answer:
        """Score what is asked for; runs in a thread.

        Raises
        ------
        RefusedError, RbinferError
        """
        start = time.perf_counter()
        with ExitStack() as until_done:
            folder = Path(until_done.enter_context(TemporaryDirectory(prefix="rbinfer-")))
            reword = partial(_reworded, names=_names_sent(folder, uploads))
            # Before warnings are collected, which come in the same words.
            until_done.enter_context(reworded(reword))
            warnings = until_done.enter_context(collected_warnings())
            job = self.prepared(asked, uploads, folder)
            try:
                scored = score_file(job.image, job.catalog, job.options, self.classifier)
            except RbinferError as error:
                raise InputError(reword(str(error))) from error
            summary = dict(scored.summary, image=job.name)
            if job.catalog is not None:
                summary["catalog"] = reword(job.catalog)
            table = scored.with_columns(job.options.show).table
            table.meta["rb_image"] = job.name
            found = answer_of(table, summary, warnings, kind)
        self.metrics.seconds.observe(time.perf_counter() - start)
        for verdict in ("real", "bogus", "unscored"):
            self.metrics.detections.labels(verdict).inc(summary[verdict])
        log.info(
            "%s: %d detections in %.3f s", job.name, summary["detections"], time.perf_counter() - start
        )
        return found


def _names_sent(folder: Path, uploads: Mapping[str, Any]) -> dict[str, str]:
    """Return what the files of a request are called, by where they lie while it is answered."""
    image = uploads["image"].filename if "image" in uploads else None
    return {
        str(folder / "image.fits"): image or "the image",
        str(folder / "positions.fits"): "the positions",
        str(folder / "catalog"): "the catalogue",
    }


def _reworded(text: str, names: Mapping[str, str]) -> str:
    """Return a text in which files of a request have the names that it gave them."""
    for path, name in names.items():
        text = text.replace(path, name)
    return text


def make_app(service: Service, at_once: int) -> App:
    """Make the ASGI application.

    Parameters
    ----------
    service : Service
    at_once : int
        Images that are scored at a time, a thread each; other requests wait.

    Returns
    -------
    callable

    Raises
    ------
    InputError
        What the service needs is not installed.
    """
    for module in ("starlette", "python_multipart"):
        needed(module, "the service needs", "serve")
    from anyio import CapacityLimiter
    from anyio.to_thread import run_sync
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route

    room: list[CapacityLimiter] = []

    async def classify(request: Request) -> Response:
        if not room:  # one needs a running loop
            room.append(CapacityLimiter(at_once))
        try:
            asked, uploads = await _read(request, service.limits.most_bytes)
            kind = kind_asked(request.headers.get("accept", ""))
            found = await run_sync(service.answer, asked, uploads, kind, limiter=room[0])
        except RefusedError as refused:
            return _as_json({"error": refused.text}, refused.status, refused.headers)
        except ClientDisconnect:
            log.info("a client went away before its request was whole")
            return Response(status_code=400)
        except RbinferError as error:
            return _as_json({"error": " ".join(str(error).split())}, 422)
        except Exception as error:
            log.exception("a request failed")
            return _as_json({"error": unforeseen(error)}, 500)
        finally:
            await request.close()
        return Response(found.body, media_type=found.kind)

    async def health(request: Request) -> Response:
        from .. import __version__

        spec = service.classifier.spec
        facts = {"model": spec.name, "version": spec.version, "rbinfer": __version__}
        return _as_json({"status": "ok"} | facts)

    async def metrics(request: Request) -> Response:
        body, kind = service.metrics.as_text()
        return Response(body, media_type=kind)

    async def elsewhere(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        asked = f"{request.method} {request.url.path}"
        text = f"there is no {asked}; there are POST /classify, GET /health and GET /metrics"
        return _as_json({"error": text}, error.status_code, error.headers)

    routes = [
        Route("/classify", classify, methods=["POST"]),
        Route("/health", health),
        Route("/metrics", metrics),
    ]
    app = Starlette(routes=routes, exception_handlers={404: elsewhere, 405: elsewhere})
    return Guard(app, service.limits, service.metrics)


def _as_json(found: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> "Response":
    """Answer in ASCII: names of files may hold what no other encoding can."""
    from starlette.responses import Response

    return Response(json.dumps(found), status, headers, "application/json")


async def _read(request: Any, most_bytes: int) -> tuple[Asked, dict[str, Any]]:
    """Return what a request says, and the files that it brings."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == _FORM:
        form = await _form_of(request, most_bytes)
        uploads = {}
        for name, value in form.multi_items():
            if name in uploads or (name == "request" and "request" in uploads):
                raise RefusedError(400, f"the part {name!r} is there twice")
            is_text = isinstance(value, str)
            if name not in (("request",) if is_text else ("image", "catalog")):
                what = "a text" if is_text else "a file"
                raise RefusedError(
                    400, f"the part {name!r} is {what}; known are the files image and catalog, and the "
                    "text request, JSON that may have positions and options"
                )  # fmt: skip
            uploads[name] = value
        text = uploads.pop("request", "{}")
        return Asked.of(_json_of(text)), uploads
    if kind == "application/json":
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_JSON:
                raise RefusedError(413, f"JSON may have {_MOST_JSON:,} bytes at most; send a form")
        return Asked.of(_json_of(body)), {}
    raise RefusedError(415, f"send application/json with paths, or {_FORM} with the part 'image'")


async def _form_of(request: Any, most_bytes: int) -> Any:
    from starlette.exceptions import HTTPException

    try:
        return await request.form(max_files=2, max_fields=1, max_part_size=min(most_bytes, _MOST_JSON))
    except HTTPException as error:
        raise RefusedError(400, f"the form cannot be read: {error.detail}") from error


def _json_of(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the request is no JSON: {error}") from error


def make_service(options: ScoreOptions, folders: Sequence[str], limits: Limits) -> Service:
    """Load the model and make ready what the first request would wait for.

    Parameters
    ----------
    options : ScoreOptions
        One thread scores an image unless they say more.
    folders : sequence of str
        From which requests may name files.
    limits : Limits

    Returns
    -------
    Service

    Raises
    ------
    InputError
        A folder does not exist, or the metrics' package is not installed.
    RbinferError
        There is no such model.
    """
    from ..measure.warmup import warmup

    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError(f"{folder} is not a directory; allow one that exists")
    metrics = Metrics()
    classifier = replace(options, threads=options.threads or 1).classifier()
    options.point(classifier)
    warmup()
    real = tuple(str(Path(folder).resolve()) for folder in folders)
    return Service(classifier, options, real, limits, metrics)
