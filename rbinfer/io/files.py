"""Files that are there whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError, RbinferError


def check_place(path: Path, overwrite: bool = False) -> None:
    """Refuse an output path before any work is done.

    Parameters
    ----------
    path : Path
        Where a file is to be written.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        The folder does not exist, the file does and must be kept, or what is there is no file.
    """
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} for the output does not exist")
    try:
        path.stat()
    except FileNotFoundError:
        return
    except OSError as error:  # a loop of links, a name too long
        raise InputError(f"the output {path} cannot be written: {error.strerror}") from error
    if path.is_dir():
        raise InputError(f"the output {path} is a directory")
    if not path.is_file():
        raise InputError(
            f"the output {path} is a device or a pipe, which cannot be replaced; name a file"
        )
    if not overwrite:
        raise InputError(f"the output {path} exists and is kept; use --overwrite (overwrite=True)")


def check_distinct(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs that would replace each other, or what is read.

    Parameters
    ----------
    outputs, inputs : iterables of Path

    Raises
    ------
    InputError
        Two of them are one file, and not both are inputs.
    """
    # Not Path.resolve, which raises at a loop of links.
    taken = {os.path.realpath(path) for path in inputs}
    for path in outputs:
        if os.path.realpath(path) in taken:
            raise InputError(f"the output {path} is named twice, or is what is read; name another file")
        taken.add(os.path.realpath(path))


@contextmanager
def written_whole(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give a path beside `path` to write to, which is renamed when all went well.

    Parameters
    ----------
    path : Path
        Where the file is to be in the end.
    suffix : str
        How the name of the path that is given ends.

    Raises
    ------
    RbinferError
        The file system refused.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    beside = path.with_name(f".rbinfer-{secrets.token_hex(8)}{suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise RbinferError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        # Gone after the renaming; here after anything else, an interrupt included.
        with suppress(OSError):
            beside.unlink(missing_ok=True)
