"""`Classifier`: load a model once, score many detections; the only place where the stages meet."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._util.arguments import as_share, as_whole, check_progress
from .._util.machine import usable_cpus
from ..cutouts.cutter import Cutouts
from ..io.exposure import Exposure, as_exposure
from ..measure.belongs import doubt_about
from ..measure.nodata import with_no_data
from ..model.session import Output
from .engine import Engine
from .loaded import Loaded
from .prepare import Prepared, cut, note_frame, prepare
from .ready import StampScores, output_of, score_stamps
from .verdicts import (
    Scores,
    Verdict,
    as_extra,
    check_flags,
    extra_columns,
    real_among,
    scores_counting,
    with_verdicts,
)

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)


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
        self.device = device
        self.threads = usable_cpus() if threads is None else as_whole(threads, "threads", 1)
        self._loaded = Loaded(model, device)
        self.spec = self._loaded.network().spec
        self.real_source_types = real_among(self.spec, real_source_types)

    def counting(self, real_source_types: Sequence[str]) -> "Classifier":
        """Return a classifier with the same session that counts other classes as real."""
        twin = object.__new__(Classifier)
        twin.__dict__.update(self.__dict__)
        twin.real_source_types = real_among(self.spec, real_source_types)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        own = ("device", "threads", "real_source_types")
        return {"model": self._loaded.origin, **{name: getattr(self, name) for name in own}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def threshold(self) -> float:
        """Decision threshold: that of the reading, or of the default one where there is none."""
        reading = self.spec.reading(self.real_source_types)
        return self.spec.threshold if reading is None else reading.threshold

    @property
    def sha256(self) -> str:
        """Hash of the model file; empty for a model that is no file."""
        return self._loaded.sha256

    @property
    def running_on(self) -> str:
        """Device that the network runs on: ``"cpu"``, ``"cuda"``, or as asked for if it is not ours."""
        return getattr(self._loaded.network(), "device", self.device)

    @property
    def batch(self) -> int:
        """Rows of each call of the network."""
        return self._loaded.network().batch

    @property
    def input_shape(self) -> tuple[None, int, int, int]:
        """Shape of the network's input, as Keras gives it."""
        size = self.spec.preprocess.size
        return (None, size, size, 2)

    def predict(
        self, cutouts: ArrayLike | Cutouts, batch_size: int | None = None, verbose: int = 0
    ) -> Any:
        """Score ready cutouts, with the call and the result of Keras's ``predict``.

        Parameters
        ----------
        cutouts : array_like, shape (n, size, size, 2), or Cutouts
            As :meth:`cutouts` makes them, with the native pixels that newer models read; for a model of
            the reference preset also as `extract_cutouts` does. :meth:`score` knows the frame as well.
        batch_size, verbose : int, optional
            Taken for the sake of the call; the session has a batch of its own.

        Returns
        -------
        ndarray of float32, shape (n, 1)

        Raises
        ------
        InputError
            Cutouts of another shape than the model takes.
        """
        return self._scores_of(output_of(self._loaded.network(), cutouts))[:, np.newaxis]

    def _scores_of(self, output: Output) -> NDArray[np.float32]:
        return scores_counting(self.spec, self.real_source_types, output)

    def score(
        self,
        image: ArrayLike | Exposure,
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
        psf: ArrayLike | os.PathLike[str] | None = None,
        bayer: bool | None = None,
    ) -> Scores:
        """Score positions on an image.

        Parameters
        ----------
        image : array_like or Exposure, shape (height, width)
            Pixels, of any real dtype and byte order; also ``CCDData`` with its mask.
        x, y : array_like, shape (n,)
            Column and row in pixels; the centre of the first pixel is (0, 0).
        fwhm : float, optional
            FWHM of stars in pixels: that of the best-fitting round Gaussian, integrated over the
            pixels. Unless given it is measured; where it is given, a network is told no star.
        bg, err : array_like, shape (height, width), or float, optional
            Background and noise in the units of the image. The noise is by default what a
            ``CCDData`` or ``NDData`` image declares as its uncertainty.
        mask : array_like of bool, shape (height, width), optional
            True for bad pixels.
        progress : callable, optional
            Called as ``progress(done, total)`` by the threads that score; it should be quick.
        saturation : float, optional
            Level at or above which a pixel is saturated.
        asinh_softening : float, optional
            Softening in units of the noise, instead of the model's own.
        peaks : (array_like, array_like), each of shape (n,), optional
            Column and row of each detection's brightest pixel, NaN where unknown. The default preset
            centres the cutout there if it is clearly brighter than what lies at the position.
        psf : array_like, shape (ny, nx), or path, optional
            A star of this image as `rbinfer.measure.given.width_of_psf` takes it: centred, without sky,
            in pixels of the image; or a FITS file with it. It tells the FWHM unless that is given too.
        bayer : bool, optional
            Whether the pixels are a mosaic of colour filters; by default, whether the sky shows one.

        Returns
        -------
        Scores

        Raises
        ------
        InputError
            Shapes that do not match or parameters out of range. A position without a score has a reason.
        """
        check_progress(progress)
        exposure = as_exposure(image, mask=mask, bg=bg, err=err, saturation=saturation, bayer=bayer)
        prepared = prepare(
            exposure, self.spec.preprocess, x, y,
            fwhm=fwhm, psf=psf, asinh_softening=asinh_softening, peaks=peaks,
        )  # fmt: skip
        return self._score(prepared, progress)

    def cutouts(
        self,
        image: ArrayLike | Exposure,
        x: ArrayLike,
        y: ArrayLike,
        fwhm: float | None = None,
        bg: ArrayLike | None = None,
        err: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        *,
        saturation: float | None = None,
        asinh_softening: float | None = None,
        peaks: tuple[ArrayLike, ArrayLike] | None = None,
        psf: ArrayLike | os.PathLike[str] | None = None,
        bayer: bool | None = None,
    ) -> Cutouts:
        """Cut what the network sees of each position.

        Parameters
        ----------
        image, x, y, fwhm, bg, err, mask, saturation, asinh_softening, peaks, psf, bayer
            As for :meth:`score`.

        Returns
        -------
        Cutouts
            ``pixels`` (n, size, size, 2) of float32, ``status`` and ``snr`` (n,), in the order of the
            positions. All are in memory at once.

        Raises
        ------
        InputError
            As :meth:`score`.
        """
        exposure = as_exposure(image, mask=mask, bg=bg, err=err, saturation=saturation, bayer=bayer)
        prepared = prepare(
            exposure, self.spec.preprocess, x, y,
            fwhm=fwhm, psf=psf, asinh_softening=asinh_softening, peaks=peaks,
        )  # fmt: skip
        return cut(prepared)

    def score_stamps(
        self, stamps: Sequence[ArrayLike | Exposure], fwhm: ArrayLike | None = None, **known: Any
    ) -> StampScores:
        """Score ready-made stamps, with a detection in each; there is no image.

        Parameters
        ----------
        stamps : array_like, shape (n, ny, nx), or sequence of n arrays, shape (ny, nx)
            Science pixels with their sky, without subtraction of a template.
        fwhm : float or array_like, shape (n,), optional
            FWHM of stars in pixels, NaN where unknown. What is unknown is measured on the stamps of
            one image together, or else borrowed from others' or assumed, with ``FWHM_ASSUMED``.
        **known
            ``x``, ``y``: 0-based place, one for all or (n,), by default the middle; ``progress``;
            ``images``: (n,), equal for stamps of one image, whose star is told to the network then.

        Returns
        -------
        StampScores

        Raises
        ------
        InputError
            Stamps that are no images, or values that are not as many.
        """
        return score_stamps(self._loaded.network(), self._scores_of, stamps, fwhm=fwhm, **known)

    def _score(
        self,
        prepared: Prepared,
        progress: Callable[[int, int], None] | None,
        snr: NDArray[np.float32] | None = None,
    ) -> Scores:
        result = Engine(self._loaded.network(), self._scores_of, self.threads).score(
            prepared, progress, snr
        )
        note_frame(result, prepared, self.spec)
        return result

    def classify(
        self,
        table: Any,
        image: ArrayLike | Exposure,
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
        trust_positions: bool = False,
        extra: Sequence[str] = (),
        psf: ArrayLike | os.PathLike[str] | None = None,
        bayer: bool | None = None,
    ) -> "Table":
        """Score a catalogue.

        Parameters
        ----------
        table : Table or anything that `rbinfer.io.tables.as_table` takes
            Detections; columns ``x`` and ``y`` (0-based pixels) or a known alias. Not modified. Where
            it also has the brightest pixel of each (``xpeak``, ``ypeak`` or SExtractor's names), the
            default preset centres the cutout there if that is clearly brighter than the position.
        image, bg, err, mask, fwhm, saturation, asinh_softening, progress, psf, bayer
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
            `rbinfer.io.positions.positions`.
        wcs : astropy.wcs.WCS or astropy.io.fits.Header, optional
            For a catalogue that has right ascension and declination instead of pixels; by default
            that of a ``CCDData`` image.
        trust_positions : bool
            Do not warn of positions that look as if they belonged to another image; see
            `rbinfer.measure.belongs`.
        extra : sequence of str, or str
            More columns: ``"classes"`` for the probability of each class (``rb_p_star`` and the like),
            ``"snr"`` for ``rb_snr``.

        Returns
        -------
        Table
            A new table: the same rows in the same order, unless filtered. Its ``meta`` names the
            model, its version, the threshold and the FWHM.

        Raises
        ------
        InputError
            A catalogue without positions, shapes that do not match, parameters out of range. A row that
            cannot be scored is not an error: it has NaN and a reason.
        """
        from ..io.positions import find_positions, has_positions, peaks
        from ..io.tables import as_table

        check_progress(progress)
        extra = as_extra(extra, self.spec)
        result = as_table(table)
        known = dict(mask=mask, bg=bg, err=err, saturation=saturation, wcs=wcs, bayer=bayer)
        exposure = with_no_data(as_exposure(image, **known))
        # An empty table need not name the columns that it has no rows for.
        x, y = np.zeros(0), np.zeros(0)
        if result.colnames:
            x, y = find_positions(result, x_col, y_col, origin, exposure.wcs)
        if not trust_positions:
            is_told = origin is not None or not (x_col is not None or has_positions(result))
            doubt = doubt_about(exposure, x, y, is_origin_known=is_told)
            if doubt is not None:
                log.warning("the catalogue does not fit the image: %s", doubt.in_words)
        return self.classify_at(
            result, exposure, x, y, peaks=peaks(result), fwhm=fwhm, psf=psf, threshold=threshold,
            asinh_softening=asinh_softening, add_score=add_score, flag_bogus=flag_bogus,
            progress=progress, extra=extra,
        )  # fmt: skip

    def classify_at(
        self,
        table: "Table",
        exposure: Exposure,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        *,
        peaks: tuple[ArrayLike, ArrayLike] | None = None,
        fwhm: float | None = None,
        psf: ArrayLike | os.PathLike[str] | None = None,
        asinh_softening: float | None = None,
        threshold: float | None = None,
        add_score: bool = True,
        flag_bogus: bool = False,
        progress: Callable[[int, int], None] | None = None,
        extra: Sequence[str] = (),
    ) -> "Table":
        """Score a catalogue whose positions are known.

        Parameters
        ----------
        table : Table
            One row a position; it is changed.
        exposure : Exposure
        x, y : ndarray of float64, shape (n,)
            0-based positions in pixels.
        peaks, fwhm, psf, asinh_softening, progress
            As for :meth:`score`.
        threshold, add_score, flag_bogus, extra
            As for :meth:`classify`.

        Returns
        -------
        Table
            `table` with its scores, or its real rows.

        Raises
        ------
        InputError
            As :meth:`classify`.
        """
        check_progress(progress)
        extra = as_extra(extra, self.spec)
        limit = self.threshold if threshold is None else as_share(threshold, "threshold")
        if flag_bogus:
            check_flags(table)
        prepared = prepare(
            exposure, self.spec.preprocess, x, y,
            fwhm=fwhm, psf=psf, asinh_softening=asinh_softening, peaks=peaks, table=table,
        )  # fmt: skip
        snr = np.full(len(prepared.x), np.nan, np.float32) if "snr" in extra else None
        scores = self._score(prepared, progress, snr)
        more = extra_columns(extra, scores, snr, self.spec)
        verdict = Verdict(self.spec, self.real_source_types, limit, prepared.width)
        return with_verdicts(
            table, scores, verdict, add_score=add_score, flag_bogus=flag_bogus, extra=more
        )
