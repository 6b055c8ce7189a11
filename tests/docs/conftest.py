"""What tests of the documentation share."""

import sys

import pytest

from ..snippets import ROOT


@pytest.fixture(scope="session")
def generate():
    """Return the package that makes pieces of the documentation; it is not installed."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate

        yield generate
    finally:
        sys.path.remove(str(ROOT / "docs"))
