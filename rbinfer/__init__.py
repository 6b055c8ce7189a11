"""Real/bogus scores for detections in single astronomical images.

The public names are loaded when first used, so that ``import rbinfer`` costs little.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    "Classifier": "classifier",
    "Scores": "verdicts",
    "classify_realbogus": "api",
    "extract_cutouts": "api",
    "load_realbogus_model": "api",
    "preprocess_cutout": "api",
    "DEFAULT_ASINH_SOFTENING_SIGMA": "spec",
    "ModelSpec": "spec",
    "PreprocessSpec": "spec",
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
    "preprocess_cutout",
]

if TYPE_CHECKING:
    from .api import (
        classify_realbogus,
        extract_cutouts,
        load_realbogus_model,
        preprocess_cutout,
    )
    from .classifier import Classifier
    from .errors import DeviceError, InputError, ModelError, ModelNotFoundError, RbinferError
    from .spec import DEFAULT_ASINH_SOFTENING_SIGMA, ModelSpec, PreprocessSpec
    from .status import Status
    from .verdicts import Scores


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        from importlib import import_module

        value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
