import numpy as np
import pytest

from rbinfer.night.combine import (
    WEIGHTS,
    Weights,
    by_their_share,
    evidence,
    is_hit,
    logit,
    probability,
)


def known(score=0.5, snr=20.0, seen=0, could=0, standing=0, still=0):
    alone = could if seen + still == 0 else 0
    counts = (np.array([value]) for value in (seen, alone, 0.01 * could, standing, 0.05, still))
    return evidence(logit(np.array([score])), np.array([snr]), *counts)


def p(**given):
    return float(probability(known(**given))[0])


def test_figures_by_hand():
    found = known(score=0.9, snr=5.0, seen=4, could=9, standing=3, still=2)
    np.testing.assert_allclose(found.score, np.log(9.0))
    np.testing.assert_allclose(found.sky, np.log(4.5 / 0.59))
    np.testing.assert_allclose(found.detector, np.log(3.5 / 0.55))
    assert found.missed[0] == 0.0
    np.testing.assert_allclose(found.still, np.log(3.0))
    assert known(snr=5.0, could=9).missed[0] == 0.0
    np.testing.assert_allclose(known(snr=50.0, could=9).missed, np.log(10.0))


def test_the_logistic_model_by_hand():
    weights = Weights(-1.0, 2.0, 0.0, 0.0, 0.0, 0.0)
    found = probability(known(score=0.8), weights)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(1.0 - 2.0 * np.log(4.0))))


def test_repeats_move_it_the_right_way():
    assert p(score=0.3, seen=8, could=9) > 0.8 > p(score=0.3)
    assert p(score=0.7, standing=8, could=9) < p(score=0.7, could=9)
    assert p(score=0.5, snr=100.0, could=9) <= p(score=0.5)
    assert WEIGHTS.score > 0 < WEIGHTS.sky
    assert WEIGHTS.detector < 0


def test_scores_of_0_and_1_and_none():
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()
    assert np.isnan(logit(np.array([np.nan]))).all()
    assert 0 < p(score=np.nan) < 1
    assert p(score=0.0, seen=900, could=900) < 1.0


def test_hits_are_bright_and_seen_once_where_other_frames_look():
    snr = np.array([30.0, 29.0, 99.0, 99.0, np.nan])
    n_seen, n_cover = np.array([1, 1, 2, 1, 1]), np.array([2, 9, 9, 1, 9])
    assert is_hit(snr, n_seen, n_cover).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_night_tells_how_many_of_its_hits_are_real(share):
    # The logit is drawn so that `p` is right where half are real.
    rng = np.random.default_rng(1)
    real = rng.random(200_000) < share
    p = 1 / (1 + np.exp(-rng.normal(np.where(real, 2.0, -2.0), 2.0)))
    corrected = by_their_share(p)
    assert corrected.mean() == pytest.approx(share, rel=0.1)
    for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 0.95)):
        there = (corrected >= low) & (corrected < high)
        scatter = 0.5 / np.sqrt(np.count_nonzero(there))
        assert corrected[there].mean() == pytest.approx(real[there].mean(), abs=0.02 + 2 * scatter)
    np.testing.assert_array_equal(np.argsort(corrected), np.argsort(p))


def test_few_hits_tell_little_and_a_flash_among_a_thousand_stays():
    assert by_their_share(np.zeros(0)).size == 0
    assert by_their_share(np.array([0.9])) == pytest.approx(0.9, abs=0.03)
    found = by_their_share(np.array([0.999, *np.full(1000, 0.002)]))
    assert found[0] > 0.5
    assert found[1:].max() < 1e-4
