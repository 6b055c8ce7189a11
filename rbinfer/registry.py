"""From a model's name or path to a file that exists."""

import os
from pathlib import Path
from typing import NamedTuple

from .errors import ModelError, ModelNotFoundError

#: Name of the model that is used when none is asked for.
DEFAULT_MODEL = "default"
#: Environment variable that names the directory of the user's own models.
MODELS_VARIABLE = "RBINFER_MODELS"
_KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")


class ModelEntry(NamedTuple):
    """An installed model: its name, its file, and ``"shipped"`` or ``"user"``."""

    name: str
    path: Path
    origin: str


def shipped_directory() -> Path:
    """Return the directory of the models that came with rbinfer."""
    here = Path(__file__).resolve().parent
    # In a wheel the models lie inside the package; in a clone, beside it.
    inside = here / "models"
    return inside if inside.is_dir() else here.parent / "models"


def user_directory() -> Path:
    """Return the directory of the user's models; it need not exist and is never made here."""
    given = os.environ.get(MODELS_VARIABLE)
    return Path(given).expanduser() if given else Path("~/.rbinfer/models").expanduser()


def list_models() -> list[ModelEntry]:
    """List the installed models; a user's model comes before a shipped one of the same name."""
    entries = []
    for origin, directory in (("user", user_directory()), ("shipped", shipped_directory())):
        if directory.is_dir():
            found = [*directory.glob("*/model.onnx"), *directory.glob("*.onnx")]
            for path in sorted(found):
                name = path.parent.name if path.name == "model.onnx" else path.stem
                entries.append(ModelEntry(name, path, origin))
    return entries


def resolve(model: str | os.PathLike[str] | None = None) -> Path:
    """Find a model file.

    Parameters
    ----------
    model : str or path, optional
        A path to an ``.onnx`` file, or the name of an installed model. None means the model that
        came with rbinfer.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ModelNotFoundError
        There is no such file or name.
    ModelError
        The file is a Keras model, which has to be exported first.
    """
    name = os.fspath(DEFAULT_MODEL if model is None else model)
    path = Path(name).expanduser()
    if path.suffix.lower() in _KERAS_SUFFIXES:
        raise ModelError(
            f"{name} is a Keras file, and rbinfer runs ONNX: convert it once with "
            f"'rbtrain export {name} -o {path.with_suffix('.onnx')}' and give the result"
        )
    if path.is_file():
        return path
    if path.is_dir() and (path / "model.onnx").is_file():
        return path / "model.onnx"
    entries = list_models()
    for entry in entries:
        if entry.name == name and (model is not None or entry.origin == "shipped"):
            return entry.path
    known = ", ".join(sorted({entry.name for entry in entries})) or "none"
    raise ModelNotFoundError(
        f"no model file and no installed model is named {name!r}; installed: {known} "
        f"(own models go to {user_directory()})"
    )
