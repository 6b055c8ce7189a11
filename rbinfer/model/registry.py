"""From a model's name or path to a file that exists."""

import json
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, ModelError, ModelNotFoundError

#: Name of the model that is used when none is asked for.
DEFAULT_MODEL = "default"
#: Environment variable that names the directory of the user's own models.
MODELS_VARIABLE = "RBINFER_MODELS"
#: File among the user's models that says which is the default; see `rbinfer.model.choice`.
CHOICES = "choices.jsonl"
#: Folder among the user's models for those that did not prove to be better; they are not listed.
REJECTED = "rejected"
#: A model of the user has a version in its name.
_VERSION = re.compile(r"(?P<name>.+)-(?P<version>\d+)")
_KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")


class ModelEntry(NamedTuple):
    """An installed model: its name, its file, and ``"shipped"`` or ``"user"``."""

    name: str
    path: Path
    origin: str


def shipped_directory() -> Path:
    """Return the directory of the models that came with rbinfer."""
    here = Path(__file__).resolve().parents[1]
    # In a wheel the models lie inside the package; in a clone, beside it.
    inside = here / "models"
    return inside if inside.is_dir() else here.parent / "models"


def user_directory() -> Path:
    """Return the directory of the user's models; it need not exist and is never made here."""
    # Not Path.expanduser, which raises where there is no home, as for a user that has no name.
    return Path(os.path.expanduser(os.environ.get(MODELS_VARIABLE) or "~/.rbinfer/models"))


def list_models() -> list[ModelEntry]:
    """List the installed models; a user's model comes before a shipped one of the same name."""
    entries = []
    for origin, directory in (("user", user_directory()), ("shipped", shipped_directory())):
        if directory.is_dir():
            found = [*directory.glob("*/model.onnx"), *directory.glob("*.onnx")]
            for path in sorted(found):
                if path.name.endswith(".part.onnx"):
                    continue  # what a killed export left
                name = path.parent.name if path.name == "model.onnx" else path.stem
                entries.append(ModelEntry(name, path, origin))
    return entries


def newest_version(name: str) -> int:
    """Return the newest version of a model among the user's, ``NAME-VERSION``; 0 where there is none."""
    return _newest(name, (entry.name for entry in list_models() if entry.origin == "user"))


def next_version(name: str) -> int:
    """Return the first version that a model of the user never had.

    Versions among the rejected models count too, and those that were chosen once and are gone: what is
    remembered of them must not be said of another file.
    """
    rejected = (path.stem for path in (user_directory() / REJECTED).glob("*.onnx"))
    chosen = (str(line["model"]) for line in _choices())
    return max(newest_version(name), _newest(name, rejected), _newest(name, chosen)) + 1


def _newest(name: str, names: Iterable[str]) -> int:
    versions = (_VERSION.fullmatch(each) for each in names)
    return max(
        (int(found["version"]) for found in versions if found and found["name"] == name), default=0
    )


def chosen_name() -> str | None:
    """Return the name of the model that this user made the default; None where it is the shipped one."""
    name = next((line["model"] for line in reversed(_choices())), None)
    return None if name == DEFAULT_MODEL or not isinstance(name, str) else name


def _choices() -> list[dict[str, Any]]:
    """Return the choices that are noted; a line that was torn by a crash is none."""
    try:
        lines = (user_directory() / CHOICES).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            choice = json.loads(line)
        except ValueError:
            continue
        if isinstance(choice, dict) and "model" in choice:
            found.append(choice)
    return found


def shipped_model() -> Path:
    """Return the file of the model that came with rbinfer.

    Raises
    ------
    ModelNotFoundError
        It is missing.
    """
    # Whatever lies in the current directory or among the user's models.
    shipped = [e.path for e in list_models() if e.origin == "shipped" and e.name == DEFAULT_MODEL]
    if not shipped:
        raise ModelNotFoundError(
            f"the model {DEFAULT_MODEL!r} is missing from {shipped_directory()}; install rbinfer again"
        )
    return shipped[0]


def installed(name: str) -> Path | None:
    """Return the file of the model of exactly this name; None where there is none."""
    if name == DEFAULT_MODEL:
        return shipped_model()
    return next((entry.path for entry in list_models() if entry.name == name), None)


def _default() -> Path:
    name = chosen_name() or DEFAULT_MODEL
    path = installed(name)
    if path is None:
        raise ModelNotFoundError(
            f"your default is the model {name!r}, which is not in {user_directory()} any more; put it "
            "back, or 'rbinfer models use default'"
        )
    return path


def resolve(model: str | os.PathLike[str] | None = None) -> Path:
    """Find a model file.

    Parameters
    ----------
    model : str or path, optional
        The name of an installed model (``NAME`` for the newest ``NAME-VERSION``), or else the path to
        an ``.onnx`` file. None means the user's default, which is the model that came with rbinfer
        unless `rbinfer.model.choice.use` named another.

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
    if model is None:
        return _default()
    if not isinstance(model, (str, os.PathLike)):
        raise InputError(f"a model is named by its path or name, not by a {type(model).__name__}")
    name = os.fspath(model)
    entries = list_models()
    newest = f"{name}-{version}" if (version := newest_version(name)) else name
    for wanted in (name, newest):
        for entry in entries:
            if entry.name == wanted:
                return entry.path
    path = Path(os.path.expanduser(name))
    if path.is_dir() and (path / "model.onnx").is_file():
        return path / "model.onnx"
    if path.is_file() and path.suffix.lower() in _KERAS_SUFFIXES:
        line = f"rbtrain export {shlex.quote(name)} -o {shlex.quote(str(path.with_suffix('.onnx')))}"
        raise ModelError(
            f"{name} is a Keras file, and rbinfer runs ONNX: convert it once with '{line}' and give the "
            "result"
        )
    if path.is_file():
        return path
    known = ", ".join(sorted({entry.name for entry in entries})) or "none"
    raise ModelNotFoundError(
        f"no model file and no installed model is named {name!r}; installed: {known} "
        f"(own models go to {user_directory()})"
    )
