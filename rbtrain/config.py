"""One training, from frozen dataclasses to TOML and back: every seed and every range.

The ranges of the simulator are in :mod:`rbtrain.simulate.config`; they are one table of the file.
"""

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, Self

import tomli_w

from rbinfer import PreprocessSpec
from rbinfer._util.hashing import digest_of

from ._settings import LATER, Settings, identity, is_share, with_values
from .simulate.config import SimulateConfig

#: Classes of a detection, in the order of a multi-class model's output.
CLASSES = ("star", "galaxy", "cosmic_ray", "hot_pixel", "trail", "spike", "noise")
#: Raise this whenever the same configuration gives other cutouts or labels than before, so that an older
#: dataset is not taken for a new one.
SIMULATION = 15
#: Indices of those that are in the sky.
SOURCES = (0, 1)
#: Their names.
SKY = tuple(CLASSES[i] for i in SOURCES)
#: What may count as real; a model with classes is measured with each.
READINGS = (SKY, SKY[:1])


@dataclass(frozen=True)
class DataConfig(Settings):
    """How labelled cutouts are made of simulated frames.

    Attributes
    ----------
    frames : int
        Frames for training and validation.
    test_frames : int
        Frames, from seeds of their own, that training never sees.
    seed : int
        Seed of all frames; frame i depends on it and on i alone.
    validation : float
        Fraction of the frames kept for early stopping and calibration.
    per_class, sources : int
        At most so many detections of a bogus class, and of stars and galaxies together, are taken
        from one frame, drawn at random.
    threshold : tuple of float
        Detection threshold in sigma a pixel, drawn for each frame from this range.
    min_area : tuple of int
        Least area of a detection in pixels; one of these is drawn for each frame.
    filtered : float
        Probability that a frame is detected with SEP's matched filter.
    deblending : tuple of float
        SEP's deblending contrast; one of these is drawn for each frame (1 is none at all, so that
        centroids fall between the stars of a blend).
    fwhm_scatter : float
        Scatter (lognormal sigma) of the FWHM given to the preprocessing about the true one.
    fwhm_excess, fwhm_excess_fraction : tuple of float, float
        In this fraction of the frames the FWHM given is larger by a factor drawn from this range:
        pipelines also quote half-light diameters and second moments, which the wings of a Moffat profile
        make up to 1.4 times its FWHM (beta = 2.5).
    maps_given : float
        Probability that a frame's true sky and noise are given to the preprocessing.
    measured : float
        Probability that a frame is cut with the FWHM that rbinfer measures on it, and that the star
        which it measures is known to the network; else a FWHM is given, as above.
    known_noise : float
        Probability that the threshold is in units of the noise of sky and read-out, as of pipelines that
        know the gain; else in units of the scatter of the pixels, which in a crowded field is several
        times that, so that its faint stars are below it.
    lifted : bool
        Whether a peak of noise on a faint artefact, such as a column, is labelled; else it is left out.
    """

    frames: int = 1500
    test_frames: int = 300
    seed: int = 1
    validation: float = 0.15
    per_class: int = 60
    sources: int = 180
    threshold: tuple[float, float] = (3.0, 6.0)
    min_area: tuple[int, ...] = (1, 1, 3, 5)
    filtered: float = 0.3
    deblending: tuple[float, ...] = (0.005, 0.005, 0.005, 0.02, 1.0)
    fwhm_scatter: float = 0.06
    fwhm_excess: tuple[float, float] = (1.0, 1.4)
    fwhm_excess_fraction: float = 0.3
    maps_given: float = 0.1
    measured: float = field(default=0.0, metadata=LATER)
    known_noise: float = field(default=0.0, metadata=LATER)
    lifted: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 2 or self.test_frames < 0:
            raise ValueError(
                f"frames must be at least 2 and test_frames 0, not {self.frames} and {self.test_frames}"
            )
        shares = "filtered", "maps_given", "measured", "known_noise", "fwhm_excess_fraction"
        self.check(shares, "be between 0 and 1", is_share)
        self.check(("seed", "fwhm_scatter"), "be 0 or more", lambda value: value >= 0)
        self.check(("per_class", "sources"), "be 1 or more", lambda value: value >= 1)
        self.check(("min_area",), "hold whole numbers of 1 or more", lambda areas: min(areas) >= 1)
        self.check(("threshold", "fwhm_excess"), "be a range above 0", lambda span: span[0] > 0)
        if not all(0 <= v <= 1 for v in self.deblending):
            raise ValueError(f"deblending must hold shares between 0 and 1, not {self.deblending}")
        if not 0 < self.validation <= 0.5:
            raise ValueError(f"validation must be above 0 and at most 0.5, not {self.validation}")


@dataclass(frozen=True)
class NetworkConfig(Settings):
    """Which network.

    Attributes
    ----------
    architecture : {"reference", "compact"}
        ``reference``: that of the reference implementation, with one score. ``compact``:
        depthwise-separable, multi-class.
    filters : tuple of int
    dense_units : int
        Of ``reference``.
    dropout : float
    psf : bool
        Whether a compact network also reads what the stars of the frame look like.
    core : bool
        Whether it also reads the native pixels around the object.
    context : bool
        Whether it also reads the wide view; only together with `core`.
    population : bool
        Whether it is also told what the maxima of the frame are like; only together with `psf`.
    native : int
        Features that it makes of the native pixels.
    judged : int
        Features of all that it sees, which the star weighs.
    """

    architecture: str = "compact"
    filters: tuple[int, ...] = (32, 64, 128)
    dense_units: int = 64
    dropout: float = 0.1
    psf: bool = field(default=False, metadata=LATER)
    core: bool = field(default=False, metadata=LATER)
    context: bool = field(default=False, metadata=LATER)
    population: bool = field(default=False, metadata=LATER)
    native: int = field(default=48, metadata=LATER)
    judged: int = field(default=64, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in ("reference", "compact"):
            raise ValueError(f"architecture must be 'reference' or 'compact', not {self.architecture!r}")
        if self.context and not self.core:
            raise ValueError(
                "context = true needs core = true: a network that sees far also looks close"
            )
        if self.population and not self.psf:
            raise ValueError(
                "population = true needs psf = true: both are told once for all cutouts of a frame"
            )
        features = "native", "judged", "dense_units"
        self.check(features, "be 1 or more features", lambda value: value >= 1)
        self.check(("filters",), "hold numbers of 1 or more", lambda numbers: min(numbers) >= 1)
        self.check(("dropout",), "be 0 or more and below 1", lambda value: 0 <= value < 1)


@dataclass(frozen=True)
class FitConfig(Settings):
    """How the network is fitted.

    Attributes
    ----------
    epochs, batch_size, seed : int
    learning_rate : float
        At the start; falls along a cosine to a hundredth of it.
    patience : int
        Epochs without a better validation loss after which it stops.
    balance : float
        Exponent of the class weights (n / (k n_class)) ** balance; 0 for none, 1 for balanced. Stars
        and galaxies count as one class here: their ratio is left as it is in the sky.
    parent_share : float
        Of a fit that begins with the network of a model file: how far the network is moved back towards
        that one when it is exported, from 0 to 1, see `rbtrain.fitting.blend`.
    taught : float
        Share of the targets that the network of a model file gives, from 0 to 1, see
        `rbtrain.fitting.taught`; the labels give the rest.
    widths, bogus_weights : tuple of float
        Widths of a frame's stars (FWHM, pixels, rising) and the weights of bogus detections there, see
        `rbtrain.fitting.rates.width_weights`; in the last quarter of the epochs.
    precision : {"float32", "mixed_float16", "mixed_bfloat16"}
        Keras's dtype policy. The mixed ones are for GPUs; weights are float32 in all of them, and so is
        the exported network.
    """

    epochs: int = 20
    batch_size: int = 256
    seed: int = 1
    learning_rate: float = 2e-3
    patience: int = 8
    balance: float = 0.5
    precision: str = "float32"
    parent_share: float = field(default=0.0, metadata=LATER)
    taught: float = field(default=0.0, metadata=LATER)
    widths: tuple[float, ...] = field(default=(1.0,), metadata=LATER)
    bogus_weights: tuple[float, ...] = field(default=(1.0,), metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision not in ("float32", "mixed_float16", "mixed_bfloat16"):
            raise ValueError(
                "precision must be 'float32', 'mixed_float16' or 'mixed_bfloat16', not "
                f"{self.precision!r}"
            )
        self.check(("parent_share", "taught"), "be between 0 and 1", is_share)
        self.check(("seed", "balance"), "be 0 or more", lambda value: value >= 0)
        rising = all(low < high for low, high in pairwise((0.0, *self.widths)))
        are_pairs = len(self.widths) == len(self.bogus_weights) > 0
        if not (rising and are_pairs and min(self.bogus_weights) > 0):
            raise ValueError(
                "widths must rise from above 0 and bogus_weights be as many numbers above 0, not "
                f"{self.widths} and {self.bogus_weights}"
            )
        if min(self.epochs, self.batch_size, self.patience) < 1 or not self.learning_rate > 0:
            raise ValueError(f"epochs, batch_size, patience and learning_rate must be above 0: {self}")


@dataclass(frozen=True)
class TrainConfig:
    """One training from simulation to model file.

    Attributes
    ----------
    name, version : str
        Of the model.
    real : tuple of str
        Classes that count as real in the score.
    sources : float
        Share of stars and galaxies in the catalogues that the score is a probability for. At a few
        sigma a telescope's single exposure gives one artefact for some five to ten sources; seven is
        in the middle.
    preprocess : PreprocessSpec
    simulate : SimulateConfig
    data : DataConfig
    network : NetworkConfig
    fit : FitConfig
    """

    name: str
    version: str = "1"
    real: tuple[str, ...] = ("star",)
    sources: float = 0.875
    preprocess: PreprocessSpec = field(default_factory=PreprocessSpec.default)
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name in (".", "..") or {*"/\\\n"} & {*self.name}:
            raise ValueError(
                f"name must be a text without slashes, as it also names a folder, not {self.name!r}"
            )
        if not isinstance(self.version, str) or not self.version:
            raise ValueError(f'version must be a text such as "1", not {self.version!r}')
        if not isinstance(self.real, tuple):
            raise ValueError(f'real must be a list such as ["star"], not {self.real!r}')
        if len(set(self.real)) < len(self.real) or set(self.real) == set(CLASSES):
            raise ValueError(
                f"real must name some of the {len(CLASSES)} classes once each, and not all, not "
                f"{list(self.real)}"
            )
        unknown = [name for name in self.real if name not in CLASSES]
        if unknown or not self.real:
            raise ValueError(f"real must name some of {', '.join(CLASSES)}, not {list(self.real)}")
        if not isinstance(self.sources, float) or not 0 < self.sources < 1:
            raise ValueError(f"sources must be a share between 0 and 1, not {self.sources!r}")
        if self.preprocess.likely_width and not self.network.population:
            raise ValueError("preprocess.likely_width needs network.population, to weigh what is likely")

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Read a TOML file.

        Raises
        ------
        ValueError
            Not TOML, a key that is unknown, or a value out of range; names the file.
        """
        try:
            return cls.from_dict(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a configuration of nested dicts; what is missing keeps its default."""
        preprocess = data.get("preprocess")
        reference = isinstance(preprocess, Mapping) and preprocess.get("preset") == "reference"
        spec = PreprocessSpec.reference() if reference else PreprocessSpec.default()
        return with_values(cls(name="", preprocess=spec), data)

    def to_toml(self) -> str:
        """Return the TOML text, complete with defaults."""
        return tomli_w.dumps(dataclasses.asdict(self))

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON form."""
        return _hash(identity(self))

    @property
    def data_hash(self) -> str:
        """The same of what a dataset depends on alone, the code that makes it included."""
        parts = (self.preprocess, self.simulate, self.data)
        return _hash([SIMULATION, *(identity(part) for part in parts)])


def _hash(value: Any) -> str:
    return digest_of(json.dumps(value, sort_keys=True).encode())[:16]
