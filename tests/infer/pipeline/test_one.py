"""One detection of an image: the row that a whole scored image has at its number."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.errors import InputError
from rbinfer.io.images import load_image
from rbinfer.measure.detect import detect
from rbinfer.pipeline.one import detection_at
from rbinfer.pipeline.options import ScoreOptions

FIELD = str(Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits")


@pytest.mark.parametrize("detector", ["rbinfer", "sep"])
def test_a_row_is_that_of_the_detector_asked_for(detector):
    found = detect(load_image(FIELD).pixels, detector=detector)
    for row in (0, 48, 49, 119):  # of blends, whose parts each detector has in an order of its own
        one = detection_at(FIELD, ScoreOptions(fwhm=3.0, detector=detector), row=row)
        assert (one.x, one.y) == (found["x"][row], found["y"][row])


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """The example twice, the second time turned by half a turn, so that no row is at the same place."""
    path = tmp_path_factory.mktemp("mosaic") / "mosaic.fits"
    pixels = fits.getdata(FIELD)
    images = [fits.ImageHDU(pixels, name="A"), fits.ImageHDU(pixels[::-1, ::-1], name="B")]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    return str(path)


def scored(mosaic, hdu, suffix=".ecsv"):
    path = Path(mosaic).with_name(f"of_{hdu}{suffix}")
    assert main(["classify", mosaic, "--hdu", hdu, "-o", str(path), "--overwrite"]) == 0
    return str(path), Table.read(path)


def test_a_row_of_a_mosaic_is_on_its_own_hdu(mosaic):
    path, table = scored(mosaic, "all")
    for hdu in (1, 2):
        rows = np.flatnonzero(table["rb_hdu"] == hdu)
        for row in rows[[0, 7, -1]].tolist():
            for options in (ScoreOptions(), ScoreOptions(hdu="AB"[hdu - 1])):
                one = detection_at(mosaic, options, row=row, catalog=path)
                assert (one.exposure.hdu, one.x, one.y) == (hdu, table["x"][row], table["y"][row])
    n_first = int((table["rb_hdu"] == 1).sum())
    with pytest.raises(InputError, match=rf"row {n_first} of .* is of HDU 2, not of HDU 1; leave `hdu`"):
        detection_at(mosaic, ScoreOptions(hdu="1"), row=n_first, catalog=path)
    with pytest.raises(InputError, match=f"no row {len(table)} in .*: it has {len(table)}, counted"):
        detection_at(mosaic, ScoreOptions(), row=len(table), catalog=path)


@pytest.mark.parametrize("suffix", [".ecsv", ".fits"])
def test_a_row_is_on_the_hdu_that_its_catalogue_notes(mosaic, suffix, caplog):
    path, table = scored(mosaic, "2", suffix)
    one = detection_at(mosaic, ScoreOptions(), row=3, catalog=path)
    assert (one.exposure.hdu, one.x, one.y) == (2, table["x"][3], table["y"][3])
    assert "is taken" not in caplog.text
    other = detection_at(mosaic, ScoreOptions(hdu="1", trust_positions=True), row=3, catalog=path)
    assert other.exposure.hdu == 1
    assert f"{path} notes HDU 2, but HDU 1 of {mosaic} is taken" in caplog.text
    with pytest.raises(InputError, match=r"no HDU 2.*HDU 2 is noted for row 3 of .* chosen by `hdu`"):
        detection_at(FIELD, ScoreOptions(), row=3, catalog=path)
    assert detection_at(FIELD, ScoreOptions(hdu="0", trust_positions=True), row=3, catalog=path)


def test_a_mosaic_without_the_hdus_of_its_rows_is_asked_for_one(mosaic):
    path, table = scored(mosaic, "all")
    table.remove_column("rb_hdu")
    table.write(path, overwrite=True)
    with pytest.raises(InputError, match="give its `hdu`"):
        detection_at(mosaic, ScoreOptions(), row=0, catalog=path)


def test_explain_gives_the_score_of_the_row(mosaic, capsys):
    path, table = scored(mosaic, "all")
    of_second = np.flatnonzero(table["rb_hdu"] == 2)
    row = int(of_second[np.argmax(table["rb_score"][of_second])])
    capsys.readouterr()
    assert main(["explain", mosaic, "--catalog", path, "--row", str(row)]) == 0
    assert f"score    {table['rb_score'][row]:.3f}" in capsys.readouterr().out
