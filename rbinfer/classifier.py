"""`Classifier`: load a model once, score many detections; the only place where the stages meet."""

import dataclasses
import hashlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .centres import centres
from .cutouts import Cutouts, Cutter
from .errors import InputError
from .images import as_image, uncertainty_of
from .measure import Measured, measure_fwhm
from .networks import KerasNetwork, Network
from .registry import resolve
from .session import Output, Session
from .status import UNSCORED, Status

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

#: Bit that `flag_bogus` sets in the column ``flags``, as in the reference implementation.
BOGUS_FLAG = 0x1000
#: Rows that a worker takes at a time, at most unless one batch is more; it cuts and scores them batch
#: by batch in its own buffers.
_TASK_ROWS = 512
#: Rows of the image that are worked through from left to right together.
_STRIP_ROWS = 32


class Scores(NamedTuple):
    """Scores of detections, in the order of their positions.

    Attributes
    ----------
    score : ndarray of float32, shape (n,)
        Probability of being real, in a catalogue of the mix that the model was calibrated for (the
        share of its ``sources`` in ``spec.calibration``); NaN where `status` says
        why there is none.
    status : ndarray of int32, shape (n,)
        Bits of `rbinfer.Status`.
    classes : ndarray of float32, shape (n, k), or None
        Probability of each class of ``spec.classes``; None for a model that has no classes.
    """

    score: NDArray[np.float32]
    status: NDArray[np.int32]
    classes: NDArray[np.float32] | None


def usable_cpus() -> int:
    """Count the CPUs that this process may use (cpusets and affinity included)."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1


class Classifier:
    """A real/bogus classifier: loads a model once, scores many detections.

    Thread-safe, and can be pickled (the model's path travels, not the session).

    Parameters
    ----------
    model : str, path, Keras-like model or Network, optional
        Path or name of a model; None for the one that came with rbinfer. An object with ``predict``
        and ``input_shape`` is used as it is, with the reference preprocessing.
    device : {"auto", "cpu", "cuda"}
        Where to run; ``cuda`` raises if it is not had.
    threads : int, optional
        Worker threads; by default one for each CPU that the process may use.
    real_source_types : sequence of str, optional
        Classes that count as real; by default those the model was shipped with.

    Attributes
    ----------
    spec : ModelSpec
        What the model says of itself.

    Raises
    ------
    ModelError
        No such model, or a file that is not one of ours.
    DeviceError
        The device was not had.
    InputError
        A parameter out of range, or a class that the model does not have.

    Examples
    --------
    >>> from rbinfer import Classifier
    >>> classifier = Classifier()
    >>> classifier.spec.threshold
    0.5
    """

    def __init__(
        self,
        model: Any = None,
        device: str = "auto",
        threads: int | None = None,
        real_source_types: Sequence[str] | None = None,
    ) -> None:
        if threads is not None and (isinstance(threads, bool) or int(threads) < 1):
            raise InputError(f"threads must be at least 1, not {threads!r}")
        self.device = device
        self.threads = usable_cpus() if threads is None else int(threads)
        self._injected: Network | None = None
        if hasattr(model, "spec") and hasattr(model, "run"):
            self._injected = model
        elif hasattr(model, "predict") and hasattr(model, "input_shape"):
            self._injected = KerasNetwork(model)
        self._path = None if self._injected is not None else resolve(model).resolve()
        self._lock = threading.Lock()
        self._open()
        self.real_source_types = self._real(real_source_types)

    def _open(self) -> None:
        self._network: Network = (
            Session(str(self._path), self.device) if self._injected is None else self._injected
        )
        self.spec = self._network.spec
        self._pid = os.getpid()

    def counting(self, real_source_types: Sequence[str]) -> "Classifier":
        """Return a classifier with the same session that counts other classes as real."""
        twin = object.__new__(Classifier)
        twin.__dict__.update(self.__dict__)
        twin.real_source_types = twin._real(real_source_types)
        return twin

    def _real(self, names: Sequence[str] | None) -> tuple[str, ...]:
        real = self.spec.real if names is None else (names,) if isinstance(names, str) else tuple(names)
        unknown = [name for name in real if name not in self.spec.classes]
        if unknown or not real:
            raise InputError(
                f"real_source_types {list(real)} must name classes of the model "
                f"({', '.join(self.spec.classes)})"
            )
        return real

    def __getstate__(self) -> dict[str, Any]:
        return {
            "model": self._path if self._injected is None else self._injected,
            "device": self.device,
            "threads": self.threads,
            "real_source_types": self.real_source_types,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @cached_property
    def sha256(self) -> str:
        """Hash of the model file; empty for a model that is no file."""
        return "" if self._path is None else hashlib.sha256(self._path.read_bytes()).hexdigest()

    @property
    def input_shape(self) -> tuple[None, int, int, int]:
        """Shape of the network's input, as Keras gives it."""
        size = self.spec.preprocess.size
        return (None, size, size, 2)

    def predict(self, cutouts: ArrayLike, batch_size: int | None = None, verbose: int = 0) -> Any:
        """Score ready cutouts, with the call and the result of Keras's ``predict``.

        Parameters
        ----------
        cutouts : array_like, shape (n, size, size, 2)
            As `extract_cutouts` makes them.
        batch_size, verbose : int, optional
            Taken for the sake of the call; the session has a batch of its own.

        Returns
        -------
        ndarray of float32, shape (n, 1)
        """
        pixels = np.ascontiguousarray(cutouts, dtype=np.float32)
        if pixels.ndim != 4 or pixels.shape[1:] != self.input_shape[1:]:
            raise InputError(
                f"cutouts have shape {pixels.shape}; this model takes (n, *{self.input_shape[1:]})"
            )
        return self._scores_of(self._ready().run(pixels))[:, np.newaxis]

    def _ready(self) -> Network:
        # ONNX Runtime sessions do not survive a fork.
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._open()
        return self._network

    def _scores_of(self, output: Output) -> NDArray[np.float32]:
        if output.classes is None or self.real_source_types == self.spec.real:
            if output.classes is None and self.real_source_types != self.spec.real:
                raise InputError(
                    f"this model cannot count {list(self.real_source_types)} as real: it has one score, "
                    f"for {list(self.spec.real)}"
                )
            return output.score
        columns = [self.spec.classes.index(name) for name in self.real_source_types]
        total: NDArray[np.float32] = output.classes[:, columns].sum(axis=1, dtype=np.float32)
        return np.minimum(total, np.float32(1))

    def score(
        self,
        image: ArrayLike,
        x: ArrayLike,
        y: ArrayLike,
        fwhm: float | None = None,
        bg: ArrayLike | None = None,
        err: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        progress: Callable[[int, int], None] | None = None,
        *,
        saturation: float | None = None,
        asinh_softening: float | None = None,
        peaks: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Scores:
        """Score positions on an image.

        Parameters
        ----------
        image : array_like, shape (height, width)
            Pixels, of any real dtype and byte order; also ``CCDData`` with its mask.
        x, y : array_like, shape (n,)
            Column and row in pixels; the centre of the first pixel is (0, 0).
        fwhm : float, optional
            FWHM of stars in pixels. Unless given it is measured on the star-like among the positions,
            or on detections of the whole image where these are too few; so it, and with it every
            score, then depends on which positions are asked for together.
        bg, err : array_like, shape (height, width), or float, optional
            Background and noise in the units of the image. The noise is by default what a
            ``CCDData`` or ``NDData`` image declares as its uncertainty.
        mask : array_like of bool, shape (height, width), optional
            True for bad pixels.
        progress : callable, optional
            Called as ``progress(done, total)`` while rows are scored, by a thread that scores: it
            should be quick.
        saturation : float, optional
            Level at or above which a pixel is saturated.
        asinh_softening : float, optional
            Softening in units of the noise, instead of the model's own.
        peaks : (array_like, array_like), each of shape (n,), optional
            Column and row of each detection's brightest pixel, NaN where unknown. The default preset
            centres the cutout there if it is clearly brighter than what lies at the position.

        Returns
        -------
        Scores

        Raises
        ------
        InputError
            Shapes that do not match or parameters out of range. A position that cannot be scored is
            not an error: it has NaN and a reason.
        """
        columns, rows = _positions(x, y)
        if err is None:
            err = uncertainty_of(image)
        pixels, bad = as_image(image, mask)
        if fwhm is None:
            measured = measure_fwhm(pixels, columns, rows, bad, saturation)
        else:
            measured = Measured(_number(fwhm, "fwhm"), "given")
        if peaks is not None:
            brightest = _peaks(peaks, len(columns))
            columns, rows = self._centred(pixels, columns, rows, brightest, measured, bad, saturation)
        return self._score(
            pixels, columns, rows, measured, bg, err, bad, saturation, asinh_softening, progress
        )

    def _centred(
        self, image: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64],
        peaks: tuple[NDArray[np.float64], NDArray[np.float64]], measured: Measured,
        mask: NDArray[np.bool_] | None, saturation: float | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """Centre on the brightest pixels, for a preset that moves centres at all."""
        spec = self.spec.preprocess
        if spec.recentre == 0:
            return x, y
        return centres(
            image, x, y, *peaks, reach=spec.size // 2, fwhm=measured.fwhm, mask=mask,
            saturation=saturation,
        )  # fmt: skip

    def _score(
        self, image: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64],
        measured: Measured, bg: ArrayLike | None, err: ArrayLike | None,
        mask: NDArray[np.bool_] | None, saturation: float | None, asinh_softening: float | None,
        progress: Callable[[int, int], None] | None,
    ) -> Scores:  # fmt: skip
        if not (np.isfinite(measured.fwhm) and measured.fwhm > 0):
            raise InputError(f"fwhm must be a positive number of pixels, not {measured.fwhm}")
        network = self._ready()
        preprocess = self.spec.preprocess
        if asinh_softening is not None:
            preprocess = dataclasses.replace(preprocess, asinh_softening=float(asinh_softening))
        cutter = Cutter.prepare(
            image, preprocess, fwhm=measured.fwhm, bg=bg, err=err, mask=mask, saturation=saturation
        )
        n, k = len(x), len(self.spec.classes)
        score = np.full(n, np.nan, np.float32)
        status = np.zeros(n, np.int32)
        has_classes = self.spec.classes != ("bogus", "real")
        order = _by_strips(x, y)
        classes = np.full((n, k), np.nan, np.float32) if has_classes else None
        result = Scores(score, status, classes)
        # Keras models are not known to be thread-safe.
        threads = self.threads if self._injected is None else 1
        task_rows = _task_rows(n, threads, network.batch)
        starts = range(0, n, task_rows)
        workers = min(threads, len(starts))
        done = 0

        own = threading.local()
        shape = (min(network.batch, max(n, 1)), cutter.spec.size, cutter.spec.size, 2)

        def work(start: int) -> int:
            rows = order[start : start + task_rows]
            if not hasattr(own, "pixels"):
                # Once a thread: the pages of a fresh buffer cost more than what is written to them.
                own.pixels = np.empty(shape, np.float32)
            self._score_rows(network, cutter, x, y, rows, own.pixels, result)
            return len(rows)

        for rows in _map(work, starts, workers):
            done += rows
            if progress is not None:
                progress(done, n)
        if not self.spec.fwhm_range[0] <= measured.fwhm <= self.spec.fwhm_range[1]:
            status |= int(Status.FWHM_OUT_OF_RANGE)
            log.warning(
                "FWHM %.2f px (%s) is outside the %.2f to %.2f px that the model was trained on",
                measured.fwhm, measured.source, *self.spec.fwhm_range,
            )  # fmt: skip
        if not measured.is_trusted:
            status |= int(Status.FWHM_ASSUMED)
        return result

    def _score_rows(
        self, network: Network, cutter: Cutter, x: NDArray[np.float64], y: NDArray[np.float64],
        rows: NDArray[np.intp], pixels: NDArray[np.float32], result: Scores,
    ) -> None:  # fmt: skip
        n, batch = len(rows), len(pixels)
        status, snr = np.empty(n, np.int32), np.empty(n, np.float32)
        score = np.full(n, np.nan, np.float32)
        classes = (
            None if result.classes is None else np.full((n, len(self.spec.classes)), np.nan, np.float32)
        )
        x, y = x[rows], y[rows]
        for start in range(0, n, batch):
            part = slice(start, min(start + batch, n))
            cutouts = Cutouts(pixels[: part.stop - start], status[part], snr[part])
            cutter.cut_into(x[part], y[part], cutouts)
            good = (cutouts.status & UNSCORED) == 0
            ready: slice | NDArray[np.intp] = part
            if not good.all():
                ready = start + np.flatnonzero(good)
                if ready.size == 0:
                    continue
                cutouts = cutouts._replace(pixels=cutouts.pixels[good])
            output = network.run(cutouts.pixels)
            score[ready] = self._scores_of(output)
            if classes is not None and output.classes is not None:
                classes[ready] = output.classes
        # Once for all batches: for arrays this small NumPy's calls cost more than its loops.
        scored = (status & UNSCORED) == 0
        finite = np.isfinite(score)
        status[scored & ~finite] |= int(Status.SCORE_NOT_FINITE)
        status[scored & (snr < self.spec.snr_range[0])] |= int(Status.LOW_SNR)
        result.status[rows] = status
        has_score = scored & finite
        result.score[rows[has_score]] = score[has_score]
        if result.classes is not None and classes is not None:
            result.classes[rows[has_score]] = classes[has_score]

    def classify(
        self,
        table: Any,
        image: ArrayLike,
        *,
        bg: ArrayLike | None = None,
        err: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        fwhm: float | None = None,
        saturation: float | None = None,
        asinh_softening: float | None = None,
        threshold: float | None = None,
        add_score: bool = True,
        flag_bogus: bool = False,
        progress: Callable[[int, int], None] | None = None,
        x_col: str | None = None,
        y_col: str | None = None,
        origin: int | None = None,
        wcs: Any = None,
    ) -> "Table":
        """Score a catalogue.

        Parameters
        ----------
        table : Table or anything that `rbinfer.tables.as_table` takes
            Detections; columns ``x`` and ``y`` (0-based pixels) or a known alias. Not modified. Where
            it also has the brightest pixel of each (``xpeak``, ``ypeak`` or SExtractor's names), the
            default preset centres the cutout there if that is clearly brighter than the position.
        image, bg, err, mask, fwhm, saturation, asinh_softening, progress
            As for :meth:`score`.
        threshold : float, optional
            Scores above it are real; the model's own unless given.
        add_score : bool
            Add the columns ``rb_score``, ``rb_status`` and, for a model with classes, ``rb_class``.
        flag_bogus : bool
            Set bit 0x1000 of ``flags`` for all that is not real, and return the real rows only.
            Unscored rows are not returned then; how many is logged.
        x_col, y_col, origin : str, str, {0, 1}, optional
            Names of the position columns, and what they call the first pixel; see
            `rbinfer.tables.positions`.
        wcs : astropy.wcs.WCS or astropy.io.fits.Header, optional
            For a catalogue that has right ascension and declination instead of pixels; by default
            that of a ``CCDData`` image.

        Returns
        -------
        Table
            A new table: the same rows in the same order, unless filtered. Its ``meta`` names the
            model, its version, the threshold and the FWHM.
        """
        from .sky import find_positions
        from .tables import NOTED, as_table, peaks

        limit = self.spec.threshold if threshold is None else float(threshold)
        if not 0 <= limit <= 1:
            raise InputError(f"threshold must lie in [0, 1], not {threshold}")
        result = as_table(table)
        # An empty table need not name the columns that it has no rows for.
        x, y = np.zeros(0), np.zeros(0)
        if result.colnames:
            wcs = getattr(image, "wcs", None) if wcs is None else wcs
            x, y = find_positions(result, x_col, y_col, origin, wcs)
        if err is None:
            err = uncertainty_of(image)
        pixels, bad = as_image(image, mask)
        if fwhm is None:
            measured = measure_fwhm(pixels, x, y, bad, saturation, result)
        else:
            measured = Measured(_number(fwhm, "fwhm"), "given")
        brightest = peaks(result) if self.spec.preprocess.recentre > 0 else None
        if brightest is not None:
            x, y = self._centred(pixels, x, y, brightest, measured, bad, saturation)
        scores = self._score(pixels, x, y, measured, bg, err, bad, saturation, asinh_softening, progress)
        # Comparing with NaN is False: what has no score is not real.
        real = scores.score > limit
        unscored = int(np.count_nonzero(scores.status & UNSCORED))
        log.info("%d rows: %d real, %d bogus, %d unscored", len(x), real.sum(),
                 len(x) - real.sum() - unscored, unscored)  # fmt: skip
        if add_score:
            result["rb_score"] = scores.score
            result["rb_status"] = scores.status
            if scores.classes is not None:
                result["rb_class"] = self._class_names(scores)
            elif "rb_class" in result.colnames:
                # From another model: it would stand beside scores that it does not belong to.
                result.remove_column("rb_class")
        # Of an earlier scoring, in capitals too if it went through FITS.
        for key in [key for key in result.meta if str(key).lower().startswith(NOTED)]:
            del result.meta[key]
        result.meta.update(
            rb_model=self.spec.name, rb_version=self.spec.version, rb_threshold=limit,
            rb_fwhm=measured.fwhm, rb_fwhm_source=measured.source,
            rb_real=list(self.real_source_types),
        )  # fmt: skip
        if flag_bogus:
            flags: Any = np.zeros(len(x), np.int32)
            if "flags" in result.colnames:
                flags = result["flags"].copy()
                if flags.dtype.kind not in "iu":
                    raise InputError(f"column 'flags' has dtype {flags.dtype}, not an integer one")
                if flags.dtype.itemsize < 2 or flags.dtype == np.int8:
                    flags = flags.astype(np.int32)  # bit 0x1000 needs 13 bits
            flags[~real] |= flags.dtype.type(BOGUS_FLAG)
            result["flags"] = flags
            if unscored:
                log.warning("%d of %d rows could not be scored and are left out", unscored, len(x))
            result = result[real]
        return result

    def _class_names(self, scores: Scores) -> NDArray[np.str_]:
        if scores.classes is None or len(scores.score) == 0:
            return np.zeros(0, dtype=f"U{max(map(len, self.spec.classes))}")
        names = np.array([*self.spec.classes, ""])
        best = np.argmax(np.nan_to_num(scores.classes, nan=-1.0), axis=1)
        return names[np.where(np.isnan(scores.score), len(self.spec.classes), best)]


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a number, not {value!r}") from error


def _positions(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found = []
    for name, value in (("x", x), ("y", y)):
        try:
            array = np.ma.filled(np.ma.asarray(value, dtype=np.float64), np.nan)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} must be numbers (pixels): {error}") from error
        if array.ndim > 1:
            raise InputError(f"{name} must be one-dimensional, not of shape {array.shape}")
        found.append(np.ascontiguousarray(np.atleast_1d(array)))
    if found[0].shape != found[1].shape:
        raise InputError(f"x has {found[0].size} positions but y has {found[1].size}")
    return found[0], found[1]


def _peaks(peaks: Any, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check the brightest pixels that were given for n positions."""
    try:
        xpeak, ypeak = peaks
    except (TypeError, ValueError) as error:
        raise InputError(f"peaks must be a pair of columns and rows: {error}") from error
    try:
        found = _positions(xpeak, ypeak)
    except InputError as error:
        raise InputError(f"peaks: {error}") from error
    if len(found[0]) != n:
        raise InputError(f"peaks has {len(found[0])} rows, but there are {n} positions")
    return found


def _task_rows(n: int, threads: int, batch: int) -> int:
    """Return the rows of a task: whole batches, and few enough that the threads end together."""
    share = min(_TASK_ROWS, n // (8 * threads))
    return max(share // batch * batch, batch)


def _by_strips(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return an order in which neighbours follow each other, and find their pixels in the caches."""
    # One finite number each for sorting by strip, then column; where the others go does not matter.
    key, column = (np.nan_to_num(np.clip(values, -1e6, 1e6), copy=False) for values in (y, x))
    key //= _STRIP_ROWS
    key *= 1e8
    key += column
    del column
    return np.argsort(key)


def _map(work: Callable[[int], int], items: Sequence[int], workers: int) -> Iterator[int]:
    """Yield ``work(item)`` of all items, in any order; an error anywhere ends the work of all.

    The calling thread is one of the workers, and tells of the others' items after its own. One that
    only waited would be woken for each item, on the CPU of the worker that woke it, and small catalogues
    lost a third of the second CPU by it.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    left, taking = iter(items), threading.Lock()
    failed = threading.Event()
    results: queue.SimpleQueue[int] = queue.SimpleQueue()

    def take() -> int | None:
        with taking:
            return None if failed.is_set() else next(left, None)

    def help_out() -> None:
        try:
            while (item := take()) is not None:
                results.put(work(item))
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(workers - 1, thread_name_prefix="rbinfer") as pool:
        try:
            helpers = [pool.submit(help_out) for _ in range(workers - 1)]
            while (item := take()) is not None:
                yield work(item)
                while not results.empty():
                    yield results.get()
            for helper in helpers:
                helper.result()
            while not results.empty():
                yield results.get()
        except BaseException:
            failed.set()
            raise
