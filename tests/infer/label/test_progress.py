"""Counts and rates of answers: only the random part is counted into rates."""

import pytest

from rbinfer.label.progress import Tally


def test_rates_are_of_the_random_part():
    tally = Tally(200)
    assert tally.as_dict()["missed"] is None
    for _ in range(9):
        tally.add("real", called_real=True, drawn=True)
    tally.add("real", called_real=False, drawn=True)
    for _ in range(30):  # near the threshold, where every second one is wrong
        tally.add("real", called_real=False, drawn=False)
    tally.add("bogus", called_real=True, drawn=True)
    tally.add("skip", called_real=True, drawn=True)
    found = tally.as_dict()
    assert (found["labelled"], found["real"], found["bogus"], found["skipped"]) == (41, 40, 1, 1)
    assert found["random"] == 11
    missed = found["missed"]
    assert (missed["wrong"], missed["n"], missed["rate"]) == (1, 10, 0.1)
    # Wilson's interval of 1 in 10.
    assert (missed["low"], missed["high"]) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    # At the goal there are 200 / 41 times as many: 48.8 of them.
    z, n = 1.959964, 10 * 200 / 41
    half = z / (1 + z**2 / n) * (0.1 * 0.9 / n + z**2 / (4 * n**2)) ** 0.5
    assert missed["at_goal"] == pytest.approx(half, abs=1e-9)
    assert found["let_in"]["rate"] == 1.0


def test_what_is_taken_back_is_not_counted():
    tally = Tally(10)
    before = tally.as_dict()
    tally.add("bogus", called_real=True, drawn=True)
    assert tally.as_dict() != before
    tally.add("bogus", called_real=True, drawn=True, times=-1)
    assert tally.as_dict() == before


def test_beyond_the_goal_the_interval_is_that_of_now():
    tally = Tally(4)
    for k in range(8):
        tally.add("real", called_real=k > 0, drawn=True)
    missed = tally.as_dict()["missed"]
    assert missed["at_goal"] == pytest.approx((missed["high"] - missed["low"]) / 2)
