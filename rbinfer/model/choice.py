"""Which model is the default of this user: chosen, remembered, and taken back.

The choices are lines of JSON in a file among the user's models. A line is appended whole; one that is
torn does not count.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from .._util.hashing import digest
from ..errors import InputError, ModelError, ModelNotFoundError, RbinferError
from .registry import (
    CHOICES,
    DEFAULT_MODEL,
    chosen_name,
    installed,
    resolve,
    shipped_model,
    user_directory,
)


@dataclass(frozen=True)
class Choice:
    """A choice of the default model.

    Attributes
    ----------
    model : str
        Name; that of the shipped model for none of the user's own.
    sha256 : str
        Of its file at that time.
    when : str
        ISO 8601, UTC.
    how : {"use", "rollback"}
    """

    model: str
    sha256: str
    when: str
    how: str


def history() -> list[Choice]:
    """Return all choices, the first one first; none where the default was never changed."""
    found = []
    for line in _lines():
        try:
            found.append(Choice(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def use(name: str, anyway: bool = False) -> Choice:
    """Make a model the default of this user.

    Parameters
    ----------
    name : str
        Of an installed model, or ``default`` for the shipped one.
    anyway : bool
        Also one that was adapted and has not proved to be better.

    Returns
    -------
    Choice

    Raises
    ------
    ModelNotFoundError
        No model has the name.
    ModelError
        The model does not work here.
    InputError
        It is no better than what it comes from, or a file that isn't among the models.
    """
    from .session import read_spec

    path = shipped_model() if name == DEFAULT_MODEL else resolve(name)
    known = _name_of(path)
    if known is None:
        raise InputError(f"{path} is not among your models; copy it to {user_directory()} first")
    adaptation = read_spec(path).adaptation
    verdict = adaptation.get("verdict", "better")
    if verdict != "better" and not anyway:
        worse = "; ".join(adaptation.get("worse", ())) or adaptation.get(
            "no_better", "it is no better on the labels"
        )
        raise InputError(
            f"{known} has not proved to be better than the model that it was adapted from ({worse}); "
            "use it with `anyway=True` all the same"
        )
    _check_computes(path)
    return _note(Choice(known, digest(path), _now(), "use"))


def rollback() -> Choice:
    """Take the last choice back: the model before it is the default again.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        There is no choice to take back.
    ModelNotFoundError
        The model before it is gone.
    ModelError
        It is another file than the one that was chosen, or does not work here.
    """
    before = standing(history())
    if not before:
        raise InputError("the default is the shipped model; there is nothing to take back")
    name = before[-2].model if len(before) > 1 else DEFAULT_MODEL
    path = installed(name)
    if path is None:
        raise ModelNotFoundError(
            f"the model before is {name!r}, which is not in {user_directory()} any more; put it back, "
            "or choose another with 'rbinfer models use'; the default stays"
        )
    # The shipped model is another after each update, and that is meant.
    if name != DEFAULT_MODEL and digest(path) != before[-2].sha256:
        raise ModelError(
            f"{path} is not the file that was chosen on {before[-2].when}; if it is meant all the same: "
            f"'rbinfer models use {name}'; the default stays"
        )
    _check_computes(path)
    return _note(Choice(name, digest(path), _now(), "rollback"))


def standing(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that were not taken back, in their order."""
    kept: list[Choice] = []
    for choice in choices:
        if choice.how == "rollback":
            del kept[-1:]
        elif kept and kept[-1].model == choice.model:
            kept[-1] = choice  # its file may be another now
        else:
            kept.append(choice)
    return kept


def _check_computes(path: Path) -> None:
    from .session import verify

    found = verify(path)
    if not found.ok:
        raise ModelError(
            f"{path} does not compute what it did when it was made (scores differ by "
            f"{found.max_difference:.2g}); the default stays"
        )


def _name_of(path: Path) -> str | None:
    from .registry import list_models

    if path == shipped_model():
        return DEFAULT_MODEL
    return next((entry.name for entry in list_models() if entry.path == path), None)


def _lines() -> list[str]:
    try:
        return (user_directory() / CHOICES).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _note(choice: Choice) -> Choice:
    path = user_directory() / CHOICES
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(choice)) + "\n"
        torn = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(file, (("\n" if torn else "") + text).encode())
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise RbinferError(f"{path} cannot be written: {error.strerror or error}") from error
    if chosen_name() != (None if choice.model == DEFAULT_MODEL else choice.model):
        raise ModelNotFoundError(f"{path} does not hold what was written; try again")
    return choice


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
