import numpy as np
import pytest
from scipy.optimize import least_squares

from rbtrain.simulate import PSF, PSFConfig
from rbtrain.simulate.optics import draw_star_images
from rbtrain.simulate.profiles import (
    gaussian_profile,
    measure_fwhm,
    oversampling_for,
    trail_profile,
)


def centroid(image):
    y, x = np.indices(image.shape)
    return (image * x).sum() / image.sum(), (image * y).sum() / image.sum()


def moment_fwhm(image, x0, y0):
    """FWHM by the half-light radius of a Gaussian, the pixel taken out in quadrature."""
    y, x = np.indices(image.shape)
    variance = (image * ((x - x0) ** 2 + (y - y0) ** 2)).sum() / image.sum() / 2 - 1 / 12
    return 2.3548 * np.sqrt(variance)


def slow_fwhm(psf, is_round):
    """FWHM of Gaussians, integrated over pixels, by least squares; of an ellipse of equal area."""
    found = []
    for stamp in psf.stamps.reshape(-1, *psf.stamps.shape[2:])[:: 1 if psf.fwhm < 2 else 4]:
        r = min(psf.radius, int(2.2 * psf.fwhm + 1))
        cut = slice(psf.radius - r, psf.radius + r + 1)
        data, fine = stamp[cut, cut].astype(float), 5
        v, u = np.indices((fine * len(data),) * 2) / fine - r - 0.5 + 0.5 / fine
        y, x = np.indices(data.shape) - r
        inside = np.hypot(x, y) <= max(2.2 * psf.fwhm, 2.3)

        def away(p, data=data, u=u, v=v, inside=inside):
            c, s = np.cos(p[5]), np.sin(p[5])
            p = np.where(np.arange(7) == 3, p[2], p) if is_round else p
            along, across = c * (u - p[0]) + s * (v - p[1]), c * (v - p[1]) - s * (u - p[0])
            model = np.exp(-0.5 * ((along / p[2]) ** 2 + (across / p[3]) ** 2)) / (p[2] * p[3])
            binned = model.reshape(len(data), 5, len(data), 5).mean(axis=(1, 3))
            return (p[4] * binned + p[6] - data)[inside]

        sigma = psf.fwhm / 2.355
        start = [0, 0, 1.2 * sigma, 0.9 * sigma, 0.16, 0.3, 0]
        fit = least_squares(away, start, x_scale=[1, 1, 1, 1, 0.1, 1, 0.01])
        found.append(2.3548 * (abs(fit.x[2]) if is_round else np.sqrt(abs(fit.x[2] * fit.x[3]))))
    return float(np.median(found))


@pytest.mark.parametrize("fwhm", [0.6, 1.0, 1.5, 2.2, 3.0, 5.0, 8.0, 15.0, 30.0])
def test_stamps_have_unit_flux_and_the_fwhm_asked_for(fwhm):
    for psf in (PSF.gaussian(fwhm), PSF.gaussian(fwhm, axis_ratio=0.6)):
        np.testing.assert_allclose(psf.stamps.sum(axis=(2, 3)), 1, rtol=2e-4)
    assert PSF.gaussian(fwhm).fwhm == pytest.approx(fwhm, rel=0.01)
    # Undersampled images are taken to be round.
    assert psf.fwhm == pytest.approx(fwhm, rel=0.01 if fwhm > 1.5 else 0.1)


@pytest.mark.parametrize(
    ("fwhm", "beta", "wider"),
    [(2.0, 3.0, 1.095), (4.0, 3.0, 1.086), (8.0, 3.0, 1.084), (4.0, 2.0, 1.12), (4.0, 5.0, 1.053)],
)
def test_a_moffat_profile_is_wider_than_at_half_maximum(fwhm, beta, wider):
    psf = PSF.moffat(fwhm, beta)
    np.testing.assert_allclose(psf.stamps.sum(axis=(2, 3)), 1, rtol=2e-4)
    assert psf.fwhm == pytest.approx(wider * fwhm, rel=0.005)


@pytest.mark.parametrize(
    "psf",
    [
        PSF.moffat(1.0, 2.5),
        PSF.moffat(1.6, 4.0, axis_ratio=0.8, angle=1.0),
        PSF.moffat(3.0, 3.0, axis_ratio=0.7, angle=0.4),
        PSF.moffat(10.0, 3.0),
    ],
    ids=["undersampled", "narrow", "elliptical", "wide"],
)
def test_the_fwhm_is_that_of_a_slow_fit(psf):
    assert psf.fwhm == pytest.approx(slow_fwhm(psf, is_round=True), rel=0.02)


def test_the_fwhm_of_a_streak_is_the_geometric_mean_of_its_axes():
    s, length = oversampling_for(2.0), 12.0
    trail = trail_profile(gaussian_profile(2.0, 30, s), s, length, 0.3)
    psf = PSF.from_profiles([trail], s)
    assert psf.fwhm == pytest.approx(slow_fwhm(psf, is_round=False), rel=0.02)
    assert 4.0 < psf.fwhm < 6.0


@pytest.mark.parametrize("fwhm", [1.8, 3.0, 6.0, 12.0])
def test_a_rendered_star_is_where_and_as_wide_as_said(fwhm):
    psf = PSF.gaussian(fwhm)
    image = np.zeros((101, 101), np.float32)
    x, y = psf.snapped([50.37], [48.81])
    assert abs(x[0] - 50.37) <= 0.5 / psf.oversampling + 1e-9
    peak = psf.add_points(image, x, y, [1000.0], level=1e-6)
    cx, cy = centroid(image)
    assert image.sum() == pytest.approx(1000, rel=1e-3)
    assert (cx, cy) == (pytest.approx(x[0], abs=0.01), pytest.approx(y[0], abs=0.01))
    assert moment_fwhm(image, cx, cy) == pytest.approx(fwhm, rel=0.02)
    assert peak[0] == pytest.approx(image.max(), rel=1e-5)


def test_pixel_integration_agrees_with_the_error_function():
    from scipy.special import erf

    sigma = 1.0 / 2.3548
    psf = PSF.gaussian(1.0)
    image = np.zeros((21, 21), np.float32)
    x, y = psf.snapped([10.3], [10.0])
    psf.add_points(image, x, y, [1.0], level=1e-9)
    edges = np.arange(22) - 0.5
    px, py = (np.diff(0.5 * erf((edges - c) / sigma / 2**0.5)) for c in (x[0], y[0]))
    np.testing.assert_allclose(image, np.outer(py, px), atol=2e-3)


def test_wings_are_cut_below_the_level():
    psf = PSF.moffat(4.0, 2.5)
    whole, cut = np.zeros((2, 201, 201), np.float32)
    psf.add_points(whole, [100.0], [100.0], [1e5], level=0.0)
    psf.add_points(cut, [100.0], [100.0], [1e5], level=1.0)
    assert 0 < np.abs(whole - cut).max() <= 1.05
    assert np.count_nonzero(cut) < np.count_nonzero(whole) / 2


def test_defocus_makes_a_donut_and_coma_a_lopsided_star():
    donut = PSF.aberrated(3.0, defocus=1.0, obscuration=0.4)
    stamp = donut.stamps[0, donut.oversampling**2 // 2]
    middle = stamp.shape[0] // 2
    assert stamp[middle, middle] < 0.5 * stamp.max()
    assert donut.fwhm > 6
    sharp, coma = PSF.aberrated(3.0), PSF.aberrated(3.0, coma=0.3)
    assert sharp.fwhm == pytest.approx(3.0, rel=0.25)  # diffraction adds to the seeing

    def skew(psf):
        p = psf.profile.astype(float)
        u = np.arange(p.shape[0]) - centroid(p)[0]
        return (p.sum(axis=0) * u**3).sum() / (p.sum(axis=0) * u**2).sum() ** 1.5

    assert abs(skew(coma)) > 5 * abs(skew(sharp)) + 0.2


def test_a_psf_from_its_picture():
    y, x = np.indices((25, 25)) - 12
    picture = np.exp(-0.5 * (x**2 + y**2) / 2.0**2)
    psf = PSF.from_image(picture)
    assert psf.fwhm == pytest.approx(2 * 2.3548, rel=0.05)
    with pytest.raises(ValueError, match="odd side"):
        PSF.from_image(picture[:24, :24])
    with pytest.raises(ValueError, match="positive sum"):
        PSF.from_image(-picture)


def test_line_spread_is_the_projected_psf():
    psf = PSF.gaussian(4.0)
    for angle in (0.0, 0.4, np.pi / 2):
        profile, sampling = psf.line_spread(angle, 0.0)
        total = sampling * (2 * profile.sum() - profile[0])
        assert total == pytest.approx(1, rel=0.01)
        half = np.interp(-0.5 * profile[0], -profile, np.arange(profile.size) * sampling)
        assert 2 * half == pytest.approx(4.0, rel=0.03)


def test_drawn_psfs_span_the_range():
    rng = np.random.default_rng(0)
    widths = []
    for _ in range(60):
        psf = draw_star_images(PSFConfig(), rng, 1e3).stars
        np.testing.assert_allclose(psf.stamps.sum(axis=(2, 3)), 1, rtol=2e-3)
        assert np.isfinite(psf.stamps).all()
        assert psf.stamps.shape[0] in (1, 4)
        widths.append(psf.fwhm)
    assert min(widths) < 2
    assert max(widths) > 8


def test_oversampling_is_odd_and_bounded():
    assert [oversampling_for(f) for f in (0.5, 1.0, 3.0, 15.0)] == [11, 9, 3, 3]
    assert measure_fwhm(PSF.moffat(15.0).profile, 3) == pytest.approx(15.0, rel=0.01)
