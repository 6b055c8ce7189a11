"""What may be wrong with an installation or a machine, and what to do about it.

Everything that could itself be broken is imported inside the checks.
"""

import importlib.util
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from .._util.limits import cpu_quota, memory_free, memory_limit
from .._util.machine import peak_bytes
from .._util.sentences import unforeseen
from ..errors import ModelError, RbinferError, one_line
from ..model.registry import DEFAULT_MODEL, ModelEntry, chosen_name, list_models, resolve

Level = Literal["ok", "warning", "problem"]

#: Distributions that bring the same files, by the package that they bring.
_WHEELS = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}
_CUDA = "CUDAExecutionProvider"
_THREADS_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
_LITTLE_MEMORY = 500_000_000  # bytes; a 4096 x 4096 image took 411 MB, detection included
_SCENE = (1024, 5000)  # side in pixels, and positions, of the timing
_RUNS = 5
_AGAIN = "pip install --force-reinstall --no-deps rbinfer"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    name : str
        What was checked.
    level : {"ok", "warning", "problem"}
        With a warning scores are right, if slower or made otherwise than one may think.
    found : str
    remedy : str or None
        What to do; None if all is well.
    """

    name: str
    level: Level
    found: str
    remedy: str | None = None


def examine() -> list[Finding]:
    """Check the installation and the machine; takes some seconds.

    Returns
    -------
    list of Finding
        One at least for each check; a check that fails by itself is a problem, not an exception.
    """
    findings: list[Finding] = [check_python(sys.version_info[:3])]
    for name, check in (
        ("packages", check_packages),
        ("onnxruntime wheels", check_wheels),
        ("models", check_models),
        ("device", check_device),
        ("cpus", check_cpus),
        ("kernels", check_kernels),
        ("memory", check_memory),
        ("speed", check_speed),
    ):
        try:
            findings += check()
        except Exception as error:  # a doctor that dies of the illness is of no use
            findings.append(_failed(name, error, findings))
    return findings


def check_python(version: Sequence[int]) -> Finding:
    """Hold a version of Python against the least that rbinfer runs on."""
    found = f"{'.'.join(map(str, version))} at {sys.executable} on {platform.platform()}"
    if tuple(version) < (3, 11):
        return Finding("python", "problem", found, "install rbinfer with Python 3.11 or later")
    return Finding("python", "ok", found)


def check_packages() -> list[Finding]:
    """Import what rbinfer depends on, and hold the versions against its own metadata."""
    from .. import __version__

    found = f"{__version__} at {Path(__file__).parents[1]}"
    try:
        lines = metadata.requires("rbinfer") or []
    except metadata.PackageNotFoundError:
        found += ", not installed: the versions that it needs are not known"
        return [
            Finding("rbinfer", "warning", found, "'pip install .' where rbinfer's pyproject.toml is")
        ]
    findings = [Finding("rbinfer", "ok", found)]
    try:
        from packaging.requirements import Requirement
    except Exception as error:  # as in _check_package
        install = "pip install --force-reinstall packaging"
        return [*findings, Finding("packaging", "problem", _words(error), install)]
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            wanted = f"{requirement.name}{requirement.specifier}"
            fits = partial(requirement.specifier.contains, prereleases=True)
            findings.append(_check_package(requirement.name, wanted, fits))
    return findings


def check_wheels() -> list[Finding]:
    """Look for distributions that overwrite each other's files."""
    findings = []
    for package, names in _WHEELS.items():
        there = [f"{name} {version}" for name in names if (version := _version(name))]
        finding = Finding(f"{package} wheels", "ok", " and ".join(there) or "none")
        if len(there) > 1:
            finding = Finding(
                finding.name,
                "problem",
                f"{finding.found} are both installed; they overwrite each other's files",
                f"pip uninstall -y {' '.join(names)}; then pip install the one you want: {names[0]}, or "
                f"{names[1]} for CUDA",
            )
        findings.append(finding)
    return findings


def check_device() -> list[Finding]:
    """See which provider a session gets that asks for the best."""
    from ..model.session import Session, available_providers

    got = Session(resolve(None), "auto").device
    return [judge_device(available_providers(), got)]


def judge_device(offered: Sequence[str], got: str) -> Finding:
    """Say whether a session that asked for the best provider got it.

    Parameters
    ----------
    offered : sequence of str
        Names of ONNX Runtime's providers.
    got : str
        ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    Finding
    """
    found = f"asked for auto, got {got}; ONNX Runtime offers {', '.join(offered)}"
    if _CUDA in offered and got == "cpu":
        return Finding(
            "device",
            "warning",
            found,
            "for the GPU, see that nvidia-smi lists it and install the CUDA and cuDNN libraries: "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'; else pass `device='cpu'`",
        )
    return Finding("device", "ok", found)


def check_cpus() -> list[Finding]:
    """Compare the CPUs that threads are started for with what limits them."""
    from .._util.machine import usable_cpus

    given = {name: os.environ[name] for name in _THREADS_VARIABLES if name in os.environ}
    return [judge_cpus(os.cpu_count() or 1, usable_cpus(), cpu_quota(), given)]


def judge_cpus(there: int, usable: int, quota: float | None, variables: dict[str, str]) -> Finding:
    """Say whether as many threads as usable CPUs are the right number.

    Parameters
    ----------
    there, usable : int
        CPUs of the machine, and those that affinity and cpuset leave.
    quota : float, optional
        CPUs' time that the control group leaves.
    variables : dict of str to str
        Environment variables that limit other programs' threads.

    Returns
    -------
    Finding
    """
    limits = [f"{usable} of {there} usable"]
    limits.append("no quota" if quota is None else f"a quota of {quota:g}")
    limits += [f"{name}={value}" for name, value in variables.items()]
    found = f"{', '.join(limits)}; {_threads(usable)} unless `threads` is given"
    if quota is not None and quota < usable:
        fewer = max(int(quota), 1)
        return Finding(
            "cpus",
            "warning",
            found,
            f"more threads than the quota allows wait for each other: pass `threads={fewer}`",
        )
    meant = [int(value) for value in variables.values() if value.isdecimal() and int(value) > 0]
    if min(meant, default=usable) < usable:
        return Finding(
            "cpus",
            "warning",
            found,
            f"these variables do not limit rbinfer: pass `threads={min(meant)}` if they are meant to",
        )
    return Finding("cpus", "ok", found)


def check_kernels() -> list[Finding]:
    """Make the kernels ready, and see what runs them."""
    from ..kernels import dispatch, library
    from ..measure.warmup import warmup

    try:
        seconds = warmup()
    except RbinferError as error:
        unset = "NUMBA_DISABLE_JIT" in os.environ and importlib.util.find_spec("numba") is not None
        remedy = "unset it" if unset else "pip install 'rbinfer[jit]'"
        return [Finding("kernels", "problem", _words(error), remedy)]
    states = [kernel.state() for kernel in dispatch.KERNELS]
    found = library.find()
    if found.library is not None and all(state.is_native for state in states):
        ready = f"ready after {seconds:.1f} s; compiled for level {found.library.level} of x86-64"
        told = "; ".join((f"{ready} in {found.library.path}", *found.passed_over))
        return [Finding("kernels", "ok", told)]
    return [_numbas(seconds, states)]


def _numbas(seconds: float, states: Sequence[Any]) -> Finding:
    """Say where Numba keeps the kernels that it runs; it takes longer to load than a library."""
    place, why = states[0].place, states[0].why
    if place is None:
        return Finding(
            "kernels",
            "warning",
            f"compiled in {seconds:.1f} s by every process, for there is no place to keep them: {why}",
            "rbinfer warmup, or set NUMBA_CACHE_DIR to a folder that can be written",
        )
    is_new = any(state.is_new for state in states)
    how = f"compiled now, in {seconds:.1f} s" if is_new else f"ready after {seconds:.1f} s"
    found = f"{how}; kept in {place} by Numba, which takes longer to load: {why}"
    asked = os.environ.get("NUMBA_CACHE_DIR")
    if asked and not place.resolve().is_relative_to(Path(asked).resolve()):
        remedy = "name a folder that can be written, or unset it"
        return Finding("kernels", "warning", f"{found}, not in NUMBA_CACHE_DIR={asked}", remedy)
    return Finding("kernels", "ok", found)


def check_models() -> list[Finding]:
    """Run the golden pairs of every installed model."""
    findings = [_check_model(entry) for entry in list_models()]
    try:
        resolve(None)
    except ModelError as error:
        own = chosen_name()
        remedy = _AGAIN if own is None else "put it back, or: rbinfer models use default"
        findings.append(Finding(f"model {own or DEFAULT_MODEL}", "problem", _words(error), remedy))
    return findings


def check_memory(root: Path = Path("/")) -> list[Finding]:
    """Compare the memory that is left with what an image takes."""
    free, limit = memory_free(root), memory_limit(root)
    facts = [] if free is None else [f"{_size(free)} free"]
    if limit is not None and limit < 2**60:  # the first version of cgroups has a number for no limit
        facts.append(f"{_size(limit)} allowed by the control group")
    facts.append(f"{_size(peak_bytes())} taken by this process")
    found = ", ".join(facts)
    if min(value for value in (free, limit, _LITTLE_MEMORY) if value is not None) < _LITTLE_MEMORY:
        remedy = "end other programs, or ask for more; a 4096 x 4096 image takes about 400 MB in all"
        return [Finding("memory", "warning", found, remedy)]
    return [Finding("memory", "ok", found)]


def check_speed() -> list[Finding]:
    """Score a simulated scene some times."""
    from ..scoring.classifier import Classifier
    from .bench import FWHM, make_scene

    classifier = Classifier()
    scene = make_scene(*_SCENE)
    taken = []
    for _ in range(_RUNS + 1):
        start = time.perf_counter()
        classifier.score(*scene, fwhm=FWHM)
        taken.append(time.perf_counter() - start)
    rate = len(scene.x) / statistics.median(taken[1:])
    found = (
        f"{rate:,.0f} objects/s on {_threads(classifier.threads)}; the first call took {taken[0]:.2f} s"
    )
    return [Finding("speed", "ok", found)]


def _check_package(name: str, wanted: str, fits: Callable[[str], bool]) -> Finding:
    names = _WHEELS.get(name, (name,))
    version = next((found for found in map(_version, names) if found), None)
    install = f"pip install '{wanted}'"
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever a broken package raises
        if version is None:
            return Finding(name, "problem", f"not installed; rbinfer needs {wanted}", install)
        text = f"{version} cannot be imported: {_words(error)}"
        return Finding(name, "problem", text, f"pip install --force-reinstall '{wanted}'")
    if version is None:
        found = f"imported, but not installed by pip; rbinfer needs {wanted}"
        return Finding(name, "warning", found, install)
    if not fits(version):
        return Finding(name, "problem", f"{version}; rbinfer needs {wanted}", install)
    return Finding(name, "ok", version)


def _check_model(entry: ModelEntry) -> Finding:
    from ..model.session import verify

    name = f"model {entry.name}"
    remedy = (
        _AGAIN if entry.origin == "shipped" else f"export it again with rbtrain, or remove {entry.path}"
    )
    try:
        result = verify(entry.path)
    except ModelError as error:
        return Finding(name, "problem", _words(error), remedy)
    pairs = f"{result.n} golden pairs, largest difference {result.max_difference:.1g}; {entry.path}"
    return Finding(name, "ok", pairs) if result.ok else Finding(name, "problem", pairs, remedy)


def _failed(name: str, error: Exception, before: Sequence[Finding]) -> Finding:
    """Say that a check could not be made; what was found before it may be why."""
    ill = [finding.name for finding in before if finding.level == "problem"]
    if ill:
        return Finding(
            name, "warning", f"not checked: {_words(error)}", f"see to {', '.join(ill)} first"
        )
    return Finding(name, "problem", f"the check failed: {_words(error)}", _AGAIN)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _words(error: Exception) -> str:
    return one_line(error) if isinstance(error, RbinferError | ImportError) else unforeseen(error)


def _size(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"


def _threads(n: int) -> str:
    return f"{n} thread{'s' * (n != 1)}"
