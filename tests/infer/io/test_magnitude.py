"""Images in units so large or small that 32 bits do not do: warned of, and nothing else is."""

import re
import warnings

import numpy as np
import pytest

from rbinfer import preprocess_cutout
from rbinfer.io.exposure import as_exposure

SKY = np.random.default_rng(1).normal(300, 8, (90, 110))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4", ">f8"])
@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (1e-37, "scatter by 8e-37, .*by 1e.37$"),
        (1e-40, "scatter by 8e-40, .*by 1e.40$"),
        (1e28, "are about 3e.30, .*by 1e-30$"),
        (1e36, "are about 3e.38, .*by 1e-38$"),
    ],
)
def test_a_unit_that_does_not_do_is_told(dtype, factor, says, caplog):
    with np.errstate(all="ignore"):
        image = (SKY * factor).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_exposure(image)
    assert re.search(says.replace("8e", r"(8|7\.\d|8\.\d)e"), caplog.text.strip())


def test_nothing_else_is_told(caplog):
    y, x = np.indices(SKY.shape)
    for image in (
        SKY * 1e-35,
        SKY * 1e26,
        np.zeros_like(SKY),
        np.full_like(SKY, np.nan),
        np.full_like(SKY, 3e30),
        np.where(x > 20, -3.4e38, SKY),  # mostly missing
        np.exp(-(((x - 50.0) ** 2 + (y - 40.0) ** 2) / 8)),  # of which most is far below 1e-36
        SKY[:, :1],
    ):
        assert as_exposure(image).shape == image.shape
    assert as_exposure(SKY, err=np.full_like(SKY, 1e-38)).shape == SKY.shape
    assert np.isfinite(preprocess_cutout(SKY[:31, :31] * 1e-40)[0]).all()
    assert "cannot be computed with" not in caplog.text


@pytest.mark.parametrize("offset", [2.0**31, -(2.0**31), 1e10])
def test_noise_that_32_bits_do_not_hold_is_told(offset, caplog):
    as_exposure(SKY + offset)
    assert re.search(
        r"values are about -?(2.15e\+09|1e\+10) .*noise of [78].*subtract a constant", caplog.text
    )


def test_noise_that_32_bits_hold_is_not_told_of(caplog):
    for image in (
        SKY + 1e7,
        (SKY + 1e7).astype(np.int32),
        (SKY + 2.0**31).astype(np.float32),  # it is too late then
        np.full(SKY.shape, 1e12),
        np.full(SKY.shape, np.nan),
        SKY[:, :1],
    ):
        as_exposure(image)
    assert "32 bits" not in caplog.text


def test_whole_numbers_of_many_digits_are_told_of(caplog):
    as_exposure((SKY + 2.0**31).astype(np.int64))
    assert "subtract a constant" in caplog.text
