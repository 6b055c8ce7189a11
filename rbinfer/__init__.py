"""Real/bogus scores for detections in single astronomical images.

The public names are loaded when first used, so that ``import rbinfer`` costs little.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_LAZY_NAMES = {
    "Classifier": "scoring.classifier",
    "Scores": "scoring.verdicts",
    "FramePsf": "measure.psf",
    "classify_realbogus": "scoring.functions",
    "extract_cutouts": "scoring.functions",
    "load_realbogus_model": "scoring.functions",
    "measure_psf": "measure.psf",
    "preprocess_cutout": "scoring.functions",
    "DEFAULT_ASINH_SOFTENING_SIGMA": "model.spec",
    "ModelSpec": "model.spec",
    "PreprocessSpec": "model.spec",
    "Status": "status",
    "DeviceError": "errors",
    "InputError": "errors",
    "ModelError": "errors",
    "ModelNotFoundError": "errors",
    "RbinferError": "errors",
}

__all__ = [
    "DEFAULT_ASINH_SOFTENING_SIGMA",
    "Classifier",
    "DeviceError",
    "FramePsf",
    "InputError",
    "ModelError",
    "ModelNotFoundError",
    "ModelSpec",
    "PreprocessSpec",
    "RbinferError",
    "Scores",
    "Status",
    "__version__",
    "classify_realbogus",
    "extract_cutouts",
    "load_realbogus_model",
    "measure_psf",
    "preprocess_cutout",
]

if TYPE_CHECKING:
    from .errors import DeviceError, InputError, ModelError, ModelNotFoundError, RbinferError
    from .measure.psf import FramePsf, measure_psf
    from .model.spec import DEFAULT_ASINH_SOFTENING_SIGMA, ModelSpec, PreprocessSpec
    from .scoring.classifier import Classifier
    from .scoring.functions import (
        classify_realbogus,
        extract_cutouts,
        load_realbogus_model,
        preprocess_cutout,
    )
    from .scoring.verdicts import Scores
    from .status import Status


def __getattr__(name: str) -> Any:
    if name in _LAZY_NAMES:
        from importlib import import_module

        value = getattr(import_module(f".{_LAZY_NAMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
