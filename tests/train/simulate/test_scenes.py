"""Special kinds of frame hold what they promise, and cost nothing where they are off."""

from dataclasses import replace

import numpy as np
import pytest

from rbtrain.simulate import ScenesConfig, SimulateConfig, draw_frame
from rbtrain.simulate.config import DetectorConfig
from rbtrain.simulate.detector import develop
from rbtrain.simulate.optics import draw_star_images
from rbtrain.simulate.profiles import measure_fwhm
from rbtrain.simulate.scenes import draw_scene


def frames_of(n, scene, **shape):
    config = SimulateConfig.from_dict({"width": 192, "height": 192, "scenes": {scene: 1.0}, **shape})
    return [draw_frame(config, np.random.default_rng(seed)) for seed in range(n)]


def kinds_of(frame):
    return list(frame.truth["type"])


def test_without_scenes_nothing_is_drawn():
    config, rng = SimulateConfig(), np.random.default_rng(1)
    assert draw_scene(config, rng) is config
    assert rng.random() == np.random.default_rng(1).random()


def test_scenes_come_as_often_as_is_said():
    config = SimulateConfig(scenes=ScenesConfig(streaked=0.2, starless=0.3))
    drawn = [draw_scene(config, np.random.default_rng(seed)) for seed in range(600)]
    streaked = sum(each.field.followed > 0 for each in drawn)
    starless = sum(each.field.max_stars == 0 for each in drawn)
    plain = sum(each is config for each in drawn)
    assert (streaked / 600, starless / 600, plain / 600) == pytest.approx((0.2, 0.3, 0.5), abs=0.06)
    assert streaked + starless + plain == 600


def test_shares_are_shares():
    with pytest.raises(ValueError, match="at most 1 together"):
        ScenesConfig(streaked=0.7, starless=0.4)
    with pytest.raises(ValueError, match="must be 0 or more"):
        ScenesConfig(thick=-0.1)


def test_starless_frames_hold_hits_alone():
    hits = 0
    for frame in frames_of(25, "starless"):
        assert not frame.stars.any()
        assert not frame.galaxies.any()
        assert not {"star", "galaxy", "asteroid", "spike", "ghost"} & set(kinds_of(frame))
        hits += kinds_of(frame).count("cosmic_ray") + kinds_of(frame).count("hot_pixel")
    assert hits > 25 * 15


def test_undersampled_frames_have_narrow_stars_and_many_hits():
    frames = frames_of(40, "undersampled")
    widths = np.array([frame.fwhm for frame in frames])
    assert np.quantile(widths, 0.1) < 1.0
    assert np.quantile(widths, 0.85) < 2.1
    hits = [kinds_of(f).count("cosmic_ray") + kinds_of(f).count("hot_pixel") for f in frames]
    assert np.median(hits) > 20


def test_stars_of_streaked_frames_are_long_and_what_is_followed_is_round():
    config = {"field": {"bright_stars": [3.0, 8.0], "brightest": [0.5, 0.9]}}
    elongated, followed = [], 0
    for frame in frames_of(25, "streaked", **config):
        rows = frame.truth[frame.truth["type"] == "star"]
        rows = rows[rows["peak"] > 30 * np.median(frame.noise)]
        for row in rows:
            near = np.hypot(rows["x"] - row["x"], rows["y"] - row["y"]) < 40
            x, y, r = round(row["x"]), round(row["y"]), 18
            if near.sum() > 1 or not (r <= x < 192 - r and r <= y < 192 - r):
                continue
            cut = frame.stars[y - r : y + r + 1, x - r : x + r + 1].astype(float)
            cut = np.where(cut > 0.2 * cut.max(), cut, 0)
            v, u = np.indices(cut.shape)
            moments = np.cov(np.stack([u.ravel(), v.ravel()]), aweights=cut.ravel())
            small, large = np.sqrt(np.linalg.eigvalsh(moments))
            elongated.append(large / small)
            followed += large / small < 1.25
    assert len(elongated) > 30
    assert np.quantile(elongated, 0.8) > 2.5
    assert followed >= 3


def test_thick_detectors_have_long_tracks():
    longest = []
    for frame in frames_of(8, "thick"):
        code = frame.artefact_class == 1
        longest.append(code.sum() / max(kinds_of(frame).count("cosmic_ray"), 1))
    thin = [
        (f.artefact_class == 1).sum() / max(kinds_of(f).count("cosmic_ray"), 1)
        for f in frames_of(8, "undersampled")
    ]
    assert np.median(longest) > 3 * np.median(thin)


def stars_through_a_lens(seed):
    config = SimulateConfig.from_dict({"scenes": {"lens": 1.0}})
    psf = draw_scene(config, np.random.default_rng(seed)).psf
    return draw_star_images(psf, np.random.default_rng(seed), 300.0).stars


def test_stars_of_lens_frames_are_longer_away_from_the_axis():
    changes = []
    for seed in range(12):
        stars = stars_through_a_lens(seed)
        centre = stars.oversampling**2 // 2
        widths = [measure_fwhm(stamp[centre], 1) for stamp in stars.stamps]
        assert len(widths) == 25
        changes.append(max(widths) / min(widths))
    # Telescopes: a fifth at most in most frames.
    assert np.median(changes) > 1.3


def test_stars_of_lens_frames_may_have_a_tail_on_one_side():
    tails = []
    for seed in range(24):
        stars = stars_through_a_lens(seed)
        corners = stars.stamps[[0, 4, 20, 24], stars.oversampling**2 // 2]
        away = [np.hypot(*(centroid(corner) - np.array(brightest(corner)))) for corner in corners]
        tails.append(max(away) / stars.fwhm)
    # Half of them have coma; a symmetrical star has its centroid in its brightest pixel.
    assert np.median(tails) > 0.1
    assert np.sum(np.array(tails) > 0.3) >= 6
    assert np.sum(np.array(tails) < 0.05) >= 4


def test_an_emulsion_takes_faint_light_as_it_is_and_bright_light_alike():
    config = DetectorConfig(densest=(50.0, 50.0), grain=(1e-6, 1e-6))
    sky = np.full((1, 7), 300.0, np.float32)
    light = np.array([[-40.0, 0.0, 1.0, 100.0, 1000.0, 1e4, 1e6]], np.float32)
    image, grain = develop(sky + light, sky, 10.0, config, np.random.default_rng(0))
    assert grain == pytest.approx(1e-5)
    expected = [-40.0, 0.0, 0.999, 90.635, 432.332, 500.0, 500.0]
    np.testing.assert_allclose((image - sky)[0], expected, atol=0.01)
    config = DetectorConfig(densest=(50.0, 50.0), grain=(2.0, 2.0))
    flat = np.full((200, 200), 300.0, np.float32)
    bright, grain = develop(flat + np.float32(1e6), flat, 10.0, config, np.random.default_rng(0))
    assert grain == 20.0
    assert (bright.mean(), bright.std()) == pytest.approx((800.0, 20.0), rel=0.02)


def test_bright_stars_of_plates_are_flat_and_there_are_no_particles():
    flat, kinds = [], []
    for frame in frames_of(8, "plate"):
        kinds += kinds_of(frame)
        assert frame.saturation is None
        truth = frame.truth[(frame.truth["type"] == "star")]
        brightest_first = truth[np.argsort(-np.asarray(truth["peak"]))]
        height, width = frame.image.shape
        for star in brightest_first[:3]:
            y, x = round(float(star["y"])), round(float(star["x"]))
            if 2 <= x < width - 2 and 2 <= y < height - 2 and star["peak"] > 300 * frame.noise[y, x]:
                excess = frame.image[y, x] - frame.sky[y, x]
                flat.append(excess / star["peak"])
    assert len(flat) >= 8
    assert np.median(flat) < 0.35
    assert "cosmic_ray" not in kinds
    assert "bad_column" not in kinds


def brightest(stamp):
    """Return (x, y) of the brightest pixel."""
    y, x = np.unravel_index(np.argmax(stamp), stamp.shape)
    return x, y


def centroid(stamp):
    """Return (x, y) of all the light."""
    y, x = np.indices(stamp.shape)
    return np.array([(stamp * x).sum(), (stamp * y).sum()]) / stamp.sum()


def test_a_turning_sky_draws_stars_out_along_circles_about_its_pole():
    config = SimulateConfig.from_dict({"scenes": {"turning": 1.0}})
    psf = replace(
        draw_scene(config, np.random.default_rng(1)).psf,
        fwhm=(1.2, 1.2),
        ellipticity=(0.0, 0.0),
        curved=0.0,
        turn_length=(4.0, 4.0),
    )
    around, longer = 0, 0
    for seed in range(6):
        stars = draw_star_images(psf, np.random.default_rng(seed), 100.0).stars
        assert len(stars.stamps) == 25
        lengths, directions = zip(
            *(long_axis(stamp[stars.oversampling**2 // 2]) for stamp in stars.stamps), strict=True
        )
        # Perpendiculars to the trails meet at the pole, and the trails are as long as it is far.
        places = np.array([(x, y) for y in np.linspace(-1, 1, 5) for x in np.linspace(-1, 1, 5)])
        along = np.array(directions)
        drawn_out = np.array(lengths) > 1.0
        pole = np.linalg.lstsq(along[drawn_out], (along * places).sum(axis=1)[drawn_out], rcond=None)[0]
        out = places - pole
        distance = np.hypot(*out.T)
        turned = np.abs((along * out).sum(axis=1)) / distance
        around += np.median(turned[drawn_out]) < 0.1
        longer += np.corrcoef(distance, lengths)[0, 1] > 0.97
    assert around == longer == 6


@pytest.mark.parametrize("width", [1.2, 3.0])
def test_stars_of_a_given_width_do_not_turn(width):
    psf = draw_scene(
        SimulateConfig.from_dict({"scenes": {"turning": 1.0}}), np.random.default_rng(1)
    ).psf
    for seed in range(8):
        stars = draw_star_images(psf, np.random.default_rng(seed), 100.0, width).stars
        assert stars.fwhm == pytest.approx(width, rel=0.05)


def long_axis(stamp):
    """Return the length by second moments, as a bar has it, beyond that across, and the direction."""
    y, x = np.indices(stamp.shape) - len(stamp) // 2
    near = np.hypot(x, y) < 14
    weights = stamp[near] / stamp[near].sum()
    x, y = x[near], y[near]
    x, y = x - (weights * x).sum(), y - (weights * y).sum()
    moments = np.array(
        [[(weights * x * x).sum(), (weights * x * y).sum()], [0, (weights * y * y).sum()]]
    )
    moments[1, 0] = moments[0, 1]
    values, vectors = np.linalg.eigh(moments)
    return np.sqrt(12 * (values[1] - values[0])), vectors[:, 1]


@pytest.mark.parametrize("zones", [0, 12])
def test_a_number_of_zones_that_cannot_be_is_refused(zones):
    with pytest.raises(ValueError, match=f"zones must be from 1 to 9, not {zones}"):
        SimulateConfig.from_dict({"psf": {"zones": zones}})


@pytest.mark.parametrize("scene", ["crowded", "survey", "infrared", "tracked"])
def test_other_scenes_hold_what_they_are_named_for(scene):
    frames = frames_of(8, scene)
    kinds = [kind for frame in frames for kind in kinds_of(frame)]
    if scene == "crowded":
        assert np.median([frame.crowding for frame in frames]) > 0.04
        assert kinds.count("cosmic_ray") > 40
    if scene == "survey":
        assert np.median([kinds_of(frame).count("galaxy") for frame in frames]) > 4
        assert np.median([frame.crowding for frame in frames]) < 0.01
    if scene == "infrared":
        assert kinds.count("persistence") > 8
        assert kinds.count("bad_column") + kinds.count("bad_row") > 12
    if scene == "tracked":
        assert kinds.count("satellite") > 8
