"""Figures of merit against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbtrain.calibrate import operating_points
from rbtrain.evaluate import figures, group_of
from rbtrain.metrics import (
    auc,
    bootstrap,
    expected_calibration_error,
    false_rate_at_true_rate,
    rates_at,
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
