"""Simulate labelled images, train the real/bogus network, export it, prove it and measure it.

The public names are loaded when first used; TensorFlow only with what needs it.
"""

from typing import Any

from rbinfer import DEFAULT_ASINH_SOFTENING_SIGMA, __version__

#: Names that are loaded when first used, and the module of each.
_LAZY_NAMES = {
    "create_compact_model": "fitting.model",
    "create_realbogus_model": "fitting.model",
    "generate_realbogus_training_data": "data.training_data",
    "load_realbogus_model": "api",
    "save_realbogus_model": "api",
    "simulate_image": "simulate",
    "train_realbogus_classifier": "api",
}

__all__ = [
    "DEFAULT_ASINH_SOFTENING_SIGMA",
    "__version__",
    "create_compact_model",
    "create_realbogus_model",
    "generate_realbogus_training_data",
    "load_realbogus_model",
    "save_realbogus_model",
    "simulate_image",
    "train_realbogus_classifier",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY_NAMES:
        from importlib import import_module

        value = getattr(import_module(f".{_LAZY_NAMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_NAMES})
