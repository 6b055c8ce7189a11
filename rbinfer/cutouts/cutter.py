"""Arrays in, cutouts and status bits out: validates, then calls the kernels."""

import dataclasses
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._util.arguments import as_level, as_number, as_pixels, as_whole, unmasked
from ..errors import InputError, one_line
from ..io.arrays import as_image
from ..io.exposure import Exposure, as_map
from ..io.units import in_unit
from ..kernels import dispatch
from ..kernels.constants import LARGEST
from ..kernels.workspace import default_workspace, reference_workspace
from ..model.spec import (
    AROUND,
    CONTEXT_CELL,
    CONTEXT_SIDE,
    CORE_SIDE,
    DEFAULT_ASINH_SOFTENING_SIGMA,
    PreprocessSpec,
)
from .resampling import Taps, context_samples, resampling, rescaling

log = logging.getLogger(__name__)

#: Scales below this are told the network as this.
_SMALLEST_SCALE = 1e-9
_NO_MAP = np.zeros((1, 1), np.float32)
_NO_MASK = np.zeros((1, 1), np.bool_)


class Cutouts(NamedTuple):
    """Cutouts with what is known of each.

    Attributes
    ----------
    pixels : ndarray of float32, shape (n, size, size, 2)
        Zeros where a cutout could not be made.
    status : ndarray of int32, shape (n,)
        Bits of `rbinfer.Status`.
    snr : ndarray of float32, shape (n,)
        Signal in the central 3 x 3 (rescaled) pixels over its noise; NaN without a cutout.
    core : ndarray of float32, shape (n, 196), or (n, 27) where no network reads more
        What resampling takes from wide stars, and what it can't tell of narrow ones: the 5 x 5 native
        pixels around the centre without background, line by line, over their largest absolute value;
        asinh of that over the noise; and ln(native pixels per resampled pixel). Behind these what lies
        outside the cutout, in 13 x 13 cells of two FWHM, line by line: asinh of the mean over the noise
        of a resampled pixel, 0 for a cell without a good pixel. Zeros where a cutout could not be made,
        and with the reference preset.
    """

    pixels: NDArray[np.float32]
    status: NDArray[np.int32]
    snr: NDArray[np.float32]
    core: NDArray[np.float32]

    @classmethod
    def empty(cls, n: int, size: int, around: int = AROUND) -> Self:
        """Make room for `n` cutouts of `size` pixels, with as many numbers of `core` as are read."""
        return cls(
            np.empty((n, size, size, 2), np.float32),
            np.empty(n, np.int32),
            np.empty(n, np.float32),
            np.zeros((n, around), np.float32),
        )


def _for_kernels(
    value: NDArray[np.float32] | float | None,
) -> tuple[NDArray[np.float32], bool, float, bool]:
    """Return (map, has map, scalar, has scalar) of an optional map or number."""
    if value is None:
        return _NO_MAP, False, 0.0, False
    if isinstance(value, np.ndarray):
        return value, True, 0.0, False
    return _NO_MAP, False, value, True


def _known_noise(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give pixels whose noise a map does not tell (NaN, infinite, 0 or less) its median."""
    known = np.isfinite(noise) & (noise > 0)
    if known.all():
        return noise
    if not known.any():
        raise InputError(
            "err has no pixel that is finite and above 0; leave it out, or give 1 sigma noise"
        )
    log.warning(
        "err is not finite and above 0 in %.1f %% of the pixels; its median is taken there",
        100 * (1 - known.mean()),
    )
    return np.where(known, noise, np.median(noise[known]))


#: Cuts out objects at x and y into arrays that exist already.
CutFunction = Callable[[NDArray[np.float64], NDArray[np.float64], Cutouts], None]


@dataclass(frozen=True)
class Cutter:
    """An image made ready for cutting; :meth:`cut` may be called from many threads.

    Make it with :meth:`prepare`.

    Attributes
    ----------
    image : ndarray of float32, shape (height, width)
    mask : ndarray of bool, shape (height, width) or (1, 1)
        True for bad pixels.
    spec : PreprocessSpec
    down, up : int
        Integer factors of the reference's rescaling.
    taps : Taps
        Resampling of the default preset.
    scale : float
        Its native pixels per resampled pixel.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    has_mask: bool
    bg: tuple[NDArray[np.float32], bool, float, bool]
    err: tuple[NDArray[np.float32], bool, float, bool]
    spec: PreprocessSpec
    down: int
    up: int
    taps: Taps
    scale: float
    saturation: float

    @classmethod
    def prepare(cls, exposure: Exposure, spec: PreprocessSpec) -> Self:
        """Make an image ready for cutting.

        Parameters
        ----------
        exposure : Exposure
            Without a width there is no rescaling; without background or noise each cutout provides
            its own.
        spec : PreprocessSpec

        Raises
        ------
        InputError
            A FWHM that is not a positive number, or a background or noise that cannot be used.
        """
        pixels, bad = exposure.pixels, exposure.mask
        background = _for_kernels(exposure.background)
        if background[1]:
            unknown = ~(np.abs(background[0]) < LARGEST)
            if unknown.any():
                # What has no background cannot be told from it.
                bad = unknown if bad is None else bad | unknown
                level = 0.0 if unknown.all() else np.median(background[0][~unknown])
                background = (np.where(unknown, np.float32(level), background[0]), *background[1:])
        if not abs(background[2]) < LARGEST:
            raise InputError(f"bg must be a number below {LARGEST:g}, not {background[2]}")
        fwhm = exposure.fwhm
        if fwhm is not None and not (np.isfinite(fwhm) and fwhm > 0):
            if spec.preset != "reference":
                raise InputError(f"fwhm must be a positive number of pixels, not {fwhm}")
            fwhm = None  # the reference takes this for "do not rescale"
        noise = _for_kernels(exposure.noise)
        if spec.preset != "reference":  # which takes 1 for a noise that is none
            if noise[1]:
                noise = (_known_noise(noise[0]), *noise[1:])
            if noise[3] and not 0 < noise[2] < np.inf:
                raise InputError(f"err must be finite and above 0, not {noise[2]}")
        scale, down, up = rescaling(fwhm, spec.target_fwhm, spec.rescale_threshold)
        if spec.preset == "reference" and down >= spec.size:  # its windows may lack a line
            raise InputError(
                f"cutouts of {spec.size} x {spec.size} pixels cannot be averaged in blocks of {down}: "
                f"check the FWHM of {fwhm:.4g} pixels, or bin the image first"
            )
        rescales = not 1 / spec.rescale_threshold <= scale <= spec.rescale_threshold
        taken = min(scale, float(max(pixels.shape))) if rescales else 1.0
        return cls(
            image=pixels,
            mask=_NO_MASK if bad is None else bad,
            has_mask=bad is not None,
            bg=background,
            err=noise,
            spec=spec,
            down=min(down, max(pixels.shape)),
            up=up,
            taps=resampling(spec.size, taken),
            scale=taken,
            saturation=np.inf if exposure.saturation is None else exposure.saturation,
        )

    def cut(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Cutouts:
        """Cut out objects.

        Parameters
        ----------
        x, y : ndarray of float64, shape (n,)
            Column and row of each object; the centre of the first pixel is (0, 0).

        Returns
        -------
        Cutouts
            One entry a position, in the same order.
        """
        cutouts = Cutouts.empty(len(x), self.spec.size)
        self.cut_into(x, y, cutouts)
        return cutouts

    def cut_into(self, x: NDArray[np.float64], y: NDArray[np.float64], out: Cutouts) -> None:
        """Cut out objects as :meth:`cut` does, into arrays that exist already."""
        self.cut_function()(x, y, out)

    @property
    def view_reach(self) -> int:
        """Pixels from the centre to the furthest of the wide view, along an axis; 0 without one."""
        return 0 if self.spec.preset == "reference" else self._cell() * CONTEXT_SIDE // 2 + 1

    def _cell(self) -> int:
        """Return the side of a cell of the wide view, in native pixels."""
        return max(round(CONTEXT_CELL * self.spec.target_fwhm * self.scale), 1)

    def cut_function(self) -> CutFunction:
        """Return :meth:`cut_into` for many calls of one thread; what they share is done once."""
        spec, has_core = self.spec, self.spec.preset != "reference"
        scene = (self.image, self.mask, self.has_mask, *self.bg, *self.err)
        if spec.preset == "reference":
            side = 2 * (spec.size // 2) + 2
            call = dispatch.cut_reference.bind(
                *scene,
                spec.size // 2,
                self.down,
                self.up,
                spec.asinh_softening,
                spec.min_good,
                self.saturation,
                *reference_workspace(spec.size, side, side, 4, np.float32),
            )
        else:
            call = dispatch.cut_default.bind(
                *scene,
                spec.recentre,
                *self.taps,
                spec.asinh_softening,
                spec.min_good,
                spec.linear_norm == "centre",
                spec.asinh_norm == "centre",
                spec.clip,
                self.saturation,
                CORE_SIDE,
                math.log(max(self.scale, _SMALLEST_SCALE)),
                self.image.reshape(-1),
                self.bg[0].reshape(-1),
                *context_samples(self._cell(), CONTEXT_SIDE, self.image.shape[1]),
                *default_workspace(
                    spec.size, self.taps.span, self.taps.weights.shape[1], CONTEXT_SIDE**2
                ),
            )

        def cut_into(x: NDArray[np.float64], y: NDArray[np.float64], out: Cutouts) -> None:
            pixels, n = out.pixels, len(x)
            if any(length != n for length in (len(y), *map(len, out))):
                lengths = f"{n}, {len(y)}, {[len(part) for part in out]}"
                raise ValueError(f"positions and cutouts must be as many, not {lengths}")
            if not all(part.flags.writeable for part in out):
                raise ValueError("cutouts are written, and these are read-only")
            into = (pixels.reshape(len(pixels), 2 * spec.size**2), out.status, out.snr)
            call(x, y, *into, *((out.core,) if has_core else ()))

        return cut_into


def preprocess_cutout(
    cutout_sci: ArrayLike,
    cutout_bg: ArrayLike | None = None,
    cutout_err: ArrayLike | None = None,
    fwhm: float | None = None,
    target_fwhm: float = 3.0,
    target_size: int = 31,
    downscale_threshold: float = 1.5,
    normalize: bool = True,
    asinh_softening: float | None = None,
) -> tuple[NDArray[np.float32], float]:
    """Preprocess one cutout for the network, as the reference implementation does.

    The cutout is rescaled by an integer factor towards the canonical FWHM (block means or pixel
    replication), its background is subtracted, the linear and asinh channels are made and each is
    divided by its largest absolute value; at last it is cropped, or padded by edge replication, to
    `target_size`.

    Parameters
    ----------
    cutout_sci : array_like, shape (h, w)
        Science pixels; those that are masked, not finite or without a background take the median of
        the others.
    cutout_bg : array_like, shape (h, w), or float, optional
        Background. Without it, the median of the four edge rows and columns.
    cutout_err : array_like or float, optional
        Noise; its median is used, without what is masked. Without it, 1.4826 times the MAD of the
        cutout. A value that is not finite or not above 0 becomes 1.0.
    fwhm : float, optional
        FWHM of the image in pixels; None or not above 0 for no rescaling.
    target_fwhm : float
        FWHM to rescale to.
    target_size : int
        Side of the result in pixels.
    downscale_threshold : float
        Average blocks only if ``fwhm / target_fwhm`` is above this; replicate only if it is below its
        inverse.
    normalize : bool
        Divide each channel by its largest absolute value, where that is above 1e-10.
    asinh_softening : float, optional
        Softening in units of the noise; 3.0 unless given.

    Returns
    -------
    preprocessed : ndarray of float32, shape (target_size, target_size, 2)
    scale_factor : float
        ``fwhm / target_fwhm``, not rounded; 1.0 without FWHM.

    Raises
    ------
    InputError
        A cutout that is not two-dimensional or is empty, maps of another shape, or parameters that
        are not positive.
    """
    pixels, masked = as_image(cutout_sci, name="the cutout")
    width = None if fwhm is None else as_pixels(fwhm, "fwhm")
    if width is not None and np.isinf(width):
        raise InputError(f"fwhm must be a number of pixels, not {fwhm}")
    target_fwhm = as_level(as_pixels(target_fwhm, "target_fwhm"), "target_fwhm")
    threshold = as_level(downscale_threshold, "downscale_threshold")
    size = as_whole(target_size, "target_size", 1)
    softening = DEFAULT_ASINH_SOFTENING_SIGMA
    if asinh_softening is not None:
        softening = as_level(asinh_softening, "asinh_softening")
    unit = getattr(cutout_sci, "unit", None)
    given, _ = unmasked(cutout_sci)
    level = None if cutout_bg is None else in_unit(cutout_bg, unit, "cutout_bg")[0]
    # A single cutout keeps its precision: without normalisation the output shows every digit.
    widest = np.result_type(*[a.dtype for a in (given, level) if a is not None and a.ndim])
    sci: NDArray[Any] = np.ascontiguousarray(given, np.float32 if widest == np.float32 else np.float64)
    bg = None if cutout_bg is None else as_map(cutout_bg, pixels.shape, "cutout_bg", unit)
    bg_map, has_map, background, has_background = _for_kernels(bg)
    if not abs(background) < LARGEST:
        raise InputError(f"cutout_bg must be a number below {LARGEST:g}, not {background}")
    known = np.abs(sci) < LARGEST
    if masked is not None:
        known &= ~masked
    if has_map:
        has_level = np.abs(bg_map) < LARGEST
        known &= has_level
        bg_map = np.ascontiguousarray(level, sci.dtype)
    if not known.all():
        if not known.any():
            raise InputError("the cutout has no finite pixel")
        # As masked pixels are treated where a whole image is given.
        sci = np.where(known, sci, np.median(sci[known]))
        if has_map:
            bg_map = np.where(has_level, bg_map, np.median(bg_map[has_level]))
    bg_map = bg_map.astype(sci.dtype, copy=False)
    sigma = 0.0
    if cutout_err is not None:
        errors = _as_noise(cutout_err, unit)
        errors = errors[~np.isnan(errors)]
        sigma = float(np.median(errors)) if errors.size else np.nan
    scale, down, up = rescaling(width, target_fwhm, threshold)
    if down > min(sci.shape):
        raise InputError(
            f"a cutout of {sci.shape[0]} x {sci.shape[1]} pixels cannot be averaged in blocks of "
            f"{down}; give a larger cutout or check fwhm={fwhm}"
        )
    out = np.empty((size, size, 2), np.float32)
    dispatch.preprocess_reference[sci.dtype.char](
        sci.reshape(-1),
        *sci.shape,
        bg_map.reshape(-1),
        has_map,
        background,
        has_background,
        sigma,
        cutout_err is not None,
        down,
        up,
        softening,
        bool(normalize),
        *reference_workspace(size, sci.shape[0], sci.shape[1], 2, sci.dtype),
        out.reshape(-1),
    )
    return out, scale


def _as_noise(value: Any, unit: Any) -> NDArray[np.float64]:
    """Return the noise of a cutout in a unit, a number or several of any shape; NaN where masked."""
    values, mask = in_unit(value, unit, "cutout_err")
    try:
        noise = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"cutout_err must be numbers: {one_line(error)}") from error
    return noise if mask is None else np.where(mask, np.nan, noise)


def reference_spec(radius: int, target_fwhm: float, asinh_softening: float | None) -> PreprocessSpec:
    """Return the reference spec with the parameters of the reference API."""
    spec = PreprocessSpec.reference(2 * radius + 1)
    softening = spec.asinh_softening
    if asinh_softening is not None:
        softening = as_number(asinh_softening, "asinh_softening")
    width = as_pixels(target_fwhm, "target_fwhm")
    return dataclasses.replace(spec, target_fwhm=width, asinh_softening=softening)
