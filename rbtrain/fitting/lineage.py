"""Where a network comes from, in words that travel in the model file."""

import os

from rbinfer._util.hashing import digest
from rbinfer.model.session import read_spec


def lineage(model_file: str | os.PathLike[str]) -> str:
    """Return name, version and SHA-256 of a model file, as `rbinfer.ModelSpec.parent` begins."""
    spec = read_spec(model_file)
    return f"{spec.name} {spec.version}, SHA-256 {digest(os.fspath(model_file))}"
