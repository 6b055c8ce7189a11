import numpy as np
import pytest

from rbinfer import InputError
from rbtrain.simulate import PSF, _render, particles, simulate_image, trails
from rbtrain.simulate.canvas import Canvas
from rbtrain.simulate.sources import Galaxy, add_galaxy

EMPTY = dict(n_stars=0, n_galaxies=0, n_cosmic_rays=0, n_hot_pixels=0)


def test_face_of_the_seed():
    out = simulate_image(width=300, height=200, n_satellites=1, n_bad_columns=1, seed=1)
    assert out["image"].shape == (200, 300)
    assert out["image"].dtype == np.float32
    table = out["catalog"]
    assert set(table.colnames) >= {"x", "y", "flux", "type"}
    assert set(table["type"]) == {
        "star",
        "galaxy",
        "cosmic_ray",
        "hot_pixel",
        "satellite",
        "bad_column",
    }
    assert (table["type"] == "star").sum() == 100
    assert simulate_image(width=64, height=64, return_catalog=False, seed=1)["catalog"] is None
    assert len(simulate_image(width=64, height=64, **EMPTY)["catalog"]) == 0


def test_same_seed_same_bytes():
    one, two, other = (simulate_image(width=128, height=128, seed=s)["image"] for s in (5, 5, 6))
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()
    rng = np.random.default_rng(5)
    assert simulate_image(width=128, height=128, rng=rng)["image"].tobytes() == one.tobytes()


@pytest.mark.parametrize(
    ("background", "readnoise", "gain"), [(1000, 10, 1), (300, 6, 2.5), (4, 3, 0.5)]
)
def test_noise_of_the_sky(background, readnoise, gain):
    out = simulate_image(
        width=400, height=400, background=background, readnoise=readnoise, gain=gain, seed=2, **EMPTY
    )
    variance = background / gain + (readnoise / gain) ** 2
    assert out["image"].mean() == pytest.approx(background, abs=5 * variance**0.5 / 400)
    assert out["image"].var() == pytest.approx(variance, rel=0.02)
    assert out["noise"] == pytest.approx(variance**0.5)


def test_fluxes_are_what_the_table_says():
    kinds = dict(EMPTY, n_stars=1, star_flux_range=(1e6, 1e6), gain=2.0)
    for psf in ("gaussian", "moffat"):
        out = simulate_image(width=151, height=151, star_psf=psf, seed=11, **kinds)
        row = out["catalog"][0]
        assert row["flux"] == pytest.approx(1e6)
        y, x = np.indices(out["image"].shape)
        near = np.hypot(x - row["x"], y - row["y"]) < 25
        flux = (out["image"] - 1000)[near].sum()
        assert flux == pytest.approx(1e6, rel=0.02)
        assert (out["image"] - 1000).max() == pytest.approx(row["peak"], rel=0.02)


def test_galaxies_are_convolved_and_have_their_half_light_radius():
    psf = PSF.gaussian(2.0)
    rng = np.random.default_rng(0)
    for n, tolerance in ((0.5, 0.04), (1.0, 0.05), (2.0, 0.1), (4.0, 0.2)):
        image = np.zeros((301, 301), np.float32)
        add_galaxy(image, Galaxy(150, 150, 1e5, 20.0, sersic=n), psf, 1e-4, rng)
        assert image.sum() == pytest.approx(1e5, rel=0.01)
        y, x = np.indices(image.shape) - 150
        r = np.hypot(x, y).ravel()
        order = np.argsort(r)
        grown = np.cumsum(image.ravel()[order]) / image.sum()
        # The profile ends at 5 half-light radii, which makes a de Vaucouleurs law smaller.
        assert r[order][np.searchsorted(grown, 0.5)] == pytest.approx(20.0, rel=tolerance)
    tiny = np.zeros((61, 61), np.float32)
    add_galaxy(tiny, Galaxy(30, 30, 1e4, 0.05), psf, 1e-4, rng)
    star = np.zeros((61, 61), np.float32)
    psf.add_points(star, [30.0], [30.0], [1e4], 1e-4)
    np.testing.assert_allclose(tiny, star, atol=0.02 * star.max())


def test_galaxies_are_smooth():
    image = np.zeros((121, 121), np.float32)
    psf = PSF.gaussian(4.0)
    add_galaxy(image, Galaxy(60, 60, 1e5, 12.0), psf, 1e-4, np.random.default_rng(0))
    y, x = np.indices(image.shape) - 60
    for r0 in (5, 12, 25):
        ring = image[np.abs(np.hypot(x, y) - r0) < 0.3]
        assert ring.std() / ring.mean() < 0.04


def test_cosmic_rays_and_hot_pixels_are_not_convolved():
    canvas = Canvas.blank((256, 256))
    silicon = particles.Silicon(pixel=15, thickness=20, diffusion=0.3)
    particles.add_electrons(canvas, np.random.default_rng(0), 40, silicon, (1.0, 20.0))
    shares = []
    for _, x, y, flux in canvas.truth:
        i, j = round(y), round(x)
        if 2 < i < 253 and 2 < j < 253:
            shares.append(canvas.signal[i - 2 : i + 3, j - 2 : j + 3].max() / flux)
    # A star of FWHM 3 has a tenth of its light in its brightest pixel.
    assert np.median(shares) > 0.4
    out = simulate_image(width=200, height=200, star_fwhm=8.0, seed=3, **{**EMPTY, "n_hot_pixels": 20})
    for row in out["catalog"]:
        value = out["image"][round(row["y"]), round(row["x"])] - 1000
        assert value == pytest.approx(row["flux"], abs=5 * (1100 + row["flux"]) ** 0.5)


def test_muon_charge_and_length():
    canvas = Canvas.blank((2048, 2048))
    silicon = particles.Silicon(pixel=15, thickness=15, diffusion=0.3)
    particles.add_muons(canvas, np.random.default_rng(1), 300, silicon)
    charge = np.array([t[3] for t in canvas.truth])
    # 80 electrons a micron through at least 15 microns, and few graze.
    assert charge.min() >= 1200
    assert 1200 < np.median(charge) < 4000
    assert canvas.signal.sum() == pytest.approx(charge.sum(), rel=0.05)


def test_trails_have_the_width_of_the_psf():
    canvas = Canvas.blank((101, 101))
    rng = np.random.default_rng(0)
    trails.add_trail(canvas, rng, PSF.gaussian(5.0), (-50.0, 50.0), (150.0, 50.0), peak=100.0)
    column = canvas.signal[:, 50].astype(float)
    y = np.arange(101) - 50
    assert column.max() == pytest.approx(100, rel=0.01)
    assert 2.3548 * np.sqrt((column * y**2).sum() / column.sum()) == pytest.approx(5.0, rel=0.04)
    np.testing.assert_allclose(canvas.signal[50, 10:90], 100, rtol=0.01)


def test_bleeding_keeps_the_charge():
    signal = np.full((200, 40), 100, np.float32)
    signal[90:96, 18:22] = 5e4
    before = signal.copy()
    canvas = Canvas.blank(signal.shape)
    assert _render.bloom(signal, np.float32(1e4), *canvas.layers, 4) == 4
    assert canvas.signal.sum() == pytest.approx((before - 1e4).clip(0).sum(), rel=1e-3)
    np.minimum(signal, 1e4, out=signal)
    assert signal.sum() == pytest.approx(before.sum(), rel=1e-3)
    assert set(np.unique(canvas.codes)) == {0, 4}


def test_companions():
    kinds = dict(EMPTY, n_stars=200, width=1000, height=1000, add_companions=True, seed=4)
    out = simulate_image(
        companion_fraction=1.0,
        companion_separation_fwhm=(2, 2),
        companion_flux_ratio=(0.5, 0.5),
        **kinds,
    )
    table = out["catalog"]
    assert set(table["type"]) == {"star"}
    assert 380 <= len(table) <= 400
    d = np.hypot(*(table[c][:, None] - table[c][None, :] for c in "xy"))
    np.fill_diagonal(d, np.inf)
    assert np.median(d.min(axis=1)) == pytest.approx(2 * out["fwhm"], abs=0.4)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (dict(n_stars=-1), "n_stars is -1"),
        (dict(width=0), "width is 0"),
        (dict(gain=0), "gain is 0"),
        (dict(readnoise=float("nan")), "readnoise is nan"),
        (dict(star_fwhm=0.1), "star_fwhm is 0.1"),
        (dict(star_flux_range=(10, 1)), "star_flux_range is"),
        (dict(star_psf="airy"), "'gaussian', 'moffat'"),
        (dict(star_psf=np.ones((4, 4))), "star_psf must be .* odd side"),
        (dict(star_psf=np.zeros((5, 5))), "star_psf must be .* positive sum"),
        (dict(star_psf=object()), "star_psf must be"),
        (dict(width="a"), "width is 'a'"),
        (dict(n_stars=1.5), "n_stars is 1.5 but must be a whole number"),
        (dict(n_hot_pixels=True), "n_hot_pixels is True"),
        (dict(background=1j), "background is 1j"),
        (dict(star_flux_range="a"), "star_flux_range is"),
        (dict(star_flux_range=(1, None)), "star_flux_range is"),
        (dict(seed="a"), "seed is 'a'"),
        (dict(seed=-1), "seed is -1"),
        (dict(rng=5), "rng must be a numpy.random.Generator, not 5"),
        (dict(seed=1, rng=np.random.default_rng(1)), "not both"),
    ],
)
def test_bad_input_is_named(bad, message):
    with pytest.raises(InputError, match=message):
        simulate_image(**{"width": 64, "height": 64, **bad})


def test_verbose_may_be_a_callable(capsys):
    said = []
    simulate_image(width=64, height=64, verbose=said.append, seed=0)
    assert "64 x 64" in said[0]
    assert capsys.readouterr().err == ""
    simulate_image(width=64, height=64, verbose=True, seed=0)
    assert "64 x 64" in capsys.readouterr().err
