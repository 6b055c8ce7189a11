"""What a model file says of itself: frozen specs and their JSON form.

The JSON text is stored under :data:`METADATA_KEY` in the ``metadata_props`` of the ONNX file. A file
without it, or with another schema version, is refused.
"""

import base64
import dataclasses
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .._util.arguments import as_level, check_number
from .._util.sentences import reason_of
from ..errors import InputError, ModelError
from .readings import OperatingPoint, Reading
from .stamps import POPULATION, Stamps

#: Key of the JSON text in the ONNX ``metadata_props``.
METADATA_KEY = "rbinfer"
#: Version of the JSON layout that this release writes.
SCHEMA = 2
#: Version that has one reading of "real", its entries beside the others; it is read, too.
_ONE_READING = 1
#: Asinh softening in units of the background sigma, as in the reference implementation.
DEFAULT_ASINH_SOFTENING_SIGMA = 3.0
#: Side of the square of native pixels that goes along with a cutout, and how many numbers there are: the
#: pixels, how bright they are, and the scale at which the cutout is made.
CORE_SIDE = 5
CORE = CORE_SIDE**2 + 2
#: Side of the square of cells around a cutout's centre that go along behind these, and their number;
#: each cell is about `CONTEXT_CELL` FWHM wide.
CONTEXT_SIDE = 13
CONTEXT = CONTEXT_SIDE**2
CONTEXT_CELL = 2.0
#: All that may go along with a cutout.
AROUND = CORE + CONTEXT
#: FWHM (pixels) assumed when none is given and none can be measured, as in the reference.
DEFAULT_FWHM = 3.0

Preset = Literal["reference", "default"]
Normalisation = Literal["peak", "centre"]


def _finite(text: str) -> float:
    """Read a number; Python would take NaN and Infinity for JSON, and 1e999 for infinity."""
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(f"{text} is no number")
    return value


#: Marks fields of `PreprocessSpec` that older files lack, and that are left out at their default.
_LATER = {"later": True}


@dataclass(frozen=True)
class PreprocessSpec:
    """How a cutout is made: everything that the kernels need to know.

    Use :meth:`reference` or :meth:`default` and `dataclasses.replace` rather than all the fields.

    Attributes
    ----------
    preset : {"reference", "default"}
        Which kernel cuts. ``reference`` reproduces the published behaviour bit for bit in its
        choices: truncated window position, rescaling after the cut, padding by edge replication,
        noise from the MAD of the whole cutout, objects near an edge left out. ``default`` centres
        on the nearest pixel, resamples so that the FWHM is `target_fwhm` whatever it was (the mean
        over each new pixel's area when the image shrinks, linear interpolation when it grows), cuts
        as many native pixels as that takes, fills pixels that are off the image, masked or not
        finite with the background, and takes background and noise from the border of the window.
    size : int
        Side of the cutout that the network sees, in (rescaled) pixels; odd.
    target_fwhm : float
        FWHM in pixels that the rescaling aims at.
    rescale_threshold : float
        Rescale only when FWHM / target_fwhm is above this or below its inverse.
    asinh_softening : float
        Softening of the asinh channel in units of the background sigma.
    linear_norm, asinh_norm : {"peak", "centre"}
        What each channel is divided by: the largest absolute value of the cutout, or that of its
        central 3 x 3 pixels (values are then clipped to +-`clip`). ``reference`` knows ``peak`` only.
    clip : float
        Largest absolute value of a channel normalised by its centre.
    recentre : int
        The window moves to the brightest good pixel within this distance (pixels, square) of the
        nearest pixel; 0 for none. ``default`` only.
    min_good : float
        Least fraction of good pixels in the window; with less an object is not scored.
    likely_width : bool
        On a frame that shows no stars for certain, and where no width is had from elsewhere, the
        cutouts are made for the FWHM of what may be stars, if there is such, and not for 3 pixels. The
        network must read how far the frame convinces.
    """

    preset: Preset = "default"
    size: int = 31
    target_fwhm: float = 3.0
    rescale_threshold: float = 1.5
    asinh_softening: float = DEFAULT_ASINH_SOFTENING_SIGMA
    linear_norm: Normalisation = "centre"
    asinh_norm: Normalisation = "peak"
    clip: float = 2.0
    recentre: int = 1
    min_good: float = 0.2
    likely_width: bool = field(default=False, metadata=_LATER)

    def __post_init__(self) -> None:
        if self.preset not in ("reference", "default"):
            raise InputError(f"preset must be 'reference' or 'default', not {self.preset!r}")
        if isinstance(self.size, bool) or not isinstance(self.size, int | np.integer):
            raise InputError(f"size must be an integer, not {self.size!r}")
        object.__setattr__(self, "size", int(self.size))
        for name in ("target_fwhm", "rescale_threshold", "asinh_softening", "clip", "min_good"):
            check_number(getattr(self, name), name)
        if not 5 <= self.size <= 255 or self.size % 2 == 0:
            raise InputError(f"size must be odd and from 5 to 255, not {self.size}")
        for name in ("target_fwhm", "asinh_softening", "clip"):
            as_level(getattr(self, name), name)
        if not 1e-6 <= self.asinh_softening <= 1e6:
            # Far beyond, float32 cannot hold the quotients that the channel is made of.
            raise InputError(
                f"asinh_softening must lie in [1e-6, 1e6] times the noise, not {self.asinh_softening}"
            )
        if not (np.isfinite(self.rescale_threshold) and self.rescale_threshold >= 1):
            raise InputError(f"rescale_threshold must be at least 1, not {self.rescale_threshold}")
        if not 0 <= self.min_good <= 1:
            raise InputError(f"min_good must lie in [0, 1], not {self.min_good}")
        if not isinstance(self.likely_width, bool):
            raise InputError(f"likely_width must be true or false, not {self.likely_width!r}")
        if self.recentre not in (0, 1, 2, 3):
            raise InputError(f"recentre must be 0, 1, 2 or 3, not {self.recentre}")
        for name in ("linear_norm", "asinh_norm"):
            value = getattr(self, name)
            if value not in ("peak", "centre"):
                raise InputError(f"{name} must be 'peak' or 'centre', not {value!r}")
        if self.preset == "reference" and (
            self.linear_norm != "peak" or self.asinh_norm != "peak" or self.recentre != 0
        ):
            raise InputError(
                "the reference preset normalises by the peak and does not recentre; "
                "use preset='default' to change that"
            )

    @property
    def window(self) -> float:
        """Side of the window that the default preset cuts, in FWHM of the stars."""
        return self.size / self.target_fwhm

    @classmethod
    def reference(cls, size: int = 31) -> Self:
        """Return the spec of the reference implementation."""
        return cls(
            preset="reference",
            size=size,
            linear_norm="peak",
            asinh_norm="peak",
            recentre=0,
            min_good=0.5,
        )

    @classmethod
    def default(cls, size: int = 31) -> Self:
        """Return the spec that new models are trained with."""
        return cls(size=size, target_fwhm=4.0, rescale_threshold=1.0, min_good=0.1)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a spec from its JSON form; unknown or missing keys are refused."""
        names = {f.name for f in dataclasses.fields(cls)}
        missing, unknown = sorted(names - set(data) - _later(cls).keys()), sorted(set(data) - names)
        if missing or unknown:
            raise ModelError(f"preprocessing spec lacks {missing} and has unknown {unknown}")
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        unchanged = {name for name, value in _later(self).items() if getattr(self, name) == value}
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in unchanged}


def _later(spec: PreprocessSpec | type[PreprocessSpec]) -> dict[str, Any]:
    """Return the defaults of the fields that were added later."""
    return {f.name: f.default for f in dataclasses.fields(spec) if "later" in f.metadata}


@dataclass(frozen=True, eq=False)
class GoldenPairs:
    """A few inputs and the scores that the exporter got for them.

    Attributes
    ----------
    cutouts : ndarray of float32, shape (n, size, size, 2)
    scores : ndarray of float32, shape (n,)
    stamps : Stamps or None
        One stamp, and one population, for each cutout, for a model that reads them.
    cores : ndarray of float32, shape (n, 27) or (n, 196), or None
        Native pixels of each, for a model that reads them, and its wide view, for one that reads that.
    """

    cutouts: NDArray[np.float32]
    scores: NDArray[np.float32]
    stamps: Stamps | None = None
    cores: NDArray[np.float32] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: shape, compressed base64 pixels, scores, and what else there is."""
        data: dict[str, Any] = {
            "shape": list(self.cutouts.shape),
            "cutouts": _packed(self.cutouts),
            "scores": [float(s) for s in self.scores],
        }
        if self.stamps is not None:
            psf, known, population = self.stamps.one_each()
            data |= {"psf": _packed(psf), "psf_known": [float(k) for k in known[:, 0]]}
            if population.any():  # zeros need no room
                data["population"] = _packed(population)
        if self.cores is not None:
            data["cores"] = _packed(self.cores[:, :CORE])
            if self.cores.shape[1] > CORE:
                data["contexts"] = _packed(self.cores[:, CORE:])
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make the pairs from their JSON form."""
        shape = tuple(int(n) for n in data["shape"])
        if len(shape) != 4 or min(shape) < 1 or 4 * math.prod(shape) > 2**26:
            raise ModelError(f"golden pairs have an impossible shape {shape}")
        cutouts = _unpacked(data["cutouts"], shape)
        scores = np.asarray(data["scores"], dtype=np.float64)
        if scores.shape != shape[:1]:
            raise ModelError(f"{shape[0]} golden inputs but {scores.size} golden scores")
        if not ((scores > -0.01) & (scores < 1.01)).all():  # sums of probabilities are rounded
            raise ModelError("golden scores must lie in [0, 1]")
        stamps = None
        if "psf" in data:
            psf = _unpacked(data["psf"], (*shape[:3], 1))
            known = np.asarray(data["psf_known"], np.float64).reshape(shape[0], 1)
            if not np.isin(known, (0, 1)).all():
                raise ModelError("golden stars must be known or not: 1 or 0")
            population = np.zeros((shape[0], POPULATION), np.float32)
            if "population" in data:
                population = _unpacked(data["population"], (shape[0], -1), POPULATION)
            stamps = Stamps(psf, known.astype(np.float32), population, np.arange(shape[0]))
        cores = _unpacked(data["cores"], (shape[0], CORE)) if "cores" in data else None
        if cores is not None and "contexts" in data:
            cores = np.concatenate([cores, _unpacked(data["contexts"], (shape[0], CONTEXT))], axis=1)
        return cls(cutouts, scores.astype(np.float32), stamps, cores)


def _packed(values: NDArray[np.float32]) -> str:
    raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


def _unpacked(text: str, shape: tuple[int, ...], most: int = 0) -> NDArray[np.float32]:
    n = 4 * math.prod(most if length < 0 else length for length in shape)
    # No more than that, or a crafted stream could fill the memory.
    raw = zlib.decompressobj().decompress(base64.b64decode(text), n)
    return np.frombuffer(raw, dtype="<f4").reshape(shape).astype(np.float32)


@dataclass(frozen=True)
class ModelSpec:
    """Everything that a model file says of itself.

    Attributes
    ----------
    name, version : str
        Which model this is.
    preprocess : PreprocessSpec
        How its cutouts are made.
    classes : tuple of str
        Class names in the order of the ``classes`` output; ``("bogus", "real")`` for a model that
        has the ``score`` output alone.
    readings : tuple of Reading
        Readings of what is real that were measured; the first is the default, which the ``score``
        output counts. The score of another one is the sum of its ``classes``.
    calibration : dict
        How the output was calibrated (method and parameters); already part of the graph.
    fwhm_range, snr_range : tuple of float
        Range of FWHM (pixels) and of S/N that it was trained on.
    config_hash : str
        Hash of the training configuration.
    parent : str
        Name, version and SHA-256 of the model that this network comes from, and what was done to it:
        calibrated and counted anew, or fitted further; empty for one fitted from the beginning.
    adaptation : dict
        Of a model that was adapted to labels: what was done and why, which labels, rates before and
        after, the verdict, and ``seen``, a mark of each label; this alone after a new calibration.
    golden : GoldenPairs or None
        Input and score pairs for ``rbinfer models verify``.
    """

    name: str
    version: str
    preprocess: PreprocessSpec
    classes: tuple[str, ...] = ("bogus", "real")
    readings: tuple[Reading, ...] = (Reading(("real",)),)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    fwhm_range: tuple[float, float] = (0.0, float("inf"))
    snr_range: tuple[float, float] = (0.0, float("inf"))
    config_hash: str = ""
    parent: str = ""
    adaptation: Mapping[str, Any] = field(default_factory=dict)
    golden: GoldenPairs | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes) or "" in self.classes:
            raise ModelError(f"classes must have names of their own, not {list(self.classes)}")
        if not self.readings:
            raise ModelError("a model needs a reading of what is real, but it has none")
        for k, reading in enumerate(self.readings):
            if not reading.real or not set(reading.real) <= set(self.classes):
                raise ModelError(f"real classes {list(reading.real)} must be among {list(self.classes)}")
            if any(other.counts(reading.real) for other in self.readings[:k]):
                raise ModelError(f"there are two readings with {reading.name} real")
        for name in ("fwhm_range", "snr_range"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ModelError(f"{name} must not end below its beginning: {low} to {high}")

    @property
    def real(self) -> tuple[str, ...]:
        """Classes that count as real unless the caller says otherwise."""
        return self.readings[0].real

    @property
    def threshold(self) -> float:
        """The decision threshold of the default reading."""
        return self.readings[0].threshold

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """The operating points of the default reading."""
        return self.readings[0].operating_points

    def reading(self, real: Sequence[str]) -> Reading | None:
        """Return the reading with these classes real, in any order; None if it was not measured."""
        return next((reading for reading in self.readings if reading.counts(real)), None)

    def point_for(
        self,
        max_missed: float | None = None,
        max_false: float | None = None,
        real: Sequence[str] | None = None,
    ) -> OperatingPoint:
        """Return the operating point that keeps a rate within bounds and is best in the other one.

        Parameters
        ----------
        max_missed : float, optional
            Largest share of the real that may be missed.
        max_false : float, optional
            Largest share of the bogus that may be let in. One of the two must be given.
        real : sequence of str, optional
            Classes that count as real; those of the default reading unless given.

        Raises
        ------
        InputError
            Both or none given, no operating point of the model is so strict, or the model was not
            measured with these classes real.
        """
        wanted = self.real if real is None else real
        reading = self.reading(wanted)
        if reading is None:
            raise InputError(
                f"model {self.name} {self.version} has no rates with {','.join(wanted)} real, but with "
                f"{' or with '.join(reading.name for reading in self.readings)}"
            )
        return reading.point_for(max_missed, max_false)

    def to_json(self) -> str:
        """Return the JSON text that travels in the model file."""
        data = dataclasses.asdict(dataclasses.replace(self, golden=None))
        data["preprocess"] = self.preprocess.to_dict()
        data["schema"] = SCHEMA
        data["golden"] = None if self.golden is None else self.golden.to_dict()
        if not self.adaptation:
            del data["adaptation"]
        # JSON knows no infinity; null stands for an open end.
        for key in ("fwhm_range", "snr_range"):
            data[key] = [v if np.isfinite(v) else None for v in data[key]]
        return json.dumps(data, allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Make a spec from the JSON text.

        Raises
        ------
        ModelError
            The text is not JSON, is of another schema, or lacks or has wrong entries.
        """
        try:
            data = json.loads(text, parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the rbinfer metadata is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise ModelError("the rbinfer metadata is not a JSON object")
        if data.get("schema") not in (_ONE_READING, SCHEMA):
            raise ModelError(
                f"the rbinfer metadata has schema {data.get('schema')!r}, this release reads "
                f"{_ONE_READING} and {SCHEMA}; export the model again or use another release of rbinfer"
            )
        try:
            if data["schema"] == _ONE_READING:
                data = _with_readings(data)
            ends = {
                key: (
                    float(data[key][0] or 0.0),
                    float("inf") if data[key][1] is None else float(data[key][1]),
                )
                for key in ("fwhm_range", "snr_range")
            }
            return cls(
                name=str(data["name"]),
                version=str(data["version"]),
                preprocess=PreprocessSpec.from_dict(data["preprocess"]),
                classes=tuple(str(c) for c in data["classes"]),
                readings=tuple(Reading.from_dict(r) for r in data["readings"]),
                calibration=dict(data["calibration"]),
                config_hash=str(data["config_hash"]),
                parent=str(data["parent"]),
                adaptation=dict(data.get("adaptation", {})),
                golden=None if data["golden"] is None else GoldenPairs.from_dict(data["golden"]),
                **ends,
            )
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, zlib.error) as error:
            reason = reason_of(error, "a value is of the wrong kind")
            raise ModelError(
                f"the rbinfer metadata is damaged ({reason}); export the model again"
            ) from error


def _with_readings(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a file of one reading as those of today's schema."""
    names = ("real", "threshold", "operating_points")
    reading = {name: data[name] for name in names} | {"scores": data["calibration"].get("scores") or {}}
    kept = {name: value for name, value in data.items() if name not in names}
    return kept | {"readings": [reading], "parent": ""}
