"""Order statistics of the kernels, and that neither chunks nor neighbours change a cutout."""

import numpy as np
import pytest

from rbinfer import PreprocessSpec
from rbinfer.cutouts.cutter import Cutter
from rbinfer.io.exposure import as_exposure
from rbinfer.kernels.numerics import absolute_peak, mad_std, median
from rbinfer.kernels.workspace import padded


def samples(n, rng):
    yield rng.normal(500, 7, n)
    yield rng.normal(0, 1, n)
    yield np.rint(rng.normal(500, 3, n))  # many ties
    yield rng.normal(0, 1e-40, n)  # subnormal as float32
    yield rng.choice([-0.0, 0.0], n)
    yield rng.choice([-1e30, 1e30, 3.0], n)
    yield np.where(np.arange(n) <= n // 2, 1.0, np.inf)
    yield -np.sort(rng.normal(0, 100, n))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 63, 64, 65, 120, 960, 961])
def test_median_mad_and_peak_are_exact(dtype, n):
    for values in samples(n, np.random.default_rng(n)):
        values = values.astype(dtype)
        workspace = np.empty(padded(n), dtype)
        workspace[:n] = values
        middle = median(workspace, n)
        assert middle == np.median(values)
        if np.isfinite(values).all():
            sigma = mad_std(values, n, dtype(middle), workspace)
            deviations = np.abs(values - dtype(middle))
            assert sigma == pytest.approx(1.482602218505602 * np.median(deviations), rel=1e-7)
        workspace[:n] = values
        assert absolute_peak(workspace, n) == np.abs(values).max()


@pytest.mark.parametrize("fwhm", [1.5, 3.0, 6.0])
@pytest.mark.parametrize("preset", ["reference", "default"])
def test_chunks_do_not_matter(preset, fwhm):
    rng = np.random.default_rng(5)
    image = rng.normal(100, 5, (150, 170)).astype(np.float32)
    image[rng.integers(0, 150, 9), rng.integers(0, 170, 9)] = np.nan
    x, y = rng.uniform(-3, 172, 60), rng.uniform(-3, 152, 60)
    cutter = Cutter.prepare(as_exposure(image, fwhm=fwhm), getattr(PreprocessSpec, preset)())
    together = cutter.cut(x, y)
    for k in range(60):
        alone = cutter.cut(x[k : k + 1], y[k : k + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[k])


def test_cutouts_that_cannot_be_made_are_zeros():
    image = np.full((80, 80), np.nan, np.float32)
    image[:, :10] = 1.0
    x, y = np.array([60.0, np.nan, 500.0, 1.0]), np.array([40.0, 40.0, 40.0, -7.0])
    for spec in (PreprocessSpec.reference(), PreprocessSpec.default()):
        cutter = Cutter.prepare(as_exposure(image, fwhm=3.0), spec)
        got = cutter.cut(x, y)
        got.pixels[:] = 7.0
        cutter.cut_into(x, y, got)
        assert not got.pixels.any()
        assert np.isnan(got.snr).all()
