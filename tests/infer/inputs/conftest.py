"""A simulated field, and what is right for it."""

import numpy as np
import pytest

from rbinfer import Classifier
from rbinfer.cli import main
from rbinfer.io.tables import read_catalog

from .fields import EMPTY, STARS, Field


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def classify(field, tmp_path, capsys):
    def run(*arguments, out="out.ecsv", code=0):
        found = main(["classify", *map(str, arguments), "-o", str(tmp_path / out)])
        told = capsys.readouterr().err
        assert found == code, told
        table = read_catalog(tmp_path / out) if (tmp_path / out).exists() else None
        return table, told

    return run


@pytest.fixture(scope="module")
def good(field):
    """Verdicts of the plain catalogue on the plain image."""
    table = Classifier(device="cpu").classify({"x": field.x, "y": field.y}, field.pixels)
    real = np.asarray(table["rb_score"]) > 0.5
    assert real[:STARS].mean() > 0.95
    assert real[STARS:].mean() < 0.05
    return real


@pytest.fixture(scope="module")
def half(field):
    """The field with some rows that hold no data, as NaN, and what is found in it."""
    pixels = field.pixels.copy()
    pixels[:EMPTY] = np.nan
    return pixels


@pytest.fixture(autouse=True, scope="module")
def _good_catalogue(field):
    field.catalogue("good.csv")
