"""The images of a file as they are scored: read, with what the caller knows of their pixels."""

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.exposure import Exposure
from ..io.images import list_images, load_image
from ..io.maps import place_of, read_beside, read_map, read_mask
from ..measure.nodata import with_no_data
from ..measure.plausible import implausible
from .options import ALL, PixelOptions

log = logging.getLogger(__name__)

_MASKED_MUCH = 0.9  # a share of the pixels that deserves a word


@dataclass(frozen=True)
class Frames:
    """The images of the sky in a file, and what is known of their pixels.

    Attributes
    ----------
    file : str
        FITS file.
    hdu : str or None
        As in `rbinfer.pipeline.options.ScoreOptions`.
    known : PixelOptions
    """

    file: str
    hdu: str | None
    known: PixelOptions

    @property
    def are_all_wanted(self) -> bool:
        """Whether each image of the file is to be scored, as of a mosaic."""
        return self.hdu is not None and self.hdu.lower() == ALL

    def numbers(self) -> dict[int, str]:
        """Return numbers and names of the HDUs that are images of the sky; maps and a PSF are none.

        Raises
        ------
        InputError
            There are none.
        """
        beside = set()
        for what, where in self.known.maps.items():
            path, hdu = place_of(where, what)
            if hdu is not None and (path is None or path.samefile(self.file)):
                beside.add(hdu.upper())
        found = {
            number: name
            for number, name in list_images(self.file).items()
            if name.upper() not in beside and str(number) not in beside
        }
        if not found:
            raise InputError(f"{self.file} has no 2-D images to score")
        return found

    def read(self, hdu: int | str | None) -> Exposure:
        """Read an image with its maps, and find its areas without data.

        Parameters
        ----------
        hdu : int or str, optional
            As for `rbinfer.io.images.load_image`.

        Raises
        ------
        InputError
            There is no such image, or a map does not fit it.
        """
        exposure = load_image(self.file, hdu, self.known.plane, self.known.bayer)
        return with_no_data(self._with_maps(exposure))

    def star(self, hdu: int) -> NDArray[np.generic] | None:
        """Read the PSF that is given for an image; None where none is."""
        psf = self.known.psf
        return None if psf is None else read_beside(psf, self.file, "PSF", hdu)

    def tell_of(self, exposure: Exposure) -> None:
        """Warn of other images in the file, and of one that is hardly of the sky."""
        siblings = len(self.numbers()) if exposure.siblings > 1 else 1
        if siblings > 1:
            log.warning(
                "%s: 1 of %d images (HDU %d) was scored; `hdu='all'` scores each, `hdu='%d'` this one",
                self.file,
                siblings,
                exposure.hdu,
                exposure.hdu,
            )
        if strange := implausible(exposure):
            log.warning("%s does not look like an image of the sky: %s", self.file, strange)

    def _with_maps(self, exposure: Exposure) -> Exposure:
        """Take the maps and the level that are given; the mask else is that of the image's own file."""
        mask, err, shape, known = exposure.mask, None, exposure.shape, self.known
        if known.mask is not None:
            mask = read_mask(known.mask, self.file, shape, known.bad_bits, exposure.hdu)
        share = 0.0 if mask is None else float(mask.mean())
        if share > _MASKED_MUCH:
            by = "its extension MASK" if known.mask is None else known.mask
            log.warning("%.0f %% of the pixels are masked by %s; is it a mask?", 100 * share, by)
        if known.err is not None:
            err = read_map(known.err, self.file, shape, "noise map", exposure.hdu)
        return replace(exposure, mask=mask).known(err=err, saturation=known.saturation)
