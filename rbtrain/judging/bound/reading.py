"""The figures that ``benchmarks/bound.py`` wrote, for the card of a model."""

import json
from pathlib import Path
from typing import Any

from rbinfer.model.spec import ModelSpec


def read_bound(path: Path, spec: ModelSpec) -> dict[str, Any]:
    """Read the figures.

    Parameters
    ----------
    path : path
        What the script wrote.
    spec : ModelSpec
        Of the model that they must be of.

    Raises
    ------
    ValueError
        They are of another model.
    """
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    of = found.get("model"), found.get("version")
    if of != (spec.name, spec.version):
        raise ValueError(
            f"{path} is of model {of[0]} {of[1]}, not of {spec.name} {spec.version}: run "
            "benchmarks/bound.py with the model that is evaluated"
        )
    return found
