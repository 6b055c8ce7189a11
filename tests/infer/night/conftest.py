"""A small night that was scored and merged once."""

import pytest

from rbinfer.night.run import run_night

from .skies import write_night


@pytest.fixture(scope="package")
def dithered(tmp_path_factory):
    """Six dithered lights with a WCS, and a dark: the truth, the folder, and what came of them."""
    folder = tmp_path_factory.mktemp("dithered")
    truth = write_night(folder / "in")
    return truth, folder, run_night(folder / "in", folder / "out", workers=1)
