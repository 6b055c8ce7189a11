"""Frames on real pixels: darks bring their own noise and defects, sky images what nobody knows."""

import dataclasses

import numpy as np
import pytest
from astropy.io import fits

from rbinfer.errors import InputError
from rbinfer.measure.detect import detect
from rbinfer.measure.psf import measure_psf
from rbtrain.config import CLASSES
from rbtrain.data.label import AMBIGUOUS, label_detections
from rbtrain.simulate import (
    Artefact,
    ArtefactConfig,
    DetectorConfig,
    FieldConfig,
    SimulateConfig,
    SkyConfig,
    draw_frame,
    identify,
    open_backdrops,
)

from ..data.test_dataset import label_at, made_frame
from .conftest import N_HOT, SIZE

STAR, GALAXY, CR, HOT, TRAIL, SPIKE, NOISE = range(len(CLASSES))


def plain_config(**field):
    """Frames of stars alone, delivered as they are."""
    return SimulateConfig(
        width=SIZE,
        height=SIZE,
        field=FieldConfig(no_galaxies=1.0, nebula=0.0, asteroids=0.0, **field),
        sky=SkyConfig(
            level=(20.0, 20.1),
            gradient=(0.0, 0.0),
            vignetting=(0.0, 0.0),
            flattened=0.0,
            fringes=0.0,
            patches=0.0,
            amplifiers=0.0,
        ),
        detector=DetectorConfig(
            gain=(2.0, 2.001),
            bits=(16,),
            flat_noise=(1e-6, 1.1e-6),
            nonlinearity=(0.0, 0.0),
            blooming=0.0,
            resampled=0.0,
            sky_subtracted=0.0,
            quantised=0.0,
            dead_edge=0.0,
            masked=0.0,
        ),
        artefacts=ArtefactConfig(
            no_cosmic_rays=1.0,
            no_hot_pixels=1.0,
            no_cold_pixels=1.0,
            columns=0.0,
            traps=0.0,
            trails=0.0,
            spikes=0.0,
            halos=0.0,
            ghosts=0.0,
        ),
    )


EMPTY = {"crowding": (1e-6, 1.1e-6), "bright_stars": (0.0, 0.0), "brightest": (1e-4, 2e-4)}
SPARSE = {
    "crowding": (1e-2, 1.2e-2),
    "pair_fraction": (0.0, 0.0),
    "bright_stars": (8.0, 9.0),
    "brightest": (0.2, 0.3),
}


def patches(n, darks=(), images=(), shape=(SIZE, SIZE)):
    with open_backdrops(identify(darks, images), shape, 1.0) as backdrops:
        return [backdrops.draw(np.random.default_rng(seed)) for seed in range(n)]


def views(picture):
    """Return a picture in all of its eight orientations."""
    turned = [np.rot90(picture, k) for k in range(4)]
    return turned + [t[:, ::-1] for t in turned]


def labels_of(frame, threshold=5.0):
    found = detect(frame.image, mask=frame.mask, threshold=threshold, minarea=1, matched_filter=False)
    x, y = np.asarray(found["x"]), np.asarray(found["y"])
    xpeak, ypeak = np.asarray(found["xpeak"], int), np.asarray(found["ypeak"], int)
    return xpeak, ypeak, label_detections(frame, x, y, xpeak, ypeak)


def test_what_stands_out_of_a_dark_has_its_class(darks, hot):
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[hot[0], hot[1]] = Artefact.HOT_PIXEL
    expected[20, 40] = Artefact.COLD
    track = expected.copy()
    track[185, 60:66] = Artefact.COSMIC_RAY
    seen = {False: 0, True: 0}
    for seed, patch in enumerate(patches(12, darks)):
        hit = bool((patch.codes == Artefact.COSMIC_RAY).any())
        turn = [k for k, v in enumerate(views(track if hit else expected)) if (v == patch.codes).all()]
        assert len(turn) == 1
        seen[hit] += 1
        frame = draw_frame(plain_config(**EMPTY), np.random.default_rng(seed), patch)
        ypeak, xpeak = np.nonzero(views(expected)[turn[0]] == Artefact.HOT_PIXEL)
        assert set(label_at(frame, *zip(xpeak, ypeak, strict=True))) == {HOT}
        ypeak, xpeak = np.nonzero(views(track)[turn[0]] == Artefact.COSMIC_RAY)
        xd, yd, labels = labels_of(frame)
        on_track = [
            label
            for x, y, label in zip(xd, yd, labels, strict=True)
            if hit and np.hypot(x - xpeak, y - ypeak).min() < 1
        ]
        assert on_track == ([CR] if hit else [])
        assert (labels == HOT).sum() == N_HOT
        kinds = list(frame.truth["type"])
        assert (kinds.count("hot_pixel"), kinds.count("cosmic_ray")) == (N_HOT, int(hit))
    assert min(seen.values()) > 0


def test_two_darks_do_not_tell_particles_from_hot_pixels(darks, caplog):
    for patch in patches(6, darks[:2]):
        assert not (patch.codes == Artefact.COSMIC_RAY).any()
        assert (patch.codes == Artefact.HOT_PIXEL).sum() in (N_HOT, N_HOT + 6)
    assert "dark_0.fits" in caplog.text
    assert "count as hot pixels" in caplog.text


def test_a_lone_pixel_in_one_dark_only_is_of_unknown_nature(tmp_path):
    for k in range(3):
        pixels = 500 + np.random.default_rng(40 + k).normal(0, 6, (SIZE, SIZE))
        pixels[50, 70] += 200 * (k == 0)
        fits.writeto(tmp_path / f"{k}.fits", pixels.astype(np.float32))
    lone = [p for p in patches(8, sorted(tmp_path.glob("*.fits"))) if p.unknown is not None]
    assert lone
    for patch in lone:
        frame = draw_frame(plain_config(**EMPTY), np.random.default_rng(0), patch)
        y, x = np.unravel_index(np.argmax(patch.unknown), patch.unknown.shape)
        assert label_at(frame, (x, y)) == [AMBIGUOUS]
        assert frame.artefact_class[y, x] == 0


def test_bad_columns_of_a_dark_are_hot_pixels(tmp_path):
    pixels = 500 + np.random.default_rng(8).normal(0, 6, (SIZE, SIZE))
    pixels[:96, 100] += 15  # 2.5 sigma, over half of the column
    fits.writeto(tmp_path / "d.fits", pixels.astype(np.float32))
    expected = np.zeros((SIZE, SIZE), bool)
    expected[:96, 100] = True
    (patch,) = patches(1, [tmp_path / "d.fits"])
    assert any((v == (patch.codes == Artefact.HOT_PIXEL)).all() for v in views(expected))
    assert np.median(patch.signal[patch.codes > 0]) == pytest.approx(15, rel=0.15)


@pytest.mark.parametrize("rms", [6.0, 40.0])
def test_the_noise_is_that_of_the_dark(tmp_path, rms):
    y, x = np.indices((240, 300))
    glow = 30 * np.exp(-np.hypot(x, y) / 150)
    pixels = 500 + glow + np.random.default_rng(5).normal(0, rms, glow.shape)
    fits.writeto(tmp_path / "d.fits", np.rint(pixels).astype(np.int32))
    for seed, patch in enumerate(patches(4, [tmp_path / "d.fits"])):
        frame = draw_frame(plain_config(**EMPTY), np.random.default_rng(seed), patch)
        # 20 electrons of sky at 2 electrons an ADU.
        assert np.median(frame.noise) == pytest.approx(np.hypot(rms, np.sqrt(20) / 2), rel=0.03)
        rest = frame.image - frame.sky - frame.stars - frame.artefacts
        # SEP's mode of a mesh of whole numbers is good to about 0.05 sigma.
        assert rest.mean() == pytest.approx(0, abs=0.1 * rms)
        assert rest.std() == pytest.approx(np.median(frame.noise), rel=0.04)


def test_frames_on_darks_are_their_layers_plus_noise(darks):
    """Flattened, resampled, sky subtracted or not."""
    # Non-linear cameras lose up to some sigma of a bright sky, which `sky` does not follow.
    linear, spreads = DetectorConfig(nonlinearity=(0.0, 0.0)), []
    config = SimulateConfig(width=160, height=128, detector=linear)
    for seed, patch in enumerate(patches(30, darks, shape=(128, 160))):
        frame = draw_frame(config, np.random.default_rng(seed), patch)
        layers = frame.sky + frame.stars + frame.galaxies + frame.artefacts
        sky_only = np.abs(layers - frame.sky) < 0.3 * frame.noise
        if frame.mask is not None:
            sky_only &= ~frame.mask
        if sky_only.sum() > 3000:
            pull = ((frame.image - layers) / frame.noise)[sky_only]
            assert abs(np.median(pull)) < 0.5
            spreads.append(1.4826 * np.median(np.abs(pull - np.median(pull))))
    assert len(spreads) > 10
    assert np.median(spreads) == pytest.approx(1.0, abs=0.06)


def test_missing_pixels_of_a_dark_stay_masked(tmp_path):
    pixels = np.random.default_rng(5).normal(500, 6, (SIZE, SIZE)).astype(np.float32)
    pixels[30:40, 50:70] = np.nan
    fits.writeto(tmp_path / "d.fits", pixels)
    (patch,) = patches(1, [tmp_path / "d.fits"])
    frame = draw_frame(plain_config(**EMPTY), np.random.default_rng(1), patch)
    assert any((np.isnan(v) == frame.mask).all() for v in views(pixels))
    config = dataclasses.replace(plain_config(**EMPTY), detector=DetectorConfig(resampled=1.0))
    moved = draw_frame(config, np.random.default_rng(1), patch)
    y, x = (int(np.median(c)) for c in np.nonzero(patch.bad))
    assert moved.mask[y, x]


def test_planted_stars_have_the_width_of_the_image(sky_image):
    for seed, patch in enumerate(patches(5, images=[sky_image])):
        # The Gaussian that fits a Moffat profile of beta 3 best is a tenth wider.
        assert patch.fwhm == pytest.approx(4.4, rel=0.05)
        assert patch.gain == 1.5  # not the camera's setting under GAIN
        frame = draw_frame(plain_config(**SPARSE), np.random.default_rng(seed), patch)
        noise = np.random.default_rng(0).normal(0, 10, frame.stars.shape)
        alone = (frame.stars + noise).astype(np.float32)
        measured = measure_psf(alone)
        assert measured.fwhm == pytest.approx(patch.fwhm, rel=0.06)
        assert frame.fwhm == pytest.approx(patch.fwhm, rel=0.01)


def test_what_is_planted_brings_the_noise_of_its_own_light(sky_image):
    pulls = []
    for seed, patch in enumerate(patches(4, images=[sky_image])):
        frame = draw_frame(plain_config(**SPARSE), np.random.default_rng(seed), patch)
        light = frame.stars + frame.artefacts
        left = (frame.image - (frame.sky + frame.unknown) - light).astype(float)
        assert np.abs(left[light == 0]).max() < 1e-3
        bright = (light > 30) & (frame.image < 0.9 * patch.high)
        assert bright.sum() > 100
        # The image holds whole numbers, as the file does: 1/12 ADU2 of rounding.
        pulls.append(left[bright] / np.sqrt(light[bright] / 1.5 + 1 / 12))
    pulls = np.concatenate(pulls)
    assert pulls.std() == pytest.approx(1.0, abs=0.06)
    assert pulls.mean() == pytest.approx(0.0, abs=0.06)


def test_what_was_in_a_sky_image_is_ambiguous(sky_image, stars):
    was = np.zeros((SIZE, SIZE), bool)
    was[np.rint(stars[1]).astype(int), np.rint(stars[0]).astype(int)] = True
    data = fits.getdata(sky_image)
    old = planted = right = 0
    for seed, patch in enumerate(patches(6, images=[sky_image])):
        (turn,) = [k for k, v in enumerate(views(data)) if (v == patch.pixels).all()]
        y0, x0 = np.nonzero(views(was)[turn])
        frame = draw_frame(plain_config(**SPARSE), np.random.default_rng(seed), patch)
        x, y, labels = labels_of(frame, 3.0)
        assert not (labels == NOISE).any()
        to_old = np.hypot(x[:, None] - x0, y[:, None] - y0).min(axis=1)
        made = frame.stars[y, x] + np.abs(frame.artefacts[y, x])
        ours = made > 1.5 * frame.noise[y, x]
        assert (labels[~ours] == AMBIGUOUS).all()
        old += ((to_old < 2) & ~ours).sum()
        clear = (made > 15 * frame.noise[y, x]) & (to_old > 12)
        planted += clear.sum()
        right += (labels[clear] == STAR).sum()
    assert old > 150
    assert planted > 40
    assert right > 0.9 * planted


@pytest.mark.parametrize(
    ("source", "artefact", "before", "label"),
    [
        (500, 0, 0, STAR),
        (500, 0, 400, AMBIGUOUS),
        (5000, 0, 400, STAR),
        (0, 5000, 400, CR),
        (0, 500, 400, AMBIGUOUS),
        (0, 0, 400, AMBIGUOUS),
        (0, 0, 0.1, AMBIGUOUS),
        (0, 0, 0, NOISE),
    ],
)
def test_only_what_outshines_the_unknown_keeps_its_label(source, artefact, before, label):
    frame = made_frame(
        [(30, 30, source, "star")] if source else [],
        [(30, 30, artefact, Artefact.COSMIC_RAY)] if artefact else [],
    )
    y, x = np.indices(frame.image.shape)
    unknown = before * np.exp(-4 * np.log(2) * ((x - 30) ** 2 + (y - 30) ** 2) / 16)
    frame.image[30, 30] = 120 + source + artefact
    frame = dataclasses.replace(
        frame, image=(frame.image + unknown).astype(np.float32), unknown=unknown.astype(np.float32)
    )
    assert label_at(frame, (30, 30)) == [label]


def test_masks_borders_and_saturation_of_an_image_are_kept(sky_image, tmp_path):
    data, header = fits.getdata(sky_image, header=True)
    data = data.astype(np.float32)
    data[:, :20] = 0  # as alignment leaves it
    data[100:110, 60:90] = np.nan
    mask = np.zeros(data.shape, np.uint8)
    mask[150:160, 30:50] = 1
    path = tmp_path / "aligned.fits"
    fits.HDUList([fits.PrimaryHDU(data, header), fits.ImageHDU(mask, name="MASK")]).writeto(path)
    gone = np.isnan(data) | (np.indices(data.shape)[1] < 20)
    for seed, patch in enumerate(patches(3, images=[path])):
        (turn,) = [k for k, v in enumerate(views(gone)) if (v == patch.empty).all()]
        frame = draw_frame(plain_config(**SPARSE), np.random.default_rng(seed), patch)
        assert (frame.mask == views(gone | (mask > 0))[turn]).all()
        np.testing.assert_array_equal(frame.image[patch.empty], views(data)[turn][patch.empty])
        for layer in (frame.stars, frame.artefacts, frame.unknown):
            assert not layer[patch.empty].any()
        assert frame.saturation == 30000.0
        assert np.nanmax(frame.image) <= 30000.0
        assert np.isfinite(frame.sky).all()
        assert (frame.noise > 0).all()


def test_pieces_are_cut_from_anywhere_and_turned(tmp_path):
    pixels = np.random.default_rng(0).normal(500, 6, (150, 260)).astype(np.float32)
    fits.writeto(tmp_path / "s.fits", pixels)
    places = set()
    with open_backdrops(identify(images=[tmp_path / "s.fits"]), (90, 200), 0.5) as backdrops:
        drawn = [backdrops.draw(np.random.default_rng(seed)) for seed in range(60)]
    for patch in (p for p in drawn if p is not None):
        assert patch.pixels.shape == (90, 200)
        corners = [patch.pixels[i, j] for i in (0, -1) for j in (0, -1)]
        places.add(tuple(min(tuple(np.argwhere(pixels == c)[0]) for c in corners)))
    assert 15 < sum(p is not None for p in drawn) < 45
    assert len(places) > 10


def test_senseless_options_are_refused(darks, sky_image):
    for fraction in (0.0, 1.5, float("nan")):
        with (
            pytest.raises(ValueError, match="fraction must be above 0"),
            open_backdrops(identify(darks), (128, 128), fraction),
        ):
            pass
    with pytest.raises(ValueError, match="no backdrops"), open_backdrops((), (128, 128)):
        pass
    with pytest.raises(InputError, match="same bytes"):
        identify(darks, [darks[1]])
    (patch,) = patches(1, images=[sky_image], shape=(128, 128))
    with pytest.raises(ValueError, match="shape \\(128, 128\\), the frame \\(192, 192\\)"):
        draw_frame(plain_config(), np.random.default_rng(0), patch)
