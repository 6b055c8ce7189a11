"""Figures of merit against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer.model.readings import OperatingPoint
from rbinfer.model.registry import resolve
from rbinfer.model.session import read_spec
from rbtrain.config import CLASSES
from rbtrain.data.cutting import ROW
from rbtrain.fitting.rates import operating_points
from rbtrain.judging.evaluate import figures
from rbtrain.judging.labelled import ALL, Scored, group_of, measure_calibration, measure_groups
from rbtrain.judging.readings import BIN_KEYS, points_by_bin, read_simulation, what_changed
from rbtrain.judging.text import format_before
from rbtrain.metrics import (
    auc,
    bootstrap,
    expected_calibration_error,
    false_rate_at_true_rate,
    rates_at,
    reliability,
    shift_prior,
    threshold_for_false,
    threshold_for_missed,
)

samples = st.integers(0, 2**31).map(np.random.default_rng)


@settings(max_examples=50, deadline=None)
@given(rng=samples)
def test_auc_is_the_chance_of_the_right_order(rng):
    real = rng.random(40) < 0.4
    real[:2] = True, False
    score = np.round(rng.random(40), 1).astype(np.float32)
    pairs = [(a > b) + 0.5 * (a == b) for a in score[real] for b in score[~real]]
    assert auc(real, score) == pytest.approx(np.mean(pairs))


@settings(max_examples=50, deadline=None)
@given(rng=samples, rate=st.sampled_from([0.0, 0.01, 0.05, 0.3]))
def test_thresholds_keep_their_promise_and_no_more(rng, rate):
    real = rng.random(300) < 0.5
    score = rng.random(300).astype(np.float32)
    low = threshold_for_missed(real, score, rate)
    assert 1 - rates_at(real, score, low)[0] <= rate + 1e-12
    above = score[real & (score > low)].min()
    assert 1 - rates_at(real, score, float(above))[0] > rate
    high = threshold_for_false(real, score, rate)
    assert rates_at(real, score, high)[1] <= rate + 1e-12


def test_a_perfect_score():
    real = np.array([True] * 50 + [False] * 50)
    score = np.linspace(1, 0, 100, dtype=np.float32)
    assert auc(real, score) == 1.0
    assert rates_at(real, score, 0.5) == (1.0, 0.0)
    assert false_rate_at_true_rate(real, score, 0.99) == 0.0
    for point in operating_points(real, score, missed=(0.02,), false=(0.02,)):
        assert point.missed <= 0.02 + 1e-12
        assert point.false <= 0.02


def test_a_score_equal_to_the_threshold_is_not_real():
    assert rates_at(np.array([True, False]), np.array([0.5, 0.5]), 0.5) == (0.0, 0.0)


def test_empty_classes_give_nan():
    assert np.isnan(auc(np.array([True]), np.array([0.3])))
    assert np.isnan(rates_at(np.array([True]), np.array([0.3]), 0.5)[1])


def test_unscored_rows_are_counted_not_judged():
    real = np.array([True, True, False, False])
    score = np.array([0.9, np.nan, 0.1, np.nan], np.float32)
    found = figures(real, score, 0.5)
    assert (found["n_real"], found["n_bogus"], found["unscored"]) == (1, 1, 2)
    assert (found["auc"], found["true_rate"], found["false_rate"]) == (1.0, 1.0, 0.0)


def test_bootstrap_covers_the_binomial_interval():
    rng = np.random.default_rng(1)
    real = np.arange(2000) < 1000
    score = np.where(real, rng.random(2000) < 0.9, 0.0)
    low, high = bootstrap(lambda r, s: rates_at(r, s, 0.5)[0], real, score, rng)
    assert 0.85 < low < 0.9 < high < 0.95
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.9 * 0.1 / 1000), rel=0.25)


def test_calibration_error():
    rng = np.random.default_rng(2)
    score = rng.random(200_000)
    assert expected_calibration_error(rng.random(200_000) < score, score) < 0.01
    # Half the certainty that it claims: |s - (s + 0.5) / 2| averages to 1/8.
    found = expected_calibration_error(rng.random(200_000) < (score + 0.5) / 2, score)
    assert found == pytest.approx(0.125, abs=0.01)


def test_groups():
    assert group_of("saao_val_0062") == "saao_val"
    assert group_of("single_apogee300") == "single_apogee300"


def test_reliability_by_hand():
    score = np.array([0.05, 0.15, 0.15, 0.95, 1.0, 1.0])
    real = np.array([False, False, True, True, True, False])
    rows = reliability(real, score, bins=10)
    assert [(r["low"], r["n"]) for r in rows] == [(0.0, 1), (0.1, 2), (0.9, 3)]
    assert [r["real"] for r in rows] == pytest.approx([0, 1 / 2, 2 / 3])
    assert [r["score"] for r in rows] == pytest.approx([0.05, 0.15, 2.95 / 3])
    wanted = (1 * 0.05 + 2 * 0.35 + 3 * (2.95 / 3 - 2 / 3)) / 6
    assert expected_calibration_error(real, score, bins=10) == pytest.approx(wanted)


def test_reliability_of_another_mix():
    # The bogus counted three times are the bogus weighted three times.
    rng = np.random.default_rng(2)
    score = rng.random(5000)
    real = rng.random(5000) < score
    rows = np.concatenate([np.flatnonzero(real), *3 * [np.flatnonzero(~real)]])
    weights = np.where(real, 1.0, 3.0)
    wanted = expected_calibration_error(real[rows], score[rows])
    assert wanted > 0.1
    assert expected_calibration_error(real, score, weights=weights) == pytest.approx(wanted)


def test_scores_for_another_mix_are_calibrated_again():
    # Two Gaussians; the posterior for one prior, moved to another, is the posterior for that.
    rng = np.random.default_rng(4)
    real = rng.random(200_000) < 0.9
    z = rng.normal(np.where(real, 1.0, -1.0), 1.0)
    half = 1 / (1 + np.exp(-2 * z))
    assert expected_calibration_error(real, half) > 0.05
    assert expected_calibration_error(real, shift_prior(half, 0.5, 0.9)) < 0.01
    np.testing.assert_allclose(shift_prior(half, 0.3, 0.3), half, atol=1e-12)
    assert shift_prior(np.array([0.0, 1.0]), 0.3, 0.9).tolist() == [0.0, 1.0]


def test_calibration_of_each_group_and_of_all():
    one = Scored("a_1", np.array([True, True]), np.array([0.8, np.nan], np.float32))
    two = Scored("b_1", np.array([False, False]), np.array([0.4, 0.4], np.float32))
    found = measure_calibration({"a": [one], "b": [two]}, prior=0.5)
    assert [found[name]["n"] for name in ("a", "b", ALL)] == [1, 2, 3]
    assert found["a"]["error"] == pytest.approx(0.2)
    assert found[ALL]["error"] == pytest.approx((0.2 + 2 * 0.4) / 3)
    assert found["b"]["error_of_mix"] == 0  # nothing is real there
    assert found[ALL]["fraction_real"] == pytest.approx(1 / 3)


def test_images_with_galaxies_counted():
    real = np.arange(6) < 4
    score = np.array([0.9, 0.9, 0.2, 0.9, 0.1, 0.1], np.float32)
    sky = np.maximum(score, np.array([0, 0, 0.8, 0, 0, 0], np.float32))
    found = measure_groups({"a": [Scored("a_1", real, score, 3.0, None, sky)]}, 0.5)["a"]
    assert found["true_rate"] == 0.75
    assert found["with_galaxies"]["true_rate"] == 1.0
    without = measure_groups({"a": [Scored("a_1", real, score, 3.0)]}, 0.5)["a"]
    assert "with_galaxies" not in without


def test_what_changed_is_told_by_reading_and_bin():
    """The old version orders stars worse, in one bin by 0.3."""
    bins = {key: {} for key in BIN_KEYS} | {"by_snr": {"3-5": 0.9, "5-10": 0.8}}

    def measured(loss):
        reading = {key: {at: {"auc": auc - loss} for at, auc in b.items()} for key, b in bins.items()}
        reading["by_snr"]["3-5"]["auc"] += 4 * loss
        return {
            "readings": dict.fromkeys(("with_galaxies", "stars"), reading | {"overall": {"auc": 0.9}}),
            "overall": {"true_rate": 0.88 + loss, "false_rate": 0.1 - loss / 2},
            "calibration_error": 0.02,
        }

    before = read_spec(resolve("reference"))
    found = what_changed(before, measured(0.1), {"simulation": measured(0.0)})
    assert (found["model"], found["version"], found["real"]) == ("reference", "2", ["real"])
    assert found["worst"] == pytest.approx({"with_galaxies": 0.3, "stars": 0.3})
    assert found["auc"]["stars"]["snr 5-10"] == pytest.approx([0.7, 0.8])
    lines = format_before(found).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["at", "the", "thresholds", "before", "now"],
        ["real", "kept", "0.9800", "0.8800", "worse"],
        ["bogus", "let", "in", "0.0500", "0.1000", "worse"],
        ["calibration", "error", "0.0200", "0.0200"],
    ]
    assert lines[-1] == "largest loss, stars: 0.3000"


def test_readings_and_points_by_bin():
    rows = np.zeros(6, ROW)
    rows["label"] = [CLASSES.index(n) for n in ("star", "star", "galaxy", "galaxy", "trail", "noise")]
    rows["snr"] = [4, 50, 50, 50, 50, 4]
    rows["fwhm"], rows["crowding"] = 2.5, 0.01
    real = rows["label"] == 0
    score = np.array([0.4, 0.9, 0.8, 0.1, 0.2, 0.3], np.float32)
    sky = np.array([0.4, 0.9, 0.9, 0.9, 0.2, 0.3], np.float32)
    star = np.array([0.3, 0.8, 0.9, 0.1, 0.2, 0.4], np.float32)
    found = read_simulation(rows, score, sky, star, real, 0.5)
    overall = {name: f["overall"] for name, f in found.items()}
    # Stars 0.4 and 0.9 against galaxies 0.8 and 0.1, trail 0.2, noise 0.3: seven of eight in order.
    assert overall["shipped"]["auc"] == pytest.approx(7 / 8)
    assert (overall["without_galaxies"]["auc"], overall["without_galaxies"]["n_bogus"]) == (1.0, 2)
    assert (overall["with_galaxies"]["auc"], overall["with_galaxies"]["n_real"]) == (1.0, 4)
    # Stars 0.3 and 0.8 against 0.9, 0.1, 0.2 and 0.4: five of eight in order.
    assert (overall["stars"]["auc"], overall["stars"]["n_bogus"]) == (pytest.approx(5 / 8), 4)
    assert found["shipped"]["by_class"]["galaxy"] == 0.5
    assert found["with_galaxies"]["by_class"]["galaxy"] == 1.0
    assert "galaxy" not in found["without_galaxies"]["by_class"]
    assert found["shipped"]["by_snr"]["3-5"]["true_rate"] == 0.0
    points = points_by_bin([OperatingPoint("low", 0.35, 0.0, 0.0)], rows, real, score)
    assert points["low"]["by_snr"]["3-5"] == {"missed": 0.0, "false": 0.0}
    assert points["low"]["by_snr"]["30-100"]["false"] == pytest.approx(1 / 3)
    assert points["low"]["overall"] == {"missed": 0.0, "false": 0.25}
    assert set(points["low"]["by_fwhm"]) >= {"1-2", "2-3"}
