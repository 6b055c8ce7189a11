"""Columns of positions by the names that programs give them, each with its first pixel."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from rbinfer import Classifier
from rbinfer.errors import InputError
from rbinfer.io.positions import POSITION_COLUMNS, find_positions, peaks, positions
from rbinfer.io.tables import as_table, read_catalog, write_catalog

ORIGINS = {
    "x": 0, "x_centroid": 0, "xcentroid": 0, "x_fit": 0, "x_0": 0, "x_mean": 0, "x_center": 0,
    "xcenter": 0, "x_peak": 0, "XWIN_IMAGE": 1, "X_IMAGE": 1, "XPSF_IMAGE": 1, "xwin_image": 1,
    "x_image": 1, "slot_Centroid_x": 0, "base_SdssCentroid_x": 0, "centroid_x": 0, "bx": 0,
    "XCENTER": 1, "field_x": 1, "X": 1, "colc": 0.5, "COLC": 0.5, "x_centroid_win": 0,
    "xcentroid_win": 0, "x_init": 0, "XMODEL_IMAGE": 1, "base_GaussianCentroid_x": 0,
    "base_NaiveCentroid_x": 0,
}  # fmt: skip


def test_every_name_has_its_first_pixel():
    assert {x: origin for x, _, origin in POSITION_COLUMNS} == ORIGINS
    for x, y, origin in POSITION_COLUMNS:
        table = Table({"id": [1], y: [7.0], x: [5.0]})
        np.testing.assert_array_equal(positions(table), ([5.0 - origin], [7.0 - origin]))
        # Named, they are the same.
        np.testing.assert_array_equal(positions(table, x, y), ([5.0 - origin], [7.0 - origin]))


@pytest.mark.parametrize(
    ("x", "y", "origin"),
    [
        ("XCENTROID", "YCENTROID", 0),
        ("X_Image", "Y_Image", 1),
        ("SLOT_CENTROID_X", "SLOT_CENTROID_Y", 0),
    ],
)
def test_names_in_another_case(x, y, origin):
    table = Table({x: [5.0], y: [7.0]})
    np.testing.assert_array_equal(positions(table), ([5.0 - origin], [7.0 - origin]))
    np.testing.assert_array_equal(positions(table, x, y), ([5.0 - origin], [7.0 - origin]))


def test_names_whose_case_tells_the_first_pixel():
    with pytest.raises(InputError, match=r"may be meant is Xcenter, Ycenter"):
        positions(Table({"Xcenter": [1.0], "Ycenter": [2.0]}))


@pytest.mark.parametrize("values", [[1.5, None, 3], ["1.5", None, "3"], ["1,5", "", "3,0"]])
def test_objects_that_are_numbers(values):
    table = Table({"x": np.array(values, dtype=object), "y": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(positions(table)[0], [1.5, np.nan, 3])


@pytest.fixture(scope="module")
def star():
    """An image with one star, at x = 30.25, y = 41.5 where the centre of the first pixel is (0, 0)."""
    y, x = np.indices((80, 70))
    noise = np.random.default_rng(1).normal(0, 1, (80, 70))
    return noise + 5000 * np.exp(-((x - 30.25) ** 2 + (y - 41.5) ** 2) / 2 / 1.5**2)


def made_by_photutils(image):
    """Yield what the tables of photutils are called, and each."""
    from photutils.aperture import CircularAperture, aperture_photometry
    from photutils.detection import DAOStarFinder, IRAFStarFinder, find_peaks
    from photutils.psf import CircularGaussianPRF, PSFPhotometry
    from photutils.segmentation import SourceCatalog, detect_sources

    yield "DAOStarFinder", DAOStarFinder(threshold=100, fwhm=3.5)(image)
    yield "IRAFStarFinder", IRAFStarFinder(threshold=100, fwhm=3.5)(image)
    yield "find_peaks", find_peaks(image, 1000)
    yield "aperture_photometry", aperture_photometry(image, CircularAperture([(30.25, 41.5)], 3))
    segments = detect_sources(image, 50, 5)
    yield "SourceCatalog", SourceCatalog(image, segments).to_table()
    fit = PSFPhotometry(CircularGaussianPRF(fwhm=3.5), (9, 9), aperture_radius=4)
    yield "PSFPhotometry", fit(image, init_params=Table({"x": [28.0], "y": [43.0]}))


def test_tables_of_photutils(star, tmp_path):
    pytest.importorskip("photutils")
    for name, table in made_by_photutils(star):
        x, y = positions(table)
        off = 0.6 if name == "find_peaks" else 0.3
        assert len(x) == 1, name
        assert abs(x[0] - 30.25) < off, name
        assert abs(y[0] - 41.5) < off, name
        plain = Table({column: table[column] for column in table.colnames if column != "sky_centroid"})
        write_catalog(plain, tmp_path / f"{name}.ecsv")
        np.testing.assert_allclose(positions(read_catalog(tmp_path / f"{name}.ecsv")), (x, y))


def test_tables_of_sep(star):
    import sep

    x, y = positions(sep.extract(star, 50.0))
    np.testing.assert_allclose((x, y), ([30.25], [41.5]), atol=0.1)


@pytest.mark.parametrize("key", ["rb_first_pixel", "RB_FIRST_PIXEL"])
def test_the_format_settles_names_that_many_use(key):
    for names, usual in ((("x", "y"), 0), (("X", "Y"), 1)):
        table = Table({name: [5.0] for name in names})
        assert positions(table)[0][0] == 5.0 - usual
        for first in (0, 1):
            table.meta[key] = first
            assert positions(table)[0][0] == 5.0 - first
        assert positions(table, origin=0)[0][0] == 5.0
        table.meta[key] = "nonsense"
        assert positions(table)[0][0] == 5.0 - usual
    # So for names that are given and not known.
    given = Table({"XINIT": [5.0], "YINIT": [5.0]}, meta={key: 1})
    assert positions(given, "XINIT", "YINIT")[0][0] == 4.0
    assert positions(given, "XINIT", "YINIT", origin=0)[0][0] == 5.0
    # Names that have one meaning keep it.
    assert positions(Table({"X_IMAGE": [5.0], "Y_IMAGE": [5.0]}, meta={key: 0}))[0][0] == 4.0


def masked_columns():
    mask = [False, True, False]
    values = np.array([1.5, 2.5, 3.5])
    yield "MaskedColumn", MaskedColumn(values, mask=mask)
    yield "Masked array", Masked(values, mask=mask)
    yield "Masked quantity", Masked(values * u.pix, mask=mask)
    yield "Masked integers", Masked(np.array([1, 2, 3]), mask=mask)
    yield "numpy.ma", np.ma.array(values, mask=mask)
    yield "text", MaskedColumn(["1.5", "x", "3.5"], mask=mask)
    yield "N/A", np.array(["1.5", "N/A", "3.5"])


MASKED = list(masked_columns())


@pytest.mark.parametrize(("name", "column"), MASKED, ids=[name for name, _ in MASKED])
@pytest.mark.parametrize("make", [Table, QTable, dict])
def test_masked_positions_are_not_finite(name, column, make):
    obj = make({"x": column, "y": [1.0, 2.0, 3.0]})
    found = [positions(obj)]
    if make is not dict:
        found.append(find_positions(obj))
    found.append(find_positions(as_table(obj)))
    for x, y in found:
        assert np.isfinite(x).tolist() == [True, False, True]
        np.testing.assert_array_equal(y, [1, 2, 3])


def test_masked_peaks_are_not_finite():
    mask = [False, True]
    table = QTable({"xpeak": Masked([1, 2], mask=mask), "ypeak": Masked([3, 4] * u.pix, mask=mask)})
    np.testing.assert_array_equal(peaks(table), ([1, np.nan], [3, np.nan]))


@pytest.mark.parametrize(("name", "column"), MASKED[:5])
def test_masked_positions_have_no_score(scene, name, column):
    image, _, fwhm = scene
    y = np.array([50.0, 60.0, 70.0])
    x = column * 20
    scores = Classifier().score(image, x, y, fwhm=fwhm)
    assert (scores.status & 1).tolist() == [0, 1, 0], name
    table = Classifier().classify({"x": x, "y": y}, image, fwhm=fwhm, trust_positions=True)
    assert (np.asarray(table["rb_status"]) & 1).tolist() == [0, 1, 0], name


def test_units_other_than_pixels_and_words_are_refused():
    with pytest.raises(InputError, match="column x is in arcsec, not in pixels"):
        positions(Table({"x": [1.0] * u.arcsec, "y": [1.0]}))
    with pytest.raises(
        InputError, match=r"column x must hold one number a row, but it holds text .*'12:3"
    ):
        positions(Table({"x": ["12:34:56"], "y": [1.0]}))
    with pytest.raises(InputError, match=r"did you mean XC\?"):
        positions(Table({"XC": [1.0], "YC": [1.0]}), "XCC", "YC")
