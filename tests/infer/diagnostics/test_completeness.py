from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.cli import main
from rbinfer.diagnostics.completeness import (
    SNR_RANGE,
    Completeness,
    Trial,
    count_let_in,
    find_galaxies,
    measure_completeness,
    negative_of,
)
from rbinfer.diagnostics.planting import Galaxies, Planted, flux_of, noise_pixels, places, plant
from rbinfer.errors import InputError
from rbinfer.io.camera import gain_of
from rbinfer.io.exposure import Exposure, Width
from rbinfer.measure.estimate import measure_width
from rbinfer.pipeline.one import open_frame
from rbinfer.pipeline.options import ScoreOptions

from ..measure.frames import NOISE, add_hot_pixels, star_frame

FIELD = str(Path(__file__).parents[3] / "benchmarks" / "example" / "field.fits")


def measured(image, **known):
    exposure = Exposure(image, **known)
    return Exposure(image, width=measure_width(exposure), **known)


@pytest.fixture(scope="module")
def frame():
    return measured(star_frame(np.random.default_rng(5), 60, 3.0, size=600))


@pytest.fixture(scope="module")
def found(classifier, frame):
    return measure_completeness(classifier, frame, Trial(600, 2.0, 0.5), np.random.default_rng(2))


def test_planted_light_is_the_flux_and_its_noise_is_poissons(frame):
    flat = Exposure(np.zeros((400, 400), np.float32), width=frame.width)
    n = 40
    gx, gy = np.meshgrid(np.arange(30, 380, 50.3), np.arange(30, 330, 50.7))
    x, y = gx.ravel()[:n], gy.ravel()[:n]
    stars = Planted(x, y, np.full(n, 5000.0), np.full(n, 10.0))
    quiet = plant(flat, stars, None, np.random.default_rng(1))
    assert quiet.pixels.sum() == pytest.approx(n * 5000.0, rel=1e-3)
    assert not flat.pixels.any()
    rows, columns = np.indices(quiet.shape)
    near = np.hypot(columns - x[0], rows - y[0]) < 20
    centre = (quiet.pixels * columns)[near].sum() / quiet.pixels[near].sum()
    assert centre == pytest.approx(x[0], abs=0.1)
    noisy = plant(flat, stars, 2.0, np.random.default_rng(1))
    sums = [
        noisy.pixels[round(b) - 20 : round(b) + 21, round(a) - 20 : round(a) + 21].sum()
        for a, b in zip(x, y, strict=True)
    ]
    assert np.mean(sums) == pytest.approx(5000.0, rel=0.01)
    # Of 5,000 units at 2 electrons each: sqrt(10,000) / 2 units.
    assert np.std(sums) == pytest.approx(50.0, rel=0.35)


def test_planted_stars_do_not_exceed_the_saturation_level(frame):
    image = np.zeros((200, 200), np.float32)
    image[5, 5] = 900.0
    flat = Exposure(image, saturation=300.0, width=frame.width)
    star = Planted(np.array([100.0]), np.array([100.0]), np.array([1e5]), np.array([50.0]))
    copy = plant(flat, star, None, np.random.default_rng(1))
    assert copy.pixels[100, 100] == 300.0
    assert copy.pixels[5, 5] == 900.0


def test_flux_has_the_signal_to_noise_that_is_asked_for():
    snr = np.array([2.0, 10.0, 50.0])
    flux = flux_of(snr, np.full(3, 7.0), 25.0, 1.5)
    np.testing.assert_allclose(flux / np.sqrt(25.0 * 49.0 + flux / 1.5), snr)
    np.testing.assert_allclose(flux_of(snr, np.full(3, 7.0), 25.0, None), snr * 35.0)


def test_noise_pixels_are_those_of_a_gaussian(frame):
    # 4 pi sigma**2, with the variance of the pixel added.
    sigma2 = (3.0 / 2.3548) ** 2 + 1 / 12
    assert noise_pixels(frame) == pytest.approx(4 * np.pi * sigma2, rel=0.1)


def test_places_have_data_and_are_apart(frame):
    mask = np.zeros((600, 600), bool)
    mask[:, :300] = True
    x, y = places(Exposure(frame.pixels, mask, width=frame.width), 1000, np.random.default_rng(1))
    assert 10 <= len(x) < 200
    assert x.min() > 299
    apart = np.hypot(x[:, None] - x, y[:, None] - y)[np.triu_indices(len(x), 1)]
    assert apart.min() >= 6 * frame.width.fwhm


def test_faint_stars_are_lost_and_bright_ones_found(found, frame):
    assert len(found.score) == 600
    assert not (found.accepted & ~found.detected).any()
    bright, faint = found.stars.snr > 25, found.stars.snr < 4
    assert found.detected[bright].mean() > 0.95
    assert found.accepted[bright].mean() > 0.93
    assert found.detected[faint].mean() < 0.1
    assert found.noise == pytest.approx(NOISE, rel=0.1)
    before, after = (found.depth(0.5, name) for name in ("detected", "accepted"))
    assert 4 < before < 12
    assert before <= after * 1.02
    assert found.depth(0.9, "detected") > before
    table = found.by_snr()
    assert table["n"].sum() == 600
    np.testing.assert_allclose((table["detected"] * table["n"]).sum(), np.count_nonzero(found.detected))


def test_same_seed_same_stars_and_the_image_is_left_alone(classifier, frame, found):
    before = frame.pixels.copy()
    again = measure_completeness(classifier, frame, Trial(600, 2.0, 0.5), np.random.default_rng(2))
    np.testing.assert_array_equal(frame.pixels, before)
    np.testing.assert_array_equal(again.score, found.score)
    other = measure_completeness(classifier, frame, Trial(50, 2.0, 0.5), np.random.default_rng(3))
    assert other.stars.x[0] != found.stars.x[0]


def test_a_star_on_a_brighter_source_is_lost(classifier, frame, monkeypatch):
    from rbinfer.diagnostics import completeness
    from rbinfer.measure.detect import detect

    sources = detect(frame.pixels)
    bright = sources[np.argsort(sources["flux"])[-20:]]
    where = np.asarray(bright["x"], float), np.asarray(bright["y"], float)
    monkeypatch.setattr(completeness, "places", lambda *_: where)
    found = measure_completeness(classifier, frame, Trial(20, None, 0.5), np.random.default_rng(1))
    assert not found.detected[found.stars.flux < np.asarray(bright["flux"])].any()


def test_stars_lie_where_the_light_of_galaxies_is(frame):
    on = Galaxies(
        *map(np.array, ([200.0, 400.0], [300.0, 100.0], [40.0, 20.0], [4.0, 20.0], [0.5, 0.0]))
    )
    rng = np.random.default_rng(1)
    drawn = np.array([places(frame, 1, rng, on) for _ in range(400)])[:, :, 0]
    first = drawn[:, 0] < 320
    assert 150 < first.sum() < 250
    dx, dy = drawn[first, 0] - 200, drawn[first, 1] - 300
    along, across = dx * np.cos(0.5) + dy * np.sin(0.5), dy * np.cos(0.5) - dx * np.sin(0.5)
    assert np.std(along) == pytest.approx(40, rel=0.15)
    assert np.std(across) == pytest.approx(4, rel=0.15)


def test_on_galaxies_fewer_stars_are_told_apart(classifier):
    field = open_frame(FIELD, ScoreOptions())
    on = find_galaxies(classifier, field, 0.5)
    truth = Table.read(Path(FIELD).with_name("truth.ecsv"))
    places_of = {kind: truth[truth["type"] == kind] for kind in ("star", "galaxy")}
    nearest = {
        kind: np.hypot(on.x[:, None] - each["x"], on.y[:, None] - each["y"]).min(axis=1)
        for kind, each in places_of.items()
    }
    assert len(on.x) >= 6
    assert np.mean(nearest["galaxy"] < nearest["star"]) >= 0.8
    anywhere, there = (
        measure_completeness(classifier, field, Trial(300, 2.0, 0.5, where), np.random.default_rng(1))
        for where in (None, on)
    )
    bright = anywhere.stars.snr > 10, there.stars.snr > 10
    assert there.detected[bright[1]].mean() < anywhere.detected[bright[0]].mean() - 0.1


def test_without_galaxies_none_can_carry_a_star(classifier, frame):
    with pytest.raises(InputError, match=r"none of \d+ detections is called real and a galaxy"):
        find_galaxies(classifier, frame, 1.0)
    with pytest.raises(InputError, match="has no class 'galaxy'"):
        find_galaxies(SimpleNamespace(spec=SimpleNamespace(classes=("star",))), frame, 0.5)


def by_hand(fractions):
    """Return 100 stars a bin, of which these fractions are detected and accepted."""
    edges = np.geomspace(*SNR_RANGE, len(fractions) + 1)
    snr = np.repeat(np.sqrt(edges[:-1] * edges[1:]), 100)
    hit = np.concatenate([np.arange(100) < round(100 * part) for part in fractions])
    stars = Planted(snr, snr, snr, snr)
    return Completeness(
        stars, hit, hit, np.where(hit, 0.9, np.nan), Trial(len(snr), None, 0.5), 1.0, 9.0
    )


def test_the_nearest_is_found_however_many_fit_into_memory(monkeypatch):
    from rbinfer.diagnostics import completeness as room

    rng = np.random.default_rng(2)
    table = Table({"x": rng.uniform(0, 99, 60), "y": rng.uniform(0, 99, 60)})
    stars = SimpleNamespace(x=rng.uniform(0, 99, 31), y=rng.uniform(0, 99, 31))
    row, away = room._nearest(stars, table)
    for pairs in (1, 200, 61):
        monkeypatch.setattr(room, "_PAIRS", pairs)
        for found, expected in zip(room._nearest(stars, table), (row, away), strict=True):
            np.testing.assert_array_equal(found, expected)
    every = np.hypot(stars.x[:, None] - table["x"], stars.y[:, None] - table["y"])
    np.testing.assert_array_equal(away, every.min(axis=1))


def test_depths_lie_between_bins_or_are_not_known():
    part = [0.0, 0.0, 0.0, 0.0, 0.2, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]
    found = by_hand(part)
    middle = np.sqrt(found.by_snr()["snr_low"] * found.by_snr()["snr_high"])
    low, high = np.log(middle[4]), np.log(middle[5])
    assert found.depth(0.5, "detected") == pytest.approx(np.exp(low + 0.75 * (high - low)))
    assert found.depth(0.9, "accepted") == pytest.approx(np.sqrt(middle[6] * middle[7]))
    assert by_hand([0.3] * 12).depth(0.5, "detected") is None
    assert by_hand([1.0] * 12).depth(0.5, "detected") is None
    np.testing.assert_allclose(found.by_snr()["flux"], middle * 3.0)


def test_what_the_threshold_lets_in(classifier, frame):
    dark = np.random.default_rng(3).normal(100, NOISE, (400, 400))
    add_hot_pixels(np.random.default_rng(4), dark, 60)
    hits = Exposure(dark.astype(np.float32), width=frame.width)
    detected, let_in = count_let_in(classifier, hits, 0.5)
    assert detected > 30
    assert let_in < 0.1 * detected
    assert count_let_in(classifier, hits, 0.0)[1] == detected
    holes = negative_of(frame)
    np.testing.assert_array_equal(holes.pixels, -frame.pixels)
    assert count_let_in(classifier, holes, 0.5)[1] <= 1


def test_what_cannot_be_done_is_refused(classifier):
    rng = np.random.default_rng(1)
    noise = rng.normal(100, 5, (200, 200)).astype(np.float32)
    with pytest.raises(InputError, match="the star of this frame is not known"):
        measure_completeness(
            classifier, Exposure(noise, width=Width(3.0, "assumed")), Trial(10, None, 0.5), rng
        )


@pytest.mark.parametrize(
    ("cards", "gain"),
    [
        ({}, None),
        ({"GAIN": 1.4}, (1.4, "GAIN")),
        ({"GAIN": 100, "EGAIN": 0.8}, (0.8, "EGAIN")),
        ({"GAIN": 139}, None),
        ({"GAIN": 0.0}, None),
        ({"GAIN": "low"}, None),
    ],
)
def test_gain_of_a_header(cards, gain):
    assert gain_of(fits.Header(cards)) == gain
    assert gain_of(None) is None


def test_command_line_writes_table_and_picture(frame, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    header = fits.Header({"GAIN": 2.0})
    fits.writeto(tmp_path / "image.fits", frame.pixels, header)
    content = (tmp_path / "image.fits").read_bytes()
    files = ("-o", str(tmp_path / "d.ecsv"), "--plot", str(tmp_path / "d.png"))
    dark = np.random.default_rng(3).normal(100, NOISE, (300, 300)).astype(np.float32)
    fits.writeto(tmp_path / "dark.fits", dark)
    more = ("--stars", "200", "--zeropoint", "25", "--dark", str(tmp_path / "dark.fits"))
    assert main(["completeness", str(tmp_path / "image.fits"), *files, *more]) == 0
    out = capsys.readouterr().out
    assert "200 stars planted (gain 2 by GAIN; seed 1)" in out
    assert "50 % called real: S/N " in out
    assert ", magnitude 1" in out
    assert "dark.fits: 0 of 0 detections are called real" in out
    table = Table.read(tmp_path / "d.ecsv")
    assert table["n"].sum() == 200
    assert table.meta["seed"] == 1
    np.testing.assert_allclose(table["magnitude"], 25 - 2.5 * np.log10(table["flux"]))
    assert 3 < table.meta["detected_50"] < 15
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "image.fits").read_bytes() == content
    assert main(["completeness", str(tmp_path / "image.fits"), *files]) == 1
    assert "exists and is kept" in capsys.readouterr().err


def test_the_legend_of_the_picture_covers_nothing(found):
    pytest.importorskip("matplotlib")
    from rbinfer.report.depth import draw_completeness

    figure = draw_completeness(found)
    figure.draw_without_rendering()
    inside = [axes.get_legend() for axes in figure.axes]
    (legend,) = [*figure.legends, *(each for each in inside if each is not None)]
    assert [text.get_text() for text in legend.get_texts()] == ["detected", "and called real"]
    assert not any(legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_without_a_gain_it_is_said_and_a_depth_outside_the_stars_is_named(frame, tmp_path, capsys):
    fits.writeto(tmp_path / "image.fits", frame.pixels)
    command = ["completeness", str(tmp_path / "image.fits"), "--stars", "150"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "150 stars planted (the gain is not known, so they have no noise of their own" in out
    assert main([*command, "--threshold", "1", "--gain", "2"]) == 0
    out = capsys.readouterr().out
    assert "50 % called real: above S/N 50" in out
    # By so low a gain stars of S/N 2 are bright against the noise of the sky.
    assert main([*command, "--gain", "0.001"]) == 0
    assert "50 % detected: below S/N 2" in capsys.readouterr().out
