"""The files that ``rbinfer classify`` reads and writes."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .streams import is_closed

if TYPE_CHECKING:
    from ..pipeline.options import ScoreOptions
    from ..pipeline.score_file import ScoredFile
    from ..scoring.classifier import Classifier


@dataclass(frozen=True)
class Files:
    """What is read, and what is written.

    Attributes
    ----------
    image : str
    catalog, output, regions, mask : str or None
    regions_system : {"fk5", "image"} or None
        Coordinates of the regions; those of the sky where they can be had by default.
    overwrite : bool
        Whether what is written may replace files.
    """

    image: str
    catalog: str | None
    output: str | None
    regions: str | None
    mask: str | None
    regions_system: str | None
    overwrite: bool

    def check(self, how: "ScoreOptions", *, is_stdout_used: bool, is_stamped: bool) -> None:
        """Refuse before any work what could not be written after it.

        Parameters
        ----------
        how : ScoreOptions
        is_stdout_used, is_stamped : bool
            Whether anything is printed on the standard output, and noted in the image.

        Raises
        ------
        InputError
        """
        from ..errors import InputError
        from ..io.files import check_distinct, check_place
        from ..io.masks_out import check_mask_place
        from ..io.tables import check_output, kind_of
        from ..pipeline.options import ALL

        _check_image(self.image)
        is_mosaic = how.hdu is not None and how.hdu.lower() == ALL
        if is_closed() and is_stdout_used:
            raise InputError("the standard output is closed; name a file for the rows with -o")
        if self.output:
            # Rows of one image alone are written back in a format that is only read otherwise.
            source = None
            if self.catalog and not is_mosaic:
                source = kind_of(Path(self.catalog), how.catalog_format)
            check_output(self.output, self.overwrite, source)
        if self.regions:
            check_place(Path(self.regions), self.overwrite)
        elif self.regions_system:
            raise InputError("--regions-system is about regions; give --regions too")
        if self.mask:
            check_mask_place(Path(self.mask), self.overwrite)
        if (self.regions or self.mask) and is_mosaic:
            raise InputError("regions and masks are of one image; give its --hdu instead of 'all'")
        others = [Path(name) for name in (self.regions, self.mask) if name]
        named = [Path(self.output), *others] if self.output else others
        check_distinct(named, _read_besides(self.image, how))
        if self.catalog:
            check_distinct(others, [Path(self.catalog)])
        if is_stamped:
            from ..io.stamp import check_stamp

            check_stamp(self.image)

    def write_regions(self, scored: "ScoredFile", columns: Mapping[str, Any]) -> None:
        """Write the rows on the image as DS9 regions.

        Parameters
        ----------
        scored : ScoredFile
            Of one image.
        columns : mapping
            The options about the columns of positions.

        Raises
        ------
        InputError
            Coordinates of the sky were asked for and cannot be had.
        """
        from ..io.regions import write_regions
        from ..pipeline.beside import regions_of

        assert self.regions is not None
        text = regions_of(scored, columns, self.image, self.regions_system)
        write_regions(text, self.regions, self.overwrite)

    def write_mask(
        self, scored: "ScoredFile", columns: Mapping[str, Any], classifier: "Classifier"
    ) -> None:
        """Write the pixels of artefacts as a mask; raises `RbinferError` where that cannot be done."""
        from ..io.masks_out import write_mask
        from ..pipeline.mask import artefact_mask

        image = scored.image
        assert image is not None  # a mosaic has none
        assert self.mask is not None
        mask = artefact_mask(scored.table, image, columns, classifier)
        write_mask(mask, self.mask, image.header, self.image, self.overwrite)


def _check_image(image: str) -> None:
    """Refuse a folder or a pattern, which stand for several images."""
    from ..errors import InputError

    if os.path.isdir(image):
        from ..runs.search import is_fits_name

        inside = list(Path(image).iterdir())
        has_images = any(is_fits_name(each.name) for each in inside)
        deeper = " --recursive" if not has_images and any(map(Path.is_dir, inside)) else ""
        command = f"'rbinfer batch {shlex.quote(image)}{deeper} -o RESULTS'"
        raise InputError(f"{image} is a folder; {command} scores the images in it")
    one = re.fullmatch(r"(.+)\[(\w+)\]", image)
    if one and not os.path.exists(image) and os.path.exists(one[1]):
        raise InputError(f"{image} does not exist; give {one[1]} and --hdu {one[2]}")
    command = f"'rbinfer batch \"{image}\" -o RESULTS'"
    if not os.path.exists(image) and re.search(r"[*?[]", image):
        raise InputError(f"{image} does not exist; {command} scores all that a pattern matches")


def _read_besides(image: str, how: "ScoreOptions") -> Iterator[Path]:
    """Yield the files that are read, but for the catalogue, whose place the scored rows may take."""
    from ..model.registry import resolve

    yield Path(image)
    yield resolve(how.model)
    yield from how.pixels.files
