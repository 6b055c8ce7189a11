"""Where a model of the user's own goes, and which version it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbinfer.errors import InputError
from rbinfer.model.registry import REJECTED, next_version, user_directory

from .._files import alone


@contextmanager
def placed(
    name: str, output: str | os.PathLike[str] | None, is_better: bool
) -> Iterator[tuple[Path, str]]:
    """Give the file of a new model and its version, and let no other process take them meanwhile.

    Parameters
    ----------
    name : str
    output : path or None
        A file that is asked for.
    is_better : bool
        Of the others a model that is no better goes to ``rejected`` among the user's models, where it is
        not listed.

    Yields
    ------
    (Path, str)

    Raises
    ------
    InputError
        `output` exists.
    """
    if output is not None:
        refuse_existing(output)
        yield Path(output), str(next_version(name))
        return
    folder = user_directory()
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / "adapt.lock"):
        version = next_version(name)
        yield (folder if is_better else folder / REJECTED) / f"{name}-{version}.onnx", str(version)


def check_suffix(output: str | os.PathLike[str]) -> None:
    """Raise `InputError` if a file has not the suffix of model files, by which they are known."""
    path = Path(output)
    if path.suffix.lower() != ".onnx":
        raise InputError(f"a model file must end in .onnx, not {path.name!r}: name another with -o")


def refuse_existing(output: str | os.PathLike[str]) -> None:
    """Raise `InputError` if a file is there already."""
    if os.path.lexists(output):
        raise InputError(f"{os.fspath(output)} exists and is kept; name another file or remove it first")
