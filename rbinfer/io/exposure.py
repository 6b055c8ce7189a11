"""`Exposure`: what is known of one image, as one value that every later stage takes whole."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._util.arguments import as_level, as_number, as_pixels, shown
from ..errors import InputError
from .arrays import as_image, uncertainty_of
from .planes import Kinds, with_one_level
from .units import in_unit

#: Source of a width that the frame's own stars show.
MEASURED = "measured"
#: Sources of a width that is no assumption: the caller, his PSF, and the frame's own stars.
TRUSTED = ("given", "psf", MEASURED)
#: What is said of a frame that shows no stars.
NO_STARS = "no stars found: a dark, a closed shutter, clouds?"


@dataclass(frozen=True)
class Width:
    """The FWHM of the stars of an image, where it is from, and what else is known of them.

    Attributes
    ----------
    fwhm : float
        Pixels: that of the best-fitting round Gaussian, integrated over the pixels.
    source : str
        ``given``, ``psf``, ``measured``, ``borrowed``, ``header``, ``catalogue`` or ``assumed``.
    n_stars, n_fitted : int
        Local maxima of the image that agree on one profile, and that were fitted; 0 where none were.
    ellipticity, theta : float
        Of the mean star: 1 - b / a, and the angle of its long axis from the x axis, radians; NaN where
        not measured.
    note : str
        What a reader must know, such as that no stars were found.
    stamp : ndarray of float32, shape (31, 31), or None
        The star of this frame on a grid on which it is 3 pixels wide; its maximum is 1. None where it is
        neither measured nor given nor borrowed.
    n_frames : int
        Other frames that the width is borrowed from; else 0.
    regions : tuple of Width
        Those of the ninths of the frame, in the order of `rbinfer.measure.ninths.ninth_of`, where its
        stars differ too much for one to stand for all; else none.
    population : ndarray of float32, shape (70,), or None
        What the maxima of this frame are like, see `rbinfer.measure.population`; None where they were
        not looked at.
    likely_fwhm : float or None
        Where `fwhm` is assumed, that of what may be stars, see `rbinfer.measure.likely`. Models with
        `rbinfer.PreprocessSpec.likely_width` are shown cutouts made for it.
    measured_fwhm : float or None
        FWHM of the stamp in pixels, where that is not `fwhm`: a caller may mean another width by it.
    """

    fwhm: float
    source: str
    n_stars: int = 0
    n_fitted: int = 0
    ellipticity: float = float("nan")
    theta: float = float("nan")
    note: str = ""
    stamp: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    n_frames: int = 0
    regions: tuple["Width", ...] = field(default=(), repr=False, compare=False)
    population: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    likely_fwhm: float | None = None
    measured_fwhm: float | None = None

    @property
    def stamp_fwhm(self) -> float:
        """FWHM of the stamp, pixels."""
        return self.fwhm if self.measured_fwhm is None else self.measured_fwhm

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest FWHM over the frame, pixels."""
        widths = [each.fwhm for each in self.regions or (self,)]
        return min(widths), max(widths)

    @property
    def is_trusted(self) -> bool:
        """Whether the caller gave it or the stars showed it."""
        return self.source in TRUSTED


@dataclass(frozen=True, eq=False)
class Exposure:
    """One image and what is known of it. Stages that find out more return a copy with that filled in.

    Attributes
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Native byte order, C-contiguous. Pixels that are not finite, or beyond
        `rbinfer.kernels.constants.LARGEST`, count as bad.
    mask : ndarray of bool, shape (ny, nx), or None
        True for bad pixels.
    no_data : ndarray of bool, shape (ny, nx) or (0, 0), or None
        Areas that hold no data; they are in the mask too. Without pixels where there are none, None
        until the image was looked at; see `rbinfer.measure.nodata`.
    saturation : float or None
        Level at or above which a pixel is saturated, in the units of `pixels`.
    background, noise : ndarray of float32, shape (ny, nx), or float, or None
        In the units of `pixels`; NaN where a map does not tell. None where each cutout provides its
        own.
    wcs : astropy.io.fits.Header or astropy.wcs.WCS or None
        Where the image lies on the sky.
    header : astropy.io.fits.Header or None
        Header of the HDU, for an image from a file.
    hdu : int
        Number of the HDU, counted from 0.
    siblings : int
        How many images of the sky the file has with this one; 1 where the HDU was named.
    width : Width or None
        FWHM of the stars; None until it is given or measured.
    no_filters : bool
        The caller says that no mosaic of colour filters is left in the pixels, or it was undone; else
        the sky is to tell.
    is_level : bool
        The image was looked at for such a mosaic, for amplifiers that read in turn and for dead pixels.
    is_even : bool
        Also for a steep sky and for one that is cut off; see `rbinfer.measure.even`.
    unit : astropy.units.UnitBase or str or None
        Unit of `pixels` that the caller's image carries.
    """

    pixels: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None
    saturation: float | None = None
    no_data: NDArray[np.bool_] | None = None
    background: NDArray[np.float32] | float | None = None
    noise: NDArray[np.float32] | float | None = None
    wcs: Any = None
    header: Any = None
    hdu: int = 0
    siblings: int = 1
    width: Width | None = None
    no_filters: bool = False
    is_level: bool = False
    is_even: bool = False
    unit: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape

    @property
    def fwhm(self) -> float | None:
        """FWHM of the stars in pixels; None where it is not known."""
        return None if self.width is None else self.width.fwhm

    def known(
        self,
        *,
        mask: ArrayLike | None = None,
        bg: ArrayLike | None = None,
        err: ArrayLike | None = None,
        saturation: Any = None,
        fwhm: Any = None,
        wcs: Any = None,
        bayer: bool | None = None,
    ) -> Self:
        """Return a copy with what the caller knows; what is None stays as it is.

        Parameters
        ----------
        mask : array_like of bool or int, shape (ny, nx), optional
            Nonzero for bad pixels; joined with the mask that is there.
        bg, err : array_like, shape (ny, nx), or float, optional
            Background and noise in the units of the image; those with a unit of their own are
            converted where the image has one, too.
        saturation : float or Quantity, optional
            Saturation level; so is this.
        fwhm : float or Quantity, optional
            FWHM of the stars in pixels. Whether it can be used is checked where it is.
        wcs : astropy.wcs.WCS or astropy.io.fits.Header, optional
        bayer : bool, optional
            Whether the pixels are a mosaic of colour filters, which is undone unless it was before.

        Raises
        ------
        InputError
            Another shape than the image's, values of another kind, or units that cannot be converted.
        """
        if bayer is not None and not isinstance(bayer, bool | np.bool_):
            raise InputError(f"bayer must be True, False or None, not {shown(bayer)}")
        changes: dict[str, Any] = {}
        if mask is not None:
            changes["mask"] = as_image(self.pixels, mask)[1]
            if self.mask is not None and changes["mask"] is not None:
                changes["mask"] = self.mask | changes["mask"]
        for key, name, value in (("background", "bg", bg), ("noise", "err", err)):
            if value is not None:
                changes[key] = as_map(value, self.shape, name, self.unit)
        if saturation is not None:
            level, _ = in_unit(saturation, self.unit, "saturation")
            changes["saturation"] = as_level(level[()], "saturation")
        if fwhm is not None:
            changes["width"] = Width(as_pixels(fwhm, "fwhm"), "given")
        if wcs is not None:
            changes["wcs"] = wcs
        known = replace(self, **changes) if changes else self
        return known if bayer is None else known._without_filters(is_mosaic=bool(bayer))

    def _without_filters(self, is_mosaic: bool) -> Self:
        if self.no_filters:
            return self
        found = self
        if is_mosaic:
            found = self.of_one_level(Kinds.of(self.pixels, self.mask), self.saturation)
        return replace(found, no_filters=True)

    def of_one_level(self, kinds: Kinds, saturation: float | None) -> Self:
        """Return a copy whose four kinds of pixel have one level and scale.

        Parameters
        ----------
        kinds : Kinds
            What they have.
        saturation : float or None
            Pixels at or above it stay as they are, and no other reaches it.

        Returns
        -------
        Exposure
            Maps of its background and its noise are changed with the pixels. A background that is one
            number is gone: it is that of none of them.
        """
        background, noise = self.background, self.noise
        return replace(
            self,
            pixels=with_one_level(self.pixels, kinds, saturation),
            background=with_one_level(background, kinds) if isinstance(background, np.ndarray) else None,
            noise=kinds.scaled(noise) if isinstance(noise, np.ndarray) else noise,
        )


def as_exposure(image: "ArrayLike | Exposure", **known: Any) -> Exposure:
    """Make an `Exposure` of what the caller has.

    Parameters
    ----------
    image : array_like, masked array, NDData, CCDData or Exposure, shape (ny, nx)
        As for `rbinfer.io.arrays.as_image`. The noise is by default what the image declares as its
        uncertainty, the WCS what it carries.
    **known
        As for `Exposure.known`.

    Returns
    -------
    Exposure

    Raises
    ------
    InputError
        As by `rbinfer.io.arrays.as_image` and `Exposure.known`.
    """
    if isinstance(image, Exposure):
        return _readable(image).known(**known)
    pixels, mask = as_image(image, known.pop("mask", None))
    if known.get("err") is None:
        known["err"] = uncertainty_of(image)
    wcs, unit = (getattr(image, name, None) for name in ("wcs", "unit"))
    return Exposure(pixels, mask, wcs=wcs, unit=unit).known(**known)


def _readable(image: Exposure) -> Exposure:
    """Return an exposure whose pixels the kernels can read; one made by hand may have any array."""
    pixels, mask = image.pixels, image.mask
    if type(pixels) is np.ndarray and pixels.dtype == np.float32 and pixels.ndim == 2:
        is_plain = mask is None or (type(mask) is np.ndarray and mask.dtype == np.bool_)
        if is_plain and pixels.flags.c_contiguous and pixels.flags.aligned:
            return image
    pixels, mask = as_image(pixels, mask)
    return replace(image, pixels=pixels, mask=mask)


def as_map(
    value: Any, shape: tuple[int, int], name: str, unit: Any = None
) -> NDArray[np.float32] | float:
    """Check a number or a map of an image.

    Parameters
    ----------
    value : array_like, masked array, Quantity or NDData, shape `shape`, or float
    shape : (int, int)
        Shape of the image.
    name : str
        Name of the argument, for messages.
    unit : astropy.units.UnitBase or str, optional
        That of the image; values in another unit are converted.

    Returns
    -------
    ndarray of float32, shape `shape`, or float
        NaN where a map is masked.

    Raises
    ------
    InputError
        Another shape, no numbers, or a unit that cannot be converted.
    """
    values, mask = in_unit(value, unit, name)
    if values.ndim == 0:
        try:
            return np.nan if mask is not None and np.any(mask) else as_number(values[()], name)
        except InputError as error:
            raise InputError(
                f"{name} must be a number or a map (an array), not {shown(value)}"
            ) from error
    if values.shape != shape:
        raise InputError(
            f"{name} has shape {values.shape} but the image has {shape}; give a map of the same "
            "shape or a number"
        )
    pixels, bad = as_image(values, mask, name)
    return pixels if bad is None else np.where(bad, np.float32(np.nan), pixels)
