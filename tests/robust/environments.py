"""Runs of the command in the environments of others: what they share."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
_LONGEST = 600  # seconds; kernels are compiled in some of these


@dataclass
class Scene:
    """An image and its catalogue on disk, to be scored in some way and compared."""

    folder: Path

    @property
    def image(self) -> Path:
        return self.folder / "frame.fits"

    @property
    def catalogue(self) -> Path:
        return self.folder / "frame.ecsv"

    @classmethod
    def write(cls, folder: Path, image: NDArray[np.float32], table: Table, fwhm: float) -> "Scene":
        """Write both; the catalogue names the FWHM, so that there is nothing to measure."""
        made = cls(folder)
        fits.writeto(made.image, image)
        table = table["x", "y", "id"]
        table.meta["fwhm_px"] = fwhm
        table.write(made.catalogue)
        return made

    def arguments(self, output: Path | str = "scores.ecsv") -> list[str]:
        """Score the catalogue into a file of this folder."""
        asked = ["classify", self.image, "--catalog", self.catalogue, "--overwrite"]
        return [*map(str, asked), "-o", str(self.folder / output)]

    def scores(self, output: Path | str = "scores.ecsv") -> NDArray[np.float32]:
        """Return what was written."""
        return np.asarray(Table.read(self.folder / output)["rb_score"], np.float32)


def rbinfer(
    *arguments: object,
    env: Mapping[str, str | None] | None = None,
    prefix: Sequence[str] = (),
    program: Sequence[str] = ("-m", "rbinfer"),
    cwd: Path | None = None,
    **given: object,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command; variables of `env` that are None are taken away.

    Parameters
    ----------
    *arguments : object
    env : mapping, optional
    prefix : sequence of str
        Program that starts it, with its arguments.
    program : sequence of str
        What Python runs.
    cwd : path, optional
    **given
        For `subprocess.run`.
    """
    variables = dict(os.environ)
    for name, value in (env or {}).items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    given.setdefault("capture_output", True)
    return subprocess.run(
        [*prefix, sys.executable, *program, *map(str, arguments)],
        env=variables,
        cwd=cwd,
        timeout=_LONGEST,
        check=False,
        **given,
    )
