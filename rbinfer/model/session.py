"""The only module that imports onnxruntime: providers, threads, fixed batches."""

import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Some builds of ONNX Runtime report on what they run, and keep files for it; nobody asked for that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from ..errors import DeviceError, InputError, ModelError
from .spec import AROUND, CONTEXT, CORE, METADATA_KEY, ModelSpec
from .stamps import LEAST_POPULATION, POPULATION, Stamps

log = logging.getLogger(__name__)

#: Rows a CPU session takes at a time: cutouts and activations stay in the core's cache. More with a
#: network that reads stars: it has many small layers, each of which costs something a call. Half as many
#: with another whose file is larger than `_LARGE` bytes: it gains nothing from more, an object alone
#: takes as long as a batch, and the last thread ends a batch after the others.
CPU_BATCH = 64
_STAR_BATCH = 96
_LARGE = 384 * 1024
#: Rows a GPU session takes at a time.
GPU_BATCH = 4096
#: Largest difference that :func:`verify` accepts: builds of ONNX Runtime differ in rounding.
GOLDEN_TOLERANCE = 1e-4

#: Difference from a golden score that no precision explains.
_DAMAGED = 0.01
#: How protobuf writes the key of an ONNX tensor's external file; its numbers may be padded.
_EXTERNAL = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
#: The execution provider for GPUs.
CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
# TensorFloat-32, the default on GPUs that have it, keeps ten bits of each factor: a score would
# differ from the CPU's in the third digit.
_CUDA_OPTIONS = {"use_tf32": "0"}
#: Inputs of a network that reads the frame's stars, beside the cutouts.
_PSF_INPUTS = ("psf", "psf_known", "psf_index")
#: Input of one that is also told what the maxima of the frame are like.
_POPULATION_INPUT = "population"
#: Inputs of a network that reads native pixels, and of one that also reads the wide view.
_CORE_INPUT, _CONTEXT_INPUT = "core", "context"
#: Which of the numbers of `rbinfer.cutouts.cutter.Cutouts.core` these two take.
_AROUND_INPUTS = {_CORE_INPUT: slice(0, CORE), _CONTEXT_INPUT: slice(CORE, AROUND)}
_FLOAT = "tensor(float)"
_Provider = str | tuple[str, dict[str, str]]


def available_providers() -> list[str]:
    """Return the execution providers that this build of ONNX Runtime has."""
    return list(onnxruntime.get_available_providers())


class Output(NamedTuple):
    """What the network says: ``score`` (n,) float32, and ``classes`` (n, k) float32 or None."""

    score: NDArray[np.float32]
    classes: NDArray[np.float32] | None


class Session:
    """A model file, loaded and checked.

    The session runs on one thread of its own; callers run it from several.

    Parameters
    ----------
    path : path
        The ONNX file.
    device : {"auto", "cpu", "cuda"}
        ``auto`` takes CUDA where ONNX Runtime offers it.

    Attributes
    ----------
    spec : ModelSpec
    device : str
        ``"cpu"`` or ``"cuda"``: what the session got.
    batch : int
        Rows of each call of the network. Always the same, so that a score does not depend on how
        many others are asked for with it.
    reads_psf : bool
        Whether the network looks at the frame's own stars, too.
    reads_population : int
        How many of the numbers it is told that say what the maxima of the frame are like; 0 if none.
    can_be_bound : bool
        Whether `bound` serves it: on the CPU, with outputs as `rbtrain` writes them.
    reads_around : int
        How many of the numbers of `rbinfer.cutouts.cutter.Cutouts.core` it looks at: none, the native
        pixels, or the wide view as well.

    Raises
    ------
    ModelError
        The file is not a model, or not one of ours.
    DeviceError
        ``cuda`` was asked for and not had.
    """

    def __init__(self, path: str | os.PathLike[str], device: str = "auto") -> None:
        self.path = Path(path)
        if device not in ("auto", "cpu", "cuda"):
            raise InputError(f"device must be 'auto', 'cpu' or 'cuda', not {device!r}")
        available = available_providers()
        if device == "cuda" and CUDA not in available:
            raise DeviceError(
                f"`device='cuda'` was asked for but this ONNX Runtime offers {available}; "
                "'pip uninstall onnxruntime' and 'pip install onnxruntime-gpu', or use `device='cpu'`"
            )
        wanted: list[_Provider] = [_CPU]
        if device != "cpu" and CUDA in available:
            wanted.insert(0, (CUDA, _CUDA_OPTIONS))
        self._session = _load(self.path, wanted)
        got = self._session.get_providers()
        if device == "cuda" and CUDA not in got:
            # ONNX Runtime falls back to the CPU in silence.
            raise DeviceError(
                f"`device='cuda'` was asked for but the session got {got}; check the CUDA and cuDNN "
                "libraries, or use `device='cpu'`"
            )
        self.device = "cuda" if CUDA in got else "cpu"
        self.spec = _spec_of(self._session, self.path)
        self._inputs, self._outputs = _check_signature(self._session, self.spec, self.path)
        self.reads_psf = _PSF_INPUTS[0] in self._inputs
        self.reads_population = _n_told(self._session)
        if self.spec.preprocess.likely_width and not self.reads_population:
            raise ModelError(
                f"{self.path} asks for cutouts of a likely width, but has no input {_POPULATION_INPUT} "
                "to weigh it; export it again"
            )
        if self.device == "cuda":
            self.batch = GPU_BATCH
        elif self.reads_psf:
            self.batch = _STAR_BATCH
        else:
            self.batch = CPU_BATCH // 2 if self.path.stat().st_size > _LARGE else CPU_BATCH
        self.reads_around = _around(self._inputs)
        shapes = {o.name: list(o.shape[1:]) for o in self._session.get_outputs() if o.type == _FLOAT}
        wanted_shapes = ([1], [len(self.spec.classes)])
        self.can_be_bound = self.device == "cpu" and all(
            shapes.get(name) == shape for name, shape in zip(self._outputs, wanted_shapes, strict=False)
        )
        log.info("%s: running on %s", self.path, self.device)
        if device == "auto" and CUDA in available and self.device == "cpu":
            log.warning("ONNX Runtime offers CUDA but gave the CPU; check the CUDA and cuDNN libraries")

    def run(
        self,
        cutouts: NDArray[np.float32],
        stamps: Stamps | None = None,
        cores: NDArray[np.float32] | None = None,
    ) -> Output:
        """Score ready cutouts.

        Parameters
        ----------
        cutouts : ndarray of float32, shape (n, size, size, 2)
        stamps : Stamps, optional
            Stars of their frames, and what else is on these, for a network that reads them; it is told
            that none is known unless they are given.
        cores : ndarray of float32, shape (n, 27) or (n, 196), optional
            Native pixels, and a wide view behind them, as `rbinfer.cutouts.cutter.Cutouts` has them, for
            a network that reads them; zeros, for unknown, unless given.

        Returns
        -------
        Output
        """
        n = len(cutouts)
        score = np.empty(n, np.float32)
        k = len(self.spec.classes)
        classes = np.empty((n, k), np.float32) if len(self._outputs) == 2 else None
        if stamps is None and self.reads_psf:
            stamps = Stamps.of(None, self.spec.preprocess.size, n)
        for start in range(0, n, self.batch):
            part = cutouts[start : start + self.batch]
            m = len(part)
            frames = None if stamps is None else stamps.taken(slice(start, start + m))
            given = self.inputs_of(part, frames, None if cores is None else cores[start : start + m])
            results = self._session.run(self._outputs, given)
            score[start : start + m] = results[0].reshape(-1)[:m]
            if classes is not None:
                classes[start : start + m] = results[1][:m]
        return Output(_at_most_1(score), classes)

    def inputs_of(
        self,
        cutouts: NDArray[np.float32],
        stamps: Stamps | None = None,
        cores: NDArray[np.float32] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Return what the session takes for one batch, by name.

        Parameters
        ----------
        cutouts, stamps, cores
            As for `run`, of `batch` rows at most; those that are missing are 0.

        Returns
        -------
        dict of str to ndarray
            `cutouts` itself if it has `batch` rows.
        """
        given: dict[str, NDArray[Any]] = {self._inputs[0]: _padded(cutouts, self.batch)}
        if stamps is not None and self.reads_psf:
            given |= _of_frames(stamps, self.reads_population, self.batch)
        if self.reads_around:
            given |= _told(cores, self.reads_around, self.batch)
        return given

    def around_of(
        self, given: Mapping[str, NDArray[np.float32]]
    ) -> list[tuple[NDArray[np.float32], slice]]:
        """Return those inputs that take what lies around, and which of the numbers of it each takes."""
        return [(given[name], of) for name, of in _AROUND_INPUTS.items() if name in given]

    def bound(
        self, given: dict[str, NDArray[Any]]
    ) -> Callable[[], tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """Return a call that reads its inputs from arrays that stay where they are.

        Parameters
        ----------
        given : dict of str to ndarray
            From `inputs_of`, kept by the caller. What they hold is read at each call.

        Returns
        -------
        callable
            Returns ``score`` (batch,) and ``classes`` (batch, k) or None: always the same arrays. For
            one thread.
        """
        binding = self._session.io_binding()
        for name, array in given.items():
            binding.bind_cpu_input(name, array)
        shapes = [(self.batch, 1), (self.batch, len(self.spec.classes))]
        outputs = [np.empty(shape, np.float32) for shape in shapes[: len(self._outputs)]]
        for name, array in zip(self._outputs, outputs, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        score, classes = outputs[0].reshape(-1), outputs[1] if len(outputs) == 2 else None

        def run() -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
            self._session.run_with_iobinding(binding)
            return _at_most_1(score), classes

        return run


def _at_most_1(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change scores in place: a sum of probabilities may be rounded to a little more than 1."""
    return np.minimum(score, np.float32(1), out=score)


class VerifyResult(NamedTuple):
    """Outcome of :func:`verify`: pairs tried, largest difference of a score, whether it is fine."""

    n: int
    max_difference: float
    ok: bool


def read_spec(path: str | os.PathLike[str]) -> ModelSpec:
    """Read what a model file says of itself; raises `ModelError` if it is not one of ours."""
    return _spec_of(_load(Path(path), [_CPU]), Path(path))


def verify(path: str | os.PathLike[str], device: str = "cpu") -> VerifyResult:
    """Run the golden pairs inside a model file.

    Raises
    ------
    ModelError
        The file is no model of ours, or has no golden pairs.
    """
    session = Session(path, device)
    golden = session.spec.golden
    if golden is None or len(golden.scores) == 0:
        raise ModelError(f"{path} has no golden pairs to verify; export it again")
    worst = float(
        np.max(np.abs(session.run(golden.cutouts, golden.stamps, golden.cores).score - golden.scores))
    )
    return VerifyResult(len(golden.scores), worst, worst <= GOLDEN_TOLERANCE)


def _load(path: Path, providers: list[_Provider]) -> Any:
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    # Parallelism is over chunks of rows, outside; see rbinfer.scoring.classifier.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not path.is_file():
        raise ModelError(f"{path} is not a file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    if _EXTERNAL.search(data):
        # Old releases of ONNX Runtime read whatever file such a model names.
        raise ModelError(
            f"{path} keeps weights in other files; a model of ours is one file: export it again"
        )
    try:
        session = onnxruntime.InferenceSession(data, options, providers=providers)
        # Names and metadata are decoded only now, and in a damaged file they may be no text.
        session.get_modelmeta().custom_metadata_map, session.get_inputs(), session.get_outputs()
        return session
    except Exception as error:  # ONNX Runtime raises many kinds, with no common base
        raise ModelError(f"{path} is not a model that ONNX Runtime can load: {error}") from error


def _spec_of(session: Any, path: Path) -> ModelSpec:
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"{path} is an ONNX file without rbinfer's metadata; make it with 'rbtrain export'"
        )
    try:
        return ModelSpec.from_json(metadata[METADATA_KEY])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _padded(values: NDArray[Any], batch: int) -> NDArray[Any]:
    """Return values for a whole batch; what is added to them is 0."""
    if len(values) == batch:
        return values
    full = np.zeros((batch, *values.shape[1:]), values.dtype)
    full[: len(values)] = values
    return full


def _of_frames(stamps: Stamps, n_told: int, batch: int) -> dict[str, NDArray[Any]]:
    """Return by input what is known of the frames of a batch, with so many numbers of the population."""
    index = _padded(stamps.index, batch)
    given: dict[str, NDArray[Any]] = dict(
        zip(_PSF_INPUTS, (stamps.psf, stamps.known, index), strict=True)
    )
    if n_told:
        given[_POPULATION_INPUT] = np.ascontiguousarray(stamps.population[:, :n_told])
    return given


def _around(inputs: list[str]) -> int:
    """Return how many numbers a network reads of what lies around."""
    if _CORE_INPUT not in inputs:
        return 0
    return AROUND if _CONTEXT_INPUT in inputs else CORE


def _told(cores: NDArray[np.float32] | None, reads: int, batch: int) -> dict[str, NDArray[np.float32]]:
    """Return what lies around the objects of a batch by input; what is not known is 0."""
    told = {}
    for name, of in _AROUND_INPUTS.items():
        if of.start < reads:
            told[name] = np.zeros((batch, of.stop - of.start), np.float32)
            if cores is not None and cores.shape[1] >= of.stop:
                told[name][: len(cores)] = cores[:, of]
    return told


def _n_told(session: Any) -> int:
    """Return how many numbers of the population a network reads."""
    widths = [i.shape[-1] for i in session.get_inputs() if i.name == _POPULATION_INPUT]
    return widths[0] if widths and isinstance(widths[0], int) else 0


def _check_signature(session: Any, spec: ModelSpec, path: Path) -> tuple[list[str], list[str]]:
    inputs, outputs = session.get_inputs(), [o.name for o in session.get_outputs()]
    size = spec.preprocess.size
    names = [i.name for i in inputs]
    n_told = _n_told(session)
    if n_told > POPULATION:
        raise ModelError(
            f"{path} reads {n_told} numbers of {_POPULATION_INPUT}, not {POPULATION}; update rbinfer"
        )
    beside = dict(
        zip(
            (*_PSF_INPUTS, _POPULATION_INPUT, _CORE_INPUT, _CONTEXT_INPUT),
            ([size, size, 1], [1], [], [max(n_told, LEAST_POPULATION)], [CORE], [CONTEXT]),
            strict=True,
        )
    )
    sides = [[size, size, 2], *(beside.get(name) for name in names[1:])]
    reads_psf, around = _PSF_INPUTS[0] in names, _around(names)
    wanted_names = [
        *(_PSF_INPUTS if reads_psf else ()),
        *((_POPULATION_INPUT,) if reads_psf and _POPULATION_INPUT in names else ()),
        *((_CORE_INPUT,) if around else ()),
        *((_CONTEXT_INPUT,) if around > CORE else ()),
    ]
    if names[1:] != wanted_names or [list(i.shape[1:]) for i in inputs] != sides:
        raise ModelError(
            f"{path} takes {dict(zip(names, (list(i.shape) for i in inputs), strict=True))} but its "
            f"metadata asks for cutouts (n, {size}, {size}, 2), where it reads stars for "
            f"{', '.join(_PSF_INPUTS)}, where it is told what else is there for {_POPULATION_INPUT} "
            f"(k, {LEAST_POPULATION} to {POPULATION}), where it reads native pixels for {_CORE_INPUT} "
            f"(n, {CORE}), and where it reads the wide view as well for {_CONTEXT_INPUT} "
            f"(n, {CONTEXT}); export it again"
        )
    wanted = ["score"] if spec.classes == ("bogus", "real") else ["score", "classes"]
    if not set(wanted) <= set(outputs):
        raise ModelError(f"{path} has outputs {outputs} but needs {wanted}; export it again")
    cutouts, stamps = np.zeros((0, size, size, 2), np.float32), Stamps.of(None, size, 0)
    cores = None
    golden = spec.golden
    n = 0 if golden is None else min(len(golden.scores), CPU_BATCH)
    if golden is not None:
        if golden.cutouts.shape[1:] != cutouts.shape[1:]:
            raise ModelError(
                f"{path} has golden cutouts of shape {golden.cutouts.shape[1:]}, not "
                f"{cutouts.shape[1:]}; export it again"
            )
        cutouts = golden.cutouts[:n]
        stamps = (golden.stamps or Stamps.of(None, size, n)).taken(slice(n))
        cores = None if golden.cores is None else golden.cores[:n]
    given = {names[0]: _padded(cutouts, CPU_BATCH)}
    if reads_psf:
        given |= _of_frames(stamps, n_told, CPU_BATCH)
    if around:
        given |= _told(cores, around, CPU_BATCH)
    try:
        probe = session.run(wanted, given)
    except Exception as error:  # as in _load
        raise ModelError(f"{path} cannot be run: {error}") from error
    widths = [math.prod(r.shape[1:]) for r in probe]
    if widths != [1, len(spec.classes)][: len(wanted)] or any(len(r) != CPU_BATCH for r in probe):
        raise ModelError(
            f"{path} returns shapes {[r.shape for r in probe]} that do not fit its "
            f"{len(spec.classes)} classes; export it again"
        )
    if not all(np.isfinite(r).all() for r in probe):
        raise ModelError(f"{path} returns values that are not finite; its weights are damaged")
    if golden is not None and n:
        # Where ONNX Runtime computes in another precision, as on GPUs, this would be no damage.
        worst = float(np.max(np.abs(probe[0].reshape(-1)[:n] - golden.scores[:n])))
        if not worst <= _DAMAGED:
            raise ModelError(
                f"{path} differs by {worst:.2g} from the golden scores in it, more than {_DAMAGED:g}; "
                "the file is damaged: install or export it again"
            )
    return names, wanted
