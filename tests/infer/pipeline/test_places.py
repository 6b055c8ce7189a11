"""Where the rows of a catalogue lie on an image."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.errors import InputError
from rbinfer.io.exposure import as_exposure
from rbinfer.io.placement import Placement
from rbinfer.io.regions import PHYSICAL
from rbinfer.pipeline.places import CatalogueOptions
from rbinfer.status import Status

SHAPE = (300, 400)


def options(placement=Placement(), trust=True, **given):  # noqa: B008 (frozen)
    columns = {"x_col": None, "y_col": None, "origin": None} | given
    return CatalogueOptions(
        None, **columns, placement=placement, trust_positions=trust, allow_off_image=False
    )


@pytest.fixture(scope="module")
def exposure():
    """Forty stars of FWHM 3 on noise."""
    rng = np.random.default_rng(3)
    image = rng.normal(0, 1, SHAPE)
    y, x = np.indices(SHAPE)
    for x0, y0 in positions():
        image += 200 * np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / 9)
    return as_exposure(image.astype(np.float32))


def positions():
    return np.random.default_rng(4).uniform((10, 10), (390, 290), (40, 2))


def test_turned_positions_stand_in_columns_of_their_own(exposure):
    x, y = positions().T
    table = Table(
        {"x": x, "y": SHAPE[0] - 1 - y, "xpeak": np.rint(x), "ypeak": SHAPE[0] - 1 - np.rint(y)}
    )
    places = options(Placement(flip_y=True), trust=False).places(table, exposure, "a.fits")
    np.testing.assert_allclose(places.x, x)
    np.testing.assert_allclose(places.y, y)
    np.testing.assert_allclose(places.peaks[1], np.rint(y))
    assert table.colnames[-2:] == ["rb_x", "rb_y"]
    np.testing.assert_allclose(table["rb_y"], y)


def test_ds9s_physical_positions_become_pixels_of_the_image(exposure):
    x, y = positions().T
    table = Table({"x": x + 700, "y": y + 500}, meta={PHYSICAL: True})
    part = replace(exposure, header=fits.Header({"LTV1": -700.0, "LTV2": -500.0}))
    places = options(trust=False).places(table, part, "a.fits")
    np.testing.assert_allclose([places.x, places.y], [x, y])
    np.testing.assert_allclose(table["rb_x"], x)
    assert PHYSICAL not in table.meta
    whole = Table({"x": x, "y": y}, meta={PHYSICAL: True})
    options(trust=False).places(whole, replace(exposure, header=fits.Header()), "a.fits")
    assert whole.colnames == ["x", "y"]


def test_what_mends_positions_is_named_as_arguments(exposure):
    x, y = positions().T
    table = Table({"x": x, "y": SHAPE[0] - 1 - y})
    with pytest.raises(
        InputError, match="y counts from the top; `flip_y=True` mends that, `trust_positi"
    ):
        options(trust=False).places(table, exposure, "a.fits")
    assert options(trust=True).places(table, exposure, "a.fits").y == pytest.approx(SHAPE[0] - 1 - y)


def test_a_table_without_rows_needs_no_columns(exposure):
    places = options(trust=False).places(Table(), exposure, "a.fits")
    assert (len(places.x), len(places.y), places.peaks) == (0, 0, None)


@pytest.mark.parametrize(("off", "is_refused"), [(1, False), (2, False), (3, True)])
def test_more_than_half_off_the_image(off, is_refused):
    status = np.zeros(4, np.int64)
    status[:off] = int(Status.OFF_IMAGE)
    scored = Table({"rb_status": status})
    if not is_refused:
        options().check_on_image(scored, "a.fits", SHAPE)
        return
    with pytest.raises(InputError, match=r"3 of 4 positions lie off the image a.fits \(400 x 300\)"):
        options().check_on_image(scored, "a.fits", SHAPE)
