"""The rivals: what each is fed, an environment of its own for each, and their masks, kept on disk.

The masks are kept by the SHA-256 of what a rival was fed and by its version: nothing is run twice.
"""

import dataclasses
import hashlib
import os
import subprocess
import tempfile
import venv
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import sep
from numpy.typing import NDArray

from rbtrain.judging.baselines import pixel_noise

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

WORKER = Path(__file__).with_name("_rival_worker.py")
#: One thread, and no GPU, whatever library a rival computes with.
ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
}


def as_it_is(image: F32, gain: float | None) -> F32:
    """Return what a rival is fed that takes images as they come."""
    return image


def electrons_above_sky(image: F32, gain: float | None) -> F32:
    """Return the image less its sky, in electrons; the gain is 1 where it is not known.

    The sky is SEP's, in meshes of 64 pixels.
    """
    return (image - sky_of(image)) * np.float32(1.0 if gain is None else gain)


def noise_of_ten(image: F32, gain: float | None) -> F32:
    """Return the image less its sky, in units in which a pixel of the sky has a noise of 10.

    Few images tell their gain, and some are no counts at all. This is about the noise, in electrons, of
    a long exposure of ACS/WFC: a read noise of 4 to 5 and a sky of tens of electrons.
    """
    noise = pixel_noise(image) or float(image.std()) or 1.0
    return (image - sky_of(image)) * np.float32(10 / noise)


def sky_of(image: F32) -> F32:
    """Return the level of the sky in each pixel."""
    sky: F32 = sep.Background(np.ascontiguousarray(image)).back(dtype=np.float32)
    return sky


@dataclasses.dataclass(frozen=True)
class Tool:
    """A rival.

    Attributes
    ----------
    title : str
    key : str
        Of the function in the worker that runs it.
    requirements : tuple of str
        What its environment has; the first is the rival itself, ``name==version``.
    feed : callable
        Makes what it is fed of an image (ny, nx) and its gain.
    least : int
        Smallest side that it takes, pixels; smaller images are mirrored at their edges.
    """

    title: str
    key: str
    requirements: tuple[str, ...]
    feed: Callable[[F32, float | None], F32] = as_it_is
    least: int = 1

    @property
    def version(self) -> str:
        """Version of the rival."""
        return self.requirements[0].partition("==")[2]


#: It passes over images of 400 pixels and less.
MAXIMASK = ("MaxiMask==1.4.1", "tensorflow==2.21.0", "numpy==2.4.6")
#: It imports matplotlib without asking for it.
DEEPCR = ("deepCR==0.3.1", "torch==2.13.0", "numpy==2.4.6", "matplotlib==3.11.2")
COSMIC_CONN = ("cosmic-conn==0.6.1", "torch==2.13.0", "numpy==2.4.6")
#: Every way to run a rival is a contestant of its own.
TOOLS = (
    Tool("deepCR", "deepcr", DEEPCR, feed=electrons_above_sky),
    Tool("deepCR, noise 10", "deepcr", DEEPCR, feed=noise_of_ten),
    Tool("astroscrappy", "astroscrappy", ("astroscrappy==1.3.0", "numpy==2.4.6")),
    Tool("MaxiMask", "maximask", MAXIMASK, least=401),
    # Its option --prior_modif False, with the same thresholds.
    Tool("MaxiMask, no priors", "maximask-no-priors", MAXIMASK, least=401),
    Tool("Cosmic-CoNN", "cosmic-conn", COSMIC_CONN),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Mask:
    """What a rival makes of an image.

    Attributes
    ----------
    probability : ndarray of float32, shape (ny, nx)
        That the pixel is not of the sky.
    flagged : ndarray of bool, shape (ny, nx)
        What it masks at its own default.
    seconds_per_megapixel : float
        Processor time on one core, of what it was fed.
    """

    probability: F32
    flagged: Bools
    seconds_per_megapixel: float

    def within(self, rows: slice, columns: slice) -> "Mask":
        """Return a part of it."""
        return dataclasses.replace(
            self, probability=self.probability[rows, columns], flagged=self.flagged[rows, columns]
        )


class RivalError(Exception):
    """A rival cannot be run; says why."""


def mirrored(image: F32, least: int) -> tuple[F32, slice, slice]:
    """Return the image, mirrored at its edges until its sides are `least`, and where it lies in that."""
    before = [max(least - side, 0) // 2 for side in image.shape]
    after = [max(least - side, 0) - b for side, b in zip(image.shape, before, strict=True)]
    padded = np.pad(image, list(zip(before, after, strict=True)), mode="symmetric")
    rows, columns = (slice(b, b + n) for b, n in zip(before, image.shape, strict=True))
    return padded, rows, columns


def hash_of(image: F32) -> str:
    """SHA-256 of an image's shape and pixels."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def read_mask(path: Path, shape: tuple[int, ...]) -> Mask | None:
    """Read a kept mask; None where there is none, or the file is damaged or of another shape."""
    try:
        with np.load(path) as kept:
            probability, flagged, seconds = kept["probability"], kept["flagged"], float(kept["seconds"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    if not (probability.shape == flagged.shape == shape and flagged.dtype == bool):
        return None
    return Mask(probability, flagged, 1e6 * seconds / probability.size)


def environment(tool: Tool, cache: Path) -> Path:
    """Return the Python of the rival's own environment, made where there is none with these versions.

    Raises
    ------
    RivalError
        What is required cannot be installed.
    """
    folder = cache / "environments" / tool.requirements[0].replace("==", "-")
    python = folder / "bin" / "python"
    made = folder / "requirements.txt"
    wanted = "\n".join(tool.requirements) + "\n"
    if made.is_file() and made.read_text() == wanted:
        return python
    print(f"{tool.title}: making {folder}", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    install = [str(python), "-m", "pip", "install", "-q", *tool.requirements]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RivalError(f"{' '.join(tool.requirements)} cannot be installed: {last_line(done.stderr)}")
    made.write_text(wanted)
    return python


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


def masks_of(
    tool: Tool, images: Sequence[tuple[F32, float | None]], cache: Path
) -> list[Mask | RivalError]:
    """Return the masks of images, each given with its gain, or what is in the way of one.

    Raises
    ------
    RivalError
        The rival cannot be installed or started.
    """
    kept = cache / "masks" / f"{tool.key}-{tool.version}"
    kept.mkdir(parents=True, exist_ok=True)
    fed = [mirrored(tool.feed(image, gain), tool.least) for image, gain in images]
    keys = [hash_of(array) for array, _, _ in fed]
    paths = [kept / f"{key}.npz" for key in keys]
    arrays = [array for array, _, _ in fed]
    missing = {
        key: array
        for key, array, path in zip(keys, arrays, paths, strict=True)
        if read_mask(path, array.shape) is None
    }
    errors = _make(tool, missing, kept, cache) if missing else {}
    found: list[Mask | RivalError] = []
    for (array, rows, columns), key, path in zip(fed, keys, paths, strict=True):
        mask = read_mask(path, array.shape)
        if mask is None:
            reason = errors.get(key, "it gave no mask of the shape of the image")
            found.append(RivalError(reason))
        else:
            found.append(mask.within(rows, columns))
    return found


def _make(tool: Tool, arrays: Mapping[str, F32], kept: Path, cache: Path) -> dict[str, str]:
    """Let the rival make masks by hash; returns by hash what it failed with."""
    python = environment(tool, cache)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        for key, array in arrays.items():
            np.save(folder / f"{key}.npy", array)
        command = [str(python), str(WORKER), tool.key, str(folder), str(kept)]
        # Its standard output is the progress; libraries fill the other with notes.
        done = subprocess.run(
            command, env=os.environ | ONE_CORE, stderr=subprocess.PIPE, text=True, check=False
        )
        errors = {path.stem: path.read_text() for path in folder.glob("*.txt")}
    if done.returncode:
        raise RivalError(last_line(done.stderr))
    return errors
