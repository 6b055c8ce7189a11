"""What a scored catalogue notes of how it was made, which others may have edited or cut."""

import json
from pathlib import Path
from typing import Any

#: A run is started in a folder not farther above its results than this; elsewhere, a file of the same
#: name is another.
_ABOVE = 4


def options_in(text: object) -> dict[str, Any]:
    """Return the options that ``rb_opts`` holds; empty where it is damaged or not noted.

    Parameters
    ----------
    text : object
        The value of the metadata, JSON as `rbinfer.pipeline.summary.note` writes it; or None.
    """
    if not isinstance(text, str):
        return {}
    try:
        options = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}


def noted_image(noted: str, result: Path, images: Path | None = None) -> Path | None:
    """Find an image.

    It may lie where it is noted, or be noted as seen from a folder above the result, in which the run
    was started, or lie in a folder that is given. The first one found is taken, in this order, and of
    the folders above the nearest.

    Parameters
    ----------
    noted : str
        Path of the image as the run was given it.
    result : Path
        File that notes it; is itself never taken for the image.
    images : Path, optional
        Folder in which the images are now.

    Returns
    -------
    Path or None
        None where there is none.
    """
    places = [Path(noted), *(folder / noted for folder in result.absolute().parents[:_ABOVE])]
    if images is not None:
        places.append(images / Path(noted).name)
    return next((place for place in places if _is_image(place, result)), None)


def _is_image(place: Path, result: Path) -> bool:
    """Whether there is a file that may be the image; a result may have the name of its image."""
    try:
        return place.is_file() and not (result.exists() and place.samefile(result))
    except OSError:  # a name that is too long, or a folder that may not be entered
        return False
