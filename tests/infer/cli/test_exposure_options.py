"""What is known of an image beside its pixels: mask, noise, saturation, star."""

import json

import numpy as np
import pytest
from astropy.io import ascii as ascii_io
from astropy.io import fits

from rbinfer.status import Status

from .conftest import FWHM, run


def test_mask_bits_noise_and_saturation(inputs, field, capsys, tmp_path):
    """Extensions of the image's own file, or files; each says so in the status or the score."""
    image, table = field
    x, y = round(float(table["x"][20])), round(float(table["y"][20]))
    flags = np.zeros(image.shape, np.int16)
    flags[y - 20 : y + 21, x - 20 : x + 21] = 4
    path = tmp_path / "mef.fits"
    hdus = [
        fits.PrimaryHDU(image),
        fits.ImageHDU(flags, name="DQ"),
        fits.ImageHDU(image * 0 + 8, name="ERR"),
    ]
    fits.HDUList(hdus).writeto(path)

    def status(*more):
        options = ("--catalog", inputs[1], "--fwhm", FWHM, *more)
        code, out, err = run(capsys, "classify", path, *options)
        assert code == 0, err
        return ascii_io.read(out, format="ecsv")

    plain_run, masked, bits = status(), status("--mask", "DQ"), status("--mask", "DQ", "--bad-bits", "3")
    assert plain_run["rb_status"][20] == 0
    assert masked["rb_status"][20] & Status.TOO_FEW_GOOD_PIXELS
    np.testing.assert_array_equal(bits["rb_score"], plain_run["rb_score"])
    noise = status("--err", f"{path}[ERR]")
    assert not np.array_equal(noise["rb_score"], plain_run["rb_score"])
    np.testing.assert_allclose(noise["rb_score"], plain_run["rb_score"], atol=0.2)
    saturated = status("--saturation", "2000")["rb_status"] & Status.SATURATED
    assert saturated[20]
    code, _, err = run(capsys, "classify", path, "--catalog", inputs[1], "--bad-bits", "3")
    assert (code, "--mask" in err) == (1, True)


def test_psf_is_a_file_or_an_hdu(inputs, field, capsys, tmp_path):
    image, _ = field
    y, x = np.indices((25, 25)) - 12
    star = np.exp(-4 * np.log(2) * (x**2 + y**2) / 4.0**2).astype(np.float32)
    path, alone = tmp_path / "mef.fits", tmp_path / "psf.fits"
    fits.HDUList([fits.PrimaryHDU(image), fits.ImageHDU(star, name="PSF")]).writeto(path)
    fits.writeto(alone, star)
    found = []
    for where in ("PSF", alone, f"{path}[PSF]"):
        code, out, _ = run(
            capsys, "classify", path, "--catalog", inputs[1], "--psf", where, "--json", "--quiet"
        )
        assert code == 0
        found.append(json.loads(out))
    assert found[0]["summary"]["fwhm"] == pytest.approx(4.0, rel=0.02)
    assert found[0]["summary"]["fwhm_source"] == "psf"
    assert found[0]["rows"] == found[1]["rows"] == found[2]["rows"]
    code, _, err = run(capsys, "classify", path, "--psf", "none.fits")
    assert (code, err.strip()) == (1, "rbinfer: error: the PSF none.fits does not exist")
    before = alone.read_bytes()
    code, _, err = run(capsys, "classify", path, "--psf", alone, "-o", alone, "--overwrite")
    assert (code, alone.read_bytes()) == (1, before), err


def test_a_detector_beside_a_catalogue_is_refused(inputs, capsys, tmp_path, monkeypatch):
    image, catalog = inputs
    command = ("classify", image, "--catalog", catalog, "-o", tmp_path / "o.ecsv")
    code, _, err = run(capsys, *command, "--detector", "sep")
    assert code == 1
    assert "with --detector sep sources are detected, but the catalogue has them already" in err
    assert "leave out --detector or --catalog" in err
    assert not (tmp_path / "o.ecsv").exists()
    assert run(capsys, *command, "--detector", "rbinfer", "--overwrite")[0] == 0
    # What a site takes where there is no catalogue does not keep anybody from giving one.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rbinfer.toml").write_text("detector = 'sep'")
    assert run(capsys, *command, "--overwrite")[0] == 0
    assert "detections by SEP" in run(capsys, "classify", image, "--json")[2]
