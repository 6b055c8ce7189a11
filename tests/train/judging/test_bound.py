"""The likelihood ratio: against closed forms and integrals, and calibrated on its own frames."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy.special import expit, logsumexp, ndtr
from scipy.stats import norm

from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec
from rbtrain.config import DataConfig
from rbtrain.judging.bound.evidence import Around, Library, PowerLaws, Sight, log_evidence
from rbtrain.judging.bound.figures import by_class, calibration, figures, rows_of, score_of_kind
from rbtrain.judging.bound.judge import JUDGED, Judged, judge_frame, log_odds
from rbtrain.judging.bound.known import draw_known_frame
from rbtrain.judging.bound.library import Size, star_library
from rbtrain.judging.bound.reading import read_bound
from rbtrain.judging.card import card_text
from rbtrain.metrics import auc
from rbtrain.simulate import ScenesConfig, SimulateConfig
from rbtrain.simulate.scenes import draw_scene

SIDE = 9
GRID = np.arange(SIDE) - SIDE // 2


def spot(x=0.0, y=0.0, sigma=0.8):
    """A Gaussian of unit flux."""
    line = [np.diff(ndtr((np.append(GRID, GRID[-1] + 1) - 0.5 - at) / sigma)) for at in (x, y)]
    return np.outer(line[1], line[0]).ravel()


def library(images, law, spread=(), weight=1.0):
    images = np.asarray(images, np.float32)
    n = len(images)
    return Library(
        images=images,
        spread=np.asarray(spread, float),
        log_weight=np.full(n, math.log(weight)),
        law=law,
        shown=np.ones(n),
        cause=0.0,
    )


def sight(residual, floor, base=0.0):
    zeros = np.zeros(residual.size)
    return Sight(residual, zeros + base, floor, 0.0, excess=0.0, noise=0.0)


def test_of_a_known_signal_the_auc_is_that_of_the_matched_filter():
    """Of a known signal in white noise it is Phi(d' / sqrt 2), d' the S/N of the matched filter."""
    rng, sigma, flux = np.random.default_rng(1), 1000.0, 4500.0
    signal = flux * spot()
    known = {"star": library([signal[None] / flux], Around(np.array([flux]), 1e-3))}
    n, values = 1500, []
    for light in (signal, 0.0):
        noisy = light + rng.normal(0, sigma, (n, signal.size))
        values.append([log_evidence(sight(row, sigma**2), known)["star"] for row in noisy])
    values = np.array(values)
    distance = math.sqrt((signal**2).sum()) / sigma
    real = np.repeat([True, False], n)
    assert auc(real, values.ravel()) == pytest.approx(ndtr(distance / math.sqrt(2)), abs=0.02)
    # The log likelihood ratio is N(d'^2 / 2, d'^2) of a signal, and its mirror image of noise.
    assert values.mean(axis=1) == pytest.approx(
        [0.5 * distance**2, -0.5 * distance**2], abs=4 * distance / math.sqrt(n)
    )
    assert values.std(axis=1) == pytest.approx([distance, distance], rel=0.08)


@pytest.mark.parametrize("flux", [300.0, 3000.0])
def test_the_flux_is_integrated_with_the_noise_of_its_own_light(flux):
    low, high, slope, floor, base = 50.0, 1e5, 0.8, 25.0, 40.0
    rng = np.random.default_rng(2)
    light = spot(0.2, -0.3)
    residual = rng.normal(flux * light, np.sqrt(floor + base + flux * light))
    found = log_evidence(
        sight(residual, floor, base),
        {"star": library([light[None]], PowerLaws(((2.0, low, high, slope),)), weight=0.5)},
    )
    grid = np.geomspace(low, high, 20_001)
    expected = grid[:, None] * light
    variance = floor + base + expected
    value = norm.logpdf(residual, expected, np.sqrt(variance)).sum(axis=1)
    value -= norm.logpdf(residual, 0, math.sqrt(floor + base)).sum()
    density = slope * low**slope * grid ** (-slope - 1) / (1 - (high / low) ** -slope)
    exact = logsumexp(value + np.log(density) + np.log(np.gradient(grid)))
    assert found["star"] == pytest.approx(exact, abs=0.03 + 20 / flux)


def test_a_shift_is_integrated_with_its_prior():
    """One template with derivatives gives what a fine grid of shifted templates gives."""
    floor, flux, spread, step = 100.0, 1000.0, 0.1, 1e-3
    slopes = [
        (spot(step, 0) - spot(-step, 0)) / (2 * step),
        (spot(0, step) - spot(0, -step)) / (2 * step),
    ]
    law = PowerLaws(((1.0, 10.0, 1e6, 1.0),))
    one = library([[spot(), *slopes]], law, (spread, spread))
    shifts = np.linspace(-4 * spread, 4 * spread, 33)
    weights = norm.pdf(shifts, 0, spread) / norm.pdf(shifts, 0, spread).sum()
    many = library([[spot(x, y)] for y in shifts for x in shifts], law)
    many = dataclasses.replace(many, log_weight=np.log(np.outer(weights, weights).ravel()))
    off = []
    for seed in range(6):
        rng, light = np.random.default_rng(seed), flux * spot(0.13, -0.05)
        seen = sight(rng.normal(light, np.sqrt(floor + light)), floor)
        found = log_evidence(seen, {"one": one, "many": many})
        off.append(found["one"] - found["many"])
    # What is left is the curvature of the template; all of it is some 570.
    assert np.abs(off).max() < 0.8
    assert abs(np.mean(off)) < 0.4


def test_below_the_least_light_nothing_is_a_cause():
    """What a detection owes to noise for the most part is not put down to the object."""
    residual = np.zeros(SIDE * SIDE)
    law = PowerLaws(((1.0, 1.0, 1e4, 1.0),))
    one = dataclasses.replace(library([spot()[None]], law), cause=0.5)
    free = dataclasses.replace(sight(residual, 100.0), noise=0.0)
    bound = dataclasses.replace(free, excess=2000.0)
    values = [log_evidence(seen, {"star": one})["star"] for seen in (free, bound)]
    assert values[1] < values[0] - 20


def known_frame(seed=0, kind="undersampled", widths=(0.5, 1.5)):
    rng = np.random.default_rng(seed)
    config = SimulateConfig(width=256, height=256, scenes=ScenesConfig(**{kind: 1.0}))
    known = None
    while known is None:
        known = draw_known_frame(draw_scene(config, rng), rng, widths)
    return known, rng


def test_objects_of_a_known_frame_add_up():
    known, _ = known_frame(kind="survey", widths=(1.5, 4.0))
    gain = known.conditions.camera.gain
    parts = {
        "artefacts": [known.track(k) for k in range(known.tracks.x.size)]
        + [known.hot_pixel(int(k)) for k in np.unique(known.hot_pixels.owner)],
        "galaxies": [known.galaxy(k) for k in range(len(known.galaxies))],
        "stars": [known.star(k) for k in range(known.star_rows.x.size)],
    }
    for name, images in parts.items():
        assert len(images) > 0
        whole = gain * getattr(known.frame, name)
        assert np.abs(np.sum(images, axis=0) - whole).max() < 1e-4 * whole.max()
    camera = known.conditions.camera
    variance = known.expected + camera.read_noise**2 + camera.gain**2 / 12
    variance += (camera.flat_noise * known.expected) ** 2
    low = known.expected < 0.5 * camera.full_well
    pulls = ((known.counts - known.expected) / np.sqrt(variance))[low]
    assert pulls.mean() == pytest.approx(0, abs=0.02)
    assert pulls.std() == pytest.approx(1, abs=0.02)


def test_a_star_stands_for_each_of_its_positions_once():
    """The weights of the templates add up to the pixels in which the label would take a star."""
    known, _ = known_frame(kind="survey", widths=(3.0, 6.0))
    area = math.pi * (0.55 * known.frame.fwhm) ** 2
    assert np.exp(star_library(known).log_weight).sum() == pytest.approx(area, rel=0.1)


def test_the_probabilities_are_right_on_the_simulation():
    """Of those that it calls real with a probability of 0.1 to 0.9, so many are."""
    data = DataConfig(per_class=10**6, sources=10**6)
    real, chance = [], []
    for seed in range(8):
        known, rng = known_frame(seed)
        judged = judge_frame(known, data, rng, most=40, size=Size(800, 100, 40))
        real.append(judged.label < 2)
        chance.append(expit(log_odds(judged.log_evidence)))
    real, chance = np.concatenate(real), np.concatenate(chance)
    open_ = (chance > 0.1) & (chance < 0.9)
    assert open_.sum() > 25
    error = math.sqrt((chance * (1 - chance))[open_].sum())
    assert real[open_].sum() == pytest.approx(chance[open_].sum(), abs=3 * error)
    assert real[chance > 0.99].mean() > 0.97
    assert real[chance < 0.01].mean() < 0.02


def rows(evidence, rate, label, frame):
    n = len(label)
    zeros = np.zeros(n)
    whole = np.zeros(n, int)
    judged = Judged(
        zeros,
        zeros,
        whole,
        whole,
        np.array(label),
        np.full(n, 20.0),
        np.array(evidence),
        np.array(evidence),
        np.array(rate),
    )
    score = np.where(np.array(label) < 2, 0.9, 0.1)
    return rows_of(judged, score, score, frame=frame, width=0, kind="plain", fwhm=1.2)


def test_with_mean_rates_a_frame_does_not_know_how_many_hits_it_has():
    """One frame has a hundred times as many hot pixels as the other: both get the mean of the rates."""
    likelihood = np.array([[2.0, -np.inf, 0.0, 2.0, -5.0]])
    parts = []
    for frame, hot in enumerate((1e-6, 1e-4)):
        rate = np.log([[1e-4, 1e-300, 1e-6, hot, 1.0]])
        parts.append(rows(likelihood + rate, rate, [0], frame))
    both = np.concatenate(parts)
    expected = math.log(1e-4 * math.exp(2) / (1e-6 + 0.505e-4 * math.exp(2) + math.exp(-5)))
    assert score_of_kind(both) == pytest.approx([expected, expected], rel=1e-6)


def test_figures_of_a_likelihood_that_is_never_wrong():
    label = [0] * 30 + [2] * 20 + [4] * 10
    evidence = np.full((60, 5), -10.0)
    evidence[range(60), label] = 5.0
    some = rows(evidence, np.zeros((60, 5)), label, 0)
    some["measured"][:3] = 0.2
    found = figures(some, 0.5)
    assert (found["n_real"], found["n_bogus"], found["n_frames"]) == (30, 30, 1)
    assert found["oracle"]["auc"] == 1
    assert (found["oracle"]["kept"], found["oracle"]["let_in"]) == (1, 0)
    assert found["measured"]["kept"] == 0.9
    table = by_class(some, 0.5)
    assert table["kept_at_threshold"] == {"measured": 0.9, "given": 1.0}
    assert table["cosmic_ray"]["n"] == 20
    assert table["noise"]["oracle"]["let_in"] == 0
    assert "hot_pixel" not in table
    ends = [(part["n"], part["real"]) for part in calibration(some)]
    assert ends == [(30, 0.0), (30, 1.0)]
    assert JUDGED[label[0]] == "star"


def test_the_card_has_the_figures_of_its_own_model_only(tmp_path):
    label = [0] * 30 + [2] * 20
    evidence = np.full((50, 5), -10.0)
    evidence[range(50), label] = 5.0
    some = rows(evidence, np.zeros((50, 5)), label, 0)
    found = figures(some, 0.5)
    spec = read_spec(resolve("default"))
    bound = {
        "model": spec.name,
        "version": spec.version,
        "by_width": {"0.5-1.5": found},
        "by_snr": {"10-30": found, "<5": {"n_real": 3, "n_bogus": 0, "n_frames": 1}},
    }
    path = tmp_path / "bound.json"
    path.write_text(json.dumps(bound))
    text = card_text(spec, {"bound": read_bound(path, spec)})
    reached = "1.0000 / 1.000 / 0.000 | " * 4
    assert f"| FWHM 0.5-1.5 | 30 | 20 | {reached.strip()}" in text
    assert "| S/N <5 | 3 | 0 | - | - | - | - |" in text
    path.write_text(json.dumps(bound | {"version": "0"}))
    with pytest.raises(ValueError, match=rf"of model default 0, not of default {spec.version}"):
        read_bound(path, spec)
