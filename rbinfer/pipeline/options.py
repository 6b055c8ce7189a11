"""How images are scored: what the caller may choose, the same for one image or for thousands."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.formats import format_named
from ..io.maps import place_of
from ..io.placement import Placement
from ..measure.detectors import DETECTOR, DETECTORS
from ..model.readings import OperatingPoint
from ..scoring.classifier import Classifier

#: What ``hdu`` is for a mosaic: each image of the file with its own detections.
ALL = "all"
#: Options that have no say in the scores, or keys of their own in the metadata.
_NOTED_APART = {"model", "device", "threads", "hdu", "x_col", "y_col", "origin"}


@dataclass(frozen=True)
class PixelOptions:
    """What the caller knows of the pixels of images; each as in `ScoreOptions`."""

    plane: str | None
    bayer: bool | None
    mask: str | None
    bad_bits: int | None
    err: str | None
    saturation: float | None
    psf: str | None

    @property
    def maps(self) -> dict[str, str]:
        """Where the maps and the PSF that are given lie, by what they are."""
        named = {"mask": self.mask, "noise map": self.err, "PSF": self.psf}
        return {what: where for what, where in named.items() if where is not None}

    @property
    def files(self) -> list[Path]:
        """The files of these that all images have in common; others lie in each image."""
        files = (place_of(where, what)[0] for what, where in self.maps.items())
        return [file for file in files if file is not None]


@dataclass(frozen=True)
class ScoreOptions:
    """How images are scored; the same for many of them.

    Attributes
    ----------
    model : str, optional
        Name or path; the model in rbinfer by default.
    device : {"auto", "cpu", "cuda"}
    threads : int, optional
        Worker threads; one for each CPU by default.
    real : tuple of str, optional
        Classes that count as real; the model's own by default.
    threshold, max_missed, max_false : float, optional
        One of them at most: the threshold, or the rate that an operating point of the model must
        keep. The model's own threshold by default.
    fwhm : float, optional
        FWHM of the stars in pixels; measured by default.
    psf : str, optional
        Image of a star, as `rbinfer.io.maps.read_beside` takes it; see `rbinfer.Classifier.score`.
    hdu : str, optional
        Number (from 0) or name of the HDU, or ``"all"`` for every image of a mosaic.
    plane : str, optional
        Plane of a cube: its number (from 0), ``R``, ``G``, ``B`` or ``mean``.
    bayer : bool, optional
        Whether pixels are a mosaic of colour filters; by default, whether the header or the sky says so.
    mask, err : str, optional
        Mask and noise map as `rbinfer.io.maps.read_map` takes them.
    bad_bits : int, optional
        Bits of the mask that are bad; by default as for `rbinfer.io.maps.read_mask`.
    saturation : float, optional
        Saturation level; that of the header by default.
    catalog_format : str, optional
        Format of catalogues, as in `rbinfer.io.formats.FORMATS`; told by their content by default.
    x_col, y_col, origin : str, str, {0, 1}, optional
        As for `rbinfer.io.positions.positions`.
    swap_xy, flip_x, flip_y, scale_xy, shift_xy
        How positions of the catalogue are turned into pixels of the image; see `placement`.
    trust_positions : bool
        Take a catalogue even if its positions look as if it did not belong to the image.
    allow_off_image : bool
        Take a catalogue even if more than half of its positions lie off the image.
    detector : {"rbinfer", "sep"}
        What detects where there is no catalogue; see `rbinfer.measure.detect.detect`.
    show : tuple of str
        Columns of the result, as for `rbinfer.pipeline.columns.picked`; all by default.
    """

    model: str | None = None
    device: str = "auto"
    threads: int | None = None
    real: tuple[str, ...] | None = None
    threshold: float | None = None
    max_missed: float | None = None
    max_false: float | None = None
    fwhm: float | None = None
    psf: str | None = None
    hdu: str | None = None
    plane: str | None = None
    bayer: bool | None = None
    mask: str | None = None
    bad_bits: int | None = None
    err: str | None = None
    saturation: float | None = None
    catalog_format: str | None = None
    x_col: str | None = None
    y_col: str | None = None
    origin: int | None = None
    swap_xy: bool = False
    flip_x: bool = False
    flip_y: bool = False
    scale_xy: float | None = None
    shift_xy: tuple[float, float] | None = None
    trust_positions: bool = False
    allow_off_image: bool = False
    detector: str = DETECTOR
    show: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.real is not None:
            # Lists cannot be told apart from others by their hash, as options are.
            object.__setattr__(self, "real", tuple(self.real))
        object.__setattr__(self, "show", tuple(self.show))
        ways = [self.threshold, self.max_missed, self.max_false]
        if sum(way is not None for way in ways) > 1:
            raise InputError(
                "give one of threshold, max_missed and max_false, not "
                f"{self.threshold}, {self.max_missed} and {self.max_false}"
            )
        if (self.x_col is None) != (self.y_col is None):
            raise InputError("`x_col` and `y_col` go together; give both or none")
        if self.detector not in DETECTORS:
            raise InputError(
                f"the detector must be one of {', '.join(DETECTORS)}, not {self.detector!r}"
            )
        if self.bad_bits is not None and self.mask is None:
            raise InputError("`bad_bits` says what is bad in a mask; give `mask` too")

    @property
    def pixels(self) -> PixelOptions:
        """The options about pixels."""
        return PixelOptions(
            self.plane, self.bayer, self.mask, self.bad_bits, self.err, self.saturation, self.psf
        )

    @property
    def columns(self) -> dict[str, Any]:
        """The options about the columns of positions."""
        return {"x_col": self.x_col, "y_col": self.y_col, "origin": self.origin}

    @property
    def placement(self) -> Placement:
        """How positions of the catalogue lie on the image."""
        dx, dy = self.shift_xy or (0.0, 0.0)
        scale = 1.0 if self.scale_xy is None else self.scale_xy
        return Placement(self.swap_xy, scale, dx, dy, self.flip_x, self.flip_y)

    def check(self, catalog: str | None) -> None:
        """Refuse options about a catalogue where there is none, and about detection where there is one.

        Raises
        ------
        InputError
        """
        if catalog is None and any(value is not None for value in self.columns.values()):
            raise InputError("`x_col`, `y_col` and `origin` are about a catalogue; give `catalog` too")
        if self.catalog_format is not None:
            format_named(self.catalog_format)
        if catalog is None and self.catalog_format is not None:
            raise InputError("`catalog_format` is given, but no catalogue; give `catalog` too")
        if catalog is None and self.placement:
            raise InputError(f"`{self.placement.arguments()}` is about a catalogue; give `catalog` too")
        if catalog is not None and self.detector != DETECTOR:
            raise InputError(
                f"with `detector={self.detector!r}` sources are detected, but the catalogue has them "
                "already; leave out `detector` or `catalog`"
            )

    def given(self) -> dict[str, Any]:
        """Return the options that are not as by default and are not noted under names of their own."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in _NOTED_APART and getattr(self, field.name) != field.default
        }

    def classifier(self) -> Classifier:
        """Load the model."""
        return Classifier(
            self.model, device=self.device, threads=self.threads, real_source_types=self.real
        )

    def point(self, classifier: Classifier) -> OperatingPoint | None:
        """Return the operating point that the rates ask for, or None if they ask for none."""
        if self.max_missed is None and self.max_false is None:
            return None
        spec, real = classifier.spec, classifier.real_source_types
        if spec.reading(real) is None:
            raise InputError(
                f"`max_missed` and `max_false` rest on rates that were measured with "
                f"{' or with '.join(reading.name for reading in spec.readings)} as real; with "
                f"`real={real!r}` give `threshold`"
            )
        return spec.point_for(self.max_missed, self.max_false, real)
