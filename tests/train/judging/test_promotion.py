"""Verdicts about two networks: better, no better, worse; and the intervals that are stated."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom, norm

from rbtrain.config import CLASSES
from rbtrain.judging.promotion import Rate, compare, not_inferior, objects_to_decide, wilson

IS_REAL = np.array([name in ("star", "galaxy") for name in CLASSES])
N = 2000


def comparison(
    won=0, lost=0, lost_real=0, lost_stars=0, let_in=0, lost_galaxies=0, harvested=(), objects=None
):
    """Compare on 100 labels, half of them real, and on simulation; the parent lets in 20 bogus ones."""
    real = np.repeat([True, False], 50)
    before = real.copy()
    before[50:70] = True
    after = before.copy()
    after[50 : 50 + won] = False
    after[70 : 70 + lost] = True
    after[:lost_real] = False
    kinds = np.repeat(np.arange(len(CLASSES)), N).astype(np.int8)
    simulated = IS_REAL[kinds]
    now = simulated.copy()
    now[:lost_stars] = False
    now[N : N + lost_galaxies] = False
    now[2 * N : 2 * N + let_in] = True
    by_person = ~np.isin(np.arange(100), harvested)
    objects = np.arange(100) if objects is None else objects
    return compare(real, before, after, by_person, objects, kinds, simulated, now, IS_REAL)


def test_wins_beyond_chance_are_better():
    found = comparison(won=6)
    assert found.verdict == "better"
    assert (found.let_in.before, found.let_in.after) == (0.4, 0.28)
    assert (found.let_in.won, found.let_in.lost) == (6, 0)


@pytest.mark.parametrize("changes", [{}, {"won": 2}, {"won": 4}, {"won": 6, "lost": 5}])
def test_what_chance_would_do_is_no_better(changes):
    assert comparison(**changes).verdict == "no better"


def test_a_gain_that_may_be_chance_says_how_many_labels_would_show_it():
    assert comparison(won=4).no_better == (
        "on your labels it is better, but that may be chance: of 100 objects 4 became right and "
        "0 became wrong; if it really is better, labels of about 190 objects would show that (a third "
        "to three times as many)"
    )
    assert comparison(won=1).no_better.endswith("of 100 objects 1 became right and 0 became wrong")
    assert comparison(won=1, lost=1).no_better == (
        "on your labels it is no better: of 100 objects 1 became right and 1 became wrong"
    )


@pytest.mark.parametrize(("won", "lost"), [(0.02, 0.0), (0.03, 0.01), (0.05, 0.02), (0.1, 0.05)])
def test_so_many_objects_show_a_gain_in_four_of_five_cases(won, lost):
    n = objects_to_decide(round(10_000 * won), round(10_000 * lost), 10_000)
    assert n == 10_000  # never fewer than there are
    share, gain = won + lost, won - lost
    n = objects_to_decide(round(100 * won), round(100 * lost), 100)
    rng = np.random.default_rng(1)
    cases = rng.multinomial(n, [won, lost, 1 - share], 4000)
    shown = binom.sf(cases[:, 0] - 1, cases[:, 0] + cases[:, 1], 0.5) < 0.025
    assert 0.72 < shown.mean() < 0.86
    assert gain * n > 5
    assert objects_to_decide(3, 2, 100) is None


def test_losses_are_worse_whatever_was_won_elsewhere():
    found = comparison(won=15, lost_real=6)
    assert found.verdict == "worse"
    rates = "before 100.0% (92.9% to 100.0%), after 88.0% (76.2% to 94.4%) of 50"
    assert found.what_got_worse() == [
        f"kept of your labels: {rates}",
        f"kept of what a person labelled: {rates}",
    ]


def test_labels_of_one_object_have_one_vote():
    one = np.arange(100)
    one[50:55] = 50  # a hot pixel in five frames
    assert comparison(won=6).verdict == "better"
    found = comparison(won=6, objects=one)
    assert found.verdict == "no better"
    assert (found.let_in.n, found.let_in.objects) == (50, 46)
    assert (found.let_in.won, found.let_in.lost) == (2, 0)
    assert (found.let_in.before, found.let_in.after) == (0.4, 0.28)
    assert found.let_in.after_interval == wilson(0.28, 46)
    assert comparison(won=9, objects=one).let_in.won == 5  # it, and four others
    # Won in three frames and lost in two, it is won; in as many, neither.
    for n_lost, votes in ((2, (1, 0)), (3, (0, 0)), (4, (0, 1))):
        objects = np.arange(100)
        objects[50:53] = objects[70 : 70 + n_lost] = 50
        found = comparison(won=3, lost=n_lost, objects=objects).let_in
        assert (found.won, found.lost) == votes


def test_many_labels_of_one_object_prove_nothing():
    objects = np.arange(100)
    objects[24:50] = 24
    assert comparison(won=15, objects=objects).verdict == "better"
    objects[23] = 24
    found = comparison(won=15, objects=objects)
    assert found.no_better.startswith("labels of 24 real and 50 bogus objects")


def test_a_loss_that_may_be_chance_is_borne_where_it_is_small_for_sure():
    assert comparison(won=15, lost_real=1).verdict == "better"  # of 50: at most 8.5 %, with 95 %
    found = comparison(won=15, lost_real=2)
    assert (found.verdict, found.no_better) == (
        "no better",
        "your labels don't rule out a loss of more than 10%: "
        "kept of your labels, of 50 objects 0 became right and 2 became wrong",
    )
    assert comparison(won=3, lost_real=1).verdict == "no better"


@pytest.mark.parametrize(
    ("won", "lost", "n"), [(0, 0, 25), (0, 1, 43), (0, 2, 60), (3, 1, 40), (5, 9, 90), (12, 30, 200)]
)
def test_a_margin_is_tested_by_the_likeliest_shares(won, lost, n):
    margin = 0.1

    def unlikely(share):  # that is won, while the share lost is larger by the margin
        return -(
            won * np.log(share)
            + lost * np.log(share + margin)
            + (n - won - lost) * np.log(1 - 2 * share - margin)
        )

    share = minimize_scalar(
        unlikely, bounds=(1e-9, (1 - margin) / 2 - 1e-9), method="bounded", options={"xatol": 1e-10}
    ).x
    deviation = np.sqrt(n * (2 * share + margin - margin**2))
    expected = norm.cdf((lost - won - n * margin) / deviation)
    assert not_inferior(won, lost, n, margin) == pytest.approx(expected, abs=1e-5)


def test_where_nothing_is_lost_25_labels_are_enough():
    assert not_inferior(0, 0, 24, 0.1) > 0.05 > not_inferior(0, 0, 25, 0.1)
    assert not_inferior(0, 0, 0, 0.1) == 1


def test_what_a_person_labelled_is_not_lost_among_harvested_labels():
    changes = {"won": 16, "lost": 5}
    assert comparison(**changes).verdict == "better"
    # The same, but what was won is harvested, and what was lost a person labelled.
    found = comparison(**changes, harvested=range(50, 70))
    assert found.verdict == "worse"
    assert found.what_got_worse()[0].startswith("let in of what a person labelled: before 0.0%")
    found = comparison(won=15, lost=1, harvested=range(50, 70))
    assert (found.verdict, found.no_better) == (
        "no better",
        "your labels don't rule out a loss of more than 10%: "
        "let in of what a person labelled, of 30 objects 0 became right and 1 became wrong",
    )


@pytest.mark.parametrize("missing", [True, False])
def test_a_gain_on_one_kind_of_labels_proves_nothing(missing):
    kinds = np.arange(3).astype(np.int8)
    simulated = IS_REAL[kinds]
    real = np.full(60, not missing)
    real[:24] = missing
    of = (np.ones(60, bool), np.arange(60), kinds, simulated, simulated, IS_REAL)
    found = compare(real, ~real, real, *of)
    assert found.verdict == "no better"
    few = ("24 real and 36 bogus objects", "36 real and 24 bogus objects")
    assert any(text in found.no_better for text in few)
    real[24] = missing
    assert compare(real, ~real, real, *of).verdict == "better"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lost_stars": 21}, "kept of the simulated real ones"),
        ({"let_in": 101}, "let in of the simulated bogus"),
        ({"let_in": 61}, "simulated cosmic rays called real"),
    ],
)
def test_what_is_forgotten_is_worse_and_named(changes, said):
    found = comparison(won=15, **changes)
    assert found.verdict == "worse"
    assert any(said in phrase for phrase in found.what_got_worse())
    assert found.as_dict()["worse"] == found.what_got_worse()


def test_galaxies_have_no_part_where_they_do_not_count():
    stars_alone = np.array([name == "star" for name in CLASSES])
    kinds = np.array([0, 1, 2], np.int8)
    calls = np.array([True, True, False])
    label = np.ones(1, bool)
    found = compare(label, label, label, label, np.arange(1), kinds, calls, calls, stars_alone)
    assert found.simulated_let_in.n == 1
    assert "galaxy" not in found.by_class


def test_intervals_are_those_of_wilson():
    # The formula of Brown, Cai and DasGupta (2001), Statistical Science 16, 101, worked by hand.
    assert wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_rate_of_nothing_is_none_in_json():
    nothing = np.zeros(0, bool)
    rate = Rate.of(nothing, nothing, True)
    assert np.isnan(rate.before)
    assert not rate.is_worse
