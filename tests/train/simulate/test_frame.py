import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from rbinfer.measure.psf import measure_psf
from rbtrain.simulate import (
    Artefact,
    DarkPatch,
    DetectorConfig,
    SimulateConfig,
    draw_frame,
)
from rbtrain.simulate.detector import draw_smoothing, draw_warp, kernel_table

from .conftest import plain_stars

SMALL = SimulateConfig(width=200, height=160)


@pytest.fixture(scope="module")
def frames():
    return [draw_frame(SMALL, np.random.default_rng(seed)) for seed in range(60)]


def test_the_same_seed_gives_the_same_bytes(frames):
    for seed in (0, 7, 23):
        again = draw_frame(SMALL, np.random.default_rng(seed))
        for name in ("image", "stars", "galaxies", "artefacts", "artefact_class", "sky", "noise"):
            assert getattr(again, name).tobytes() == getattr(frames[seed], name).tobytes()
        assert all((again.truth[c] == frames[seed].truth[c]).all() for c in again.truth.colnames)


def test_layers_have_their_shapes_and_types(frames):
    for frame in frames:
        for name in ("image", "stars", "galaxies", "artefacts", "sky", "noise"):
            layer = getattr(frame, name)
            assert layer.shape == (160, 200)
            assert layer.dtype == np.float32
            assert layer.flags.c_contiguous
            assert name == "image" or np.isfinite(layer).all()
        assert frame.artefact_class.dtype == np.uint8
        assert frame.artefact_class.max() <= max(Artefact)
        assert (frame.noise > 0).all()
        bad = ~np.isfinite(frame.image)
        assert not bad.any() or (frame.mask is not None and frame.mask[bad].all())
        assert frame.truth.colnames == ["x", "y", "flux", "peak", "type", "fwhm"]
        assert 0 < frame.fwhm < 60
        assert frame.crowding >= 0


def test_the_image_is_its_layers_plus_noise(frames):
    """Away from saturation and masks the residuals scatter by the noise map's figure."""
    spreads = []
    for frame in frames:
        layers = frame.sky + frame.stars + frame.galaxies + frame.artefacts
        sky_only = np.abs(layers - frame.sky) < 0.3 * frame.noise
        if frame.mask is not None:
            sky_only &= ~frame.mask
        # An empty edge that is not in the mask is no noise.
        sky_only &= np.ptp(frame.image, axis=0) > 0
        sky_only &= np.ptp(frame.image, axis=1, keepdims=True) > 0
        if sky_only.sum() < 3000:
            continue
        pull = ((frame.image - layers) / frame.noise)[sky_only]
        spreads.append(1.4826 * np.median(np.abs(pull - np.median(pull))))
        assert abs(np.median(pull)) < 1.0
    assert len(spreads) > 25
    assert np.median(spreads) == pytest.approx(1.0, abs=0.05)


def test_noise_is_photons_and_read_noise():
    from rbtrain.simulate.detector import photon_noise

    for level, floor in ((0.0, 7.0), (3.0, 0.0), (11.0, 4.0), (25.0, 2.0), (1000.0, 10.0)):
        expected = np.full((400, 400), level, np.float32)
        noisy = photon_noise(expected, np.random.default_rng(1), floor=floor).astype(float)
        assert noisy.mean() == pytest.approx(level, abs=0.05 + 0.002 * level)
        assert noisy.var() == pytest.approx(level + floor**2, rel=0.02)
        skew = ((noisy - noisy.mean()) ** 3).mean() / noisy.std() ** 3
        assert skew == pytest.approx(level / (level + floor**2) ** 1.5, abs=0.03)


def test_every_kind_of_artefact_appears_and_is_labelled(frames):
    seen = set(np.unique(np.concatenate([f.artefact_class.ravel() for f in frames])))
    assert seen >= {a.value for a in Artefact} - {Artefact.ASTEROID}
    for frame in frames:
        unlabelled = np.abs(frame.artefacts / frame.noise)[frame.artefact_class == 0]
        assert unlabelled.max(initial=0) < 0.051
    cold = np.concatenate([(f.artefacts / f.noise)[f.artefact_class == Artefact.COLD] for f in frames])
    assert np.mean(cold[np.abs(cold) > 2] < 0) > 0.9
    types = {t for f in frames for t in f.truth["type"]}
    assert types >= {"star", "galaxy", "cosmic_ray", "hot_pixel", "cold_pixel", "bad_column"}


def test_truth_positions_are_the_brightest_places(frames):
    """Bright isolated stars have their centroid where the table says, resampled or not."""
    checked = 0
    for frame in frames:
        table = frame.truth[frame.truth["type"] == "star"]
        for row in table[table["peak"] > 30 * np.median(frame.noise)]:
            r = int(np.ceil(1.5 * frame.fwhm)) + 2
            x, y = round(row["x"]), round(row["y"])
            if not (r <= x < 200 - r and r <= y < 160 - r):
                continue
            near = np.hypot(table["x"] - row["x"], table["y"] - row["y"]) < 4 * frame.fwhm + 4
            if table["peak"][near].sum() > 1.02 * row["peak"]:
                continue
            cut = frame.stars[y - r : y + r + 1, x - r : x + r + 1].astype(float)
            v, u = np.indices(cut.shape) - r
            if cut[np.hypot(u, v) > r].max() > 0.5 * row["peak"]:  # a neighbour, perhaps off the frame
                continue
            cut = np.where(cut > 0.5 * cut.max(), cut, 0)
            dx = (cut * u).sum() / cut.sum() + x - row["x"]
            dy = (cut * v).sum() / cut.sum() + y - row["y"]
            assert np.hypot(dx, dy) < max(0.35, 0.25 * frame.fwhm)
            assert cut.max() == pytest.approx(row["peak"], rel=0.35)
            checked += 1
    assert checked > 30


def test_config_survives_plain_data():
    config = SimulateConfig(width=300, detector=DetectorConfig(gain=(1.0, 2.0)))
    plain = dataclasses.asdict(config)
    assert SimulateConfig.from_dict(plain) == config
    as_toml = {"width": 300, "detector": {"gain": [1.0, 2.0]}}
    assert SimulateConfig.from_dict(as_toml) == config
    with pytest.raises(ValueError, match="unknown keys \\['gaim'\\]"):
        SimulateConfig.from_dict({"detector": {"gaim": [1, 2]}})
    with pytest.raises(ValueError, match="at least 64"):
        SimulateConfig(width=10)


def test_what_is_under_an_empty_edge_is_gone():
    config = SimulateConfig(
        width=128, height=128, detector=DetectorConfig(dead_edge=1.0, masked=1.0, resampled=0.0)
    )
    for seed in range(12):
        frame = draw_frame(config, np.random.default_rng(seed))
        assert frame.mask is not None
        gone = ~np.isfinite(frame.image)
        edges = [frame.image[:2], frame.image[-2:], frame.image[:, :2].T, frame.image[:, -2:].T]
        flat = [np.nanmax(e) == np.nanmin(e) for e in edges]
        assert any(flat)
        for layer in (frame.stars, frame.galaxies, frame.artefacts):
            assert not layer[gone].any()
            strips = [layer[:2], layer[-2:], layer[:, :2].T, layer[:, -2:].T]
            assert any(f and not s.any() for f, s in zip(flat, strips, strict=True))
        x, y = np.rint(frame.truth["x"]).astype(int), np.rint(frame.truth["y"]).astype(int)
        assert not gone[y, x].any()


@pytest.mark.parametrize("seed", [0, 3, 4, 5])  # others have converters as coarse as the noise
def test_another_grid_takes_all_layers_with_it(seed):
    """Positions, fluxes, widths and noise, with pixels of down to half the size, turned or not."""
    detector = DetectorConfig(resampled=1.0, regridded=1.0, rounded=0.0, quantised=0.0, row_noise=0.0)
    config = SimulateConfig(
        width=320,
        height=256,
        detector=replace(detector, banding=0.0, blooming=0.0, nonlinearity=(0.0, 0.0), masked=0.0),
        psf=replace(SimulateConfig().psf, fwhm=(2.0, 3.0), wide_fraction=1.0, trailed=0.0, varying=0.0),
        sky=replace(SimulateConfig().sky, amplifiers=0.0, vignetting=(0.7, 0.7)),
        field=replace(SimulateConfig().field, crowding=(3e-3, 3e-3), pair_fraction=(0.0, 0.0)),
    )
    frame = draw_frame(config, np.random.default_rng(seed))
    # What was expected is what is there: nothing is left of sky, stars or artefacts, in any corner.
    known = frame.sky + frame.stars + frame.galaxies + frame.artefacts
    full = np.inf if frame.saturation is None else 0.8 * frame.saturation
    faint = np.isfinite(frame.image) & (known - frame.sky < 3 * frame.noise) & (frame.image < full)
    left = np.where(faint, (frame.image - known) / frame.noise, np.nan)
    for corner in (left[:85, :107], left[-85:, :107], left[:85, -107:], left[-85:, -107:]):
        assert abs(np.nanmedian(corner)) < 0.15
        assert 1.4826 * np.nanmedian(np.abs(corner)) == pytest.approx(1.0, abs=0.2)
    stars = frame.truth[frame.truth["type"] == "star"]
    stars = stars[stars["peak"] > 20 * frame.noise.mean()]
    r, checked = int(np.ceil(2 * frame.fwhm)), 0
    for row in stars:
        x, y = round(row["x"]), round(row["y"])
        cut = frame.stars[max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1].astype(float)
        near = np.hypot(stars["x"] - row["x"], stars["y"] - row["y"]) < 5 * frame.fwhm
        if cut.shape != (2 * r + 1, 2 * r + 1) or near.sum() > 1:
            continue
        top = np.unravel_index(cut.argmax(), cut.shape)
        assert np.abs(np.subtract(top, r)).max() <= 1
        assert 0.7 * row["flux"] < cut.sum() < 1.3 * row["flux"]
        checked += 1
    assert checked > 0
    noise = np.random.default_rng(0).normal(0, 0.05 * frame.noise.mean(), frame.image.shape)
    alone = measure_psf((frame.stars + noise).astype(np.float32))
    assert frame.fwhm == pytest.approx(alone.fwhm, rel=0.12)


def test_no_finer_grid_makes_stars_wider_than_is_said():
    """Nor does it reach beyond the frame before, however that is turned."""
    rng, turned, half = np.random.default_rng(1), 0, 0
    for shape, fwhm in [((256, 256), 2.0), ((256, 512), 2.0), ((256, 256), 9.0), ((256, 256), 15.0)]:
        corners = np.array([[0, 0, shape[1], shape[1]], [0, shape[0], 0, shape[0]]], float)
        for _ in range(60):
            warp = draw_warp(DetectorConfig(regridded=1.0), rng, shape, fwhm)
            assert fwhm / warp.scale <= max(fwhm, 12.0) + 1e-6
            x, y = warp.matrix @ corners + warp.shift[:, None]
            assert min(x.min(), y.min()) >= -2.0
            assert x.max() <= shape[1] + 2.0
            assert y.max() <= shape[0] + 2.0
            turned += abs(warp.matrix[0, 1]) > 0.05
            half += warp.scale < 0.501
    assert turned > 50
    assert half > 20


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_another_exposure_that_is_subtracted_leaves_negative_stars_and_its_noise(seed):
    config = plain_stars(nodded=1.0)
    frame = draw_frame(config, np.random.default_rng(seed))
    assert frame.saturation is None
    assert not frame.sky.any()
    sources = frame.stars + frame.galaxies
    spectrum = np.conj(np.fft.rfft2(sources)) * np.fft.rfft2(np.nan_to_num(frame.image))
    alike = np.fft.irfft2(spectrum, sources.shape)
    assert np.unravel_index(alike.argmax(), alike.shape) == (0, 0)
    moved = np.unravel_index(alike.argmin(), alike.shape)
    assert alike.min() == pytest.approx(-alike.max(), rel=0.1)
    far = [min(d, n - d) / frame.fwhm for d, n in zip(moved, alike.shape, strict=True)]
    assert min(far) > 1.5
    left = frame.image - sources + np.roll(sources, moved, (0, 1))
    faint = (sources < frame.noise) & (np.roll(sources, moved, (0, 1)) < frame.noise)
    spread = 1.4826 * np.nanmedian(np.abs((left / frame.noise)[faint]))
    assert spread == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_smoothed_frame_has_wider_stars_in_the_same_places_and_less_noise(seed):
    sigma = 0.8
    config = plain_stars(smoothed=1.0, smoothing=(sigma, sigma))
    frame = draw_frame(config, np.random.default_rng(seed))
    noise = np.random.default_rng(0).normal(0, 0.05 * frame.noise.mean(), frame.image.shape)
    alone = measure_psf((frame.stars + noise).astype(np.float32))
    assert alone.fwhm == pytest.approx(frame.fwhm, rel=0.08)
    assert frame.fwhm > 2.355 * sigma
    left = ((frame.image - frame.sky - frame.stars - frame.galaxies) / frame.noise)[4:-4, 4:-4]
    faint = (frame.stars < frame.noise)[4:-4, 4:-4]
    left = np.where(faint, left, np.nan)
    assert 1.4826 * np.nanmedian(np.abs(left - np.nanmedian(left))) == pytest.approx(1.0, abs=0.12)
    # Of a Gaussian that smooths white noise: the noise of neighbours is as alike as that.
    alike = np.nanmean(left[:, 1:] * left[:, :-1]) / np.nanmean(left**2)
    assert alike == pytest.approx(np.exp(-0.25 / sigma**2), abs=0.08)
    stars = frame.truth[np.asarray(frame.truth["type"]) == "star"]
    brightest = stars[np.argmax(stars["peak"])]
    y, x = np.unravel_index(frame.stars.argmax(), frame.stars.shape)
    assert np.hypot(x - brightest["x"], y - brightest["y"]) < 1.0


@pytest.mark.parametrize("sigma", [0.35, 0.9])
def test_a_smoothing_is_a_gaussian_about_the_same_place(sigma):
    warp = draw_smoothing(np.random.default_rng(1), (sigma, sigma))
    x, y = warp.positions(np.array([3.25, 7.0]), np.array([5.5, 1.0]))
    assert (x.tolist(), y.tolist()) == ([3.25, 7.0], [5.5, 1.0])
    assert warp.widened(3.0) == pytest.approx(np.hypot(3.0, 2.3548 * sigma), rel=1e-4)
    weights = kernel_table("gaussian", sigma)[0]
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)
    assert weights[4] / weights[3] == pytest.approx(np.exp(-0.5 / sigma**2), rel=1e-3)
    assert weights[2] == pytest.approx(weights[4], rel=1e-6)


@pytest.mark.parametrize(("bilinear", "least", "most"), [(0.0, 0.2, 0.5), (0.5, 0.55, 0.8), (1.0, 1, 1)])
def test_more_of_the_frames_may_be_interpolated_linearly(bilinear, least, most):
    rng, config = np.random.default_rng(3), DetectorConfig(bilinear=bilinear)
    kernels = [draw_warp(config, rng, (64, 64), 3.0).kernel for _ in range(200)]
    assert least <= kernels.count("bilinear") / 200 <= most


@pytest.mark.parametrize("step", [1 / 8, 1.5])
def test_steps_are_as_large_as_is_said(step):
    frame = draw_frame(plain_stars(quantised=1.0, quanta=(step, step)), np.random.default_rng(4))
    levels = np.unique(frame.image[np.isfinite(frame.image)])
    steps = np.diff(levels) / np.median(frame.noise)
    assert steps.min() == pytest.approx(step, rel=0.02)


def test_small_frames_have_sides_of_their_range_and_the_others_stay_as_they_are():
    config = replace(SMALL, small=0.5, small_side=(70.0, 90.0))
    sides = [draw_frame(config, np.random.default_rng(seed)).image.shape for seed in range(40)]
    small = [shape for shape in sides if shape != (160, 200)]
    assert 12 <= len(small) <= 28
    assert all(70 <= side <= 90 for shape in small for side in shape)
    assert len({height for height, _ in small}) > 5
    assert any(height != width for height, width in small)
    none = draw_frame(replace(SMALL, small=0.0), np.random.default_rng(7))
    assert none.image.tobytes() == draw_frame(SMALL, np.random.default_rng(7)).image.tobytes()


def test_small_frames_are_no_larger_than_the_others():
    config = SimulateConfig(width=96, height=80, small=1.0)
    sides = [draw_frame(config, np.random.default_rng(seed)).image.shape for seed in range(12)]
    assert max(height for height, _ in sides) == 80
    assert max(width for _, width in sides) == 96


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"small_side": (50.0, 90.0)}, "small_side must be 64 pixels or more"),
        ({"width": 63}, "width must be at least 64 pixels, not 63"),
    ],
)
def test_frames_too_small_to_be_measured_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **values)


def test_a_frame_on_a_backdrop_has_its_size():
    config = SimulateConfig(width=96, height=96, small=1.0, small_side=(64.0, 70.0))
    still = np.zeros((96, 96), np.float32)
    dark = DarkPatch(
        pixels=still, pattern=still, rms=still + 4, signal=still, codes=still.astype(np.uint8),
        unknown=still, bad=still > 0,
    )  # fmt: skip
    assert draw_frame(config, np.random.default_rng(1), dark).image.shape == (96, 96)
