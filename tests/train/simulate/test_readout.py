"""What cameras and programs do: counted photons, smear, interleaved columns, a sky that is cut off."""

from dataclasses import replace

import numpy as np
import pytest

from rbtrain.simulate import draw_frame
from rbtrain.simulate.readout import add_pattern_noise, draw_smear

from .conftest import plain_stars


def with_detector(**changes):
    """Return the plain field of stars, its detector changed, without a pixel that is wrong."""
    config = plain_stars(sky_subtracted=0.0, bias_subtracted=1.0, dead_edge=0.0, **changes)
    return replace(config, artefacts=replace(config.artefacts, no_cold_pixels=1.0, traps=0.0))


@pytest.mark.parametrize("sky", [0.2, 3.0, 30.0])
def test_counted_photons_are_whole_numbers_with_the_variance_of_their_mean(sky):
    config = with_detector(counted=1.0, counted_sky=(sky, sky), flat_noise=(1e-6, 1e-6))
    config = replace(config, sky=replace(config.sky, flattened=0.0, gradient=(0.0, 0.0), fringes=0.0))
    frame = draw_frame(config, np.random.default_rng(2))
    assert (frame.image == np.rint(frame.image)).all()
    assert frame.image.min() >= 0
    light = frame.sky + frame.stars + frame.galaxies
    for low, high in [(0.9 * np.median(frame.sky), 1.1 * sky), (2 * sky, 6 * sky)]:
        rows = (light >= low) & (light < high)
        assert rows.sum() > 80
        scatter = ((frame.image - light)[rows] ** 2).mean()
        assert scatter == pytest.approx(light[rows].mean(), rel=0.25)


def test_what_is_not_counted_has_read_noise():
    config = with_detector(counted=0.0)
    config = replace(config, sky=replace(config.sky, level=(0.3, 0.3)))
    assert draw_frame(config, np.random.default_rng(2)).image.min() < 0


@pytest.mark.parametrize("seed", range(8))
def test_charge_that_moves_in_the_light_gathers_that_of_its_column(seed):
    light = np.zeros((40, 30), np.float32)
    light[12, 5], light[30, 5], light[20, 9] = 1000, 500, 300
    smear = draw_smear(light, (1e-3, 1e-3), np.random.default_rng(seed))
    assert not smear[:, [0, 1, 2, 3, 4, 6, 20]].any()
    column, top, bottom = smear[:, 5], smear[0, 5], smear[-1, 5]
    # Both ways, or past what is below, or past what is above.
    assert (top, bottom) in [
        pytest.approx((1.5, 1.5), rel=1e-5),
        pytest.approx((0.0, 1.5), rel=1e-5),
        pytest.approx((1.5, 0.0), abs=1e-6),
    ]
    if top != bottom:
        assert sorted(set(np.round(column, 4).tolist()))[0] == 0.0
        assert np.abs(np.diff(column)).max() == pytest.approx(1.0, rel=1e-4)
    assert smear[:, 9].max() == pytest.approx(0.3, rel=1e-5)


def test_all_ways_of_smear_are_drawn():
    light = np.zeros((8, 3), np.float32)
    light[4, 1] = 1.0
    ends = [
        tuple(draw_smear(light, (1.0, 1.0), np.random.default_rng(seed))[[0, -1], 1].tolist())
        for seed in range(40)
    ]
    assert set(ends) == {(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)}


def test_smear_is_of_the_sky_and_makes_no_artefact():
    even = {"gradient": (0.0, 0.0), "vignetting": (0.0, 0.0), "patches": 0.0, "fringes": 0.0}
    config = with_detector(smeared=1.0, smear=(3e-3, 3e-3))
    config = replace(config, sky=replace(config.sky, **even, amplifiers=0.0))
    frame = draw_frame(config, np.random.default_rng(9))
    columns = (frame.stars + frame.galaxies).sum(axis=0)
    gathered = frame.sky.max(axis=0) - frame.sky.min()
    np.testing.assert_allclose(gathered, 3e-3 * columns, atol=1e-3 * gathered.max())
    assert not frame.artefacts[:, columns.argmax()].any()


def test_two_amplifiers_read_every_other_column():
    config = with_detector(interleaved=1.0, interleaved_step=(2.0, 2.0)).detector
    image = np.zeros((6, 8), np.float32)
    add_pattern_noise(image, config, np.random.default_rng(1), 5.0)
    assert (image[:, ::2] == 5.0).all()
    assert (image[:, 1::2] == -5.0).all()


@pytest.mark.parametrize("at", [-1.0, 0.0, 0.5])
def test_nothing_is_kept_below_where_the_sky_is_cut_off(at):
    config = with_detector(cut_off=1.0, cut_off_at=(at, at))
    config = replace(config, sky=replace(config.sky, gradient=(0.0, 0.0), fringes=0.0, patches=0.0))
    frame = draw_frame(config, np.random.default_rng(3))
    lowest = np.nanmin(frame.image)
    floor = np.median(frame.sky) + at * np.median(frame.noise)
    assert lowest == pytest.approx(floor, abs=float(0.05 * np.median(frame.noise)))
    whole = draw_frame(with_detector(cut_off=0.0), np.random.default_rng(3))
    assert np.nanmin(whole.image) < np.median(whole.sky) - 3 * np.median(whole.noise)
